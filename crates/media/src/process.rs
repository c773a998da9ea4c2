//! Frames out of a track, and a track out of frames:
//! [MediaStreamTrack Insertable Media Processing](https://w3c.github.io/mediacapture-transform/).
//!
//! A program that changes a picture or measures a sound reads with a [`MediaStreamTrackProcessor`], and
//! writes what it made to a [`MediaStreamTrackGenerator`]. Both work with threads and with tasks.
//!
//! Nothing piles up between them: a processor keeps a few frames and loses the oldest when its reader is
//! slow, since a live reader wants what is new; a generator keeps none, and a write returns when every
//! consumer has taken the frame.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::track::TrackShared;
use crate::{
    Frame, FrameQueue, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, Range, SinkHandle, SourceControl,
};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// [`MediaStreamTrackProcessor`](https://w3c.github.io/mediacapture-transform/#track-processor): a
/// track's frames, one after the other. Dropping it lets go of the track, which lives on.
pub struct MediaStreamTrackProcessor {
    queue: Arc<FrameQueue>,
    track: MediaStreamTrack,
    _sink: SinkHandle,
}

impl MediaStreamTrackProcessor {
    /// Reads `track` from now on. At most `max_buffer_size` frames (at least one) wait for the reader;
    /// then the oldest is lost, and counted. One is right for pictures; sound, of which nothing should
    /// be missing, wants some ten.
    pub fn new(track: &MediaStreamTrack, max_buffer_size: usize) -> Self {
        let queue = Arc::new(FrameQueue::new(max_buffer_size));
        MediaStreamTrackProcessor {
            _sink: track.add_sink(queue.clone()),
            queue,
            track: track.clone(),
        }
    }

    /// The next frame. `None` once the track has ended and all is read.
    pub async fn read(&self) -> Option<Frame> {
        self.queue.pop().await
    }

    /// The next frame, waiting at most so long on this thread. `None` if none came, or none ever will,
    /// which [`MediaStreamTrackProcessor::is_ended`] tells.
    pub fn read_timeout(&self, timeout: Duration) -> Option<Frame> {
        self.queue.pop_timeout(timeout)
    }

    /// Whether the track has ended. Frames may be left.
    pub fn is_ended(&self) -> bool {
        self.queue.is_ended()
    }

    /// How many frames were lost because they were not read in time.
    pub fn lost(&self) -> u64 {
        self.queue.overwritten()
    }

    /// The track that is read.
    pub fn track(&self) -> &MediaStreamTrack {
        &self.track
    }
}

/// Why a frame was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Every track of the generator was stopped, or it was closed. Stop writing.
    #[error("nobody reads what is written: the generator's tracks have ended")]
    Ended,
    /// A sound for a video track, or a picture for an audio track.
    #[error("a frame of the other kind")]
    WrongKind,
}

/// [`MediaStreamTrackGenerator`](https://w3c.github.io/mediacapture-transform/#video-track-generator),
/// for pictures and for sound: what is written to it is what its track delivers. Dropping it ends the
/// track, which fires `ended`.
pub struct MediaStreamTrackGenerator {
    source: MediaSource,
    track: Mutex<Held>,
    pace: Mutex<Pace>,
    stopped: Arc<AtomicBool>,
}

/// The generator's track: kept until somebody asks for it, and theirs from then on, so that the
/// generator hears when nobody has it any more.
enum Held {
    Kept(MediaStreamTrack),
    Given(Weak<TrackShared>),
}

