//! How much may be sent again, and how often.

use super::MediaPath;
use rtc::interceptor::{Attribute, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    NackPair, TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sits where retransmissions come by on their way out, and lets no more of them leave than the path
/// can bear: whoever asks for everything again and again gets a share of the target. Requests come by
/// on their way in; who asks again before an answer can have come is answered once.
pub(super) struct RetransmissionCounter {
    path: Arc<MediaPath>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
    /// Bytes that may leave now.
    budget: f64,
    filled: Option<Instant>,
    answered: Answered,
}

/// Which requests were heard lately. Capacity: [`CAPACITY`](Self::CAPACITY); the oldest is forgotten,
/// and answered again.
#[derive(Default)]
struct Answered(VecDeque<(Instant, u32, u16)>);

impl Answered {
    const CAPACITY: usize = 1_024;

    /// True if `number` of `ssrc` is to be sent again: it was not within `round_trip`.
    fn is_due(&mut self, ssrc: u32, number: u16, now: Instant, round_trip: Duration) -> bool {
        while let Some((at, ..)) = self.0.front()
            && now.saturating_duration_since(*at) >= round_trip
        {
            self.0.pop_front();
        }
        let under_way = self.0.iter().any(|(_, s, n)| (*s, *n) == (ssrc, number));
        if !under_way {
            if self.0.len() == Self::CAPACITY {
                self.0.pop_front();
            }
            self.0.push_back((now, ssrc, number));
        }
        !under_way
    }
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
            answered: Answered::default(),
        }
    }

    /// Leaves out of a request what is under way. Where much is lost, the rest is answered twice: to
    /// lose the answer too costs the viewer another round trip, and the second copy little.
    fn heed(&mut self, request: &TransportLayerNack, now: Instant) -> TransportLayerNack {
        let round_trip = self.path.round_trip().unwrap_or_default();
        // What took part of the way only cannot be known to be lost, whatever the clocks say.
        let round_trip = round_trip.mul_f64(0.75);
        let numbers = request.nacks.iter().flat_map(NackPair::packet_list);
        let due: Vec<u16> = numbers
            .filter(|number| {
                self.answered
                    .is_due(request.media_ssrc, *number, now, round_trip)
            })
            .collect();
        let mut nacks = nack_pairs_from_sequence_numbers(&due);
        if self.path.estimate().loss > Self::LOSSY {
            nacks.extend_from_within(..);
        }
        TransportLayerNack { nacks, ..*request }
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
        if let Packet::Rtp(packet) = &mut msg.message.packet
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
            let mut out = self.path.out.lock();
            out.mark_retransmission(packet);
            out.count_retransmission(packet);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_before_the_answer_can_have_come_is_answered_once() {
        let mut answered = Answered::default();
        let start = Instant::now();
        let mut asked = |number, millis| {
            let now = start + Duration::from_millis(millis);
            answered.is_due(1, number, now, Duration::from_millis(75))
        };
        assert!(asked(7, 0));
        assert!(!asked(7, 25) && !asked(7, 50));
        assert!(asked(8, 50), "another packet");
        assert!(asked(7, 100), "the answer was lost");
        assert!(!asked(8, 120) && !asked(7, 150));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut answered = Answered::default();
        let now = Instant::now();
        for number in 0..5_000 {
            assert!(answered.is_due(1, number, now, Duration::from_secs(1)));
        }
        assert_eq!(answered.0.len(), Answered::CAPACITY);
    }
}
