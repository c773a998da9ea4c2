//! How much the path carries: congestion control by delay, loss and what arrives.
//!
//! Fed with what the other side says of each packet
//! ([transport-wide feedback](https://datatracker.ietf.org/doc/html/draft-holmer-rmcat-transport-wide-cc-extensions-01)),
//! it answers with a target. It grew out of
//! [Google's](https://datatracker.ietf.org/doc/html/draft-ietf-rmcat-gcc-02) and keeps that one's sense for a
//! queue that grows (`trend.rs`), so that it shares a path with browsers as browsers do. Four things are
//! its own:
//!
//! - It knows the queue's length, too (`queue.rs`), and what the path carried while the queue stood. So a
//!   queue is drained at once, by sending less for as long as that takes, and the rate then resumes just
//!   below what was carried; it need not be found again.
//! - A picture's packets leave close together, so each is a probe (`train.rs`): what comes in as fast as it
//!   went out shows that the path has room, without a byte of padding.
//! - Who sends more bears less of a queue, so that calls which share one come to have the same
//!   (`tolerance.rs`).
//! - Losses that stay the same whatever is sent are the path's nature and no congestion (`loss.rs`).
//!
//! It paces nothing and sends nothing.

mod acknowledged;
mod controller;
mod loss;
mod queue;
mod tolerance;
mod train;
mod trend;

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod sharing;
#[cfg(test)]
mod tests;

pub use controller::{CongestionConfig, CongestionController};

use duet_media::MediaTime;

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketResult {
    /// When it left, by the sender's clock.
    pub departure: MediaTime,
    /// When it arrived, by the receiver's clock, whose origin is its own; `None` if it did not.
    pub arrival: Option<MediaTime>,
    /// On the wire.
    pub bytes: usize,
}
