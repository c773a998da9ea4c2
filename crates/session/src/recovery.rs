//! What to do when a call's signaling breaks, or its connection: wait, join again, begin anew, or give up.
//!
//! A connection that had a way looks for another by itself ([`PathRecovery`](crate::PathRecovery)). Here
//! is only seen to one that never had any, and to what nobody could hear of while signaling was away.
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
/// that still flows is left alone when only signaling is down. Pauses double from attempt to attempt
/// and vary with the seed, so that the two ends, and the callers of a server that came back, do not
/// act in step.
#[derive(Clone, Debug)]
pub struct ConnectionWatch {
    config: RecoveryConfig,
    rng: Rng,
    state: ConnectionState,
    was_connected: bool,
    /// Since when there has been no connection that was there, or was being made.
    down_since: Option<MediaTime>,
    signaling_up: bool,
    restart: Attempts,
    rejoin: Attempts,
    given_up: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    made: u32,
    next: Option<MediaTime>,
}

impl ConnectionWatch {
    /// A watch over a connection that is still to be made, with signaling up.
    pub fn new(config: RecoveryConfig, seed: u64) -> Self {
        ConnectionWatch {
            config,
            rng: Rng::new(seed),
            state: ConnectionState::New,
            was_connected: false,
            down_since: None,
            signaling_up: true,
            restart: Attempts::default(),
            rejoin: Attempts::default(),
            given_up: false,
        }
    }

    /// The peer connection's state is now `state`.
    pub fn on_connection_state(&mut self, state: ConnectionState, now: MediaTime) {
        let before = std::mem::replace(&mut self.state, state);
        if before == state {
            return;
        }
        match state {
            ConnectionState::New => {}
            ConnectionState::Connected | ConnectionState::Closed => {
                self.down_since = None;
                self.restart = Attempts::default();
                self.given_up = false;
                self.was_connected |= state == ConnectionState::Connected;
            }
            ConnectionState::Connecting
            | ConnectionState::Disconnected
            | ConnectionState::Failed
                if self.was_connected =>
            {
                self.down_since.get_or_insert(now);
            }
            ConnectionState::Connecting | ConnectionState::Disconnected => {
                self.down_since.get_or_insert(now);
                let timeout = now + self.config.connect_timeout;
                self.restart.next.get_or_insert(timeout);
            }
            ConnectionState::Failed => {
                self.down_since.get_or_insert(now);
                let due = now + self.backoff(self.restart.made);
                self.restart.next = Some(self.restart.next.map_or(due, |next| next.min(due)));
            }
        }
    }

