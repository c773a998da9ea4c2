//! A real server on a free port of the loopback interface, and raw clients of it that can misbehave.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use duet_signaling::{ClientMessage, PeerId, ServeError, Server, ServerConfig, ServerMessage};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use url::Url;

/// Longer than anything here takes on a machine that is busy with something else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits something that has to happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A server that is running.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) url: Url,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), ServeError>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let mut config = ServerConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..ServerConfig::default()
        };
        change(&mut config);
        let server = Server::bind(config).await.expect("a free port");
        let (address, url) = (server.local_addr(), server.url().parse().expect("a URL"));
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(server.run_until(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            url,
            stop,
            running,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        soon("the server's end", self.running)
            .await
            .expect("no panic")
            .expect("no error");
    }

    /// A raw client that joined `room`, its id and who was there.
    pub(crate) async fn joined(&self, room: &str) -> (RawClient, PeerId) {
        let mut client = RawClient::connect(self.address).await.expect("a socket");
        let id = client.join(room).await;
        (client, id)
    }

    /// Sends a request as it stands, and returns the whole response.
    pub(crate) async fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a listener");
        let mut response = Vec::new();
        soon("a response", stream.read_to_end(&mut response))
            .await
            .expect("a response");
        String::from_utf8_lossy(&response).into_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        ))
        .await
    }

    /// One line of the metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
            .parse()
            .expect("a number")
    }

    /// Waits until the server has noticed.
    pub(crate) async fn metric_becomes(&self, name: &str, value: u64) {
        let mut tick = interval(Duration::from_millis(10));
        soon(&format!("{name} to become {value}"), async {
            while self.metric(name).await != value {
                tick.tick().await;
            }
        })
        .await;
    }
}

/// A WebSocket without manners.
pub(crate) struct RawClient {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

/// The end of a socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed(pub(crate) u16);

impl RawClient {
    pub(crate) async fn connect(server: SocketAddr) -> Result<Self, tungstenite::Error> {
        Self::connect_as(server, IpAddr::from([127, 0, 0, 1]), None).await
    }

    pub(crate) async fn connect_as(
        server: SocketAddr,
        from: IpAddr,
        origin: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(server).await?;
        let mut request = format!("ws://{server}/ws").into_client_request()?;
        if let Some(origin) = origin {
            request
                .headers_mut()
                .insert("origin", origin.parse().expect("a header"));
        }
        let (socket, _) = soon("the upgrade", client_async(request, stream)).await?;
        Ok(Self { socket })
    }

    pub(crate) async fn send(&mut self, message: ClientMessage) {
        self.send_text(message.to_json()).await;
    }

    pub(crate) async fn send_text(&mut self, text: impl Into<String>) {
        self.socket
            .send(Message::text(text.into()))
            .await
            .expect("an open socket");
    }

    /// The next message.
    pub(crate) async fn recv(&mut self) -> ServerMessage {
        self.recv_or_end()
            .await
            .unwrap_or_else(|end| panic!("expected a message, got {end:?}"))
    }

    /// The next message, or the end.
    pub(crate) async fn recv_or_end(&mut self) -> Result<ServerMessage, Closed> {
        loop {
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(ServerMessage::parse(&text).expect("a message"));
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err(Closed(frame.code.into())),
                Some(Ok(Message::Close(None))) => return Err(Closed(1005)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed(1006)),
            }
        }
    }

    /// Everything up to the end.
    pub(crate) async fn drain(&mut self) -> (Vec<ServerMessage>, Closed) {
        let mut messages = Vec::new();
        loop {
            match self.recv_or_end().await {
                Ok(message) => messages.push(message),
                Err(end) => return (messages, end),
            }
        }
    }

    pub(crate) async fn join(&mut self, room: &str) -> PeerId {
        self.send(join(room)).await;
        match self.recv().await {
            ServerMessage::Joined { id, .. } => id,
            other => panic!("expected to be seated, got {other:?}"),
        }
    }

    /// Makes sure that everything sent so far was handled, and nothing came back for it.
    pub(crate) async fn quiet(&mut self) {
        self.send(ClientMessage::Ping).await;
        assert_eq!(self.recv().await, ServerMessage::Pong);
    }
}

pub(crate) fn join(room: &str) -> ClientMessage {
    ClientMessage::Join {
        version: 1,
        room: room.into(),
        name: None,
        resume_token: None,
    }
}

pub(crate) fn error_code(message: &ServerMessage) -> Option<(duet_signaling::ErrorCode, bool)> {
    match message {
        ServerMessage::Error { code, fatal, .. } => Some((*code, *fatal)),
        _ => None,
    }
}
