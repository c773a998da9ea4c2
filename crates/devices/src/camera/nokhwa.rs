//! Cameras of macOS and Windows, by nokhwa.
//!
//! What it is not: it cannot stop waiting for a picture, since nokhwa cannot.

use super::format::{Format, PixelFormat};
use crate::convert;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, CameraInfo, FrameFormat, RequestedFormat,
    RequestedFormatType,
};
use nokhwa::{Camera, NokhwaError};
use std::borrow::Cow;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What nokhwa calls the formats that are understood here.
const FORMATS: [FrameFormat; 3] = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];

/// A camera as the system lists it.
#[derive(Debug, Clone)]
pub(super) struct Node(CameraInfo);

/// The cameras of this machine.
pub(super) fn nodes() -> Vec<Node> {
    let mut found = nokhwa::query(ApiBackend::Auto).unwrap_or_default();
    found.sort_by_key(|info| info.index().as_index().unwrap_or(u32::MAX));
    found.into_iter().map(Node).collect()
}

impl Node {
    pub(super) fn id(&self) -> String {
        match (self.0.index(), self.0.misc()) {
            (CameraIndex::Index(index), misc) if misc.is_empty() => format!("camera:{index}"),
            (CameraIndex::Index(_), misc) => misc,
            (CameraIndex::String(id), _) => id.clone(),
        }
    }

    pub(super) fn label(&self) -> String {
        self.0.human_name()
    }

    pub(super) fn formats(&self) -> io::Result<Vec<Format>> {
        let any = RequestedFormat::with_formats(RequestedFormatType::None, &FORMATS);
        let mut camera = Camera::new(self.0.index().clone(), any).map_err(|e| error(&e))?;
        let formats = camera.compatible_camera_formats();
        let formats = formats.map_err(|e| error(&e))?;
        Ok(formats.iter().filter_map(read).collect())
    }

    pub(super) fn start(&self, format: &Format) -> io::Result<Stream> {
        let exact = RequestedFormatType::Exact(written(format));
        let request = RequestedFormat::with_formats(exact, &FORMATS);
        let camera = Camera::new(self.0.index().clone(), request);
        let mut camera = camera.map_err(|e| error(&e))?;
        camera.open_stream().map_err(|e| error(&e))?;
        Ok(Stream {
            format: read(&camera.camera_format()).unwrap_or(*format),
            camera,
        })
    }
}

/// A camera that delivers.
pub(super) struct Stream {
    camera: Camera,
    format: Format,
}

/// A picture as the camera made it.
pub(super) struct Raw<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// How long ago it was captured, where that is known.
    pub(super) age: Option<Duration>,
}

impl Stream {
    /// What the camera was set to in the end.
    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// The next picture, however long it takes.
    pub(super) fn next(&mut self, _patience: Duration) -> io::Result<Option<Raw<'_>>> {
        let buffer = self.camera.frame().map_err(|e| error(&e))?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let age = wall
            .zip(buffer.capture_timestamp())
            .and_then(|(wall, captured)| wall.checked_sub(captured));
        Ok(Some(Raw {
            bytes: Cow::Owned(buffer.buffer().to_vec()),
            age,
        }))
    }

    /// Lets go of the device.
    pub(super) fn stop(&mut self) {
        // A failure shows again when it is started anew.
        let _ = self.camera.stop_stream();
    }
}

/// Whether an error says that the device is no more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// Whether an error says that somebody else has the device.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.to_string().contains("busy")
}

/// nokhwa has the system's errors as text only.
fn error(error: &NokhwaError) -> io::Error {
    let text = error.to_string();
    let kind = if text.contains("ermission denied") || text.contains("not permitted") {
        io::ErrorKind::PermissionDenied
    } else if text.contains("No such file") || text.contains("No such device") {
        io::ErrorKind::NotFound
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, text)
}

fn read(format: &CameraFormat) -> Option<Format> {
    let pixels = match format.format() {
        FrameFormat::NV12 => PixelFormat::Nv12,
        FrameFormat::YUYV => PixelFormat::Yuyv,
        FrameFormat::MJPEG => PixelFormat::Mjpeg,
        _ => return None,
    };
    let usable = convert::sane(format.width(), format.height()) && format.frame_rate() > 0;
    usable.then(|| Format {
        width: format.width(),
        height: format.height(),
        pixels,
        rate: f64::from(format.frame_rate()),
    })
}

fn written(format: &Format) -> CameraFormat {
    let pixels = match format.pixels {
        PixelFormat::Yuyv => FrameFormat::YUYV,
        PixelFormat::Mjpeg => FrameFormat::MJPEG,
        // It knows no I420, and lists none.
        PixelFormat::Nv12 | PixelFormat::I420 => FrameFormat::NV12,
    };
    let rate = format.rate.round() as u32;
    CameraFormat::new_from(format.width, format.height, pixels, rate)
}
