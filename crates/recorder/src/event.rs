//! What a recorder says: its state, its events, its counts; and where it says so.

use crate::error::MediaRecorderError;
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// [`RecordingState`](https://w3c.github.io/mediacapture-record/#recordingstate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordingState {
    /// Not started, or stopped.
    #[default]
    Inactive,
    /// What the tracks deliver is recorded.
    Recording,
    /// Started, but what the tracks deliver is left out.
    Paused,
}

impl RecordingState {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordingState::Inactive => "inactive",
            RecordingState::Recording => "recording",
            RecordingState::Paused => "paused",
        }
    }
}

/// What a recorder hands out: bytes and their type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The bytes. Those of all blobs of a recording, one after the other, are the recording.
    pub data: Bytes,
    /// The MIME type.
    pub mime_type: String,
}

/// [Events of a recorder](https://w3c.github.io/mediacapture-record/#event-summary). They are fired on
/// the recording's own thread, unless a program queues the [`RecorderTask`]s itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecorderEvent {
    /// Recording has begun.
    Start {
        /// What the recorder's MIME type is from now on.
        mime_type: String,
    },
    /// Recording has ended; fires once after each `Start`, and last.
    Stop,
    /// Data is there.
    DataAvailable {
        /// The data; empty if none was gathered, or if it went elsewhere
        /// ([`MediaRecorder::start_to`](crate::MediaRecorder::start_to)).
        blob: Blob,
        /// From the recording's beginning to that of the data.
        timecode: Duration,
    },
    /// What the tracks deliver is left out from now on.
    Pause,
    /// What the tracks deliver is recorded again.
    Resume,
    /// Recording cannot go on. A last `DataAvailable` and `Stop` follow.
    Error(MediaRecorderError),
}

/// What became of a recording so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatistics {
    /// How long it is.
    pub duration: Duration,
    /// Bytes that were written.
    pub bytes_written: u64,
    /// Pictures that were encoded.
    pub pictures: u64,
    /// Pictures that were lost, because encoder or disk were more than a second behind.
    pub pictures_lost: u64,
    /// Stretches of sound, usually 10 ms, that were lost for the same reason.
    pub sounds_lost: u64,
}

/// [A task](https://html.spec.whatwg.org/multipage/webappapis.html#queue-a-task) of a recorder: what
/// changes about it without having been called for, and the events that tell of that.
///
/// Only [`MediaRecorder::with_task_queue`](crate::MediaRecorder::with_task_queue) hands any out. They
/// are to be run one after the other, in the order in which they came. One that is dropped changes
/// nothing and tells nobody.
#[must_use = "a task does nothing until it is run"]
pub struct RecorderTask(Box<dyn FnOnce() + Send>);

impl RecorderTask {
    pub(crate) fn new(steps: impl FnOnce() + Send + 'static) -> Self {
        RecorderTask(Box::new(steps))
    }

    /// Changes what is to be changed, and calls the listeners on this thread.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for RecorderTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecorderTask")
    }
}
