//! The messages of the signaling protocol, version 1, as they stand in `PROTOCOL.md`.
//!
//! What this module deliberately is not: it decides nothing. Whether a message may be sent at this
//! moment, and to whom, is the room's business; whether an SDP makes sense is the receiver's.

use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The protocol version that [`ClientMessage::Join`] and [`ServerMessage::Joined`] carry.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest frame, in bytes, that the server takes from a client.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest display name, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// What a client says to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum ClientMessage {
    /// Asks for a seat in a room. Answered by [`ServerMessage::Joined`] or [`ServerMessage::Error`].
    Join {
        /// The version that the client speaks: [`PROTOCOL_VERSION`].
        version: u32,
        /// The room's name; see [`RoomName`] for what it may hold.
        room: String,
        /// What the others may show for this peer: up to [`MAX_NAME_CHARS`] characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The token of an earlier membership of this room, which this one replaces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_token: Option<String>,
    },
    /// Gives the seat back. The socket stays open, and may join again.
    Leave,
    /// A session description that asks for an answer.
    Offer {
        /// The peer it is for.
        to: PeerId,
        /// The description, [RFC 8866](https://www.rfc-editor.org/rfc/rfc8866).
        sdp: String,
    },
    /// The session description that answers an offer.
    Answer {
        /// The peer it is for.
        to: PeerId,
        /// The description, [RFC 8866](https://www.rfc-editor.org/rfc/rfc8866).
        sdp: String,
    },
    /// One way in which the sender may be reached.
    Candidate {
        /// The peer it is for.
        to: PeerId,
        /// The candidate.
        #[serde(flatten)]
        candidate: IceCandidate,
    },
    /// The peer's last offer could not be taken: no answer will come.
    Reject {
        /// The peer it is for.
        to: PeerId,
    },
    /// Hangs up the call with one peer; both stay in the room.
    Bye {
        /// The peer it is for.
        to: PeerId,
    },
    /// Asks for a [`ServerMessage::Pong`].
    Ping,
}

/// What the server says to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum ServerMessage {
    /// The seat is taken.
    Joined {
        /// The version that the server speaks on this socket.
        version: u32,
        /// The client's own id, made by the server.
        id: PeerId,
        /// The room that was joined.
        room: String,
        /// Who was there before; the newcomer makes each of them an offer.
        peers: Vec<PeerInfo>,
        /// STUN and TURN servers to use.
        ice_servers: Vec<IceServer>,
        /// How often the server pings, in seconds. A side that heard nothing for twice as long
        /// holds the connection for dead.
        heartbeat_seconds: u32,
        /// A secret that lets a later join replace this membership.
        resume_token: String,
    },
    /// Somebody took a seat in the room. The newcomer makes the offer.
    PeerJoined {
        /// Who it is.
        peer: PeerInfo,
    },
    /// Somebody's seat is free again; the call with them is over.
    PeerLeft {
        /// Who it was.
        id: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A peer's offer.
    Offer {
        /// The peer it is from.
        from: PeerId,
        /// The description.
        sdp: String,
    },
    /// A peer's answer.
    Answer {
        /// The peer it is from.
        from: PeerId,
        /// The description.
        sdp: String,
    },
    /// A peer's candidate.
    Candidate {
        /// The peer it is from.
        from: PeerId,
        /// The candidate.
        #[serde(flatten)]
        candidate: IceCandidate,
    },
    /// A peer could not take the last offer made to it. It is to be taken back.
    Reject {
        /// The peer it is from.
        from: PeerId,
    },
    /// A peer hung up.
    Bye {
        /// The peer it is from.
        from: PeerId,
    },
    /// The answer to [`ClientMessage::Ping`].
    Pong,
    /// Something the client sent was refused.
    Error {
        /// What kind of refusal it is, for programs.
        code: ErrorCode,
        /// What was expected, in one sentence, for people.
        message: String,
        /// Whether the server closes the socket right after this.
        fatal: bool,
    },
}

/// A member of a room as another member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Its id, made by the server.
    pub id: PeerId,
    /// Its display name, if it gave one. Written by a stranger: show it as text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether *the receiver of this message* is the polite one towards this peer, in the sense of
    /// [perfect negotiation](https://w3c.github.io/webrtc-pc/#perfect-negotiation-example).
    pub polite: bool,
}

/// A candidate as [`RTCIceCandidateInit`](https://w3c.github.io/webrtc-pc/#dom-rtcicecandidateinit)
/// has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// The candidate-attribute; empty says that there are no more.
    pub candidate: String,
    /// The media section's identification tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdp_mid: Option<String>,
    /// The media section's index.
    #[serde(
        default,
        rename = "sdpMLineIndex",
        skip_serializing_if = "Option::is_none"
    )]
    pub sdp_m_line_index: Option<u16>,
    /// The ICE generation that this candidate belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_fragment: Option<String>,
}

/// A STUN or TURN server as [`RTCIceServer`](https://w3c.github.io/webrtc-pc/#dom-rtciceserver)
/// has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` URLs.
    pub urls: Vec<String>,
    /// The user for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password for TURN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// Why a peer is no longer in the room. A reason that this version does not know reads as
/// [`LeaveReason::Gone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveReason {
    /// It said so.
    Left,
    /// It came back as somebody new, who has joined or is about to.
    Replaced,
    /// Its socket closed, or fell silent.
    #[serde(other)]
    Gone,
}

