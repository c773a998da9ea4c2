//! One connection to a TURN server, over TCP, TLS or a UDP socket of its own, and the task that keeps it
//! ([RFC 8656, section 3.1](https://www.rfc-editor.org/rfc/rfc8656#section-3.1)).
//!
//! It makes one attempt and never another: an allocation is bound to the connection that it was made over,
//! so who lost it begins anew.

use super::allocations::PATIENCE;
use super::datagrams::{self, Opener};
use super::envelope::{Stun, TransactionId};
use super::framing::{self, MAX_MESSAGE};
use super::{RelayServer, Transport};
use crate::framed::{self, INBOX, OUTBOX};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, ServerName};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// For the name, the connection and the handshake together.
const CONNECT: Duration = PATIENCE;
/// For what is still to be said when the socket is closed: that the allocation is no longer wanted.
const FAREWELL: Duration = Duration::from_secs(1);
/// Requests that are remembered, so that each is sent once.
const REQUESTS: usize = 32;

/// The near end of one. Dropped, it says what is in its outbox, and is closed.
pub(super) struct Stream {
    outbox: mpsc::Sender<Bytes>,
    /// What is sent may be lost, so that requests are repeated.
    loses: bool,
    asked: Mutex<VecDeque<TransactionId>>,
    _held: oneshot::Sender<()>,
}

/// What came over one: whom it is from as the agent knows it.
pub(super) type Arrived = (Bytes, SocketAddr);

/// The agent's end of all of a socket's.
pub(super) fn inbox() -> (mpsc::Sender<Arrived>, mpsc::Receiver<Arrived>) {
    mpsc::channel(INBOX)
}

/// What one is made with.
pub(super) struct Dial {
    pub(super) server: RelayServer,
    /// The machine's own address.
    pub(super) from: IpAddr,
    /// The server's address as the agent knows it.
    pub(super) stand_in: SocketAddr,
    pub(super) inbox: mpsc::Sender<Arrived>,
    pub(super) tls: Tls,
    /// For UDP.
    pub(super) open: Opener,
}

/// Why one ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody wanted it any more.
    Unwanted,
    /// There is no way from this address to that server, which is none of the server's doing.
    OutOfReach,
    Failed(io::Error),
}

impl Ended {
    /// Nothing left the machine. It knows itself that there is no way from its loopback interface to another
    /// machine, or from an address of one family to a server that has none of it.
    pub(super) fn without_way(from: IpAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrNotAvailable | io::ErrorKind::NetworkUnreachable => {
                Ended::OutOfReach
            }
            io::ErrorKind::InvalidInput if from.is_loopback() => Ended::OutOfReach,
            _ => Ended::Failed(error),
        }
    }
}

impl Stream {
    /// Connects. `ended` is called if it ends by itself, and from then on nothing can be sent.
    pub(super) fn open(dial: Dial, ended: impl FnOnce(Ended) + Send + 'static) -> Stream {
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        let (_held, let_go) = oneshot::channel();
        let loses = dial.server.transport == Transport::Udp;
        tokio::spawn(async move {
            let why = run(dial, waiting, let_go).await;
            ended(why);
        });
        Stream {
            outbox,
            loses,
            asked: Mutex::default(),
            _held,
        }
    }

