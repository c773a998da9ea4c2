//! What to do when a call's connection or its signaling breaks: wait, restart ICE, join again, or
//! give up.
//!
//! Not a keep-alive: consent and heartbeats are measured elsewhere; here is only decided what follows
//! from them.

use std::time::Duration;

use duet_media::MediaTime;

use crate::rng::Rng;

/// [RTCPeerConnectionState](https://w3c.github.io/webrtc-pc/#rtcpeerconnectionstate-enum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionState {
    /// Nothing begun.
    New,
    /// ICE or DTLS is under way.
    Connecting,
    /// Media flows.
    Connected,
    /// Connectivity is lost, perhaps for a moment.
    Disconnected,
    /// Connectivity is lost, and only an ICE restart can bring it back.
    Failed,
    /// Closed by us.
    Closed,
}

/// What [`ConnectionWatch::poll`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryAction {
    /// Open the signaling connection again and join the room again; answer with
    /// [`ConnectionWatch::on_signaling`], up or down.
    Rejoin,
    /// Restart ICE ([`restartIce()`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-restartice)).
    RestartIce,
    /// The other side has not come back: end the call.
    GiveUp,
}

/// How patient a [`ConnectionWatch`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryConfig {
    /// A disconnection shorter than this needs no restart.
    pub disconnected_grace: Duration,
    /// A connection attempt that takes this long is begun anew.
    pub connect_timeout: Duration,
    /// The first pause between two attempts; each later one is twice as long.
    pub first_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// Without a connection for this long, the call is given up.
    pub give_up_after: Duration,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        RecoveryConfig {
            disconnected_grace: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(10),
            first_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(10),
            give_up_after: Duration::from_secs(90),
        }
    }
}

/// Watches one peer connection and the signaling it depends on.
///
/// ICE is restarted only while signaling is up, since the new credentials have to get across; media
/// that still flows is left alone when only signaling is down.
#[derive(Clone, Debug)]
pub struct ConnectionWatch {
    config: RecoveryConfig,
    rng: Rng,
    state: ConnectionState,
    /// Since when there is no connection.
    down_since: Option<MediaTime>,
    signaling_up: bool,
    restart: Backoff,
    rejoin: Backoff,
    given_up: bool,
}

/// Attempts at one thing: when the next is due, how many were made.
#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    next: Option<MediaTime>,
    attempts: u32,
}

impl ConnectionWatch {
    /// A watch over a connection that is still to be made, with signaling up. Two watches with
    /// different seeds do not retry in step.
    pub fn new(config: RecoveryConfig, seed: u64) -> Self {
        ConnectionWatch {
            config,
            rng: Rng::new(seed),
            state: ConnectionState::New,
            down_since: None,
            signaling_up: true,
            restart: Backoff::default(),
            rejoin: Backoff::default(),
            given_up: false,
        }
    }

    /// The peer connection's state is now `state`.
    pub fn on_connection_state(&mut self, state: ConnectionState, now: MediaTime) {
        use ConnectionState::{Closed, Connected, Connecting, Disconnected, Failed, New};
        let before = std::mem::replace(&mut self.state, state);
        match state {
            Connected | Closed => {
                self.down_since = None;
                self.restart = Backoff::default();
                return;
            }
            // Nothing to mend before the first attempt.
            New => return,
            Connecting | Disconnected | Failed => {}
        }
        self.down_since.get_or_insert(now);
        let wait = match state {
            Disconnected => self.config.disconnected_grace,
            Connecting => self.config.connect_timeout,
            _ if self.restart.attempts == 0 => Duration::ZERO,
            _ => return,
        };
        let due = now + wait;
        // A restart that is already due sooner stays; a fresh attempt has its full time.
        self.restart.next = Some(match self.restart.next {
            Some(next) if before != state && state != Connecting => next.min(due),
            Some(next) => next.max(due),
            None => due,
        });
    }

    /// Signaling was lost, or is back (the room joined again).
    pub fn on_signaling(&mut self, up: bool, now: MediaTime) {
        self.signaling_up = up;
        if up {
            self.rejoin = Backoff::default();
        } else if self.rejoin.next.is_none() {
            let wait = self.backoff(self.rejoin.attempts);
            self.rejoin.next = Some(now + wait);
        }
    }

    /// What is due now, if anything. Ask until it has nothing more.
    pub fn poll(&mut self, now: MediaTime) -> Option<RecoveryAction> {
        if self.given_up || self.state == ConnectionState::Closed {
            return None;
        }
        if self.give_up_at().is_some_and(|at| at <= now) {
            self.given_up = true;
            return Some(RecoveryAction::GiveUp);
        }
        if !self.signaling_up {
            let due = self.rejoin.next.is_some_and(|at| at <= now);
            return due.then(|| {
                self.rejoin.next = None;
                self.rejoin.attempts += 1;
                RecoveryAction::Rejoin
            });
        }
        let due = self.restart.next.is_some_and(|at| at <= now);
        due.then(|| {
            self.restart.attempts += 1;
            // The attempt gets its time; after that the pauses grow.
            let wait = self.backoff(self.restart.attempts);
            self.restart.next = Some(now + wait.max(self.config.disconnected_grace));
            RecoveryAction::RestartIce
        })
    }

    /// When to [`poll`](Self::poll) again; `None` if nothing is due unless something happens.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        if self.given_up || self.state == ConnectionState::Closed {
            return None;
        }
        let attempt = if self.signaling_up {
            self.restart.next
        } else {
            self.rejoin.next
        };
        [attempt, self.give_up_at()].into_iter().flatten().min()
    }

    /// Whether media flows.
    pub fn is_connected(&self) -> bool {
        self.state == ConnectionState::Connected
    }

    fn give_up_at(&self) -> Option<MediaTime> {
        Some(self.down_since? + self.config.give_up_after)
    }

    /// Doubled with each attempt, up to the longest, and between half of that and all of it.
    fn backoff(&mut self, attempts: u32) -> Duration {
        let doubled = self
            .config
            .first_backoff
            .saturating_mul(1 << attempts.min(16));
        let wait = doubled.min(self.config.max_backoff);
        wait.mul_f64(0.5 + self.rng.unit() / 2.0)
    }
}
