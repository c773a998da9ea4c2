//! The machine's cameras: V4L2 on Linux, by nokhwa AVFoundation on macOS and Media Foundation on Windows.
//!
//! A camera's thread takes the raw bytes, stamps them, turns them into I420 and publishes. What this is
//! not: it scales nothing, for tracks do that, and it shares no camera between tracks that were
//! opened apart; clone a track for that.

mod format;
#[cfg(not(target_os = "linux"))]
mod nokhwa;
#[cfg(target_os = "linux")]
mod v4l2;

#[cfg(not(target_os = "linux"))]
use self::nokhwa as system;
#[cfg(target_os = "linux")]
use self::v4l2 as system;

use crate::GetUserMediaError;
use crate::convert::{self, ConvertError, MjpegDecoder};
use crate::group::group_of;
use crate::pacing::Stop;
use duet_media::{
    Clock, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTrackCapabilities,
    MediaTrackSettings, Pool, Range, ReconfigureError, SourceControl, VideoFrame,
};
use format::{Format, PixelFormat};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};
use system::{Node, Raw, Stream};

/// How long a camera may take to open, or to be set anew.
const PATIENCE: Duration = Duration::from_secs(10);

/// A camera that was stopped a moment ago is busy for so long at most. Nobody tells when it is free.
const LETTING_GO: Duration = Duration::from_millis(500);

/// A camera of this machine.
#[derive(Debug, Clone)]
pub(crate) struct CameraDevice {
    pub(crate) id: String,
    pub(crate) label: String,
    node: Node,
}

/// The cameras that deliver something that is understood here.
pub(crate) fn list() -> Vec<CameraDevice> {
    let found = system::nodes().into_iter().map(CameraDevice::new);
    // A camera may have further nodes that carry no pictures.
    let delivers = |device: &CameraDevice| device.formats().is_ok_and(|all| !all.is_empty());
    found.filter(delivers).collect()
}

impl CameraDevice {
    fn new(node: Node) -> Self {
        CameraDevice {
            id: node.id(),
            label: node.label(),
            node,
        }
    }

    /// What it can be set to.
    pub(crate) fn modes(&self) -> Result<Vec<MediaTrackSettings>, GetUserMediaError> {
        let mut distinct = Vec::new();
        for format in self.formats()? {
            let mode = self.mode(&format);
            if !distinct.contains(&mode) {
                distinct.push(mode);
            }
        }
        Ok(distinct)
    }

    fn mode(&self, format: &Format) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(format.width),
            height: Some(format.height),
            frame_rate: Some(format.rate),
            device_id: Some(self.id.clone()),
            group_id: Some(group_of(&self.id)),
            ..Default::default()
        }
    }

    fn formats(&self) -> Result<Vec<Format>, GetUserMediaError> {
        self.node.formats().map_err(|error| self.error(&error))
    }

    /// Opens the camera in the mode from which `wanted` is made with the least loss and work.
    pub(crate) fn open(
        self,
        wanted: &MediaTrackSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let (opened, result) = mpsc::sync_channel(1);
        let label = self.label.clone();
        let wanted = wanted.clone();
        std::thread::Builder::new()
            .name("camera".into())
            .spawn(move || self.run(&wanted, clock, &opened))
            .map_err(|e| GetUserMediaError::Abort(format!("no thread for {label}: {e}")))?;
        result.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(GetUserMediaError::NotReadable(format!(
                "{label} did not open within {seconds} s"
            )))
        })
    }

    fn run(
        self,
        wanted: &MediaTrackSettings,
        clock: Arc<dyn Clock>,
        opened: &SyncSender<Result<MediaStreamTrack, GetUserMediaError>>,
    ) {
        let started = self
            .modes()
            .and_then(|modes| Ok((self.start(wanted)?, modes)));
        let (stream, modes) = match started {
            Ok(started) => started,
            // Nobody waits any more if this fails.
            Err(error) => return drop(opened.send(Err(error))),
        };
        let control = Arc::new(Control::default());
        let source = MediaSource::new(
            MediaKind::Video,
            self.label.clone(),
            self.mode(stream.format()),
            capabilities(&modes),
            control.clone(),
        );
        source.set_modes(modes);
        let track = source.create_track();
        let worker = Worker {
            device: self,
            stream,
            developer: Developer::default(),
            source,
            control,
            clock,
        };
        if opened.send(Ok(track)).is_ok() {
            worker.run();
        }
    }

    /// Has it deliver in the mode that suits best.
    fn start(&self, wanted: &MediaTrackSettings) -> Result<Stream, GetUserMediaError> {
        let best = format::best(&self.formats()?, wanted).ok_or_else(|| {
            let label = &self.label;
            GetUserMediaError::NotReadable(format!("{label} delivers nothing that is understood"))
        })?;
        let patience = Instant::now() + LETTING_GO;
        loop {
            match self.node.start(&best) {
                Err(error) if system::is_busy(&error) && Instant::now() < patience => {
                    std::thread::sleep(LETTING_GO / 20);
                }
                started => return started.map_err(|error| self.error(&error)),
            }
        }
    }

    fn error(&self, error: &io::Error) -> GetUserMediaError {
        refusal(&self.label, error)
    }
}

