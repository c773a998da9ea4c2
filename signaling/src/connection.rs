//! One client's WebSocket, from the upgrade to the close frame: a reader that keeps the client to
//! its limits and a writer that empties its queue, in one task.
//!
//! What this module deliberately is not: it decides nothing about rooms; it carries text to and
//! from the [`Hub`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tracing::{debug, trace};

use crate::hub::{Dismissal, Hub, Inbox, Membership, Ticket};
use crate::limits::{Conduct, Overdue};
use crate::message::{ClientMessage, ErrorCode, ServerMessage};
use crate::room::Refusal;

/// How long the server waits for the other side of a close handshake.
const GOODBYE: Duration = Duration::from_secs(1);

/// A client, from the moment its socket is open.
pub(crate) struct Connection {
    address: Option<SocketAddr>,
    hub: Arc<Hub>,
    shutdown: watch::Receiver<bool>,
    /// Held until the socket is closed.
    _ticket: Option<Ticket>,
}

/// How it ends.
#[derive(Debug)]
enum Ending {
    /// The client closed, or the network did. There is nobody to say anything to.
    Gone,
    /// The server closes, with a last word if there is one.
    Close {
        code: u16,
        reason: &'static str,
        last_word: Option<ServerMessage>,
    },
    /// As `Close`, but the stream is in the middle of a frame that nobody will read.
    CloseUnread {
        code: u16,
        reason: &'static str,
        last_word: Option<ServerMessage>,
    },
}

/// Close codes of [RFC 6455, section 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4), and ours.
mod code {
    pub(super) const AWAY: u16 = 1001;
    pub(super) const UNSUPPORTED: u16 = 1003;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const AGAIN: u16 = 1013;
    pub(super) const REPLACED: u16 = 4001;
}

impl Connection {
    pub(crate) fn new(address: Option<SocketAddr>, hub: Arc<Hub>, ticket: Option<Ticket>) -> Self {
        Self {
            address,
            shutdown: hub.watch_shutdown(),
            hub,
            _ticket: ticket,
        }
    }

    /// Serves the client until it, or the server, has had enough.
    pub(crate) async fn run(mut self, socket: WebSocket) {
        let (mut sink, mut stream) = socket.split();
        let (membership, mut inbox, dismissed) = self.hub.enter();
        debug!(connection = membership.id.0, address = ?self.address, "socket open");
        let heartbeat = self.hub.config.heartbeat;
        let ending = tokio::select! {
            _ = self.shutdown.wait_for(|shutdown| *shutdown) => Ending::close(code::AWAY, "the server goes away"),
            ending = dismissal(&self.hub, dismissed) => ending,
            ending = read(&self.hub, &membership, &mut stream) => ending,
            ending = write(&self.hub, &mut inbox, &mut sink, heartbeat) => ending,
        };
        debug!(connection = membership.id.0, ?ending, "socket closes");
        // The seat is free before the long goodbye.
        drop(membership);
        say_goodbye(ending, sink, stream, Some(inbox)).await;
    }

    /// Tells the client that there is no place for it.
    pub(crate) async fn turn_away(self, socket: WebSocket) {
        self.hub.metrics.refused(ErrorCode::ServerFull);
        let (sink, stream) = socket.split();
        let message = "this server has as many connections as it takes; try again later".into();
        let last_word = ServerMessage::Error {
            code: ErrorCode::ServerFull,
            message,
            fatal: true,
        };
        let ending = Ending::Close {
            code: code::AGAIN,
            reason: "server full",
            last_word: Some(last_word),
        };
        say_goodbye(ending, sink, stream, None).await;
    }
}

impl Ending {
    fn close(code: u16, reason: &'static str) -> Self {
        Self::Close {
            code,
            reason,
            last_word: None,
        }
    }
}

async fn dismissal(hub: &Hub, dismissed: oneshot::Receiver<Dismissal>) -> Ending {
    match dismissed.await {
        Ok(Dismissal::Replaced) => {
            hub.metrics.replaced.add(1);
            Ending::close(code::REPLACED, "another socket took over")
        }
        Ok(Dismissal::NotReading) => {
            hub.metrics.not_reading.add(1);
            Ending::close(code::POLICY, "not reading")
        }
        // The hub lets go of this only with the membership, which outlives us.
        Err(_) => std::future::pending().await,
    }
}

