//! The logic of a call, without input or output: who offers, when a picture is whole, what the
//! clocks say, how many bits go where.
//!
//! Everything here is a state machine that is told what happened and when, and answers with what to
//! do; most are polled (`poll`, `take_due`, …) and name the moment at which they want to be looked
//! at again (`next_timeout`).
//!
//! What this crate deliberately is not: it reads no clock, draws no random numbers, spawns nothing,
//! sleeps nowhere and touches no socket. Time and seeds are arguments. It knows no codec library and
//! no WebRTC stack, only the wire formats of RTP.

pub mod audio_jitter;
pub mod audio_send;
pub mod check_pacer;
pub mod congestion;
pub mod degradation;
pub mod dtls_flight;
pub mod fec_policy;
pub mod flexfec;
pub mod keyframe_gate;
pub mod lip_sync;
pub mod negotiator;
pub mod ntp;
pub mod path_recovery;
pub mod playout;
pub mod quality_limitation;
pub mod rate_allocator;
pub mod reception;
pub mod recovery;
pub mod red;
mod rng;
pub mod rtp;
pub mod rtp_clock;
pub mod rtp_timeline;
pub mod rtx;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod simulcast;
pub mod temporal_layers;
pub mod unwrap;
pub mod video_jitter;
pub mod vp8_payload;
pub mod vp8_quantizer;

pub use audio_jitter::{
    AudioDecode, AudioJitterBuffer, AudioJitterStats, AudioPlayout, PlayoutBlock, PlayoutKind,
    opus_has_fec,
};
pub use audio_send::{AudioLimits, AudioPath, AudioSendPolicy, AudioSending};
pub use check_pacer::CheckPacer;
pub use congestion::{CongestionConfig, CongestionController, PacketResult};
pub use degradation::{Degradation, DegradationPreference, PictureShape, PictureSource};
pub use dtls_flight::FlightRepeater;
pub use fec_policy::{FecPath, FecPolicy};
pub use flexfec::{FlexFecDecoder, ProtectedPacket};
pub use keyframe_gate::KeyFrameGate;
pub use lip_sync::{LipSync, MinDelays, Played};
pub use negotiator::{
    NegotiationRefused, Negotiator, NegotiatorAction, NegotiatorCounters, NegotiatorInput, SdpKind,
    SignalingState,
};
pub use ntp::NtpTime;
pub use path_recovery::{IceState, NetworkChange, PathRecovery, PathRecoveryConfig};
pub use playout::{FrameArrival, PlayoutScheduler};
pub use quality_limitation::{LimitationReason, QualityLimitation};
pub use rate_allocator::{Allocation, RateAllocator, RateConfig, RateInput};
pub use reception::{Oddities, Reception, ReportBlock};
pub use recovery::{ConnectionState, ConnectionWatch, RecoveryAction, RecoveryConfig};
pub use red::{RedCopy, RedError, RedHistory, RedPayload};
pub use rtp::RtpPacket;
pub use rtp_clock::{ClockRate, RtpClock};
pub use rtp_timeline::RtpTimeline;
pub use rtx::{DuplicateFilter, unwrap_rtx};
pub use simulcast::{EncodingNeed, SimulcastAllocator};
pub use temporal_layers::{LayerChoice, LayerFilter, TemporalLayer};
pub use unwrap::{SequenceUnwrapper, TimestampUnwrapper};
pub use video_jitter::{
    AssembledFrame, VideoEvent, VideoJitterBuffer, VideoJitterConfig, VideoJitterCounters,
};
pub use vp8_payload::{PictureId, Vp8Descriptor, Vp8Packetizer, Vp8PayloadError};
pub use vp8_quantizer::vp8_quantizer;
