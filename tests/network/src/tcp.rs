//! The neighbour of every call: a transfer that takes what it can get, by
//! [CUBIC](https://www.rfc-editor.org/rfc/rfc9438) with selective acknowledgements, as TCP does on most
//! systems.
//!
//! A model of its windows, not of its segments: smoltcp's TCP, which was tried first, neither fills a link
//! nor shares one as a kernel's does. The kernel's own is for the laboratory in real time.

use crate::{VirtualClock, Wire};
use duet_media::{Clock, MediaTime};
use duet_peer::DatagramSocket;
use duet_session::sim::CubicWindow;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

const PORT: u16 = 5_001;
/// With its headers a packet takes 1,500 bytes.
const PACKET: usize = 1_472;

/// A transfer. It ends when it is dropped.
pub struct Tcp {
    received: Arc<AtomicU64>,
    tasks: [JoinHandle<()>; 2],
}

impl Tcp {
    /// The addresses of a network's transfer number `n`: from whom, to whom.
    pub const fn addresses(n: u8) -> (IpAddr, IpAddr) {
        (
            IpAddr::V4(Ipv4Addr::new(10, 81, n, 1)),
            IpAddr::V4(Ipv4Addr::new(10, 81, n, 2)),
        )
    }

    /// Sends `bytes` as transfer number `n`.
    pub fn start(wire: &Wire, n: u8, bytes: u64) -> Tcp {
        Self::in_turns(wire, n, std::iter::once((Duration::ZERO, bytes)))
    }

    /// As transfer number `n` is silent, sends so many bytes, is silent, and so on. Each file begins with a
    /// window of its own, as on a connection of its own.
    pub fn in_turns(
        wire: &Wire,
        n: u8,
        files: impl Iterator<Item = (Duration, u64)> + Send + 'static,
    ) -> Tcp {
        let (from, to) = Self::addresses(n);
        let (from, to) = (SocketAddr::new(from, PORT), SocketAddr::new(to, PORT));
        let received = Arc::new(AtomicU64::new(0));
        let (sends, receives) = (wire.socket(from), wire.socket(to));
        let tasks = [
            tokio::spawn(send(wire.clock(), sends, to, files)),
            tokio::spawn(receive(receives, from, received.clone())),
        ];
        Tcp { received, tasks }
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

/// Acknowledges each packet by its number.
async fn receive(socket: Arc<dyn DatagramSocket>, to: SocketAddr, received: Arc<AtomicU64>) {
    let mut buffer = [0; PACKET];
    loop {
        let came = poll_fn(|cx| socket.poll_receive(cx, &mut buffer)).await;
        let (len, _) = came.expect("the laboratory's wire does not break");
        received.fetch_add(len as u64, Ordering::Relaxed);
        let sent = poll_fn(|cx| socket.poll_send(cx, &buffer[..8], to)).await;
        sent.expect("the laboratory's wire takes all");
    }
}

async fn send(
    clock: Arc<VirtualClock>,
    socket: Arc<dyn DatagramSocket>,
    to: SocketAddr,
    files: impl Iterator<Item = (Duration, u64)>,
) {
    let mut window = CubicWindow::default();
    for (silence, bytes) in files {
        clock.sleep_until(clock.now() + silence).await;
        window.begin();
        send_file(&clock, &*socket, to, &mut window, bytes).await;
    }
}

async fn send_file(
    clock: &VirtualClock,
    socket: &dyn DatagramSocket,
    to: SocketAddr,
    window: &mut CubicWindow,
    bytes: u64,
) {
    let mut left = bytes.div_ceil(PACKET as u64);
    let mut packet = [0; PACKET];
    let mut buffer = [0; 8];
    while left > 0 || !window.is_idle() {
        while left > 0 && window.has_room() {
            packet[..8].copy_from_slice(&window.fly(clock.now()).to_be_bytes());
            left -= 1;
            let sent = poll_fn(|cx| socket.poll_send(cx, &packet, to)).await;
            sent.expect("the laboratory's wire takes all");
        }
        tokio::select! {
            biased;
            came = poll_fn(|cx| socket.poll_receive(cx, &mut buffer)) => {
                came.expect("the laboratory's wire does not break");
                left += window.on_ack(u64::from_be_bytes(buffer), clock.now());
            }
            () = clock.sleep_until(window.timeout()) => left += window.on_timeout(),
        }
    }
}

/// Bits a second of what came between two times.
pub fn rate(bytes: u64, from: MediaTime, until: MediaTime) -> f64 {
    bytes as f64 * 8.0 / until.saturating_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkConfig, run};

    #[test]
    fn it_fills_a_link_and_two_share_it() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let delay = Duration::from_millis(50);
            let bottleneck = LinkConfig {
                rate_bps: Some(2_000_000),
                queue_bytes: 75_000,
                delay,
                ..Default::default()
            };
            wire.set_link(a, b, bottleneck);
            wire.share(Tcp::addresses(1), (a, b));
            let flows = [0, 1].map(|n| Tcp::start(&wire, n, u64::MAX));
            clock.sleep_until(MediaTime::from_millis(10_000)).await;
            let before = flows.each_ref().map(Tcp::received);
            let from = clock.now();
            clock.sleep_until(from + Duration::from_secs(60)).await;
            let rates: Vec<f64> = flows
                .iter()
                .zip(before)
                .map(|(flow, before)| rate(flow.received() - before, from, clock.now()))
                .collect();
            let sum: f64 = rates.iter().sum();
            assert!(sum > 1_850_000.0, "{rates:?}");
            let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(least > 0.3 * sum, "{rates:?}");
        });
    }

    #[test]
    fn a_short_transfer_ends() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let lossy = LinkConfig {
                loss: crate::Loss::Random(0.05),
                delay: Duration::from_millis(20),
                ..Default::default()
            };
            wire.set_link(a, b, lossy.clone());
            wire.set_link(b, a, lossy);
            let flow = Tcp::start(&wire, 0, 300_000);
            clock.sleep_until(MediaTime::from_millis(20_000)).await;
            assert!(flow.received() >= 300_000, "{}", flow.received());
            assert!(flow.tasks[0].is_finished());
        });
    }

    #[test]
    fn files_come_in_turns() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let lossy = LinkConfig {
                rate_bps: Some(2_000_000),
                loss: crate::Loss::Random(0.02),
                delay: Duration::from_millis(20),
                ..Default::default()
            };
            wire.set_link(a, b, lossy);
            let files = [(1, 200_000), (20, 100_000)];
            let files = files.map(|(silence, bytes)| (Duration::from_secs(silence), bytes));
            let flow = Tcp::in_turns(&wire, 0, files.into_iter());
            clock.sleep_until(MediaTime::from_millis(999)).await;
            assert_eq!(flow.received(), 0);
            clock.sleep_until(MediaTime::from_millis(15_000)).await;
            // A packet that was thought lost may come twice.
            let first = flow.received();
            assert!((200_000..230_000).contains(&first), "{first}");
            clock.sleep_until(MediaTime::from_millis(40_000)).await;
            let second = flow.received() - first;
            assert!((100_000..120_000).contains(&second), "{second}");
            assert!(flow.tasks[0].is_finished());
        });
    }
}
