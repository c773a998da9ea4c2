//! The decoder: one frame in, at most one pooled picture out.
//!
//! It hides nothing: after an error it gives no pictures until the next key frame, since all that
//! would come before would be drawn on the wrong ground. Holding the last picture and asking for a
//! key frame is the caller's part.

use super::Context;
use crate::{CodecError, VideoDecoder};
use duet_media::{I420Buffer, Pool};
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::ptr;
use std::sync::Arc;
use vpx_sys as vpx;

/// What is chosen once, when the decoder is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp8DecoderOptions {
    /// The largest picture that is decoded, in pixels (width times height). libvpx takes some seven
    /// bytes for each.
    pub max_pixels: u32,
    /// How many pictures the pool keeps for use again. A picture that finds none free is allocated.
    pub pool: usize,
    /// How many threads decode one picture, 1 to 64. More than one help only with streams of several
    /// token partitions.
    pub threads: u32,
}

impl Default for Vp8DecoderOptions {
    fn default() -> Self {
        Vp8DecoderOptions {
            max_pixels: 4096 * 4096,
            pool: 8,
            threads: 1,
        }
    }
}

/// A VP8 decoder. See [`VideoDecoder`] for its use.
pub struct Vp8Decoder {
    options: Vp8DecoderOptions,
    pool: Pool<I420Buffer>,
    /// Made by the first key frame, dropped by an error: what is decoded next depends on nothing
    /// that a broken frame left behind.
    context: Option<Context>,
}

impl Vp8Decoder {
    /// A decoder that waits for a key frame. It takes no memory to speak of before that.
    pub fn new(options: Vp8DecoderOptions) -> Self {
        Vp8Decoder {
            options,
            pool: Pool::new(options.pool),
            context: None,
        }
    }

    fn checked(&self, data: &[u8]) -> Result<Header, CodecError> {
        let header = Header::parse(data)?;
        match header {
            Header::Key { width, height } => {
                let pixels = u32::from(width) * u32::from(height);
                if pixels == 0 || pixels > self.options.max_pixels {
                    return Err(CodecError::Corrupt(format!(
                        "a key frame of {width}x{height}, where at most {} pixels are taken",
                        self.options.max_pixels
                    )));
                }
            }
            Header::Delta if self.context.is_none() => {
                return Err(CodecError::Corrupt(
                    "a delta frame whose key frame never came".into(),
                ));
            }
            Header::Delta => {}
        }
        Ok(header)
    }

    fn decode_checked(&mut self, data: &[u8]) -> Result<Option<Arc<I420Buffer>>, CodecError> {
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(open(&self.options)?),
        };
        let len = c_uint::try_from(data.len())
            .map_err(|_| CodecError::Corrupt("a frame of more than 4 GiB".into()))?;
        // SAFETY: the context is live, and `data` is `len` readable bytes, which libvpx is done with
        // when it returns. No error concealment, no post-processing, no frame-buffer callbacks.
        let result =
            unsafe { vpx_codec_decode(context.raw, data.as_ptr(), len, ptr::null_mut(), 0) };
        if result != vpx::VPX_CODEC_OK as c_int {
            let detail = context.detail();
            return Err(match result == vpx::VPX_CODEC_MEM_ERROR as c_int {
                true => CodecError::Failed(format!("no memory for a picture: {detail}")),
                false => CodecError::Corrupt(format!("code {result}: {detail}")),
            });
        }
        let mut iter: vpx::vpx_codec_iter_t = ptr::null();
        // SAFETY: the context is live, and `iter` began as null.
        let image = unsafe { vpx::vpx_codec_get_frame(context.raw, &mut iter) };
        // SAFETY: null, or an image that stays as it is until the context's next use, which is after
        // this function.
        let Some(image) = (unsafe { image.as_ref() }) else {
            return Ok(None);
        };
        self.pool.try_fill(|buffer| copy(image, buffer)).map(Some)
    }
}

