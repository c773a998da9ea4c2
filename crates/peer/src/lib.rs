//! [`RTCPeerConnection`] by its W3C names, over webrtc-rs.
//!
//! A connection sends [`MediaStreamTrack`](duet_media::MediaStreamTrack)s and receives others; one
//! encoder for each track and settings serves all connections ([`EncoderHub`]). What the substrate
//! leaves open is mended here, and no type of it is seen outside, so that it can be replaced.
//!
//! What this crate deliberately is not: it opens no device, draws no picture, and signals nothing.
//! Descriptions and candidates are carried by whoever uses it.
//!
//! Everything must be called within a Tokio runtime.

#[cfg(feature = "adversary")]
mod adversary;
mod certificate;
mod config;
mod data_channel;
mod diagnostics;
mod dispatch;
mod error;
mod events;
mod framed;
mod handshake;
mod ice_candidate;
mod ice_server;
mod interceptor;
mod names;
mod negotiation;
mod operations;
mod parameters;
mod peer_connection;
pub mod pipeline;
mod receiver;
mod recovery;
mod relay;
mod runtime;
mod sdp;
mod sender;
mod sockets;
mod source_gate;
mod sources;
mod states;
mod stats;
mod substrate;
mod tcp;
mod transceiver;
mod transport;

#[cfg(feature = "adversary")]
pub use adversary::{Overhear, Tamper};
pub use certificate::{RTCCertificate, RTCDtlsFingerprint, RTCKeygenAlgorithm};
pub use config::{
    NetworkPolicy, PeerContext, RTCBundlePolicy, RTCConfiguration, RTCIceTransportPolicy,
    RTCRtcpMuxPolicy,
};
pub use data_channel::{
    DataChannelEvent, DataChannelMessage, RTCDataChannel, RTCDataChannelInit, RTCDataChannelState,
};
pub use diagnostics::Diagnostics;
pub use error::{RTCError, RTCErrorDetail, RTCErrorKind};
pub use events::{
    PeerConnectionEvent, RTCIceCandidateInit, RTCIceConnectionState, RTCIceGatheringState,
    RTCPeerConnectionIceErrorEvent, RTCPeerConnectionState, RTCSignalingState, RTCTrackEvent,
};
pub use ice_candidate::{
    RTCIceCandidate, RTCIceCandidateType, RTCIceComponent, RTCIceProtocol, RTCIceTcpCandidateType,
};
pub use ice_server::RTCIceServer;
pub use parameters::{
    RTCDegradationPreference, RTCRtcpParameters, RTCRtpCapabilities, RTCRtpCodec,
    RTCRtpCodecParameters, RTCRtpEncodingParameters, RTCRtpHeaderExtensionCapability,
    RTCRtpHeaderExtensionParameters, RTCRtpReceiveParameters, RTCRtpSendParameters,
};
pub use peer_connection::{RTCOfferOptions, RTCPeerConnection};
pub use pipeline::{EncoderHub, Workers};
pub use receiver::RTCRtpReceiver;
pub use sdp::{RTCSdpType, RTCSessionDescription};
pub use sender::{RTCDTMFSender, RTCDTMFToneChangeEvent, RTCRtpSender};
pub use sockets::{DatagramSocket, Network};
pub use sources::RTCRtpSource;
pub use stats::{RTCStats, RTCStatsReport};
pub use tcp::TcpCandidates;
pub use transceiver::{RTCRtpTransceiver, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
pub use transport::{
    RTCDtlsTransport, RTCDtlsTransportEvent, RTCDtlsTransportState, RTCIceCandidatePair,
    RTCIceParameters, RTCIceRole, RTCIceTransport, RTCIceTransportEvent, RTCIceTransportState,
    RTCSctpTransport, RTCSctpTransportEvent, RTCSctpTransportState,
};

/// Directives for a log filter that keep the substrate's chatter, which prints whole packets, out of
/// the log: to be put before those of the program.
pub const LOG_FILTER: &str = "webrtc=error,webrtc::peer_connection::driver=off,rtc=error,\
    rtc_ice=error,rtc_dtls=error,rtc_sctp=error,rtc_srtp=error,rtc_interceptor=error,rtc_mdns=off,\
    rtc_stun=error,rtc_turn=error";
