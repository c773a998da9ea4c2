//! Sound of one track, encoded.

use crate::webm::Block;
use duet_codec::{
    AudioEncoder, AudioEncoderConfig, CodecError, OpusApplication, OpusEncoder, OpusEncoderOptions,
};
use duet_devices::resample::{FRAME, Reframer, SAMPLE_RATE};
use duet_media::{AudioBuffer, AudioFrame};
use std::time::Duration;

/// Turns the sound of a track into packets of 20 ms that follow each other without a hole.
///
/// Where a packet belongs is counted in samples, and compared with the capture times: what is missing
/// becomes silence, what is too much is left out. So a player that counts samples and one that goes by
/// times play the same.
pub(super) struct AudioLane {
    track: usize,
    bitrate: u32,
    /// Fixed with the first sound, or when the file's head is written.
    channels: Option<u16>,
    reframer: Option<(u32, u16, Reframer)>,
    encoder: Option<OpusEncoder>,
    /// Samples that fill no packet yet.
    pending: Vec<f32>,
    /// Where the next sample belongs.
    next: Option<Duration>,
    packet: AudioBuffer,
}

impl AudioLane {
    const PACKET: Duration = Duration::from_millis(20);
    const PACKET_FRAMES: usize = SAMPLE_RATE as usize / 50;
    /// What capture times may be off without anything being done about it.
    const TOLERANCE: Duration = Duration::from_millis(20);
    /// Beyond this a hole is left a hole: a clock that jumps must not cost hours of silence.
    const MAX_GAP: Duration = Duration::from_secs(60);

    pub(super) fn new(track: usize, bitrate: u32) -> Self {
        AudioLane {
            track,
            bitrate: bitrate.clamp(6_000, 510_000),
            channels: None,
            reframer: None,
            encoder: None,
            pending: Vec::new(),
            next: None,
            packet: AudioBuffer::default(),
        }
    }

    /// How many channels it records from now on; `wanted` decides if nothing has yet.
    pub(super) fn channels(&mut self, wanted: u16) -> u16 {
        *self.channels.get_or_insert(wanted.clamp(1, 2))
    }

    /// Brings a track's sound to stretches of 10 ms at 48 kHz.
    pub(super) fn reframe(&mut self, sound: &AudioFrame, emit: impl FnMut(AudioFrame)) {
        let shape = (sound.buffer.sample_rate(), sound.buffer.channels());
        if !matches!(&self.reframer, Some((rate, channels, _)) if (*rate, *channels) == shape) {
            // Sound of a shape that nobody can make anything of is left out.
            self.reframer = Reframer::new(shape.0, shape.1)
                .ok()
                .map(|reframer| (shape.0, shape.1, reframer));
        }
        if let Some((_, _, reframer)) = &mut self.reframer {
            reframer.push(sound.buffer.samples(), sound.capture_time, emit);
        }
    }

    /// Takes a stretch of 10 ms that belongs at `time`.
    pub(super) fn push(
        &mut self,
        sound: &AudioBuffer,
        time: Duration,
        emit: &mut impl FnMut(Block),
    ) -> Result<(), CodecError> {
        let channels = self.channels(sound.channels());
        let next = match self.next {
            Some(next) => next,
            None => {
                // Sound from the beginning on: not everybody who plays it looks at times.
                self.next = Some(Duration::ZERO);
                self.fill(time, emit)?;
                time
            }
        };
        if next > time + Self::TOLERANCE {
            return Ok(());
        }
        if time > next + Self::TOLERANCE {
            self.fill(time, emit)?;
        }
        mix(sound, channels, &mut self.pending);
        self.next = self.next.map(|next| next + FRAME);
        self.encode(emit)
    }

    /// Silence up to `time`.
    pub(super) fn fill(
        &mut self,
        time: Duration,
        emit: &mut impl FnMut(Block),
    ) -> Result<(), CodecError> {
        let Some(next) = self.next else {
            return Ok(());
        };
        let gap = time.saturating_sub(next);
        if gap > Self::MAX_GAP {
            self.flush(emit)?;
            self.next = Some(time);
            return Ok(());
        }
        let frames = (gap.as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000) as usize;
        let channels = usize::from(self.channels(1));
        // Packet by packet: a minute of silence need not be in memory.
        let mut left = frames;
        while left > 0 {
            let some = left.min(Self::PACKET_FRAMES);
            let silent = self.pending.len() + some * channels;
            self.pending.resize(silent, 0.0);
            self.next = self.next.map(|next| next + duration(some));
            left -= some;
            self.encode(emit)?;
        }
        Ok(())
    }

