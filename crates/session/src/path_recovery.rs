//! When a connection that lost its way looks for another: by restarting ICE, and how often.
//!
//! Not a watch over signaling, nor over a call that never was connected: that is
//! [`ConnectionWatch`](crate::ConnectionWatch). It sends nothing and negotiates nothing either. Two
//! restarts that cross are settled by perfect negotiation ([`Negotiator`](crate::Negotiator)); the
//! handicap here only makes that seldom.

use duet_media::MediaTime;
use std::time::Duration;

/// What the ICE agent says of itself
/// ([RTCIceTransportState](https://w3c.github.io/webrtc-pc/#rtcicetransportstate)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IceState {
    /// Not begun.
    New,
    /// Pairs of addresses are tried.
    Checking,
    /// One is in use.
    Connected,
    /// Nothing was heard on it for some seconds.
    Disconnected,
    /// None works, or the one in use was silent for too long and is given up.
    Failed,
    /// Closed.
    Closed,
}

/// What became of the machine's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetworkChange {
    /// The address in use is gone.
    pub lost: bool,
    /// There is one that was not there before.
    pub gained: bool,
    /// There is one that leads out of the machine.
    pub usable: bool,
}

/// How patient a [`PathRecovery`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathRecoveryConfig {
    /// Checks on the way in use that go unanswered for so long mean `disconnected`, even if the other
    /// side is heard.
    pub unanswered: Duration,
    /// Without an answer for so long nothing may be sent any more
    /// ([RFC 7675, section 5.1](https://www.rfc-editor.org/rfc/rfc7675#section-5.1)), and ICE is
    /// restarted. No sooner: most outages end on the addresses that they began on, and a restart drops
    /// these before there are others.
    pub consent: Duration,
    /// Addresses change several at a time: so long the last change is waited for.
    pub settle: Duration,
    /// Packets that come by another way than the one in use are watched for so long.
    pub astray: Duration,
    /// Relays that could not be had are asked again after so long: a server that is started anew is back by then.
    pub relay: Duration,
    /// The shortest time between two restarts.
    pub least_pause: Duration,
    /// How much later the side that did not offer first acts on what both see.
    pub handicap: Duration,
    /// For so long each failure is answered at once; then pauses double, from the first one on.
    pub eager_for: Duration,
    /// The first pause.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// After so long without a way ICE is restarted no more, unless the network changes.
    pub give_up_after: Duration,
}

impl Default for PathRecoveryConfig {
    fn default() -> Self {
        PathRecoveryConfig {
            unanswered: Duration::from_secs(5),
            consent: Duration::from_secs(30),
            settle: Duration::from_millis(200),
            astray: Duration::from_secs(1),
            relay: Duration::from_secs(2),
            least_pause: Duration::from_secs(1),
            handicap: Duration::from_secs(2),
            eager_for: Duration::from_secs(600),
            first_pause: Duration::from_secs(5),
            max_pause: Duration::from_secs(60),
            give_up_after: Duration::from_secs(1_800),
        }
    }
}

/// Watches the way of one connection.
///
/// It acts only for a connection that had a way once: a first attempt that fails is the program's to
/// judge.
///
/// ```
/// use duet_media::MediaTime;
/// use duet_session::{IceState, PathRecovery, PathRecoveryConfig};
/// let at = MediaTime::from_millis;
/// let mut recovery = PathRecovery::new(PathRecoveryConfig::default());
/// recovery.set_first(true);
/// recovery.on_ice(IceState::Connected, at(0));
/// recovery.on_ice(IceState::Disconnected, at(3_000));
/// assert!(recovery.may_send(at(29_999)) && !recovery.may_send(at(30_000)));
/// assert_eq!(recovery.next_timeout(), Some(at(30_000)));
/// assert!(recovery.poll(at(30_000)), "restart ICE");
/// ```
#[derive(Clone, Debug)]
pub struct PathRecovery {
    config: PathRecoveryConfig,
    /// Whether this side acts first on what both see.
    first: bool,
    state: IceState,
    had_way: bool,
    /// When a check on the way in use was answered last.
    answered: Option<MediaTime>,
    /// Since when there is no way.
    down_since: Option<MediaTime>,
    /// The address in use is gone, and nothing was done about it yet.
    lost: bool,
    due: Option<MediaTime>,
    /// When ICE was restarted last, by whichever side.
    restarted: Option<MediaTime>,
    /// Restarts in a row that were not eager.
    pauses: u32,
}

impl PathRecovery {
    /// A watch over a connection that has no way yet.
    pub fn new(config: PathRecoveryConfig) -> Self {
        PathRecovery {
            config,
            first: false,
            state: IceState::New,
            had_way: false,
            answered: None,
            down_since: None,
            lost: false,
            due: None,
            restarted: None,
            pauses: 0,
        }
    }

    /// Whether this side acts first on what both see: the controlling one, say.
    pub fn set_first(&mut self, first: bool) {
        self.first = first;
    }

