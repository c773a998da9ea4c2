//! The one place where sockets meet: the rooms, an outgoing queue for each socket, and who is let
//! in at all. Every call takes a lock for some microseconds and awaits nothing, so whatever one
//! message causes reaches all queues in the same order.
//!
//! What this module deliberately is not: it reads and writes no socket; that is
//! [`crate::connection`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot, watch};

use crate::limits::{Doorkeeper, Turned};
use crate::message::{ClientMessage, ServerMessage};
use crate::metrics::Metrics;
use crate::room::{ConnectionId, Output, Refusal, RoomConfig, Rooms};
use crate::server::ServerConfig;

/// What all sockets of a server share.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) config: ServerConfig,
    pub(crate) metrics: Metrics,
    state: Mutex<State>,
    door: Mutex<Doorkeeper>,
    shutdown: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    rooms: Rooms,
    outboxes: HashMap<ConnectionId, Outbox>,
    next: u64,
}

/// Why the hub wants a socket closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dismissal {
    /// Its queue is full.
    NotReading,
    /// Another socket took over its membership.
    Replaced,
}

/// The sending end of a client's queue. When it is full, of messages or of bytes, nothing is lost
/// in the middle: the client is disconnected, since a negotiation with a hole is worse than none.
#[derive(Debug)]
struct Outbox {
    queue: mpsc::Sender<Utf8Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
    dismiss: Option<oneshot::Sender<Dismissal>>,
}

/// The receiving end: what the socket's task has to send.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Receiver<Utf8Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// A socket's membership in the hub. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) id: ConnectionId,
    hub: Arc<Hub>,
}

/// A place inside the server, held from before the upgrade until the socket is closed.
#[derive(Debug)]
pub(crate) struct Ticket {
    address: IpAddr,
    hub: Arc<Hub>,
}

impl Hub {
    /// Sockets above the limit that are let in only to be told that the server is full.
    const COURTESY: usize = 32;

    pub(crate) fn new(config: ServerConfig) -> Arc<Self> {
        let limits = &config.limits;
        let rooms = RoomConfig {
            seats: limits.seats.max(1),
            rooms: limits.rooms,
            candidates_per_leg: limits.candidates_per_leg,
            ice_servers: config.ice_servers.clone(),
            heartbeat_seconds: (config.heartbeat.as_secs_f64().ceil() as u32).max(1),
        };
        let in_all = limits.sockets.saturating_add(Self::COURTESY);
        let door = Doorkeeper::new(
            in_all,
            limits.sockets_per_address,
            Some(limits.openings_per_address),
        );
        let rooms = Rooms::new(rooms, StdRng::from_os_rng());
        Arc::new(Self {
            config,
            metrics: Metrics::default(),
            state: Mutex::new(State {
                rooms,
                outboxes: HashMap::new(),
                next: 0,
            }),
            door: Mutex::new(door),
            shutdown: watch::Sender::new(false),
        })
    }

    /// Asks for a place. The flag says whether it is a real one; if not, the client is to be told
    /// that the server is full, and let go.
    pub(crate) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
        now: Instant,
    ) -> Result<(Ticket, bool), Turned> {
        let mut door = self.door.lock();
        match door.enter(address, now) {
            Ok(()) => {
                let real = door.open() <= self.config.limits.sockets;
                Ok((
                    Ticket {
                        address,
                        hub: self.clone(),
                    },
                    real,
                ))
            }
            Err(turned) => {
                match turned {
                    Turned::Address => self.metrics.turned_away_by_address.add(1),
                    Turned::Full => self.metrics.turned_away_full.add(1),
                }
                Err(turned)
            }
        }
    }

    /// Opens a queue for a socket.
    pub(crate) fn enter(self: &Arc<Self>) -> (Membership, Inbox, oneshot::Receiver<Dismissal>) {
        let (queue, receiver) = mpsc::channel(self.config.limits.outbox_messages.max(1));
        let (dismiss, dismissed) = oneshot::channel();
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let inbox = Inbox {
            queue: receiver,
            waiting_bytes: waiting_bytes.clone(),
        };
        let mut state = self.state.lock();
        let id = ConnectionId(state.next);
        state.next += 1;
        state.outboxes.insert(
            id,
            Outbox {
                queue,
                waiting_bytes,
                dismiss: Some(dismiss),
            },
        );
        self.metrics.connections.add(1);
        (
            Membership {
                id,
                hub: self.clone(),
            },
            inbox,
            dismissed,
        )
    }

    /// Carries out one message; says whether its sender has a seat after it.
    pub(crate) fn handle(
        &self,
        from: ConnectionId,
        message: ClientMessage,
    ) -> Result<bool, Refusal> {
        let mut state = self.state.lock();
        let done = state.rooms.handle(from, message);
        state.deliver(self.config.limits.outbox_bytes);
        done.map(|()| state.rooms.is_seated(from))
    }

    /// Sends a message to one socket.
    pub(crate) fn tell(&self, to: ConnectionId, message: &ServerMessage) {
        self.state
            .lock()
            .send(to, message, self.config.limits.outbox_bytes);
    }

    /// A signal that turns `true` once. The server waits until every one of these is dropped.
    pub(crate) fn watch_shutdown(&self) -> watch::Receiver<bool> {
        self.shutdown.subscribe()
    }

    /// Tells every socket to close, and waits until all have.
    pub(crate) async fn shut_down(&self) {
        self.shutdown.send_replace(true);
        self.shutdown.closed().await;
    }

    /// The page behind `/metrics`.
    pub(crate) fn metrics_page(&self) -> String {
        let open = self.door.lock().open();
        let (rooms, members) = {
            let state = self.state.lock();
            (state.rooms.room_count(), state.rooms.member_count())
        };
        self.metrics.render(open, rooms, members)
    }
}

impl State {
    fn deliver(&mut self, max_bytes: usize) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Send { to, message } => self.send(to, &message, max_bytes),
                Output::Replaced { connection } => self.dismiss(connection, Dismissal::Replaced),
            }
        }
    }

    fn send(&mut self, to: ConnectionId, message: &ServerMessage, max_bytes: usize) {
        let Some(outbox) = self.outboxes.get(&to) else {
            return;
        };
        let text = message.to_json();
        let waiting = outbox
            .waiting_bytes
            .fetch_add(text.len(), Ordering::Relaxed);
        // An empty queue takes any message, so that a small limit cannot make a client unreachable.
        let fits = waiting == 0 || waiting + text.len() <= max_bytes;
        if !fits || outbox.queue.try_send(text.into()).is_err() {
            self.dismiss(to, Dismissal::NotReading);
        }
    }

    fn dismiss(&mut self, connection: ConnectionId, why: Dismissal) {
        if let Some(dismiss) = self
            .outboxes
            .get_mut(&connection)
            .and_then(|outbox| outbox.dismiss.take())
        {
            // Fails if the socket's task is on its way out already.
            let _ = dismiss.send(why);
        }
    }
}

impl Inbox {
    /// The next message, in order.
    pub(crate) async fn recv(&mut self) -> Option<Utf8Bytes> {
        let text = self.queue.recv().await?;
        self.waiting_bytes.fetch_sub(text.len(), Ordering::Relaxed);
        Some(text)
    }

    /// The next message, if one waits.
    pub(crate) fn try_recv(&mut self) -> Option<Utf8Bytes> {
        self.queue.try_recv().ok()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.hub.state.lock();
        state.outboxes.remove(&self.id);
        state.rooms.disconnected(self.id);
        state.deliver(self.hub.config.limits.outbox_bytes);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.hub.door.lock().leave(self.address, Instant::now());
    }
}