impl MediaStreamTrackGenerator {
    /// A generator of a track named `label`. Its settings follow what is written; its frame rate is an
    /// estimate. Pictures can be had smaller, and less often, by constraints of its tracks.
    pub fn new(kind: MediaKind, label: impl Into<String>) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let settings = MediaTrackSettings::default();
        let capabilities = match kind {
            MediaKind::Audio => MediaTrackCapabilities::default(),
            MediaKind::Video => MediaTrackCapabilities {
                width: Some(SIDES),
                height: Some(SIDES),
                frame_rate: Some(FRAME_RATES),
                ..Default::default()
            },
        };
        let source = MediaSource::new(
            kind,
            label,
            settings,
            capabilities,
            Stopped(stopped.clone()),
        );
        let track = Mutex::new(Held::Kept(source.create_track()));
        MediaStreamTrackGenerator {
            source,
            track,
            pace: Mutex::default(),
            stopped,
        }
    }

    /// The track, which is the same one every time. Others of the same content are its
    /// [clones](MediaStreamTrack::clone_track). Once everybody has dropped it it has ended.
    pub fn track(&self) -> MediaStreamTrack {
        let mut held = self.track.lock();
        let track = match &*held {
            Held::Kept(track) => track.clone(),
            Held::Given(track) => match MediaStreamTrack::upgrade(track) {
                Some(track) => return track,
                None => MediaStreamTrack::of(&self.source.shared(), true, false),
            },
        };
        *held = Held::Given(track.downgrade());
        track
    }

    /// Delivers a frame. Returns when every consumer has taken it; consumers that need time have
    /// queues of their own. While the generator is muted the frame goes nowhere.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, frame: &Frame) -> Result<(), WriteError> {
        if frame.kind() != self.source.kind() {
            return Err(WriteError::WrongKind);
        }
        if self.stopped.load(Ordering::Acquire) {
            return Err(WriteError::Ended);
        }
        if self.source.is_muted() {
            return Ok(());
        }
        let settings = self.source.settings();
        let frame_rate = self.pace.lock().rate(frame.capture_time());
        let written = described(frame, frame_rate, &settings);
        if written != settings {
            self.source.set_settings(written);
        }
        self.source.publish(frame);
        Ok(())
    }

    /// `muted`: while it is, nothing that is written gets through, and the track says so.
    pub fn set_muted(&self, muted: bool) {
        self.source.set_muted(muted);
    }

    /// Ends the track, as a camera that is unplugged does: it fires `ended`.
    pub fn close(&self) {
        self.stopped.store(true, Ordering::Release);
        self.source.end();
    }
}

impl Drop for MediaStreamTrackGenerator {
    fn drop(&mut self) {
        self.close();
    }
}

struct Stopped(Arc<AtomicBool>);

impl SourceControl for Stopped {
    fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// What is taken for possible: a picture of more pixels a side is more than any codec here takes.
const SIDES: Range<u32> = Range {
    min: 1,
    max: 16_384,
};
const FRAME_RATES: Range<f64> = Range {
    min: 0.0,
    max: 240.0,
};

/// How fast frames are written, by their capture times.
#[derive(Default)]
struct Pace {
    last: Option<MediaTime>,
    /// Seconds, evened out.
    interval: Option<f64>,
    /// What was said last.
    rate: Option<f64>,
}

impl Pace {
    /// Frames a second, in tenths; nothing before the second frame. It follows within some ten frames,
    /// and not each jitter.
    fn rate(&mut self, time: MediaTime) -> Option<f64> {
        let since = self
            .last
            .replace(time)
            .map(|last| time.saturating_since(last));
        let since = since
            .map(|since| since.as_secs_f64())
            .filter(|s| (1e-3..10.0).contains(s));
        if let Some(since) = since {
            let interval = self.interval.map_or(since, |old| old + (since - old) / 8.0);
            self.interval = Some(interval);
            let now = (10.0 / interval).round() / 10.0;
            if self
                .rate
                .is_none_or(|said| (now - said).abs() > said / 20.0)
            {
                self.rate = Some(now);
            }
        }
        self.rate
    }
}

/// The settings of a track whose last frame is this one.
fn described(
    frame: &Frame,
    frame_rate: Option<f64>,
    before: &MediaTrackSettings,
) -> MediaTrackSettings {
    match frame {
        Frame::Video(picture) => MediaTrackSettings {
            width: Some(picture.width()),
            height: Some(picture.height()),
            frame_rate,
            ..before.clone()
        },
        Frame::Audio(sound) => MediaTrackSettings {
            sample_rate: Some(sound.buffer.sample_rate()),
            channel_count: Some(sound.buffer.channels().into()),
            ..before.clone()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::constraints::ConstrainULong;
    use crate::{
        AudioBuffer, AudioFrame, I420Buffer, MediaTrackConstraintSet, TrackEvent, TrackState,
        VideoFrame,
    };

    fn picture(millis: i64) -> Frame {
        let buffer = Arc::new(I420Buffer::new(40, 20));
        VideoFrame::new(buffer, MediaTime::from_millis(millis)).into()
    }

    fn times(reader: &MediaStreamTrackProcessor) -> Vec<i64> {
        let frames = std::iter::from_fn(|| reader.read_timeout(Duration::ZERO));
        frames
            .map(|frame| frame.capture_time().as_millis())
            .collect()
    }

    #[test]
    fn what_is_written_is_read_and_a_slow_reader_loses_the_oldest() {
        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "made");
        let track = generator.track();
        let reader = MediaStreamTrackProcessor::new(&track, 2);
        (1..=3).for_each(|millis| generator.write(&picture(millis)).unwrap());
        assert_eq!((times(&reader), reader.lost()), (vec![2, 3], 1));
        assert_eq!(track.get_settings().width, Some(40));
        generator.set_muted(true);
        // One black picture just after the last one, and nothing of what is written meanwhile.
        assert_eq!(times(&reader), [4]);
        generator.write(&picture(20)).unwrap();
        generator.set_muted(false);
        generator.write(&picture(40)).unwrap();
        assert_eq!(times(&reader), [40]);
        let sound = AudioFrame::new(Arc::new(AudioBuffer::new(48_000, 1, 480)), MediaTime::ZERO);
        assert_eq!(generator.write(&sound.into()), Err(WriteError::WrongKind));
    }

    #[test]
    fn a_generator_hears_that_nobody_reads_and_a_track_that_nobody_writes() {
        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "made");
        let first = generator.track();
        assert_eq!(first, generator.track(), "it has one track");
        let second = first.clone_track();
        first.stop();
        assert_eq!(generator.write(&picture(1)), Ok(()));
        second.stop();
        assert_eq!(generator.write(&picture(2)), Err(WriteError::Ended));

        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "made");
        let track = generator.track();
        let reader = MediaStreamTrackProcessor::new(&track, 1);
        let ended = Arc::new(Mutex::new(0));
        let _subscription = track.subscribe({
            let ended = ended.clone();
            move |event| *ended.lock() += u32::from(*event == TrackEvent::Ended)
        });
        generator.write(&picture(1)).unwrap();
        drop(generator);
        assert_eq!((times(&reader), reader.is_ended()), (vec![1], true));
        assert_eq!(*ended.lock(), 1);
    }

