//! Events on objects, as subscriptions.

use crate::sync::Mutex;
use std::sync::{Arc, Weak};

type Handler<E> = Arc<dyn Fn(&E) + Send + Sync>;

struct Handlers<E> {
    next_id: u64,
    list: Vec<(u64, Handler<E>)>,
}

/// What listeners of events of type `E` are attached to. Listeners run in the order in which they
/// subscribed, on the thread that dispatches; they may subscribe and unsubscribe meanwhile.
pub struct EventTarget<E> {
    handlers: Arc<Mutex<Handlers<E>>>,
}

impl<E: 'static> EventTarget<E> {
    /// A target without listeners.
    pub fn new() -> Self {
        EventTarget {
            handlers: Arc::new(Mutex::new(Handlers {
                next_id: 0,
                list: Vec::new(),
            })),
        }
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(&self, handler: impl Fn(&E) + Send + Sync + 'static) -> Subscription {
        let mut handlers = self.handlers.lock();
        let id = handlers.next_id;
        handlers.next_id += 1;
        handlers.list.push((id, Arc::new(handler)));
        let weak: Weak<Mutex<Handlers<E>>> = Arc::downgrade(&self.handlers);
        Subscription {
            cancel: Some(Box::new(move || {
                if let Some(handlers) = weak.upgrade() {
                    let mut handlers = handlers.lock();
                    let found = handlers.list.iter().position(|(other, _)| *other == id);
                    let removed = found.map(|at| handlers.list.remove(at));
                    // A handler's captures may own subscriptions of this very target.
                    drop(handlers);
                    drop(removed);
                }
            })),
        }
    }

    /// Calls every listener that is subscribed now.
    pub fn dispatch(&self, event: &E) {
        let now: Vec<Handler<E>> = {
            let handlers = self.handlers.lock();
            handlers.list.iter().map(|(_, h)| h.clone()).collect()
        };
        for handler in now {
            handler(event);
        }
    }
}

impl<E: 'static> Default for EventTarget<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// A listener's membership; dropping it removes the listener.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    cancel: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Subscription {
    pub(crate) fn new(cancel: impl FnOnce() + Send + Sync + 'static) -> Self {
        Subscription {
            cancel: Some(Box::new(cancel)),
        }
    }

    /// Keeps the listener for as long as its target lives.
    pub fn forever(mut self) {
        self.cancel = None;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(cancel) = self.cancel.take() {
            cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_dropped_subscription_hears_nothing_more() {
        let target = EventTarget::<u32>::new();
        let sum = Arc::new(AtomicU32::new(0));
        let add = |sum: &Arc<AtomicU32>| {
            let sum = sum.clone();
            move |n: &u32| {
                sum.fetch_add(*n, Ordering::Relaxed);
            }
        };
        let first = target.subscribe(add(&sum));
        target.subscribe(add(&sum)).forever();
        target.dispatch(&1);
        drop(first);
        target.dispatch(&10);
        assert_eq!(sum.load(Ordering::Relaxed), 12);
    }
}
