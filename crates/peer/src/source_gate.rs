//! How many sources a connection hears.
//!
//! What decrypts makes room for each source (SSRC) before it knows whether a packet is genuine, and never
//! takes it back: without a bound whoever can send to the port could fill the memory. The source is told in
//! the clear ([RFC 3711, section 3.1](https://www.rfc-editor.org/rfc/rfc3711#section-3.1)), so the bound is
//! kept at the socket.

use crate::relay;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use webrtc::runtime::RecvMeta;

/// One connection's, over all its sockets.
///
/// Capacity: [`CAPACITY`](Self::CAPACITY) sources beside those that descriptions name; packets of others are
/// lost, and counted. A call that changes its sources by the minute does not get there in a day.
#[derive(Debug, Default)]
pub(crate) struct SourceGate {
    sources: Mutex<Sources>,
    refused: AtomicU64,
    admitted: AtomicU64,
    opened: AtomicU64,
}

#[derive(Debug, Default)]
struct Sources {
    named: HashSet<u32>,
    others: HashSet<u32>,
}

impl SourceGate {
    pub(crate) const CAPACITY: usize = 2_048;

    /// Whether a datagram may come in.
    pub(crate) fn admits(&self, datagram: &[u8]) -> bool {
        let Some(source) = source(datagram) else {
            return true;
        };
        let mut sources = self.sources.lock();
        let known = sources.named.contains(&source) || sources.others.contains(&source);
        if !known && sources.others.len() >= Self::CAPACITY {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if !known {
            sources.others.insert(source);
        }
        drop(sources);
        self.admitted.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Leaves of what was received, datagrams of `meta.stride` each, what may come in.
    pub(crate) fn sift(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (len, stride) = (meta.len.min(buffer.len()), meta.stride.max(1));
        let mut kept = 0;
        for start in (0..len).step_by(stride) {
            let end = (start + stride).min(len);
            if self.admits(&buffer[start..end]) {
                if kept < start {
                    buffer.copy_within(start..end, kept);
                }
                kept += end - start;
            }
        }
        meta.len = kept;
    }

    /// Descriptions name these: they are heard whatever else was.
    pub(crate) fn name(&self, sources: impl Iterator<Item = u32>) {
        self.sources.lock().named = sources.collect();
    }

    /// A datagram was genuine, and a packet.
    pub(crate) fn opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// Datagrams that were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Datagrams that came in and held no packet, but for the one that is being looked at.
    pub(crate) fn discarded(&self) -> u64 {
        let opened = self.opened.load(Ordering::Relaxed);
        let admitted = self.admitted.load(Ordering::Relaxed);
        admitted.saturating_sub(opened)
    }
}

/// Whose RTP or RTCP it is, wrapped by a relay or not; `None` of what is neither
/// ([RFC 7983](https://www.rfc-editor.org/rfc/rfc7983#section-7),
/// [RFC 5761](https://www.rfc-editor.org/rfc/rfc5761#section-4)).
fn source(datagram: &[u8]) -> Option<u32> {
    let datagram = relay::open(datagram).map_or(datagram, |relayed| relayed.payload);
    let [128..=191, kind, ..] = *datagram else {
        return None;
    };
    let at = if matches!(kind, 192..=223) { 4 } else { 8 };
    let source = datagram.get(at..at + 4)?;
    Some(u32::from_be_bytes(source.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(source: u32) -> Vec<u8> {
        [&[0x80, 96, 0, 0, 0, 0, 0, 0], &source.to_be_bytes()[..]].concat()
    }

    #[test]
    fn sources_without_end_take_no_memory_without_end() {
        let gate = SourceGate::default();
        gate.name([7, 1_000_000].into_iter());
        let heard = (0..100_000).filter(|source| gate.admits(&rtp(*source)));
        // 7 is named.
        assert_eq!(heard.count(), SourceGate::CAPACITY + 1);
        assert_eq!(gate.refused(), 100_000 - 1 - SourceGate::CAPACITY as u64);
        assert!(gate.admits(&rtp(1_000_000)) && gate.admits(&rtp(5)) && !gate.admits(&rtp(90_000)));
        let report = [&[0x80, 201, 0, 1], &90_000_u32.to_be_bytes()[..]].concat();
        assert!(!gate.admits(&report), "a report of a stranger");
        let relayed = [&[0x40, 1, 0, 12][..], &rtp(90_000)].concat();
        assert!(!gate.admits(&relayed), "a stranger behind a relay");
        // What is no packet of a source is not its affair.
        for other in [
            &[][..],
            &[0x80],
            &[0, 1, 0, 0],
            &[22; 40],
            &[0x80, 96, 0, 0],
        ] {
            assert!(gate.admits(other));
        }
    }

    #[test]
    fn of_datagrams_that_came_together_some_may_stay_out() {
        let gate = SourceGate::default();
        (0..2_048).for_each(|source| assert!(gate.admits(&rtp(source))));
        let last = [0x80, 96, 1];
        let mut buffer = [rtp(1), rtp(9_999), rtp(2), last.to_vec()].concat();
        let mut meta = RecvMeta::default();
        (meta.len, meta.stride) = (buffer.len(), 12);
        gate.sift(&mut buffer, &mut meta);
        let kept = [rtp(1), rtp(2), last.to_vec()].concat();
        assert_eq!(buffer[..meta.len], kept);
        let mut buffer = rtp(9_999);
        (meta.len, meta.stride) = (12, 12);
        gate.sift(&mut buffer, &mut meta);
        assert_eq!(meta.len, 0);
    }

    #[test]
    fn what_came_in_and_was_no_packet_is_counted() {
        let gate = SourceGate::default();
        (0..5).for_each(|_| assert!(gate.admits(&rtp(1))));
        (0..3).for_each(|_| gate.opened());
        assert_eq!(gate.discarded(), 2);
    }
}
