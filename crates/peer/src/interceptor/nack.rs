//! Which packets are missing, and when to ask for them
//! ([RFC 4585](https://www.rfc-editor.org/rfc/rfc4585#section-6.2.1)).
//!
//! It is fed after retransmissions were unwrapped, so what was recovered is never asked for again.

use duet_session::SequenceUnwrapper;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many are remembered as missing; with more than that only a key frame helps.
const MAX_MISSING: usize = 512;
/// How often one packet is asked for.
const MAX_TRIES: u8 = 8;
/// A gap is not asked for at once: on many paths neighbours change places.
const PATIENCE: Duration = Duration::from_millis(4);
/// Before the round trip is known, and at least.
const MIN_RETRY: Duration = Duration::from_millis(25);

#[derive(Clone, Copy)]
struct Missing {
    next: Instant,
    tries: u8,
}

/// The gaps of one stream.
#[derive(Default)]
pub(crate) struct NackTracker {
    unwrapper: SequenceUnwrapper,
    missing: BTreeMap<i64, Missing>,
}

impl NackTracker {
    /// A packet came, or came back. True if it had been asked for.
    pub(crate) fn on_packet(&mut self, sequence_number: u16, now: Instant) -> bool {
        let before = self.unwrapper.highest();
        let number = self.unwrapper.unwrap(sequence_number);
        let Some(highest) = before else { return false };
        if number <= highest {
            return self.missing.remove(&number).is_some_and(|m| m.tries > 0);
        }
        if number - highest > MAX_MISSING as i64 {
            // A stream that started anew, or a blackout: nothing to be had by asking.
            self.missing.clear();
            return false;
        }
        for gap in highest + 1..number {
            let next = now + PATIENCE;
            self.missing.insert(gap, Missing { next, tries: 0 });
        }
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
        false
    }

    /// Sequence numbers to ask for now. `rtt`: how long an answer takes.
    pub(crate) fn due(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        let retry = rtt.map_or(MIN_RETRY, |rtt| (rtt + rtt / 4).max(MIN_RETRY));
        let mut wanted = Vec::new();
        self.missing.retain(|number, missing| {
            if missing.next <= now {
                if missing.tries == MAX_TRIES {
                    return false;
                }
                missing.tries += 1;
                missing.next = now + retry;
                wanted.push(u16::try_from(number.rem_euclid(1 << 16)).unwrap_or_default());
            }
            true
        });
        wanted
    }

    /// When [`due`](Self::due) is to be asked again; `None` while nothing is missing.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.next).min()
    }

    /// A key frame came: what is older than `sequence_number` is of no use.
    pub(crate) fn forget_before(&mut self, sequence_number: u16) {
        let number = self.unwrapper.peek(sequence_number);
        self.missing = self.missing.split_off(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Option<Duration> = Some(Duration::from_millis(40));

    #[test]
    fn a_gap_is_asked_for_until_it_is_filled() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut tracker = NackTracker::default();
        for number in [65_533u16, 65_534, 1] {
            assert!(!tracker.on_packet(number, start));
        }
        assert!(
            tracker.due(start, RTT).is_empty(),
            "neighbours change places"
        );
        assert_eq!(tracker.due(at(5), RTT), [65_535, 0]);
        assert!(tracker.due(at(10), RTT).is_empty());
        assert!(tracker.on_packet(0, at(30)), "it came back");
        assert_eq!(tracker.due(at(60), RTT), [65_535]);
        assert!(tracker.on_packet(65_535, at(70)));
        assert_eq!(tracker.next_due(), None);
    }

    #[test]
    fn what_never_comes_is_given_up() {
        let start = Instant::now();
        let mut tracker = NackTracker::default();
        tracker.on_packet(1, start);
        tracker.on_packet(3, start);
        let (mut now, mut asked) = (start, 0);
        while let Some(due) = tracker.next_due() {
            now = now.max(due);
            asked += tracker.due(now, RTT).len();
        }
        assert_eq!(asked, usize::from(MAX_TRIES));
    }

    #[test]
    fn a_jump_and_a_key_frame_clear_the_list() {
        let start = Instant::now();
        let mut tracker = NackTracker::default();
        tracker.on_packet(1, start);
        tracker.on_packet(30_000, start);
        assert_eq!(tracker.next_due(), None);
        tracker.on_packet(30_010, start);
        tracker.forget_before(30_005);
        let late = start + Duration::from_millis(10);
        assert_eq!(
            tracker.due(late, RTT),
            [30_005, 30_006, 30_007, 30_008, 30_009]
        );
    }
}
