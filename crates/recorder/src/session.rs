//! One recording, from `start` to the `stop` event, on a thread of its own.

use crate::encode::{Encoding, EncodingConfig};
use crate::error::MediaRecorderError;
use crate::event::{Blob, RecorderEvent, RecorderStatistics};
use crate::inbox::{Beginning, Inbox, Item};
use crate::media_recorder::Shared;
use crate::output::Output;
use crate::webm::{Block, Muxer, Patch, TrackEntry};
use duet_codec::CodecError;
use duet_media::{MediaKind, MediaStream, MediaStreamTrack, SinkHandle};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a program tells a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Pause,
    Resume,
    RequestData,
    Stop,
}

/// Why a recording ends.
enum End {
    Asked,
    TracksEnded,
    Failed(MediaRecorderError),
}

/// How long a recording waits for a track's first frame before it begins with the others.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the stream is asked for its tracks when nothing else happens. What a program does to its
/// own stream fires no event.
const LOOK: Duration = Duration::from_millis(100);
/// Data is not handed out in smaller slices.
const LEAST_TIMESLICE: Duration = Duration::from_millis(10);

pub(crate) struct Session {
    shared: Arc<Shared>,
    recording: u64,
    stream: MediaStream,
    /// All of the stream's tracks when it began, the ended ones too.
    members: Vec<MediaStreamTrack>,
    /// How many of the recorded ones have not ended.
    live: usize,
    inbox: Arc<Inbox<Command>>,
    sinks: Vec<SinkHandle>,
    encoding: Encoding,
    muxer: Option<Muxer>,
    video: Vec<bool>,
    output: Output,
    bytes: Vec<u8>,
    mime_type: String,
    timeslice: Option<Duration>,
    /// Where in the recording the data begins that is gathered now.
    slice: Option<Duration>,
    /// Where in the recording the newest data is.
    newest: Duration,
    /// Where in the recording the next slice ends.
    slice_end: Duration,
    /// When any track delivered something.
    last_frame: Instant,
    /// Until when a track's first frame is waited for.
    deadline: Instant,
    statistics: RecorderStatistics,
}

impl Session {
    #[expect(clippy::too_many_arguments, reason = "called once, by the recorder")]
    pub(crate) fn new(
        shared: Arc<Shared>,
        recording: u64,
        stream: MediaStream,
        members: Vec<MediaStreamTrack>,
        tracks: &[MediaStreamTrack],
        inbox: Arc<Inbox<Command>>,
        sinks: Vec<SinkHandle>,
        output: Output,
        timeslice: Option<Duration>,
        config: &EncodingConfig,
        mime_type: String,
    ) -> Self {
        let timeslice = timeslice.map(|slice| slice.max(LEAST_TIMESLICE));
        let is_video = |track: &MediaStreamTrack| track.kind() == MediaKind::Video;
        Session {
            encoding: Encoding::new(tracks, config),
            video: tracks.iter().map(is_video).collect(),
            shared,
            recording,
            stream,
            members,
            live: tracks.len(),
            inbox,
            sinks,
            muxer: None,
            output,
            bytes: Vec::new(),
            mime_type,
            slice_end: timeslice.unwrap_or_default(),
            timeslice,
            slice: None,
            newest: Duration::ZERO,
            last_frame: Instant::now(),
            deadline: Instant::now() + PATIENCE,
            statistics: RecorderStatistics::default(),
        }
    }

    pub(crate) fn run(mut self) {
        let running = Running(self.shared.clone());
        let (recording, mime_type) = (self.recording, self.mime_type.clone());
        self.shared.queue_task(move |shared| {
            shared.started(recording, &mime_type);
            shared.events.dispatch(&RecorderEvent::Start { mime_type });
        });
        let end = loop {
            if let Some(end) = self.step() {
                break end;
            }
        };
        self.finish(end, running);
    }

    /// Sees to one thing.
    fn step(&mut self) -> Option<End> {
        if self.stream.get_tracks() != self.members {
            return Some(End::Failed(MediaRecorderError::InvalidModification(
                "a track was added to the stream, or removed from it".into(),
            )));
        }
        if !self.encoding.runs() && !self.begin() {
            return None;
        }
        let Some(item) = self.inbox.next(LOOK) else {
            let silent_for = self.last_frame.elapsed();
            let made_up = self.encoding.idle(silent_for).map_err(cannot_encode);
            return made_up.and_then(|()| self.write()).err().map(End::Failed);
        };
        match item {
            Item::Frame(track, frame) => {
                self.last_frame = Instant::now();
                if !self.encoding.runs() {
                    self.encoding.begin(frame.capture_time());
                }
                let taken = self.encoding.take(track, &frame).map_err(cannot_encode);
                taken.and_then(|()| self.write()).err().map(End::Failed)
            }
            Item::Command(command) => self.obey(command),
            Item::Ended(track) => self.track_ended(track),
        }
    }

    fn track_ended(&mut self, track: usize) -> Option<End> {
        self.live -= 1;
        if self.live == 0 {
            return Some(End::TracksEnded);
        }
        let ended = self.encoding.end(track).map_err(cannot_encode);
        ended.and_then(|()| self.write()).err().map(End::Failed)
    }

