//! How much longer pictures must wait so that lost packets have time to come again.
//!
//! It knows nothing of jitter: what it is told of are frames that were late because of a loss.

use std::collections::VecDeque;
use std::time::Duration;

use duet_media::MediaTime;

/// The losses of the last while.
///
/// To wait for a retransmission costs every picture a round trip. It is worth that where losses come
/// so often that one picture in ten is late anyway; where they are rarer the picture stumbles
/// once, and all others stay early. Once losses stay away for a few times their usual distance, at
/// least a second, nothing is waited for any more. Those count for that, too, that repair packets
/// made up for in time: where they do so for most, late frames are far between, and would be
/// waited for long after the last loss.
#[derive(Clone, Debug, Default)]
pub(super) struct RecoveryDelay {
    /// When a frame with a packet that came again could be decoded, and how much later than it would
    /// have been without the loss. At most [`CAPACITY`]; the oldest is forgotten.
    losses: VecDeque<(MediaTime, i64)>,
    /// When frames with such a packet could be decoded, be it in time. Bounded likewise.
    all: VecDeque<MediaTime>,
    round_trip: Duration,
}

const CAPACITY: usize = 16;
/// Fewer say nothing about what follows.
const ENOUGH: usize = 3;
/// What was longer ago says nothing about now.
const MEMORY: Duration = Duration::from_secs(8);
/// The share of pictures that may be late: one in so many.
const ONE_IN: i64 = 10;
/// Losses are over when none came for so many times their usual distance…
const SILENCE: u32 = 5;
/// … but not before so long, nor is it waited for longer.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(4);
/// Less is not worth a word: neighbours that changed places (nanoseconds).
const NOTHING: i64 = 8_000_000;
/// A request leaves a little after the next packet has come, and its answer takes its time
/// (nanoseconds).
const MARGIN: i64 = 10_000_000;

impl RecoveryDelay {
    /// How long a retransmission takes.
    pub(super) fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    /// A frame lacked a packet, and for that could be decoded at `at` only, `late` nanoseconds after
    /// its time.
    pub(super) fn note(&mut self, at: MediaTime, late: i64) {
        if self.all.len() == CAPACITY {
            self.all.pop_front();
        }
        self.all.push_back(at);
        if late < NOTHING {
            return;
        }
        if self.losses.len() == CAPACITY {
            self.losses.pop_front();
        }
        self.losses.push_back((at, late));
    }

    /// By how much frames are to wait longer at `now`, in nanoseconds, if one is captured every
    /// `interval` nanoseconds.
    pub(super) fn wanted(&mut self, now: MediaTime, interval: i64) -> i64 {
        while let Some((at, _)) = self.losses.front()
            && now.saturating_since(*at) > MEMORY
        {
            self.losses.pop_front();
        }
        while (self.all.front()).is_some_and(|at| now.saturating_since(*at) > MEMORY) {
            self.all.pop_front();
        }
        let (Some((first, _)), Some((last, _))) = (self.losses.front(), self.losses.back()) else {
            return 0;
        };
        if self.losses.len() < ENOUGH {
            return 0;
        }
        let apart = last.saturating_since(*first) / (self.losses.len() - 1) as u32;
        let late_ones_ended = now.saturating_since(*last) > silence(apart);
        if late_ones_ended || self.ended(now) {
            return 0;
        }
        let mut late: Vec<i64> = self.losses.iter().map(|(_, late)| *late).collect();
        late.sort_unstable();
        // What was lost twice is not waited for.
        let round_trip = i64::try_from(self.round_trip.as_nanos()).unwrap_or(i64::MAX);
        let once = round_trip.saturating_add(interval).saturating_add(MARGIN);
        let usual = late[late.len() / 2].min(once);
        let apart = i64::try_from(apart.as_nanos()).unwrap_or(i64::MAX);
        if apart > usual.saturating_mul(ONE_IN) {
            return 0;
        }
        usual
    }

    /// Whether so many frames were whole for so long that nothing is lost any more.
    fn ended(&self, now: MediaTime) -> bool {
        let (Some(first), Some(last)) = (self.all.front(), self.all.back()) else {
            return true;
        };
        let intervals = self.all.len().saturating_sub(1).max(1) as u32;
        let apart = last.saturating_since(*first) / intervals;
        now.saturating_since(*last) > silence(apart)
    }
}

/// Losses so far apart are over when none came for so long.
fn silence(apart: Duration) -> Duration {
    (apart * SILENCE).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;
    const FRAME: i64 = 33 * MS;

    fn lossy(every: i64, late: i64, until: i64) -> RecoveryDelay {
        let mut delay = RecoveryDelay::default();
        delay.set_round_trip(Duration::from_millis(100));
        for at in (0..until).step_by(every as usize) {
            delay.note(MediaTime::from_millis(at), late * MS);
        }
        delay
    }

    #[test]
    fn frequent_losses_are_waited_for_and_rare_ones_are_not() {
        let now = MediaTime::from_millis(10_000);
        assert_eq!(lossy(200, 110, 10_000).wanted(now, FRAME), 110 * MS);
        assert_eq!(lossy(3_000, 110, 10_000).wanted(now, FRAME), 0);
        assert_eq!(lossy(200, 3, 10_000).wanted(now, FRAME), 0);
    }

    #[test]
    fn a_loss_of_the_retransmission_too_is_not_waited_for() {
        let now = MediaTime::from_millis(10_000);
        assert_eq!(lossy(50, 400, 10_000).wanted(now, FRAME), 143 * MS);
    }

    #[test]
    fn soon_after_the_last_loss_it_is_over() {
        let mut delay = lossy(50, 110, 5_000);
        let at = |millis| MediaTime::from_millis(millis);
        assert!(delay.wanted(at(5_900), FRAME) > 0);
        assert_eq!(delay.wanted(at(6_000), FRAME), 0);
        // Where losses are further apart, a pause says less.
        let mut delay = lossy(600, 110, 5_000);
        assert!(delay.wanted(at(7_500), FRAME) > 0);
        assert_eq!(delay.wanted(at(9_000), FRAME), 0);
    }

    #[test]
    fn what_was_made_up_for_in_time_tells_of_the_end() {
        let mut delay = RecoveryDelay::default();
        delay.set_round_trip(Duration::from_millis(100));
        let at = |millis| MediaTime::from_millis(millis);
        // Of ten lost, nine are there in time.
        for lost in 0..50 {
            let late = if lost % 10 == 0 { 110 } else { 0 };
            delay.note(at(100 * lost), late * MS);
        }
        assert_eq!(delay.wanted(at(4_900), FRAME), 110 * MS);
        assert!(delay.wanted(at(5_800), FRAME) > 0);
        assert_eq!(delay.wanted(at(6_000), FRAME), 0);
    }
}
