//! The media half of a connection: from a track to encoded frames, and from RTP packets to a track.
//!
//! Outbound, an [`EncoderHub`] runs one encoder for each (track, settings) and hands its frames to
//! every [`OutboundVideo`] and [`OutboundAudio`] that asked for them. Inbound, an [`InboundVideo`]
//! or [`InboundAudio`] takes packets as they come and feeds a remote track, which is a
//! [`MediaStreamTrack`](duet_media::MediaStreamTrack) like any other.
//!
//! What it deliberately is not: it knows no connection, socket, packetizer or negotiation, and names
//! no type of the transport. Nothing that a task calls here blocks.
//!
//! Encoders and playouts are workers that do a step at a time (`worker.rs`). One for each encoder, one
//! for each inbound track, each on a thread of its own, which ends with its last user.

mod audio_encoder;
mod audio_hub;
mod audio_receive;
mod encoder_hub;
mod freeze;
mod last_second;
mod outbox;
mod resample;
mod scaled;
mod shaper;
mod stats;
mod subscription;
mod sync_group;
mod tiers;
mod video_encoder;
mod video_playout;
mod video_receive;
mod worker;

pub use audio_hub::{AudioSendSettings, OutboundAudio, OutboundPacket};
pub use audio_receive::{InboundAudio, InboundAudioConfig};
pub use encoder_hub::{
    EncoderHub, MakeVideoEncoder, OutboundFrame, OutboundVideo, VideoSendSettings,
};
pub(crate) use outbox::temporal_layer;
pub use stats::{InboundAudioStats, InboundVideoStats, OutboundAudioStats, OutboundVideoStats};
pub use sync_group::SyncGroup;
pub use video_receive::{InboundVideo, InboundVideoConfig};
pub use worker::Workers;

pub use duet_session::RtpPacket;

/// What the inbound side asks of the sender. Called on the pipeline's threads: take note and return.
pub trait Feedback: Send + Sync + 'static {
    /// Decoding cannot go on without a key frame: send a
    /// [PLI](https://www.rfc-editor.org/rfc/rfc4585#section-6.3.1). Asked for again, in bounds, until
    /// one comes.
    fn request_key_frame(&self);
}
