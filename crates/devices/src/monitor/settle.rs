//! One device makes a flurry of events: several nodes, then their permissions. It is told of once.

use std::time::{Duration, Instant};

/// So long without an event, and the flurry is over.
const QUIET: Duration = Duration::from_millis(100);
/// So long after its first event it is told of in any case.
const AT_MOST: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Settle {
    first: Option<Instant>,
    due: Option<Instant>,
}

impl Settle {
    /// Something happened.
    pub(super) fn note(&mut self, now: Instant) {
        let first = *self.first.get_or_insert(now);
        self.due = Some((now + QUIET).min(first + AT_MOST));
    }

    /// How long until the flurry is over; `None` if there is none.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(now))
    }

    /// Whether a flurry is over; true once for each.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        let over = self.due.is_some_and(|due| due <= now);
        if over {
            *self = Settle::default();
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flurry_is_told_of_once_when_it_is_over() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut settle = Settle::default();
        assert_eq!(settle.left(start), None);
        assert!(!settle.is_over(start));
        settle.note(at(0));
        settle.note(at(60));
        assert_eq!(settle.left(at(60)), Some(QUIET));
        assert!(!settle.is_over(at(159)));
        assert!(settle.is_over(at(160)));
        assert!(!settle.is_over(at(1_000)));
    }

    #[test]
    fn one_that_does_not_end_is_told_of_all_the_same() {
        let start = Instant::now();
        let mut settle = Settle::default();
        let told = (0..100u64)
            .map(|n| start + Duration::from_millis(n * 20))
            .filter(|now| {
                settle.note(*now);
                settle.is_over(*now)
            });
        assert_eq!(told.count(), 3);
    }
}
