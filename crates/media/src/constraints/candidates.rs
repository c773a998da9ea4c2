//! What there is to choose from: finitely many settings among which is the best, whatever the
//! constraints.
//!
//! A camera has modes, and a picture can be cropped and made smaller, and frames left out, so nearly
//! any smaller setting is possible. Of these infinitely many only those matter that a constraint
//! names, and those that keep the picture's shape.

use super::constrain::{Bare, Terms};
use super::{ConstrainableProperty as P, MediaTrackConstraints};
use crate::settings::round_ratio;
use crate::{MediaKind, MediaTrackCapabilities, MediaTrackSettings, Range, VideoResizeMode};

/// Settings that could be had, and how the source would have to be set for them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Candidate {
    /// What the track would deliver.
    pub settings: MediaTrackSettings,
    /// What the source would deliver to it.
    pub native: MediaTrackSettings,
}

impl Candidate {
    /// Whether part of the source's picture is cut off, beyond what rounding to pixels does.
    pub fn is_cropped(&self) -> bool {
        let size = |s: &MediaTrackSettings| Some((u64::from(s.width?), u64::from(s.height?)));
        match (size(&self.settings), size(&self.native)) {
            (Some((w, h)), Some((full_w, full_h))) => {
                (w * full_h).abs_diff(h * full_w) > full_w.max(full_h)
            }
            _ => false,
        }
    }
}

impl From<MediaTrackSettings> for Candidate {
    /// Settings that are the source's own.
    fn from(settings: MediaTrackSettings) -> Self {
        let native = settings.clone();
        Candidate { settings, native }
    }
}

/// Lists what a source of `kind` could do for `constraints`.
///
/// `modes` are what the source can be set to. Within the ranges and lists of `free` each of them may
/// be changed at will; a camera that can do just its modes has none. Every mode comes twice, as
/// `resizeMode` "none" and as its twin "crop-and-scale", and the latter also smaller and at lower frame
/// rates.
pub fn candidates(
    kind: MediaKind,
    modes: &[MediaTrackSettings],
    free: &MediaTrackCapabilities,
    constraints: &MediaTrackConstraints,
) -> Vec<Candidate> {
    let wanted = Wanted::of(constraints);
    let varied = modes.iter().flat_map(|mode| match kind {
        MediaKind::Audio => wanted.sounds(mode, free),
        MediaKind::Video => wanted.pictures(mode, free),
    });
    let mut all = Vec::new();
    for mode in varied {
        match kind {
            MediaKind::Audio => all.push(mode.into()),
            MediaKind::Video => wanted.resized(&mode, &mut all),
        }
    }
    all
}

/// The values that constraints name, property by property.
#[derive(Default)]
struct Wanted {
    widths: Vec<u32>,
    heights: Vec<u32>,
    ratios: Vec<f64>,
    frame_rates: Vec<f64>,
    sample_rates: Vec<u32>,
    sample_sizes: Vec<u32>,
    channel_counts: Vec<u32>,
    latencies: Vec<f64>,
}

impl Wanted {
    fn of(constraints: &MediaTrackConstraints) -> Self {
        let numbers = |property: P| {
            let sets = std::iter::once(&constraints.basic).chain(&constraints.advanced);
            let terms = sets.filter_map(|set| set.terms(property, Bare::Ideal));
            let mut numbers: Vec<f64> = terms
                .flat_map(|terms| match terms {
                    Terms::Number(range) => [range.exact, range.ideal, range.min, range.max],
                    Terms::Choice { .. } | Terms::Present { .. } => [None; 4],
                })
                .flatten()
                .filter(|number| number.is_finite() && *number > 0.0)
                .collect();
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            numbers
        };
        let whole = |property: P| numbers(property).into_iter().map(|n| n as u32).collect();
        Wanted {
            widths: whole(P::Width),
            heights: whole(P::Height),
            ratios: numbers(P::AspectRatio),
            frame_rates: numbers(P::FrameRate),
            sample_rates: whole(P::SampleRate),
            sample_sizes: whole(P::SampleSize),
            channel_counts: whole(P::ChannelCount),
            latencies: numbers(P::Latency),
        }
    }

