//! What goes wrong with a recording.

/// The [exceptions](https://w3c.github.io/mediacapture-record/#exception-summary) of a recorder, by
/// their W3C names. Each carries a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaRecorderError {
    /// The recorder is not in a state for that: started twice, or paused before it was started.
    #[error("InvalidStateError: {0}")]
    InvalidState(String),
    /// The type, or the tracks with that type, cannot be recorded. Ask for another type, or for none.
    #[error("NotSupportedError: {0}")]
    NotSupported(String),
    /// Somebody's permission is missing. There are no isolated streams here, so nothing raises it yet.
    #[error("SecurityError: {0}")]
    Security(String),
    /// A track was added to the stream or removed from it, which ended the recording. What was
    /// recorded until then is whole; start again for the new tracks.
    #[error("InvalidModificationError: {0}")]
    InvalidModification(String),
    /// Something else ended the recording: the disk is full, or an encoder failed. What was written
    /// until then can be played.
    #[error("UnknownError: {0}")]
    Unknown(String),
}

impl MediaRecorderError {
    /// The W3C's name of the error.
    pub fn name(&self) -> &'static str {
        match self {
            MediaRecorderError::InvalidState(_) => "InvalidStateError",
            MediaRecorderError::NotSupported(_) => "NotSupportedError",
            MediaRecorderError::Security(_) => "SecurityError",
            MediaRecorderError::InvalidModification(_) => "InvalidModificationError",
            MediaRecorderError::Unknown(_) => "UnknownError",
        }
    }

    /// The sentence, without the name.
    pub fn message(&self) -> &str {
        match self {
            MediaRecorderError::InvalidState(message)
            | MediaRecorderError::NotSupported(message)
            | MediaRecorderError::Security(message)
            | MediaRecorderError::InvalidModification(message)
            | MediaRecorderError::Unknown(message) => message,
        }
    }
}
