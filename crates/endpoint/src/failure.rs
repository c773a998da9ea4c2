//! Why a command ends without having done its work.

use std::fmt;
use std::process::ExitCode;

/// One sentence for the person, and the exit status for the script.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    usage: bool,
}

impl Failure {
    /// What was asked for makes no sense: exit status 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Failure {
            message: message.to_string(),
            usage: true,
        }
    }

    /// It makes sense, and failed: exit status 1.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Failure {
            message: message.to_string(),
            usage: false,
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.usage { 2 } else { 1 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
