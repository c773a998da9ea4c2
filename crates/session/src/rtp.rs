//! The part of an RTP packet that the jitter buffers look at.
//!
//! Not a parser of RTP: header extensions, CSRCs and padding are the transport's, and are gone by
//! the time a packet comes here.

use bytes::Bytes;

/// An [RTP](https://www.rfc-editor.org/rfc/rfc3550#section-5.1) packet, its padding already removed.
///
/// Cloning is cheap: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    /// Counts the stream's packets, modulo 65,536.
    pub sequence_number: u16,
    /// Sampling instant of the first byte, in ticks of the payload's clock, modulo 2^32.
    pub timestamp: u32,
    /// Last packet of a frame (video), first after a silence (audio).
    pub marker: bool,
    /// The stream's synchronization source.
    pub ssrc: u32,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// The payload; empty for a packet of nothing but padding.
    pub payload: Bytes,
}
