//! A client of the protocol: typed messages over `ws` or `wss`, the heartbeat kept inside.
//!
//! What this module deliberately is not: it does not reconnect, since only its user knows whether to
//! join again and with which token. It answers no offer and keeps no list of peers.

mod trust;

use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use tracing::debug;
use url::Url;

use crate::message::{ClientMessage, ParseError, ServerMessage};

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Takes any certificate for the server's, a self-made one for instance. Whoever sits on the way
    /// can then read and change everything that is said here, fingerprints included.
    pub accept_invalid_certs: bool,
    /// How long connecting may take, the TLS and WebSocket handshakes included.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            accept_invalid_certs: false,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Correct the URL.
    #[error(
        "{url} is no signaling server's address: expected http://, https://, ws:// or wss://, then a host"
    )]
    BadUrl {
        /// What was given.
        url: Url,
    },
    /// Nobody answers there. The server may not run yet: try again later.
    #[error("cannot reach {url}: {error}")]
    Unreachable {
        /// Where to.
        url: Url,
        /// Why.
        error: io::Error,
    },
    /// The certificate is not to be trusted. For a self-made one, see
    /// [`ConnectOptions::accept_invalid_certs`].
    #[error("no trust in {url}: {error}; a self-signed certificate has to be accepted explicitly")]
    Untrusted {
        /// Where to.
        url: Url,
        /// Why.
        error: Box<rustls::Error>,
    },
    /// Something answers, but it does not let us in. 429 and 503 pass; try again later.
    #[error("{url} refuses with HTTP status {status}: {}", refusal(*.status))]
    Refused {
        /// Where to.
        url: Url,
        /// The HTTP status.
        status: u16,
    },
    /// What answers there speaks no WebSocket.
    #[error("{url} does not speak the signaling protocol: {error}")]
    NotSignaling {
        /// Where to.
        url: Url,
        /// What went wrong.
        error: Box<tungstenite::Error>,
    },
    /// It took too long. Try again later.
    #[error("{url} did not answer within {} s", .timeout.as_secs_f64())]
    Timeout {
        /// Where to.
        url: Url,
        /// [`ConnectOptions::timeout`].
        timeout: Duration,
    },
    /// The connection was closed. 1001 and 1013 ask to come back later; 4001 asks not to.
    #[error("the signaling connection was closed ({code}{}{reason})", if .reason.is_empty() { "" } else { ": " })]
    Closed {
        /// The [close code](https://www.rfc-editor.org/rfc/rfc6455#section-7.4); 1006 if the
        /// connection broke, 1000 if this side closed it.
        code: u16,
        /// What the server said about it.
        reason: String,
    },
    /// Nothing was heard for two heartbeats. Connect again.
    #[error("the signaling server fell silent")]
    Silent,
    /// The server sent what is no message of this protocol.
    #[error("the signaling server sent nonsense: {0}")]
    BadMessage(#[from] ParseError),
}

fn refusal(status: u16) -> &'static str {
    match status {
        403 => "this origin is not welcome",
        404 => "there is no signaling server at this address",
        429 => "too many connections from this address; wait a little",
        503 => "the server is full; try again later",
        _ => "expected the start of a WebSocket",
    }
}

/// Connects to signaling servers.
#[derive(Debug)]
pub struct SignalingClient;

/// Sends messages. Clones share one bounded queue, which loses nothing: it makes the sender wait.
/// When the last one is dropped the connection is closed.
#[derive(Clone, Debug)]
pub struct SignalingSender(mpsc::Sender<Command>);

/// Receives messages, in order.
///
/// It is to be read: when [`SignalingClient::QUEUE`] messages wait, nothing more is taken from the
/// network, heartbeats included, and the server drops a client that stays like this. Sending and
/// closing go on.
#[derive(Debug)]
pub struct SignalingReceiver(mpsc::Receiver<Event>);

#[derive(Debug)]
enum Command {
    Send(ClientMessage),
    Close(oneshot::Sender<()>),
}

impl SignalingClient {
    /// How many messages may wait in each direction.
    pub const QUEUE: usize = 256;

