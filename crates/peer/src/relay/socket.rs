//! A socket of the agent's that leads to relays too: some over UDP, as the agent believes all are, others over
//! streams, or a socket, of their own.

use super::datagrams::Opener;
use super::envelope::{self, is_turn};
use super::stream::{Arrived, Dial, Ended, Stream, inbox};
use super::{Relays, Turns};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// A socket of one generation of candidates, with the streams that were opened for it.
pub(crate) struct RelaySocket {
    inner: Arc<dyn AsyncUdpSocket>,
    local: SocketAddr,
    relays: Arc<Relays>,
    turns: Arc<Turns>,
    streams: Mutex<HashMap<usize, Stream>>,
    open: Opener,
    arriving: mpsc::Sender<Arrived>,
    arrived: Mutex<mpsc::Receiver<Arrived>>,
    /// Whether streams are asked first. Each goes first in turn, so that neither waits for ever.
    streams_first: AtomicBool,
}

impl RelaySocket {
    /// # Errors
    /// The socket has no address.
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        relays: Arc<Relays>,
        turns: Arc<Turns>,
        open: Opener,
    ) -> io::Result<Self> {
        let (arriving, arrived) = inbox();
        Ok(RelaySocket {
            local: inner.local_addr()?,
            inner,
            relays,
            turns,
            streams: Mutex::default(),
            open,
            arriving,
            arrived: Mutex::new(arrived),
            streams_first: AtomicBool::new(false),
        })
    }

    fn send_by_stream(&self, place: usize, transmit: &Transmit<'_>) -> io::Result<()> {
        let datagram = transmit.contents;
        if !is_turn(datagram) || transmit.segment_size.is_some() {
            // The other side may name any address, a stand-in too.
            return Ok(());
        }
        if envelope::is_wish(datagram) {
            self.relays.on_request((self.local, place), datagram)?;
        }
        let of_its_family = self.relays.with_family(place, datagram);
        let datagram = of_its_family.as_deref().unwrap_or(datagram);
        let mut streams = self.streams.lock();
        if let Some(stream) = streams.get(&place) {
            return stream.send(datagram);
        }
        let dial = Dial {
            server: self
                .relays
                .server_at(place)
                .ok_or(io::ErrorKind::NotFound)?,
            from: self.local.ip(),
            stand_in: transmit.destination,
            inbox: self.arriving.clone(),
            tls: self.relays.tls.clone(),
            open: self.open.clone(),
        };
        let (relays, way) = (self.relays.clone(), (self.local, place));
        let stream = Stream::open(dial, move |ended| relays.on_ended(way, ended));
        stream.send(datagram)?;
        streams.insert(place, stream);
        Ok(())
    }

    /// False if the agent must not have it.
    fn on_arrival(&self, datagram: &[u8], from: SocketAddr) -> bool {
        if is_turn(datagram) {
            self.turns.on_arrival();
        }
        if !envelope::is_answer(datagram) {
            return true;
        }
        let place = self.relays.stands_for(from);
        let place = place.or_else(|| self.relays.place_of(from));
        place.is_none_or(|place| self.relays.on_answer((self.local, place), datagram))
    }

    fn poll_streams(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        meta: &mut RecvMeta,
    ) -> Poll<()> {
        loop {
            // Never the end: an inbox of our own is open.
            let Poll::Ready(Some((datagram, from))) = self.arrived.lock().poll_recv(cx) else {
                return Poll::Pending;
            };
            if !self.on_arrival(&datagram, from) {
                continue;
            }
            let len = datagram.len().min(buffer.len());
            buffer[..len].copy_from_slice(&datagram[..len]);
            *meta = RecvMeta::default();
            meta.addr = from;
            meta.len = len;
            meta.stride = len.max(1);
            return Poll::Ready(());
        }
    }

    fn poll_inner(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let polled = self.inner.poll_recv(cx, buffers, meta);
            let Poll::Ready(Ok(filled)) = polled else {
                return polled;
            };
            let mut wanted = true;
            for (buffer, meta) in buffers.iter().zip(meta.iter()).take(filled) {
                let datagram = &buffer[..meta.len.min(buffer.len())];
                // A server does not send answers so fast that the kernel joins them.
                wanted = self.on_arrival(datagram, meta.addr) || filled > 1;
            }
            if wanted {
                return polled;
            }
        }
    }
}

impl fmt::Debug for RelaySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RelaySocket").field(&self.inner).finish()
    }
}

impl Drop for RelaySocket {
    fn drop(&mut self) {
        self.relays.forget(self.local);
    }
}

impl AsyncUdpSocket for RelaySocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let to = transmit.destination;
        if let Some(place) = self.relays.stands_for(to) {
            let sent = self.send_by_stream(place, transmit);
            return Poll::Ready(sent.map(|()| transmit.contents.len()));
        }
        let asked = envelope::is_wish(transmit.contents).then(|| self.relays.place_of(to));
        let Some(place) = asked.flatten() else {
            return self.inner.poll_send(cx, transmit);
        };
        let way = (self.local, place);
        self.relays.on_request(way, transmit.contents)?;
        self.inner.poll_send(cx, transmit).map_err(|error| {
            let kind = error.kind();
            self.relays
                .on_ended(way, Ended::without_way(self.local.ip(), error));
            kind.into()
        })
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let streams_first = self.streams_first.fetch_xor(true, Ordering::Relaxed);
        for streams in [streams_first, !streams_first] {
            if streams {
                if let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut())
                    && self.poll_streams(cx, buffer, meta).is_ready()
                {
                    return Poll::Ready(Ok(1));
                }
            } else if let Poll::Ready(received) = self.poll_inner(cx, buffers, meta) {
                return Poll::Ready(received);
            }
        }
        Poll::Pending
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}
