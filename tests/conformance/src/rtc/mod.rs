//! The page's `RTCPeerConnection`s and their parts, by numbers that the glue knows them by.
//!
//! They live on a runtime of their own. What the specification does at once is done at once: the
//! engine's thread waits for it. What takes its time is a request; it is settled together with the
//! connection's state after it and with the events that it brought, in one task, since a script must
//! not see the one before the other. All other events come as tasks that carry the state they tell of.

mod channel;
mod connection;
mod inbox;
mod parts;

use crate::agenda::{Agenda, Answer, Task, tell};
use crate::door::{Thrown, parse};
use crate::registry::Registry;
use channel::Channels;
use connection::Connection;
use duet_media::Clock;
use duet_peer::{
    NetworkPolicy, PeerContext, RTCConfiguration, RTCError, RTCPeerConnection, RTCRtpTransceiver,
};
use parts::Numbered;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What a page has of WebRTC.
pub(crate) struct Rtc {
    clock: Arc<dyn Clock>,
    world: Outside,
    /// From the first connection on.
    runtime: Option<Runtime>,
    context: Option<PeerContext>,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
}

/// What events of connections need, on whichever thread they come.
#[derive(Clone)]
pub(crate) struct Outside {
    registry: Registry,
    sender: Sender<Task>,
    transceivers: Arc<Numbered<RTCRtpTransceiver>>,
    channels: Arc<Channels>,
}

/// So long the last connections' tasks may take to end with their page.
const FAREWELL: Duration = Duration::from_secs(1);

impl Rtc {
    pub(crate) fn new(clock: Arc<dyn Clock>, registry: Registry, sender: Sender<Task>) -> Self {
        Rtc {
            clock,
            world: Outside {
                registry,
                sender,
                transceivers: Arc::default(),
                channels: Arc::default(),
            },
            runtime: None,
            context: None,
            connections: HashMap::new(),
            next_connection: 0,
        }
    }

    /// Does what the glue asks for.
    pub(crate) fn operate(
        &mut self,
        operation: &str,
        argument: Value,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        if operation == "new" {
            let made = self.make_connection(argument)?;
            agenda.listen(true);
            return Ok(made);
        }
        if operation == "parseCandidate" {
            return Ok(json!({}));
        }
        let Some(runtime) = &self.runtime else {
            return Err(Thrown::type_error("there is no connection yet"));
        };
        if let Some(operation) = operation.strip_prefix("channel.") {
            return self
                .world
                .operate_channel(operation, &argument, runtime.handle());
        }
        if let Some(operation) = operation.strip_prefix("transceiver.") {
            return self.world.operate_transceiver(operation, &argument);
        }
        let number = argument["connection"].as_u64().unwrap_or(0);
        let found = self.connections.get(&number);
        let connection = found.ok_or_else(|| Thrown::type_error("no such connection"))?;
        let done = connection.operate(operation, &argument, runtime.handle(), agenda)?;
        if operation == "close" {
            self.connections.remove(&number);
            agenda.listen(!self.connections.is_empty());
        }
        Ok(done)
    }

    fn make_connection(&mut self, argument: Value) -> Result<Value, Thrown> {
        let configuration: RTCConfiguration = parse(argument)?;
        if self.runtime.is_none() {
            // One thread does the connections' work, so that what is queued on it keeps its order.
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(Thrown::type_error)?;
            self.runtime = Some(runtime);
        }
        let Some(runtime) = &self.runtime else {
            return Err(Thrown::type_error("no runtime"));
        };
        let context = self.context.get_or_insert_with(|| PeerContext {
            network: NetworkPolicy::LoopbackOnly,
            mdns: false,
            ..PeerContext::new(self.clock.clone())
        });
        let made = runtime.block_on(RTCPeerConnection::new(configuration, context.clone()))?;
        self.next_connection += 1;
        let number = self.next_connection;
        let connection = Connection::new(number, made, self.world.clone());
        let state = runtime.block_on(connection.describe());
        self.connections.insert(number, connection);
        Ok(json!({ "connection": number, "state": state }))
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        {
            // Connections say goodbye on it.
            let _inside = runtime.enter();
            self.connections.clear();
            self.context = None;
            self.world.transceivers.clear();
            self.world.channels.clear();
        }
        runtime.shutdown_timeout(FAREWELL);
    }
}

impl Outside {
    fn tell(&self, event: Value) {
        tell(&self.sender, Task::Told(event));
    }
}

/// A request's end, with all that a script learns by it.
fn settled(request: u64, done: Result<Value, Thrown>, state: Value, events: Vec<Value>) -> Task {
    let mut settlement = json!({ "state": state, "events": events });
    match done {
        Ok(value) => settlement["value"] = value,
        Err(thrown) => settlement["error"] = thrown.to_json(),
    }
    Task::Settled(request, Ok(Answer::Json(settlement)))
}

impl From<RTCError> for Thrown {
    fn from(error: RTCError) -> Self {
        Thrown {
            name: error.kind.as_str(),
            message: error.message,
            constraint: None,
        }
    }
}
