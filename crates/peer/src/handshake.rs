//! The DTLS handshake of one connection, as its datagrams pass: what got no answer is sent again.
//!
//! When, [`FlightRepeater`] says. It is not the handshake, which is the substrate's, and knows none of its
//! secrets.

use duet_media::Clock;
use duet_session::FlightRepeater;
use parking_lot::Mutex;
use std::future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use webrtc::runtime::{AsyncUdpSocket, Transmit};

/// Told of what passes by the sockets, and run by the driver while it waits.
pub(crate) struct Handshake {
    repeater: Mutex<FlightRepeater<Sent>>,
    clock: Arc<dyn Clock>,
    consent: Arc<AtomicBool>,
    /// As the repeater says, for each packet of a call's rest.
    over: AtomicBool,
}

/// A datagram, or some of one length, that left.
#[derive(Clone)]
pub(crate) struct Sent {
    /// A restart of ICE makes other sockets, and wants the ports of these.
    socket: Weak<dyn AsyncUdpSocket>,
    destination: SocketAddr,
    contents: Vec<u8>,
    segment_size: Option<usize>,
}

impl Sent {
    pub(crate) fn new(socket: &Arc<dyn AsyncUdpSocket>, transmit: &Transmit<'_>) -> Self {
        Sent {
            socket: Arc::downgrade(socket),
            destination: transmit.destination,
            contents: transmit.contents.to_vec(),
            segment_size: transmit.segment_size,
        }
    }

    /// What cannot be sent is lost.
    async fn again(self) {
        let Some(socket) = self.socket.upgrade() else {
            return;
        };
        let transmit = Transmit {
            destination: self.destination,
            ecn: None,
            contents: &self.contents,
            segment_size: self.segment_size,
            src_ip: None,
        };
        let _ = future::poll_fn(|cx| socket.poll_send(cx, &transmit)).await;
    }
}

impl Handshake {
    pub(crate) fn new(clock: Arc<dyn Clock>, consent: Arc<AtomicBool>) -> Self {
        Handshake {
            repeater: Mutex::default(),
            clock,
            consent,
            over: AtomicBool::new(false),
        }
    }

    /// Whether it needs to hear of no datagram any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// `contents` left: without a relay's wrapping, which `sent` may have.
    pub(crate) fn on_sent(&self, contents: &[u8], sent: impl FnOnce() -> Sent) {
        if !self.is_over() {
            let now = self.clock.now();
            self.repeater.lock().on_sent(now, contents, sent);
        }
    }

    /// A datagram came, and has no wrapping any more.
    pub(crate) fn on_received(&self, contents: &[u8]) {
        let mut repeater = self.repeater.lock();
        repeater.on_received(contents);
        self.over.store(repeater.is_over(), Ordering::Relaxed);
    }

    /// Sends again what has to be, as long as somebody waits here.
    pub(crate) async fn repeat(&self) {
        loop {
            let Some(due) = self.repeater.lock().next_timeout() else {
                return future::pending().await;
            };
            tokio::time::sleep(due.saturating_since(self.clock.now())).await;
            let again = self.repeater.lock().take_due(self.clock.now());
            if self.consent.load(Ordering::Acquire) {
                for sent in again {
                    sent.again().await;
                }
            }
        }
    }
}
