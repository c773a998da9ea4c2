//! Sound of any rate and channel count to 48 kHz and one or two channels.
//!
//! Not a time-stretcher and no drift compensation: as much time goes out as comes in.

use std::f64::consts::PI;
use std::time::Duration;

/// Hz; what Opus works at.
pub(super) const SAMPLE_RATE: u32 = 48_000;

/// Filter taps on each side of an output sample, in samples of the lower of the two rates.
const REACH: usize = 16;

/// Positions between two input samples for which taps are worked out; others are interpolated.
const PHASES: usize = 256;

/// Mixes interleaved samples of `from` channels to `to`, which is 1 or 2, and appends them. One to
/// two: both get it. Many to one: their mean. Many to two: the mean of the even ones is left, that of
/// the odd ones right.
pub(super) fn mix(samples: &[f32], from: u16, to: u16, out: &mut Vec<f32>) {
    let from = usize::from(from.max(1));
    if from == usize::from(to) {
        out.extend_from_slice(samples);
        return;
    }
    for frame in samples.chunks_exact(from) {
        if to == 1 {
            out.push(mean(frame.iter()));
        } else if let [only] = frame {
            out.extend([only, only]);
        } else {
            out.push(mean(frame.iter().step_by(2)));
            out.push(mean(frame.iter().skip(1).step_by(2)));
        }
    }
}

fn mean<'a>(samples: impl Iterator<Item = &'a f32>) -> f32 {
    let (count, sum) = samples.fold((0u16, 0.0), |(n, sum), sample| (n + 1, sum + sample));
    sum / f32::from(count.max(1))
}

/// Turns samples of one rate into samples at 48 kHz: a windowed sinc, evaluated where the output
/// samples fall. An output sample is given once the [`REACH`] input samples after it are there, so it
/// lags by a third of a millisecond, and it is where it was in time: nothing is shifted.
pub(super) struct Resampler {
    rate: u32,
    channels: usize,
    /// Input frames on each side of an output sample.
    reach: usize,
    /// `PHASES + 1` rows of `2 * reach` taps.
    taps: Vec<f32>,
    /// Input that is still needed, interleaved, from frame `first` on.
    input: Vec<f32>,
    /// Where the next output sample falls after the `reach`th frame of `input`, in 1/48,000 of a frame.
    position: u64,
}

impl Resampler {
    /// From `rate` Hz, above 0.
    pub(super) fn new(rate: u32, channels: u16) -> Self {
        let rate = rate.max(1);
        // Downwards the filter must also keep out what 48 kHz cannot hold.
        let cutoff = (f64::from(SAMPLE_RATE) / f64::from(rate)).min(1.0);
        let reach = (REACH as f64 / cutoff).ceil().min(4_096.0) as usize;
        let channels = usize::from(channels.max(1));
        Resampler {
            rate,
            channels,
            reach,
            taps: taps(reach, cutoff),
            // Silence before the beginning.
            input: vec![0.0; (reach - 1) * channels],
            position: 0,
        }
    }

    /// Takes interleaved samples and appends what they make.
    pub(super) fn process(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.input.extend_from_slice(samples);
        let frames = self.input.len() / self.channels;
        let unit = u64::from(SAMPLE_RATE);
        loop {
            let at = (self.position / unit) as usize;
            if at + 2 * self.reach > frames {
                break;
            }
            let phase = (self.position % unit) as f64 / f64::from(SAMPLE_RATE) * PHASES as f64;
            let (row, between) = (phase as usize, phase.fract() as f32);
            let width = 2 * self.reach;
            let low = &self.taps[row * width..(row + 1) * width];
            let high = &self.taps[(row + 1) * width..(row + 2) * width];
            let input = &self.input[at * self.channels..(at + width) * self.channels];
            for channel in 0..self.channels {
                let samples = input.iter().skip(channel).step_by(self.channels);
                out.push(
                    samples
                        .zip(low.iter().zip(high))
                        .map(|(sample, (low, high))| sample * (low + (high - low) * between))
                        .sum(),
                );
            }
            self.position += u64::from(self.rate);
        }
        let done = ((self.position / unit) as usize).min(frames);
        self.input.drain(..done * self.channels);
        self.position -= done as u64 * unit;
    }