    /// A mode, and what it becomes in the free properties of a picture.
    fn pictures(
        &self,
        mode: &MediaTrackSettings,
        free: &MediaTrackCapabilities,
    ) -> Vec<MediaTrackSettings> {
        let mut modes = vec![mode.clone()];
        if let (Some(width), Some(height), Some((w, h))) = (free.width, free.height, size_of(mode))
        {
            let sizes = self.sizes(w, h, (width.max, height.max));
            let fits = |(w, h): &(u32, u32)| within(width, *w) && within(height, *h);
            let sizes = sizes.into_iter().filter(fits);
            modes.extend(sizes.map(|size| with_size(mode, size)));
        }
        let rates = in_range(free.frame_rate, &self.frame_rates).filter(|rate| *rate > 0.0);
        vary(&mut modes, rates, |mode, rate| mode.frame_rate = Some(rate));
        let options = free.background_blur.iter().copied();
        vary(&mut modes, options, |mode, blur| {
            mode.background_blur = Some(blur);
        });
        modes
    }

    /// A mode, and what it becomes in the free properties of sound.
    fn sounds(
        &self,
        mode: &MediaTrackSettings,
        free: &MediaTrackCapabilities,
    ) -> Vec<MediaTrackSettings> {
        let mut modes = vec![mode.clone()];
        let rates = in_range(free.sample_rate, &self.sample_rates);
        vary(&mut modes, rates, |mode, rate| {
            mode.sample_rate = Some(rate);
        });
        let sizes = in_range(free.sample_size, &self.sample_sizes);
        vary(&mut modes, sizes, |mode, size| {
            mode.sample_size = Some(size);
        });
        let counts = in_range(free.channel_count, &self.channel_counts);
        vary(&mut modes, counts, |mode, count| {
            mode.channel_count = Some(count);
        });
        let latencies = in_range(free.latency, &self.latencies);
        vary(&mut modes, latencies, |mode, latency| {
            mode.latency = Some(latency);
        });
        let options = free.echo_cancellation.iter().copied();
        vary(&mut modes, options, |mode, echo| {
            mode.echo_cancellation = Some(echo);
        });
        let options = free.auto_gain_control.iter().copied();
        vary(&mut modes, options, |mode, gain| {
            mode.auto_gain_control = Some(gain);
        });
        let options = free.noise_suppression.iter().copied();
        vary(&mut modes, options, |mode, noise| {
            mode.noise_suppression = Some(noise);
        });
        modes
    }

    /// A mode as it is, its twin, and what can be made of it.
    fn resized(&self, mode: &MediaTrackSettings, all: &mut Vec<Candidate>) {
        let Some((width, height)) = size_of(mode) else {
            all.push(mode.clone().into());
            return;
        };
        let native = MediaTrackSettings {
            resize_mode: Some(VideoResizeMode::None),
            ..mode.clone()
        };
        all.push(native.clone().into());
        let mut sizes = vec![(width, height)];
        sizes.extend(self.sizes(width, height, (width, height)));
        let mut rates = vec![native.frame_rate];
        if let Some(full) = native.frame_rate {
            rates.extend(
                self.frame_rates
                    .iter()
                    .filter(|r| **r < full)
                    .map(|rate| Some(*rate)),
            );
        }
        for size in sizes {
            for frame_rate in &rates {
                let settings = MediaTrackSettings {
                    frame_rate: *frame_rate,
                    resize_mode: Some(VideoResizeMode::CropAndScale),
                    ..with_size(&native, size)
                };
                let native = native.clone();
                all.push(Candidate { settings, native });
            }
        }
    }

