//! Where a connection's events wait while one of its operations is under way.

use super::{Outside, settled};
use crate::agenda::tell;
use crate::door::Thrown;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

/// A connection's events on their way to the agenda.
pub(crate) struct Inbox {
    outside: Outside,
    /// Events since an operation began, if one is under way.
    held: Mutex<Option<Vec<Value>>>,
}

impl Inbox {
    pub(crate) fn new(outside: Outside) -> Self {
        Inbox {
            outside,
            held: Mutex::new(None),
        }
    }

    pub(crate) fn put(&self, event: Value) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *held {
            Some(held) => held.push(event),
            None => self.outside.tell(event),
        }
    }

    /// An operation begins.
    pub(crate) fn hold(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_default();
    }

    /// It did not begin after all.
    pub(crate) fn let_go(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let events = held.take().unwrap_or_default();
        events
            .into_iter()
            .for_each(|event| self.outside.tell(event));
    }

    /// It is done. What it brought goes with its settlement, and what else happened meanwhile after it.
    pub(crate) fn release(&self, request: u64, done: Result<Value, Thrown>, state: Value) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let events = held.take().unwrap_or_default();
        let (own, others) = events.into_iter().partition(|event| {
            let own = ["signalingstatechange", "track"];
            event["event"]
                .as_str()
                .is_some_and(|name| own.contains(&name))
        });
        tell(&self.outside.sender, settled(request, done, state, own));
        let others: Vec<Value> = others;
        others
            .into_iter()
            .for_each(|event| self.outside.tell(event));
    }
}
