//! Whatever a camera or a file has for pixels, turned into I420 without a detour over RGB.
//!
//! Everything here takes bytes that a device or a file made up, so sizes are checked first, and no
//! memory is taken before they are known to be sane. What it is not: it scales nothing; tracks do.

use duet_media::I420Buffer;
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

mod mjpeg;

pub use mjpeg::MjpegDecoder;

/// Width and height beyond which no picture is taken, in pixels.
pub const MAX_SIZE: u32 = 8_192;

/// Why a picture could not be converted. Drop it; the next may be good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The device delivered fewer bytes than the size calls for.
    #[error("a picture of {width}x{height} wants {wanted} bytes, got {got}")]
    TooShort {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// Bytes.
        wanted: usize,
        /// Bytes.
        got: usize,
    },
    /// No picture has this size.
    #[error("a picture of {width}x{height} is not possible here")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The JPEG data is damaged, or of a kind that cameras do not send.
    #[error("not a usable JPEG picture: {0}")]
    Jpeg(String),
}

/// Converts YUYV (also called YUY2): 4:2:2, packed as luma, blue, luma, red. The width is even.
///
/// # Errors
/// [`ConvertError::Size`] or [`ConvertError::TooShort`].
pub fn from_yuyv(
    data: &[u8],
    width: u32,
    height: u32,
    to: &mut I420Buffer,
) -> Result<(), ConvertError> {
    let even = width.is_multiple_of(2);
    let data = checked(data, width, height, even, |w, h| w * h * 2)?;
    to.resize(width, height);
    let mut planes = planes(to);
    let packed = YuvPackedImage {
        yuy: data,
        yuy_stride: width * 2,
        width,
        height,
    };
    yuv::yuyv422_to_yuv420(&mut planes, &packed).map_err(|_| ConvertError::Size { width, height })
}

/// Converts NV12: a luma plane, then one plane in which blue and red alternate.
///
/// # Errors
/// [`ConvertError::Size`] or [`ConvertError::TooShort`].
pub fn from_nv12(
    data: &[u8],
    width: u32,
    height: u32,
    to: &mut I420Buffer,
) -> Result<(), ConvertError> {
    let data = checked(data, width, height, true, i420_len)?;
    let luma = width as usize * height as usize;
    to.resize(width, height);
    let (y, u, v) = to.planes_mut();
    let (from_y, from_uv) = data.split_at(luma);
    y.copy_from_slice(from_y);
    for ((u, v), pair) in u.iter_mut().zip(v).zip(from_uv.chunks_exact(2)) {
        (*u, *v) = (pair[0], pair[1]);
    }
    Ok(())
}

/// Converts what screens are made of: blue, green, red and a filler, eight bits each, by
/// [BT.601](https://www.itu.int/rec/R-REC-BT.601) in the limited range, as cameras deliver.
///
/// # Errors
/// [`ConvertError::Size`] or [`ConvertError::TooShort`].
pub fn from_bgrx(
    data: &[u8],
    width: u32,
    height: u32,
    to: &mut I420Buffer,
) -> Result<(), ConvertError> {
    let data = checked(data, width, height, true, |w, h| w * h * 4)?;
    to.resize(width, height);
    let mut planes = planes(to);
    yuv::bgra_to_yuv420(
        &mut planes,
        data,
        width * 4,
        YuvRange::Limited,
        YuvStandardMatrix::Bt601,
        YuvConversionMode::Balanced,
    )
    .map_err(|_| ConvertError::Size { width, height })
}

/// Takes over I420 as it is.
///
/// # Errors
/// [`ConvertError::Size`] or [`ConvertError::TooShort`].
pub fn from_i420(
    data: &[u8],
    width: u32,
    height: u32,
    to: &mut I420Buffer,
) -> Result<(), ConvertError> {
    let data = checked(data, width, height, true, i420_len)?;
    to.resize(width, height);
    to.as_bytes_mut().copy_from_slice(data);
    Ok(())
}

/// A picture as the conversions want to have it.
fn planes(to: &mut I420Buffer) -> YuvPlanarImageMut<'_, u8> {
    let (width, height, chroma) = (to.width(), to.height(), to.chroma_width());
    let (y, u, v) = to.planes_mut();
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma,
        width,
        height,
    }
}

/// Whether a picture may have this size.
pub(crate) fn sane(width: u32, height: u32) -> bool {
    (1..=MAX_SIZE).contains(&width) && (1..=MAX_SIZE).contains(&height)
}

/// Bytes of an I420 picture.
pub(crate) fn i420_len(width: usize, height: usize) -> usize {
    width * height + 2 * width.div_ceil(2) * height.div_ceil(2)
}

fn checked(
    data: &[u8],
    width: u32,
    height: u32,
    possible: bool,
    wanted: impl Fn(usize, usize) -> usize,
) -> Result<&[u8], ConvertError> {
    if !sane(width, height) || !possible {
        return Err(ConvertError::Size { width, height });
    }
    let wanted = wanted(width as usize, height as usize);
    data.get(..wanted).ok_or(ConvertError::TooShort {
        width,
        height,
        wanted,
        got: data.len(),
    })
}

/// Brings a picture from JPEG's full range (0 to 255) into the limited range of video.
pub(crate) fn limit_range(picture: &mut I420Buffer) {
    let (y, u, v) = picture.planes_mut();
    y.iter_mut().for_each(|luma| *luma = limited_luma(*luma));
    for plane in [u, v] {
        let chroma = plane.iter_mut();
        chroma.for_each(|c| *c = limited_chroma(u16::from(*c) * 2));
    }
}

// Both reckon in 256ths, in numbers of sixteen bits and no more: so processors do many at a time. A test
// holds them to the exact values.

/// 16 + 219/255 of it, rounded.
fn limited_luma(full: u8) -> u8 {
    let full = u16::from(full);
    ((full * 220 - ((full * 36) >> 8) + (16 << 8) + 128) >> 8) as u8
}

/// 128 + 224/255 of its distance from 128, rounded. It comes doubled (0 to 510), as the sum of two.
fn limited_chroma(doubled: u16) -> u8 {
    // 3,984: what is left of 128 when 224/255 of it are gone.
    ((doubled * 112 + ((doubled * 7) >> 4) + 3_984 + 128) >> 8) as u8
}

#[cfg(test)]
mod tests;
