//! What is said of the transport's own numbers, believed as far as it can be so
//! ([transport-wide congestion control](https://datatracker.ietf.org/doc/html/draft-holmer-rmcat-transport-wide-cc-extensions-01)).
//!
//! Nearest to the wire, for those behind it do for each packet that is spoken of what they would do for one
//! that was sent: a report of 40 bytes can speak of 73,000, and two packets of 32,768 between them. Here each
//! costs a few steps, and what goes on is bounded by how many packets really left, or came.

use super::MediaPath;
use crate::substrate::TWCC_URI;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::transport_feedbacks::cc_feedback_report::CcFeedbackReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{PacketStatusChunk, TransportLayerCc};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// A link of the chain.
pub(super) struct Guard {
    path: Arc<MediaPath>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
    ids: Vec<u8>,
    departures: Departures,
    arrivals: Arrivals,
}

impl Guard {
    pub(super) fn new(path: Arc<MediaPath>) -> Self {
        Guard {
            path,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            ids: Vec::new(),
            departures: Departures::default(),
            arrivals: Arrivals::default(),
        }
    }

    /// By which extension a stream's packets carry their number. There are 14 ids.
    fn note_id(&mut self, info: &StreamInfo) {
        let mut extensions = info.rtp_header_extensions.iter();
        let extension = extensions.find(|extension| extension.uri == TWCC_URI);
        if let Some(id) = extension.and_then(|extension| u8::try_from(extension.id).ok())
            && !self.ids.contains(&id)
        {
            self.ids.push(id);
        }
    }

    fn number(&self, header: &rtp::Header) -> Option<u16> {
        let mut numbers = self.ids.iter().filter_map(|id| header.get_extension(*id));
        let number = numbers.next()?;
        Some(u16::from_be_bytes([*number.first()?, *number.get(1)?]))
    }

    /// Takes a number that is out of all proportion off its packet, which is as good without.
    fn read_rtp(&mut self, packet: &mut rtp::Packet) {
        if let Some(number) = self.number(&packet.header)
            && !self.arrivals.may_record(number)
        {
            let ids = &self.ids;
            let extensions = &mut packet.header.extensions;
            extensions.retain(|extension| !ids.contains(&extension.id));
            self.path.odd.lock().transport_numbers_refused += 1;
        }
    }

    /// Takes out the reports that cannot be so.
    fn read_rtcp(&mut self, packets: &mut Vec<Box<dyn rtcp::Packet>>) {
        let before = packets.len();
        packets.retain_mut(|packet| {
            // Was not agreed on.
            if packet.as_any().is::<CcFeedbackReport>() {
                return false;
            }
            let Some(report) = packet.as_any().downcast_ref::<TransportLayerCc>() else {
                return true;
            };
            let (base, count) = (report.base_sequence_number, report.packet_status_count);
            if !self.departures.admits(base, count) {
                return false;
            }
            if let Some(cut) = without_excess(report) {
                *packet = Box::new(cut);
            }
            true
        });
        let refused = before - packets.len();
        if refused > 0 {
            self.path.odd.lock().transport_reports_refused += refused as u64;
        }
    }
}

/// A report whose chunks speak of more packets than it says, without those.
fn without_excess(report: &TransportLayerCc) -> Option<TransportLayerCc> {
    let of = |chunk: &PacketStatusChunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    };
    let mut left = usize::from(report.packet_status_count);
    if report.packet_chunks.iter().map(of).sum::<usize>() <= left {
        return None;
    }
    let mut cut = report.clone();
    for chunk in &mut cut.packet_chunks {
        match chunk {
            PacketStatusChunk::RunLengthChunk(run) => {
                run.run_length = run.run_length.min(u16::try_from(left).unwrap_or(u16::MAX));
            }
            PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.truncate(left),
        }
        left -= of(chunk).min(left);
    }
    Some(cut)
}

/// The numbers that were given to packets, and how many of them may be spoken of.
#[derive(Debug, Default)]
struct Departures {
    next: u16,
    /// How many before `next` were given.
    known: u16,
    /// So many may yet be spoken of.
    allowed: u32,
}

impl Departures {
    /// Half of the numbers' circle: what is farther back cannot be told from what is to come.
    const MOST_KNOWN: u16 = 1 << 15;
    /// Reports overlap where packets change places: each is spoken of now and then again.
    const TIMES: u32 = 8;
    /// So much can be saved up: all that is known, twice.
    const MOST_ALLOWED: u32 = 1 << 16;

    fn left(&mut self, number: u16) {
        self.next = number.wrapping_add(1);
        self.known = (self.known + 1).min(Self::MOST_KNOWN);
        self.allowed = (self.allowed + Self::TIMES).min(Self::MOST_ALLOWED);
    }

    /// Whether there can be a report on `count` packets from `base` on.
    fn admits(&mut self, base: u16, count: u16) -> bool {
        let back = self.next.wrapping_sub(base);
        let were_sent = (1..=self.known).contains(&back) && count <= back;
        if !were_sent || u32::from(count) > self.allowed {
            return false;
        }
        self.allowed -= u32::from(count);
        true
    }
}

/// How far the numbers that came were apart.
#[derive(Debug)]
struct Arrivals {
    last: Option<u16>,
    /// So far they may yet be.
    allowed: u32,
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals {
            last: None,
            allowed: Self::MOST_ALLOWED,
        }
    }
}

impl Arrivals {
    /// On the worst of paths fewer are lost between two.
    const EACH: u32 = 64;
    /// Outages: two that are as long as can be told.
    const MOST_ALLOWED: u32 = 1 << 16;

    /// Whether the recorder of arrivals is to hear of `number`: it remembers what lies between.
    fn may_record(&mut self, number: u16) -> bool {
        let apart = self.last.map_or(0, |last| {
            number.wrapping_sub(last).cast_signed().unsigned_abs()
        });
        self.allowed = (self.allowed + Self::EACH).min(Self::MOST_ALLOWED);
        let Some(allowed) = self.allowed.checked_sub(u32::from(apart)) else {
            return false;
        };
        self.allowed = allowed;
        self.last = Some(number);
        true
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Guard {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut msg: TaggedPacket) -> Result<(), Error> {
        self.path.gate.opened();
        match &mut msg.message.packet {
            Packet::Rtp(packet) => self.read_rtp(packet),
            Packet::Rtcp(packets) => self.read_rtcp(packets),
            _ => {}
        }
        self.reads.push_back(msg);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &msg.message.packet
            && let Some(number) = self.number(&packet.header)
        {
            self.departures.left(number);
        }
        self.writes.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Guard {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.note_id(info);
    }

    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.note_id(info);
    }

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests;
