//! Where a recording's bytes go.

use crate::webm::Patch;
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// Where a recording goes.
///
/// Nothing is held back on the way: what was recorded up to a crash is in the file.
pub struct Output(Kind);

enum Kind {
    Memory(Memory),
    Seekable(Box<dyn WriteSeek>),
    Stream(Box<dyn Write + Send>),
}

trait WriteSeek: Write + Seek + Send {}
impl<T: Write + Seek + Send> WriteSeek for T {}

impl Output {
    /// A file, which is made, or emptied if it is there. One that cannot be sought in, such as a pipe,
    /// is written as a stream.
    ///
    /// # Errors
    /// What the system said.
    pub fn file(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(match file.metadata()?.is_file() {
            true => Self::seekable(file),
            false => Self::stream(file),
        })
    }

    /// Something that can be sought in, such as a file: it gets sizes, cues and its duration once the
    /// recording is over. It is written from where it stands, which must be its beginning.
    pub fn seekable(to: impl Write + Seek + Send + 'static) -> Self {
        Output(Kind::Seekable(Box::new(to)))
    }

    /// Something that is written once, such as a socket.
    pub fn stream(to: impl Write + Send + 'static) -> Self {
        Output(Kind::Stream(Box::new(to)))
    }

    /// The `Blob`s of the events.
    pub(crate) fn memory() -> Self {
        Output(Kind::Memory(Memory::default()))
    }

    /// Writes bytes that follow what was written, and puts right what was wrong before.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        patches: impl IntoIterator<Item = Patch>,
    ) -> io::Result<()> {
        match &mut self.0 {
            Kind::Memory(memory) => {
                memory.append(bytes)?;
                patches.into_iter().for_each(|patch| memory.patch(&patch));
                Ok(())
            }
            Kind::Stream(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
            Kind::Seekable(file) => {
                file.write_all(bytes)?;
                let mut moved = false;
                for patch in patches {
                    file.seek(SeekFrom::Start(patch.offset))?;
                    file.write_all(&patch.bytes)?;
                    moved = true;
                }
                if moved {
                    file.seek(SeekFrom::End(0))?;
                }
                file.flush()
            }
        }
    }

    /// Whether what was written can be put right: then the recording gets cues.
    pub(crate) fn can_patch(&self) -> bool {
        match &self.0 {
            Kind::Memory(memory) => memory.taken == 0,
            Kind::Seekable(_) => true,
            Kind::Stream(_) => false,
        }
    }

    /// What was gathered since the last time; nothing where it went elsewhere.
    pub(crate) fn take(&mut self) -> Bytes {
        match &mut self.0 {
            Kind::Memory(memory) => memory.take(),
            Kind::Seekable(_) | Kind::Stream(_) => Bytes::new(),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Memory(_) => "Output::Memory",
            Kind::Seekable(_) => "Output::Seekable",
            Kind::Stream(_) => "Output::Stream",
        })
    }
}

/// What becomes a `Blob`.
#[derive(Debug, Default)]
struct Memory {
    gathered: Vec<u8>,
    /// How much is gone already.
    taken: u64,
}

impl Memory {
    /// A recording that nobody takes anything of may become that long, in bytes.
    const MOST: usize = 256 << 20;

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gathered.len() + bytes.len() > Self::MOST {
            return Err(io::Error::other(
                "the recording has become longer than fits into memory; ask for its data now and \
                 then, or record to a file",
            ));
        }
        self.gathered.extend_from_slice(bytes);
        Ok(())
    }

    /// What is gone stays as it was.
    fn patch(&mut self, patch: &Patch) {
        let start = patch.offset.checked_sub(self.taken);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let place = start.and_then(|start| {
            let end = start.checked_add(patch.bytes.len())?;
            self.gathered.get_mut(start..end)
        });
        if let Some(place) = place {
            place.copy_from_slice(&patch.bytes);
        }
    }

    fn take(&mut self) -> Bytes {
        self.taken += self.gathered.len() as u64;
        std::mem::take(&mut self.gathered).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(offset: u64, bytes: &[u8]) -> Patch {
        Patch {
            offset,
            bytes: bytes.into(),
        }
    }

    #[test]
    fn what_is_gone_stays_as_it_was_and_the_rest_is_put_right() {
        let mut output = Output::memory();
        output.write(b"abcd", [patch(1, b"B")]).unwrap();
        assert!(output.can_patch());
        assert_eq!(output.take(), "aBcd");
        assert!(!output.can_patch());
        let patches = [
            patch(0, b"X"),
            patch(3, b"XY"),
            patch(5, b"F"),
            patch(7, b"XX"),
        ];
        output.write(b"efgh", patches).unwrap();
        assert_eq!(output.take(), "eFgh");
        assert_eq!(output.take(), "");
    }

    #[test]
    fn a_file_goes_on_at_its_end_after_a_patch() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut output = Output::file(file.path()).unwrap();
        output
            .write(b"abcd", [patch(0, b"A"), patch(2, b"C")])
            .unwrap();
        output.write(b"ef", []).unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"AbCdef");
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let mut output = Output::file(Path::new("/dev/full")).unwrap();
        assert!(!output.can_patch());
        assert!(output.write(b"a", []).is_err());
    }
}
