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
use crate::{
    Frame, FrameQueue, MediaKind, MediaSource, MediaStreamTrack, MediaTrackCapabilities,
    MediaTrackSettings, SinkHandle, SourceControl,
};
use std::sync::Arc;
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
    track: Mutex<Option<MediaStreamTrack>>,
    stopped: Arc<AtomicBool>,
}

impl MediaStreamTrackGenerator {
    /// A generator of a track named `label`. Its settings follow what is written.
    pub fn new(kind: MediaKind, label: impl Into<String>) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let (settings, nothing) = (
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
        );
        let source = MediaSource::new(kind, label, settings, nothing, Stopped(stopped.clone()));
        let track = Mutex::new(Some(source.create_track()));
        MediaStreamTrackGenerator {
            source,
            track,
            stopped,
        }
    }

    /// The track. The first call hands over the one that was there from the start, each later one
    /// makes another of the same content.
    pub fn track(&self) -> MediaStreamTrack {
        let first = self.track.lock().take();
        first.unwrap_or_else(|| self.source.create_track())
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
        let written = described(frame, &settings);
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

/// The settings of a track whose last frame is this one.
fn described(frame: &Frame, before: &MediaTrackSettings) -> MediaTrackSettings {
    match frame {
        Frame::Video(picture) => MediaTrackSettings {
            width: Some(picture.width()),
            height: Some(picture.height()),
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
    use crate::{AudioBuffer, AudioFrame, I420Buffer, MediaTime, TrackEvent, VideoFrame};

    fn picture(millis: i64) -> Frame {
        let buffer = Arc::new(I420Buffer::new(4, 2));
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
        assert_eq!(track.get_settings().width, Some(4));
        generator.set_muted(true);
        generator.write(&picture(4)).unwrap();
        generator.set_muted(false);
        generator.write(&picture(5)).unwrap();
        assert_eq!(times(&reader), [5]);
        let sound = AudioFrame::new(Arc::new(AudioBuffer::new(48_000, 1, 480)), MediaTime::ZERO);
        assert_eq!(generator.write(&sound.into()), Err(WriteError::WrongKind));
    }

    #[test]
    fn a_generator_hears_that_nobody_reads_and_a_track_that_nobody_writes() {
        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "made");
        let (first, second) = (generator.track(), generator.track());
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
}
