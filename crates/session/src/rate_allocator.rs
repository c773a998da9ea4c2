//! How the bits that the network grants are divided: sound first, the picture with the rest.
//!
//! A picture that is to be sent is never paused: below its least rate it stays there, small and slow,
//! as those who use browsers expect, whose own least is 30 kbit/s. Frames that the path does not take
//! are left out by whoever sends them.
//!
//! Not a bandwidth estimator: the estimate comes in.

use std::time::Duration;

use duet_media::MediaTime;

/// The bounds of an allocation. Rates are bits a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateConfig {
    /// Sound gets this much before the picture gets any…
    pub audio_min_bps: u64,
    /// … and this much when there is enough.
    pub audio_max_bps: u64,
    /// The picture never gets less, even where the estimate does not cover it.
    pub video_min_bps: u64,
    /// The picture never gets more.
    pub video_max_bps: u64,
    /// Pictures a second at full rate.
    pub video_frame_rate: f64,
    /// Bits a second at which the picture is still good at full size and rate; below, frame rate and
    /// size give way.
    pub video_full_bps: u64,
    /// Share of the estimate kept for headers, retransmission and redundancy, 0.0 to 0.5.
    pub overhead: f64,
}

impl Default for RateConfig {
    /// For 1280x720 at 30 a second.
    fn default() -> Self {
        RateConfig {
            audio_min_bps: 16_000,
            audio_max_bps: 48_000,
            video_min_bps: 40_000,
            video_max_bps: 2_500_000,
            video_frame_rate: 30.0,
            video_full_bps: 900_000,
            overhead: 0.08,
        }
    }
}

/// What is known of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RateInput {
    /// The congestion controller's estimate, bits a second.
    pub estimate_bps: u64,
    /// What the other side acknowledged of late, bits a second; `None` if nothing is known yet.
    pub acknowledged_bps: Option<u64>,
    /// Share of packets lost of late, 0.0 to 1.0.
    pub loss: f64,
    /// Whether there is sound to send.
    pub audio: bool,
    /// Whether there is a picture to send.
    pub video: bool,
}

/// What the encoders are told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allocation {
    /// Target of the sound, bits a second; 0 if there is none to send.
    pub audio_bps: u64,
    /// Target of the picture, bits a second; 0 if there is none to send.
    pub video_bps: u64,
    /// Pictures a second.
    pub video_frame_rate: f64,
    /// Divide width and height by this: 1.0, 1.5, 2.0, 3.0 or 4.0, as
    /// [scaleResolutionDownBy](https://w3c.github.io/webrtc-pc/#dom-rtcrtpencodingparameters-scaleresolutiondownby).
    pub video_scale: f64,
}

/// Divides the estimate between sound and picture.
///
/// Down at once, up with patience: a fall of the estimate is passed on as it comes; a rise of the
/// picture's rate when it is worth it, and a larger picture only after the rate has allowed it for a
/// while, since every change of size costs a key frame.
#[derive(Clone, Debug)]
pub struct RateAllocator {
    config: RateConfig,
    current: Allocation,
    /// What of the estimate has been believed so far.
    granted: Option<u64>,
    step: usize,
    /// Since when a better step could have been had, and the lowest rate since.
    better: Option<(MediaTime, u64)>,
}

/// Size and frame rate, best first: divisor, share of the frame rate, and the share of the full rate
/// of bits that it takes to look good.
const STEPS: [(f64, f64, f64); 7] = [
    (1.0, 1.0, 1.0),
    (1.0, 2.0 / 3.0, 0.7),
    (1.5, 2.0 / 3.0, 0.4),
    (2.0, 2.0 / 3.0, 0.25),
    (2.0, 0.5, 0.18),
    (3.0, 0.5, 0.1),
    (4.0, 1.0 / 3.0, 0.0),
];

