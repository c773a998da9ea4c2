//! The machine's cameras, by nokhwa: V4L2 on Linux, AVFoundation on macOS, Media Foundation on
//! Windows.
//!
//! A camera's thread takes the raw bytes, stamps them, turns them into I420 and publishes. What this is
//! not: it scales nothing, for tracks do that, and it shares no camera between tracks that were
//! opened apart; clone a track for that.

mod capture;

use crate::GetUserMediaError;
use crate::convert::{self, ConvertError, MjpegDecoder};
use crate::pacing::Stop;
use capture::{Capture, Raw};
use duet_media::{
    Clock, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, Pool, Range, ReconfigureError, SourceControl, VideoFrame,
};
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, CameraInfo, FrameFormat, RequestedFormat,
    RequestedFormatType,
};
use nokhwa::{Camera, NokhwaError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;

/// What is turned into I420, the cheapest first.
const FORMATS: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];
/// How long a camera may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// A camera of this machine.
#[derive(Debug, Clone)]
pub(crate) struct CameraDevice {
    pub(crate) id: String,
    pub(crate) label: String,
    index: CameraIndex,
}

/// The cameras that deliver something that is understood here.
pub(crate) fn list() -> Vec<CameraDevice> {
    let Ok(found) = nokhwa::query(ApiBackend::Auto) else {
        return Vec::new();
    };
    let mut found: Vec<_> = found.iter().map(CameraDevice::new).collect();
    found.sort_by_key(|device| device.index.as_index().unwrap_or(u32::MAX));
    // A camera may have further nodes that carry no pictures. One that is in use does not tell.
    found.retain(|device| match device.modes() {
        Ok(modes) => !modes.is_empty(),
        Err(error) => error.to_string().contains("busy"),
    });
    found
}

impl CameraDevice {
    fn new(info: &CameraInfo) -> Self {
        CameraDevice {
            id: stable_id(info),
            label: info.human_name(),
            index: info.index().clone(),
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

    fn mode(&self, format: &CameraFormat) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(format.width()),
            height: Some(format.height()),
            frame_rate: Some(f64::from(format.frame_rate())),
            device_id: Some(self.id.clone()),
            group_id: Some(self.id.clone()),
            ..Default::default()
        }
    }

    fn formats(&self) -> Result<Vec<CameraFormat>, GetUserMediaError> {
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &FORMATS);
        let mut camera = Camera::new(self.index.clone(), any).map_err(|e| self.error(&e))?;
        let formats = camera.compatible_camera_formats();
        let mut formats = formats.map_err(|e| self.error(&e))?;
        formats.retain(|format| {
            FORMATS.contains(&format.format())
                && convert::sane(format.width(), format.height())
                && format.frame_rate() > 0
        });
        Ok(formats)
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
        let (capture, modes) = match started {
            Ok(started) => started,
            // Nobody waits any more if this fails.
            Err(error) => return drop(opened.send(Err(error))),
        };
        let control = Arc::new(Control::default());
        let source = MediaSource::new(
            MediaKind::Video,
            self.label.clone(),
            self.mode(&capture.format()),
            capabilities(&modes),
            SharedControl(control.clone()),
        );
        source.set_modes(modes);
        let track = source.create_track();
        let worker = Worker {
            device: self,
            capture: Some(capture),
            decoder: MjpegDecoder::new(),
            pool: Pool::new(Worker::POOLED),
            source,
            control,
            clock,
        };
        if opened.send(Ok(track)).is_ok() {
            worker.run();
        }
    }

    /// Opens the stream in the mode that suits best.
    fn start(&self, wanted: &MediaTrackSettings) -> Result<Capture, GetUserMediaError> {
        let formats = self.formats()?;
        let best = formats
            .into_iter()
            .min_by_key(|format| cost(format, wanted));
        let best = best.ok_or_else(|| {
            let label = &self.label;
            GetUserMediaError::NotReadable(format!("{label} delivers nothing that is understood"))
        })?;
        Capture::open(self, best)
    }

    /// nokhwa has the system's errors as text only.
    fn error(&self, error: &NokhwaError) -> GetUserMediaError {
        let text = error.to_string();
        let message = format!("{}: {text}", self.label);
        if text.contains("ermission denied") || text.contains("not permitted") {
            GetUserMediaError::NotAllowed(message)
        } else if text.contains("No such file") || text.contains("No such device") {
            GetUserMediaError::NotFound(message)
        } else {
            GetUserMediaError::NotReadable(message)
        }
    }
}