/// What kind of refusal an error is. A code that this version does not know reads as
/// [`ErrorCode::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// Every seat in the room is taken. Try again when somebody left.
    RoomFull,
    /// Not JSON, or a field is missing or of the wrong type.
    BadMessage,
    /// The `type` is none that this protocol version has.
    UnknownType,
    /// The frame is over [`MAX_MESSAGE_BYTES`].
    TooLarge,
    /// More messages, bytes or candidates than the limits allow; this one was dropped.
    TooFast,
    /// No peer of that id is in the room (it may have left just now).
    NoSuchPeer,
    /// Join a room first.
    NotInRoom,
    /// See [`RoomName`].
    BadRoomName,
    /// The server does not speak the version that was asked for.
    Version,
    /// The server holds as many rooms as it is set to.
    RoomLimit,
    /// The server holds as many connections as it is set to.
    ServerFull,
    /// This socket is in a room already: leave it first.
    AlreadyJoined,
    /// A code of a later version.
    #[serde(other)]
    Other,
}

impl ErrorCode {
    /// Every code that a server of this version sends.
    pub const ALL: [Self; 12] = [
        Self::RoomFull,
        Self::BadMessage,
        Self::UnknownType,
        Self::TooLarge,
        Self::TooFast,
        Self::NoSuchPeer,
        Self::NotInRoom,
        Self::BadRoomName,
        Self::Version,
        Self::RoomLimit,
        Self::ServerFull,
        Self::AlreadyJoined,
    ];

    /// The code's text in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoomFull => "room-full",
            Self::BadMessage => "bad-message",
            Self::UnknownType => "unknown-type",
            Self::TooLarge => "too-large",
            Self::TooFast => "too-fast",
            Self::NoSuchPeer => "no-such-peer",
            Self::NotInRoom => "not-in-room",
            Self::BadRoomName => "bad-room-name",
            Self::Version => "version",
            Self::RoomLimit => "room-limit",
            Self::ServerFull => "server-full",
            Self::AlreadyJoined => "already-joined",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who somebody is, for as long as they are in a room. Made by the server, unique on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(String);

impl PeerId {
    /// Wraps what came from the server.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A room's name: 1 to 64 of the characters `A-Z a-z 0-9 _ -`, so that it fits into a URL as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomName(String);

/// The text is no [`RoomName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room name is 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")]
pub struct RoomNameError;

impl RoomName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomName {
    type Err = RoomNameError;

    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        let well_made = (1..=Self::MAX_LEN).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if well_made {
            Ok(Self(text.to_owned()))
        } else {
            Err(RoomNameError)
        }
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text frame is no message. Its text is fit to be sent back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a JSON object with a `type`, or a field is missing or wrong.
    #[error("{0}")]
    Bad(String),
    /// A well-made message whose type this side does not know. A server refuses it; a client skips
    /// it, since a newer server may say more.
    #[error("{0:?} is not a message type of protocol version 1")]
    UnknownType(String),
}

impl ParseError {
    /// The code under which the server refuses such a message.
    pub fn code(&self) -> ErrorCode {
        match self {
            ParseError::Bad(_) => ErrorCode::BadMessage,
            ParseError::UnknownType(_) => ErrorCode::UnknownType,
        }
    }
}

impl ClientMessage {
    /// Every `type` a client may send.
    const TYPES: &[&str] = &[
        "join",
        "leave",
        "offer",
        "answer",
        "candidate",
        "reject",
        "bye",
        "ping",
    ];

    /// Reads one text frame. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`ParseError`], with a sentence for the sender.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let message: Self = parse(text, Self::TYPES)?;
        match &message {
            Self::Offer { sdp, .. } | Self::Answer { sdp, .. } if sdp.is_empty() => {
                Err(ParseError::Bad("sdp must not be empty".into()))
            }
            Self::Join {
                name: Some(name), ..
            } if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) => {
                Err(ParseError::Bad(format!(
                    "name must be at most {MAX_NAME_CHARS} characters without control characters"
                )))
            }
            _ => Ok(message),
        }
    }

    /// The text frame for this message.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl ServerMessage {
    /// Every `type` a server may send.
    const TYPES: &[&str] = &[
        "joined",
        "peer-joined",
        "peer-left",
        "offer",
        "answer",
        "candidate",
        "reject",
        "bye",
        "pong",
        "error",
    ];

    /// Reads one text frame. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`ParseError`]; a client skips [`ParseError::UnknownType`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse(text, Self::TYPES)
    }

    /// The text frame for this message.
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// A refusal that leaves the socket open.
    pub fn error(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error {
            code,
            message: message.into(),
            fatal: false,
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str, types: &[&str]) -> Result<T, ParseError> {
    // Well-made messages are read once; only a refusal pays for finding out what was wrong.
    let error = match serde_json::from_str(text) {
        // serde would take a sequence for a struct as well.
        Ok(message) if text.trim_ascii_start().starts_with('{') => return Ok(message),
        Ok(_) => return Err(ParseError::Bad("a message must be a JSON object".into())),
        Err(error) => error,
    };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return Err(ParseError::Bad(format!("a message must be JSON: {error}")));
    };
    let Some(object) = value.as_object() else {
        return Err(ParseError::Bad("a message must be a JSON object".into()));
    };
    match object.get("type").and_then(serde_json::Value::as_str) {
        None => Err(ParseError::Bad(
            "a message must have a \"type\", which is a string".into(),
        )),
        Some(kind) if !types.contains(&kind) => {
            Err(ParseError::UnknownType(kind.chars().take(40).collect()))
        }
        // serde quotes what it found; what came in may be long, what goes back is short.
        Some(kind) => Err(ParseError::Bad(
            format!("{kind}: {error}").chars().take(200).collect(),
        )),
    }
}

fn to_json<T: Serialize>(message: &T) -> String {
    serde_json::to_string(message)
        .expect("messages are structs of strings, numbers and booleans, which always have JSON")
}
