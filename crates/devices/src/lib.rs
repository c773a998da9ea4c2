//! Where media comes from and goes to: the machine's devices, files, and a synthetic pair whose
//! content a machine can read back.
//!
//! What this crate deliberately is not: it knows no codec, no network and no call. Everything it
//! opens is a [`MediaStreamTrack`](duet_media::MediaStreamTrack) like any other, fed by an OS thread
//! of its own that ends with the last track.

#[cfg(feature = "hardware")]
mod camera;
pub mod convert;
mod error;
pub mod file;
mod media_devices;
#[cfg(feature = "hardware")]
mod microphone;
mod output;
mod pacing;
pub mod resample;
#[cfg(feature = "hardware")]
mod sound;
mod source_spec;
#[cfg(feature = "hardware")]
mod speaker;
pub mod synthetic;

pub use error::GetUserMediaError;
pub use media_devices::{MediaDeviceInfo, MediaDeviceKind, MediaDevices};
pub use output::{AudioOutput, TrackOutput};
pub use source_spec::{SourceSpec, SourceSpecError};
#[cfg(feature = "hardware")]
pub use speaker::Speaker;
