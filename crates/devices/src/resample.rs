//! Sound of any sample rate, channel count and chunk size, brought to 48 kHz, one or two channels and
//! frames of 10 ms, each with its capture time.

use duet_media::{AudioBuffer, AudioFrame, MediaTime, Pool};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};
use std::time::Duration;

/// The rate that everything is brought to, in Hz.
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples of each channel in a frame.
pub const FRAME_LEN: usize = SAMPLE_RATE as usize / 100;
/// How long a frame is.
pub const FRAME: Duration = Duration::from_millis(10);

/// The sample rates that are taken in, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 8_000..=384_000;
/// The most channels that are taken in.
pub const MAX_CHANNELS: u16 = 32;

/// Why there is no way from this sound to 48 kHz.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot bring {channels} channels at {sample_rate} Hz to 48 kHz")]
pub struct UnsupportedSound {
    /// In Hz.
    pub sample_rate: u32,
    /// As they are interleaved.
    pub channels: u16,
}

/// Cuts a stream of sound into frames of 10 ms at 48 kHz.
///
/// One channel stays one. Of more than two, the mean of the odd ones becomes the left and the mean of
/// the even ones the right.
pub struct Reframer {
    channels_in: usize,
    channels: usize,
    resampler: Option<Converter>,
    /// At 48 kHz: less than a frame between calls.
    pending: Vec<f32>,
    /// When the first sample of `pending` was captured.
    time: Option<MediaTime>,
    pool: Pool<AudioBuffer>,
}

/// Converts interleaved samples from one rate to another, in chunks of about 10 ms.
pub(crate) struct Converter {
    fft: Fft<f32>,
    /// Of the input.
    rate: u32,
    channels: usize,
    /// Less than a chunk between calls.
    input: Vec<f32>,
    output: Vec<f32>,
}

impl Reframer {
    /// Frames on their way that need no new allocation.
    const POOLED: usize = 32;
    /// A time that is further off than this is a gap, not a jitter of the device's.
    const GAP_NANOS: i64 = 40_000_000;
    /// How much of a difference in time is taken over with each call: device times jitter, and their
    /// rate is a little off.
    const SMOOTHING: i64 = 64;

    /// Takes sound of the given shape.
    ///
    /// # Errors
    /// [`UnsupportedSound`] for a rate outside [`RATES`], or no or too many channels.
    pub fn new(sample_rate: u32, channels: u16) -> Result<Self, UnsupportedSound> {
        let unsupported = UnsupportedSound {
            sample_rate,
            channels,
        };
        if !RATES.contains(&sample_rate) || !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(unsupported);
        }
        let kept = channels.min(2) as usize;
        let resampler = match sample_rate {
            SAMPLE_RATE => None,
            rate => Some(Converter::new(rate, SAMPLE_RATE, kept).ok_or(unsupported)?),
        };
        Ok(Reframer {
            channels_in: channels as usize,
            channels: kept,
            resampler,
            pending: Vec::new(),
            time: None,
            pool: Pool::new(Self::POOLED),
        })
    }

    /// Channels of the frames: 1 or 2.
    pub fn channels(&self) -> u16 {
        self.channels as u16
    }

    /// Takes interleaved samples, the first captured at `time`, and hands on the frames that are
    /// full. Small jumps of `time` are smoothed; after a large one the timeline starts over.
    pub fn push(&mut self, samples: &[f32], time: MediaTime, mut emit: impl FnMut(AudioFrame)) {
        self.keep_time(time);
        match &mut self.resampler {
            None => fold(samples, self.channels_in, &mut self.pending),
            Some(converter) => {
                fold(samples, self.channels_in, &mut converter.input);
                converter.run(&mut self.pending);
            }
        }
        let len = FRAME_LEN * self.channels;
        let mut taken = 0;
        while let (Some(frame), Some(time)) = (self.pending.get(taken..taken + len), self.time) {
            let channels = self.channels as u16;
            let buffer = self.pool.fill(|buffer| {
                buffer.resize(SAMPLE_RATE, channels, FRAME_LEN);
                buffer.samples_mut().copy_from_slice(frame);
            });
            emit(AudioFrame::new(buffer, time));
            taken += len;
            self.time = Some(time + FRAME);
        }
        self.pending.drain(..taken);
    }

    fn keep_time(&mut self, time: MediaTime) {
        let nanos = |frames: usize, rate: u32| frames as i64 * 1_000_000_000 / i64::from(rate);
        let held = nanos(self.pending.len() / self.channels, SAMPLE_RATE);
        let delayed = self.resampler.as_ref().map_or(0, |converter| {
            nanos(converter.input.len() / self.channels, converter.rate)
                + nanos(converter.fft.output_delay(), SAMPLE_RATE)
        });
        let measured = time.offset_by(-held - delayed);
        self.time = Some(match self.time {
            Some(kept) => {
                let off = measured.nanos_since(kept);
                match off.abs() > Self::GAP_NANOS {
                    true => measured,
                    false => kept.offset_by(off / Self::SMOOTHING),
                }
            }
            None => measured,
        });
    }
}

impl Converter {
    /// None for rates or channels that make no sense.
    pub(crate) fn new(rate_in: u32, rate_out: u32, channels: usize) -> Option<Self> {
        let (from, to) = (rate_in as usize, rate_out as usize);
        let fft = Fft::new(from, to, from / 100, channels, FixedSync::Both).ok()?;
        let output = vec![0.0; fft.output_frames_max() * channels];
        Some(Converter {
            fft,
            rate: rate_in,
            channels,
            input: Vec::new(),
            output,
        })
    }

