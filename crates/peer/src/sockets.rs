//! Sockets that are not the machine's own: what a laboratory, a relay or a port shared by many puts in
//! their place.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// Where a connection's datagrams go.
pub trait Network: Send + Sync + 'static {
    /// What sends and receives in place of `bound`, whose address is a candidate's. Drop `bound`, and
    /// the machine may give its port to somebody else.
    ///
    /// # Errors
    /// No connection can be made over this address.
    fn attach(&self, bound: UdpSocket) -> io::Result<Arc<dyn DatagramSocket>>;
}

/// A socket that is polled. Both ways at most one task polls it.
pub trait DatagramSocket: Send + Sync + 'static {
    /// Its address.
    ///
    /// # Errors
    /// It has none.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sends one datagram, or has `cx` woken when it can.
    ///
    /// # Errors
    /// Those of a machine's socket: what does not pass by itself ends the socket.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        datagram: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>>;

    /// Receives one datagram into `buffer`: its length, and where it is from. What does not fit is cut off.
    ///
    /// # Errors
    /// Those of a machine's socket: what does not pass by itself ends the socket.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;
}

/// One of them as the substrate wants it.
pub(crate) struct Attached(pub(crate) Arc<dyn DatagramSocket>);

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Attached")
            .field(&self.0.local_addr())
            .finish()
    }
}

impl AsyncUdpSocket for Attached {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        // It was told that segments are not for it, so this is one datagram.
        let sent = self
            .0
            .poll_send(cx, transmit.contents, transmit.destination);
        sent.map_ok(|()| transmit.contents.len())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        let (len, from) = ready!(self.0.poll_receive(cx, buffer))?;
        let len = len.min(buffer.len());
        *meta = RecvMeta::default();
        meta.addr = from;
        meta.len = len;
        meta.stride = len.max(1);
        Poll::Ready(Ok(1))
    }
}
