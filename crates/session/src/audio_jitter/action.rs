//! What the jitter buffer asks of its engine.

use bytes::Bytes;

/// What to do next; see [`AudioJitterBuffer::next`](super::AudioJitterBuffer::next).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioAction {
    /// A block is ready: play it.
    Play,
    /// Decode this, then tell [`AudioJitterBuffer::decoded`](super::AudioJitterBuffer::decoded).
    Decode {
        /// The packet.
        payload: Bytes,
        /// Whether it does not continue what was played last.
        seam: bool,
    },
    /// Recover `frames` samples a channel from the copy in `next`, and keep the last `keep` of them.
    DecodeFec {
        /// The packet after the lost one. It stays in the buffer.
        next: Bytes,
        /// How long the lost packet was.
        frames: usize,
        /// How much of it is still missing.
        keep: usize,
    },
    /// Make up this many samples a channel.
    Conceal {
        /// How many.
        frames: usize,
    },
    /// Nothing is due: a block of silence, or of comfort noise where the other side is silent.
    Silence {
        /// Whether the other side said that it is silent.
        comfort: bool,
    },
    /// Leave out up to `max` samples a channel, then tell [`AudioJitterBuffer::stretched`](super::AudioJitterBuffer::stretched).
    Accelerate {
        /// At most so many.
        max: usize,
        /// Whether speed matters more than perfection.
        urgent: bool,
    },
    /// Repeat up to `max` samples a channel, then tell [`AudioJitterBuffer::stretched`](super::AudioJitterBuffer::stretched).
    Decelerate {
        /// At most so many.
        max: usize,
        /// Whether speed matters more than perfection.
        urgent: bool,
    },
}
