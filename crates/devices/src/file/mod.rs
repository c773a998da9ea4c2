//! Files as devices: Y4M as a camera and WAV as a microphone, played at the speed that they were
//! recorded at, in a loop or once. What is coded is not played here, since devices know no codec; but
//! [`play`] plays whatever somebody else has made [`Footage`] of.
//!
//! A file is read as it is played, by a thread of its own; it is never in memory as a whole. What its
//! header says is checked before memory is taken. A file that becomes unreadable ends its track.

mod limited;
mod player;
mod wav;
mod y4m;

pub use player::{Footage, Repeat, play};
pub use wav::open_audio;
pub use y4m::open_video;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be opened or read. The path or its permissions are wrong.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else. Give a file of the format that is named.
    #[error("{} is not a {expected} file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was expected.
        expected: &'static str,
    },
    /// Its header makes no sense.
    #[error("{}, byte {offset}: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// It is of a kind that is not played here. Convert it.
    #[error("{}: {reason}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it has, and what would do.
        reason: String,
    },
    /// There is nothing in it to play.
    #[error("{} holds no whole frame", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no thread to play it on.
    #[error("cannot start a thread to play {}: {source}", path.display())]
    Thread {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl FileError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        FileError::Io {
            path: path.into(),
            source,
        }
    }
}

/// Opens a file to be played.
///
/// # Errors
/// [`FileError::Io`], also for what is no regular file: it could not be played in a loop.
pub fn open(path: &Path) -> Result<BufReader<File>, FileError> {
    // Before it is opened: a pipe would wait for a writer.
    let meta = std::fs::metadata(path).map_err(|source| FileError::io(path, source))?;
    if !meta.is_file() {
        let source = std::io::Error::other("not a regular file, which is needed to play in a loop");
        return Err(FileError::io(path, source));
    }
    let file = File::open(path).map_err(|source| FileError::io(path, source))?;
    Ok(BufReader::with_capacity(1 << 16, file))
}

/// The name of the file, for a label.
fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.display(), |name| Path::new(name).display())
        .to_string()
}

/// A file's device id.
fn device_id(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// What can be played in a loop.
trait Stream: Read + Seek + Send + 'static {}
impl<T: Read + Seek + Send + 'static> Stream for T {}