    #[test]
    fn what_is_written_can_be_had_smaller_and_less_often() {
        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "made");
        let track = generator.track();
        let capabilities = track.get_capabilities();
        assert_eq!(capabilities.width, Some(SIDES));
        assert_eq!(capabilities.resize_mode.len(), 2);
        let narrow = |width| MediaTrackConstraintSet {
            width: Some(ConstrainULong::exact(width)),
            ..Default::default()
        };
        let error = track.apply_constraints(narrow(20_000).into()).unwrap_err();
        assert_eq!(error.constraint, "width");
        // Before there is a picture: it counts from the first one on.
        let slow = MediaTrackConstraintSet {
            frame_rate: Some(crate::constraints::ConstrainDouble::max(15.0)),
            ..narrow(20)
        };
        track.apply_constraints(slow.into()).unwrap();
        let (reader, all) = (
            MediaStreamTrackProcessor::new(&track, 100),
            MediaStreamTrackProcessor::new(&track.clone_track(), 100),
        );
        for n in 0..30 {
            generator.write(&picture(n * 1_000 / 30)).unwrap();
        }
        let sizes = |reader: &MediaStreamTrackProcessor| {
            let frames = std::iter::from_fn(|| reader.read_timeout(Duration::ZERO));
            let widths = frames.map(|frame| match frame {
                Frame::Video(picture) => picture.width(),
                Frame::Audio(_) => 0,
            });
            widths.collect::<Vec<_>>()
        };
        let made = sizes(&reader);
        assert!((14..=17).contains(&made.len()), "{}", made.len());
        assert!(made[1..].iter().all(|width| *width == 20), "{made:?}");
        assert_eq!(sizes(&all).len(), made.len(), "the clone wants the same");
        let settings = track.get_settings();
        assert_eq!((settings.width, settings.height), (Some(20), Some(10)));
        assert!(settings.frame_rate.is_some_and(|rate| rate <= 15.0));
        drop((track, reader, all));
        assert_eq!(generator.track().ready_state(), TrackState::Ended);
        assert_eq!(generator.write(&picture(2_000)), Err(WriteError::Ended));
    }
}
