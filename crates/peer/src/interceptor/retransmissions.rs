//! How much may be sent again.

use super::MediaPath;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Sits where retransmissions come by on their way out, and lets no more of them leave than the path
/// can bear: whoever asks for everything again and again gets a share of the target.
pub(super) struct RetransmissionCounter {
    path: Arc<MediaPath>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
    /// Bytes that may leave now.
    budget: f64,
    filled: Option<Instant>,
}

impl RetransmissionCounter {
    /// Of the target.
    const SHARE: f64 = 0.5;
    /// However low the target, in bits a second.
    const LEAST_RATE: f64 = 200_000.0;
    /// So much of a budget can be saved up.
    const BURST: f64 = 0.25;

    pub(super) fn new(path: Arc<MediaPath>) -> Self {
        RetransmissionCounter {
            path,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            budget: 0.0,
            filled: None,
        }
    }

    fn may_leave(&mut self, bytes: usize, now: Instant) -> bool {
        let rate = self.path.estimate().target.max(Self::LEAST_RATE) * Self::SHARE / 8.0;
        let since = self
            .filled
            .replace(now)
            .map_or(1.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.budget = (self.budget + since * rate).min(rate * Self::BURST);
        let may = self.budget >= bytes as f64;
        if may {
            self.budget -= bytes as f64;
        }
        may
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RetransmissionCounter {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.reads.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &msg.message.packet
            && msg
                .message
                .attributes
                .iter()
                .any(|a| matches!(a, Attribute::Retransmission))
        {
            if self.path.out.lock().is_superseded(packet)
                || !self.may_leave(packet.payload.len(), msg.now)
            {
                return Ok(());
            }
            self.path.out.lock().count_retransmission(packet);
        }
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for RetransmissionCounter {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
