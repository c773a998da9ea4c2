//! Relays: the TURN servers of one connection, over UDP, TCP and TLS
//! ([RFC 8656](https://www.rfc-editor.org/rfc/rfc8656)).
//!
//! The agent speaks TURN, but over UDP only, and says little of what became of it. So each server has a name and
//! an address here that only the agent knows; what it sends there goes the server's own way, and what passes is
//! looked at. Each server is two of its servers: the second is asked for an address of IPv6. Deliberately nothing
//! here speaks TURN itself: no request is made, and none is changed but by the family that it asks for.

mod allocations;
mod datagrams;
mod envelope;
mod family;
mod framing;
mod socket;
mod stream;
mod turns;

pub(crate) use datagrams::Opener;
pub(crate) use envelope::{Peer, open, permission_for};
pub(crate) use socket::RelaySocket;
pub(crate) use turns::Turns;

use crate::dispatch::{Item, post};
use crate::ice_server::{IceUrl, RTCIceServer, Scheme};
use crate::recovery::Recovery;
use crate::{PeerConnectionEvent, RTCPeerConnectionIceErrorEvent};
use allocations::{Allocations, Refusal, Verdict, Way};
use family::Family;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use stream::{Ended, Tls};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The [error code](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnectioniceerrorevent-errorcode) of
/// a server that cannot be reached.
pub(crate) const UNREACHABLE: u16 = 701;
/// [Address Family not Supported](https://www.rfc-editor.org/rfc/rfc8656#section-19).
const NOT_OF_THAT_FAMILY: u16 = 440;
/// Names are looked up on the driver's task: no longer than this.
const RESOLVE: Duration = Duration::from_secs(3);

/// Addresses that are nobody's: the dummy address of [RFC 7600](https://www.rfc-editor.org/rfc/rfc7600#section-4.8)
/// and one of the discard prefix ([RFC 6666](https://www.rfc-editor.org/rfc/rfc6666)). The port says which server.
const STAND_IN_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
const STAND_IN_V6: Ipv6Addr = Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 8);
/// Names that are nobody's ([RFC 2606](https://www.rfc-editor.org/rfc/rfc2606#section-2)).
const STAND_IN_NAME: &str = ".relay.invalid";

/// How a TURN server is reached:
/// [`RTCIceServerTransportProtocol`](https://w3c.github.io/webrtc-pc/#dom-rtciceservertransportprotocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }
}

/// A TURN server that can be used.
#[derive(Debug, Clone)]
pub(crate) struct RelayServer {
    /// As the program says it.
    pub(crate) url: String,
    pub(crate) transport: Transport,
    /// Of the relayed address that it is asked for.
    family: Family,
    host: String,
    port: u16,
}

impl RelayServer {
    /// `None` for what is no TURN server, or cannot be reached as it wants to be.
    fn new(url: &str, parsed: &IceUrl) -> Option<Self> {
        let transport = match (parsed.scheme, parsed.transport.as_deref()) {
            (Scheme::Turn, None | Some("udp")) => Transport::Udp,
            (Scheme::Turn, Some("tcp")) => Transport::Tcp,
            (Scheme::Turns, None | Some("tcp")) => Transport::Tls,
            _ => return None,
        };
        let usual = if parsed.scheme == Scheme::Turns {
            5_349
        } else {
            3_478
        };
        Some(RelayServer {
            url: url.to_owned(),
            transport,
            family: Family::V4,
            host: parsed.host.clone(),
            port: parsed.port.unwrap_or(usual),
        })
    }

    /// The same, asked for an address of IPv6.
    fn of_ipv6(&self) -> Self {
        RelayServer {
            family: Family::V6,
            ..self.clone()
        }
    }

    /// The agent's own socket does not lead there.
    fn has_own_way(&self) -> bool {
        self.transport != Transport::Udp || self.family == Family::V6
    }
}

/// All that one connection was ever told of.
pub(crate) struct Relays {
    known: Mutex<Known>,
    tls: Tls,
    /// No address of the machine may ever be told.
    hides_addresses: bool,
    queue: mpsc::Sender<Item>,
    recovery: Arc<Recovery>,
}

#[derive(Default)]
struct Known {
    /// A server keeps its place. Beside each is the same one for the other family.
    servers: Vec<RelayServer>,
    /// By place and user, of the present configuration.
    passwords: HashMap<(usize, String), String>,
    /// Addresses of those that are reached over UDP.
    addresses: HashMap<SocketAddr, usize>,
    allocations: Allocations,
    /// Those of which the program knows that they gave nothing, since candidates were gathered last.
    told: HashSet<usize>,
    /// None may be told at present.
    hides_addresses: bool,
}

