//! What an encoder has made and one connection has not taken yet.
//!
//! Not a channel: the consumer may be late by design, and what is lost then differs between pictures
//! and sound.

use duet_codec::EncodedVideo;
use duet_session::{LayerFilter, TemporalLayer};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

/// A queue between an encoder's thread and one task. One consumer: a second one that waits takes the
/// first one's wake-ups.
pub(super) struct Outbox<T> {
    state: Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
    closed: bool,
    /// Pictures only: what comes before the next key frame is of no use.
    wants_key_frame: bool,
    /// Pictures only: what of an encoder's temporal layers goes to this connection.
    layers: LayerFilter,
    counters: OutboxCounters,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OutboxCounters {
    pub(super) taken: u64,
    pub(super) dropped: u64,
    /// Of temporal layers above the connection's.
    pub(super) left_out: u64,
}

impl<T> Outbox<T> {
    /// An empty queue that holds up to `capacity` items; pictures begin with a key frame.
    pub(super) fn new(capacity: usize) -> Self {
        Outbox {
            state: Mutex::new(State {
                items: VecDeque::with_capacity(capacity),
                waker: None,
                closed: false,
                wants_key_frame: true,
                layers: LayerFilter::default(),
                counters: OutboxCounters::default(),
            }),
            capacity,
        }
    }

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.state.lock();
        if state.closed {
            return Poll::Ready(None);
        }
        if let Some(item) = state.items.pop_front() {
            state.counters.taken += 1;
            return Poll::Ready(Some(item));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Nothing goes in or out any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.items);
        let waker = state.waker.take();
        drop(state);
        drop(left);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    pub(super) fn counters(&self) -> OutboxCounters {
        self.state.lock().counters
    }

    /// Takes in an item; the oldest is lost where there is no room.
    pub(super) fn push_over_oldest(&self, item: T) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.items.len() == self.capacity {
            state.items.pop_front();
            state.counters.dropped += 1;
        }
        state.items.push_back(item);
        Self::wake(state);
    }

