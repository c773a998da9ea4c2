//! The way between the two ends, watched: when it is lost, the connection looks for another by itself.
//!
//! It restarts ICE as a program would, by [`restart_ice`](crate::RTCPeerConnection::restart_ice): the
//! event that follows, `negotiationneeded`, is one that every program answers. When is decided in
//! [`PathRecovery`]; here it is told what happens.

mod addresses;
mod checks;

pub(crate) use addresses::Offered;
pub(crate) use checks::{PacedSocket, is_check, is_content, is_stun};

use crate::peer_connection::Shared;
use crate::transport::RTCIceRole;
use crate::{RTCIceCandidatePair, RTCIceConnectionState, RTCIceProtocol, RTCSignalingState};
use duet_media::Clock;
use duet_session::{IceState, NetworkChange, PathRecovery, PathRecoveryConfig};
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use webrtc::peer_connection::{RTCStatsReportEntry as Entry, StatsSelector};

/// How often it is asked whether checks are answered. The agent makes one a second.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of one connection's way, and who waits for news of it.
pub(crate) struct Recovery {
    clock: Arc<dyn Clock>,
    decision: Mutex<PathRecovery>,
    news: Notify,
    /// Whether the other side consents to be sent to.
    consent: Arc<AtomicBool>,
    /// What broke, since somebody looked.
    broken: Mutex<Vec<Broken>>,
}

/// What a way may lead through, and is gone.
enum Broken {
    /// An address that a relay had granted.
    Relay(SocketAddr),
    /// A stream to a candidate of the other side's, or from one.
    Stream(SocketAddr),
}

impl Broken {
    /// Whether `pair` led through it.
    fn is_of(&self, pair: &RTCIceCandidatePair) -> bool {
        let (end, broken) = match self {
            Broken::Relay(relayed) => (&pair.local, relayed),
            Broken::Stream(far) => (&pair.remote, far),
        };
        let of_kind = match self {
            Broken::Relay(_) => true,
            Broken::Stream(_) => pair.local.protocol == Some(RTCIceProtocol::Tcp),
        };
        of_kind
            && end.port == Some(broken.port())
            && end
                .address
                .as_ref()
                .is_some_and(|ip| *ip == broken.ip().to_string())
    }
}

impl Recovery {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Recovery {
            clock,
            decision: Mutex::new(PathRecovery::new(PathRecoveryConfig::default())),
            news: Notify::new(),
            consent: Arc::new(AtomicBool::new(true)),
            broken: Mutex::default(),
        }
    }

    pub(crate) fn consent(&self) -> Arc<AtomicBool> {
        self.consent.clone()
    }

    /// Whether the other side consents to be sent to.
    pub(crate) fn may_send(&self) -> bool {
        let may_send = self.decision.lock().may_send(self.clock.now());
        self.consent.store(may_send, Ordering::Release);
        may_send
    }

    /// The agent says that its state is another one. Called on the driver.
    pub(crate) fn on_ice(&self, state: RTCIceConnectionState) {
        let state = match state {
            RTCIceConnectionState::New => IceState::New,
            RTCIceConnectionState::Checking => IceState::Checking,
            RTCIceConnectionState::Connected | RTCIceConnectionState::Completed => {
                IceState::Connected
            }
            RTCIceConnectionState::Disconnected => IceState::Disconnected,
            RTCIceConnectionState::Failed => IceState::Failed,
            RTCIceConnectionState::Closed => IceState::Closed,
        };
        self.decision.lock().on_ice(state, self.clock.now());
        self.news.notify_one();
    }

    /// The connection to a relay broke, and the address that it had granted is gone with it.
    pub(crate) fn on_relay_lost(&self, relayed: SocketAddr) {
        self.on_broken(Broken::Relay(relayed));
    }

    /// A stream ended that nobody here closed.
    pub(crate) fn on_stream_lost(&self, far: SocketAddr) {
        self.on_broken(Broken::Stream(far));
    }

    fn on_broken(&self, broken: Broken) {
        self.broken.lock().push(broken);
        self.news.notify_one();
    }

    /// No relay can be had.
    pub(crate) fn on_no_relay(&self) {
        self.decision.lock().on_no_relay(self.clock.now());
        self.news.notify_one();
    }

    /// Both sides agreed on other credentials.
    pub(crate) fn on_restart(&self, role: RTCIceRole) {
        let mut decision = self.decision.lock();
        decision.set_first(role == RTCIceRole::Controlling);
        decision.on_restart(self.clock.now());
        drop(decision);
        self.news.notify_one();
    }
}

/// The task that watches.
pub(crate) struct PathWatch {
    peer: Weak<Shared>,
    recovery: Arc<Recovery>,
    offered: Offered,
    ips: Vec<IpAddr>,
    /// The pair in use, and what was counted on it.
    seen: Counted,
    /// How often it was looked while no way had been found yet.
    searching: u32,
}

/// Of one pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counted {
    pair: String,
    answers: u64,
    packets: u64,
}

