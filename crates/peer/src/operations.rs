//! The [operations chain](https://w3c.github.io/webrtc-pc/#dfn-operations-chain): one step of
//! negotiation at a time, in the order in which they were asked for.

use crate::RTCError;
use crate::peer_connection::Shared;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A connection's chain.
#[derive(Default)]
pub(crate) struct Operations {
    /// Fair: who waits is served in order.
    turn: tokio::sync::Mutex<()>,
    /// Steps that run or wait.
    steps: AtomicUsize,
    /// Whether there is something to negotiate is looked at when the chain is empty.
    look_again: AtomicBool,
}

impl Operations {
    /// Whether a step runs or waits.
    pub(crate) fn is_busy(&self) -> bool {
        self.steps.load(Ordering::Acquire) > 0
    }

    /// Has the last step look whether there is something to negotiate. False if there is no step.
    pub(crate) fn look_again(&self) -> bool {
        self.look_again.store(true, Ordering::Release);
        // A step that ended just now may have missed it.
        self.is_busy() || !self.look_again.swap(false, Ordering::AcqRel)
    }
}

/// A step in the chain: whoever holds it may negotiate.
pub(crate) struct Turn<'a> {
    place: Option<Place<'a>>,
    guard: Option<tokio::sync::MutexGuard<'a, ()>>,
}

/// Counted for as long as it lasts, also if the future that holds it is dropped.
struct Place<'a>(&'a Shared);

impl Shared {
    /// Waits for its turn.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, or is when the turn comes.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, RTCError> {
        let turn = self.any_turn().await;
        self.check_open()?;
        Ok(turn)
    }

    /// As [`turn`](Self::turn), of a closed connection too.
    pub(crate) async fn any_turn(&self) -> Turn<'_> {
        self.operations.steps.fetch_add(1, Ordering::AcqRel);
        let place = Some(Place(self));
        let guard = Some(self.operations.turn.lock().await);
        Turn { place, guard }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // The next one may go on before this one is no longer counted.
        self.guard.take();
        self.place.take();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let chain = &self.0.operations;
        let last = chain.steps.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && chain.look_again.swap(false, Ordering::AcqRel) {
            self.0.post_negotiation_needed();
        }
    }
}
