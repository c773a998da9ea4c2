//! A camera and a microphone that exist in software only. What they deliver pleases a person, loads
//! an encoder like the real thing, and carries marks that a machine reads back at the far side.
//!
//! Both are functions of the wall clock: the camera flashes with the first frame of each second, and
//! the microphone beeps at the start of each second. Two that share a clock therefore agree without
//! knowing of each other. [`marks`] has the exact layout.

mod camera;
mod font;
pub mod marks;
mod microphone;
mod picture;

pub use camera::{SyntheticCamera, SyntheticCameraConfig};
pub use marks::Marks;
pub use microphone::{SyntheticMicrophone, SyntheticMicrophoneConfig, hear};
pub use picture::{Painter, render};
