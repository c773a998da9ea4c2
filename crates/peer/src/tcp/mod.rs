//! Candidates over TCP ([RFC 6544](https://www.rfc-editor.org/rfc/rfc6544)): for networks that let no UDP through.
//!
//! The agent pairs and checks them, and its driver reads and writes streams; what streams those are is decided
//! here. The driver would wait for whoever does not read, and take in whoever connects. So a stream of ours never
//! keeps it waiting, and a stranger's is shut again unless the agent finds that it knows the password.

mod framing;
mod listener;
mod strangers;
mod stream;

pub(crate) use listener::Listener;

use crate::RTCIceTransportPolicy;
use crate::framed;
use crate::ice_candidate::socket_address;
use crate::recovery::{Offered, Recovery};
use crate::source_gate::SourceGate;
use duet_media::Clock;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use strangers::Strangers;
use stream::{Standing, Stream};
use tokio::net::TcpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Which candidates over TCP a connection offers
/// ([RFC 6544, section 4.1](https://www.rfc-editor.org/rfc/rfc6544#section-4.1)).
///
/// Whatever it is, UDP is preferred wherever it works as directly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TcpCandidates {
    /// None.
    None,
    /// Those that open connections to others' passive ones, and no port: as browsers do. It is what a server that
    /// listens for TCP wants.
    #[default]
    Active,
    /// Those too that wait for connections, on a port of their own for each address: what a browser or another such
    /// end wants of this one. With [`hide_addresses`](crate::PeerContext::hide_addresses) nobody is told of them.
    ActiveAndPassive,
}

/// Streams of one connection at a time, those among them that are being opened. Strangers have at most half.
const STREAMS: usize = 4 * strangers::CAPACITY;
/// So long opening one may take.
const CONNECT: Duration = Duration::from_secs(6);

/// What all streams of one connection share.
pub(crate) struct IceTcp {
    offered: Offered,
    kinds: TcpCandidates,
    /// Only relays may be reached: no stream leads there.
    relayed: AtomicBool,
    clock: Arc<dyn Clock>,
    recovery: Arc<Recovery>,
    gate: Arc<SourceGate>,
    room: Arc<Semaphore>,
    /// Those that were opened, by where they lead.
    opened: Mutex<HashMap<SocketAddr, Weak<Stream>>>,
    /// Those that are being opened.
    connecting: Mutex<HashSet<SocketAddr>>,
    silent: Strangers,
    asking: Strangers,
    refused: AtomicU64,
}

impl IceTcp {
    pub(crate) fn new(
        offered: Offered,
        kinds: TcpCandidates,
        clock: Arc<dyn Clock>,
        recovery: Arc<Recovery>,
        gate: Arc<SourceGate>,
    ) -> Arc<Self> {
        Arc::new(IceTcp {
            offered,
            kinds,
            relayed: AtomicBool::new(false),
            clock,
            recovery,
            gate,
            room: Arc::new(Semaphore::new(STREAMS)),
            opened: Mutex::default(),
            connecting: Mutex::default(),
            silent: Strangers::default(),
            asking: Strangers::default(),
            refused: AtomicU64::new(0),
        })
    }