impl VideoDecoder for Vp8Decoder {
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420Buffer>>, CodecError> {
        let decoded = match self.checked(data) {
            Ok(_) => self.decode_checked(data),
            Err(error) => Err(error),
        };
        if decoded.is_err() {
            self.context = None;
        }
        decoded
    }
}

/// The first bytes of a frame, which are not entropy-coded
/// ([RFC 6386, section 9.1](https://www.rfc-editor.org/rfc/rfc6386#section-9.1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    Key { width: u16, height: u16 },
    Delta,
}

impl Header {
    fn parse(data: &[u8]) -> Result<Header, CodecError> {
        match *data {
            [tag, _, _, ..] if tag & 1 == 1 => Ok(Header::Delta),
            [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] => {
                // The upper two bits say how a player might scale it; nobody does.
                let side = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
                Ok(Header::Key {
                    width: side(w0, w1),
                    height: side(h0, h1),
                })
            }
            _ => Err(CodecError::Corrupt(format!(
                "{} bytes that begin like no VP8 frame",
                data.len()
            ))),
        }
    }
}

unsafe extern "C" {
    /// Declared here once more, with its result as a plain number: when it runs out of memory libvpx
    /// returns -1, which is no variant of `vpx_codec_err_t`.
    fn vpx_codec_decode(
        context: *mut vpx::vpx_codec_ctx_t,
        data: *const u8,
        len: c_uint,
        user: *mut c_void,
        deadline: c_long,
    ) -> c_int;
}

fn open(options: &Vp8DecoderOptions) -> Result<Context, CodecError> {
    let config = vpx::vpx_codec_dec_cfg_t {
        threads: options.threads.clamp(1, 64),
        w: 0,
        h: 0,
    };
    Context::new("VP8 decoder", |raw| {
        // SAFETY: `raw` is a zeroed context, the interface a static, and the configuration is copied.
        // The version is the one that these declarations were made from.
        unsafe {
            vpx::vpx_codec_dec_init_ver(
                raw,
                vpx::vpx_codec_vp8_dx(),
                &config,
                0,
                vpx::VPX_DECODER_ABI_VERSION as c_int,
            )
        }
    })
}

/// Copies what libvpx decoded, which it will draw over, into a buffer of ours.
fn copy(image: &vpx::vpx_image_t, buffer: &mut I420Buffer) -> Result<(), CodecError> {
    let odd = || CodecError::Failed("libvpx returned an image that is not 8-bit I420".into());
    if image.fmt != vpx::vpx_img_fmt::VPX_IMG_FMT_I420 {
        return Err(odd());
    }
    buffer.resize(image.d_w, image.d_h);
    let (width, chroma) = (buffer.width() as usize, buffer.chroma_width() as usize);
    let (y, u, v) = buffer.planes_mut();
    for (index, (plane, width)) in [(y, width), (u, chroma), (v, chroma)]
        .into_iter()
        .enumerate()
    {
        let stride = usize::try_from(image.stride[index]).map_err(|_| odd())?;
        if image.planes[index].is_null() || stride < width {
            return Err(odd());
        }
        for (number, row) in plane.chunks_exact_mut(width).enumerate() {
            // SAFETY: libvpx's I420 image of `d_w` x `d_h` has at least that many rows of at least
            // that many bytes in each plane (halves, rounded up, for chroma), `stride` apart;
            // `buffer` was resized to the same.
            let source = unsafe {
                std::slice::from_raw_parts(image.planes[index].add(number * stride), width)
            };
            row.copy_from_slice(source);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_apart() {
        let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x45, 0xd0, 0xc2];
        let (width, height) = (1280, 720);
        assert_eq!(Header::parse(&key), Ok(Header::Key { width, height }));
        assert_eq!(Header::parse(&[0x31, 0, 0]), Ok(Header::Delta));
        for bad in [&key[..9], &[0x31, 0], &[], &[0x10; 10]] {
            assert!(matches!(Header::parse(bad), Err(CodecError::Corrupt(_))));
        }
    }
}
