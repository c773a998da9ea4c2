//! How the bits that the network grants are divided: sound first, the picture with the rest.
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
    /// A picture that would get less is paused.
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
            video_min_bps: 60_000,
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
    /// Target of the picture, bits a second; 0 if it is paused or there is none.
    pub video_bps: u64,
    /// Pictures a second.
    pub video_frame_rate: f64,
    /// Divide width and height by this: 1.0, 1.5, 2.0, 3.0 or 4.0, as
    /// [scaleResolutionDownBy](https://w3c.github.io/webrtc-pc/#dom-rtcrtpencodingparameters-scaleresolutiondownby).
    pub video_scale: f64,
}

/// Divides the estimate between sound and picture.
#[derive(Clone, Debug)]
pub struct RateAllocator {
    config: RateConfig,
    current: Allocation,
    step: usize,
    /// Since when a better step could be had.
    better_since: Option<MediaTime>,
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
    /// A step up is taken when the rate would have allowed it, with [`UP_MARGIN`](Self::UP_MARGIN) to
    /// spare, for this long; a step down at once.
    pub const UP_AFTER: Duration = Duration::from_secs(3);
    /// See [`UP_AFTER`](Self::UP_AFTER).
    pub const UP_MARGIN: f64 = 1.2;
    /// An estimate above what was acknowledged counts up to this multiple of it.
    pub const ACKNOWLEDGED_MARGIN: f64 = 1.5;
    /// Changes of the picture's rate smaller than this share are not passed on when they go up.
    const DEAD_BAND: f64 = 0.05;

    /// An allocator that has heard nothing: everything at its least.
    pub fn new(config: RateConfig) -> Self {
        RateAllocator {
            current: Allocation {
                audio_bps: config.audio_min_bps,
                video_bps: config.video_min_bps,
                video_frame_rate: config.video_frame_rate,
                video_scale: 1.0,
            },
            config,
            step: 0,
            better_since: None,
        }
    }

    /// Takes in what is known and divides anew.
    pub fn update(&mut self, input: RateInput, now: MediaTime) -> Allocation {
        let config = &self.config;
        // Retransmissions take what the loss says, on top of the fixed share.
        let overhead = (config.overhead.clamp(0.0, 0.5) + input.loss.clamp(0.0, 0.3)).min(0.5);
        let usable = (self.capped(input) as f64 * (1.0 - overhead)) as u64;

        let audio_bps = match (input.audio, input.video) {
            (false, _) => 0,
            (true, false) => usable.clamp(config.audio_min_bps, config.audio_max_bps),
            // A tenth of what is there, so that sound does not starve the picture it goes with.
            (true, true) => (usable / 10).clamp(config.audio_min_bps, config.audio_max_bps),
        };
        let left = usable.saturating_sub(audio_bps).min(config.video_max_bps);
        let enough = left >= config.video_min_bps;
        let video_bps = if input.video && enough {
            self.damped(left)
        } else {
            0
        };
        if video_bps > 0 {
            self.choose_step(video_bps, now);
        }
        let (scale, rate, _) = STEPS[self.step];
        self.current = Allocation {
            audio_bps,
            video_bps,
            video_frame_rate: self.config.video_frame_rate * rate,
            video_scale: scale,
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

    /// An estimate is only as good as what was sent to find it: a controller that was never stopped
    /// by the network runs off, so what was acknowledged holds it.
    fn capped(&self, input: RateInput) -> u64 {
        match input.acknowledged_bps {
            Some(acknowledged) => {
                let floor = self.config.audio_min_bps + self.config.video_min_bps;
                let cap = (acknowledged as f64 * Self::ACKNOWLEDGED_MARGIN) as u64;
                input.estimate_bps.min(cap.max(floor))
            }
            None => input.estimate_bps,
        }
    }

    /// Down at once, up only when it is worth telling the encoder.
    fn damped(&self, target: u64) -> u64 {
        let current = self.current.video_bps;
        let worth = target as f64 > current as f64 * (1.0 + Self::DEAD_BAND);
        if target < current || worth || target == self.config.video_max_bps {
            target
        } else {
            current
        }
    }

    fn choose_step(&mut self, video_bps: u64, now: MediaTime) {
        let needs = |step: usize| self.config.video_full_bps as f64 * STEPS[step].2;
        let rate = video_bps as f64;
        while self.step + 1 < STEPS.len() && rate < needs(self.step) {
            self.step += 1;
            self.better_since = None;
        }
        if self.step == 0 || rate < needs(self.step - 1) * Self::UP_MARGIN {
            self.better_since = None;
            return;
        }
        let since = *self.better_since.get_or_insert(now);
        if now.saturating_since(since) >= Self::UP_AFTER {
            self.step -= 1;
            self.better_since = None;
        }
    }
}
