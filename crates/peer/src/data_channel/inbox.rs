//! The program's side of a channel: its handlers, the receiver of its messages, and what waits for both.

use super::backlog::{Backlog, Full, MAX_WAITING_BYTES, MAX_WAITING_MESSAGES};
use super::{DataChannelEvent, DataChannelMessage};
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

/// Where a channel's messages and events go.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    events: EventTarget<DataChannelEvent>,
    handlers: Arc<Handlers>,
    /// Tells of what waited where nobody takes it along.
    runtime: Option<Handle>,
}

struct Waiting {
    backlog: Backlog,
    reader: Option<Arc<Reader>>,
    /// Nothing comes any more.
    ended: bool,
}

/// How many handlers there are, and who waits for room.
#[derive(Default)]
struct Handlers {
    count: AtomicUsize,
    room: Notify,
}

/// A handler is there as long as this is.
struct HandlerMark(Arc<Handlers>);

impl Inbox {
    pub(super) fn new() -> Self {
        Inbox {
            waiting: Mutex::new(Waiting {
                backlog: Backlog::new(),
                reader: None,
                ended: false,
            }),
            events: EventTarget::new(),
            handlers: Arc::default(),
            runtime: Handle::try_current().ok(),
        }
    }

    /// A handler. What waits for the first one is told to it on a task, not on the caller's stack.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        handler: impl Fn(&DataChannelEvent) + Send + Sync + 'static,
    ) -> Subscription {
        let mark = HandlerMark::new(&self.handlers);
        let subscription = self.events.subscribe(move |event| {
            let _held = &mark;
            handler(event);
        });
        let waits = self.waiting.lock().backlog.handle();
        if let Some(runtime) = &self.runtime
            && waits
        {
            let inbox = self.clone();
            runtime.spawn(async move { inbox.tell_what_waits() });
        }
        subscription
    }

    /// The receiver of the messages, from the first on that nobody received.
    pub(super) fn messages(&self) -> mpsc::Receiver<DataChannelMessage> {
        let (reader, receiver) = {
            let mut waiting = self.waiting.lock();
            let (reader, receiver) = Reader::new(waiting.backlog.read());
            let reader = Arc::new(reader);
            waiting.reader = (!waiting.ended).then(|| reader.clone());
            (reader, receiver)
        };
        drop(reader);
        self.look_again();
        receiver
    }

    /// Takes a message in as soon as there is room for it. `let_go`: nobody can ask for it any more.
    pub(super) async fn deliver(&self, message: DataChannelMessage, let_go: impl Fn() -> bool) {
        let reader = loop {
            let room = self.handlers.room.notified();
            tokio::pin!(room);
            // From here on no word of it is missed.
            room.as_mut().enable();
            {
                let mut waiting = self.waiting.lock();
                let handled = self.handlers.count.load(Ordering::Acquire) > 0;
                match waiting.backlog.offer(&message, handled) {
                    Ok(()) => break waiting.reader.clone(),
                    Err(Full) if !handled && let_go() => {
                        waiting.backlog.read();
                        break None;
                    }
                    Err(Full) => {}
                }
            }
            room.await;
        };
        self.tell_what_waits();
        if let Some(reader) = reader {
            reader.send(message).await;
        }
    }

    /// Tells the handlers, or whoever becomes the first.
    pub(super) fn tell(&self, event: DataChannelEvent) {
        self.waiting.lock().backlog.note(event);
        self.tell_what_waits();
    }

    /// Nothing comes any more: the receiver ends when it has read all.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting.lock();
        waiting.ended = true;
        waiting.reader = None;
    }

    /// Whoever waits for room may find some, or find that none is needed.
    pub(super) fn look_again(&self) {
        self.handlers.room.notify_waiters();
    }

    fn tell_what_waits(&self) {
        loop {
            let Some(event) = self.waiting.lock().backlog.next() else {
                return;
            };
            let _telling = Telling(self);
            self.events.dispatch(&event);
        }
    }
}

