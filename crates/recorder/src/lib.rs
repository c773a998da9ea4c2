//! Media at rest: a stream recorded to WebM ([`MediaRecorder`]), and coded files played as a stream
//! ([`player`]); like a tape recorder it does both. And between the two, a live stream under a URL
//! ([`ObjectUrls`]), which is a recording that is never rewound.
//!
//! What this crate deliberately is not: it captures nothing, knows no call, and encodes nothing itself
//! (`duet_codec` does). Raw files (Y4M, WAV) are devices' and need no codec: see `duet_devices::file`.
//!
//! ```
//! use duet_devices::synthetic::{SyntheticCamera, SyntheticCameraConfig};
//! use duet_media::{MediaStream, MonotonicClock};
//! use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let camera = SyntheticCamera::start(SyntheticCameraConfig::default(), Arc::new(MonotonicClock::new()));
//! let stream = MediaStream::from_tracks([camera]);
//! let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default())?;
//!
//! let file = tempfile::NamedTempFile::new()?;
//! recorder.start_to(Output::file(file.path())?)?;
//! // Some time later:
//! recorder.stop();
//! assert!(recorder.wait_until_stopped(Duration::from_secs(10)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encode;
mod error;
mod event;
mod inbox;
mod interleave;
mod media_recorder;
mod mime;
#[cfg(feature = "object-url")]
mod object_url;
mod options;
mod output;
pub mod player;
mod session;
mod timeline;
mod webm;

pub use error::MediaRecorderError;
pub use event::{Blob, RecorderEvent, RecorderStatistics, RecorderTask, RecordingState};
pub use media_recorder::MediaRecorder;
#[cfg(feature = "object-url")]
pub use object_url::ObjectUrls;
pub use options::{BitrateMode, MediaRecorderOptions};
pub use output::Output;
