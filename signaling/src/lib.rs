//! Signaling: how two ends that want a call find each other and pass notes until they can talk
//! directly. `PROTOCOL.md` beside this crate is the protocol's text; [`message`] is its types,
//! [`client`] speaks it, [`server`] serves it, together with the web client.
//!
//! What this crate deliberately is not: it knows no media, parses no SDP and no ICE candidate, and
//! stores nothing. It carries opaque descriptions between the members of a room, and forgets them.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod limits;
pub mod message;
#[cfg(feature = "server")]
pub mod room;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod tls;

#[cfg(feature = "server")]
mod assets;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod gate;
#[cfg(feature = "server")]
mod hub;
#[cfg(feature = "server")]
mod metrics;

#[cfg(feature = "client")]
pub use client::{
    ClientError, ConnectOptions, SignalingClient, SignalingReceiver, SignalingSender,
};
#[cfg(feature = "server")]
pub use limits::Limits;
pub use message::{
    ClientMessage, ErrorCode, IceCandidate, IceServer, LeaveReason, PROTOCOL_VERSION, ParseError,
    PeerId, PeerInfo, RoomName, RoomNameError, ServerMessage,
};
#[cfg(feature = "server")]
pub use server::{ServeError, Server, ServerConfig, app};
#[cfg(feature = "server")]
pub use tls::{TlsConfig, TlsError};