impl Relays {
    /// `roots`: certificates that servers over TLS are trusted by, beside those of the web, in DER.
    pub(crate) fn new(
        roots: Vec<Vec<u8>>,
        hides_addresses: bool,
        queue: mpsc::Sender<Item>,
        recovery: Arc<Recovery>,
    ) -> Self {
        Relays {
            known: Mutex::default(),
            tls: Tls::new(roots),
            hides_addresses,
            queue,
            recovery,
        }
    }

    /// One, and what it posts.
    #[cfg(test)]
    pub(crate) fn for_test() -> (Self, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(64);
        let clock = Arc::new(duet_media::MonotonicClock::new());
        let recovery = Arc::new(Recovery::new(clock));
        (Relays::new(Vec::new(), false, queue, recovery), items)
    }

    /// Another configuration comes, whose passwords are the ones that count; if it `hides` them, none of the
    /// machine's addresses may be told.
    pub(crate) fn configure(&self, hides: bool) {
        let mut known = self.known.lock();
        known.hides_addresses = hides;
        known.passwords.clear();
    }

    /// The URLs by which the agent may know one of `configured`'s, for either family; `None` for what cannot be
    /// used as a relay.
    pub(crate) fn urls_for_agent(
        &self,
        url: &str,
        parsed: &IceUrl,
        configured: &RTCIceServer,
    ) -> Option<[String; 2]> {
        let server = RelayServer::new(url, parsed)?;
        let mut known = self.known.lock();
        let place = known.servers.iter().position(|known| known.url == url);
        let place = place.unwrap_or_else(|| {
            let other = server.of_ipv6();
            known.servers.extend([server, other]);
            known.servers.len() - 2
        });
        if let (Some(user), Some(password)) = (&configured.username, &configured.credential) {
            let of = (other_family(place), user.clone());
            known.passwords.insert(of, password.clone());
        }
        let places = [place, other_family(place)];
        Some(places.map(|place| format!("turn:{place}{STAND_IN_NAME}?transport=udp")))
    }

    /// The server behind the agent's URL, or its name and port.
    pub(crate) fn server(&self, of_agent: &str) -> Option<RelayServer> {
        let (_, server) = self.place_and_server(of_agent)?;
        Some(server)
    }

    fn place_and_server(&self, of_agent: &str) -> Option<(usize, RelayServer)> {
        let name = of_agent.strip_prefix("turn:").unwrap_or(of_agent);
        let (place, _) = name.split_once(STAND_IN_NAME)?;
        let place = place.parse::<usize>().ok()?;
        let known = self.known.lock();
        Some((place, known.servers.get(place)?.clone()))
    }

    /// Looks up a STUN or TURN server for the agent.
    ///
    /// # Errors
    /// It is not known, or nobody said within three seconds.
    pub(crate) async fn resolve(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        let Some((place, server)) = self.place_and_server(host) else {
            return within(tokio::net::lookup_host(host)).await;
        };
        self.known.lock().told.remove(&place);
        if server.has_own_way() {
            let port = u16::try_from(place + 1).map_err(io::Error::other)?;
            let addresses = [IpAddr::V4(STAND_IN_V4), IpAddr::V6(STAND_IN_V6)];
            return Ok(addresses.map(|ip| SocketAddr::new(ip, port)).to_vec());
        }
        let lookup = tokio::net::lookup_host((server.host.as_str(), server.port));
        let found = within(lookup).await;
        match &found {
            Ok(found) => {
                let places = found.iter().map(|address| (*address, place));
                self.known.lock().addresses.extend(places);
            }
            Err(error) => self.tell(place, None, UNREACHABLE, error.to_string()),
        }
        found
    }

    /// The server that a stand-in's address means.
    fn stands_for(&self, address: SocketAddr) -> Option<usize> {
        // Each datagram is asked about: most are for somebody else.
        let ours = match address.ip() {
            IpAddr::V4(ip) => ip == STAND_IN_V4,
            IpAddr::V6(ip) => ip == STAND_IN_V6,
        };
        let place = usize::from(address.port()).checked_sub(1)?;
        let has_own_way = || {
            let known = self.known.lock();
            known
                .servers
                .get(place)
                .is_some_and(RelayServer::has_own_way)
        };
        (ours && has_own_way()).then_some(place)
    }

    fn server_at(&self, place: usize) -> Option<RelayServer> {
        self.known.lock().servers.get(place).cloned()
    }

    fn place_of(&self, address: SocketAddr) -> Option<usize> {
        self.known.lock().addresses.get(&address).copied()
    }

    /// The agent asks for a relayed address, or for something that belongs to one.
    ///
    /// # Errors
    /// In vain.
    fn on_request(&self, way: Way, datagram: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let asked = self.known.lock().allocations.on_request(way, datagram, now);
        asked.map_err(|refusal| {
            if let Some(Refusal { code, text }) = refusal {
                self.tell(way.1, Some(way.0), code, text);
                self.look_for_hope();
            }
            io::ErrorKind::ConnectionAborted.into()
        })
    }

