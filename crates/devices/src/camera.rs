//! The machine's cameras, by nokhwa: V4L2 on Linux, AVFoundation on macOS, Media Foundation on
//! Windows.
//!
//! A camera's thread takes the raw bytes, stamps them, turns them into I420 and publishes. What this is
//! not: it shares no camera between tracks that were opened apart; clone a track for that.

use crate::GetUserMediaError;
use crate::convert::{self, ConvertError, MjpegDecoder};
use crate::outlet::{Native, Outlet, SharedVideoControl, VideoControl};
use duet_media::{
    Clock, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackSettings,
    Pool,
};
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, CameraInfo, FrameFormat, RequestedFormat,
    RequestedFormatType,
};
use nokhwa::{Buffer, Camera, NokhwaError};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    // A camera may have further nodes that carry no pictures.
    found.retain(|device| device.modes().is_ok_and(|modes| !modes.is_empty()));
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
        let modes = self
            .formats()?
            .into_iter()
            .map(|format| MediaTrackSettings {
                width: Some(format.width()),
                height: Some(format.height()),
                frame_rate: Some(f64::from(format.frame_rate())),
                device_id: Some(self.id.clone()),
                group_id: Some(self.id.clone()),
                ..Default::default()
            });
        let mut distinct = Vec::<MediaTrackSettings>::new();
        for mode in modes {
            if !distinct.contains(&mode) {
                distinct.push(mode);
            }
        }
        Ok(distinct)
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
        let camera = match self.start(wanted) {
            Ok(camera) => camera,
            // Nobody waits any more if this fails.
            Err(error) => return drop(opened.send(Err(error))),
        };
        let format = camera.camera_format();
        let native = Native {
            width: format.width(),
            height: format.height(),
            frame_rate: f64::from(format.frame_rate()),
        };
        let group = Some(self.id.clone());
        let control = VideoControl::new(native, wanted, self.id, group);
        let source = MediaSource::new(
            MediaKind::Video,
            self.label,
            control.settings(),
            control.capabilities(),
            SharedVideoControl(control.clone()),
        );
        let track = source.create_track();
        let mut worker = Worker {
            camera,
            decoder: MjpegDecoder::new(),
            pool: Pool::new(Worker::POOLED),
            outlet: Outlet::new(source.clone(), control.clone()),
            control,
            clock,
        };
        let _end = EndOnDrop(source);
        if opened.send(Ok(track)).is_ok() {
            worker.run();
        }
    }

    fn start(&self, wanted: &MediaTrackSettings) -> Result<Camera, GetUserMediaError> {
        let formats = self.formats()?;
        let best = formats
            .into_iter()
            .min_by_key(|format| cost(format, wanted));
        let best = best.ok_or_else(|| {
            let label = &self.label;
            GetUserMediaError::NotReadable(format!("{label} delivers nothing that is understood"))
        })?;
        let exact = RequestedFormatType::Exact(best);
        let request = RequestedFormat::with_formats(exact, &FORMATS);
        let mut camera = Camera::new(self.index.clone(), request).map_err(|e| self.error(&e))?;
        camera.open_stream().map_err(|e| self.error(&e))?;
        Ok(camera)
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

/// Ends the tracks when the thread ends, however it ends. Where they were stopped it changes nothing.
struct EndOnDrop(MediaSource);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Worker {
    camera: Camera,
    decoder: MjpegDecoder,
    pool: Pool<I420Buffer>,
    outlet: Outlet,
    control: Arc<VideoControl>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    /// Pictures on their way that need no new allocation.
    const POOLED: usize = 6;
    /// Failures in a row after which the camera is taken to be gone.
    const MAX_FAILURES: u32 = 5;

    fn run(&mut self) {
        let mut failures = 0;
        while !self.control.stop.is_set() {
            let Ok(raw) = self.camera.frame() else {
                failures += 1;
                if failures >= Self::MAX_FAILURES {
                    return;
                }
                continue;
            };
            failures = 0;
            let time = self.capture_time(&raw);
            // A damaged picture is left out.
            if let Ok(picture) = self.convert(&raw) {
                self.outlet.publish(picture, time);
            }
        }
    }

    /// The driver's own time where it has one that makes sense, else now.
    fn capture_time(&self, raw: &Buffer) -> MediaTime {
        let now = self.clock.now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let age = wall
            .zip(raw.capture_timestamp())
            .and_then(|(wall, captured)| wall.checked_sub(captured))
            .filter(|age| *age < Duration::from_millis(500));
        now - age.unwrap_or_default()
    }

    fn convert(&mut self, raw: &Buffer) -> Result<Arc<I420Buffer>, ConvertError> {
        let (width, height) = (raw.resolution().width(), raw.resolution().height());
        let decoder = &mut self.decoder;
        self.pool.try_fill(|to| match raw.source_frame_format() {
            FrameFormat::NV12 => convert::from_nv12(raw.buffer(), width, height, to),
            FrameFormat::YUYV => convert::from_yuyv(raw.buffer(), width, height, to),
            _ => decoder.decode(raw.buffer(), to),
        })
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