    /// Takes samples in and appends what can be converted by now to `to`.
    #[cfg(feature = "hardware")]
    pub(crate) fn convert(&mut self, samples: &[f32], to: &mut Vec<f32>) {
        self.input.extend_from_slice(samples);
        self.run(to);
    }

    /// Converts whole chunks and appends them to `to`.
    fn run(&mut self, to: &mut Vec<f32>) {
        let channels = self.channels;
        let mut taken = 0;
        loop {
            let frames = self.fft.input_frames_next();
            let Some(chunk) = self.input.get(taken..taken + frames * channels) else {
                break;
            };
            let out_frames = self.output.len() / channels;
            let adapters = (
                InterleavedSlice::new(chunk, channels, frames),
                InterleavedSlice::new_mut(&mut self.output, channels, out_frames),
            );
            // The sizes are the resampler's own, so neither can fail; silence if one did.
            let made = match adapters {
                (Ok(chunk), Ok(mut out)) => self.fft.process_into_buffer(&chunk, &mut out, None),
                _ => Ok((0, 0)),
            };
            let made = made.map_or(0, |(_, made)| made);
            to.extend_from_slice(&self.output[..made * channels]);
            taken += frames * channels;
        }
        self.input.drain(..taken);
    }
}

/// Appends samples of `channels` channels to `to` as one channel or two.
fn fold(samples: &[f32], channels: usize, to: &mut Vec<f32>) {
    if channels <= 2 {
        to.extend_from_slice(samples);
        return;
    }
    for frame in samples.chunks_exact(channels) {
        for side in 0..2 {
            let mine = frame.iter().skip(side).step_by(2);
            let count = mine.len() as f32;
            to.push(mine.sum::<f32>() / count);
        }
    }
}

impl std::fmt::Debug for Reframer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reframer")
            .field("channels_in", &self.channels_in)
            .field("resamples", &self.resampler.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::hear;
    use crate::synthetic::marks::audio::Listener;

    /// What the synthetic microphone says, in chunks of an odd size.
    fn reframe(rate: u32, channels: u16, chunk: usize) -> Vec<AudioFrame> {
        let mut reframer = Reframer::new(rate, channels).unwrap();
        let mut frames = Vec::new();
        let mut position = 0u64;
        while position < u64::from(rate) * 3 {
            let nanos = position * 1_000_000_000 / u64::from(rate);
            let mut buffer = AudioBuffer::new(rate, channels, chunk);
            hear(
                Duration::from_secs(1_600_000_000) + Duration::from_nanos(nanos),
                &mut buffer,
            );
            let time = MediaTime::from_nanos(nanos as i64);
            reframer.push(buffer.samples(), time, |frame| frames.push(frame));
            position += chunk as u64;
        }
        frames
    }

    #[test]
    fn any_rate_and_chunk_becomes_10_ms_at_48_khz_in_time_and_in_tune() {
        for (rate, channels, chunk) in [
            (48_000, 1, 480),
            (48_000, 2, 1_023),
            (44_100, 2, 441),
            (44_100, 1, 4_096),
            (16_000, 1, 37),
            (8_000, 6, 160),
            (96_000, 2, 777),
            (11_025, 1, 512),
        ] {
            let case = format!("{rate} Hz, {channels} channels by {chunk}");
            let mut listener = Listener::new();
            let mut beeps = Vec::new();
            for frame in reframe(rate, channels, chunk) {
                assert_eq!(frame.buffer.frames(), FRAME_LEN);
                assert_eq!(frame.buffer.sample_rate(), SAMPLE_RATE);
                assert_eq!(frame.buffer.channels(), channels.min(2));
                beeps.extend(listener.hear(&frame.buffer, frame.capture_time));
                let middle = frame.capture_time.as_millis() / 10;
                if middle == 160 {
                    let hz = listener.pitch_hz().expect(&case);
                    assert!((hz / 246.94 - 1.0).abs() < 0.01, "{case}: {hz} Hz");
                }
            }
            // The beep at 0 s has no silence before it to be timed against.
            for second in [1, 2] {
                let wanted = MediaTime::from_millis(1_000 * second);
                let off = beeps
                    .iter()
                    .map(|beep| beep.onset.nanos_since(wanted).abs())
                    .min()
                    .expect(&case);
                assert!(off < 1_500_000, "{case}: {off} ns off");
            }
        }
    }

    #[test]
    fn a_gap_starts_the_timeline_over_and_jitter_does_not() {
        let mut reframer = Reframer::new(48_000, 1).unwrap();
        let mut times = Vec::new();
        for millis in [0, 13, 18, 30, 500, 510] {
            reframer.push(&[0.0; 480], MediaTime::from_millis(millis), |f| {
                times.push(f.capture_time.as_nanos());
            });
        }
        assert!(
            times
                .windows(2)
                .take(3)
                .all(|w| (w[1] - w[0] - 10_000_000).abs() < 100_000)
        );
        assert_eq!(times[4], 500_000_000);
    }

    #[test]
    fn impossible_sound_is_refused() {
        for (rate, channels) in [(0, 1), (7_999, 1), (48_000, 0), (48_000, 33), (u32::MAX, 2)] {
            assert!(
                Reframer::new(rate, channels).is_err(),
                "{rate} Hz, {channels}"
            );
        }
    }
}
