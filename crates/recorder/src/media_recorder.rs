//! The recorder as a program sees it: its attributes, its methods, its events.
//!
//! What happens in between is `session`'s: a thread for each recording, from `start` to the `stop`
//! event.

use crate::encode::{EncodingConfig, KeyFrames};
use crate::error::MediaRecorderError;
use crate::event::{RecorderEvent, RecorderStatistics, RecorderTask, RecordingState};
use crate::inbox::Inbox;
use crate::mime::{self, RecordingType};
use crate::options::{BitrateMode, Bitrates, Kinds, MediaRecorderOptions};
use crate::output::Output;
use crate::session::{Command, Session};
use duet_media::{EventTarget, MediaKind, MediaStream, MediaStreamTrack, Subscription, TrackState};
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// [`MediaRecorder`](https://w3c.github.io/mediacapture-record/#mediarecorder-api): writes a stream's
/// tracks as WebM, with VP8 and Opus.
///
/// `clone()` gives another handle to the same recorder; dropping the last one stops it, and what was
/// recorded is whole. Where browsers leave it to a recorder which types it knows without looking, this
/// one looks: what is not supported is refused by [`MediaRecorder::new`] at once.
#[derive(Clone)]
pub struct MediaRecorder(Arc<Handle>);

struct Handle {
    stream: MediaStream,
    shared: Arc<Shared>,
}

/// What a recorder and its recordings share.
pub(crate) struct Shared {
    options: MediaRecorderOptions,
    queue: Box<dyn Fn(RecorderTask) + Send + Sync>,
    pub(crate) events: EventTarget<RecorderEvent>,
    inner: Mutex<Inner>,
    idle: Condvar,
}

struct Inner {
    state: RecordingState,
    mime_type: String,
    bitrates: Bitrates,
    statistics: RecorderStatistics,
    /// Counts recordings; what an old one does must not change a new one.
    recording: u64,
    inbox: Option<Arc<Inbox<Command>>>,
    /// The newest recording's thread; a newer one waits for it.
    thread: Option<JoinHandle<()>>,
    running: u32,
}

impl MediaRecorder {
    /// Tracks of one recording at most.
    const MOST_TRACKS: usize = 16;

    /// [The constructor](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-mediarecorder).
    ///
    /// # Errors
    /// [`MediaRecorderError::NotSupported`] for a type that cannot be recorded.
    pub fn new(
        stream: &MediaStream,
        options: MediaRecorderOptions,
    ) -> Result<Self, MediaRecorderError> {
        Self::with_task_queue(stream, options, RecorderTask::run)
    }

    /// Like [`MediaRecorder::new`], for a program with an event loop: `queue` gets every change that
    /// comes of itself, and the events, and lets the loop run it. So the attributes change while a task
    /// runs and at no other time, as in a browser: [`MediaRecorder::mime_type`] as `Start` fires,
    /// [`MediaRecorder::state`] as the tracks' end is told. `queue` is called on the recording's thread.
    ///
    /// # Errors
    /// As [`MediaRecorder::new`].
    pub fn with_task_queue(
        stream: &MediaStream,
        options: MediaRecorderOptions,
        queue: impl Fn(RecorderTask) + Send + Sync + 'static,
    ) -> Result<Self, MediaRecorderError> {
        if !Self::is_type_supported(&options.mime_type) {
            return Err(not_supported(&options.mime_type));
        }
        let inner = Inner {
            state: RecordingState::Inactive,
            mime_type: options.mime_type.clone(),
            bitrates: options.bitrates(),
            statistics: RecorderStatistics::default(),
            recording: 0,
            inbox: None,
            thread: None,
            running: 0,
        };
        Ok(MediaRecorder(Arc::new(Handle {
            stream: stream.clone(),
            shared: Arc::new(Shared {
                options,
                queue: Box::new(queue),
                events: EventTarget::new(),
                inner: Mutex::new(inner),
                idle: Condvar::new(),
            }),
        })))
    }

    /// Whether that MIME type can be recorded; the empty one leaves the choice to the recorder.
    pub fn is_type_supported(mime_type: &str) -> bool {
        RecordingType::parse(mime_type).is_some()
    }

    /// The stream that is recorded.
    pub fn stream(&self) -> &MediaStream {
        &self.0.stream
    }

    /// What was asked for, and while it records: what it records.
    pub fn mime_type(&self) -> String {
        self.inner().mime_type.clone()
    }

    /// What it does.
    pub fn state(&self) -> RecordingState {
        self.inner().state
    }

    /// The target for pictures, in bits a second.
    pub fn video_bits_per_second(&self) -> u32 {
        self.inner().bitrates.video
    }

    /// The target for sound, in bits a second.
    pub fn audio_bits_per_second(&self) -> u32 {
        self.inner().bitrates.audio
    }

    /// How the bits for sound are spread. There is but one way.
    pub fn audio_bitrate_mode(&self) -> BitrateMode {
        BitrateMode::Variable
    }

