//! The media half of a connection: from a track to encoded frames, and from RTP packets to a track.
//!
//! Outbound, an [`EncoderHub`] runs one encoder for each (track, settings) and hands its frames to
//! every [`OutboundVideo`] and [`OutboundAudio`] that asked for them. Inbound, an [`InboundVideo`]
//! or [`InboundAudio`] takes packets as they come and feeds a remote track, which is a
//! [`MediaStreamTrack`](duet_media::MediaStreamTrack) like any other.
//!
//! What it deliberately is not: it knows no connection, socket, packetizer or negotiation, and names
//! no type of the transport. Encoding and decoding run on threads of their own; nothing that a task
//! calls here blocks.
//!
//! Threads: one for each encoder, one for each inbound track. Each ends with its last user.

mod audio_encoder;
mod audio_receive;
mod encoder_hub;
mod stats;
mod sync_group;
mod video_receive;

pub use audio_encoder::{AudioSendSettings, OutboundAudio, OutboundPacket};
pub use audio_receive::{InboundAudio, InboundAudioConfig};
pub use encoder_hub::{EncoderHub, OutboundFrame, OutboundVideo, VideoSendSettings};
pub use stats::{InboundAudioStats, InboundVideoStats, OutboundAudioStats, OutboundVideoStats};
pub use sync_group::SyncGroup;
pub use video_receive::{InboundVideo, InboundVideoConfig};

use bytes::Bytes;

/// What the inbound side asks of the sender. Called on the pipeline's threads: take note and return.
pub trait Feedback: Send + Sync + 'static {
    /// Decoding cannot go on without a key frame: send a
    /// [PLI](https://www.rfc-editor.org/rfc/rfc4585#section-6.3.1). Asked for again, in bounds, until
    /// one comes.
    fn request_key_frame(&self);
}

/// A received [RTP packet](https://www.rfc-editor.org/rfc/rfc3550#section-5.1), decrypted, without
/// its header extensions and padding. For RTX: the packet that was inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// Which codec.
    pub payload_type: u8,
    /// Counts packets; wraps.
    pub sequence_number: u16,
    /// Sampling instant in ticks of the codec's clock rate; wraps.
    pub timestamp: u32,
    /// The last packet of a picture, or the first of a talk spurt.
    pub marker: bool,
    /// Which source.
    pub ssrc: u32,
    /// The codec's payload, its own descriptor included.
    pub payload: Bytes,
}