    /// Opens a stream to a candidate of the other side's.
    ///
    /// # Errors
    /// The policy or the program wants no streams, nobody listens there, none of the addresses that are offered leads
    /// there, it is a port of other services, or too many are open.
    pub(crate) async fn connect(self: Arc<Self>, to: SocketAddr) -> io::Result<Arc<Stream>> {
        // The agent's driver asks whatever the policy is, and this would tell of our address.
        if self.kinds == TcpCandidates::None || self.relayed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if !is_decent(to.port()) {
            return Err(io::Error::other("a port of other services"));
        }
        let _connecting = Connecting::new(&self, to)?;
        let room = self.room()?;
        let from = source_for(to)?;
        if !self.offered.ips().contains(&from) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let socket = match from {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = tokio::time::timeout(CONNECT, socket.connect(to)).await;
        let stream = stream.map_err(|_| io::ErrorKind::TimedOut)??;
        framed::hurry(&stream)?;
        let local = stream.local_addr()?;
        let stream = Stream::start(self.clone(), stream, (local, to), Standing::Known, room);
        let stream = Arc::new(stream);
        let mut opened = self.opened.lock();
        opened.retain(|_, stream| stream.strong_count() > 0);
        opened.insert(to, Arc::downgrade(&stream));
        Ok(stream)
    }

    /// Whether a stream to the candidate of a line is being opened, or was and is still in use.
    pub(crate) fn leads_to(&self, candidate: &str) -> bool {
        let Some(to) = socket_address(candidate) else {
            return false;
        };
        let opened = self.opened.lock();
        let stream = opened.get(&to);
        self.connecting.lock().contains(&to)
            || stream.is_some_and(|stream| stream.upgrade().is_some_and(|it| it.lives()))
    }

    /// # Errors
    /// Too many are open.
    fn room(&self) -> io::Result<OwnedSemaphorePermit> {
        let room = self.room.clone().try_acquire_owned();
        room.map_err(|_| io::Error::other(format!("{STREAMS} streams are open already")))
    }

    /// Whether others may connect: otherwise the agent's passive candidates are nobody's.
    pub(crate) fn listens(&self) -> bool {
        self.kinds == TcpCandidates::ActiveAndPassive && !self.relayed.load(Ordering::Acquire)
    }

    /// With `relay` no stream is opened, and nobody who connects from now on is let in.
    pub(crate) fn set_policy(&self, policy: RTCIceTransportPolicy) {
        let relayed = policy == RTCIceTransportPolicy::Relay;
        self.relayed.store(relayed, Ordering::Release);
    }

    /// Counts a stranger's connection that is shut.
    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Strangers' connections that were shut.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// A stream that is being opened.
struct Connecting<'a> {
    shared: &'a IceTcp,
    to: SocketAddr,
}

impl<'a> Connecting<'a> {
    /// # Errors
    /// It is already.
    fn new(shared: &'a IceTcp, to: SocketAddr) -> io::Result<Self> {
        if !shared.connecting.lock().insert(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(Connecting { shared, to })
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.shared.connecting.lock().remove(&self.to);
    }
}

/// Who tells the other side where to connect to could have it knock at any service of its network. As browsers
/// have it: of the ports below 1024 only those of the web.
fn is_decent(port: u16) -> bool {
    matches!(port, 80 | 443 | 1_024..)
}

/// The address that the machine would take. Nothing is sent.
fn source_for(to: SocketAddr) -> io::Result<IpAddr> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 16], 0)),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkPolicy;
    use duet_media::MonotonicClock;

    fn streams(kinds: TcpCandidates) -> Arc<IceTcp> {
        let clock = Arc::new(MonotonicClock::new());
        IceTcp::new(
            Offered::new(NetworkPolicy::LoopbackOnly, None),
            kinds,
            clock.clone(),
            Arc::new(Recovery::new(clock)),
            Arc::default(),
        )
    }

    #[tokio::test]
    async fn nobody_is_connected_to_against_the_policy() {
        let there = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let there = there.local_addr().map(|at| (at, there)).unwrap();
        let denied = async |tcp: &Arc<IceTcp>| {
            let opened = tcp.clone().connect(there.0).await;
            opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        };
        assert!(denied(&streams(TcpCandidates::None)).await);
        let tcp = streams(TcpCandidates::ActiveAndPassive);
        assert!(tcp.listens());
        tcp.set_policy(RTCIceTransportPolicy::Relay);
        assert!(denied(&tcp).await && !tcp.listens());
        tcp.set_policy(RTCIceTransportPolicy::All);
        tcp.connect(there.0).await.unwrap();
    }

    #[test]
    fn ports_of_other_services_are_let_alone() {
        assert!([80, 443, 1_024, 3_478, 65_535].into_iter().all(is_decent));
        assert!(![0, 22, 25, 53, 81, 1_023].into_iter().any(is_decent));
    }
}