/// An event is being told; a handler that panics does not silence the others for good.
struct Telling<'a>(&'a Inbox);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.0.waiting.lock().backlog.told();
        self.0.look_again();
    }
}

impl HandlerMark {
    fn new(handlers: &Arc<Handlers>) -> Self {
        handlers.count.fetch_add(1, Ordering::AcqRel);
        HandlerMark(handlers.clone())
    }
}

impl Drop for HandlerMark {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.room.notify_waiters();
    }
}

/// The queue to the receiver, bounded in messages by its capacity and in bytes by what it counts.
struct Reader {
    queue: mpsc::Sender<DataChannelMessage>,
    /// Of the messages that went in, the last at the back; some of the first were received meanwhile.
    sizes: Mutex<VecDeque<usize>>,
}

impl Reader {
    fn new(waiting: VecDeque<DataChannelMessage>) -> (Reader, mpsc::Receiver<DataChannelMessage>) {
        let (queue, receiver) = mpsc::channel(MAX_WAITING_MESSAGES);
        let sizes = waiting.iter().map(DataChannelMessage::size).collect();
        for message in waiting {
            // As many wait as there are places.
            let _ = queue.try_send(message);
        }
        let sizes = Mutex::new(sizes);
        (Reader { queue, sizes }, receiver)
    }

    /// Waits until there is room. Nothing happens if nobody receives any more.
    async fn send(&self, message: DataChannelMessage) {
        let size = message.size();
        while !self.has_room(size) {
            // Until one more was received.
            let free = (self.queue.capacity() + 1).min(MAX_WAITING_MESSAGES);
            if self.queue.reserve_many(free).await.is_err() {
                return;
            }
        }
        if self.queue.send(message).await.is_ok() {
            self.sizes.lock().push_back(size);
        }
    }

    fn has_room(&self, size: usize) -> bool {
        let unread = MAX_WAITING_MESSAGES - self.queue.capacity();
        let mut sizes = self.sizes.lock();
        let received = sizes.len().saturating_sub(unread);
        sizes.drain(..received);
        unread == 0 || sizes.iter().sum::<usize>() + size <= MAX_WAITING_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    #[tokio::test]
    async fn the_receivers_queue_is_bounded_in_bytes_and_loses_nothing() {
        let third = |n: u8| DataChannelMessage::Binary(vec![n; MAX_WAITING_BYTES / 3].into());
        let (reader, mut receiver) = Reader::new(VecDeque::from([third(0)]));
        reader.send(third(1)).await;
        reader.send(third(2)).await;
        let fourth = reader.send(third(3));
        tokio::pin!(fourth);
        assert_eq!(asked_once(fourth.as_mut()).await, Poll::Pending);
        assert_eq!(receiver.recv().await, Some(third(0)));
        fourth.await;
        for n in 1..4 {
            assert_eq!(receiver.recv().await, Some(third(n)));
        }
        let larger = DataChannelMessage::Binary(vec![0; 2 * MAX_WAITING_BYTES].into());
        reader.send(larger.clone()).await;
        assert_eq!(receiver.recv().await, Some(larger), "alone it goes");
        reader.send(third(4)).await;
        reader.send(third(5)).await;
        reader.send(third(6)).await;
        drop(receiver);
        reader.send(third(7)).await;
    }

    /// Whether it is done when it is asked once.
    async fn asked_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }

    #[tokio::test]
    async fn a_handler_that_panics_does_not_silence_the_others() {
        let inbox = Arc::new(Inbox::new());
        let (tx, mut rx) = mpsc::channel(8);
        let panics = inbox.subscribe(|_| panic!("a handler's fault"));
        let teller = inbox.clone();
        let told = tokio::spawn(async move { teller.tell(DataChannelEvent::Open) }).await;
        assert!(told.is_err_and(|error| error.is_panic()));
        drop(panics);
        let _listens = inbox.subscribe(move |event| tx.try_send(event.clone()).unwrap());
        inbox.tell(DataChannelEvent::Close);
        assert_eq!(rx.recv().await, Some(DataChannelEvent::Close));
    }
}
