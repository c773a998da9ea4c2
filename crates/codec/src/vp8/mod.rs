//! VP8 ([RFC 6386](https://www.rfc-editor.org/rfc/rfc6386)) by libvpx.
//!
//! The only place in the project with `unsafe` in it: libvpx speaks C. Each block says why it holds.
//! What is here is what a live call needs; look-ahead, two passes, alpha and
//! post-processing are left alone.
#![expect(unsafe_code, reason = "libvpx is a C library")]

mod decoder;
mod encoder;
mod layers;

pub use decoder::{Vp8Decoder, Vp8DecoderOptions};
pub use encoder::{Vp8Encoder, Vp8EncoderOptions};

use crate::CodecError;
use std::ffi::{CStr, c_int};
use std::ptr;
use vpx_sys as vpx;

/// Width and height have 14 bits in a key frame's header.
const MAX_SIDE: u32 = (1 << 14) - 1;

/// A libvpx context that is destroyed when it is dropped.
///
/// Invariant: `raw` is non-null, was initialised by a successful `vpx_codec_{enc,dec}_init_ver`, and
/// nothing else knows it.
struct Context {
    /// By pointer, not by value: libvpx may leave a code in it that is none of
    /// `vpx_codec_err_t`'s variants, so it must never be moved or read as a Rust value.
    raw: *mut vpx::vpx_codec_ctx_t,
}

// SAFETY: libvpx ties a context to no thread: it keeps no thread-local state, and with `&mut` at
// every use two threads never meet in one. Its one-time tables are guarded by `pthread_once`.
unsafe impl Send for Context {}

impl Context {
    /// Makes a context with one of libvpx's `init` functions.
    fn new(
        what: &str,
        init: impl FnOnce(*mut vpx::vpx_codec_ctx_t) -> vpx::vpx_codec_err_t,
    ) -> Result<Self, CodecError> {
        // SAFETY: every field is a number, a nullable pointer, or an enum that has a zero.
        let zeroed: vpx::vpx_codec_ctx_t = unsafe { std::mem::zeroed() };
        let raw = Box::into_raw(Box::new(zeroed));
        match init(raw) {
            vpx::VPX_CODEC_OK => Ok(Context { raw }),
            code => {
                // SAFETY: it came from `Box::into_raw`. When `init` fails, libvpx has freed what it
                // had taken and keeps no pointer to it.
                drop(unsafe { Box::from_raw(raw) });
                Err(CodecError::Failed(format!("{what}: {}", describe(code))))
            }
        }
    }

    /// Sets one of libvpx's knobs. `control` must be one that takes an `int`.
    fn control(
        &mut self,
        control: vpx::vp8e_enc_control_id,
        value: c_int,
    ) -> Result<(), CodecError> {
        // SAFETY: the context is live, and the variadic argument is the `int` that the control takes.
        match unsafe { vpx::vpx_codec_control_(self.raw, control as c_int, value) } {
            vpx::VPX_CODEC_OK => Ok(()),
            code => Err(CodecError::Failed(format!(
                "{control:?} = {value}: {}",
                self.error(code)
            ))),
        }
    }

    /// What libvpx says about its last failure.
    fn error(&self, code: vpx::vpx_codec_err_t) -> String {
        let detail = self.detail();
        match detail.is_empty() {
            true => describe(code),
            false => format!("{}: {detail}", describe(code)),
        }
    }

    /// The detail of its last failure, if it gave one.
    fn detail(&self) -> String {
        // SAFETY: the context is live.
        text(unsafe { vpx::vpx_codec_error_detail(self.raw) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: live until here, and destroyed once. The box is freed as raw memory of the same
        // layout: `MaybeUninit` because of what the field's comment says.
        unsafe {
            vpx::vpx_codec_destroy(self.raw);
            drop(Box::from_raw(
                self.raw
                    .cast::<std::mem::MaybeUninit<vpx::vpx_codec_ctx_t>>(),
            ));
        }
    }
}

fn describe(code: vpx::vpx_codec_err_t) -> String {
    // SAFETY: takes any code and returns a static string.
    text(unsafe { vpx::vpx_codec_err_to_string(code) })
}

/// A C string's text; empty if there is none.
fn text(string: *const std::ffi::c_char) -> String {
    if ptr::eq(string, ptr::null()) {
        return String::new();
    }
    // SAFETY: libvpx's messages are NUL-terminated, and live as long as the library or the context
    // that the caller still holds.
    unsafe { CStr::from_ptr(string) }
        .to_string_lossy()
        .into_owned()
}
