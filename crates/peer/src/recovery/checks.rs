//! A socket that lets through fewer of the agent's checks, the longer nobody answers them, and nothing
//! but checks once the other side consents no more; and that takes in packets of so many sources only. It tells of
//! the DTLS handshake that passes.
//!
//! The agent checks each pair at every turn, for as long as an attempt lasts. That finds a short path in
//! milliseconds, and would be hundreds of packets a second into a path that is not there.

use crate::handshake::{Handshake, Sent};
use crate::relay::{self, Peer};
use crate::source_gate::SourceGate;
use duet_media::Clock;
use duet_session::CheckPacer;
use parking_lot::Mutex;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

/// A socket of one generation of candidates: a restart makes others.
pub(crate) struct PacedSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    clock: Arc<dyn Clock>,
    pacer: Mutex<CheckPacer<FarEnd>>,
    consent: Arc<AtomicBool>,
    gate: Arc<SourceGate>,
    handshake: Arc<Handshake>,
}

impl PacedSocket {
    pub(crate) fn new(
        inner: Arc<dyn AsyncUdpSocket>,
        clock: Arc<dyn Clock>,
        consent: Arc<AtomicBool>,
        gate: Arc<SourceGate>,
        handshake: Arc<Handshake>,
    ) -> Self {
        PacedSocket {
            inner,
            clock,
            pacer: Mutex::default(),
            consent,
            gate,
            handshake,
        }
    }
}

impl fmt::Debug for PacedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PacedSocket").field(&self.inner).finish()
    }
}

impl AsyncUdpSocket for PacedSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let (far, contents) = far_end(transmit.contents, transmit.destination);
        if is_check(contents) || matches!(far, FarEnd::Permission(..)) {
            let now = self.clock.now();
            if !self.pacer.lock().allow(far, now) {
                // As if it were lost: the agent's next one is not far.
                return Poll::Ready(Ok(transmit.contents.len()));
            }
        } else if is_content(contents) && !self.consent.load(Ordering::Acquire) {
            return Poll::Ready(Ok(transmit.contents.len()));
        }
        let sent = ready!(self.inner.poll_send(cx, transmit));
        self.handshake
            .on_sent(contents, || Sent::new(&self.inner, transmit));
        Poll::Ready(sent)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let filled = ready!(self.inner.poll_recv(cx, buffers, meta))?;
        for (buffer, meta) in buffers.iter_mut().zip(meta).take(filled) {
            let datagram = &buffer[..meta.len.min(buffer.len())];
            let (far, contents) = far_end(datagram, meta.addr);
            if is_stun(contents) {
                self.pacer.lock().heard(&far);
            }
            // Behind the first others may have come with it.
            self.gate.sift(buffer, meta);
            if !self.handshake.is_over() {
                let came = &buffer[..meta.len.min(buffer.len())];
                let datagrams = came.chunks(meta.stride.max(1));
                datagrams.for_each(|datagram| {
                    self.handshake.on_received(far_end(datagram, meta.addr).1);
                });
            }
        }
        Poll::Ready(Ok(filled))
    }

    fn max_gso_segments(&self) -> usize {
        self.inner.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.inner.max_gro_segments()
    }
}

/// Who is checked.
#[derive(Debug, PartialEq, Eq, Hash)]
enum FarEnd {
    Direct(SocketAddr),
    /// Through the relay at an address.
    Relayed(SocketAddr, Peer),
    /// Not yet: that relay was asked whether it may. The agent asks anew at each check if it may not.
    Permission(SocketAddr, SocketAddr),
}

/// The far end of a datagram, and what it is without a relay's wrapping.
fn far_end(datagram: &[u8], address: SocketAddr) -> (FarEnd, &[u8]) {
    if let Some(relayed) = relay::open(datagram) {
        return (FarEnd::Relayed(address, relayed.peer), relayed.payload);
    }
    let far = match relay::permission_for(datagram) {
        Some(peer) => FarEnd::Permission(address, peer),
        None => FarEnd::Direct(address),
    };
    (far, datagram)
}

/// [RFC 8489, section 5](https://www.rfc-editor.org/rfc/rfc8489#section-5): two bits of zero, and the cookie.
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
        && datagram.get(4..8) == Some(&[0x21, 0x12, 0xA4, 0x42])
}

