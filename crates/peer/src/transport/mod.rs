//! What carries a connection: ICE, DTLS over it, and SCTP over that. All media share one transport.
//!
//! They are told from what the substrate says of itself when its states change. What it does not say
//! is not guessed.

mod dtls;
mod follow;
mod ice;
mod sctp;

pub use dtls::{RTCDtlsTransport, RTCDtlsTransportEvent, RTCDtlsTransportState};
pub use ice::{
    RTCIceCandidatePair, RTCIceParameters, RTCIceRole, RTCIceTransport, RTCIceTransportEvent,
    RTCIceTransportState,
};
pub use sctp::{RTCSctpTransport, RTCSctpTransportEvent, RTCSctpTransportState};
