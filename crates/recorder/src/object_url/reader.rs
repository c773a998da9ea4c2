//! One reader of a live stream: bytes between the encoder's thread and a connection.
//!
//! Capacity: as given, in bytes. A reader for whose next bytes there is no room is dropped, with all that
//! waits: what it has read is whole blocks, so that it ends as a stream that stopped.

use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

#[derive(Default)]
struct Queue {
    chunks: VecDeque<Bytes>,
    waiting: usize,
    /// Nothing more will come.
    finished: bool,
    /// Nobody reads any more.
    gone: bool,
    waker: Option<Waker>,
}

/// The encoder's end.
pub(super) struct Outlet {
    queue: Arc<Mutex<Queue>>,
    capacity: usize,
}

/// The connection's end: the body of a response.
pub(super) struct Reader(Arc<Mutex<Queue>>);

/// Both ends of a queue of so many bytes.
pub(super) fn pipe(capacity: usize) -> (Outlet, Reader) {
    let queue = Arc::<Mutex<Queue>>::default();
    let outlet = Outlet {
        queue: queue.clone(),
        capacity,
    };
    (outlet, Reader(queue))
}

impl Outlet {
    /// Hands on bytes. False if nobody reads them any more, or reads too slowly.
    pub(super) fn push(&self, bytes: Bytes) -> bool {
        let mut queue = self.queue.lock();
        if queue.gone {
            return false;
        }
        let fits = queue.waiting + bytes.len() <= self.capacity;
        if fits {
            queue.waiting += bytes.len();
            queue.chunks.push_back(bytes);
        } else {
            queue.chunks.clear();
            queue.finished = true;
        }
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        fits
    }
}

impl Outlet {
    /// Whether anybody is there to read.
    pub(super) fn is_read(&self) -> bool {
        !self.queue.lock().gone
    }
}

impl Drop for Outlet {
    /// The reader comes to the end of what waits.
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        queue.finished = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Stream for Reader {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut queue = self.0.lock();
        if let Some(bytes) = queue.chunks.pop_front() {
            queue.waiting -= bytes.len();
            return Poll::Ready(Some(Ok(bytes)));
        }
        if queue.finished {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.gone = true;
        queue.chunks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use futures::executor::block_on;

    fn rest(reader: Reader) -> usize {
        block_on(
            reader
                .map(|bytes| bytes.map_or(0, |bytes| bytes.len()))
                .collect::<Vec<_>>(),
        )
        .into_iter()
        .sum()
    }

    #[test]
    fn a_reader_gets_all_that_came_before_the_end() {
        let (outlet, reader) = pipe(100);
        assert!(outlet.push(Bytes::from_static(b"abc")));
        assert!(outlet.push(Bytes::from_static(b"de")));
        drop(outlet);
        assert_eq!(rest(reader), 5);
    }

    #[test]
    fn a_slow_reader_holds_nothing_up_and_comes_to_an_end() {
        let (outlet, mut reader) = pipe(40);
        let ten = Bytes::from(vec![0; 10]);
        assert!(outlet.push(ten.clone()));
        assert!(block_on(reader.next()).is_some(), "read so far");
        for _ in 0..4 {
            assert!(outlet.push(ten.clone()));
        }
        assert!(!outlet.push(ten));
        assert_eq!(rest(reader), 0);
    }

    #[test]
    fn nobody_writes_to_a_reader_that_is_gone() {
        let (outlet, reader) = pipe(100);
        drop(reader);
        assert!(!outlet.push(Bytes::from_static(b"abc")));
    }
}