/// The system's refusal by its W3C name.
fn refusal(camera: &str, error: &io::Error) -> GetUserMediaError {
    let message = format!("{camera}: {error}");
    if error.kind() == io::ErrorKind::PermissionDenied {
        GetUserMediaError::NotAllowed(message)
    } else if system::is_gone(error) {
        GetUserMediaError::NotFound(message)
    } else {
        GetUserMediaError::NotReadable(message)
    }
}

/// The ranges that a camera's modes span.
pub(crate) fn capabilities(modes: &[MediaTrackSettings]) -> MediaTrackCapabilities {
    fn span<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> Option<Range<T>> {
        values.fold(None, |range: Option<Range<T>>, value| {
            let Range { min, max } = range.unwrap_or(Range {
                min: value,
                max: value,
            });
            Some(Range {
                min: if value < min { value } else { min },
                max: if value > max { value } else { max },
            })
        })
    }
    let first = modes.first();
    MediaTrackCapabilities {
        width: span(modes.iter().filter_map(|mode| mode.width)),
        height: span(modes.iter().filter_map(|mode| mode.height)),
        frame_rate: span(modes.iter().filter_map(|mode| mode.frame_rate)),
        device_id: first.and_then(|mode| mode.device_id.clone()),
        group_id: first.and_then(|mode| mode.group_id.clone()),
        ..Default::default()
    }
}

#[derive(Default)]
struct Control {
    stop: Stop,
    /// Another mode that is asked for. One at a time: a newer one takes the older one's place, whose
    /// asker is told that it was refused.
    request: Mutex<Option<ModeRequest>>,
}

struct ModeRequest {
    wanted: MediaTrackSettings,
    reached: SyncSender<Result<MediaTrackSettings, ReconfigureError>>,
}

impl Control {
    /// Nobody will answer any more.
    fn close(&self) {
        self.stop.set();
        let unanswered = self.request.lock().take();
        drop(unanswered);
    }
}

impl SourceControl for Control {
    fn stop(&self) {
        self.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let (reached, result) = mpsc::sync_channel(1);
        *self.request.lock() = Some(ModeRequest {
            wanted: wanted.clone(),
            reached,
        });
        if self.stop.is_set() {
            self.close();
        }
        let refused = |_| {
            let reason = "the camera does not answer";
            Err(ReconfigureError::Refused(reason.into()))
        };
        result.recv_timeout(PATIENCE).unwrap_or_else(refused)
    }
}

struct Worker {
    device: CameraDevice,
    stream: Stream,
    developer: Developer,
    source: MediaSource,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
}

impl Drop for Worker {
    /// However the thread ends: the tracks end, and nobody waits for an answer.
    fn drop(&mut self) {
        self.control.close();
        self.source.end();
    }
}