    /// How much of what came in is still to go out.
    pub(super) fn held_back(&self) -> Duration {
        let frames = (self.input.len() / self.channels + 1).saturating_sub(self.reach) as u64;
        let parts = (frames * u64::from(SAMPLE_RATE)).saturating_sub(self.position);
        let per_second = u64::from(SAMPLE_RATE) * u64::from(self.rate);
        Duration::from_secs_f64(parts as f64 / per_second as f64)
    }
}

/// Taps for output samples `0..=PHASES` of `PHASES` of the way from one input sample to the next.
fn taps(reach: usize, cutoff: f64) -> Vec<f32> {
    let mut taps = Vec::with_capacity((PHASES + 1) * 2 * reach);
    for phase in 0..=PHASES {
        let fraction = phase as f64 / PHASES as f64;
        let row: Vec<f64> = (0..2 * reach)
            .map(|tap| {
                let distance = tap as f64 - (reach - 1) as f64 - fraction;
                let x = PI * distance * cutoff;
                let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                // Blackman's window.
                let w = (PI * distance / reach as f64).clamp(-PI, PI);
                sinc * (0.42 + 0.5 * w.cos() + 0.08 * (2.0 * w).cos())
            })
            .collect();
        // Each row sums to one: silence stays silent and a constant keeps its height.
        let sum: f64 = row.iter().sum();
        taps.extend(row.iter().map(|tap| (tap / sum) as f32));
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How loud `hz` is in a tone of that pitch after resampling, and how much else there is.
    fn tone_and_rest(rate: u32, hz: f64) -> (f64, f64) {
        let mut resampler = Resampler::new(rate, 1);
        let input: Vec<f32> = (0..rate)
            .map(|n| (2.0 * PI * hz * f64::from(n) / f64::from(rate)).sin() as f32)
            .collect();
        let mut out = Vec::new();
        for block in input.chunks(rate as usize / 100) {
            resampler.process(block, &mut out);
        }
        assert!(
            out.len() + 100 > 48_000 && out.len() <= 48_000,
            "{}",
            out.len()
        );
        // Where it should be in time, too.
        let (mut tone, mut rest) = (0.0, 0.0);
        for (n, sample) in out.iter().enumerate().skip(1_000).take(45_000) {
            let ideal = (2.0 * PI * hz * n as f64 / 48_000.0).sin();
            tone += ideal * ideal;
            rest += (f64::from(*sample) - ideal).powi(2);
        }
        ((tone / 45_000.0).sqrt(), (rest / 45_000.0).sqrt())
    }

    #[test]
    fn a_tone_stays_what_and_where_it_was() {
        for rate in [8_000, 16_000, 22_050, 32_000, 44_100, 96_000, 192_000] {
            let (tone, rest) = tone_and_rest(rate, 1_000.0);
            assert!(rest / tone < 0.001, "{rate} Hz: {rest} beside {tone}");
        }
    }

    #[test]
    fn what_48_kilohertz_cannot_hold_is_gone() {
        let mut resampler = Resampler::new(192_000, 1);
        let input: Vec<f32> = (0..192_000)
            .map(|n| (2.0 * PI * 40_000.0 * f64::from(n) / 192_000.0).sin() as f32)
            .collect();
        let mut out = Vec::new();
        resampler.process(&input, &mut out);
        let power: f32 = out.iter().skip(100).map(|s| s * s).sum::<f32>() / out.len() as f32;
        assert!(power < 1e-6, "{power}");
    }

    #[test]
    fn channels_are_mixed_and_kept_apart() {
        let mixed = |samples: &[f32], from, to| {
            let mut out = Vec::new();
            mix(samples, from, to, &mut out);
            out
        };
        assert_eq!(mixed(&[0.5, 0.25], 1, 2), [0.5, 0.5, 0.25, 0.25]);
        assert_eq!(mixed(&[0.5, 0.25], 2, 1), [0.375]);
        assert_eq!(mixed(&[0.5, 0.25], 2, 2), [0.5, 0.25]);
        assert_eq!(mixed(&[0.25, 1.0, 0.75, 0.0], 4, 2), [0.5, 0.5]);
        let mut resampler = Resampler::new(16_000, 2);
        let mut out = Vec::new();
        let input: Vec<f32> = (0..1_600).flat_map(|_| [0.5, -0.25]).collect();
        resampler.process(&input, &mut out);
        let end = &out[out.len() - 2..];
        assert!(
            (end[0] - 0.5).abs() < 1e-4 && (end[1] + 0.25).abs() < 1e-4,
            "{end:?}"
        );
    }
}