impl PathWatch {
    pub(crate) fn new(peer: Weak<Shared>, recovery: Arc<Recovery>, offered: Offered) -> Self {
        PathWatch {
            peer,
            recovery,
            ips: offered.ips(),
            offered,
            seen: Counted::default(),
            searching: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut addresses = self.offered.watch();
        let mut look = None;
        loop {
            let next = self.recovery.decision.lock().next_timeout();
            let now = self.recovery.clock.now();
            let wait = next.map(|at| at.saturating_since(now));
            let wait = wait.into_iter().chain(look).min();
            let changed = tokio::select! {
                () = addresses.changed() => true,
                () = self.recovery.news.notified() => false,
                () = sleep(wait) => false,
            };
            let Some(peer) = self.peer.upgrade() else {
                return;
            };
            if changed {
                self.on_network(&peer);
            }
            self.on_broken(&peer);
            look = self.look(&peer).await.then_some(LOOK);
            self.search(&peer).await;
            self.act(&peer);
        }
    }

    /// While there is no way, streams that nobody accepted, or that ended, are opened again, ever more rarely.
    async fn search(&mut self, peer: &Shared) {
        if peer.states.lock().known_ice() != RTCIceConnectionState::Checking {
            self.searching = 0;
            return;
        }
        self.searching += 1;
        if self.searching.is_power_of_two()
            && let Err(error) = peer.connect_to_passive().await
        {
            tracing::debug!(%error, "no stream was opened again");
        }
    }

    /// Counts what came on the way in use. False if there is none.
    async fn look(&mut self, peer: &Shared) -> bool {
        let state = peer.states.lock().known_ice();
        let in_use = matches!(
            state,
            RTCIceConnectionState::Connected
                | RTCIceConnectionState::Completed
                | RTCIceConnectionState::Disconnected
        );
        if in_use && let Some(counted) = count(peer).await {
            let same = counted.pair == self.seen.pair;
            let now = self.recovery.clock.now();
            let mut decision = self.recovery.decision.lock();
            if !same || counted.answers > self.seen.answers {
                decision.on_answered(now);
            }
            let silent = state == RTCIceConnectionState::Disconnected;
            if same && silent && counted.packets > self.seen.packets {
                decision.on_astray(now);
            }
            drop(decision);
            self.seen = counted;
        }
        // Where nothing is in use, somebody has to notice that nothing comes of a restart.
        !matches!(
            state,
            RTCIceConnectionState::New | RTCIceConnectionState::Closed
        )
    }

    fn on_network(&mut self, peer: &Shared) {
        let ips = self.offered.ips();
        let before = std::mem::replace(&mut self.ips, ips.clone());
        let gone = |ip: &IpAddr| before.contains(ip) && !ips.contains(ip);
        let pair = peer.dtls.ice_transport().get_selected_candidate_pair();
        let used = pair.map(|pair| {
            // A reflexive or relayed one names the machine's own beside it.
            let named = [pair.local.address, pair.local.related_address];
            named.map(|ip| ip?.parse().ok())
        });
        let mut used = used.into_iter().flatten().flatten();
        let change = NetworkChange {
            lost: used.any(|ip| gone(&ip)),
            gained: ips.iter().any(|ip| !before.contains(ip)),
            usable: self.offered.is_usable(&ips),
        };
        tracing::debug!(?change, ?ips, "the machine's addresses");
        let now = self.recovery.clock.now();
        self.recovery.decision.lock().on_network(change, now);
    }

    /// What broke: if the way led through it, it is as if the address were gone.
    fn on_broken(&self, peer: &Shared) {
        let broken = std::mem::take(&mut *self.recovery.broken.lock());
        let Some(pair) = peer.dtls.ice_transport().get_selected_candidate_pair() else {
            return;
        };
        if broken.iter().any(|broken| broken.is_of(&pair)) {
            let change = NetworkChange {
                lost: true,
                gained: false,
                usable: true,
            };
            let now = self.recovery.clock.now();
            self.recovery.decision.lock().on_network(change, now);
        }
    }

    /// Does what follows.
    fn act(&self, peer: &Shared) {
        let now = self.recovery.clock.now();
        let (restart, answered) = {
            let mut decision = self.recovery.decision.lock();
            (decision.poll(now), decision.is_answered(now))
        };
        peer.path.set_consent(self.recovery.may_send());
        let changes = peer.states.lock().set_unanswered(!answered);
        changes.events().for_each(|event| peer.post(event));
        if !restart {
            return;
        }
        let stable = peer.negotiation.lock().state == RTCSignalingState::Stable;
        if stable && !peer.is_closed() {
            tracing::info!("the way is lost: ICE is restarted");
            peer.restart_ice();
        } else {
            self.recovery.decision.lock().postpone(now);
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The pair in use, and what its agent counted. Only what passed the agent's checks is.
async fn count(peer: &Shared) -> Option<Counted> {
    let now = tokio::time::Instant::now().into_std();
    let report = peer.substrate.get_stats(now, StatsSelector::None).await;
    let in_use = report.iter().find_map(|entry| match entry {
        Entry::Transport(transport) => Some(transport.selected_candidate_pair_id.clone()),
        _ => None,
    })?;
    report.iter().find_map(|entry| match entry {
        Entry::IceCandidatePair(pair) if pair.stats.id == in_use => Some(Counted {
            pair: in_use.clone(),
            answers: pair.responses_received,
            packets: pair.packets_received,
        }),
        _ => None,
    })
}
