//! What there is to choose from: finitely many settings among which is the best, whatever the
//! constraints.
//!
//! A camera has modes, and a picture can be cropped and made smaller, and frames left out, so nearly
//! any smaller setting is possible. Of these infinitely many only those matter that a constraint
//! names, and those that keep the picture's shape.

use super::beside::beside;
use super::constrain::{Bare, Terms};
use super::{ConstrainableProperty as P, MediaTrackConstraints};
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

/// Lists what a source of `kind` could do for `constraints`; see [`each_candidate`].
pub fn candidates(
    kind: MediaKind,
    modes: &[MediaTrackSettings],
    free: &MediaTrackCapabilities,
    constraints: &MediaTrackConstraints,
) -> Vec<Candidate> {
    let mut all = Vec::new();
    each_candidate(kind, modes, free, constraints, &mut |candidate| {
        all.push(candidate);
    });
    all
}

/// Calls `offer` with all that a source of `kind` could do for `constraints`, one after the other: of
/// constraints that name many values there are more than one would like to keep.
///
/// `modes` are what the source can be set to. Within the ranges and lists of `free` each of them may
/// be changed at will; a camera that can do just its modes has none. Every mode comes twice, as
/// `resizeMode` "none" and as its twin "crop-and-scale", and the latter also smaller and at lower frame
/// rates. Where `free` has one aspect ratio only, nothing is cropped.
pub fn each_candidate(
    kind: MediaKind,
    modes: &[MediaTrackSettings],
    free: &MediaTrackCapabilities,
    constraints: &MediaTrackConstraints,
    offer: &mut dyn FnMut(Candidate),
) {
    let wanted = Wanted::of(constraints);
    for mode in modes {
        match kind {
            MediaKind::Audio => wanted.sounds(mode, free, offer),
            MediaKind::Video => wanted.pictures(mode, free, offer),
        }
    }
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

    /// A mode, its twin, what both become in the free properties of a picture, and what can be made of
    /// those.
    fn pictures(
        &self,
        mode: &MediaTrackSettings,
        free: &MediaTrackCapabilities,
        offer: &mut dyn FnMut(Candidate),
    ) {
        let mut modes = vec![mode.clone()];
        vary(&mut modes, &free.background_blur, |mode, blur| {
            mode.background_blur = Some(blur);
        });
        vary(&mut modes, &free.cursor, |mode, cursor| {
            mode.cursor = Some(cursor);
        });
        let rates = Rates::of(mode.frame_rate, free.frame_rate, &self.frame_rates);
        let Some(own) = size_of(mode) else {
            for mode in &modes {
                for frame_rate in rates.natively() {
                    offer(with_rate(mode, frame_rate).into());
                }
            }
            return;
        };
        let ranges = free.width.zip(free.height);
        let natively = |(w, h): (u32, u32)| {
            (w, h) == own || ranges.is_some_and(|(ws, hs)| within(ws, w) && within(hs, h))
        };
        let most = ranges.map_or(own, |(ws, hs)| (ws.max, hs.max));
        let mut sizes = vec![own];
        sizes.extend(self.sizes(own, most, keeps_shape(free)));
        for mode in &modes {
            for size in &sizes {
                // The least that serves, what there is now, and the most there can be: whatever else
                // the source has to serve, one of these will do.
                let mut from: Vec<_> = [*size, own, most]
                    .into_iter()
                    .filter(|s| natively(*s))
                    .collect();
                from.retain(|(w, h)| size.0 <= *w && size.1 <= *h);
                dedup(&mut from);
                for frame_rate in &rates.wanted {
                    let native = MediaTrackSettings {
                        resize_mode: Some(VideoResizeMode::None),
                        ..mode.clone()
                    };
                    for full in &from {
                        for full_rate in rates.sources(*frame_rate) {
                            let native = with_rate(&with_size(&native, *full), full_rate);
                            if (full, &full_rate) == (size, frame_rate) {
                                offer(native.clone().into());
                            }
                            let made = with_rate(&with_size(&native, *size), *frame_rate);
                            let settings = MediaTrackSettings {
                                resize_mode: Some(VideoResizeMode::CropAndScale),
                                ..made
                            };
                            offer(Candidate { settings, native });
                        }
                    }
                }
            }
        }
    }

    /// A mode, and what it becomes in the free properties of sound.
    fn sounds(
        &self,
        mode: &MediaTrackSettings,
        free: &MediaTrackCapabilities,
        offer: &mut dyn FnMut(Candidate),
    ) {
        let mut modes = vec![mode.clone()];
        let rates = in_range(free.sample_rate, &self.sample_rates);
        vary(&mut modes, &rates, |mode, rate| {
            mode.sample_rate = Some(rate);
        });
        let sizes = in_range(free.sample_size, &self.sample_sizes);
        vary(&mut modes, &sizes, |mode, size| {
            mode.sample_size = Some(size);
        });
        let counts = in_range(free.channel_count, &self.channel_counts);
        vary(&mut modes, &counts, |mode, count| {
            mode.channel_count = Some(count);
        });
        let latencies = in_range(free.latency, &self.latencies);
        vary(&mut modes, &latencies, |mode, latency| {
            mode.latency = Some(latency);
        });
        vary(&mut modes, &free.echo_cancellation, |mode, echo| {
            mode.echo_cancellation = Some(echo);
        });
        vary(&mut modes, &free.auto_gain_control, |mode, gain| {
            mode.auto_gain_control = Some(gain);
        });
        vary(&mut modes, &free.noise_suppression, |mode, noise| {
            mode.noise_suppression = Some(noise);
        });
        modes.into_iter().map(Candidate::from).for_each(offer);
    }

    /// The sizes up to `most` that constraints name or that follow from what they name, for a picture
    /// that is `width` by `height` by itself.
    ///
    /// The best size lies where two of these meet, or beside a ratio: a width, a height and a ratio that is
    /// named, or the picture's own, which may be the only one.
    fn sizes(&self, own: (u32, u32), most: (u32, u32), own_shape: bool) -> Vec<(u32, u32)> {
        let (width, height) = own;
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
        if !own_shape {
            for w in &widths {
                sizes.extend(heights.iter().map(|h| (*w, *h)));
            }
        }
        // The longest strip still has a row.
        let rounded = |side: f64| (side.round() as u32).max(1);
        sizes.extend(widths.iter().map(|w| (*w, rounded(f64::from(*w) / own))));
        sizes.extend(heights.iter().map(|h| (rounded(f64::from(*h) * own), *h)));
        let ratios = if own_shape { &[][..] } else { &self.ratios };
        for ratio in ratios {
            for w in &widths {
                let h = f64::from(*w) / ratio;
                sizes.extend([h.floor(), h.ceil()].map(|h| (*w, h as u32)));
            }
            for h in &heights {
                let w = f64::from(*h) * ratio;
                sizes.extend([w.floor(), w.ceil()].map(|w| (w as u32, *h)));
            }
            // A pixel is much to a small picture: what lies further along may be nearer to the ratio.
            sizes.extend(beside(*ratio, &widths, &heights, most));
        }
        sizes.retain(|(w, h)| (1..=most.0).contains(w) && (1..=most.1).contains(h));
        sizes.sort_unstable();
        sizes.dedup();
        sizes.retain(|size| *size != (width, height));
        sizes
    }
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

fn with_rate(settings: &MediaTrackSettings, frame_rate: Option<f64>) -> MediaTrackSettings {
    MediaTrackSettings {
        frame_rate,
        ..settings.clone()
    }
}

/// Whether pictures of a source with these capabilities have one shape, and are never cropped.
pub(crate) fn keeps_shape(capabilities: &MediaTrackCapabilities) -> bool {
    let ratio = &capabilities.aspect_ratio;
    ratio.as_ref().is_some_and(|ratio| ratio.min == ratio.max)
}

/// Frame rates that matter, and how a source comes to each.
struct Rates {
    own: Option<f64>,
    free: Option<Range<f64>>,
    /// The source's own first.
    wanted: Vec<Option<f64>>,
}

impl Rates {
    fn of(own: Option<f64>, free: Option<Range<f64>>, named: &[f64]) -> Self {
        let mut wanted = vec![own];
        wanted.extend(in_range(free, named).into_iter().map(Some));
        if own.is_some() {
            wanted.extend(named.iter().copied().map(Some));
        }
        wanted.retain(|rate| rate.is_none_or(|rate| rate > 0.0));
        dedup(&mut wanted);
        Rates { own, free, wanted }
    }

    fn is_native(&self, rate: Option<f64>) -> bool {
        let allowed = |rate| self.free.is_some_and(|free| within(free, rate));
        rate == self.own || rate.is_some_and(allowed)
    }

    fn natively(&self) -> impl Iterator<Item = Option<f64>> {
        let wanted = self.wanted.iter().copied();
        wanted.filter(|rate| self.is_native(*rate))
    }

    /// The rates that the source can be set to for `rate`, by leaving frames out: the least, what it
    /// has now, and the most.
    fn sources(&self, rate: Option<f64>) -> Vec<Option<f64>> {
        let most = self.free.map(|free| free.max).or(self.own);
        let mut sources = vec![rate, self.own, most];
        sources.retain(|source| *source >= rate && self.is_native(*source));
        dedup(&mut sources);
        sources
    }
}

/// Leaves out what was there before. For short lists.
fn dedup<T: PartialEq + Copy>(values: &mut Vec<T>) {
    let mut seen = Vec::with_capacity(values.len());
    values.retain(|value| {
        let new = !seen.contains(value);
        if new {
            seen.push(*value);
        }
        new
    });
}

/// Those of the wanted values that the range allows, and its ends: the nearest to what lies beyond
/// them. None where nothing is wanted or there is no range.
fn in_range<T: Copy + PartialOrd>(range: Option<Range<T>>, wanted: &[T]) -> Vec<T> {
    let Some(range) = range.filter(|_| !wanted.is_empty()) else {
        return Vec::new();
    };
    let inside = wanted.iter().copied().filter(|value| within(range, *value));
    let mut values: Vec<T> = [range.min, range.max].into_iter().chain(inside).collect();
    dedup(&mut values);
    values
}

/// Adds to the modes each of them with each of the values that are other than its own.
fn vary<T: Copy>(
    modes: &mut Vec<MediaTrackSettings>,
    values: &[T],
    set: impl Fn(&mut MediaTrackSettings, T),
) {
    let before = modes.len();
    for value in values {
        for at in 0..before {
            let mut mode = modes[at].clone();
            set(&mut mode, *value);
            if mode != modes[at] {
                modes.push(mode);
            }
        }
    }
}
