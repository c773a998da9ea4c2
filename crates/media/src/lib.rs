//! The W3C media model: [`MediaStream`], [`MediaStreamTrack`], the frames that flow through them,
//! the [`MediaSource`]s that feed them and the [`Sink`]s that take from them.
//!
//! The model follows [Media Capture and Streams](https://w3c.github.io/mediacapture-main/); what a
//! browser calls `track.readyState` is [`MediaStreamTrack::ready_state`] here, and so on.
//!
//! What this crate deliberately is not: it opens no device, reads no clock, spawns no thread, knows
//! no codec and no network. Frames arrive by [`MediaSource::publish`] on the caller's thread and are
//! handed to the sinks on that same thread.

pub mod channels;
pub mod clock;
mod configure;
pub mod constraints;
mod content_hint;
mod derive;
pub mod event;
pub mod frame;
mod local_stream;
pub mod process;
mod settings;
pub mod shape;
mod sink;
mod source;
mod stream;
mod sync;
mod track;

pub use clock::{Clock, ManualClock, MediaTime, MonotonicClock};
pub use constraints::{
    ConstrainableProperty, MediaStreamConstraints, MediaTrackConstraintSet, MediaTrackConstraints,
    OverconstrainedError,
};
pub use content_hint::ContentHint;
pub use event::{EventTarget, Subscription};
pub use frame::{AudioBuffer, AudioFrame, Frame, I420Buffer, Pool, VideoFrame};
pub use local_stream::{LocalMediaStream, MediaStreamTrackList};
pub use settings::{
    CursorCaptureConstraint, DisplayCaptureSurfaceType, EchoCancellation, MediaTrackCapabilities,
    MediaTrackSettings, Range, VideoFacingMode, VideoResizeMode,
};
pub use sink::{FrameQueue, Sink, SinkHandle};
pub use source::{MediaSource, ReconfigureError, SourceControl, WeakMediaSource};
pub use stream::{MediaStream, StreamEvent};
pub use track::{MediaStreamTrack, TrackEvent, TrackState};

use std::fmt;

/// What a track carries: [`MediaStreamTrack.kind`](https://w3c.github.io/mediacapture-main/#dom-mediastreamtrack-kind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// The W3C's string: `"audio"` or `"video"`.
    pub fn as_str(self) -> &'static str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
