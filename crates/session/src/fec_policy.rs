//! When forward error correction pays, and how much of it.
//!
//! What is lost can be asked for again. That costs no more than what is lost, but it takes a round trip, and
//! where much is lost the request or the answer is lost, too. Repair packets take no time, but they are sent
//! whatever is lost. So pictures are protected where something is lost and asking takes long, and
//! by as many repair packets as it takes that hardly any picture must ask: more for a key frame, for which
//! everything after it waits.
//!
//! Not the code ([`flexfec`](crate::flexfec)), nor the budget: who sends takes what repair packets cost from the
//! picture's bits.

use crate::flexfec::Code;
use duet_media::MediaTime;
use std::time::Duration;

/// What is known of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FecPath {
    /// Share of packets lost of late, 0.0 to 1.0.
    pub loss: f64,
    /// `None` before it is known.
    pub round_trip: Option<Duration>,
}

/// Decides for one path. Losses come in bursts, so they are believed soon and forgotten slowly.
#[derive(Clone, Debug, Default)]
pub struct FecPolicy {
    /// Share of packets lost, as it is remembered.
    loss: f64,
    updated: Option<MediaTime>,
    /// The shortest round trip of late, and when it was.
    shortest: Option<(Duration, MediaTime)>,
    /// Since when the way is known.
    known: Option<MediaTime>,
    /// Since when something has been lost all the time.
    losing: Option<MediaTime>,
    on: bool,
}

impl FecPolicy {
    /// Protection begins where a loss of this share…
    const BEGINS: (f64, Duration) = (0.01, Duration::from_millis(150));
    /// … costs so long a wait, and ends below these.
    const ENDS: (f64, Duration) = (0.004, Duration::from_millis(120));
    /// What is lost in the first moments is what the way is too narrow for.
    const FINDS_ITS_RATE: Duration = Duration::from_secs(3);
    /// It begins after so long, for what is lost when a way changes tells nothing of what will be; or at once
    /// where more than this is lost.
    const PERSISTS: (Duration, f64) = (Duration::from_millis(1_500), 0.15);
    /// How long it takes to believe that more is lost, and that less is.
    const MEMORY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
    /// A round trip is the way's if it was not shorter for so long: what it takes more is a queue, for which fewer
    /// packets are the remedy, not more.
    const SHORTEST_OF: Duration = Duration::from_secs(10);
    /// Of pictures, so many may have to ask; of key frames.
    const RESIDUAL: (f64, f64) = (0.01, 0.001);
    /// Repair packets for a packet, at most, by the share lost: this many times it…
    const PER_LOSS: f64 = 8.0;
    /// … within these bounds.
    const MOST: (f64, f64) = (0.2, 1.5);

    /// A policy that protects nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what is known at `now`.
    pub fn update(&mut self, path: FecPath, now: MediaTime) {
        let reported = if path.loss.is_nan() {
            0.0
        } else {
            path.loss.clamp(0.0, 1.0)
        };
        let since = self
            .updated
            .replace(now)
            .map_or(Duration::ZERO, |before| now.saturating_since(before));
        let (rise, fall) = Self::MEMORY;
        let memory = if reported > self.loss { rise } else { fall };
        let believed = 1.0 - (-since.as_secs_f64() / memory.as_secs_f64()).exp();
        self.loss += (reported - self.loss) * believed;
        let (loss, wait) = if self.on { Self::ENDS } else { Self::BEGINS };
        if let Some(round_trip) = path.round_trip {
            self.known = self.known.or(Some(now));
            let holds = self.shortest.filter(|(shortest, at)| {
                *shortest < round_trip && now.saturating_since(*at) < Self::SHORTEST_OF
            });
            self.shortest = holds.or(Some((round_trip, now)));
        }
        let asking = path.round_trip.and(self.shortest);
        let asking = asking.map(|(round_trip, _)| self.wait(round_trip));
        let (persists, much) = Self::PERSISTS;
        self.losing = match reported >= Self::BEGINS.0 {
            true => self.losing.or(Some(now)),
            false => None,
        };
        let losing = self.losing.map(|since| now.saturating_since(since));
        let persisted = losing.is_some_and(|losing| losing >= persists || reported >= much);
        let settled = self
            .known
            .is_some_and(|since| now.saturating_since(since) >= Self::FINDS_ITS_RATE);
        self.on = (self.on || persisted && settled)
            && self.loss >= loss
            && asking.is_some_and(|asking| asking >= wait);
    }