/// Orders formats by what would be lost of the picture, then of the rate, then by how many pixels are
/// too many, then by the work that they make.
fn cost(format: &CameraFormat, wanted: &MediaTrackSettings) -> (u64, u64, u64, u64) {
    let width = u64::from(wanted.width.unwrap_or(640));
    let height = u64::from(wanted.height.unwrap_or(480));
    let (own_width, own_height) = (u64::from(format.width()), u64::from(format.height()));
    let missing = width.saturating_sub(own_width) + height.saturating_sub(own_height);
    let rate = wanted.frame_rate.unwrap_or(30.0).ceil() as u64;
    let slow = rate.saturating_sub(u64::from(format.frame_rate()));
    let surplus = own_width * own_height;
    let rank = FORMATS.iter().position(|f| *f == format.format());
    let hurry = u64::from(format.frame_rate()).saturating_sub(rate);
    (
        missing,
        slow,
        surplus,
        hurry * 8 + rank.unwrap_or(FORMATS.len()) as u64,
    )
}

/// Device nodes are numbered as they are plugged in, so their numbers are no names. Linux keeps links
/// that last; the other systems give an id.
fn stable_id(info: &CameraInfo) -> String {
    let CameraIndex::Index(index) = info.index() else {
        return info.index().as_string();
    };
    let node = format!("video{index}");
    for directory in ["/dev/v4l/by-id", "/dev/v4l/by-path"] {
        let links = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for link in links {
            let target = std::fs::read_link(link.path()).unwrap_or_default();
            if target.file_name().is_some_and(|name| *name == *node) {
                return format!("v4l:{}", link.file_name().to_string_lossy());
            }
        }
    }
    match info.misc() {
        misc if misc.is_empty() => format!("v4l:{node}"),
        misc => misc,
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

struct SharedControl(Arc<Control>);

impl SourceControl for SharedControl {
    fn stop(&self) {
        self.0.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let (reached, result) = mpsc::sync_channel(1);
        *self.0.request.lock() = Some(ModeRequest {
            wanted: wanted.clone(),
            reached,
        });
        let refused = |_| {
            Err(ReconfigureError::Refused(
                "the camera does not answer".into(),
            ))
        };
        result.recv_timeout(PATIENCE).unwrap_or_else(refused)
    }
}

struct Worker {
    device: CameraDevice,
    /// None if the camera refuses every mode.
    capture: Option<Capture>,
    decoder: MjpegDecoder,
    pool: Pool<I420Buffer>,
    source: MediaSource,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
}

impl Drop for Worker {
    /// Ends the tracks however the thread ends. Where they were stopped it changes nothing.
    fn drop(&mut self) {
        self.source.end();
    }
}

impl Worker {
    /// Pictures on their way that need no new allocation.
    const POOLED: usize = 6;
    /// Failures in a row after which the camera is taken to be gone.
    const MAX_FAILURES: u32 = 5;

    fn run(mut self) {
        let mut failures = 0;
        while !self.control.stop.is_set() {
            let request = self.control.request.lock().take();
            if let Some(request) = request
                && !self.change_mode(&request)
            {
                return;
            }
            let Some(capture) = &mut self.capture else {
                return;
            };
            let Ok(raw) = capture.next() else {
                failures += 1;
                if failures >= Self::MAX_FAILURES {
                    return;
                }
                continue;
            };
            failures = 0;
            let time = capture_time(self.clock.now(), raw.age);
            let decoder = &mut self.decoder;
            // A damaged picture is left out.
            if let Ok(picture) = self.pool.try_fill(|to| convert(&raw, decoder, to)) {
                self.source.publish(&VideoFrame::new(picture, time).into());
            }
        }
    }

    /// Sets the camera anew, or back where it refuses. False if neither works any more.
    fn change_mode(&mut self, request: &ModeRequest) -> bool {
        // It is taken back before it is given out again.
        let old = self.capture.take().map(|capture| capture.format());
        let Some(old) = old.map(|format| self.device.mode(&format)) else {
            return false;
        };
        let mut answer = Ok(());
        let mut started = self.device.start(&request.wanted);
        if let Err(refusal) = started {
            answer = Err(ReconfigureError::Refused(refusal.to_string()));
            started = self.device.start(&old);
        }
        self.capture = started.ok();
        let format = self.capture.as_ref().map(Capture::format);
        let mode = format.map_or(old, |format| self.device.mode(&format));
        // Whoever asked may have stopped waiting.
        let _ = request.reached.try_send(answer.map(|()| mode));
        self.capture.is_some()
    }
}

/// The driver's own time where it has one that makes sense, else now.
fn capture_time(now: MediaTime, age: Option<Duration>) -> MediaTime {
    let sensible = age.filter(|age| *age < Duration::from_millis(500));
    now - sensible.unwrap_or_default()
}

/// From the driver's memory into a picture: the only time that its bytes are moved.
fn convert(
    raw: &Raw<'_>,
    decoder: &mut MjpegDecoder,
    to: &mut I420Buffer,
) -> Result<(), ConvertError> {
    let (width, height) = (raw.format.width(), raw.format.height());
    match raw.format.format() {
        FrameFormat::NV12 => convert::from_nv12(raw.bytes(), width, height, to),
        FrameFormat::YUYV => convert::from_yuyv(raw.bytes(), width, height, to),
        _ => decoder.decode(raw.bytes(), to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_that_loses_least_is_chosen_then_the_one_that_costs_least() {
        let format = |w, h, kind, rate| CameraFormat::new_from(w, h, kind, rate);
        let all = [
            format(640, 480, FrameFormat::YUYV, 30),
            format(1280, 720, FrameFormat::YUYV, 10),
            format(1280, 720, FrameFormat::MJPEG, 30),
            format(1280, 720, FrameFormat::MJPEG, 60),
            format(1920, 1080, FrameFormat::MJPEG, 30),
            format(640, 480, FrameFormat::NV12, 30),
        ];
        let best = |width, height, rate| {
            let wanted = MediaTrackSettings {
                width: Some(width),
                height: Some(height),
                frame_rate: Some(rate),
                ..Default::default()
            };
            all.iter()
                .min_by_key(|f| cost(f, &wanted))
                .copied()
                .unwrap()
        };
        assert_eq!(best(640, 480, 30.0), all[5]);
        assert_eq!(best(1280, 720, 30.0), all[2]);
        assert_eq!(best(1280, 720, 50.0), all[3]);
        assert_eq!(best(1280, 720, 5.0), all[1]);
        assert_eq!(best(320, 240, 15.0), all[5]);
        assert_eq!(best(4_000, 3_000, 30.0), all[4]);
    }

    #[test]
    fn the_systems_refusals_get_their_names() {
        let device = CameraDevice {
            id: "x".into(),
            label: "Camera".into(),
            index: CameraIndex::Index(0),
        };
        let name = |text: &str| {
            device
                .error(&NokhwaError::OpenStreamError(text.into()))
                .name()
        };
        assert_eq!(name("Permission denied (os error 13)"), "NotAllowedError");
        assert_eq!(
            name("Device or resource busy (os error 16)"),
            "NotReadableError"
        );
        assert_eq!(name("No such device (os error 19)"), "NotFoundError");
    }
}
