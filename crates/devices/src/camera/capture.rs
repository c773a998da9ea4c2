//! A camera's stream, a picture at a time.
//!
//! On Linux the bytes are the driver's own, mapped into memory and lent until the next picture:
//! nokhwa's `frame` copies every picture into memory that it allocates, and its `frame_raw` keeps the
//! capture time to itself. So the stream is had from `v4l`, which nokhwa uses too. Elsewhere it is
//! nokhwa's, copy included.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub(super) use linux::Capture;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Capture;

use nokhwa::utils::CameraFormat;
use std::marker::PhantomData;
use std::time::Duration;

/// A picture as the camera made it.
pub(super) struct Raw<'a> {
    #[cfg(target_os = "linux")]
    data: &'a [u8],
    #[cfg(not(target_os = "linux"))]
    data: nokhwa::Buffer,
    pub(super) format: CameraFormat,
    /// How long ago it was captured, if the driver says.
    pub(super) age: Option<Duration>,
    /// It may be lent.
    _lent: PhantomData<&'a [u8]>,
}

impl Raw<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        #[cfg(target_os = "linux")]
        return self.data;
        #[cfg(not(target_os = "linux"))]
        return self.data.buffer();
    }
}

/// There was no picture.
#[derive(Debug)]
pub(super) struct NoPicture;