async fn read(hub: &Hub, membership: &Membership, stream: &mut SplitStream<WebSocket>) -> Ending {
    let now = || Instant::now().into_std();
    let mut conduct = Conduct::new(&hub.config.limits, hub.config.heartbeat, now());
    loop {
        let frame = match timeout_at(conduct.deadline().into(), stream.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) if is_too_long(&error) => {
                hub.metrics.refused(ErrorCode::TooLarge);
                let limit = hub.config.limits.message_bytes;
                let message = format!("a message may have at most {limit} bytes");
                let last_word = Some(ServerMessage::Error {
                    code: ErrorCode::TooLarge,
                    message,
                    fatal: true,
                });
                return Ending::CloseUnread {
                    code: code::TOO_BIG,
                    reason: "message too large",
                    last_word,
                };
            }
            Ok(Some(Err(error))) => {
                trace!(%error, "socket broke");
                return Ending::Gone;
            }
            Ok(None) => return Ending::Gone,
            Err(_) => match conduct.overdue(now()) {
                Some(Overdue::Join) => {
                    hub.metrics.missed_join.add(1);
                    return Ending::close(code::POLICY, "no join in time");
                }
                Some(Overdue::Heartbeat) => {
                    hub.metrics.missed_heartbeat.add(1);
                    return Ending::close(code::POLICY, "no heartbeat");
                }
                None => continue,
            },
        };
        let len = match &frame {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Close(_) => return Ending::Gone,
        };
        hub.metrics.messages.add(1);
        hub.metrics.bytes.add(len as u64);
        let in_time = conduct.heard(len, now());
        let done = match frame {
            _ if !in_time => Err(Refusal {
                code: ErrorCode::TooFast,
                message: "messages come too fast; this one was dropped".into(),
            }),
            Message::Text(text) => ClientMessage::parse(&text)
                .map_err(|error| Refusal {
                    code: error.code(),
                    message: error.to_string(),
                })
                .and_then(|message| hub.handle(membership.id, message)),
            Message::Binary(_) => {
                return Ending::close(code::UNSUPPORTED, "messages are text frames");
            }
            // Pings are answered by the WebSocket layer.
            _ => continue,
        };
        match done {
            Ok(seated) => conduct.seated(seated, now()),
            Err(Refusal { code, message }) => {
                hub.metrics.refused(code);
                let fatal = !conduct.forgives(code, now());
                let error = ServerMessage::Error {
                    code,
                    message,
                    fatal,
                };
                if fatal {
                    hub.metrics.misconduct.add(1);
                    return Ending::Close {
                        code: code::POLICY,
                        reason: "refused",
                        last_word: Some(error),
                    };
                }
                hub.tell(membership.id, &error);
            }
        }
    }
}

async fn write(
    hub: &Hub,
    inbox: &mut Inbox,
    sink: &mut SplitSink<WebSocket, Message>,
    heartbeat: Duration,
) -> Ending {
    let mut heartbeats = interval_at(Instant::now() + heartbeat, heartbeat);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            text = inbox.recv() => match text {
                Some(text) => Message::Text(text),
                None => return Ending::Gone,
            },
            _ = heartbeats.tick() => Message::Ping(Default::default()),
        };
        match timeout(heartbeat * 2, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Ending::Gone,
            Err(_) => {
                hub.metrics.not_reading.add(1);
                return Ending::close(code::POLICY, "not reading");
            }
        }
    }
}

/// Sends what is still due and the close frame, then waits for the client's, all for a moment only.
async fn say_goodbye(
    ending: Ending,
    mut sink: SplitSink<WebSocket, Message>,
    mut stream: SplitStream<WebSocket>,
    inbox: Option<Inbox>,
) {
    let (code, reason, last_word, readable) = match ending {
        Ending::Gone => {
            // Completes the client's own close handshake, if there was one.
            let _ = timeout(GOODBYE, sink.close()).await;
            return;
        }
        Ending::Close {
            code,
            reason,
            last_word,
        } => (code, reason, last_word, true),
        Ending::CloseUnread {
            code,
            reason,
            last_word,
        } => (code, reason, last_word, false),
    };
    let goodbye = async {
        if let Some(mut inbox) = inbox {
            while let Some(text) = inbox.try_recv() {
                sink.feed(Message::Text(text)).await?;
            }
        }
        if let Some(message) = last_word {
            sink.feed(Message::Text(message.to_json().into())).await?;
        }
        let reason = Utf8Bytes::from_static(reason);
        sink.send(Message::Close(Some(CloseFrame { code, reason })))
            .await?;
        while readable && let Some(Ok(_)) = stream.next().await {}
        Ok::<(), axum::Error>(())
    };
    // Whether the client hears it or not, the socket is closed when this returns.
    let _ = timeout(GOODBYE, goodbye).await;
}

/// The WebSocket layer refuses frames and messages over the limit as soon as it knows their length.
fn is_too_long(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<Error>())
        .is_some_and(|error| matches!(error, Error::Capacity(_)))
}
