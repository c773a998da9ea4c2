//! Which viewers of a track share an encoder, by what their paths carry.
//!
//! An encoder serves its poorest viewer, so one on a bad path would spoil the picture for all. A
//! viewer that falls below an encoder's reach, half of the best one's rate or what the lowest of its
//! temporal layers takes, therefore goes to a lower tier with an encoder of its own, below half of that
//! to the next, and so on; it comes back once it has done better for a while. Not a rate controller:
//! the rates are given.

use duet_media::MediaTime;
use std::time::Duration;

/// Encoders of one (track, settings) at most; who falls below the last shares it.
pub(super) const TIERS: usize = 3;

/// How long a viewer must do better before it moves up: a move costs a key frame.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What one viewer's rate must exceed the bound of the tier above by, to move up.
const MARGIN: f64 = 1.25;

/// How far down the first encoder serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Reach {
    /// Of the best viewer's rate.
    share: f64,
    /// How long a viewer must do worse before it moves down.
    patience: Duration,
}

impl Reach {
    /// What the lowest of an encoder's layers takes of its bits; all of them if there is only one.
    pub(super) fn of(layer_shares: &[f64]) -> Self {
        match layer_shares {
            // It gets fewer layers meanwhile, and another encoder costs a key frame.
            [lowest, _, ..] => Reach {
                share: *lowest,
                patience: Duration::from_secs(2),
            },
            _ => Reach {
                share: 0.5,
                patience: Duration::ZERO,
            },
        }
    }
}

/// Where one viewer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Placement {
    /// 0 is the best.
    pub(super) tier: usize,
    better_since: Option<MediaTime>,
    worse_since: Option<MediaTime>,
}

impl Placement {
    /// Where a viewer begins that gets `rate` where the best of all gets `best`.
    pub(super) fn new(rate: u32, best: u32, reach: Reach) -> Self {
        Self::at(tier_of(f64::from(rate), best, reach))
    }

    fn at(tier: usize) -> Self {
        Placement {
            tier,
            better_since: None,
            worse_since: None,
        }
    }

    /// Looks again. A fall is followed when it lasts for as long as the reach says, a rise when it lasts.
    #[must_use]
    pub(super) fn review(self, rate: u32, best: u32, reach: Reach, now: MediaTime) -> Self {
        let bound = tier_of(f64::from(rate), best, reach);
        if bound > self.tier {
            let since = self.worse_since.unwrap_or(now);
            if now.saturating_since(since) >= reach.patience {
                return Self::at(bound);
            }
            return Placement {
                worse_since: Some(since),
                ..Self::at(self.tier)
            };
        }
        let safe = tier_of(f64::from(rate) / MARGIN, best, reach);
        if safe >= self.tier {
            return Self::at(self.tier);
        }
        let since = self.better_since.unwrap_or(now);
        if now.saturating_since(since) >= PATIENCE {
            return Self::at(safe);
        }
        Placement {
            better_since: Some(since),
            ..Self::at(self.tier)
        }
    }
}

fn tier_of(rate: f64, best: u32, reach: Reach) -> usize {
    let mut bound = f64::from(best) * reach.share;
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

    /// Of an encoder without layers.
    const REACH: Reach = Reach {
        share: 0.5,
        patience: Duration::ZERO,
    };

    fn at(secs: i64) -> MediaTime {
        MediaTime::from_millis(secs * 1_000)
    }

    #[test]
    fn layers_reach_farther_and_bear_a_dip() {
        assert_eq!(Reach::of(&[1.0]), REACH);
        let reach = Reach::of(&[0.4, 0.6, 1.0]);
        let tier = |rate| Placement::new(rate, 2_000_000, reach).tier;
        assert_eq!([900_000, 799_999, 399_999].map(tier), [0, 1, 2]);
        let review =
            |viewer: Placement, rate, second| viewer.review(rate, 2_000_000, reach, at(second));
        let dip = review(Placement::new(900_000, 2_000_000, reach), 500_000, 0);
        assert_eq!(dip.tier, 0);
        let over = review(dip, 900_000, 1);
        assert_eq!(review(over, 500_000, 2).tier, 0);
        assert_eq!(review(dip, 500_000, 1).tier, 0);
        assert_eq!(review(dip, 500_000, 2).tier, 1);
    }

    #[test]
    fn similar_rates_share() {
        assert_eq!(Placement::new(2_000_000, 2_000_000, REACH).tier, 0);
        assert_eq!(Placement::new(1_000_000, 2_000_000, REACH).tier, 0);
        assert_eq!(Placement::new(999_999, 2_000_000, REACH).tier, 1);
        assert_eq!(Placement::new(499_999, 2_000_000, REACH).tier, 2);
        assert_eq!(Placement::new(1, 2_000_000, REACH).tier, TIERS - 1);
    }

    #[test]
    fn a_fall_is_followed_at_once_and_a_rise_when_it_lasts() {
        let fallen =
            Placement::new(2_000_000, 2_000_000, REACH).review(300_000, 2_000_000, REACH, at(0));
        assert_eq!(fallen.tier, 2);
        let hopeful = fallen.review(1_600_000, 2_000_000, REACH, at(1));
        assert_eq!(hopeful.tier, 2);
        assert_eq!(hopeful.review(1_600_000, 2_000_000, REACH, at(3)).tier, 2);
        assert_eq!(hopeful.review(1_600_000, 2_000_000, REACH, at(4)).tier, 0);
    }

    #[test]
    fn a_rise_that_breaks_off_begins_anew() {
        let low =
            Placement::new(900_000, 2_000_000, REACH).review(1_600_000, 2_000_000, REACH, at(0));
        let low = low.review(900_000, 2_000_000, REACH, at(2));
        let low = low.review(1_600_000, 2_000_000, REACH, at(4));
        assert_eq!(low.tier, 1);
    }

    #[test]
    fn at_the_border_nobody_moves_to_and_fro() {
        let mut viewer = Placement::new(990_000, 2_000_000, REACH);
        for second in 0..60 {
            viewer = viewer.review(
                if second % 2 == 0 { 1_010_000 } else { 990_000 },
                2_000_000,
                REACH,
                at(second),
            );
            assert_eq!(viewer.tier, 1);
        }
    }
}
