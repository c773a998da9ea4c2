//! Why a device could not be had.

/// The errors of [`getUserMedia`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getusermedia),
/// by their W3C names. Each carries a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GetUserMediaError {
    /// Nothing was asked for, or something that cannot be required was. Ask differently.
    #[error("TypeError: {0}")]
    Type(String),
    /// The devices were closed ([`MediaDevices::close`](crate::MediaDevices::close)). Make new ones.
    #[error("InvalidStateError: {0}")]
    InvalidState(String),
    /// The system, or whoever answers for the user, forbids it. Grant the permission.
    #[error("NotAllowedError: {0}")]
    NotAllowed(String),
    /// There is no such device. Plug one in, name another, or go on without.
    #[error("NotFoundError: {0}")]
    NotFound(String),
    /// The device is there, but the system or the device refused: somebody else may be using it. Try
    /// again later.
    #[error("NotReadableError: {0}")]
    NotReadable(String),
    /// No device meets the required constraints. Ask for less.
    #[error("OverconstrainedError: {message}")]
    Overconstrained {
        /// The W3C's name of a constraint that nothing meets; empty if it is several together.
        constraint: String,
        /// A sentence for a person.
        message: String,
    },
    /// Something else went wrong.
    #[error("AbortError: {0}")]
    Abort(String),
}

impl GetUserMediaError {
    /// The W3C's name of the error.
    pub fn name(&self) -> &'static str {
        match self {
            GetUserMediaError::Type(_) => "TypeError",
            GetUserMediaError::InvalidState(_) => "InvalidStateError",
            GetUserMediaError::NotAllowed(_) => "NotAllowedError",
            GetUserMediaError::NotFound(_) => "NotFoundError",
            GetUserMediaError::NotReadable(_) => "NotReadableError",
            GetUserMediaError::Overconstrained { .. } => "OverconstrainedError",
            GetUserMediaError::Abort(_) => "AbortError",
        }
    }

    /// The sentence, without the name.
    pub fn message(&self) -> &str {
        match self {
            GetUserMediaError::Type(message)
            | GetUserMediaError::InvalidState(message)
            | GetUserMediaError::NotAllowed(message)
            | GetUserMediaError::NotFound(message)
            | GetUserMediaError::NotReadable(message)
            | GetUserMediaError::Overconstrained { message, .. }
            | GetUserMediaError::Abort(message) => message,
        }
    }
}

impl From<crate::file::FileError> for GetUserMediaError {
    fn from(error: crate::file::FileError) -> Self {
        use crate::file::FileError;
        use std::io::ErrorKind;
        let message = error.to_string();
        match error {
            FileError::Io { source, .. } => match source.kind() {
                ErrorKind::NotFound => GetUserMediaError::NotFound(message),
                ErrorKind::PermissionDenied => GetUserMediaError::NotAllowed(message),
                _ => GetUserMediaError::NotReadable(message),
            },
            FileError::Thread { .. } => GetUserMediaError::Abort(message),
            _ => GetUserMediaError::NotReadable(message),
        }
    }
}
