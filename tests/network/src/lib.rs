//! The network laboratory: two whole peers, from the camera's frame to the picture shown, joined by
//! links whose rate, delay, loss and outages are modelled, in virtual time. A minute runs in a few
//! seconds. With the same seed the same packets are lost; a few bytes of a report may differ.
//!
//! Nothing of a call is simulated but the machine around it: the codecs code, ICE, DTLS and SRTP do
//! what they do on a wire. Time passes only when everybody waits, so coding takes none.

mod call;
mod clock;
mod flow;
mod signaling;
mod studio;
mod tcp;
mod viewed;
mod wire;

pub use call::{Call, CallConfig, End, Sends};
pub use clock::VirtualClock;
pub use flow::Flow;
pub use studio::{Camera, Hears, Microphone};
pub use tcp::{Tcp, rate};
pub use viewed::{Shown, Viewed, percentile};
pub use wire::{Passed, Wire};

pub use duet_session::sim::{Jitter, LinkConfig, LinkCounters, Loss};

use std::future::Future;

/// Runs `experiment` in virtual time.
///
/// # Panics
/// Where no runtime can be had, and if the experiment does.
pub fn run<T>(experiment: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(experiment)
}