    /// Connects to the server at `url`, which may be a page's URL: its query is ignored, `http` reads
    /// as `ws`, and `/ws` is added where it is not there.
    ///
    /// Runs a task on the current Tokio runtime, which ends when either half is dropped.
    ///
    /// # Errors
    /// [`ClientError`], with a sentence for whoever gave the URL.
    pub async fn connect(
        url: &Url,
        options: ConnectOptions,
    ) -> Result<(SignalingSender, SignalingReceiver), ClientError> {
        let url = socket_url(url)?;
        let limit = options.timeout;
        let socket =
            timeout(limit, open(&url, &options))
                .await
                .map_err(|_| ClientError::Timeout {
                    url,
                    timeout: limit,
                })??;
        let (sender, commands) = mpsc::channel(Self::QUEUE);
        let (events, receiver) = mpsc::channel(Self::QUEUE);
        tokio::spawn(
            Session {
                socket,
                commands,
                events,
            }
            .run(),
        );
        Ok((SignalingSender(sender), SignalingReceiver(receiver)))
    }
}

impl SignalingSender {
    /// Queues a message; waits while the queue is full.
    ///
    /// # Errors
    /// [`ClientError::Closed`]; the receiver knows why.
    pub async fn send(&self, message: ClientMessage) -> Result<(), ClientError> {
        self.0
            .send(Command::Send(message))
            .await
            .map_err(|_| closed())
    }

    /// Sends what is queued, closes the connection and returns when that is done. The seat in the
    /// room is free then.
    pub async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.0.send(Command::Close(done)).await.is_ok() {
            // An error says that the connection ended in some other way.
            let _ = wait.await;
        }
    }
}

impl SignalingReceiver {
    /// The next message. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`] when the connection is over; nothing comes after it.
    pub async fn recv(&mut self) -> Result<ServerMessage, ClientError> {
        self.0.recv().await.unwrap_or_else(|| Err(closed()))
    }
}

fn closed() -> ClientError {
    ClientError::Closed {
        code: 1000,
        reason: "closed by this side".into(),
    }
}

/// Where the WebSocket is, for a server or a page of it.
fn socket_url(url: &Url) -> Result<Url, ClientError> {
    let bad = || ClientError::BadUrl { url: url.clone() };
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return Err(bad()),
    };
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad());
    }
    let mut socket = url.clone();
    socket.set_scheme(scheme).map_err(|()| bad())?;
    socket.set_query(None);
    socket.set_fragment(None);
    if !socket.path().ends_with("/ws") {
        let folder = socket
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        let path = format!("{folder}/ws");
        socket.set_path(&path);
    }
    Ok(socket)
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Frame = Option<Result<Message, tungstenite::Error>>;
type Event = Result<ServerMessage, ClientError>;

async fn open(url: &Url, options: &ConnectOptions) -> Result<Socket, ClientError> {
    let request = url
        .as_str()
        .into_client_request()
        .map_err(|_| ClientError::BadUrl { url: url.clone() })?;
    // Room for `joined` with many peers, and for whatever a peer was allowed to say.
    let limit = Some(4 * crate::message::MAX_MESSAGE_BYTES);
    let config = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit);
    let connector = Connector::Rustls(trust::tls_config(options.accept_invalid_certs));
    match connect_async_tls_with_config(request, Some(config), true, Some(connector)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(ClientError::Refused {
            url: url.clone(),
            status: response.status().as_u16(),
        }),
        Err(tungstenite::Error::Io(error)) => match error.downcast::<rustls::Error>() {
            Ok(error) => Err(ClientError::Untrusted {
                url: url.clone(),
                error: Box::new(error),
            }),
            Err(error) => Err(ClientError::Unreachable {
                url: url.clone(),
                error,
            }),
        },
        Err(error) => Err(ClientError::NotSignaling {
            url: url.clone(),
            error: Box::new(error),
        }),
    }
}

/// The task between the two halves and the socket.
struct Session {
    socket: Socket,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
}

impl Session {
    /// Until `joined` says otherwise.
    const HEARTBEAT: Duration = Duration::from_secs(10);
    /// How long a close handshake may take.
    const GOODBYE: Duration = Duration::from_secs(1);

