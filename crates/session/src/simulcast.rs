//! How a sender's bits are divided among the encodings of one picture
//! ([RFC 8853](https://www.rfc-editor.org/rfc/rfc8853)): the smallest first, since whoever gets one at
//! all gets that one.
//!
//! Not an encoder, and it knows no names: an encoding is its place in the order of sizes.

use std::time::Duration;

use duet_media::MediaTime;

use crate::Degradation;

/// What an encoding takes, in bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingNeed {
    /// With less it is not worth sending.
    pub min: u64,
    /// What is above goes to the next larger one, if that is sent…
    pub enough: u64,
    /// … and nothing above this is ever given.
    pub max: u64,
}

impl EncodingNeed {
    /// Of a picture that is good with this share of [`Degradation::FULL_720P`]…
    const MIN: f64 = 0.6;
    /// … and hardly gets better above that.
    const ENOUGH: f64 = 2.8;

    /// What pictures of so many pixels at 30 a second take; the program lets it have `most` at most.
    pub fn of(pixels: u64, most: Option<u32>) -> Self {
        let good = Degradation::FULL_720P * pixels as f64 / (1_280.0 * 720.0);
        let max = most.map_or(u64::MAX, u64::from);
        EncodingNeed {
            min: ((good * Self::MIN) as u64).min(max),
            enough: ((good * Self::ENOUGH) as u64).min(max),
            max,
        }
    }
}

/// Divides bits among encodings. Less is followed at once; another encoding comes when there was room
/// for it for a while, since it costs a key frame.
#[derive(Clone, Debug, Default)]
pub struct SimulcastAllocator {
    /// How many are sent.
    sent: usize,
    better_since: Option<MediaTime>,
}

impl SimulcastAllocator {
    /// There has to be room for another encoding for so long…
    pub const UP_AFTER: Duration = Duration::from_secs(2);
    /// … with so much to spare.
    pub const UP_MARGIN: f64 = 1.2;

    /// What each encoding gets, the smallest first; 0 for those that are not sent for now. The smallest
    /// is always sent. The largest that is sent gets all that is left: a path shows no more room than what
    /// it is sent, and the next one waits for room.
    pub fn divide(&mut self, bits: u64, needs: &[EncodingNeed], now: MediaTime) -> Vec<u64> {
        let carried = carried(bits as f64, needs);
        if carried <= self.sent || self.sent == 0 {
            (self.sent, self.better_since) = (carried, None);
        } else {
            let safe = carried_safely(bits, needs);
            if safe <= self.sent {
                self.better_since = None;
            } else if now.saturating_since(*self.better_since.get_or_insert(now)) >= Self::UP_AFTER
            {
                (self.sent, self.better_since) = (safe, None);
            }
        }
        let mut left = bits;
        let share = |(at, need): (usize, &EncodingNeed)| {
            if at >= self.sent {
                return 0;
            }
            let least = if at == 0 { need.min } else { 0 };
            let most = match at + 1 == self.sent {
                true => need.max,
                false => need.enough,
            };
            let share = left.clamp(least, most.max(least));
            left = left.saturating_sub(share);
            share
        };
        needs.iter().enumerate().map(share).collect()
    }
}

fn carried_safely(bits: u64, needs: &[EncodingNeed]) -> usize {
    carried(bits as f64 / SimulcastAllocator::UP_MARGIN, needs)
}

/// How many encodings so many bits carry.
fn carried(bits: f64, needs: &[EncodingNeed]) -> usize {
    let mut left = bits;
    let fits = |(at, need): &(usize, &EncodingNeed)| {
        let fits = *at == 0 || left >= need.min as f64;
        left -= (need.enough as f64).min(left);
        fits
    };
    needs.iter().enumerate().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn needs() -> Vec<EncodingNeed> {
        let sizes = [320 * 180, 640 * 360, 1_280 * 720];
        sizes.map(|pixels| EncodingNeed::of(pixels, None)).to_vec()
    }

    fn divided(bits: u64) -> Vec<u64> {
        SimulcastAllocator::default().divide(bits, &needs(), MediaTime::ZERO)
    }

    #[test]
    fn the_smallest_comes_first() {
        assert_eq!(divided(100_000), [100_000, 0, 0]);
        assert_eq!(divided(400_000), [157_500, 242_500, 0]);
        assert_eq!(divided(2_000_000), [157_500, 630_000, 1_212_500]);
        assert_eq!(divided(3_000_000), [157_500, 630_000, 2_212_500]);
        assert_eq!(divided(9_000_000), [157_500, 630_000, 8_212_500]);
        assert_eq!(divided(250_000), [250_000, 0, 0], "nothing is left unused");
        assert_eq!(divided(1_000), [33_750, 0, 0], "never nothing");
    }

    #[test]
    fn another_comes_when_there_was_room_for_a_while() {
        let mut allocator = SimulcastAllocator::default();
        let mut sent = |bits, millis| {
            let shares = allocator.divide(bits, &needs(), MediaTime::from_millis(millis));
            shares.iter().filter(|share| **share > 0).count()
        };
        assert_eq!(sent(2_000_000, 0), 3);
        assert_eq!(sent(400_000, 100), 2);
        assert_eq!(sent(2_000_000, 200), 2);
        assert_eq!(sent(2_000_000, 2_100), 2);
        assert_eq!(sent(2_000_000, 2_200), 3);
        assert_eq!(sent(400_000, 2_300), 2);
        // Enough, with nothing to spare.
        assert_eq!(sent(1_350_000, 2_400), 2);
        assert_eq!(sent(1_350_000, 9_000), 2);
    }

    #[test]
    fn what_the_program_allows_is_kept() {
        let need = EncodingNeed::of(1_280 * 720, Some(300_000));
        assert_eq!(
            (need.min, need.enough, need.max),
            (300_000, 300_000, 300_000)
        );
    }

    proptest! {
        #[test]
        fn no_more_is_given_than_there_is(bits in any::<u64>(), sizes in prop::collection::vec(0u64..10_000_000, 0..4)) {
            let needs: Vec<_> = sizes.iter().map(|pixels| EncodingNeed::of(*pixels, None)).collect();
            let shares = SimulcastAllocator::default().divide(bits, &needs, MediaTime::ZERO);
            prop_assert_eq!(shares.len(), needs.len());
            let least = needs.first().map_or(0, |need| need.min);
            prop_assert!(shares.iter().sum::<u64>() <= bits.max(least));
            prop_assert!(shares.iter().zip(&needs).all(|(share, need)| *share <= need.max));
        }
    }
}
