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
    /// Something that does not parse; descriptions are `OperationError`s with a detail.
    Syntax,
    /// An argument that makes no sense.
    Type,
    /// A number out of its range.
    Range,
    /// A character that means nothing.
    InvalidCharacter,
    /// Something that exists in the specification and not here (yet).
    NotSupported,
    /// A change of what may not be changed: parameters, a configuration, a description of ours.
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
            RTCErrorKind::InvalidCharacter => "InvalidCharacterError",
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
    /// Where the W3C's `RTCError` tells more than its name.
    pub detail: Option<RTCErrorDetail>,
}

/// [`RTCErrorDetailType`](https://w3c.github.io/webrtc-pc/#rtcerrordetailtype-enum), with what
/// belongs to each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RTCErrorDetail {
    /// A data channel failed.
    DataChannelFailure,
    /// The DTLS handshake failed, or the connection ended with an alert.
    DtlsFailure {
        /// The alert that came.
        received_alert: Option<u8>,
        /// The alert that was sent.
        sent_alert: Option<u8>,
    },
    /// The other side's certificate is not the announced one.
    FingerprintFailure,
    /// The SCTP association ended, or could not be had.
    SctpFailure {
        /// The [cause](https://www.rfc-editor.org/rfc/rfc9260#section-3.3.10), if one was told.
        cause_code: Option<u16>,
    },
    /// A description that does not parse.
    SdpSyntaxError {
        /// Which line, from 1.
        line: u32,
    },
}

impl RTCErrorDetail {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            RTCErrorDetail::DataChannelFailure => "data-channel-failure",
            RTCErrorDetail::DtlsFailure { .. } => "dtls-failure",
            RTCErrorDetail::FingerprintFailure => "fingerprint-failure",
            RTCErrorDetail::SctpFailure { .. } => "sctp-failure",
            RTCErrorDetail::SdpSyntaxError { .. } => "sdp-syntax-error",
        }
    }
}

impl RTCError {
    pub(crate) fn new(kind: RTCErrorKind, message: impl Into<String>) -> Self {
        RTCError {
            kind,
            message: message.into(),
            detail: None,
        }
    }

    pub(crate) fn closed() -> Self {
        Self::new(RTCErrorKind::InvalidState, "the connection is closed")
    }

    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::Syntax, message)
    }

    /// An `RTCError`: an `OperationError` with a detail.
    pub(crate) fn detailed(detail: RTCErrorDetail, message: impl Into<String>) -> Self {
        RTCError {
            detail: Some(detail),
            ..Self::operation(message)
        }
    }

    /// A description that does not parse at `line`, from 1.
    pub(crate) fn sdp(line: usize, why: impl fmt::Display) -> Self {
        let detail = RTCErrorDetail::SdpSyntaxError {
            line: u32::try_from(line).unwrap_or(u32::MAX),
        };
        Self::detailed(detail, format!("session description, line {line}: {why}"))
    }

    /// An argument that makes no sense.
    pub(crate) fn type_error(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::Type, message)
    }

    pub(crate) fn range(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::Range, message)
    }

    pub(crate) fn modification(message: impl Into<String>) -> Self {
        Self::new(RTCErrorKind::InvalidModification, message)
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
        RTCError::new(kind, message)
    }
}
