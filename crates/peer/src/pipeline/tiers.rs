//! Which viewers of a track share an encoder, by what their paths carry.
//!
//! An encoder serves its poorest viewer, so one on a bad path would spoil the picture for all. A
//! viewer that falls below half of the best one's rate therefore goes to a lower tier with an
//! encoder of its own, below a quarter to the next, and so on; it comes back once it has done better
//! for a while. Not a rate controller: the rates are given.

use duet_media::MediaTime;
use std::time::Duration;

/// Encoders of one (track, settings) at most; who falls below the last shares it.
pub(super) const TIERS: usize = 3;

/// How long a viewer must do better before it moves up: a move costs a key frame.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What one viewer's rate must exceed the bound of the tier above by, to move up.
const MARGIN: f64 = 1.25;

/// Where one viewer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    /// 0 is the best.
    pub(super) tier: usize,
    better_since: Option<MediaTime>,
}

impl Placement {
    /// Where a viewer begins that gets `rate` where the best of all gets `best`.
    pub(super) fn new(rate: u32, best: u32) -> Self {
        Placement {
            tier: tier_of(f64::from(rate), best),
            better_since: None,
        }
    }

    /// Looks again. A fall is followed at once, a rise when it lasts.
    #[must_use]
    pub(super) fn review(self, rate: u32, best: u32, now: MediaTime) -> Self {
        let bound = tier_of(f64::from(rate), best);
        let (tier, better_since) = if bound >= self.tier {
            (bound, None)
        } else {
            let safe = tier_of(f64::from(rate) / MARGIN, best);
            match self.better_since {
                _ if safe >= self.tier => (self.tier, None),
                Some(since) if now.saturating_since(since) >= PATIENCE => (safe, None),
                since => (self.tier, since.or(Some(now))),
            }
        };
        Placement { tier, better_since }
    }
}

fn tier_of(rate: f64, best: u32) -> usize {
    let mut bound = f64::from(best) / 2.0;
    let mut tier = 0;
    while tier + 1 < TIERS && rate < bound {
        bound /= 2.0;
        tier += 1;
    }
    tier
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> MediaTime {
        MediaTime::from_millis(secs * 1_000)
    }

    #[test]
    fn similar_rates_share() {
        assert_eq!(Placement::new(2_000_000, 2_000_000).tier, 0);
        assert_eq!(Placement::new(1_000_000, 2_000_000).tier, 0);
        assert_eq!(Placement::new(999_999, 2_000_000).tier, 1);
        assert_eq!(Placement::new(499_999, 2_000_000).tier, 2);
        assert_eq!(Placement::new(1, 2_000_000).tier, TIERS - 1);
    }

    #[test]
    fn a_fall_is_followed_at_once_and_a_rise_when_it_lasts() {
        let fallen = Placement::new(2_000_000, 2_000_000).review(300_000, 2_000_000, at(0));
        assert_eq!(fallen.tier, 2);
        let hopeful = fallen.review(1_600_000, 2_000_000, at(1));
        assert_eq!(hopeful.tier, 2);
        assert_eq!(hopeful.review(1_600_000, 2_000_000, at(3)).tier, 2);
        assert_eq!(hopeful.review(1_600_000, 2_000_000, at(4)).tier, 0);
    }

    #[test]
    fn a_rise_that_breaks_off_begins_anew() {
        let low = Placement::new(900_000, 2_000_000).review(1_600_000, 2_000_000, at(0));
        let low = low.review(900_000, 2_000_000, at(2));
        let low = low.review(1_600_000, 2_000_000, at(4));
        assert_eq!(low.tier, 1);
    }

    #[test]
    fn at_the_border_nobody_moves_to_and_fro() {
        let mut viewer = Placement::new(990_000, 2_000_000);
        for second in 0..60 {
            viewer = viewer.review(
                if second % 2 == 0 { 1_010_000 } else { 990_000 },
                2_000_000,
                at(second),
            );
            assert_eq!(viewer.tier, 1);
        }
    }
}