    /// The rest, with silence to fill its packet.
    pub(super) fn flush(&mut self, emit: &mut impl FnMut(Block)) -> Result<(), CodecError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let channels = usize::from(self.channels(1));
        let missing = Self::PACKET_FRAMES.saturating_sub(self.pending.len() / channels);
        self.pending
            .resize(self.pending.len() + missing * channels, 0.0);
        self.next = self.next.map(|next| next + duration(missing));
        self.encode(emit)
    }

    /// Where its sound ends.
    pub(super) fn end(&self) -> Option<Duration> {
        self.next
    }

    fn encode(&mut self, emit: &mut impl FnMut(Block)) -> Result<(), CodecError> {
        let channels = self.channels(1);
        let len = Self::PACKET_FRAMES * usize::from(channels);
        while let (Some(samples), Some(next)) = (self.pending.get(..len), self.next) {
            self.packet
                .resize(SAMPLE_RATE, channels, Self::PACKET_FRAMES);
            self.packet.samples_mut().copy_from_slice(samples);
            let held = duration(self.pending.len() / usize::from(channels));
            let encoder = match &mut self.encoder {
                Some(encoder) => encoder,
                none => none.insert(OpusEncoder::new(
                    channels,
                    &AudioEncoderConfig {
                        bitrate: self.bitrate,
                        expected_loss: 0,
                        fec: false,
                        dtx: false,
                    },
                    OpusEncoderOptions {
                        application: OpusApplication::Audio,
                        ..OpusEncoderOptions::default()
                    },
                )?),
            };
            let data = encoder.encode(&self.packet)?;
            self.pending.drain(..len);
            emit(Block {
                track: self.track,
                time: next.saturating_sub(held),
                duration: Self::PACKET,
                key_frame: true,
                data,
            });
        }
        Ok(())
    }
}

fn duration(frames: usize) -> Duration {
    Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(SAMPLE_RATE))
}

/// Appends sound of one or two channels as `channels`, one or two.
fn mix(sound: &AudioBuffer, channels: u16, to: &mut Vec<f32>) {
    match (sound.channels(), channels) {
        (1, 2) => to.extend(sound.samples().iter().flat_map(|&sample| [sample, sample])),
        (2, 1) => to.extend(
            sound
                .samples()
                .chunks_exact(2)
                .map(|both| (both[0] + both[1]) / 2.0),
        ),
        _ => to.extend_from_slice(sound.samples()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Where the packets of 10-ms stretches at those times come to be.
    fn packets(times: &[u64]) -> Vec<u128> {
        let mut lane = AudioLane::new(0, 64_000);
        let mut blocks = Vec::new();
        let sound = AudioBuffer::new(SAMPLE_RATE, 1, 480);
        for &time in times {
            lane.push(&sound, ms(time), &mut |block| blocks.push(block))
                .unwrap();
        }
        lane.flush(&mut |block| blocks.push(block)).unwrap();
        blocks.iter().map(|block| block.time.as_millis()).collect()
    }

    #[test]
    fn packets_follow_each_other_whatever_the_jitter() {
        assert_eq!(packets(&[0, 12, 19, 32, 40]), [0, 20, 40]);
        assert_eq!(packets(&[35, 45]), [0, 20, 40], "silence before the first");
    }

    #[test]
    fn a_hole_is_filled_and_what_comes_twice_is_left_out() {
        assert_eq!(packets(&[0, 10, 100, 110]), [0, 20, 40, 60, 80, 100]);
        assert_eq!(packets(&[0, 10, 20, 0, 5, 30]), [0, 20]);
    }

    #[test]
    fn a_clock_that_jumps_costs_no_hours_of_silence() {
        assert_eq!(packets(&[0, 3_600_000, 3_600_010]), [0, 3_600_000]);
    }
}
