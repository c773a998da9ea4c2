//! The wire: sockets in memory, and a modelled link from each address to each other.

use crate::VirtualClock;
use bytes::Bytes;
use duet_media::{Clock, MediaTime};
use duet_peer::{DatagramSocket, Network};
use duet_session::sim::{Link, LinkConfig, LinkCounters};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;

/// What a datagram takes on the wire beside its payload: IP's and UDP's headers.
const OVERHEAD: usize = 28;
/// Datagrams that a socket keeps for its reader; what comes then is lost, as in a kernel.
const SOCKET_CAPACITY: usize = 4_096;

/// A network of links. Clones are the same one.
#[derive(Clone)]
pub struct Wire(Arc<Shared>);

struct Shared {
    clock: Arc<VirtualClock>,
    state: Mutex<State>,
    /// A datagram is under way that may come before all others.
    sent: Arc<Notify>,
}

struct State {
    seed: u64,
    links: Vec<Link<Datagram>>,
    /// Which of them leads from one address to another.
    ways: BTreeMap<(IpAddr, IpAddr), usize>,
    /// How much longer a way is than its link.
    farther: BTreeMap<(IpAddr, IpAddr), Duration>,
    /// What is under way behind its link: by when it arrives, and a number.
    behind: BTreeMap<(MediaTime, u64), Datagram>,
    serial: u64,
    sockets: HashMap<SocketAddr, Inbox>,
    unplugged: HashSet<IpAddr>,
    /// Whose datagrams come from another address, and from which.
    disguised: HashMap<IpAddr, IpAddr>,
    log: Vec<Passed>,
    /// From where something was sent, and when.
    sent: Vec<(IpAddr, MediaTime)>,
}

#[derive(Clone)]
struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    data: Bytes,
    sent: MediaTime,
}

/// A datagram that came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Whose.
    pub from: IpAddr,
    /// When it went in.
    pub sent: MediaTime,
    /// When it came out.
    pub arrived: MediaTime,
    /// On the wire, headers included.
    pub bytes: usize,
}

#[derive(Default)]
struct Inbox {
    datagrams: VecDeque<Datagram>,
    reader: Option<Waker>,
}

impl Wire {
    /// A network of perfect links. `seed` decides what is lost once they are not.
    pub fn new(clock: Arc<VirtualClock>, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            state: Mutex::new(State {
                seed,
                links: Vec::new(),
                ways: BTreeMap::new(),
                farther: BTreeMap::new(),
                behind: BTreeMap::new(),
                serial: 0,
                sockets: HashMap::new(),
                // A machine's own, which leads to nobody here.
                unplugged: HashSet::from([IpAddr::from([127, 0, 0, 1])]),
                disguised: HashMap::new(),
                log: Vec::new(),
                sent: Vec::new(),
            }),
            sent: Arc::default(),
        });
        tokio::spawn(deliver(Arc::downgrade(&shared), shared.sent.clone(), clock));
        Wire(shared)
    }

    /// What its times are by.
    pub fn clock(&self) -> Arc<VirtualClock> {
        self.0.clock.clone()
    }

    /// Changes what the link from one address to another does from now on.
    pub fn set_link(&self, from: IpAddr, to: IpAddr, config: LinkConfig) {
        self.0.state.lock().link(from, to).set_config(config);
    }

    /// From now on what goes one way goes through the link of the other way, and shares its queue.
    pub fn share(&self, way: (IpAddr, IpAddr), with: (IpAddr, IpAddr)) {
        let mut state = self.0.state.lock();
        let link = state.way(with.0, with.1);
        state.ways.insert(way, link);
    }

    /// A way takes so much longer than its link.
    pub fn set_farther(&self, from: IpAddr, to: IpAddr, by: Duration) {
        self.0.state.lock().farther.insert((from, to), by);
    }

    /// A socket at an address that is no machine's.
    pub(crate) fn socket(&self, address: SocketAddr) -> Arc<dyn DatagramSocket> {
        self.open(address, None)
    }

    fn open(&self, address: SocketAddr, bound: Option<UdpSocket>) -> Arc<dyn DatagramSocket> {
        let mut state = self.0.state.lock();
        state.sockets.insert(address, Inbox::default());
        Arc::new(Socket {
            address,
            wire: self.0.clone(),
            _bound: bound,
        })
    }

    /// Makes the links between two addresses, both ways, what those between two others are.
    pub fn join(&self, one: IpAddr, other: IpAddr, like_one: IpAddr, like_other: IpAddr) {
        let mut state = self.0.state.lock();
        for (from, to, like) in [
            (one, other, (like_one, like_other)),
            (other, one, (like_other, like_one)),
        ] {
            let config = state.link(like.0, like.1).config().clone();
            state.link(from, to).set_config(config);
        }
    }

    /// The address is nobody's any more: what is sent from there or to there is lost.
    pub fn unplug(&self, ip: IpAddr) {
        self.0.state.lock().unplugged.insert(ip);
    }

    /// From now on what `ip` sends comes from `shown`, and only what is sent there reaches it: a
    /// translator that forgot what it had translated before.
    pub fn disguise(&self, ip: IpAddr, shown: IpAddr) {
        self.0.state.lock().disguised.insert(ip, shown);
    }

    /// What became of the datagrams from one address to another.
    pub fn counters(&self, from: IpAddr, to: IpAddr) -> LinkCounters {
        self.0.state.lock().link(from, to).counters()
    }

    /// All that came through so far, in the order of arrival.
    pub fn passed(&self) -> Vec<Passed> {
        self.0.state.lock().log.clone()
    }

    /// Of what was sent from the given addresses, what came through, and when each datagram was sent.
    pub(crate) fn traffic(&self, from: &[IpAddr]) -> (Vec<Passed>, Vec<MediaTime>) {
        let state = self.0.state.lock();
        let passed = state.log.iter().filter(|it| from.contains(&it.from));
        let sent = state.sent.iter().filter(|(ip, _)| from.contains(ip));
        (passed.copied().collect(), sent.map(|(_, at)| *at).collect())
    }
}