    /// The sizes up to `most` that constraints name or that follow from what they name, for a picture
    /// that is `width` by `height` by itself.
    ///
    /// The best size lies where two of these meet: a width, a height and a ratio that is named, or the
    /// picture's own.
    fn sizes(&self, width: u32, height: u32, most: (u32, u32)) -> Vec<(u32, u32)> {
        let all = |named: &[u32], most: u32| -> Vec<u32> {
            named
                .iter()
                .map(|side| (*side).min(most))
                .chain([most])
                .collect()
        };
        let (widths, heights) = (all(&self.widths, most.0), all(&self.heights, most.1));
        let own = f64::from(width) / f64::from(height);
        let mut sizes = Vec::new();
        for w in &widths {
            sizes.extend(heights.iter().map(|h| (*w, *h)));
        }
        let rounded = |side: f64| side.round() as u32;
        sizes.extend(widths.iter().map(|w| (*w, rounded(f64::from(*w) / own))));
        sizes.extend(heights.iter().map(|h| (rounded(f64::from(*h) * own), *h)));
        for ratio in &self.ratios {
            for w in &widths {
                let h = f64::from(*w) / ratio;
                sizes.extend([h.floor(), h.ceil()].map(|h| (*w, h as u32)));
            }
            for h in &heights {
                let w = f64::from(*h) * ratio;
                sizes.extend([w.floor(), w.ceil()].map(|w| (w as u32, *h)));
            }
            // A ratio that must be exact is met by few sizes: take those next to each side.
            let exact = exactly(*ratio, most);
            sizes.extend(
                widths
                    .iter()
                    .flat_map(|side| next_to(*side, &exact, |(w, _)| w)),
            );
            sizes.extend(
                heights
                    .iter()
                    .flat_map(|side| next_to(*side, &exact, |(_, h)| h)),
            );
        }
        sizes.retain(|(w, h)| (1..=most.0).contains(w) && (1..=most.1).contains(h));
        sizes.sort_unstable();
        sizes.dedup();
        sizes.retain(|size| *size != (width, height));
        sizes
    }
}

/// The sizes within `most` that have the ratio to its tenth decimal, small ones first.
fn exactly(ratio: f64, most: (u32, u32)) -> Vec<(u32, u32)> {
    let sizes = (1..=most.0).map(|w| (w, (f64::from(w) / ratio).round()));
    sizes
        .take_while(|(_, h)| *h <= f64::from(most.1))
        .filter(|(w, h)| round_ratio(f64::from(*w) / h) == round_ratio(ratio))
        .map(|(w, h)| (w, h as u32))
        .collect()
}

/// The size with just that side, or else the next smaller and the next larger.
fn next_to(
    side: u32,
    sizes: &[(u32, u32)],
    of: impl Fn((u32, u32)) -> u32,
) -> impl Iterator<Item = (u32, u32)> {
    let at = sizes.partition_point(|size| of(*size) < side);
    let larger = sizes.get(at).copied();
    let smaller = at.checked_sub(1).and_then(|at| sizes.get(at)).copied();
    let hit = larger.is_some_and(|size| of(size) == side);
    larger.into_iter().chain(smaller.filter(|_| !hit))
}

fn size_of(settings: &MediaTrackSettings) -> Option<(u32, u32)> {
    let (width, height) = (settings.width?, settings.height?);
    (width > 0 && height > 0).then_some((width, height))
}

fn with_size(settings: &MediaTrackSettings, (width, height): (u32, u32)) -> MediaTrackSettings {
    MediaTrackSettings {
        width: Some(width),
        height: Some(height),
        ..settings.clone()
    }
}

fn within<T: Copy + PartialOrd>(range: Range<T>, value: T) -> bool {
    range.min <= value && value <= range.max
}

/// Those of the wanted values that the range allows, and its ends: the nearest to what lies beyond
/// them. None where nothing is wanted or there is no range.
fn in_range<T: Copy + PartialOrd>(
    range: Option<Range<T>>,
    wanted: &[T],
) -> impl Iterator<Item = T> {
    let values = range.filter(|_| !wanted.is_empty()).map(|range| {
        let inside = wanted
            .iter()
            .copied()
            .filter(move |value| within(range, *value));
        [range.min, range.max].into_iter().chain(inside)
    });
    values.into_iter().flatten()
}

/// Adds to the modes each of them with each of the values.
fn vary<T: Copy>(
    modes: &mut Vec<MediaTrackSettings>,
    values: impl Iterator<Item = T>,
    set: impl Fn(&mut MediaTrackSettings, T),
) {
    let before = modes.len();
    for value in values {
        for at in 0..before {
            let mut mode = modes[at].clone();
            set(&mut mode, value);
            if !modes.contains(&mode) {
                modes.push(mode);
            }
        }
    }
}