    fn wake(mut state: parking_lot::MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Outbox<EncodedVideo> {
    /// Takes in a picture, unless a key frame has to come first, or it is of a layer above the
    /// connection's; half full, it does without all but the lowest. Where there is no room everything
    /// goes, this picture too unless it is a key frame: a picture whose predecessor was lost shows
    /// nothing but damage. True if the encoder is to make a key frame.
    pub(super) fn offer(&self, picture: &EncodedVideo) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        let crowded = state.items.len() * 2 >= self.capacity;
        let layer = temporal_layer(picture);
        if !state.layers.admit(picture.key_frame, layer, crowded) {
            state.counters.left_out += 1;
            return false;
        }
        if state.items.len() == self.capacity {
            state.counters.dropped += state.items.len() as u64;
            state.items.clear();
            state.wants_key_frame = true;
        }
        if state.wants_key_frame && !picture.key_frame {
            state.counters.dropped += 1;
            return true;
        }
        state.wants_key_frame = false;
        state.items.push_back(picture.clone());
        Self::wake(state);
        false
    }

    /// The highest temporal layer that goes to the connection from now on.
    pub(super) fn set_highest_layer(&self, id: u8) {
        self.state.lock().layers.set_highest(id);
    }

    /// Nothing that is here goes out, and nothing that comes before a key frame.
    pub(super) fn start_afresh(&self) {
        let mut state = self.state.lock();
        state.counters.dropped += state.items.len() as u64;
        state.items.clear();
        state.wants_key_frame = true;
    }

    /// The pictures to come are of another encoder; those already here still go out.
    pub(super) fn want_key_frame(&self) {
        self.state.lock().wants_key_frame = true;
    }
}

/// Where a picture stands among its encoder's layers, as it is told on the wire.
pub(crate) fn temporal_layer(picture: &EncodedVideo) -> Option<TemporalLayer> {
    picture.layer.map(|layer| TemporalLayer {
        id: layer.id,
        sync: layer.sync,
        non_reference: layer.non_reference,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use duet_media::MediaTime;

    fn picture(millis: i64, key_frame: bool) -> EncodedVideo {
        EncodedVideo {
            data: Bytes::from_static(b"picture"),
            key_frame,
            capture_time: MediaTime::from_millis(millis),
            width: 2,
            height: 2,
            layer: None,
        }
    }

    fn drain<T>(outbox: &Outbox<T>) -> Vec<T> {
        let mut cx = Context::from_waker(Waker::noop());
        std::iter::from_fn(|| match outbox.poll_next(&mut cx) {
            Poll::Ready(item) => item,
            Poll::Pending => None,
        })
        .collect()
    }

    #[test]
    fn pictures_begin_with_a_key_frame() {
        let outbox = Outbox::new(4);
        assert!(outbox.offer(&picture(1, false)));
        assert!(!outbox.offer(&picture(2, true)));
        assert!(!outbox.offer(&picture(3, false)));
        let times: Vec<_> = drain(&outbox)
            .iter()
            .map(|p| p.capture_time.as_millis())
            .collect();
        assert_eq!(times, [2, 3]);
        assert_eq!(outbox.counters().dropped, 1);
    }

    #[test]
    fn a_full_queue_is_emptied_to_the_next_key_frame() {
        let outbox = Outbox::new(2);
        assert!(!outbox.offer(&picture(1, true)));
        assert!(!outbox.offer(&picture(2, false)));
        assert!(
            outbox.offer(&picture(3, false)),
            "no room: ask for a key frame"
        );
        assert!(outbox.offer(&picture(4, false)), "never a lone delta frame");
        assert!(!outbox.offer(&picture(5, true)));
        let left = drain(&outbox);
        assert_eq!(left.len(), 1);
        assert!(left[0].key_frame);
        assert_eq!(outbox.counters().dropped, 4);
    }

    #[test]
    fn a_key_frame_replaces_a_full_queue_at_once() {
        let outbox = Outbox::new(1);
        assert!(!outbox.offer(&picture(1, true)));
        assert!(!outbox.offer(&picture(2, true)));
        assert_eq!(drain(&outbox)[0].capture_time.as_millis(), 2);
    }

    #[test]
    fn of_layers_the_lowest_waits_and_the_others_are_done_without() {
        let outbox = Outbox::new(4);
        let layered = |millis, id| EncodedVideo {
            layer: Some(duet_codec::EncodedLayer {
                id,
                sync: id > 0,
                non_reference: id > 0,
            }),
            ..picture(millis, millis == 0)
        };
        for millis in 0..6 {
            assert!(!outbox.offer(&layered(millis, (millis % 2) as u8)));
        }
        let taken = |outbox: &Outbox<EncodedVideo>| -> Vec<i64> {
            let pictures = drain(outbox);
            let times = pictures.iter().map(|p| p.capture_time.as_millis());
            times.collect()
        };
        assert_eq!(taken(&outbox), [0, 1, 2, 4]);
        assert_eq!(outbox.counters().left_out, 2);
        outbox.set_highest_layer(0);
        (7..10).for_each(|n| assert!(!outbox.offer(&layered(n, (n % 2) as u8))));
        assert_eq!(taken(&outbox), [8]);
    }

    #[test]
    fn sound_loses_its_oldest() {
        let outbox = Outbox::new(2);
        (1..=3).for_each(|n| outbox.push_over_oldest(n));
        assert_eq!(drain(&outbox), [2, 3]);
        assert_eq!(outbox.counters().dropped, 1);
        assert_eq!(outbox.counters().taken, 2);
    }

    #[test]
    fn closing_wakes_the_consumer_for_good() {
        let outbox = Outbox::<u8>::new(2);
        outbox.push_over_oldest(1);
        outbox.close();
        outbox.push_over_oldest(2);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(outbox.poll_next(&mut cx), Poll::Ready(None));
    }
}
