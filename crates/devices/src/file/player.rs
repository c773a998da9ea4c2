//! What is in a file, delivered at the speed that it was recorded at.
//!
//! What this module deliberately is not: it reads no format. [`Footage`] does, for the files here and
//! for coded ones elsewhere.

use super::{FileError, device_id, name};
use crate::pacing::Stop;
use crate::resample::FRAME_LEN;
use duet_media::{
    AudioFrame, Clock, Frame, MediaKind, MediaSource, MediaStreamTrack, MediaTrackCapabilities,
    MediaTrackSettings, Range, SourceControl, VideoFrame,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Whether a file is played again when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// From the beginning again, without a hole, until the last track stops.
    #[default]
    Forever,
    /// Not again: its tracks end, and fire `ended`.
    Once,
}

/// The frames of a file, one after the other.
pub trait Footage: Send + 'static {
    /// The next frame and the number of its track, in the order in which they are to be shown; `None`
    /// at the end. Its capture time is counted from the beginning of the first pass, and goes on
    /// through [`Footage::rewind`].
    ///
    /// # Errors
    /// The file cannot be read any more; its tracks end.
    fn next(&mut self) -> io::Result<Option<(usize, Frame)>>;

    /// Goes on with the first frame.
    ///
    /// # Errors
    /// As [`Footage::next`].
    fn rewind(&mut self) -> io::Result<()>;
}

/// Plays what is in the file `path` on a thread of its own, until the last of its tracks stops. There
/// is a track for each of `tracks`, in that order.
///
/// # Errors
/// [`FileError::Thread`]; nothing was started.
pub fn play(
    path: &Path,
    tracks: &[(MediaKind, MediaTrackSettings)],
    footage: impl Footage,
    clock: Arc<dyn Clock>,
    repeat: Repeat,
) -> Result<Vec<MediaStreamTrack>, FileError> {
    let stop = Arc::new(Stop::default());
    let left = Arc::new(AtomicUsize::new(tracks.len()));
    let sources: Vec<_> = tracks
        .iter()
        .map(|(kind, settings)| {
            let settings = MediaTrackSettings {
                device_id: Some(device_id(path)),
                ..settings.clone()
            };
            let control = Part {
                stop: stop.clone(),
                left: left.clone(),
            };
            let can = capabilities(&settings);
            let source = MediaSource::new(*kind, name(path), settings.clone(), can, control);
            if *kind == MediaKind::Video {
                // There is but one way to play it; tracks make smaller pictures of that by themselves.
                source.set_modes(vec![settings]);
            }
            source
        })
        .collect();
    let created = sources.iter().map(MediaSource::create_track).collect();
    let player = Player {
        footage,
        sources,
        stop,
        clock,
        repeat,
    };
    std::thread::Builder::new()
        .name("file-player".into())
        .spawn(move || player.run())
        .map_err(|source| FileError::Thread {
            path: path.into(),
            source,
        })?;
    Ok(created)
}

fn capabilities(settings: &MediaTrackSettings) -> MediaTrackCapabilities {
    fn only<T: Copy>(value: Option<T>) -> Option<Range<T>> {
        value.map(|value| Range {
            min: value,
            max: value,
        })
    }
    MediaTrackCapabilities {
        width: only(settings.width),
        height: only(settings.height),
        frame_rate: only(settings.frame_rate),
        sample_rate: only(settings.sample_rate),
        channel_count: only(settings.channel_count),
        device_id: settings.device_id.clone(),
        ..Default::default()
    }
}

/// One track's say in when the player stops: when all have.
struct Part {
    stop: Arc<Stop>,
    left: Arc<AtomicUsize>,
}

impl SourceControl for Part {
    fn stop(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop.set();
        }
    }
}

struct Player<F> {
    footage: F,
    sources: Vec<MediaSource>,
    stop: Arc<Stop>,
    clock: Arc<dyn Clock>,
    repeat: Repeat,
}

impl<F: Footage> Player<F> {
    /// After a longer standstill the lost time is not made up for.
    const PATIENCE: Duration = Duration::from_millis(500);

    fn run(mut self) {
        let mut start = self.clock.now();
        while let Ok(Some((track, frame))) = self.next() {
            let offset = frame.capture_time().as_nanos();
            // Sound is delivered when it is over, as by a device.
            let lasts = match &frame {
                Frame::Audio(sound) => sound.buffer.duration(),
                Frame::Video(_) => Duration::ZERO,
            };
            let mut time = start.offset_by(offset);
            let late = self.clock.now().saturating_since(time + lasts);
            if late > Self::PATIENCE {
                start += late;
                time += late;
            }
            if !self.stop.sleep_until(&*self.clock, time + lasts) {
                return;
            }
            let Some(source) = self.sources.get(track) else {
                continue;
            };
            source.publish(&match frame {
                Frame::Audio(sound) => AudioFrame::new(sound.buffer, time).into(),
                Frame::Video(picture) => VideoFrame::new(picture.buffer, time).into(),
            });
        }
        self.sources.iter().for_each(MediaSource::end);
    }

    /// The next frame, the first again after the last if it is to be so.
    fn next(&mut self) -> io::Result<Option<(usize, Frame)>> {
        let mut next = self.footage.next()?;
        if self.repeat == Repeat::Forever {
            // Several times over for sound that is shorter than a frame; not for ever for a file of
            // which nothing is left.
            for _ in 0..FRAME_LEN {
                if next.is_some() {
                    break;
                }
                self.footage.rewind()?;
                next = self.footage.next()?;
            }
        }
        Ok(next)
    }
}