    /// Whether pictures are protected.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// How many repair packets `packets` of a picture get that are protected together; `key_frame`: what follows
    /// needs all of them.
    pub fn repairs(&self, packets: usize, key_frame: bool) -> usize {
        if !self.on || packets == 0 {
            return 0;
        }
        let (usual, key) = Self::RESIDUAL;
        let residual = if key_frame { key } else { usual };
        let (least, most) = Self::MOST;
        let share = (self.loss * Self::PER_LOSS).clamp(least, most);
        let share = if key_frame { share * 1.5 } else { share };
        let most = ((packets as f64 * share).ceil() as usize).clamp(1, Code::MOST_REPAIRS);
        let enough = |repairs: &usize| self.fails(packets, *repairs) <= residual;
        (1..most).find(enough).unwrap_or(most)
    }

    /// How long it takes on an average until what was lost is there, if it is asked for: request and answer
    /// must both come through.
    fn wait(&self, round_trip: Duration) -> Duration {
        let through = (1.0 - self.loss).max(0.1).powi(2);
        round_trip.div_f64(through)
    }

    /// How likely it is that something of `packets` is lost and that `repairs` do not mend it.
    fn fails(&self, packets: usize, repairs: usize) -> f64 {
        let sent = packets + repairs;
        // Columns that are no repair packet's own, if there are enough of them that all differ.
        let all = (1usize << repairs) as f64;
        let differ = (packets as f64) < all - repairs as f64;
        let hidden = |lost: usize| {
            if packets == 1 || lost > repairs {
                return f64::from(u8::from(lost > repairs));
            }
            // That the next column is a sum of those before it, which are none of one another.
            let free = (0..lost).map(|before| {
                let sums = 2f64.powi(before as i32);
                let (sums, all) = match differ {
                    true => (sums - 1.0 - before as f64, all - 1.0 - before as f64),
                    false => (sums - 1.0, all - 1.0),
                };
                1.0 - sums / all
            });
            1.0 - free.product::<f64>()
        };
        let (mut likely, mut fails) = ((1.0 - self.loss).powi(sent as i32), 0.0);
        let odds = self.loss / (1.0 - self.loss).max(1e-3);
        for lost in 1..=sent {
            likely *= (sent - lost + 1) as f64 / lost as f64 * odds;
            fails += likely * hidden(lost);
        }
        fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAR: Duration = Duration::from_millis(300);
    const NEAR: Duration = Duration::from_millis(100);

    /// Hears of the path twenty times a second, for `seconds` from `from` on.
    fn hold(policy: &mut FecPolicy, from: f64, seconds: f64, loss: f64, round_trip: Duration) {
        for step in 0..(seconds * 20.0) as u32 {
            let at = from + f64::from(step) / 20.0;
            let now = MediaTime::ZERO + Duration::from_secs_f64(at);
            let round_trip = Some(round_trip);
            policy.update(FecPath { loss, round_trip }, now);
        }
    }

    fn held(loss: f64, round_trip: Duration) -> FecPolicy {
        let mut policy = FecPolicy::new();
        hold(&mut policy, 0.0, 5.0, loss, round_trip);
        policy
    }

    #[test]
    fn it_pays_where_asking_again_takes_long() {
        assert!(!held(0.0, FAR).is_on(), "a clean link, however long");
        assert!(!held(0.05, NEAR).is_on(), "asking again is cheap");
        assert!(held(0.05, FAR).is_on());
        assert!(held(0.4, NEAR).is_on(), "answers are lost, too");
        assert!(!held(0.4, Duration::from_millis(20)).is_on());
        let mut unknown = FecPolicy::new();
        let loss = 0.4;
        let path = FecPath {
            loss,
            round_trip: None,
        };
        unknown.update(path, MediaTime::ZERO);
        assert!(!unknown.is_on());
        assert_eq!(held(0.0, FAR).repairs(10, true), 0);
    }

    #[test]
    fn a_queue_is_no_long_way() {
        let mut policy = FecPolicy::new();
        hold(&mut policy, 0.0, 1.0, 0.0, NEAR);
        hold(&mut policy, 1.0, 8.0, 0.05, FAR);
        assert!(!policy.is_on(), "it was short a moment ago");
        hold(&mut policy, 9.0, 5.0, 0.05, FAR);
        assert!(policy.is_on(), "it has become long");
    }

    #[test]
    fn more_loss_gets_more_and_key_frames_most() {
        let repairs = |loss, key_frame| held(loss, FAR).repairs(11, key_frame);
        assert_eq!(repairs(0.02, false), 3);
        assert_eq!(repairs(0.05, false), 4);
        assert!(repairs(0.05, true) > 4);
        assert!(repairs(0.2, false) > 6);
        assert_eq!(held(0.05, FAR).repairs(1, false), 1);
        assert!(held(0.4, FAR).repairs(2, false) >= 3);
    }

    #[test]
    fn a_burst_is_believed_soon_and_remembered_for_seconds() {
        let mut policy = held(0.0, FAR);
        hold(&mut policy, 5.0, 0.5, 0.3, FAR);
        assert!(policy.is_on());
        let during = policy.repairs(10, false);
        hold(&mut policy, 5.5, 2.0, 0.0, FAR);
        assert!(policy.is_on());
        assert!((1..during).contains(&policy.repairs(10, false)));
        hold(&mut policy, 7.5, 10.0, 0.0, FAR);
        assert!(!policy.is_on());
    }

    #[test]
    fn what_is_lost_once_is_no_reason() {
        let mut policy = held(0.0, FAR);
        hold(&mut policy, 5.0, 1.0, 0.1, FAR);
        hold(&mut policy, 6.0, 1.0, 0.0, FAR);
        assert!(!policy.is_on());
        hold(&mut policy, 7.0, 1.0, 0.05, FAR);
        assert!(!policy.is_on());
        hold(&mut policy, 8.0, 1.0, 0.05, FAR);
        assert!(policy.is_on());
    }

    #[test]
    fn it_does_not_flap_about_its_bounds() {
        let mut policy = held(0.05, Duration::from_millis(140));
        let mut changes = 0;
        for turn in 0..100u32 {
            let was = policy.is_on();
            let round_trip = Duration::from_millis(130 + u64::from(turn % 2) * 10);
            hold(&mut policy, 5.0 + f64::from(turn), 1.0, 0.05, round_trip);
            changes += u32::from(policy.is_on() != was);
        }
        assert!(changes <= 1, "{changes}");
    }

    proptest! {
        #[test]
        fn whatever_is_told_it_stays_in_its_bounds(
            told in prop::collection::vec((any::<f64>(), prop::option::of(any::<u32>()), any::<u32>()), 1..50),
            packets in 0usize..60, key_frame in any::<bool>(),
        ) {
            let mut policy = FecPolicy::new();
            for (loss, round_trip, at) in told {
                let round_trip = round_trip.map(|us| Duration::from_micros(u64::from(us)));
                let now = MediaTime::ZERO + Duration::from_millis(u64::from(at));
                policy.update(FecPath { loss, round_trip }, now);
                let repairs = policy.repairs(packets, key_frame);
                prop_assert!(repairs <= Code::MOST_REPAIRS);
                prop_assert!(repairs > 0 || !policy.is_on() || packets == 0);
            }
        }
    }
}
