//! The runtime that the substrate's driver runs on: Tokio, with two things of ours.
//!
//! Its sockets have room for a burst, so that the kernel drops none of it, and lead to relays too; and its
//! driver can be woken without a message, so that a whole frame's packets cost one turn of the driver's loop.
//! While the driver waits, what a handshake lost is sent again (`handshake.rs`).
//!
//! Its time is Tokio's, so that a test's paused time is the substrate's too. It deliberately adds no
//! thread and no timer of its own.

use crate::handshake::Handshake;
use crate::recovery::PacedSocket;
use crate::relay::{Opener, RelaySocket, Relays, Turns};
use crate::sockets::{Attached, Network};
use crate::source_gate::SourceGate;
use crate::tcp::{IceTcp, Listener};
use duet_media::Clock;
use socket2::SockRef;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

/// Asked of the kernel for each socket, in each direction; it gives what `net.core.*mem_max` allows.
const SOCKET_BUFFER_BYTES: usize = 1 << 20;

tokio::task_local! {
    /// Set while the driver's own task is polled.
    static ON_DRIVER: ();
}

/// One connection's runtime.
pub(crate) struct PeerRuntime {
    wake: Arc<Notify>,
    driver_spawned: AtomicBool,
    /// What its sockets are, if not the machine's.
    network: Option<Arc<dyn Network>>,
    /// Paces checks.
    clock: Arc<dyn Clock>,
    consent: Arc<AtomicBool>,
    gate: Arc<SourceGate>,
    handshake: Arc<Handshake>,
    relays: Arc<Relays>,
    turns: Arc<Turns>,
    tcp: Arc<IceTcp>,
}

impl PeerRuntime {
    /// A runtime whose driver wakes when `wake` is notified, and whose sockets lead to `relays` too, send
    /// nothing but checks without `consent`, and take in what `gate` admits.
    pub(crate) fn new(
        wake: Arc<Notify>,
        relays: Arc<Relays>,
        network: Option<Arc<dyn Network>>,
        clock: Arc<dyn Clock>,
        consent: Arc<AtomicBool>,
        gate: Arc<SourceGate>,
        tcp: Arc<IceTcp>,
    ) -> Self {
        let handshake = Arc::new(Handshake::new(clock.clone(), consent.clone()));
        PeerRuntime {
            wake,
            driver_spawned: AtomicBool::new(false),
            network,
            clock,
            consent,
            gate,
            handshake,
            relays,
            turns: Arc::default(),
            tcp,
        }
    }

    fn paced(&self, socket: Arc<dyn AsyncUdpSocket>) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let network = self.network.clone();
        let open: Opener = Arc::new(move |socket| open(network.as_deref(), socket));
        let socket = RelaySocket::new(socket, self.relays.clone(), self.turns.clone(), open)?;
        let (clock, consent) = (self.clock.clone(), self.consent.clone());
        Ok(Arc::new(PacedSocket::new(
            Arc::new(socket),
            clock,
            consent,
            self.gate.clone(),
            self.handshake.clone(),
        )))
    }
}

/// Makes the machine's socket one of the network's, if there is another than the machine's.
fn open(
    network: Option<&dyn Network>,
    socket: std::net::UdpSocket,
) -> io::Result<Arc<dyn AsyncUdpSocket>> {
    if let Some(network) = network {
        return Ok(Arc::new(Attached(network.attach(socket)?)));
    }
    let options = SockRef::from(&socket);
    // Less is no fault: it is what the kernel allows.
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = options.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    TokioRuntime.wrap_udp_socket(socket)
}

impl fmt::Debug for PeerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerRuntime")
    }
}

struct Task(tokio::task::JoinHandle<()>);

impl JoinHandle for Task {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for PeerRuntime {
    /// The first task is the driver.
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        let task = if self.driver_spawned.swap(true, Ordering::Relaxed) {
            tokio::spawn(future)
        } else {
            tokio::spawn(ON_DRIVER.scope((), future))
        };
        Box::new(Task(task))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        self.paced(open(self.network.as_deref(), socket)?)
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Ok(Arc::new(Listener::new(self.tcp.clone(), listener)?))
    }

    fn connect_tcp<'a>(
        &'a self,
        remote: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        let tcp = self.tcp.clone();
        Box::pin(async move {
            let stream: Arc<dyn AsyncTcpStream> = tcp.connect(remote).await?;
            Ok(stream)
        })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(self.relays.resolve(host))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// The driver sleeps once in each turn of its loop, until its next deadline: that sleep ends
    /// early when it is woken, and at once where relays want another turn. Meanwhile a handshake may be
    /// waited for.
    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        let timer = tokio::time::sleep(duration);
        if ON_DRIVER.try_with(|()| ()).is_err() {
            return Box::pin(timer);
        }
        if self.turns.take() {
            return Box::pin(std::future::ready(()));
        }
        let (wake, handshake) = (self.wake.clone(), self.handshake.clone());
        Box::pin(async move {
            tokio::select! {
                () = wake.notified() => {}
                () = timer => {}
                () = handshake.repeat() => {}
            }
        })
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "duet"
    }
}