/// DTLS, RTP or RTCP ([RFC 9443, section 7](https://www.rfc-editor.org/rfc/rfc9443#section-7)).
pub(crate) fn is_content(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63 | 128..=191))
}

/// A binding request.
pub(crate) fn is_check(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0, 1]) && is_stun(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::MediaTime;
    use std::sync::atomic::AtomicI64;
    use std::task::Waker;
    use std::time::Duration;

    #[derive(Debug, Default)]
    struct Wire {
        sent: Mutex<usize>,
        answers: bool,
    }

    impl AsyncUdpSocket for Wire {
        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([127, 0, 0, 1], 1)))
        }

        fn poll_send(&self, _: &mut Context<'_>, sent: &Transmit<'_>) -> Poll<io::Result<usize>> {
            *self.sent.lock() += 1;
            Poll::Ready(Ok(sent.contents.len()))
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            buffers: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            if !self.answers {
                return Poll::Pending;
            }
            let answer = stun(0x0101);
            buffers[0][..answer.len()].copy_from_slice(&answer);
            meta[0] = RecvMeta::default();
            meta[0].addr = THERE;
            meta[0].len = answer.len();
            Poll::Ready(Ok(1))
        }
    }

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> MediaTime {
            MediaTime::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn unix_time(&self, time: MediaTime) -> Duration {
            time.saturating_since(MediaTime::ZERO)
        }
    }

    const THERE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

    fn stun(kind: u16) -> [u8; 20] {
        let mut datagram = [0; 20];
        datagram[..2].copy_from_slice(&kind.to_be_bytes());
        datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        datagram
    }

    /// How many of the datagrams of a minute, one every 5 ms, leave.
    fn minute(contents: &[u8], answers: bool, consent: bool) -> usize {
        let wire = Arc::new(Wire {
            answers,
            ..Default::default()
        });
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let consent = Arc::new(AtomicBool::new(consent));
        let handshake = Arc::new(Handshake::new(clock.clone(), consent.clone()));
        let gate = Arc::default();
        let socket = PacedSocket::new(wire.clone(), clock.clone(), consent, gate, handshake);
        let mut cx = Context::from_waker(Waker::noop());
        for turn in 0..12_000 {
            clock.0.store(turn * 5, Ordering::Relaxed);
            let transmit = Transmit {
                destination: THERE,
                ecn: None,
                contents,
                segment_size: None,
                src_ip: None,
            };
            let sent = socket.poll_send(&mut cx, &transmit);
            assert!(matches!(sent, Poll::Ready(Ok(len)) if len == contents.len()));
            let mut buffer = [0; 64];
            let _ = socket.poll_recv(
                &mut cx,
                &mut [IoSliceMut::new(&mut buffer)],
                &mut [RecvMeta::default()],
            );
        }
        *wire.sent.lock()
    }

    #[test]
    fn only_checks_that_nobody_answers_are_held_back() {
        let unanswered = minute(&stun(0x0001), false, true);
        assert!((300..450).contains(&unanswered), "{unanswered}");
        assert_eq!(minute(&stun(0x0001), true, true), 12_000);
        // Through a relay, and the wish for its permission.
        let at = [0, 0x12, 0, 8, 0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43];
        let relayed = [&stun(0x0016)[..], &at, &[0, 0x13, 0, 20], &stun(0x0001)].concat();
        let permission = [&stun(0x0008)[..], &at].concat();
        for held_back in [relayed, permission] {
            assert_eq!(minute(&held_back, false, true), unanswered);
        }
        // Answers of ours, media.
        assert_eq!(minute(&stun(0x0101), false, true), 12_000);
        assert_eq!(minute(&[0x80; 20], false, true), 12_000);
        assert_eq!(minute(&[], false, true), 12_000);
    }

    #[test]
    fn without_consent_only_stun_leaves() {
        // RTP, RTCP, DTLS.
        for first in [0x80, 0x90, 22] {
            assert_eq!(minute(&[first; 20], false, false), 0);
            let relayed = [&[0x40, 1, 0, 20][..], &[first; 20]].concat();
            assert_eq!(minute(&relayed, false, false), 0);
        }
        assert_eq!(minute(&stun(0x0101), false, false), 12_000);
        assert!(minute(&stun(0x0001), false, false) > 0);
    }
}
