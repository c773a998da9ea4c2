//! What of a picture gives way when there are too few bits for all of it: its size, its rate, or some
//! of both.
//!
//! Not a rate controller: the bits are given. Nor does it know what a codec does with them; it is told
//! by a table how many it takes for a picture to look good.

use std::time::Duration;

use duet_media::{ContentHint, MediaTime};

/// [`RTCDegradationPreference`](https://w3c.github.io/mst-content-hint/#dom-rtcdegradationpreference).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DegradationPreference {
    /// Pictures get smaller, not fewer: what moves.
    MaintainFramerate,
    /// Pictures get fewer, not smaller: what is read.
    MaintainResolution,
    /// Some of both.
    #[default]
    Balanced,
}

impl DegradationPreference {
    /// What is preferred for a track with such a hint, unless somebody says otherwise.
    pub fn of_hint(hint: ContentHint) -> Self {
        match hint {
            ContentHint::Motion => Self::MaintainFramerate,
            ContentHint::Detail | ContentHint::Text => Self::MaintainResolution,
            _ => Self::Balanced,
        }
    }

    /// Best first.
    fn ladder(self) -> &'static [Step] {
        match self {
            Self::MaintainFramerate => &FRAMERATE,
            Self::MaintainResolution => &RESOLUTION,
            Self::Balanced => &BALANCED,
        }
    }
}

/// The pictures that there are to send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureSource {
    /// Width times height, before anything gives way; 0 if that is not known yet.
    pub pixels: u64,
    /// Pictures a second.
    pub frame_rate: f64,
}

/// How pictures are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PictureShape {
    /// Divide width and height by this, 1 to 4, on top of what the program asks by
    /// [scaleResolutionDownBy](https://w3c.github.io/webrtc-pc/#dom-rtcrtpencodingparameters-scaleresolutiondownby).
    pub scale: f64,
    /// Pictures a second at most; `None` if none are left out.
    pub frame_rate: Option<f64>,
}

impl PictureShape {
    /// The picture as it is.
    pub const FULL: PictureShape = PictureShape {
        scale: 1.0,
        frame_rate: None,
    };
}

/// One way to send a picture.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Divisor of width and height.
    scale: f64,
    /// Share of the source's frame rate.
    frames: f64,
    /// Share of the full picture's bits that it takes to look good.
    bits: f64,
}

const fn step(scale: f64, frames: f64, bits: f64) -> Step {
    Step {
        scale,
        frames,
        bits,
    }
}

const BALANCED: [Step; 7] = [
    step(1.0, 1.0, 1.0),
    step(1.0, 2.0 / 3.0, 0.7),
    step(1.5, 2.0 / 3.0, 0.4),
    step(2.0, 2.0 / 3.0, 0.25),
    step(2.0, 0.5, 0.18),
    step(3.0, 0.5, 0.1),
    step(4.0, 1.0 / 3.0, 0.0),
];

// By the shares of the balanced ladder: half of the frames need 0.54 of the bits, a picture of half the
// width and height 0.36.
const FRAMERATE: [Step; 5] = [
    step(1.0, 1.0, 1.0),
    step(1.5, 1.0, 0.57),
    step(2.0, 1.0, 0.36),
    step(3.0, 1.0, 0.2),
    step(4.0, 1.0, 0.0),
];

const RESOLUTION: [Step; 5] = [
    step(1.0, 1.0, 1.0),
    step(1.0, 2.0 / 3.0, 0.7),
    step(1.0, 0.5, 0.54),
    step(1.0, 1.0 / 3.0, 0.38),
    step(1.0, 0.2, 0.0),
];

/// Decides how the pictures of one sender are sent.
///
/// Down at once, up with patience: less is sent the moment that the bits do not do any more, more only
/// after they would have done for a while, since each change of size costs a key frame.
#[derive(Clone, Debug, Default)]
pub struct Degradation {
    preference: DegradationPreference,
    /// Place in the ladder of the preference.
    step: usize,
    /// Since when a better step could have been had, and the lowest rate since.
    better: Option<(MediaTime, u64)>,
}