    async fn run(mut self) {
        let mut heartbeat = Self::HEARTBEAT;
        let mut last_heard = Instant::now();
        let mut next_ping = last_heard + heartbeat;
        let end = loop {
            tokio::select! {
                command = self.commands.recv() => match command {
                    Some(Command::Send(message)) => {
                        if let Err(error) = self.write(Message::text(message.to_json()), heartbeat).await {
                            break error;
                        }
                    }
                    Some(Command::Close(done)) => {
                        self.close(CloseCode::Normal).await;
                        // Its sender may have stopped waiting.
                        let _ = done.send(());
                        break closed();
                    }
                    None => {
                        self.close(CloseCode::Normal).await;
                        break closed();
                    }
                },
                frame = next_frame(&self.events, &mut self.socket) => {
                    last_heard = Instant::now();
                    match receive(frame) {
                        Ok(None) => {}
                        Ok(Some(message)) => {
                            if let ServerMessage::Joined { heartbeat_seconds, .. } = &message {
                                heartbeat = Duration::from_secs(u64::from(*heartbeat_seconds).clamp(1, 3600));
                                next_ping = last_heard + heartbeat;
                            }
                            // There is a place, unless nobody reads any more, which shows by itself.
                            let _ = self.events.try_send(Ok(message));
                        }
                        Err(error) => {
                            self.close(CloseCode::Protocol).await;
                            break error;
                        }
                    }
                },
                () = sleep_until(next_ping) => {
                    if self.events.capacity() == 0 {
                        // It is this side that does not listen.
                        last_heard = Instant::now();
                    } else if last_heard.elapsed() >= heartbeat * 2 {
                        break ClientError::Silent;
                    }
                    next_ping = Instant::now() + heartbeat;
                    if let Err(error) = self.write(Message::Ping(Default::default()), heartbeat).await {
                        break error;
                    }
                },
                () = self.events.closed() => {
                    self.close(CloseCode::Normal).await;
                    return;
                }
            }
        };
        // Nobody may be left to hear it.
        let _ = self.events.send(Err(end)).await;
    }

    async fn write(&mut self, message: Message, heartbeat: Duration) -> Result<(), ClientError> {
        // A socket that takes no more is at its end, and reading it to that end tells why.
        timeout(heartbeat * 2, self.socket.send(message))
            .await
            .map(drop)
            .map_err(|_| ClientError::Silent)
    }

    async fn close(&mut self, code: CloseCode) {
        let handshake = async {
            self.socket
                .close(Some(CloseFrame {
                    code,
                    reason: Default::default(),
                }))
                .await?;
            while self.socket.next().await.transpose()?.is_some() {}
            Ok::<(), tungstenite::Error>(())
        };
        // The socket is closed in any case when it is dropped.
        let _ = timeout(Self::GOODBYE, handshake).await;
    }
}

/// The next frame, once there is a place for what it says. Cancel safe.
async fn next_frame(events: &mpsc::Sender<Event>, socket: &mut Socket) -> Frame {
    match events.reserve().await {
        // Nobody else sends, so the place stays free.
        Ok(_place) => socket.next().await,
        // Nobody will read: the session notices that by itself.
        Err(_) => std::future::pending().await,
    }
}

/// What a frame says: a message, nothing of interest, or the end.
fn receive(frame: Frame) -> Result<Option<ServerMessage>, ClientError> {
    match frame {
        Some(Ok(Message::Text(text))) => match ServerMessage::parse(&text) {
            Ok(message) => Ok(Some(message)),
            Err(ParseError::UnknownType(kind)) => {
                debug!(kind, "skipped a message of a later protocol version");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        },
        Some(Ok(Message::Close(frame))) => Err(frame.map_or_else(
            || ClientError::Closed {
                code: 1005,
                reason: String::new(),
            },
            |frame| ClientError::Closed {
                code: frame.code.into(),
                reason: frame.reason.as_str().to_owned(),
            },
        )),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(broken(&error)),
        None => Err(ClientError::Closed {
            code: 1006,
            reason: String::new(),
        }),
    }
}

fn broken(error: &tungstenite::Error) -> ClientError {
    ClientError::Closed {
        code: 1006,
        reason: error.to_string(),
    }
}
