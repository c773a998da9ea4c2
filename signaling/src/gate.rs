//! The outermost door: how many TCP connections there may be, from one address and in all, before
//! anything was said on them; how long they may take nothing of what they asked for; and how they are
//! let go.
//!
//! What this module deliberately is not: it reads nothing. What a connection wants is found out, and
//! limited again, further in.

use std::future::{Future, Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tracing::debug;

use crate::limits::{Doorkeeper, Limits};

/// Lets TCP connections in.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    door: Arc<Mutex<Doorkeeper>>,
    stall: Duration,
}

impl Gate {
    /// A page and its parts are fetched over a few connections of their own, beside the sockets.
    pub(crate) fn new(limits: &Limits) -> Self {
        let per_address = limits.sockets_per_address.saturating_add(64);
        let in_all = limits.sockets.saturating_add(512);
        Self {
            door: Arc::new(Mutex::new(Doorkeeper::new(in_all, per_address, None))),
            stall: limits.stall,
        }
    }

    fn enter(&self, stream: TcpStream) -> io::Result<Guarded> {
        let address = stream.peer_addr()?.ip();
        if let Err(turned) = self.door.lock().enter(address, Instant::now()) {
            debug!(?turned, "connection refused");
            return Err(io::Error::other("too many connections"));
        }
        let place = Place {
            address,
            gate: self.clone(),
        };
        stream.set_nodelay(true)?;
        Ok(Guarded {
            stream: Some(stream),
            place: Some(place),
            stall: self.stall,
            stalled: None,
        })
    }
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Guarded;
    type Service = S;
    type Future = Ready<io::Result<(Guarded, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.enter(stream).map(|stream| (stream, service)))
    }
}

/// A connection's place among those that are counted.
#[derive(Debug)]
struct Place {
    address: IpAddr,
    gate: Gate,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.door.lock().leave(self.address, Instant::now());
    }
}

/// A TCP connection that was let in.
///
/// When it is dropped with something still unread, it reads on for a moment. Closing at once would
/// make the kernel send a reset, which takes from the client what it was told last: the close frame
/// that says why.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// There until dropped.
    stream: Option<TcpStream>,
    place: Option<Place>,
    stall: Duration,
    /// Runs while the peer takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Guarded {
    const LINGER: Duration = Duration::from_secs(1);
    const LINGER_BYTES: u64 = 1024 * 1024;

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        self.get_mut()
            .stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Lets what became of a write pass, unless the peer has taken nothing for too long.
    fn watch<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        std::task::ready!(stalled.as_mut().poll(cx));
        debug!("a connection takes nothing");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        let place = self.place.take();
        let unread = matches!(stream.try_read(&mut [0; 512]), Ok(1..));
        if let (true, Ok(runtime)) = (unread, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                let _place = place;
                let drain = async {
                    use tokio::io::AsyncWriteExt;
                    stream.shutdown().await?;
                    tokio::io::copy(&mut stream.take(Self::LINGER_BYTES), &mut tokio::io::sink())
                        .await
                };
                // Either way, it is over now.
                let _ = tokio::time::timeout(Self::LINGER, drain).await;
            });
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream()?.poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream()?.poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }
}