    /// Counts of the newest recording.
    pub fn statistics(&self) -> RecorderStatistics {
        self.inner().statistics
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(
        &self,
        handler: impl Fn(&RecorderEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.shared.events.subscribe(handler)
    }

    /// [`start()`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-start): records all
    /// live tracks. The data comes with `DataAvailable`: all of it at the end, or with a `timeslice`
    /// (10 ms at least) whenever so much more was recorded. Without one a recording ends with an error
    /// at 256 MiB.
    ///
    /// # Errors
    /// [`MediaRecorderError::InvalidState`] if it is started already,
    /// [`MediaRecorderError::NotSupported`] if the stream has no live track, or one that the type has
    /// no place for.
    pub fn start(&self, timeslice: Option<Duration>) -> Result<(), MediaRecorderError> {
        self.start_with(Output::memory(), timeslice)
    }

    /// Like [`MediaRecorder::start`], with the data going to `output` as it is made; the blob of
    /// `DataAvailable` stays empty.
    ///
    /// # Errors
    /// As [`MediaRecorder::start`].
    pub fn start_to(&self, output: Output) -> Result<(), MediaRecorderError> {
        self.start_with(output, None)
    }

    /// [`stop()`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-stop): what came until
    /// now is recorded, then `DataAvailable` and `Stop` fire. Nothing happens if it is inactive.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// [`pause()`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-pause). Nothing
    /// happens if it is paused already.
    ///
    /// # Errors
    /// [`MediaRecorderError::InvalidState`] if it is inactive.
    pub fn pause(&self) -> Result<(), MediaRecorderError> {
        let mut inner = self.active("paused")?;
        if std::mem::replace(&mut inner.state, RecordingState::Paused) == RecordingState::Recording
            && let Some(inbox) = &inner.inbox
        {
            inbox.tell_and_refuse(Command::Pause);
        }
        Ok(())
    }

    /// [`resume()`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-resume). Nothing
    /// happens if it is not paused. The pause leaves no hole in the recording.
    ///
    /// # Errors
    /// [`MediaRecorderError::InvalidState`] if it is inactive.
    pub fn resume(&self) -> Result<(), MediaRecorderError> {
        let mut inner = self.active("resumed")?;
        if std::mem::replace(&mut inner.state, RecordingState::Recording) == RecordingState::Paused
            && let Some(inbox) = &inner.inbox
        {
            inbox.tell_and_take(Command::Resume);
        }
        Ok(())
    }

    /// [`requestData()`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-requestdata):
    /// hands out what was gathered until now.
    ///
    /// # Errors
    /// [`MediaRecorderError::InvalidState`] if it is inactive.
    pub fn request_data(&self) -> Result<(), MediaRecorderError> {
        let inner = self.active("asked for data")?;
        if let Some(inbox) = &inner.inbox {
            inbox.tell(Command::RequestData);
        }
        Ok(())
    }

    /// Waits until no recording is under way any more and every event has been fired: what was
    /// recorded is where it belongs. False if that took longer than `patience`. Not to be called by a
    /// listener of this recorder, nor on the thread that runs its tasks, which it would wait for.
    pub fn wait_until_stopped(&self, patience: Duration) -> bool {
        let mut inner = self.inner();
        let waited =
            self.0
                .shared
                .idle
                .wait_while_for(&mut inner, |inner| inner.running > 0, patience);
        !waited.timed_out()
    }

    fn start_with(
        &self,
        output: Output,
        timeslice: Option<Duration>,
    ) -> Result<(), MediaRecorderError> {
        let (stream, shared) = (&self.0.stream, &self.0.shared);
        let mut inner = self.inner();
        if inner.state != RecordingState::Inactive {
            let reason = format!("the recorder is {} already", inner.state.as_str());
            return Err(MediaRecorderError::InvalidState(reason));
        }
        let members = stream.get_tracks();
        let live = members
            .iter()
            .filter(|track| track.ready_state() == TrackState::Live)
            .cloned();
        let tracks: Vec<_> = live.collect();
        let options = &shared.options;
        check_tracks(&tracks, options)?;
        let has = |kind| tracks.iter().any(|track| track.kind() == kind);
        let kinds = Kinds {
            audio: has(MediaKind::Audio),
            video: has(MediaKind::Video),
        };
        let config = EncodingConfig {
            bitrates: options.bitrates_for(kinds),
            key_frames: key_frames(options)?,
        };
        let (inbox, sinks) = Inbox::attach(&tracks);
        let recording = inner.recording + 1;
        let session = Session::new(
            shared.clone(),
            recording,
            stream.clone(),
            members,
            &tracks,
            inbox.clone(),
            sinks,
            output,
            timeslice,
            &config,
            mime::extended(&options.mime_type, kinds.video, kinds.audio),
        );
        let previous = inner.thread.take();
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || {
                if let Some(previous) = previous {
                    // A recording whose listener panicked is over, too.
                    drop(previous.join());
                }
                session.run();
            });
        let thread = thread.map_err(|error| {
            MediaRecorderError::NotSupported(format!("the system grants no thread: {error}"))
        })?;
        *inner = Inner {
            state: RecordingState::Recording,
            mime_type: inner.mime_type.clone(),
            bitrates: config.bitrates,
            statistics: RecorderStatistics::default(),
            recording,
            inbox: Some(inbox),
            thread: Some(thread),
            running: inner.running + 1,
        };
        Ok(())
    }

    /// The recorder's state, if it can be told anything.
    fn active(&self, what: &str) -> Result<parking_lot::MutexGuard<'_, Inner>, MediaRecorderError> {
        let inner = self.inner();
        match inner.state {
            RecordingState::Inactive => Err(MediaRecorderError::InvalidState(format!(
                "the recorder is inactive and cannot be {what}"
            ))),
            _ => Ok(inner),
        }
    }

