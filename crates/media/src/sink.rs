//! Where frames go.

use crate::{Frame, Subscription};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A consumer of a track. Both methods run on the source's thread: they take what they are given and
/// return at once, or every other consumer of that source waits. [`FrameQueue`] is the usual way to
/// another thread or task.
pub trait Sink: Send + Sync + 'static {
    /// A frame. Whether the track is enabled and unmuted has been seen to.
    fn accept(&self, frame: &Frame);

    /// There will be no more frames. Told once to each attached sink.
    fn ended(&self) {}
}

/// A sink's attachment to a track; dropping it detaches the sink.
#[must_use = "dropping a handle detaches its sink"]
pub struct SinkHandle(#[allow(dead_code, reason = "held for its Drop")] Subscription);

impl SinkHandle {
    pub(crate) fn new(subscription: Subscription) -> Self {
        SinkHandle(subscription)
    }
}

struct Queue {
    frames: VecDeque<Frame>,
    ended: bool,
    overwritten: u64,
    waker: Option<Waker>,
}

/// A sink that hands frames to one consumer on another thread or task.
///
/// Capacity: as given. When it is full the oldest frame is lost, and counted by
/// [`FrameQueue::overwritten`]: a live consumer wants what is new. One consumer: a second one that
/// waits takes the first one's wake-ups.
pub struct FrameQueue {
    queue: Mutex<Queue>,
    arrived: Condvar,
    capacity: usize,
}

impl FrameQueue {
    /// A queue of at most `capacity` frames, one at least.
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        FrameQueue {
            queue: Mutex::new(Queue {
                frames: VecDeque::with_capacity(capacity),
                ended: false,
                overwritten: 0,
                waker: None,
            }),
            arrived: Condvar::new(),
            capacity,
        }
    }

    /// A queue that holds the newest frame only.
    pub fn latest() -> Self {
        Self::new(1)
    }

    /// The oldest frame, if there is one.
    pub fn try_pop(&self) -> Option<Frame> {
        self.queue.lock().frames.pop_front()
    }

    /// The oldest frame, waiting up to `timeout` for one. `None` if none came, or none ever will.
    pub fn pop_timeout(&self, timeout: Duration) -> Option<Frame> {
        let mut queue = self.queue.lock();
        if queue.frames.is_empty() && !queue.ended {
            self.arrived.wait_while_for(
                &mut queue,
                |queue| queue.frames.is_empty() && !queue.ended,
                timeout,
            );
        }
        queue.frames.pop_front()
    }

    /// The oldest frame, waiting for one. `None` once the track has ended and all is taken.
    pub async fn pop(&self) -> Option<Frame> {
        std::future::poll_fn(|cx| self.poll_pop(cx)).await
    }

    /// [`FrameQueue::pop`] for hand-written futures.
    pub fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut queue = self.queue.lock();
        if let Some(frame) = queue.frames.pop_front() {
            return Poll::Ready(Some(frame));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the track has ended, or the queue was closed. Frames may be left in it.
    pub fn is_ended(&self) -> bool {
        self.queue.lock().ended
    }

    /// Wakes the consumer for good, as the end of the track does.
    pub fn close(&self) {
        self.ended();
    }

    /// How many frames were lost because the consumer did not take them in time.
    pub fn overwritten(&self) -> u64 {
        self.queue.lock().overwritten
    }
}

impl Sink for FrameQueue {
    fn accept(&self, frame: &Frame) {
        let mut queue = self.queue.lock();
        if queue.ended {
            return;
        }
        let lost = if queue.frames.len() == self.capacity {
            queue.overwritten += 1;
            queue.frames.pop_front()
        } else {
            None
        };
        queue.frames.push_back(frame.clone());
        let waker = queue.waker.take();
        drop(queue);
        drop(lost);
        self.arrived.notify_one();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn ended(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        let waker = queue.waker.take();
        drop(queue);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{I420Buffer, MediaTime, VideoFrame};
    use std::sync::Arc;

    fn frame(millis: i64) -> Frame {
        let buffer = Arc::new(I420Buffer::new(2, 2));
        VideoFrame::new(buffer, MediaTime::from_millis(millis)).into()
    }

    #[test]
    fn a_full_queue_loses_its_oldest_frame_and_counts_it() {
        let queue = FrameQueue::new(2);
        (1..=3).for_each(|n| queue.accept(&frame(n)));
        let left: Vec<_> = std::iter::from_fn(|| queue.try_pop())
            .map(|frame| frame.capture_time().as_millis())
            .collect();
        assert_eq!(left, [2, 3]);
        assert_eq!(queue.overwritten(), 1);
    }

    #[test]
    fn the_end_wakes_a_waiting_consumer() {
        let queue = Arc::new(FrameQueue::latest());
        let consumer = std::thread::spawn({
            let queue = queue.clone();
            move || queue.pop_timeout(Duration::from_secs(60)).is_none()
        });
        queue.ended();
        assert!(consumer.join().unwrap());
        assert!(queue.is_ended());
    }
}
