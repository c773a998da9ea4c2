//! What can go wrong with a connection, under the names that the W3C gave it.

use std::fmt;

/// The kinds of [`RTCError`]: names of
/// [DOMExceptions](https://webidl.spec.whatwg.org/#idl-DOMException-error-names) and of JavaScript's
/// own errors, as webrtc-pc throws them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RTCErrorKind {
    /// Not now: the connection is closed, or the description does not fit the signaling state.
    InvalidState,
    /// The object belongs to another connection, or cannot be used like this.
    InvalidAccess,
    /// It was tried and failed.
    Operation,
    /// A candidate or description that does not parse.
    Syntax,
    /// An argument that makes no sense.
    Type,
    /// A number out of its range.
    Range,
    /// Something that exists in the specification and not here (yet).
    NotSupported,
    /// `set_parameters` with parameters that may not be changed.
    InvalidModification,
}

impl RTCErrorKind {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            RTCErrorKind::InvalidState => "InvalidStateError",
            RTCErrorKind::InvalidAccess => "InvalidAccessError",
            RTCErrorKind::Operation => "OperationError",
            RTCErrorKind::Syntax => "SyntaxError",
            RTCErrorKind::Type => "TypeError",
            RTCErrorKind::Range => "RangeError",
            RTCErrorKind::NotSupported => "NotSupportedError",
            RTCErrorKind::InvalidModification => "InvalidModificationError",
        }
    }
}

impl fmt::Display for RTCErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of a connection: a name to decide by, and a sentence to show. Whatever failed, the
/// connection is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct RTCError {
    /// The W3C's name.
    pub kind: RTCErrorKind,
    /// What is wrong, for a person.
    pub message: String,
}

impl RTCError {
    pub(crate) fn new(kind: RTCErrorKind, message: impl Into<String>) -> Self {
        RTCError {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn closed() -> Self {
        Self::new(RTCErrorKind::InvalidState, "the connection is closed")
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::Syntax, message)
    }

    pub(crate) fn state(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::InvalidState, message)
    }

    pub(crate) fn operation(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::Operation, message)
    }
}

impl From<webrtc::error::Error> for RTCError {
    /// The substrate's own errors say what failed, seldom what kind of fault it is.
    fn from(error: webrtc::error::Error) -> Self {
        use webrtc::error::Error;
        let kind = match &error {
            Error::ErrConnectionClosed
            | Error::ErrIncorrectSignalingState
            | Error::ErrNoRemoteDescription
            | Error::ErrDataChannelClosed => RTCErrorKind::InvalidState,
            _ => RTCErrorKind::Operation,
        };
        // Some of them print a whole packet.
        let mut message = error.to_string();
        if message.len() > 300 {
            let cut = (0..=300).rev().find(|at| message.is_char_boundary(*at));
            message.truncate(cut.unwrap_or(0));
            message.push('…');
        }
        RTCError { kind, message }
    }
}
