//! How the bits that the network grants are divided: sound first, the picture with the rest.
//!
//! A picture that is to be sent is never paused: below its least rate it stays there, as those who use
//! browsers expect, whose own least is 30 kbit/s. Frames that the path does not take are left out by
//! whoever sends them.
//!
//! Not a bandwidth estimator: the estimate comes in. What a picture becomes for its bits is
//! [`Degradation`](crate::Degradation)'s affair.

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
    /// Share of the estimate kept for headers, retransmission and redundancy, 0.0 to 0.5.
    pub overhead: f64,
}

impl Default for RateConfig {
    /// For one picture.
    fn default() -> Self {
        RateConfig {
            audio_min_bps: 16_000,
            audio_max_bps: 48_000,
            video_min_bps: 40_000,
            video_max_bps: 2_500_000,
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
    /// What copies of the sound take beside its target, bits a second: the picture makes room for them.
    pub audio_copies_bps: u64,
}

/// What the encoders are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Target of the sound, bits a second; 0 if there is none to send.
    pub audio_bps: u64,
    /// Target of the picture, bits a second; 0 if there is none to send.
    pub video_bps: u64,
}

/// Divides the estimate between sound and picture.
///
/// A fall of the estimate is passed on as it comes; a rise of the picture's rate when it is worth it.
#[derive(Clone, Debug)]
pub struct RateAllocator {
    config: RateConfig,
    current: Allocation,
    /// What of the estimate has been believed so far.
    granted: Option<u64>,
}

impl RateAllocator {
    /// The estimate may rise to this multiple of what was acknowledged; above, nothing was tried.
    pub const ACKNOWLEDGED_MARGIN: f64 = 1.5;
    /// Where more than this share is lost, what is sent again needs more than that share.
    const MUCH_LOSS: f64 = 0.1;
    /// A rise of the picture's rate by less than this share is not passed on.
    const DEAD_BAND: f64 = 0.05;

    /// An allocator that has heard nothing: the least of everything.
    pub fn new(config: RateConfig) -> Self {
        RateAllocator {
            current: Allocation {
                audio_bps: config.audio_min_bps,
                video_bps: config.video_min_bps,
            },
            config,
            granted: None,
        }
    }

    /// Takes in what is known and divides anew.
    pub fn update(&mut self, input: RateInput) -> Allocation {
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
            let left = usable
                .saturating_sub(audio_bps)
                .saturating_sub(input.audio_copies_bps);
            self.damped(left.clamp(video_min, video_max))
        } else {
            0
        };
        self.current = Allocation {
            audio_bps,
            video_bps,
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

    /// Updates ten times a second for `seconds`.
    fn hold(allocator: &mut RateAllocator, input: RateInput, seconds: f64) -> Allocation {
        for _ in 0..(seconds * 10.0) as usize {
            allocator.update(input);
        }
        allocator.allocation()
    }

    #[test]
    fn sound_comes_first() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let starved = hold(&mut allocator, both(80_000), 1.0);
        assert_eq!((starved.audio_bps, starved.video_bps), (16_000, 57_600));
        let poor = hold(&mut allocator, both(200_000), 1.0);
        assert!(
            poor.audio_bps >= 16_000 && poor.video_bps > 100_000,
            "{poor:?}"
        );
        let rich = hold(&mut allocator, both(5_000_000), 10.0);
        assert_eq!((rich.audio_bps, rich.video_bps), (48_000, 2_500_000));
        let silent = RateInput {
            audio: false,
            ..both(1_000_000)
        };
        assert_eq!(hold(&mut allocator, silent, 1.0).audio_bps, 0);
        let blind = RateInput {
            video: false,
            ..both(1_000_000)
        };
        let blind = hold(&mut allocator, blind, 1.0);
        assert_eq!((blind.audio_bps, blind.video_bps), (48_000, 0));
    }

    #[test]
    fn what_was_never_tried_is_not_believed() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        hold(&mut allocator, both(800_000), 1.0);
        let runaway = RateInput {
            acknowledged_bps: Some(800_000),
            ..both(20_000_000)
        };
        let held = hold(&mut allocator, runaway, 10.0);
        assert!(held.video_bps < 1_200_000, "{held:?}");
    }

    #[test]
    fn a_still_picture_does_not_lose_its_rate() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let before = hold(&mut allocator, both(2_000_000), 1.0);
        let still = RateInput {
            acknowledged_bps: Some(50_000),
            ..both(2_000_000)
        };
        assert_eq!(hold(&mut allocator, still, 60.0), before);
    }

    #[test]
    fn what_is_allocated_can_be_proven_up_to_the_estimate() {
        // A link of 2 Mbit/s found from 300 kbit/s on, by sending what is allocated.
        let mut allocator = RateAllocator::new(RateConfig::default());
        let mut allocation = hold(&mut allocator, both(300_000), 1.0);
        for _ in 0..10 {
            let sent = allocation.audio_bps + allocation.video_bps;
            let input = RateInput {
                acknowledged_bps: Some(sent),
                ..both(2_000_000)
            };
            allocation = hold(&mut allocator, input, 1.0);
        }
        assert!(allocation.video_bps > 1_700_000, "{allocation:?}");
    }

    #[test]
    fn a_picture_on_the_worst_of_paths_goes_on() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        for estimate in [0, 10_000, 60_000] {
            let lossy = RateInput {
                loss: 0.3,
                ..both(estimate)
            };
            let given = hold(&mut allocator, lossy, 1.0);
            assert_eq!((given.audio_bps, given.video_bps), (16_000, 40_000));
        }
    }

    #[test]
    fn a_picture_makes_room_for_copies_of_the_sound_down_to_its_least() {
        let given = |estimate, audio_copies_bps| {
            let input = RateInput {
                audio_copies_bps,
                ..both(estimate)
            };
            hold(&mut RateAllocator::new(RateConfig::default()), input, 1.0)
        };
        let (plain, copied) = (given(1_000_000, 0), given(1_000_000, 64_000));
        assert_eq!(copied.audio_bps, plain.audio_bps);
        assert_eq!(plain.video_bps - copied.video_bps, 64_000);
        assert_eq!(given(100_000, 64_000).video_bps, 40_000);
    }

    #[test]
    fn loss_leaves_room_for_what_is_sent_again() {
        let mut allocator = RateAllocator::new(RateConfig::default());
        let clean = allocator.update(both(1_000_000));
        let lossy = RateInput {
            loss: 0.1,
            ..both(1_000_000)
        };
        let lossy = allocator.update(lossy);
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
            updates in prop::collection::vec((any::<u64>(), prop::option::of(any::<u64>()), any::<f64>(), any::<bool>(), any::<bool>(), any::<u64>()), 1..50),
        ) {
            let config = RateConfig::default();
            let mut allocator = RateAllocator::new(config);
            for (estimate_bps, acknowledged_bps, loss, audio, video, audio_copies_bps) in updates {
                let input = RateInput { estimate_bps, acknowledged_bps, loss, audio, video, audio_copies_bps };
                let given = allocator.update(input);
                prop_assert!(given.audio_bps <= config.audio_max_bps && given.video_bps <= config.video_max_bps);
                let least = config.audio_min_bps + config.video_min_bps;
                prop_assert!(given.audio_bps + given.video_bps <= estimate_bps.max(least));
                prop_assert_eq!(given.video_bps >= config.video_min_bps, video);
                prop_assert_eq!(given.audio_bps > 0, audio);
            }
        }
    }
}