impl Worker {
    /// How long it is waited for a picture before it is looked whether somebody says stop.
    const GLANCE: Duration = Duration::from_millis(200);
    /// Failures in a row after which the camera is taken to be gone.
    const MAX_FAILURES: u32 = 5;
    /// So long without a picture that can be used, and the camera is taken to be gone. Cameras that
    /// expose for long are given a few intervals.
    const SILENCE: Duration = Duration::from_secs(5);

    fn run(mut self) {
        let mut failures = 0;
        let mut alive = Instant::now();
        while !self.control.stop.is_set() {
            let request = self.control.request.lock().take();
            if let Some(request) = request {
                if !self.change_mode(&request) {
                    return;
                }
                alive = Instant::now();
            }
            match self.publish_next() {
                Ok(true) => (failures, alive) = (0, Instant::now()),
                Ok(false) if alive.elapsed() < self.patience() => {}
                Ok(false) => {
                    let camera = &self.device.label;
                    tracing::warn!(camera, "the camera delivers nothing any more");
                    return;
                }
                Err(error) => {
                    failures += 1;
                    if failures == Self::MAX_FAILURES || system::is_gone(&error) {
                        tracing::debug!(%error, camera = self.device.label, "the camera is gone");
                        return;
                    }
                }
            }
        }
    }

    fn patience(&self) -> Duration {
        let interval = 1.0 / self.stream.format().rate.max(0.01);
        Self::SILENCE.max(Duration::from_secs_f64(3.0 * interval))
    }

    /// Whether a picture came that could be shown. A damaged one is left out.
    fn publish_next(&mut self) -> io::Result<bool> {
        let format = *self.stream.format();
        let Some(raw) = self.stream.next(Self::GLANCE)? else {
            return Ok(false);
        };
        // The driver's own time where it has one that makes sense, else now.
        let age = raw.age.filter(|age| *age < Duration::from_millis(500));
        let time = self.clock.now() - age.unwrap_or_default();
        match self.developer.develop(&raw, &format) {
            Ok(picture) => {
                self.source.publish(&VideoFrame::new(picture, time).into());
                Ok(true)
            }
            Err(error) => {
                tracing::debug!(%error, camera = self.device.label, "a damaged picture");
                Ok(false)
            }
        }
    }

    /// Sets the camera anew, or back where it refuses. False if neither works any more.
    fn change_mode(&mut self, request: &ModeRequest) -> bool {
        let old = self.device.mode(self.stream.format());
        self.stream.stop();
        let mut answer = Ok(());
        let mut started = self.device.start(&request.wanted);
        if let Err(refusal) = started {
            answer = Err(ReconfigureError::Refused(refusal.to_string()));
            started = self.device.start(&old);
        }
        let works = started.is_ok();
        if let Ok(stream) = started {
            self.stream = stream;
        }
        let mode = self.device.mode(self.stream.format());
        // Whoever asked may have stopped waiting.
        let _ = request.reached.try_send(answer.map(|()| mode));
        works
    }
}

/// Makes I420 of what cameras deliver. Its memory is used again.
struct Developer {
    decoder: MjpegDecoder,
    pool: Pool<I420Buffer>,
}

impl Default for Developer {
    fn default() -> Self {
        Developer {
            decoder: MjpegDecoder::new(),
            pool: Pool::new(Self::POOLED),
        }
    }
}

impl Developer {
    /// Pictures on their way that need no new allocation.
    const POOLED: usize = 6;

    fn develop(&mut self, raw: &Raw<'_>, format: &Format) -> Result<Arc<I420Buffer>, ConvertError> {
        let (width, height, bytes) = (format.width, format.height, &*raw.bytes);
        let decoder = &mut self.decoder;
        self.pool.try_fill(|to| match format.pixels {
            PixelFormat::I420 => convert::from_i420(bytes, width, height, to),
            PixelFormat::Nv12 => convert::from_nv12(bytes, width, height, to),
            PixelFormat::Yuyv => convert::from_yuyv(bytes, width, height, to),
            PixelFormat::Mjpeg => decoder.decode(bytes, to),
        })
    }
}

#[cfg(test)]
mod tests;
