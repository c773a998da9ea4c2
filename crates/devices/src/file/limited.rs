//! A file of which only so much may be read, until it has shown that it is what it says.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes may still be read. All clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicU64>);

impl Allowance {
    pub(super) fn of(bytes: u64) -> Self {
        Allowance(Arc::new(AtomicU64::new(bytes)))
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// From now on everything may be read.
    pub(super) fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Ends with an error where the allowance does.
#[derive(Debug)]
pub(super) struct Limited<R> {
    pub(super) file: R,
    pub(super) allowance: Allowance,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.0.load(Ordering::Relaxed);
        if left == 0 && !to.is_empty() {
            return Err(io::Error::other("more than may be read"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(to.len());
        let read = self.file.read(&mut to[..most])?;
        if left < u64::MAX {
            let left = left.saturating_sub(read as u64);
            self.allowance.0.store(left, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let allowance = Allowance::of(3);
        let mut file = Limited {
            file: io::Cursor::new(b"abcdef"),
            allowance: allowance.clone(),
        };
        let mut read = [0; 4];
        assert_eq!(file.read(&mut read).unwrap(), 3);
        assert!(allowance.is_used_up());
        assert_eq!(file.read(&mut []).unwrap(), 0);
        assert!(file.read(&mut read).is_err());
        allowance.lift();
        assert_eq!(file.read(&mut read).unwrap(), 3);
        assert_eq!(
            file.rewind().and_then(|()| file.read(&mut read)).unwrap(),
            4
        );
    }
}
