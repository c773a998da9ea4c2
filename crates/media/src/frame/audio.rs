//! Stretches of sound, usually 10 ms.

use crate::MediaTime;
use std::sync::Arc;
use std::time::Duration;

/// Samples in the range -1 to 1, interleaved by channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AudioBuffer {
    samples: Vec<f32>,
    sample_rate: u32,
    channels: u16,
}

impl AudioBuffer {
    /// Silence: `frames` samples of each of `channels` channels at `sample_rate` Hz.
    pub fn new(sample_rate: u32, channels: u16, frames: usize) -> Self {
        let mut buffer = AudioBuffer::default();
        buffer.resize(sample_rate, channels, frames);
        buffer.samples.fill(0.0);
        buffer
    }

    /// Takes on another shape. The content is undefined afterwards; memory is kept where it suffices.
    pub fn resize(&mut self, sample_rate: u32, channels: u16, frames: usize) {
        self.sample_rate = sample_rate;
        self.channels = channels;
        self.samples.resize(frames * channels as usize, 0.0);
    }

    /// Samples a second and channel, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// How many channels are interleaved.
    pub fn channels(&self) -> u16 {
        self.channels
    }

    /// Samples of each channel.
    pub fn frames(&self) -> usize {
        match self.channels {
            0 => 0,
            channels => self.samples.len() / channels as usize,
        }
    }

    /// How long it sounds.
    pub fn duration(&self) -> Duration {
        match self.sample_rate {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(self.frames() as u64 * 1_000_000_000 / u64::from(rate)),
        }
    }

    /// All samples, interleaved.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// All samples, interleaved, to be written.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        &mut self.samples
    }

    /// The samples of one channel; none where there is no such channel.
    pub fn channel(&self, channel: u16) -> impl Iterator<Item = f32> + '_ {
        let start = if channel < self.channels {
            channel as usize
        } else {
            self.samples.len()
        };
        self.samples[start..]
            .iter()
            .step_by(self.channels.max(1) as usize)
            .copied()
    }
}

/// A stretch of sound of an audio track. Cheap to clone: the samples are shared.
#[derive(Clone, Debug)]
pub struct AudioFrame {
    /// The samples.
    pub buffer: Arc<AudioBuffer>,
    /// When the first sample was captured, by the clock of the source. For a remote track: when it
    /// was due to be played, by the receiver's clock.
    pub capture_time: MediaTime,
}

impl AudioFrame {
    /// Sound that was captured from `capture_time` on.
    pub fn new(buffer: Arc<AudioBuffer>, capture_time: MediaTime) -> Self {
        AudioFrame {
            buffer,
            capture_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_on_their_own() {
        let mut buffer = AudioBuffer::new(48_000, 2, 3);
        buffer
            .samples_mut()
            .copy_from_slice(&[0.1, -0.1, 0.2, -0.2, 0.3, -0.3]);
        assert_eq!(buffer.channel(1).collect::<Vec<_>>(), [-0.1, -0.2, -0.3]);
        assert_eq!(buffer.channel(2).count(), 0);
        assert_eq!(buffer.frames(), 3);
    }

    #[test]
    fn ten_milliseconds_are_480_samples() {
        let buffer = AudioBuffer::new(48_000, 2, 480);
        assert_eq!(buffer.duration(), Duration::from_millis(10));
        assert_eq!(AudioBuffer::default().duration(), Duration::ZERO);
    }
}
