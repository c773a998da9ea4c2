//! Decoded sound on its way out, and the leaps in it that make it shorter or longer.
//!
//! Shortening leaps forward by a multiple of the pitch period, lengthening leaps back by one; a
//! cross-fade hides the seam. The pitch does not change, since no sample is resampled.

/// Samples a channel of what has been played already that a leap back may use.
const HISTORY: usize = 960;
/// Samples a channel over which a leap fades.
const OVERLAP: usize = 240;
/// The shortest leap: 2.5 ms, a pitch of 400 Hz.
pub(super) const MIN_LEAP: usize = 120;
/// The longest leap: 15 ms, a pitch of 67 Hz.
pub(super) const MAX_LEAP: usize = 720;
const DECIMATION: usize = 4;
/// Mean square under which sound is so quiet (-60 dB) that any leap will do.
const QUIET: f32 = 1e-6;

/// Interleaved samples: a little past, and what is yet to be played.
#[derive(Debug)]
pub(super) struct Pcm {
    samples: Vec<f32>,
    channels: usize,
    /// The next sample (of each channel) to be played.
    cursor: usize,
    mono: Vec<f32>,
    coarse: Vec<f32>,
}

impl Pcm {
    pub(super) fn new(channels: u16) -> Self {
        Pcm {
            samples: Vec::new(),
            channels: usize::from(channels.max(1)),
            cursor: 0,
            mono: Vec::new(),
            coarse: Vec::new(),
        }
    }

    /// Samples a channel that are yet to be played.
    pub(super) fn pending(&self) -> usize {
        self.samples.len() / self.channels - self.cursor
    }

    /// Appends samples. Across a `seam` (sound that does not continue what is there) the step between
    /// the last old and the first new sample is spread over 5 ms.
    pub(super) fn append(&mut self, new: &[f32], seam: bool) {
        if self.cursor > HISTORY {
            let stale = (self.cursor - HISTORY) * self.channels;
            self.samples.drain(..stale);
            self.cursor = HISTORY;
        }
        let start = self.samples.len();
        self.samples.extend_from_slice(new);
        if !seam {
            return;
        }
        let (old, new) = self.samples.split_at_mut(start);
        for channel in 0..self.channels.min(new.len()) {
            let last = match old.len() {
                0 => 0.0,
                len => old[len - self.channels + channel],
            };
            let step = last - new[channel];
            for (i, sample) in new[channel..]
                .iter_mut()
                .step_by(self.channels)
                .take(OVERLAP)
                .enumerate()
            {
                *sample += step * (1.0 - i as f32 / OVERLAP as f32);
            }
        }
    }

    /// Moves the next samples to `out`; silence where there are none.
    pub(super) fn read(&mut self, out: &mut [f32]) {
        let from = self.cursor * self.channels;
        let len = out.len().min(self.samples.len() - from);
        out[..len].copy_from_slice(&self.samples[from..from + len]);
        out[len..].fill(0.0);
        self.cursor += len / self.channels;
    }

    /// Leaves out up to `max` samples a channel, if a leap is found that correlates by `least` or
    /// more. `keep` samples stay pending. Returns how many were left out.
    pub(super) fn shorten(&mut self, max: usize, keep: usize, least: f32) -> usize {
        let max = max.min(self.pending().saturating_sub(keep.max(OVERLAP)));
        let Some(leap) = self.find_leap(max, least, true) else {
            return 0;
        };
        // From the last to the first: what is read lies before what is written.
        for i in (0..OVERLAP).rev() {
            self.fade(self.cursor + i, self.cursor + leap + i, i);
        }
        self.cursor += leap;
        leap
    }

    /// Plays up to `max` samples a channel once more, if a leap is found that correlates by `least`
    /// or more. Returns how many were added.
    pub(super) fn lengthen(&mut self, max: usize, least: f32) -> usize {
        if self.pending() < OVERLAP {
            return 0;
        }
        let max = max.min(self.cursor.saturating_sub(OVERLAP));
        let Some(leap) = self.find_leap(max, least, false) else {
            return 0;
        };
        for i in 0..OVERLAP {
            self.fade(self.cursor + i, self.cursor + i - leap, i);
        }
        self.cursor -= leap;
        leap
    }

    /// Writes to frame `into` the `i`-th step of the fade from frame `from` to it.
    fn fade(&mut self, from: usize, into: usize, i: usize) {
        let share = (i as f32 + 0.5) / OVERLAP as f32;
        for channel in 0..self.channels {
            let old = self.samples[from * self.channels + channel];
            let new = &mut self.samples[into * self.channels + channel];
            *new = old * (1.0 - share) + *new * share;
        }
    }

    /// The leap of at most `max` whose landing looks most like the take-off.
    fn find_leap(&mut self, max: usize, least: f32, forward: bool) -> Option<usize> {
        let max = max.min(MAX_LEAP);
        if max < MIN_LEAP || self.cursor < OVERLAP {
            return None;
        }
        // One channel, from the earliest to the latest sample that any leap compares.
        let first = self.cursor - OVERLAP - if forward { 0 } else { max };
        let last = self.cursor + OVERLAP + if forward { max } else { 0 };
        let window = self
            .samples
            .get(first * self.channels..last * self.channels)?;
        self.mono.clear();
        self.mono.extend(
            window
                .chunks_exact(self.channels)
                .map(|frame| frame.iter().sum::<f32>()),
        );
        let here = self.cursor - OVERLAP - first;
        if mean_square(&self.mono) < QUIET {
            return Some(max);
        }
        self.coarse.clear();
        self.coarse.extend(
            self.mono
                .chunks_exact(DECIMATION)
                .map(|four| four.iter().sum::<f32>()),
        );

        let at = |leap: usize| if forward { here + leap } else { here - leap };
        let coarse_at = |leap: usize| {
            similarity(
                &self.coarse,
                here / DECIMATION,
                at(leap) / DECIMATION,
                2 * OVERLAP / DECIMATION,
            )
        };
        let (rough, _) = (MIN_LEAP..=max)
            .step_by(DECIMATION)
            .map(|leap| (leap, coarse_at(leap)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let near = rough.saturating_sub(DECIMATION).max(MIN_LEAP)..=(rough + DECIMATION).min(max);
        let (leap, likeness) = near
            .map(|leap| (leap, similarity(&self.mono, here, at(leap), 2 * OVERLAP)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        (likeness >= least).then_some(leap)
    }
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

/// Normalized correlation of the `len` samples at `a` with those at `b`: 1 is the same, 0 unrelated.
fn similarity(samples: &[f32], a: usize, b: usize, len: usize) -> f32 {
    let end = samples.len();
    let (a, b) = (
        &samples[a.min(end)..(a + len).min(end)],
        &samples[b.min(end)..(b + len).min(end)],
    );
    let (mut cross, mut power_a, mut power_b) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (x, y) in a.iter().zip(b) {
        cross += x * y;
        power_a += x * x;
        power_b += y * y;
    }
    cross / (power_a * power_b).sqrt().max(f32::MIN_POSITIVE)
}
