//! A connection's events on their way to the agenda.
//!
//! While it takes on a description they wait, and those that belong to it go with its settlement. States
//! that change at once are told at once: of a script's connection and its transports all are new before
//! the first event tells of one.

use super::settled;
use crate::agenda::{Task, tell};
use duet_peer::RTCError;
use serde_json::{Value, json};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

pub(crate) struct Inbox {
    sender: Sender<Task>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Events since a description is being taken on, if one is.
    held: Option<Vec<Value>>,
    /// States that changed just now, one after the other.
    states: Vec<Value>,
}

impl Inbox {
    pub(crate) fn new(sender: Sender<Task>) -> Self {
        Inbox {
            sender,
            waiting: Mutex::default(),
        }
    }

    /// An event of the connection, or of a transport of it.
    pub(crate) fn put(self: &Arc<Self>, event: Value) {
        let mut waiting = self.waiting();
        if let Some(held) = &mut waiting.held {
            held.push(event);
            return;
        }
        match Handle::try_current() {
            Ok(runtime) if is_state(&event) => {
                waiting.states.push(event);
                if waiting.states.len() == 1 {
                    let inbox = self.clone();
                    runtime.spawn(async move {
                        // What makes the others has its turn first.
                        tokio::task::yield_now().await;
                        inbox.tell_states(&mut inbox.waiting());
                    });
                }
            }
            _ => {
                self.tell_states(&mut waiting);
                tell(&self.sender, Task::Told(event));
            }
        }
    }

    /// An event that waits for no description.
    pub(crate) fn pass(&self, event: Value) {
        self.tell_states(&mut self.waiting());
        tell(&self.sender, Task::Told(event));
    }

    /// A description is being taken on.
    pub(crate) fn hold(&self) {
        let mut waiting = self.waiting();
        self.tell_states(&mut waiting);
        waiting.held.get_or_insert_default();
    }

    /// It is not, after all.
    pub(crate) fn let_go(&self) {
        let mut waiting = self.waiting();
        let held = waiting.held.take().unwrap_or_default();
        self.tell_all(&held);
    }

    /// A request is done. What a description brought goes with its settlement, and what else happened
    /// meanwhile after it.
    pub(crate) fn release(&self, request: u64, done: Result<Value, RTCError>, state: &Value) {
        let mut waiting = self.waiting();
        self.tell_states(&mut waiting);
        let held = waiting.held.take().unwrap_or_default();
        let (own, others): (Vec<_>, Vec<_>) = held.into_iter().partition(|event| {
            let own = ["signalingstatechange", "track"];
            event["event"]
                .as_str()
                .is_some_and(|name| own.contains(&name))
        });
        tell(&self.sender, settled(request, done, state, &own));
        self.tell_all(&others);
    }

    fn tell_all(&self, events: &[Value]) {
        for events in events.chunk_by(|one, next| is_state(one) && is_state(next)) {
            tell(&self.sender, Task::Told(together(events)));
        }
    }

    fn tell_states(&self, waiting: &mut Waiting) {
        let states = std::mem::take(&mut waiting.states);
        if !states.is_empty() {
            tell(&self.sender, Task::Told(together(&states)));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_state(event: &Value) -> bool {
    let name = event["event"].as_str().unwrap_or_default();
    name.ends_with("statechange") && name != "signalingstatechange"
}

fn together(events: &[Value]) -> Value {
    json!({ "task": "together", "events": events })
}
