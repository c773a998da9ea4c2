//! How much may be sent again, and how often.

mod sent;
#[cfg(test)]
mod tests;

use super::MediaPath;
use crate::Diagnostics;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use sent::{Request, Sent};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nobody can know sooner that an answer was lost.
const LEAST_ROUND_TRIP: Duration = Duration::from_millis(5);
/// What is older comes too late to be shown: whatever the other side says of the round trip, who asks again
/// after this is answered again.
const LONGEST_ROUND_TRIP: Duration = Duration::from_millis(500);

/// Sits where packets come by on their way out, and requests on their way in, and lets no request through
/// to the memory for retransmissions that asks for what was never sent, for what is on its way, or for more
/// than the path can bear: whoever asks for everything again and again gets a share of the target. What a
/// request costs is so bounded by its own length, and a packet is made again only to leave.
pub(super) struct RetransmissionCounter {
    path: Arc<MediaPath>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
    /// Bytes that may leave now.
    budget: f64,
    filled: Option<Instant>,
    /// Of the streams that can be asked for again.
    sent: HashMap<u32, Sent>,
}

impl RetransmissionCounter {
    /// Of the target.
    const SHARE: f64 = 0.5;
    /// However low the target, in bits a second.
    const LEAST_RATE: f64 = 200_000.0;
    /// So much of a budget can be saved up.
    const BURST: f64 = 0.25;
    /// Of packets, lost.
    const LOSSY: f64 = 0.02;

    pub(super) fn new(path: Arc<MediaPath>) -> Self {
        RetransmissionCounter {
            path,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            budget: 0.0,
            filled: None,
            sent: HashMap::new(),
        }
    }

    /// Leaves of a request what is to be answered. Where much is lost, it is answered twice: to lose the
    /// answer too costs the viewer another round trip, and the second copy little.
    fn heed(&mut self, request: &TransportLayerNack, now: Instant) -> TransportLayerNack {
        let round_trip = self.path.round_trip().unwrap_or_default();
        // What took part of the way only cannot be known to be lost, whatever the clocks say.
        let round_trip = round_trip.mul_f64(0.75);
        let round_trip = round_trip.clamp(LEAST_ROUND_TRIP, LONGEST_ROUND_TRIP);
        self.refill(now);
        let copies = if self.path.estimate().loss > Self::LOSSY {
            2
        } else {
            1
        };
        let ssrc = request.media_ssrc;
        let mut odd = Diagnostics::default();
        let mut due = Vec::new();
        for number in request.nacks.iter().copied().flatten() {
            let Some(sent) = self.sent.get_mut(&ssrc) else {
                odd.requests_refused += 1;
                continue;
            };
            let bytes = match sent.request(number, now, round_trip) {
                Request::Due(bytes) => (bytes * copies) as f64,
                Request::UnderWay => {
                    odd.requests_repeated += 1;
                    continue;
                }
                Request::Unknown => {
                    odd.requests_refused += 1;
                    continue;
                }
            };
            if self.budget < bytes || self.path.out.lock().is_superseded(ssrc, number) {
                odd.requests_over_budget += 1;
                continue;
            }
            self.budget -= bytes;
            sent.answered(number, now);
            due.push(number);
        }
        if odd != Diagnostics::default() {
            *self.path.odd.lock() += odd;
        }
        let nacks = nack_pairs_from_sequence_numbers(&due);
        TransportLayerNack {
            nacks: nacks.repeat(copies),
            ..*request
        }
    }

    fn refill(&mut self, now: Instant) {
        let rate = self.path.estimate().target.max(Self::LEAST_RATE) * Self::SHARE / 8.0;
        let since = self
            .filled
            .replace(now)
            .map_or(1.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.budget = (self.budget + since * rate).min(rate * Self::BURST);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for RetransmissionCounter {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut msg.message.packet {
            for packet in packets {
                if let Some(request) = packet.as_any().downcast_ref::<TransportLayerNack>() {
                    *packet = Box::new(self.heed(request, msg.now));
                }
            }
        }
        self.reads.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut msg.message.packet {
            let mut attributes = msg.message.attributes.iter();
            if attributes.any(|a| matches!(a, Attribute::Retransmission)) {
                let mut out = self.path.out.lock();
                out.mark_retransmission(packet);
                out.count_retransmission(packet, msg.now);
            } else if let Some(sent) = self.sent.get_mut(&packet.header.ssrc) {
                sent.left(packet.header.sequence_number, packet.payload.len());
            }
        }
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for RetransmissionCounter {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let mut feedback = info.rtcp_feedback.iter();
        if feedback.any(|one| one.typ == "nack" && one.parameter.is_empty()) {
            self.sent.entry(info.ssrc).or_default();
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.sent.remove(&info.ssrc);
    }

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
