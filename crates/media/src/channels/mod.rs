//! Channels, the smallest unit of a stream: an audio track's channels one by one, and tracks put
//! together from channels.
//!
//! A browser has these in [Web Audio](https://webaudio.github.io/web-audio-api/#ChannelSplitterNode);
//! here they are tracks like any other. They end and are muted with what they are made from, and never
//! stop it.

mod matrix;
mod merge;

pub use matrix::ChannelMatrix;
pub use merge::merge_channels;

use crate::derive::{Derivation, derive};
use crate::sync::Mutex;
use crate::{
    AudioBuffer, AudioFrame, Frame, MediaKind, MediaStreamTrack, MediaTrackSettings, Pool,
};

/// The channel of that number of an audio track, as a track of one channel; silence where and while the
/// track has no such channel. `None` of a video track.
pub fn read_channel(track: &MediaStreamTrack, channel: u16) -> Option<MediaStreamTrack> {
    let matrix = move |from| ChannelMatrix::pick(from, channel);
    let label = format!("{}, channel {}", track.label(), u32::from(channel) + 1);
    mixed(track, &label, 1, matrix)
}

/// An audio track of `channels` channels, mixed from whatever the given one has by the
/// [usual matrices](ChannelMatrix). `None` of a video track.
pub fn mix_channels(track: &MediaStreamTrack, channels: u16) -> Option<MediaStreamTrack> {
    let matrix = move |from| ChannelMatrix::new(from, channels);
    mixed(track, track.label(), channels, matrix)
}

/// One track for each of the channels that an audio track says to have; one at least. None of a video
/// track.
pub fn split_channels(track: &MediaStreamTrack) -> Vec<MediaStreamTrack> {
    let channels = track.get_settings().channel_count.unwrap_or(1).max(1);
    let channels = u16::try_from(channels).unwrap_or(u16::MAX);
    (0..channels)
        .filter_map(|channel| read_channel(track, channel))
        .collect()
}

fn mixed(
    track: &MediaStreamTrack,
    label: &str,
    channels: u16,
    matrix: impl Fn(u16) -> ChannelMatrix + Send + Sync + 'static,
) -> Option<MediaStreamTrack> {
    if track.kind() != MediaKind::Audio {
        return None;
    }
    let settings = MediaTrackSettings {
        sample_rate: track.get_settings().sample_rate,
        channel_count: Some(channels.into()),
        ..Default::default()
    };
    let mixer = Mixer {
        matrix,
        current: Mutex::default(),
        pool: Pool::new(POOLED),
    };
    Some(derive(label, settings, std::slice::from_ref(track), mixer))
}

/// Frames on their way that need no new allocation.
const POOLED: usize = 8;

struct Mixer<M> {
    matrix: M,
    current: Mutex<Option<ChannelMatrix>>,
    pool: Pool<AudioBuffer>,
}

impl<M: Fn(u16) -> ChannelMatrix + Send + Sync + 'static> Derivation for Mixer<M> {
    fn take(&self, _input: usize, frame: &Frame, hand_on: &dyn Fn(&Frame)) {
        let Frame::Audio(sound) = frame else {
            return;
        };
        let channels = sound.buffer.channels();
        let mixed = {
            let mut current = self.current.lock();
            let matrix = match &mut *current {
                Some(matrix) if matrix.from() == channels => matrix,
                other => other.insert((self.matrix)(channels)),
            };
            self.pool.fill(|to| matrix.mix(&sound.buffer, to))
        };
        hand_on(&AudioFrame::new(mixed, sound.capture_time).into());
    }
}

#[cfg(test)]
mod tests;
