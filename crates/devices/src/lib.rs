//! Where media comes from and goes to: the machine's devices, files, and a synthetic pair whose
//! content a machine can read back.
//!
//! What this crate deliberately is not: it knows no codec, no network and no call. Everything it
//! opens is a [`MediaStreamTrack`](duet_media::MediaStreamTrack) like any other, fed by an OS thread
//! of its own that ends with the last track.

mod pacing;
pub mod synthetic;
