//! Signaling: how two ends that want a call find each other and pass notes until they can talk
//! directly. `PROTOCOL.md` beside this crate is the protocol's text; [`message`] is its types.
//!
//! What this crate deliberately is not: it knows no media, parses no SDP and no ICE candidate, and
//! stores nothing. It carries opaque descriptions between the members of a room, and forgets them.

pub mod message;

pub use message::{
    ClientMessage, ErrorCode, IceCandidate, IceServer, LeaveReason, PROTOCOL_VERSION, ParseError,
    PeerId, PeerInfo, RoomName, RoomNameError, ServerMessage,
};