impl RateAllocator {
    /// A better picture is sent when the rate has allowed it, with [`UP_MARGIN`](Self::UP_MARGIN) to
    /// spare, for this long; a worse one at once.
    pub const UP_AFTER: Duration = Duration::from_secs(2);
    /// See [`UP_AFTER`](Self::UP_AFTER).
    pub const UP_MARGIN: f64 = 1.2;
    /// The estimate may rise to this multiple of what was acknowledged; above, nothing was tried.
    pub const ACKNOWLEDGED_MARGIN: f64 = 1.5;
    /// Where more than this share is lost, what is sent again needs more than that share.
    const MUCH_LOSS: f64 = 0.1;
    /// A rise of the picture's rate by less than this share is not passed on.
    const DEAD_BAND: f64 = 0.05;

    /// An allocator that has heard nothing: the least of everything, at full size.
    pub fn new(config: RateConfig) -> Self {
        RateAllocator {
            current: Allocation {
                audio_bps: config.audio_min_bps,
                video_bps: config.video_min_bps,
                video_frame_rate: config.video_frame_rate,
                video_scale: 1.0,
            },
            config,
            granted: None,
            step: 0,
            better: None,
        }
    }

    /// Takes in what is known and divides anew.
    pub fn update(&mut self, input: RateInput, now: MediaTime) -> Allocation {
        let config = self.config;
        let (audio_min, audio_max) = ordered(config.audio_min_bps, config.audio_max_bps);
        // Retransmissions take what the loss says, on top of the fixed share. Where much is lost they are
        // lost too, and are sent twice.
        let loss = share(input.loss, 1.0);
        let sent_again = loss + (loss - Self::MUCH_LOSS).max(0.0);
        let overhead = share(config.overhead, 0.5) + sent_again;
        let usable = (self.believed(input) as f64 * (1.0 - overhead.min(0.75))) as u64;

        let audio_bps = match (input.audio, input.video) {
            (false, _) => 0,
            (true, false) => usable.clamp(audio_min, audio_max),
            // A tenth, so that sound does not starve the picture it goes with.
            (true, true) => (usable / 10).clamp(audio_min, audio_max),
        };
        let (video_min, video_max) = ordered(config.video_min_bps, config.video_max_bps);
        let video_bps = if input.video {
            let left = usable.saturating_sub(audio_bps);
            self.damped(left.clamp(video_min, video_max))
        } else {
            0
        };
        if video_bps > 0 {
            self.choose_step(video_bps, now);
        }
        let (video_scale, frame_share, _) = STEPS[self.step];
        self.current = Allocation {
            audio_bps,
            video_bps,
            video_frame_rate: config.video_frame_rate * frame_share,
            video_scale,
        };
        self.current
    }

    /// The last allocation.
    pub fn allocation(&self) -> Allocation {
        self.current
    }

    /// The bounds in force.
    pub fn config(&self) -> &RateConfig {
        &self.config
    }

    /// Other bounds, from the next update on.
    pub fn set_config(&mut self, config: RateConfig) {
        self.config = config;
    }

    /// A controller that the network never stopped runs off, so what was acknowledged holds it. It
    /// only keeps the estimate from rising: a picture that needed few bits for a while does not lose
    /// those that were granted before.
    fn believed(&mut self, input: RateInput) -> u64 {
        let estimate = input.estimate_bps;
        let believed = match (self.granted, input.acknowledged_bps) {
            (Some(granted), Some(acknowledged)) => {
                let floor = self
                    .config
                    .audio_min_bps
                    .saturating_add(self.config.video_min_bps);
                let proven = (acknowledged as f64 * Self::ACKNOWLEDGED_MARGIN) as u64;
                estimate.min(granted.max(proven).max(floor.saturating_mul(2)))
            }
            _ => estimate,
        };
        self.granted = Some(believed);
        believed
    }

    fn damped(&self, target: u64) -> u64 {
        let current = self.current.video_bps;
        let rises = target as f64 > current as f64 * (1.0 + Self::DEAD_BAND);
        if target < current || rises || target == self.config.video_max_bps {
            target
        } else {
            current
        }
    }