impl Degradation {
    /// A better picture is sent when the rate has allowed it, with [`UP_MARGIN`](Self::UP_MARGIN) to
    /// spare, for this long; a worse one at once.
    pub const UP_AFTER: Duration = Duration::from_secs(2);
    /// See [`UP_AFTER`](Self::UP_AFTER).
    pub const UP_MARGIN: f64 = 1.2;
    /// Bits a second at which 1280x720 at 30 a second is still good. A smaller or slower picture is as
    /// good with less.
    pub const FULL_720P: f64 = 900_000.0;
    /// A picture is never taken for smaller than this, in pixels.
    const LEAST_PIXELS: u64 = 320 * 180;

    /// Takes in what there is to send and for how many bits a second, and decides.
    pub fn update(
        &mut self,
        preference: DegradationPreference,
        source: PictureSource,
        bits_per_second: u64,
        now: MediaTime,
    ) -> PictureShape {
        let ladder = preference.ladder();
        let full = full_bits(source);
        let best = |bits: f64| {
            let fits = |step: &Step| bits >= full * step.bits;
            ladder.iter().position(fits).unwrap_or(ladder.len() - 1)
        };
        let with_margin = |bits: u64| best(bits as f64 / Self::UP_MARGIN);
        let must = best(bits_per_second as f64);
        if preference != self.preference {
            // Another ladder, whose steps have nothing to do with the old one's.
            (self.preference, self.step, self.better) = (preference, must, None);
        } else if must > self.step {
            (self.step, self.better) = (must, None);
        } else if with_margin(bits_per_second) < self.step {
            let (since, lowest) = self.better.unwrap_or((now, bits_per_second));
            let lowest = lowest.min(bits_per_second);
            self.better = Some((since, lowest));
            if now.saturating_since(since) >= Self::UP_AFTER {
                self.step = with_margin(lowest);
                self.better = None;
            }
        } else {
            self.better = None;
        }
        let step = ladder[self.step];
        PictureShape {
            scale: step.scale,
            frame_rate: (step.frames < 1.0).then(|| rate_of(source) * step.frames),
        }
    }

    /// Whether something gives way now.
    pub fn is_degraded(&self) -> bool {
        self.step > 0
    }
}

/// Frames a second that can be reckoned with.
fn rate_of(source: PictureSource) -> f64 {
    if source.frame_rate.is_finite() && source.frame_rate > 0.0 {
        source.frame_rate.clamp(1.0, 240.0)
    } else {
        30.0
    }
}

/// Bits a second at which the full picture is good.
fn full_bits(source: PictureSource) -> f64 {
    let pixels = source.pixels.max(Degradation::LEAST_PIXELS) as f64;
    // Above 30 a second each picture differs less from the last; below, more.
    let frames = (rate_of(source) / 30.0).powf(0.88);
    Degradation::FULL_720P * pixels / (1_280.0 * 720.0) * frames
}

#[cfg(test)]
mod tests {
    use super::DegradationPreference::{Balanced, MaintainFramerate, MaintainResolution};
    use super::*;
    use proptest::prelude::*;

    const HD: PictureSource = PictureSource {
        pixels: 1_280 * 720,
        frame_rate: 30.0,
    };

    /// A sender of one source, looked at ten times a second.
    struct Sender {
        degradation: Degradation,
        preference: DegradationPreference,
        now: MediaTime,
    }

    impl Sender {
        fn of(preference: DegradationPreference) -> Self {
            Sender {
                degradation: Degradation::default(),
                preference,
                now: MediaTime::ZERO,
            }
        }

        fn hold(&mut self, bits: u64, seconds: f64) -> PictureShape {
            let mut shape = PictureShape::FULL;
            for _ in 0..(seconds * 10.0) as usize {
                self.now += Duration::from_millis(100);
                let Sender {
                    degradation,
                    preference,
                    now,
                } = self;
                shape = degradation.update(*preference, HD, bits, *now);
            }
            shape
        }
    }

    #[test]
    fn with_bits_enough_nothing_gives_way() {
        for preference in [Balanced, MaintainFramerate, MaintainResolution] {
            let mut sender = Sender::of(preference);
            assert_eq!(sender.hold(900_000, 5.0), PictureShape::FULL);
            assert!(!sender.degradation.is_degraded());
        }
    }

