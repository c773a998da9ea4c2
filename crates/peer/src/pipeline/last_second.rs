//! How many came within the last second: what `framesPerSecond` says.

use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The times of the last second. Capacity: [`CAPACITY`](Self::CAPACITY); the oldest is forgotten.
#[derive(Debug, Default)]
pub(super) struct LastSecond(VecDeque<MediaTime>);

impl LastSecond {
    const CAPACITY: usize = 256;

    /// One came.
    pub(super) fn note(&mut self, time: MediaTime) {
        while self.0.len() == Self::CAPACITY || self.0.front().is_some_and(|at| is_old(*at, time)) {
            self.0.pop_front();
        }
        self.0.push_back(time);
    }

    /// How many came in the second before `now`.
    pub(super) fn count(&self, now: MediaTime) -> usize {
        let recent = self.0.iter().rev();
        recent.take_while(|at| !is_old(**at, now)).count()
    }
}

fn is_old(at: MediaTime, now: MediaTime) -> bool {
    now.saturating_since(at) >= SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_a_second_and_no_more() {
        let mut last = LastSecond::default();
        let at = MediaTime::from_millis;
        (0..100).for_each(|n| last.note(at(n * 40)));
        assert_eq!(last.count(at(3_960)), 25);
        assert_eq!(last.count(at(4_460)), 13);
        assert_eq!(last.count(at(10_000)), 0);
        (0..10_000).for_each(|_| last.note(at(10_000)));
        assert_eq!(last.count(at(10_000)), LastSecond::CAPACITY);
    }
}