    /// What the agent says to a server, if it wants an address of IPv6 and cannot say so.
    fn with_family(&self, place: usize, datagram: &[u8]) -> Option<Vec<u8>> {
        if !envelope::wants_address(datagram) {
            return None;
        }
        let password = {
            let known = self.known.lock();
            let server = known.servers.get(place)?;
            (server.family == Family::V6).then_some(())?;
            let user = family::user(datagram).unwrap_or_default();
            known.passwords.get(&(place, user)).cloned()
        };
        family::of_ipv6(datagram, &password.unwrap_or_default())
    }

    /// A server answered. False if the agent must not know.
    fn on_answer(&self, way: Way, datagram: &[u8]) -> bool {
        let verdict = self.known.lock().allocations.on_answer(way, datagram);
        let (Refusal { code, text }, pass) = match verdict {
            Verdict::Pass => return true,
            // Refused, one of IPv6 would stand in the way of new passwords: the agent takes those over if it has
            // all that it asked for. So its next attempt fails, and it forgets it.
            Verdict::PassRefusal(refusal) => (refusal, !self.is_of_ipv6(way.1)),
            Verdict::HoldRefusal(refusal) => (refusal, false),
            Verdict::Gone(relayed) => {
                tracing::debug!(%relayed, "the TURN server was started anew");
                self.recovery.on_relay_lost(relayed);
                self.look_for_hope();
                return false;
            }
        };
        self.tell(way.1, Some(way.0), code, text);
        self.look_for_hope();
        pass
    }

    /// A stream ended by itself, or nothing can be sent to a server.
    fn on_ended(&self, way: Way, ended: Ended) {
        let (lost, hopeless) = {
            let mut known = self.known.lock();
            if !known.allocations.knows(way) {
                return;
            }
            let lost = known.allocations.on_lost(way);
            (lost, !known.allocations.is_hopeful_of(way.1))
        };
        match (ended, lost) {
            (Ended::Unwanted, _) => return,
            (_, Some(relayed)) => self.recovery.on_relay_lost(relayed),
            (Ended::Failed(error), None) => {
                self.tell(way.1, Some(way.0), UNREACHABLE, error.to_string());
            }
            (Ended::OutOfReach, None) => {
                if hopeless && !self.known.lock().told.contains(&way.1) {
                    let text = "no address of this machine leads to the TURN server";
                    self.tell(way.1, None, UNREACHABLE, text.to_owned());
                }
            }
        }
        self.look_for_hope();
    }

    fn is_of_ipv6(&self, place: usize) -> bool {
        let known = self.known.lock();
        let server = known.servers.get(place);
        server.is_some_and(|server| server.family == Family::V6)
    }

    fn forget(&self, local: SocketAddr) {
        self.known.lock().allocations.forget(local);
    }

    fn look_for_hope(&self) {
        if !self.known.lock().allocations.is_hopeful() {
            self.recovery.on_no_relay();
        }
    }

    fn tell(&self, place: usize, from: Option<SocketAddr>, error_code: u16, error_text: String) {
        let (url, from) = {
            let mut known = self.known.lock();
            if !known.is_to_be_told(place, error_code) {
                return;
            }
            known.told.insert(place);
            let hides = self.hides_addresses || known.hides_addresses;
            let from = from.filter(|_| !hides);
            let Some(server) = known.servers.get(place) else {
                return;
            };
            (server.url.clone(), from)
        };
        tracing::debug!(url, error_code, error_text, "no relayed address");
        let event = PeerConnectionEvent::IceCandidateError(RTCPeerConnectionIceErrorEvent {
            address: from.map(|from| from.ip().to_string()),
            port: from.map(|from| from.port()),
            url,
            error_code,
            error_text,
        });
        post(&self.queue, Item::Event(event));
    }
}

impl Known {
    /// Whether the program has an interest in it: a server that gives addresses of one family only is as good as
    /// any, and one that gives none says so once.
    fn is_to_be_told(&self, place: usize, code: u16) -> bool {
        let other = other_family(place);
        let hopeful = self.allocations.is_hopeful_of(other);
        match self.servers.get(place).map(|server| server.family) {
            Some(Family::V4) => !(hopeful && code == NOT_OF_THAT_FAMILY),
            Some(Family::V6) => !hopeful && !self.told.contains(&other),
            None => false,
        }
    }
}

/// The place of the same server for the other family.
fn other_family(place: usize) -> usize {
    place ^ 1
}

async fn within(
    lookup: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(RESOLVE, lookup).await;
    let found: Vec<_> = found.map_err(|_| io::ErrorKind::TimedOut)??.collect();
    if found.is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(found)
}