    #[test]
    fn each_preference_gives_up_what_it_is_to() {
        let shape = |preference| Sender::of(preference).hold(240_000, 1.0);
        let smooth = shape(MaintainFramerate);
        assert_eq!((smooth.scale, smooth.frame_rate), (3.0, None));
        let sharp = shape(MaintainResolution);
        assert_eq!((sharp.scale, sharp.frame_rate), (1.0, Some(6.0)));
        let between = shape(Balanced);
        assert_eq!((between.scale, between.frame_rate), (2.0, Some(20.0)));
    }

    #[test]
    fn hints_stand_in_for_a_preference() {
        let hints = [
            (ContentHint::None, Balanced),
            (ContentHint::Motion, MaintainFramerate),
            (ContentHint::Detail, MaintainResolution),
            (ContentHint::Text, MaintainResolution),
        ];
        for (hint, preference) in hints {
            assert_eq!(DegradationPreference::of_hint(hint), preference);
        }
    }

    #[test]
    fn size_falls_at_once_and_rises_with_patience() {
        let mut sender = Sender::of(Balanced);
        assert_eq!(sender.hold(2_000_000, 5.0), PictureShape::FULL);
        assert_eq!(sender.hold(250_000, 0.1).scale, 2.0);
        assert_eq!(sender.hold(2_000_000, 1.9).scale, 2.0);
        assert_eq!(sender.hold(2_000_000, 0.3), PictureShape::FULL);
    }

    #[test]
    fn the_worst_moment_of_the_wait_decides_how_far_size_rises() {
        let mut sender = Sender::of(Balanced);
        sender.hold(80_000, 1.0);
        sender.hold(2_000_000, 1.0);
        sender.hold(400_000, 0.3);
        assert_eq!(sender.hold(2_000_000, 1.0).scale, 2.0);
    }

    #[test]
    fn a_rate_that_trembles_does_not_shake_the_picture() {
        let mut sender = Sender::of(Balanced);
        let (mut changes, mut last) = (0, sender.hold(900_000, 5.0));
        for n in 0..600 {
            // Around the rate that full size needs.
            let next = sender.hold(890_000 + (n * 7_919 % 60_000), 0.1);
            changes += usize::from(next != last);
            last = next;
        }
        assert!(changes <= 1, "{changes} changes in a minute");
    }

    #[test]
    fn a_change_of_mind_is_followed_at_once() {
        let mut sender = Sender::of(MaintainFramerate);
        sender.hold(240_000, 3.0);
        sender.preference = MaintainResolution;
        let shape = sender.hold(240_000, 0.1);
        assert_eq!((shape.scale, shape.frame_rate), (1.0, Some(6.0)));
    }

    #[test]
    fn a_smaller_or_slower_source_is_good_with_less() {
        let full = |pixels, frame_rate| {
            let source = PictureSource { pixels, frame_rate };
            let shape = |bits| {
                Degradation::default().update(Balanced, source, bits, MediaTime::ZERO)
                    == PictureShape::FULL
            };
            (100..).find(|kbps| shape(kbps * 1_000)).unwrap_or(0)
        };
        assert_eq!(full(1_280 * 720, 30.0), 900);
        assert_eq!(full(640 * 360, 30.0), 225);
        assert_eq!(full(1_280 * 720, 15.0), 490);
    }

    proptest! {
        #[test]
        fn more_bits_never_make_a_worse_picture(
            pixels in any::<u64>(), frame_rate in any::<f64>(), bits in any::<u64>(), more in any::<u64>(),
        ) {
            let source = PictureSource { pixels, frame_rate };
            for preference in [Balanced, MaintainFramerate, MaintainResolution] {
                let shape = |bits| Degradation::default().update(preference, source, bits, MediaTime::ZERO);
                let (poor, rich) = (shape(bits), shape(bits.saturating_add(more)));
                prop_assert!((1.0..=4.0).contains(&poor.scale) && rich.scale <= poor.scale);
                let rate = |shape: PictureShape| shape.frame_rate.unwrap_or(f64::INFINITY);
                prop_assert!(rate(poor) > 0.0 && rate(rich) >= rate(poor));
            }
        }
    }
}
