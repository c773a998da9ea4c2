//! Frames: what flows from sources to sinks. Cloning a frame shares its buffer.

mod audio;
mod pool;
mod video;

pub use audio::{AudioBuffer, AudioFrame};
pub use pool::Pool;
pub use video::{I420Buffer, VideoFrame};

use crate::{MediaKind, MediaTime};

/// One frame of either kind.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A picture.
    Video(VideoFrame),
    /// A stretch of sound.
    Audio(AudioFrame),
}

impl Frame {
    /// Which kind of track it belongs on.
    pub fn kind(&self) -> MediaKind {
        match self {
            Frame::Video(_) => MediaKind::Video,
            Frame::Audio(_) => MediaKind::Audio,
        }
    }

    /// When its first light or sound was captured.
    pub fn capture_time(&self) -> MediaTime {
        match self {
            Frame::Video(frame) => frame.capture_time,
            Frame::Audio(frame) => frame.capture_time,
        }
    }
}

impl From<VideoFrame> for Frame {
    fn from(frame: VideoFrame) -> Self {
        Frame::Video(frame)
    }
}

impl From<AudioFrame> for Frame {
    fn from(frame: AudioFrame) -> Self {
        Frame::Audio(frame)
    }
}
