//! nokhwa's stream.

use super::super::{CameraDevice, FORMATS};
use super::{NoPicture, Raw};
use crate::GetUserMediaError;
use nokhwa::Camera;
use nokhwa::utils::{CameraFormat, RequestedFormat, RequestedFormatType};
use std::marker::PhantomData;
use std::time::{SystemTime, UNIX_EPOCH};

/// An open camera that streams.
pub(in super::super) struct Capture {
    camera: Camera,
}

impl Capture {
    /// Opens the camera in that mode.
    pub(in super::super) fn open(
        device: &CameraDevice,
        format: CameraFormat,
    ) -> Result<Self, GetUserMediaError> {
        let exact = RequestedFormatType::Exact(format);
        let request = RequestedFormat::with_formats(exact, &FORMATS);
        let mut camera =
            Camera::new(device.index.clone(), request).map_err(|e| device.error(&e))?;
        camera.open_stream().map_err(|e| device.error(&e))?;
        Ok(Capture { camera })
    }

    /// The mode that it is in.
    pub(in super::super) fn format(&self) -> CameraFormat {
        self.camera.camera_format()
    }

    /// The next picture, waiting for it.
    pub(in super::super) fn next(&mut self) -> Result<Raw<'_>, NoPicture> {
        let raw = self.camera.frame().map_err(|_| NoPicture)?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let age = wall
            .zip(raw.capture_timestamp())
            .and_then(|(wall, captured)| wall.checked_sub(captured));
        let size = raw.resolution();
        let rate = self.camera.camera_format().frame_rate();
        let format = CameraFormat::new(size, raw.source_frame_format(), rate);
        Ok(Raw {
            data: raw,
            format,
            age,
            _lent: PhantomData,
        })
    }
}
