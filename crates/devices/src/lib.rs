//! Where media comes from and goes to: the machine's devices, files, and a synthetic pair whose
//! content a machine can read back.
//!
//! What this crate deliberately is not: it knows no codec, no network and no call. Everything it
//! opens is a [`MediaStreamTrack`](duet_media::MediaStreamTrack) like any other, fed by an OS thread
//! of its own that ends with the last track.

#[cfg(feature = "hardware")]
mod camera;
pub mod convert;
#[cfg(all(feature = "hardware", target_os = "linux"))]
mod display;
mod error;
pub mod file;
#[cfg(feature = "hardware")]
mod group;
mod media_devices;
#[cfg(feature = "hardware")]
mod microphone;
#[cfg(all(feature = "hardware", target_os = "linux"))]
mod monitor;
mod output;
mod pacing;
pub mod resample;
#[cfg(feature = "hardware")]
mod sound;
mod source_spec;
#[cfg(feature = "hardware")]
mod speaker;
mod sync;
pub mod synthetic;
#[cfg(feature = "hardware")]
mod voice;
mod worker;

#[cfg(all(feature = "hardware", target_os = "linux"))]
pub use display::{DisplayCaptureSurfaceType, DisplaySurface};
pub use error::GetUserMediaError;
#[cfg(all(feature = "hardware", target_os = "linux"))]
pub use media_devices::{CursorCaptureConstraint, DisplayMediaStreamOptions};
pub use media_devices::{
    DeviceChangeEvent, MediaDeviceInfo, MediaDeviceKind, MediaDevices, Permission, PermissionState,
    Permissions, UserMediaRequest,
};
pub use output::{AudioOutput, TrackOutput};
pub use source_spec::{SourceSpec, SourceSpecError};
#[cfg(feature = "hardware")]
pub use speaker::Speaker;
