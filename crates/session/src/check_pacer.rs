//! How often a pair of addresses is checked, the longer nobody answers.
//!
//! Not the checks themselves, nor which pair is checked: the ICE agent makes one at every turn, which
//! finds a short path in milliseconds. Here is decided which of them leave, so that a way which is not
//! there for a minute costs a few packets a second and not hundreds
//! ([RFC 8445, section 14.3](https://www.rfc-editor.org/rfc/rfc8445#section-14.3)).

use duet_media::MediaTime;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// The pause between two checks is this part of the time since the first.
const SHARE: u32 = 20;
/// The longest pause: a way that is back is found this much later.
const LONGEST: Duration = Duration::from_millis(200);
/// Destinations that are kept apart. With more, all of them begin anew.
const MAX_DESTINATIONS: usize = 256;

/// Paces the checks to each of many destinations. What was heard of is checked without a pause again.
///
/// ```
/// use duet_media::MediaTime;
/// use duet_session::CheckPacer;
/// let mut pacer = CheckPacer::default();
/// let every_5_ms = (0..12_000).map(|n| MediaTime::from_millis(n * 5));
/// let left = every_5_ms.filter(|now| pacer.allow("there", *now)).count();
/// assert!((300..450).contains(&left), "{left} of 12,000 in a minute");
/// ```
#[derive(Clone, Debug)]
pub struct CheckPacer<K> {
    series: HashMap<K, Series>,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    first: MediaTime,
    last: MediaTime,
}

impl<K> Default for CheckPacer<K> {
    fn default() -> Self {
        CheckPacer {
            series: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> CheckPacer<K> {
    /// Whether a check to `destination` leaves now.
    pub fn allow(&mut self, destination: K, now: MediaTime) -> bool {
        let Some(series) = self.series.get_mut(&destination) else {
            if self.series.len() == MAX_DESTINATIONS {
                self.series.clear();
            }
            let series = Series {
                first: now,
                last: now,
            };
            self.series.insert(destination, series);
            return true;
        };
        let pause = (now.saturating_since(series.first) / SHARE).min(LONGEST);
        let due = now.saturating_since(series.last) >= pause;
        if due {
            series.last = now;
        }
        due
    }

    /// Something came from there.
    pub fn heard(&mut self, destination: &K) {
        self.series.remove(destination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(pacer: &mut CheckPacer<u8>, to: u8, from: i64, until: i64) -> Vec<i64> {
        let turns = (from..until).step_by(5);
        turns
            .filter(|at| pacer.allow(to, MediaTime::from_millis(*at)))
            .collect()
    }

    #[test]
    fn a_path_that_answers_soon_is_checked_at_every_turn() {
        let mut pacer = CheckPacer::default();
        assert_eq!(allowed(&mut pacer, 1, 0, 100).len(), 20);
    }

    #[test]
    fn silence_slows_down_and_never_stops() {
        let mut pacer = CheckPacer::default();
        let times = allowed(&mut pacer, 1, 0, 60_000);
        let pauses = times.windows(2).map(|pair| pair[1] - pair[0]);
        assert_eq!(pauses.clone().max(), Some(200));
        assert!(pauses.clone().is_sorted_by(|a, b| b - a >= -5));
        let last_second = times.iter().filter(|at| **at >= 59_000).count();
        assert_eq!(last_second, 5);
    }

    #[test]
    fn who_is_heard_is_checked_at_every_turn_again() {
        let mut pacer = CheckPacer::default();
        allowed(&mut pacer, 1, 0, 30_000);
        allowed(&mut pacer, 2, 0, 30_000);
        pacer.heard(&1);
        assert_eq!(allowed(&mut pacer, 1, 30_000, 30_100).len(), 20);
        assert!(allowed(&mut pacer, 2, 30_000, 30_100).len() <= 1);
    }

    #[test]
    fn it_remembers_a_bounded_number_of_destinations() {
        let mut pacer = CheckPacer::default();
        for destination in 0..10_000_u32 {
            assert!(pacer.allow(destination, MediaTime::ZERO));
            assert!(pacer.series.len() <= MAX_DESTINATIONS);
        }
    }
}