    /// Sends a datagram, or loses it if too many wait.
    ///
    /// # Errors
    /// It is closed.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let request = Stun::read(datagram).filter(|message| !self.loses && message.is_request());
        let mut asked = self.asked.lock();
        if request.is_some_and(|request| asked.contains(&request.transaction)) {
            // The agent repeats it, as over UDP. A stream loses nothing (RFC 8489, section 6.2.2).
            return match self.outbox.is_closed() {
                true => Err(io::ErrorKind::NotConnected.into()),
                false => Ok(()),
            };
        }
        match self.outbox.try_send(Bytes::copy_from_slice(datagram)) {
            Ok(()) => {
                if let Some(request) = request {
                    asked.truncate(REQUESTS - 1);
                    asked.push_front(request.transaction);
                }
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

async fn run(
    dial: Dial,
    outbox: mpsc::Receiver<Bytes>,
    mut let_go: oneshot::Receiver<()>,
) -> Ended {
    if dial.server.transport == Transport::Udp {
        let left = async {
            let _ = let_go.await;
            tokio::time::sleep(FAREWELL).await;
        };
        return tokio::select! {
            ended = datagrams::carry(&dial, outbox) => ended,
            () = left => Ended::Unwanted,
        };
    }
    let connecting = tokio::time::timeout(CONNECT, dial.connect());
    let stream = tokio::select! {
        stream = connecting => stream,
        _ = &mut let_go => return Ended::Unwanted,
    };
    match stream {
        Ok(Ok(stream)) => {
            let left = async {
                let _ = let_go.await;
                tokio::time::sleep(FAREWELL).await;
            };
            tokio::select! {
                ended = carry(stream, outbox, dial.inbox, dial.stand_in) => ended,
                () = left => Ended::Unwanted,
            }
        }
        Ok(Err(error)) => Ended::without_way(dial.from, error),
        Err(_) => {
            let message = "no connection within 6 seconds";
            Ended::Failed(io::Error::new(io::ErrorKind::TimedOut, message))
        }
    }
}

/// Carries datagrams both ways until one way ends.
async fn carry(
    stream: Box<dyn Duplex>,
    mut outbox: mpsc::Receiver<Bytes>,
    inbox: mpsc::Sender<Arrived>,
    stand_in: SocketAddr,
) -> Ended {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = framed::write_all_of(&mut outbox, &mut writer, framing::put);
    let reading = async {
        let mut bytes = BytesMut::new();
        loop {
            while let Some(message) = framing::take(&mut bytes).map_err(|_| not_turn())? {
                if inbox.send((message, stand_in)).await.is_err() {
                    // The socket is gone. What it said last is still being written.
                    return std::future::pending::<io::Result<()>>().await;
                }
            }
            // Less than one message is left, so this is bounded.
            bytes.reserve(MAX_MESSAGE.min(4_096));
            if reader.read_buf(&mut bytes).await? == 0 {
                let message = "the TURN server closed the connection";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
        }
    };
    let ended = tokio::select! {
        written = writing => written,
        Err(error) = reading => Err(error),
    };
    match ended {
        Ok(()) => {
            // It may be closed already.
            let _ = writer.shutdown().await;
            Ended::Unwanted
        }
        Err(error) => Ended::Failed(error),
    }
}

fn not_turn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server does not speak TURN")
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Dial {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let stream = self.connect_tcp().await?;
        framed::hurry(&stream)?;
        if self.server.transport != Transport::Tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.server.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let tls = tokio_rustls::TlsConnector::from(self.tls.config()?);
        Ok(Box::new(tls.connect(name, stream).await?))
    }

    /// The server's addresses of the family of the machine's own.
    pub(super) async fn lookup(&self) -> io::Result<impl Iterator<Item = SocketAddr>> {
        let host = (self.server.host.as_str(), self.server.port);
        let found: Vec<_> = tokio::net::lookup_host(host).await?.collect();
        let v4 = self.from.is_ipv4();
        Ok(found.into_iter().filter(move |to| to.is_ipv4() == v4))
    }

    async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for to in self.lookup().await? {
            let socket = match self.from {
                IpAddr::V4(_) => TcpSocket::new_v4()?,
                IpAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(SocketAddr::new(self.from, 0))?;
            match socket.connect(to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// How certificates are judged. Clones are the same.
#[derive(Clone)]
pub(super) struct Tls(Arc<Mutex<Judge>>);

struct Judge {
    /// Beside those of the web, in DER.
    roots: Vec<Vec<u8>>,
    made: Option<Arc<rustls::ClientConfig>>,
}

impl Tls {
    pub(super) fn new(roots: Vec<Vec<u8>>) -> Self {
        Tls(Arc::new(Mutex::new(Judge { roots, made: None })))
    }

    /// Made when it is asked for first: most calls want none.
    fn config(&self) -> io::Result<Arc<rustls::ClientConfig>> {
        let mut judge = self.0.lock();
        if let Some(made) = &judge.made {
            return Ok(made.clone());
        }
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut trusted = rustls::RootCertStore::empty();
        trusted.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in &judge.roots {
            let root = CertificateDer::from(root.as_slice());
            trusted.add(root.into_owned()).map_err(invalid)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let made = Arc::new(config);
        judge.made = Some(made.clone());
        Ok(made)
    }
}