impl State {
    fn link(&mut self, from: IpAddr, to: IpAddr) -> &mut Link<Datagram> {
        let way = self.way(from, to);
        &mut self.links[way]
    }

    fn way(&mut self, from: IpAddr, to: IpAddr) -> usize {
        if let Some(way) = self.ways.get(&(from, to)) {
            return *way;
        }
        // Each link has luck of its own, whichever was used first.
        let salt = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => u64::from(u32::from(ip)),
            IpAddr::V6(ip) => u128::from(ip) as u64,
        };
        let seed = self.seed ^ salt(from).rotate_left(17) ^ salt(to).rotate_left(41);
        self.links.push(Link::new(LinkConfig::default(), seed));
        let way = self.links.len() - 1;
        self.ways.insert((from, to), way);
        way
    }

    /// Hands over what has come, and says when the next one does.
    fn deliver(&mut self, now: MediaTime, wake: &mut Vec<Waker>) -> Option<MediaTime> {
        for at in 0..self.links.len() {
            while let Some((arrived, datagram)) = self.links[at].poll(now) {
                let way = (datagram.from.ip(), datagram.to.ip());
                let farther = self.farther.get(&way).copied().unwrap_or_default();
                self.serial += 1;
                self.behind
                    .insert((arrived + farther, self.serial), datagram);
            }
        }
        while let Some(next) = self.behind.first_entry()
            && next.key().0 <= now
        {
            let ((arrived, _), datagram) = next.remove_entry();
            self.arrive(datagram, arrived, wake);
        }
        let behind = self.behind.keys().next().map(|(arrives, _)| *arrives);
        let links = self.links.iter().filter_map(Link::next_arrival);
        links.chain(behind).min()
    }

    fn arrive(&mut self, mut datagram: Datagram, arrived: MediaTime, wake: &mut Vec<Waker>) {
        let (from, to) = (datagram.from.ip(), datagram.to.ip());
        let gone = [from, to].iter().any(|ip| self.unplugged.contains(ip));
        if gone || self.disguised.contains_key(&to) {
            return;
        }
        if let Some((ip, _)) = self.disguised.iter().find(|(_, shown)| **shown == to) {
            datagram.to.set_ip(*ip);
        }
        if let Some(shown) = self.disguised.get(&from) {
            datagram.from.set_ip(*shown);
        }
        self.log.push(Passed {
            from,
            sent: datagram.sent,
            arrived,
            bytes: datagram.data.len() + OVERHEAD,
        });
        let Some(inbox) = self.sockets.get_mut(&datagram.to) else {
            return;
        };
        if inbox.datagrams.len() < SOCKET_CAPACITY {
            inbox.datagrams.push_back(datagram);
            wake.extend(inbox.reader.take());
        }
    }
}

/// Delivers until the network is gone.
async fn deliver(shared: Weak<Shared>, sent: Arc<Notify>, clock: Arc<VirtualClock>) {
    let mut wake = Vec::new();
    loop {
        let next = match shared.upgrade() {
            Some(shared) => shared.state.lock().deliver(clock.now(), &mut wake),
            None => return,
        };
        wake.drain(..).for_each(Waker::wake);
        match next {
            None => sent.notified().await,
            Some(next) => tokio::select! {
                biased;
                () = clock.sleep_until(next) => {}
                () = sent.notified() => {}
            },
        }
    }
}

impl Network for Wire {
    fn attach(&self, bound: UdpSocket) -> io::Result<Arc<dyn DatagramSocket>> {
        Ok(self.open(bound.local_addr()?, Some(bound)))
    }
}

/// A socket whose address stays taken on this machine, so that no other gets it.
struct Socket {
    address: SocketAddr,
    wire: Arc<Shared>,
    _bound: Option<UdpSocket>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.wire.state.lock().sockets.remove(&self.address);
        // Who delivers may be the last one left.
        self.wire.sent.notify_one();
    }
}

impl DatagramSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        let now = self.wire.clock.now();
        let datagram = Datagram {
            from: self.address,
            to,
            data: Bytes::copy_from_slice(datagram),
            sent: now,
        };
        let size = datagram.data.len() + OVERHEAD;
        let mut state = self.wire.state.lock();
        state.sent.push((self.address.ip(), now));
        state
            .link(self.address.ip(), to.ip())
            .send(datagram, size, now);
        drop(state);
        self.wire.sent.notify_one();
        Poll::Ready(Ok(()))
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut state = self.wire.state.lock();
        let Some(inbox) = state.sockets.get_mut(&self.address) else {
            return Poll::Pending;
        };
        let Some(datagram) = inbox.datagrams.pop_front() else {
            inbox.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let len = datagram.data.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram.data[..len]);
        Poll::Ready(Ok((len, datagram.from)))
    }
}
