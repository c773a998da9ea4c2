//! Several tracks of one channel as one track of several.

use super::POOLED;
use crate::derive::{Derivation, derive};
use crate::sync::Mutex;
use crate::{
    AudioBuffer, AudioFrame, Frame, MediaKind, MediaStreamTrack, MediaTime, MediaTrackSettings,
    Pool,
};
use std::collections::VecDeque;

/// One audio track with a channel for each of the given audio tracks, in their order; a track of several
/// channels is mixed to one first, by the [usual matrix](super::ChannelMatrix). `None` if there is none,
/// or one is of video.
///
/// The tracks are put together by their capture times, which must be of one clock. The first sets the
/// pace; what the others have not delivered by then, or deliver at another sample rate, is silence.
/// When the first ends, its channel is silent and the pace is the next one's.
pub fn merge_channels(tracks: &[MediaStreamTrack]) -> Option<MediaStreamTrack> {
    let first = tracks.first()?;
    if tracks.iter().any(|track| track.kind() != MediaKind::Audio) {
        return None;
    }
    let settings = MediaTrackSettings {
        sample_rate: first.get_settings().sample_rate,
        channel_count: u32::try_from(tracks.len()).ok(),
        ..Default::default()
    };
    let merger = Merger {
        inputs: Mutex::new(tracks.iter().map(|_| Input::default()).collect()),
        tracks: tracks.to_vec(),
        pool: Pool::new(POOLED),
    };
    Some(derive(first.label(), settings, tracks, merger))
}

struct Merger {
    inputs: Mutex<Vec<Input>>,
    tracks: Vec<MediaStreamTrack>,
    pool: Pool<AudioBuffer>,
}

/// What an input has delivered and nobody has taken: at most [`KEPT`] seconds, then the oldest is lost.
#[derive(Default)]
struct Input {
    samples: VecDeque<f32>,
    /// When the first of them was captured.
    start: MediaTime,
    rate: u32,
}

/// Half a second: devices deliver 10 ms at a time, and at most some 100 ms late.
const KEPT: f64 = 0.5;

impl Derivation for Merger {
    fn take(&self, input: usize, frame: &Frame, hand_on: &dyn Fn(&Frame)) {
        let Frame::Audio(sound) = frame else {
            return;
        };
        let mut inputs = self.inputs.lock();
        inputs[input].push(sound);
        let live = |track: &MediaStreamTrack| track.ready_state() == crate::TrackState::Live;
        if self.tracks.iter().position(live) != Some(input) {
            return;
        }
        let channels = u16::try_from(self.tracks.len()).unwrap_or(u16::MAX);
        let (rate, frames) = (sound.buffer.sample_rate(), sound.buffer.frames());
        let merged = self.pool.fill(|to| {
            to.resize(rate, channels, frames);
            let all = usize::from(channels);
            for (channel, input) in inputs.iter_mut().take(all).enumerate() {
                let samples = to.samples_mut()[channel..].iter_mut().step_by(all);
                input.pull(sound.capture_time, rate, samples);
            }
        });
        drop(inputs);
        hand_on(&AudioFrame::new(merged, sound.capture_time).into());
    }
}

impl Input {
    fn push(&mut self, sound: &AudioFrame) {
        let rate = sound.buffer.sample_rate();
        let gap = sound.capture_time.nanos_since(self.end());
        // Stretches follow one another closely; where they do not, something was lost.
        if self.rate != rate || self.samples.is_empty() || gap.abs() > 5_000_000 {
            self.samples.clear();
            self.start = sound.capture_time;
            self.rate = rate;
        }
        let channels = usize::from(sound.buffer.channels().max(1));
        let gain = super::ChannelMatrix::new(sound.buffer.channels(), 1);
        let gains: Vec<f32> = (0..sound.buffer.channels())
            .map(|c| gain.gain(c, 0))
            .collect();
        let mono = sound.buffer.samples().chunks_exact(channels);
        self.samples
            .extend(mono.map(|frame| frame.iter().zip(&gains).map(|(s, g)| s * g).sum::<f32>()));
        let most = (f64::from(rate) * KEPT) as usize;
        self.skip(self.samples.len().saturating_sub(most));
    }

    /// Takes what was captured from `from` on; silence where there is nothing.
    fn pull<'a>(&mut self, from: MediaTime, rate: u32, to: impl Iterator<Item = &'a mut f32>) {
        let ours = self.rate == rate && !self.samples.is_empty();
        let offset = from.nanos_since(self.start) as f64 * f64::from(rate) / 1e9;
        let offset = offset.round() as i64;
        if ours && offset > 0 {
            self.skip((offset as usize).min(self.samples.len()));
        }
        let mut missing = if ours { (-offset).max(0) } else { i64::MAX };
        let mut taken = 0;
        for sample in to {
            *sample = if missing > 0 {
                missing -= 1;
                0.0
            } else {
                taken += 1;
                self.samples.get(taken - 1).copied().unwrap_or(0.0)
            };
        }
        self.skip(taken.min(self.samples.len()));
    }

    fn skip(&mut self, samples: usize) {
        self.samples.drain(..samples);
        self.start = self.start.offset_by(self.nanos(samples));
    }

    fn end(&self) -> MediaTime {
        self.start.offset_by(self.nanos(self.samples.len()))
    }

    fn nanos(&self, samples: usize) -> i64 {
        match self.rate {
            0 => 0,
            rate => (samples as i64).saturating_mul(1_000_000_000) / i64::from(rate),
        }
    }
}