    fn inner(&self) -> parking_lot::MutexGuard<'_, Inner> {
        self.0.shared.inner.lock()
    }
}

impl Handle {
    fn stop(&self) {
        let mut inner = self.shared.inner.lock();
        if inner.state != RecordingState::Inactive {
            self.shared.inactivate(&mut inner);
            if let Some(inbox) = inner.inbox.take() {
                inbox.tell_and_refuse(Command::Stop);
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Lets the program's event loop, or else this thread, take these steps.
    pub(crate) fn queue_task(self: &Arc<Self>, steps: impl FnOnce(&Shared) + Send + 'static) {
        let shared = self.clone();
        (self.queue)(RecorderTask::new(move || steps(&shared)));
    }

    /// A recording has begun.
    pub(crate) fn started(&self, recording: u64, mime_type: &str) {
        let mut inner = self.inner.lock();
        if inner.recording == recording && inner.state != RecordingState::Inactive {
            inner.mime_type = mime_type.to_owned();
        }
    }

    /// A recording has ended by itself.
    pub(crate) fn ended(&self, recording: u64) {
        let mut inner = self.inner.lock();
        if inner.recording == recording && inner.state != RecordingState::Inactive {
            self.inactivate(&mut inner);
            inner.inbox = None;
        }
    }

    /// A recording is over, and so are its events.
    pub(crate) fn finished(&self) {
        self.inner.lock().running -= 1;
        self.idle.notify_all();
    }

    pub(crate) fn count(&self, recording: u64, statistics: RecorderStatistics) {
        let mut inner = self.inner.lock();
        if inner.recording == recording {
            inner.statistics = statistics;
        }
    }

    /// ["Inactivate the recorder"](https://w3c.github.io/mediacapture-record/#abstract-opdef-inactivate-the-recorder).
    fn inactivate(&self, inner: &mut Inner) {
        inner.state = RecordingState::Inactive;
        inner.mime_type.clone_from(&self.options.mime_type);
        inner.bitrates = self.options.bitrates();
    }
}

impl fmt::Debug for MediaRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaRecorder")
            .field("stream", &self.0.stream)
            .field("state", &self.state())
            .field("mime_type", &self.mime_type())
            .finish()
    }
}

fn not_supported(mime_type: &str) -> MediaRecorderError {
    MediaRecorderError::NotSupported(format!(
        "\"{mime_type}\" cannot be recorded; video/webm and audio/webm can, with vp8 and opus"
    ))
}

fn check_tracks(
    tracks: &[MediaStreamTrack],
    options: &MediaRecorderOptions,
) -> Result<(), MediaRecorderError> {
    let refuse = |reason: String| Err(MediaRecorderError::NotSupported(reason));
    if tracks.is_empty() {
        return refuse("the stream has no live track".into());
    }
    if tracks.len() > MediaRecorder::MOST_TRACKS {
        return refuse(format!(
            "{} tracks are too many, {} can be recorded at once",
            tracks.len(),
            MediaRecorder::MOST_TRACKS
        ));
    }
    let mime_type = &options.mime_type;
    let Some(wanted) = RecordingType::parse(mime_type) else {
        return Err(not_supported(mime_type));
    };
    match tracks.iter().find(|track| !wanted.takes(track.kind())) {
        Some(track) => refuse(format!(
            "\"{mime_type}\" has no place for the {} track \"{}\"",
            track.kind(),
            track.label()
        )),
        None => Ok(()),
    }
}

fn key_frames(options: &MediaRecorderOptions) -> Result<KeyFrames, MediaRecorderError> {
    match (
        options.video_key_frame_interval_duration,
        options.video_key_frame_interval_count,
    ) {
        (None, None) => Ok(KeyFrames::default()),
        (Some(after), None) => Ok(KeyFrames::After(after)),
        (None, Some(count)) => Ok(KeyFrames::Every(count)),
        (Some(_), Some(_)) => Err(MediaRecorderError::NotSupported(
            "key frames come after a time or a count, not both".into(),
        )),
    }
}