    /// Signaling was lost (or an attempt to rejoin failed), or is back with the room joined again.
    pub fn on_signaling(&mut self, up: bool, now: MediaTime) {
        let was_up = std::mem::replace(&mut self.signaling_up, up);
        if !up {
            let wait = self.backoff(self.rejoin.made);
            self.rejoin.next.get_or_insert(now + wait);
            return;
        }
        self.rejoin = Attempts::default();
        let broken = matches!(
            self.state,
            ConnectionState::Disconnected | ConnectionState::Failed
        );
        if !was_up && broken {
            // What was tried while nobody could hear of it does not count.
            self.restart = Attempts {
                made: 0,
                next: Some(now),
            };
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
        let due = |attempts: &Attempts| attempts.next.is_some_and(|at| at <= now);
        if !self.signaling_up {
            return due(&self.rejoin).then(|| {
                // The next is due when this one is said to have failed.
                self.rejoin.next = None;
                self.rejoin.made = self.rejoin.made.saturating_add(1);
                RecoveryAction::Rejoin
            });
        }
        due(&self.restart).then(|| {
            self.restart.made = self.restart.made.saturating_add(1);
            let again = now + self.config.connect_timeout.max(Duration::from_millis(1));
            self.restart.next = (!self.was_connected).then_some(again);
            RecoveryAction::RestartIce
        })
    }

    /// When to [`poll`](Self::poll) again; `None` if nothing is due unless something happens.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        if self.given_up || self.state == ConnectionState::Closed {
            return None;
        }
        let attempts = if self.signaling_up {
            self.restart
        } else {
            self.rejoin
        };
        [attempts.next, self.give_up_at()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether media flows.
    pub fn is_connected(&self) -> bool {
        self.state == ConnectionState::Connected
    }

    /// Since when there has been no connection; `None` while there is one, or before the first attempt.
    pub fn down_since(&self) -> Option<MediaTime> {
        self.down_since
    }

    fn give_up_at(&self) -> Option<MediaTime> {
        Some(self.down_since? + self.config.give_up_after)
    }

    /// None before the first attempt but a little spread; then doubled from one to the next.
    fn backoff(&mut self, made: u32) -> Duration {
        let longest = match made.checked_sub(1) {
            None => return self.config.first_backoff.mul_f64(self.rng.unit() / 4.0),
            Some(doublings) => self
                .config
                .first_backoff
                .saturating_mul(1 << doublings.min(16)),
        };
        self.spread(longest.min(self.config.max_backoff))
    }

    /// Between three quarters of `wait` and all of it.
    fn spread(&mut self, wait: Duration) -> Duration {
        wait.mul_f64(0.75 + self.rng.unit() / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionState::{Closed, Connected, Connecting, Disconnected, Failed, New};
    use RecoveryAction::{GiveUp, Rejoin, RestartIce};
    use proptest::prelude::*;

    fn at(millis: i64) -> MediaTime {
        MediaTime::from_millis(millis)
    }

    fn connecting(seed: u64) -> ConnectionWatch {
        let mut watch = ConnectionWatch::new(RecoveryConfig::default(), seed);
        watch.on_connection_state(Connecting, at(0));
        watch
    }

    fn connected(seed: u64) -> ConnectionWatch {
        let mut watch = connecting(seed);
        watch.on_connection_state(Connected, at(100));
        assert_eq!(watch.next_timeout(), None);
        watch
    }

    /// What the watch asks for until `end` if nothing else happens, with the times in milliseconds.
    fn until(watch: &mut ConnectionWatch, end: i64) -> Vec<(i64, RecoveryAction)> {
        let mut actions = Vec::new();
        while let Some(now) = watch.next_timeout().filter(|now| *now <= at(end)) {
            let before = actions.len();
            while let Some(action) = watch.poll(now) {
                actions.push((now.as_millis(), action));
                if action == Rejoin {
                    watch.on_signaling(false, now);
                }
            }
            assert!(actions.len() > before, "woken for nothing at {now:?}");
        }
        actions
    }

    #[test]
    fn a_lost_connection_is_left_to_itself_and_at_last_given_up() {
        let mut watch = connected(1);
        watch.on_connection_state(Disconnected, at(1_000));
        assert_eq!(until(&mut watch, 2_400), []);
        watch.on_connection_state(Connected, at(2_400));
        assert_eq!(until(&mut watch, 100_000), []);
        watch.on_connection_state(Disconnected, at(101_000));
        watch.on_connection_state(Failed, at(128_000));
        watch.on_connection_state(Connecting, at(128_200));
        assert_eq!(until(&mut watch, 300_000), [(191_000, GiveUp)]);
        assert_eq!(watch.next_timeout(), None);
    }

    #[test]
    fn failures_of_a_first_attempt_are_answered_at_once_then_ever_more_slowly() {
        let mut watch = connecting(3);
        let mut times = Vec::new();
        let mut now = at(1_000);
        for _ in 0..6 {
            watch.on_connection_state(Connecting, now);
            watch.on_connection_state(Failed, now);
            now = watch.next_timeout().unwrap();
            assert_eq!(watch.poll(now), Some(RestartIce));
            times.push(now.as_millis());
        }
        let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(times[0] < 1_130, "{times:?}");
        for (n, pause) in pauses.iter().enumerate() {
            let longest = 500 << n;
            assert!(
                (longest * 3 / 4 - 1..=longest).contains(pause),
                "{pauses:?}"
            );
        }
    }

    #[test]
    fn media_outlives_signaling() {
        let mut watch = connected(4);
        watch.on_signaling(false, at(1_000));
        let actions = until(&mut watch, 300_000);
        assert!(
            actions.iter().all(|(_, action)| *action == Rejoin),
            "{actions:?}"
        );
        // The first soon; then doubled up to ten seconds.
        assert!(actions[0].0 < 1_130);
        assert!((30..50).contains(&actions.len()), "{}", actions.len());
        watch.on_signaling(true, at(300_000));
        assert_eq!(until(&mut watch, 400_000), []);
    }

    #[test]
    fn ice_is_restarted_when_signaling_is_back() {
        let mut watch = connected(5);
        watch.on_signaling(false, at(1_000));
        watch.on_connection_state(Disconnected, at(1_500));
        watch.on_connection_state(Failed, at(8_000));
        let actions = until(&mut watch, 20_000);
        assert!(
            actions.iter().all(|(_, action)| *action == Rejoin),
            "{actions:?}"
        );
        watch.on_signaling(true, at(20_000));
        assert_eq!(watch.poll(at(20_000)), Some(RestartIce));
        watch.on_connection_state(Connecting, at(20_010));
        watch.on_connection_state(Connected, at(20_200));
        assert_eq!(watch.next_timeout(), None);
    }

    #[test]
    fn an_attempt_that_nobody_heard_of_is_made_again() {
        let mut watch = connected(7);
        watch.on_connection_state(Failed, at(1_000));
        assert_eq!(until(&mut watch, 1_200), []);
        watch.on_signaling(false, at(1_300));
        watch.on_signaling(true, at(2_000));
        assert_eq!(watch.poll(at(2_000)), Some(RestartIce));
        assert_eq!(watch.poll(at(2_000)), None);
        // Told again what it knows, it does nothing again.
        watch.on_signaling(true, at(2_100));
        assert_eq!(watch.poll(at(2_100)), None);
    }

    #[test]
    fn a_first_attempt_that_hangs_is_begun_anew() {
        let mut watch = ConnectionWatch::new(RecoveryConfig::default(), 6);
        watch.on_connection_state(New, at(0));
        assert_eq!(watch.next_timeout(), None);
        watch.on_connection_state(Connecting, at(500));
        assert_eq!(until(&mut watch, 11_000), [(10_500, RestartIce)]);
        watch.on_connection_state(Closed, at(12_000));
        assert_eq!(until(&mut watch, 1_000_000), []);
    }

    proptest! {
        #[test]
        fn it_never_spins_and_never_asks_for_much(
            seed in any::<u64>(),
            events in prop::collection::vec((0i64..5_000, 0u8..8), 0..100),
        ) {
            let mut watch = ConnectionWatch::new(RecoveryConfig::default(), seed);
            let mut now = 0;
            for (wait, event) in &events {
                let actions = until(&mut watch, now + wait);
                prop_assert!(actions.len() <= 40);
                now += wait;
                match event {
                    0 => watch.on_connection_state(New, at(now)),
                    1 => watch.on_connection_state(Connecting, at(now)),
                    2 => watch.on_connection_state(Connected, at(now)),
                    3 => watch.on_connection_state(Disconnected, at(now)),
                    4 => watch.on_connection_state(Failed, at(now)),
                    5 => watch.on_connection_state(Closed, at(now)),
                    _ => watch.on_signaling(event % 2 == 0, at(now)),
                }
            }
        }
    }
}
