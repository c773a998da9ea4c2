//! V4L2's streaming by mapped buffers.

use super::super::CameraDevice;
use super::{NoPicture, Raw};
use crate::GetUserMediaError;
use nix::time::{ClockId, clock_gettime};
use nokhwa::utils::{CameraFormat, FrameFormat};
use std::io;
use std::marker::PhantomData;
use std::time::Duration;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::traits::CaptureStream;
use v4l::prelude::{Device, MmapStream};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

/// An open camera that streams.
pub(in super::super) struct Capture {
    stream: MmapStream<'static>,
    format: CameraFormat,
}

/// What the driver may fill while a picture is converted.
const BUFFERS: u32 = 4;

impl Capture {
    /// Opens the camera in that mode.
    pub(in super::super) fn open(
        device: &CameraDevice,
        format: CameraFormat,
    ) -> Result<Self, GetUserMediaError> {
        let refused = |error: io::Error| {
            let message = format!("{}: {error}", device.label);
            match error.kind() {
                io::ErrorKind::PermissionDenied => GetUserMediaError::NotAllowed(message),
                io::ErrorKind::NotFound => GetUserMediaError::NotFound(message),
                _ => GetUserMediaError::NotReadable(message),
            }
        };
        let index = device.index.as_index().map_err(|e| device.error(&e))?;
        let node = Device::new(index as usize).map_err(refused)?;
        let wanted = Format::new(format.width(), format.height(), four_cc(format.format()));
        let got = node.set_format(&wanted).map_err(refused)?;
        if (got.width, got.height, got.fourcc) != (wanted.width, wanted.height, wanted.fourcc) {
            return Err(GetUserMediaError::NotReadable(format!(
                "{} does not do {}x{} in {} as it says",
                device.label, wanted.width, wanted.height, wanted.fourcc
            )));
        }
        let params = Parameters::with_fps(format.frame_rate());
        node.set_params(&params).map_err(refused)?;
        let stream =
            MmapStream::with_buffers(&node, Type::VideoCapture, BUFFERS).map_err(refused)?;
        Ok(Capture { stream, format })
    }

    /// The mode that it is in.
    pub(in super::super) fn format(&self) -> CameraFormat {
        self.format
    }

    /// The next picture, waiting for it. It is the driver's to fill again with the next call.
    pub(in super::super) fn next(&mut self) -> Result<Raw<'_>, NoPicture> {
        let (buffer, meta) = self.stream.next().map_err(|_| NoPicture)?;
        // Buffers are as large as the largest picture. A driver that says nothing means all of it.
        let used = match meta.bytesused as usize {
            0 => buffer.len(),
            used => used,
        };
        Ok(Raw {
            data: buffer.get(..used).ok_or(NoPicture)?,
            format: self.format,
            age: age(meta),
            _lent: PhantomData,
        })
    }
}

fn four_cc(format: FrameFormat) -> FourCC {
    FourCC::new(match format {
        FrameFormat::NV12 => b"NV12",
        FrameFormat::YUYV => b"YUYV",
        // The last of those that are ever asked for.
        _ => b"MJPG",
    })
}

/// The driver's time by the clock that it says it goes by.
fn age(meta: &Metadata) -> Option<Duration> {
    let by_monotonic = (meta.flags & Flags::TIMESTAMP_MASK) == Flags::TIMESTAMP_MONOTONIC;
    let captured = Duration::from(meta.timestamp);
    if !by_monotonic || captured.is_zero() {
        return None;
    }
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    Duration::from(now).checked_sub(captured)
}
