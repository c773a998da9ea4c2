//! A TCP connection that carries as much as it can: the neighbour of every call. smoltcp's TCP, with
//! CUBIC as most systems have it, over the laboratory's wire.

use crate::{VirtualClock, Wire};
use duet_media::{Clock, MediaTime};
use duet_peer::DatagramSocket;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const PORT: u16 = 5_001;
/// Less UDP's header than Ethernet's, so that both take the same of a link.
const MTU: usize = 1_472;
/// Enough for any link here.
const BUFFER: usize = 1 << 20;

/// A transfer. It ends when it is dropped.
pub struct Tcp {
    received: Arc<AtomicU64>,
    /// From whom, to whom.
    pub way: (IpAddr, IpAddr),
    tasks: [JoinHandle<()>; 2],
}

/// Who does what.
enum Role {
    /// Sends so many bytes.
    Sends(u64),
    Receives(Arc<AtomicU64>),
}

impl Tcp {
    /// The addresses of a network's transfer number `n`.
    pub const fn addresses(n: u8) -> (IpAddr, IpAddr) {
        let (from, to) = Self::hosts(n);
        (IpAddr::V4(from), IpAddr::V4(to))
    }

    const fn hosts(n: u8) -> (Ipv4Addr, Ipv4Addr) {
        (Ipv4Addr::new(10, 81, n, 1), Ipv4Addr::new(10, 81, n, 2))
    }

    /// Sends `bytes` as transfer number `n`.
    pub fn start(wire: &Wire, n: u8, bytes: u64) -> Tcp {
        let (from, to) = Self::hosts(n);
        let received = Arc::new(AtomicU64::new(0));
        let host = |own: Ipv4Addr, other, role| {
            let socket = wire.socket(SocketAddr::from((own, PORT)));
            tokio::spawn(run(wire.clock(), socket, own, other, role))
        };
        let tasks = [
            host(from, to, Role::Sends(bytes)),
            host(to, from, Role::Receives(received.clone())),
        ];
        Tcp {
            received,
            way: Self::addresses(n),
            tasks,
        }
    }

    /// Bytes that have arrived.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn run(
    clock: Arc<VirtualClock>,
    socket: Arc<dyn DatagramSocket>,
    own: Ipv4Addr,
    other: Ipv4Addr,
    mut role: Role,
) {
    let mut device = Queues::default();
    let now = || Instant::from_micros(clock.now().as_micros());
    let mut interface = Interface::new(Config::new(HardwareAddress::Ip), &mut device, now());
    interface.update_ip_addrs(|addresses| {
        // There is room for one.
        let _ = addresses.push(IpCidr::new(IpAddress::from(own), 16));
    });
    let mut sockets = SocketSet::new(Vec::new());
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut stream = tcp::Socket::new(buffer(), buffer());
    stream.set_congestion_control(tcp::CongestionControl::Cubic);
    stream.set_nagle_enabled(false);
    let opened = match role {
        Role::Sends(_) => {
            let to = (IpAddress::from(other), PORT);
            stream.connect(interface.context(), to, PORT + 1).is_ok()
        }
        Role::Receives(_) => stream.listen(PORT).is_ok(),
    };
    assert!(opened, "a fresh socket opens");
    let handle = sockets.add(stream);
    let mut buffer = vec![0; MTU];
    loop {
        interface.poll(now(), &mut device, &mut sockets);
        work(&mut sockets, handle, &mut role);
        interface.poll(now(), &mut device, &mut sockets);
        for packet in device.out.drain(..) {
            let to = SocketAddr::from((other, PORT));
            let sent = poll_fn(|cx| socket.poll_send(cx, &packet, to)).await;
            sent.expect("the laboratory's wire takes all");
        }
        let wait = interface
            .poll_delay(now(), &sockets)
            .map_or(Duration::from_secs(3_600), Duration::from);
        let came = tokio::select! {
            biased;
            came = poll_fn(|cx| socket.poll_receive(cx, &mut buffer)) => came.ok(),
            () = tokio::time::sleep(wait.max(Duration::from_millis(1))) => None,
        };
        if let Some((len, _)) = came {
            device.came.push_back(buffer[..len].to_vec());
        }
    }
}

fn work(sockets: &mut SocketSet<'_>, handle: SocketHandle, role: &mut Role) {
    let stream = sockets.get_mut::<tcp::Socket<'_>>(handle);
    match role {
        Role::Sends(left) => {
            while *left > 0 && stream.can_send() {
                let sent = stream.send(|room| {
                    let len = room.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    (len, len)
                });
                match sent {
                    Ok(sent) if sent > 0 => *left -= sent as u64,
                    _ => break,
                }
            }
        }
        Role::Receives(received) => {
            while stream.can_recv() {
                let Ok(len) = stream.recv(|data| (data.len(), data.len())) else {
                    break;
                };
                received.fetch_add(len as u64, Ordering::Relaxed);
            }
        }
    }
}

/// Packets in, packets out.
#[derive(Default)]
struct Queues {
    came: VecDeque<Vec<u8>>,
    out: VecDeque<Vec<u8>>,
}

struct Came(Vec<u8>);

struct Out<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Queues {
    type RxToken<'a> = Came;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Came, Out<'_>)> {
        let came = self.came.pop_front()?;
        Some((Came(came), Out(&mut self.out)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        Some(Out(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

/// Bits a second between two counts.
pub fn rate(bytes: u64, from: MediaTime, until: MediaTime) -> f64 {
    bytes as f64 * 8.0 / until.saturating_since(from).as_secs_f64()
}