    /// Begins with the earliest of the tracks' first frames. False while one is waited for.
    fn begin(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let origin = match self.inbox.beginning(left.min(LOOK)) {
            Beginning::Waiting if !left.is_zero() => return false,
            Beginning::Waiting => self.inbox.earliest(),
            Beginning::At(origin) => origin,
        };
        if let Some(origin) = origin {
            self.encoding.begin(origin);
        }
        true
    }

    fn obey(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Pause => {
                self.encoding.pause();
                // Until it is resumed nothing comes, and nothing is waited for.
                self.deadline = Instant::now();
                self.fire(RecorderEvent::Pause);
            }
            Command::Resume => {
                self.last_frame = Instant::now();
                self.deadline = Instant::now() + PATIENCE;
                self.fire(RecorderEvent::Resume);
            }
            Command::RequestData => self.hand_out(),
            Command::Stop => return Some(End::Asked),
        }
        None
    }

    /// Writes what is certain, and hands out a slice if it is full.
    fn write(&mut self) -> Result<(), MediaRecorderError> {
        while let Some(block) = self.encoding.pop() {
            self.write_block(&block)?;
        }
        self.statistics.duration = self.encoding.duration();
        self.count_lost();
        self.shared.count(self.recording, self.statistics);
        if let Some(timeslice) = self.timeslice
            && self.encoding.duration() >= self.slice_end
        {
            self.slice_end = self.encoding.duration() + timeslice;
            self.hand_out();
        }
        Ok(())
    }

    fn write_block(&mut self, block: &Block) -> Result<(), MediaRecorderError> {
        self.bytes.clear();
        if self.muxer.is_none() {
            let entries: Vec<TrackEntry> = self.encoding.describe();
            self.muxer = Some(Muxer::new(entries, &mut self.bytes));
        }
        let patch = match &mut self.muxer {
            Some(muxer) => muxer.write(block, &mut self.bytes),
            None => None,
        };
        self.slice.get_or_insert(block.time);
        self.newest = block.time;
        if self.video.get(block.track) == Some(&true) {
            self.statistics.pictures += 1;
        }
        self.put(patch)
    }

    fn put(&mut self, patches: impl IntoIterator<Item = Patch>) -> Result<(), MediaRecorderError> {
        self.output
            .write(&self.bytes, patches)
            .map_err(|error| MediaRecorderError::Unknown(format!("cannot write: {error}")))?;
        self.statistics.bytes_written += self.bytes.len() as u64;
        Ok(())
    }

    /// The end of the file, as far as there is anything to say about it.
    fn write_end(&mut self) -> Result<(), MediaRecorderError> {
        self.encoding.finish().map_err(cannot_encode)?;
        while let Some(block) = self.encoding.pop() {
            self.write_block(&block)?;
        }
        self.statistics.duration = self.encoding.duration();
        self.bytes.clear();
        let Some(muxer) = self.muxer.take() else {
            return Ok(());
        };
        if !self.output.can_patch() {
            return Ok(());
        }
        let patches = muxer.finish(&mut self.bytes);
        self.put(patches)
    }

    fn finish(mut self, end: End, running: Running) {
        self.inbox.close();
        self.count_lost();
        self.sinks.clear();
        let written = self.write_end();
        self.shared.count(self.recording, self.statistics);
        let failed = match (end, written) {
            (End::Failed(error), _) | (End::Asked | End::TracksEnded, Err(error)) => Some(error),
            (End::Asked | End::TracksEnded, Ok(())) => None,
        };
        if let Some(error) = &failed {
            tracing::warn!(%error, "a recording ended");
        }
        let (recording, data) = (self.recording, self.gathered());
        self.shared.queue_task(move |shared| {
            let _running = running;
            shared.ended(recording);
            if let Some(error) = failed {
                shared.events.dispatch(&RecorderEvent::Error(error));
            }
            shared.events.dispatch(&data);
            shared.events.dispatch(&RecorderEvent::Stop);
        });
    }

    fn hand_out(&mut self) {
        let data = self.gathered();
        self.fire(data);
    }

    fn gathered(&mut self) -> RecorderEvent {
        RecorderEvent::DataAvailable {
            blob: Blob {
                data: self.output.take(),
                mime_type: self.mime_type.clone(),
            },
            timecode: self.slice.take().unwrap_or(self.newest),
        }
    }

    fn count_lost(&mut self) {
        let lost = self.inbox.lost();
        let of = |wanted: bool| {
            let lost = lost.iter().zip(&self.video);
            lost.filter(|(_, video)| **video == wanted)
                .map(|(lost, _)| lost)
                .sum()
        };
        self.statistics.pictures_lost = of(true);
        self.statistics.sounds_lost = of(false);
    }

    fn fire(&self, event: RecorderEvent) {
        self.shared
            .queue_task(move |shared| shared.events.dispatch(&event));
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn cannot_encode(error: CodecError) -> MediaRecorderError {
    MediaRecorderError::Unknown(format!("a frame cannot be encoded: {error}"))
}

/// Whatever a listener did, and whether or not the last task was run: nobody waits for ever.
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.finished();
    }
}
