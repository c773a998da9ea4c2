//! Opus packets of a file to stretches of 10 ms.

use super::container::Packet;
use duet_codec::{AudioDecoder, OpusDecoder};
use duet_devices::resample::{FRAME, FRAME_LEN, SAMPLE_RATE};
use duet_media::{AudioBuffer, MediaTrackSettings, Pool};
use std::sync::Arc;
use std::time::Duration;

/// Decodes a track of sound. Where the file leaves a hole, so does the sound, and what comes after it
/// is in time again. What would sound before its predecessor has ended is left out.
pub(super) struct SoundLane {
    decoder: OpusDecoder,
    channels: u16,
    pre_skip: u32,
    /// Samples of each channel to be left out before anything is heard.
    skip: usize,
    decoded: AudioBuffer,
    /// Samples that fill no stretch yet.
    pending: Vec<f32>,
    /// When the first of `pending` sounds.
    time: Option<Duration>,
    pool: Pool<AudioBuffer>,
}

impl SoundLane {
    /// Times in a file are rounded to milliseconds, and may be uneven beyond that.
    const TOLERANCE: Duration = Duration::from_millis(25);
    /// Stretches on their way that need no new allocation.
    const POOLED: usize = 32;

    pub(super) fn new(channels: u8, pre_skip: u32) -> Result<Self, String> {
        // More than two come out as two: that is how Opus has them coupled.
        let channels = u16::from(channels.clamp(1, 2));
        Ok(SoundLane {
            decoder: OpusDecoder::new(channels).map_err(|error| error.to_string())?,
            channels,
            pre_skip,
            skip: pre_skip as usize,
            decoded: AudioBuffer::default(),
            pending: Vec::new(),
            time: None,
            pool: Pool::new(Self::POOLED),
        })
    }

    pub(super) fn settings(&self) -> MediaTrackSettings {
        MediaTrackSettings {
            sample_rate: Some(SAMPLE_RATE),
            channel_count: Some(self.channels.into()),
            ..Default::default()
        }
    }

    /// The next packet is the file's first.
    pub(super) fn begin(&mut self) {
        self.skip = self.pre_skip as usize;
        self.pending.clear();
        self.time = None;
    }

    /// Decodes a packet.
    pub(super) fn decode(
        &mut self,
        packet: &Packet,
        mut emit: impl FnMut(Duration, Arc<AudioBuffer>),
    ) {
        if self
            .decoder
            .decode(&packet.data, &mut self.decoded)
            .is_err()
        {
            return;
        }
        let channels = usize::from(self.channels);
        let skipped = self.skip.min(self.decoded.frames());
        self.skip -= skipped;
        let heard = &self.decoded.samples()[skipped * channels..];
        if heard.is_empty() {
            return;
        }
        let begins = packet.time.saturating_add(nanos(skipped)).max(0);
        let begins = Duration::from_nanos(begins.unsigned_abs());
        let held = Duration::from_nanos(nanos(self.pending.len() / channels).unsigned_abs());
        match self.time {
            Some(time) if (time + held).abs_diff(begins) <= Self::TOLERANCE => {}
            Some(time) if begins < time + held => return,
            // The first, or what comes after a hole.
            _ => {
                self.pending.clear();
                self.time = Some(begins);
            }
        }
        self.pending.extend_from_slice(heard);
        let len = FRAME_LEN * channels;
        let mut taken = 0;
        while let (Some(samples), Some(time)) = (self.pending.get(taken..taken + len), self.time) {
            let buffer = self.pool.fill(|buffer| {
                buffer.resize(SAMPLE_RATE, self.channels, FRAME_LEN);
                buffer.samples_mut().copy_from_slice(samples);
            });
            emit(time, buffer);
            taken += len;
            self.time = Some(time + FRAME);
        }
        self.pending.drain(..taken);
    }
}

fn nanos(frames: usize) -> i64 {
    frames as i64 * 1_000_000_000 / i64::from(SAMPLE_RATE)
}
