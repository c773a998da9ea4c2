//! Who connected and has not shown yet that it knows the password.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// At a time. One more, and the first must go: who is awaited needs a round trip.
pub(super) const CAPACITY: usize = 16;

/// In the order of their coming.
#[derive(Default)]
pub(super) struct Strangers(Mutex<VecDeque<Arc<Notify>>>);

/// One of them, until it is dropped.
pub(super) struct Visit<'a> {
    strangers: &'a Strangers,
    must_go: Arc<Notify>,
}

impl Strangers {
    /// One more.
    pub(super) fn enter(&self) -> Visit<'_> {
        let must_go = Arc::new(Notify::new());
        let mut waiting = self.0.lock();
        if waiting.len() == CAPACITY
            && let Some(first) = waiting.pop_front()
        {
            first.notify_one();
        }
        waiting.push_back(must_go.clone());
        Visit {
            strangers: self,
            must_go,
        }
    }
}

impl Visit<'_> {
    /// Waits until it has to make room.
    pub(super) async fn must_go(&self) {
        self.must_go.notified().await;
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut waiting = self.strangers.0.lock();
        waiting.retain(|other| !Arc::ptr_eq(&self.must_go, other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_first_makes_room() {
        let strangers = Strangers::default();
        let mut visits: Vec<_> = (0..CAPACITY).map(|_| strangers.enter()).collect();
        drop(visits.remove(0));
        visits.push(strangers.enter());
        let early = tokio::time::timeout(Duration::from_secs(1), visits[0].must_go());
        assert!(early.await.is_err(), "there is room for it");
        visits.push(strangers.enter());
        visits[0].must_go().await;
        assert_eq!(strangers.0.lock().len(), CAPACITY);
    }
}