    /// The agent's state is now `state`.
    pub fn on_ice(&mut self, state: IceState, now: MediaTime) {
        let before = std::mem::replace(&mut self.state, state);
        if before == state {
            return;
        }
        match state {
            IceState::New => {}
            IceState::Connected => {
                self.had_way = true;
                self.down_since = None;
                self.lost = false;
                self.due = None;
                self.pauses = 0;
                // A pair is chosen by a check that was answered; one that was only silent is not.
                if before != IceState::Disconnected {
                    self.answered = Some(now);
                }
            }
            IceState::Checking | IceState::Disconnected => {
                self.down_since.get_or_insert(now);
            }
            IceState::Failed => {
                self.down_since.get_or_insert(now);
                if self.had_way {
                    self.seen_by_both(Duration::ZERO, now);
                }
            }
            IceState::Closed => self.due = None,
        }
    }

    /// A check of ours on the way in use was answered.
    pub fn on_answered(&mut self, now: MediaTime) {
        // Consent that is lost is not found again without other credentials (RFC 7675, section 5.1).
        if self.may_send(now) {
            self.answered = Some(now);
        }
    }

    /// The other side is heard, though not on the way in use: its address changed under way.
    pub fn on_astray(&mut self, now: MediaTime) {
        if self.state == IceState::Disconnected && self.due.is_none() {
            self.seen_by_both(self.config.astray, now);
        }
    }

    /// None of the relays can be had. Where there is no other way, they are asked again.
    pub fn on_no_relay(&mut self, now: MediaTime) {
        let sought = matches!(self.state, IceState::Checking | IceState::Failed);
        if self.had_way && sought && self.due.is_none() {
            self.seen_by_both(self.config.relay, now);
        }
    }

    /// Both sides agreed on other credentials, whoever wished for it: there is an attempt under way.
    pub fn on_restart(&mut self, now: MediaTime) {
        self.restarted = Some(now);
        self.lost = false;
        self.due = None;
    }

    /// The machine's addresses changed.
    pub fn on_network(&mut self, change: NetworkChange, now: MediaTime) {
        if !self.had_way || self.state == IceState::Closed {
            return;
        }
        self.lost |= change.lost;
        // A way that works is left alone: a restart would interrupt it.
        let unwell = self.state != IceState::Connected || !self.is_answered(now);
        if change.usable && (self.lost || change.gained && unwell) {
            let earliest = self.restarted.map(|at| at + self.config.least_pause);
            let settled = now + self.config.settle;
            self.due = Some(earliest.map_or(settled, |earliest| earliest.max(settled)));
            // Another network, another chance.
            self.down_since = Some(now);
            self.pauses = 0;
        }
    }

    /// Whether checks on the way in use are answered. True before there was a way.
    pub fn is_answered(&self, now: MediaTime) -> bool {
        !self.had_way || self.answered_within(self.config.unanswered, now)
    }

    /// Whether the other side consents to be sent to. True before there was a way.
    pub fn may_send(&self, now: MediaTime) -> bool {
        !self.had_way || self.answered_within(self.config.consent, now)
    }

    /// Whether ICE is to be restarted now.
    pub fn poll(&mut self, now: MediaTime) -> bool {
        if self.due.is_none() && self.consent_ends().is_some_and(|at| at <= now) {
            self.down_since.get_or_insert(now);
            self.seen_by_both(Duration::ZERO, now);
        }
        let due = self.due.is_some_and(|at| at <= now);
        if due {
            self.due = None;
            self.lost = false;
            self.restarted = Some(now);
        }
        due
    }

    /// A restart cannot be asked for now: an offer is open, which may be one.
    pub fn postpone(&mut self, now: MediaTime) {
        self.due = Some(now + self.config.least_pause);
    }

    /// When to [`poll`](Self::poll) again; `None` if nothing is due unless something happens.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        self.due.or_else(|| self.consent_ends())
    }

    /// When consent ends on a way that the agent still holds for one, unless a restart followed.
    fn consent_ends(&self) -> Option<MediaTime> {
        let holds = matches!(self.state, IceState::Connected | IceState::Disconnected);
        let ends = self.answered? + self.config.consent;
        let acted = self.restarted.is_some_and(|at| at >= ends);
        (self.had_way && holds && !acted).then_some(ends)
    }

    fn answered_within(&self, limit: Duration, now: MediaTime) -> bool {
        let since = self.answered.map(|at| now.saturating_since(at));
        since.is_some_and(|since| since < limit)
    }

    /// A restart is due, which the other side may want as well.
    fn seen_by_both(&mut self, wait: Duration, now: MediaTime) {
        let down = self
            .down_since
            .map_or(Duration::ZERO, |since| now.saturating_since(since));
        if down >= self.config.give_up_after {
            return;
        }
        let pause = if down < self.config.eager_for {
            Duration::ZERO
        } else {
            let doublings = self.pauses.min(16);
            self.pauses = self.pauses.saturating_add(1);
            let pause = self.config.first_pause.saturating_mul(1 << doublings);
            pause.min(self.config.max_pause)
        };
        let handicap = if self.first {
            Duration::ZERO
        } else {
            self.config.handicap
        };
        let due = now + wait.max(pause) + handicap;
        let earliest = self.restarted.map(|at| at + self.config.least_pause);
        self.due = Some(earliest.map_or(due, |earliest| earliest.max(due)));
    }
}

#[cfg(test)]
mod tests;