    fn choose_step(&mut self, video_bps: u64, now: MediaTime) {
        let fits =
            |step: &usize, bps: f64| bps >= self.config.video_full_bps as f64 * STEPS[*step].2;
        let best = |bps: f64| {
            (0..STEPS.len())
                .find(|step| fits(step, bps))
                .unwrap_or(STEPS.len() - 1)
        };
        let with_margin = |bps: u64| best(bps as f64 / Self::UP_MARGIN);

        let must = best(video_bps as f64);
        if must > self.step {
            self.step = must;
            self.better = None;
        } else if with_margin(video_bps) < self.step {
            let (since, lowest) = self.better.unwrap_or((now, video_bps));
            let lowest = lowest.min(video_bps);
            self.better = Some((since, lowest));
            if now.saturating_since(since) >= Self::UP_AFTER {
                self.step = with_margin(lowest);
                self.better = None;
            }
        } else {
            self.better = None;
        }
    }
}

fn ordered(min: u64, max: u64) -> (u64, u64) {
    (min, max.max(min))
}

/// Between nothing and `most`; nothing if it is no number.
fn share(value: f64, most: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both(estimate_bps: u64) -> RateInput {
        RateInput {
            estimate_bps,
            audio: true,
            video: true,
            ..RateInput::default()
        }
    }

    /// Updates ten times a second for `seconds` from `*now` on.
    fn hold(
        allocator: &mut RateAllocator,
        input: RateInput,
        now: &mut MediaTime,
        seconds: f64,
    ) -> Allocation {
        for _ in 0..(seconds * 10.0) as usize {
            *now += Duration::from_millis(100);
            allocator.update(input, *now);
        }
        allocator.allocation()
    }

    #[test]
    fn sound_comes_first() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        let starved = hold(&mut allocator, both(80_000), &mut now, 1.0);
        assert_eq!((starved.audio_bps, starved.video_bps), (16_000, 57_600));
        let poor = hold(&mut allocator, both(200_000), &mut now, 1.0);
        assert!(
            poor.audio_bps >= 16_000 && poor.video_bps > 100_000,
            "{poor:?}"
        );
        let rich = hold(&mut allocator, both(5_000_000), &mut now, 10.0);
        assert_eq!((rich.audio_bps, rich.video_bps), (48_000, 2_500_000));
        let silent = RateInput {
            audio: false,
            ..both(1_000_000)
        };
        assert_eq!(hold(&mut allocator, silent, &mut now, 1.0).audio_bps, 0);
        let blind = RateInput {
            video: false,
            ..both(1_000_000)
        };
        let blind = hold(&mut allocator, blind, &mut now, 1.0);
        assert_eq!((blind.audio_bps, blind.video_bps), (48_000, 0));
    }

    #[test]
    fn what_was_never_tried_is_not_believed() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        hold(&mut allocator, both(800_000), &mut now, 1.0);
        let runaway = RateInput {
            acknowledged_bps: Some(800_000),
            ..both(20_000_000)
        };
        let held = hold(&mut allocator, runaway, &mut now, 10.0);
        assert!(held.video_bps < 1_200_000, "{held:?}");
    }

    #[test]
    fn a_still_picture_does_not_lose_its_rate() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        let before = hold(&mut allocator, both(2_000_000), &mut now, 1.0);
        let still = RateInput {
            acknowledged_bps: Some(50_000),
            ..both(2_000_000)
        };
        assert_eq!(hold(&mut allocator, still, &mut now, 60.0), before);
    }

    #[test]
    fn what_is_allocated_can_be_proven_up_to_the_estimate() {
        // A link of 2 Mbit/s found from 300 kbit/s on, by sending what is allocated.
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        let mut allocation = hold(&mut allocator, both(300_000), &mut now, 1.0);
        for _ in 0..10 {
            let sent = allocation.audio_bps + allocation.video_bps;
            let input = RateInput {
                acknowledged_bps: Some(sent),
                ..both(2_000_000)
            };
            allocation = hold(&mut allocator, input, &mut now, 1.0);
        }
        assert!(allocation.video_bps > 1_700_000, "{allocation:?}");
        assert_eq!(allocation.video_scale, 1.0);
    }

    #[test]
    fn size_falls_at_once_and_rises_with_patience() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        let full = hold(&mut allocator, both(2_000_000), &mut now, 5.0);
        assert_eq!((full.video_scale, full.video_frame_rate), (1.0, 30.0));
        let fallen = hold(&mut allocator, both(300_000), &mut now, 0.1);
        assert_eq!(fallen.video_scale, 2.0);
        assert_eq!(
            hold(&mut allocator, both(2_000_000), &mut now, 1.9).video_scale,
            2.0
        );
        assert_eq!(
            hold(&mut allocator, both(2_000_000), &mut now, 0.3).video_scale,
            1.0
        );
    }

    #[test]
    fn the_worst_moment_of_the_wait_decides_how_far_size_rises() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        hold(&mut allocator, both(120_000), &mut now, 1.0);
        hold(&mut allocator, both(2_000_000), &mut now, 1.0);
        hold(&mut allocator, both(500_000), &mut now, 0.3);
        let risen = hold(&mut allocator, both(2_000_000), &mut now, 1.0);
        assert_eq!(risen.video_scale, 2.0);
    }

    #[test]
    fn an_estimate_that_trembles_does_not_shake_the_picture() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        let mut changes = 0;
        let mut last = hold(&mut allocator, both(1_000_000), &mut now, 5.0);
        for n in 0..600 {
            // Around the rate that full size needs.
            let estimate = 1_030_000 + (n * 7_919 % 60_000);
            let next = hold(&mut allocator, both(estimate), &mut now, 0.1);
            changes += usize::from(
                next.video_scale != last.video_scale
                    || next.video_frame_rate != last.video_frame_rate,
            );
            last = next;
        }
        assert!(changes <= 1, "{changes} changes in a minute");
    }

    #[test]
    fn a_picture_on_the_worst_of_paths_is_small_and_slow_and_goes_on() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut now = MediaTime::ZERO;
        for estimate in [0, 10_000, 60_000] {
            let lossy = RateInput {
                loss: 0.3,
                ..both(estimate)
            };
            let given = hold(&mut allocator, lossy, &mut now, 1.0);
            assert_eq!((given.audio_bps, given.video_bps), (16_000, 40_000));
            assert_eq!((given.video_scale, given.video_frame_rate), (4.0, 10.0));
        }
    }

    #[test]
    fn loss_leaves_room_for_what_is_sent_again() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let clean = allocator.update(both(1_000_000), MediaTime::ZERO);
        let lossy = RateInput {
            loss: 0.1,
            ..both(1_000_000)
        };
        let lossy = allocator.update(lossy, MediaTime::from_millis(100));
        assert!(
            lossy.video_bps < clean.video_bps - 80_000,
            "{clean:?} {lossy:?}"
        );
    }

    #[test]
    fn where_two_packets_in_five_are_lost_most_of_the_rate_is_for_what_is_sent_again() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let lossy = RateInput {
            loss: 0.4,
            ..both(2_000_000)
        };
        let given = allocator.update(lossy, MediaTime::ZERO);
        assert!((400_000..700_000).contains(&given.video_bps), "{given:?}");
    }

    proptest! {
        #[test]
        fn it_stays_within_what_there_is(
            updates in prop::collection::vec((any::<u64>(), prop::option::of(any::<u64>()), any::<f64>(), any::<bool>(), any::<bool>()), 1..50),
        ) {
            let config = RateConfig::default();
            let mut allocator = RateAllocator::new(config);
            let mut now = MediaTime::ZERO;
            for (estimate_bps, acknowledged_bps, loss, audio, video) in updates {
                let input = RateInput { estimate_bps, acknowledged_bps, loss, audio, video };
                let given = allocator.update(input, now);
                now += Duration::from_millis(300);
                prop_assert!(given.audio_bps <= config.audio_max_bps && given.video_bps <= config.video_max_bps);
                let least = config.audio_min_bps + config.video_min_bps;
                prop_assert!(given.audio_bps + given.video_bps <= estimate_bps.max(least));
                prop_assert_eq!(given.video_bps >= config.video_min_bps, video);
                prop_assert!((1.0..=4.0).contains(&given.video_scale));
                prop_assert!((5.0..=30.0).contains(&given.video_frame_rate));
                prop_assert_eq!(given.audio_bps > 0, audio);
            }
        }
    }
}
