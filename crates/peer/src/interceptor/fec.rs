//! Forward error correction between packets and the session's code: what of a packet is protected, repair
//! packets of pictures that left, and packets out of repair packets that came.

use bytes::{Bytes, BytesMut};
use duet_session::ProtectedPacket;
use duet_session::fec_policy::FecPolicy;
use duet_session::flexfec::{Code, FlexFecCounters, FlexFecDecoder, protect};
use rtc::rtp;
use rtc::shared::marshal::{Marshal, MarshalSize, Unmarshal};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is protected of one picture: a key frame of 1080p at a high rate. What is more goes without.
const MAX_PACKETS: usize = 512;
/// Packets of one picture that masks can reach together, with room to spare.
const TOGETHER: usize = 100;
/// A stream is known to be protected for so long after a repair packet.
const FLOWS: Duration = Duration::from_secs(1);

/// A packet as both ends see it: the transport's number, which is put in later and taken out by nobody,
/// counts as zero. `None` for what cannot be had again as it was.
fn protected(packet: &rtp::Packet, number: Option<u8>) -> Option<ProtectedPacket> {
    if packet.header.padding {
        return None;
    }
    let mut header = packet.header.clone();
    if let Some(id) = number {
        header.set_extension(id, Bytes::from_static(&[0; 2])).ok()?;
    }
    let mut head = BytesMut::zeroed(header.marshal_size());
    header.marshal_to(&mut head).ok()?;
    ProtectedPacket::new(head.freeze(), packet.payload.clone())
}

/// The stream of repair packets of one that is sent, as it was agreed on.
#[derive(Clone, Copy)]
pub(super) struct RepairStream {
    pub(super) ssrc: u32,
    pub(super) payload_type: u8,
}

/// What was sent of repair packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Repaired {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Makes a stream's repair packets.
#[derive(Default)]
pub(super) struct Protection {
    /// Of the picture that is leaving.
    packets: Vec<ProtectedPacket>,
    key_frame: bool,
    next_sequence_number: u16,
    /// Those that were used, by packets and repair packets: few, for pictures are alike.
    codes: HashMap<(usize, usize), Code>,
    /// Bytes of a picture, and of its repair packets, on an average.
    average: Option<(f64, f64)>,
}

impl Protection {
    /// A packet of a picture leaves; `begins_key_frame`: the first of a key frame. With the last of a picture
    /// come its repair packets. `number`: the extension that the transport's number goes into.
    pub(super) fn left(
        &mut self,
        packet: &rtp::Packet,
        begins_key_frame: bool,
        number: Option<u8>,
        policy: &FecPolicy,
        repair: RepairStream,
    ) -> Vec<rtp::Packet> {
        if !policy.is_on() {
            self.forget();
            self.average = None;
            return Vec::new();
        }
        self.key_frame |= begins_key_frame;
        if self.packets.len() < MAX_PACKETS {
            self.packets.extend(protected(packet, number));
        }
        if !packet.header.marker {
            return Vec::new();
        }
        let packets = std::mem::take(&mut self.packets);
        let key_frame = std::mem::take(&mut self.key_frame);
        let mut repairs = Vec::new();
        for within_reach in packets.chunks(TOGETHER) {
            // Each so many-th together: what is lost at once is of different ones.
            let groups = within_reach.len().div_ceil(Code::MOST_PACKETS);
            for group in 0..groups {
                let of_group = within_reach.iter().skip(group).step_by(groups).cloned();
                let of_group: Vec<_> = of_group.collect();
                let count = policy.repairs(of_group.len(), key_frame);
                let code = self.code_for(of_group.len(), count);
                repairs.extend(protect(&of_group, packet.header.ssrc, code));
            }
        }
        let repairs: Vec<rtp::Packet> = repairs
            .into_iter()
            .map(|payload| self.packet(packet.header.timestamp, repair, payload))
            .collect();
        let bytes =
            |packets: &[rtp::Packet]| packets.iter().map(|p| p.payload.len()).sum::<usize>();
        self.note(
            packets.iter().map(ProtectedPacket::payload_len).sum(),
            bytes(&repairs),
        );
        repairs
    }

    /// What has left of a picture stays without the rest.
    pub(super) fn forget(&mut self) {
        self.packets.clear();
        self.key_frame = false;
    }

    /// Bytes of a picture, and of its repair packets, of late; `None` where pictures are not protected.
    pub(super) fn average(&self) -> Option<(f64, f64)> {
        self.average
    }

    fn note(&mut self, picture: usize, repairs: usize) {
        let (picture, repairs) = (picture as f64, repairs as f64);
        let (all, more) = self.average.get_or_insert((picture, repairs));
        *all += (picture - *all) / 15.0;
        *more += (repairs - *more) / 15.0;
    }

    fn code_for(&mut self, packets: usize, repairs: usize) -> &Code {
        let made = || Code::new(packets, repairs);
        self.codes.entry((packets, repairs)).or_insert_with(made)
    }

    fn packet(&mut self, timestamp: u32, repair: RepairStream, payload: Bytes) -> rtp::Packet {
        let sequence_number = self.next_sequence_number;
        self.next_sequence_number = sequence_number.wrapping_add(1);
        let header = rtp::Header {
            version: 2,
            payload_type: repair.payload_type,
            sequence_number,
            timestamp,
            ssrc: repair.ssrc,
            ..Default::default()
        };
        rtp::Packet { header, payload }
    }
}

/// What came of a stream's repair packets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Repairs {
    /// `None` where no repair stream was agreed on.
    pub(crate) ssrc: Option<u32>,
    pub(crate) bytes: u64,
    pub(crate) counters: FlexFecCounters,
}

/// Makes what is lost of a stream that is received. Before its first repair packet it remembers nothing.
pub(super) struct Recovery {
    number: Option<u8>,
    decoder: FlexFecDecoder,
    last: Instant,
}

impl Recovery {
    /// Of the stream `ssrc`. `number`: the extension that the transport's number is in.
    pub(super) fn new(ssrc: u32, number: Option<u8>, now: Instant) -> Self {
        Recovery {
            number,
            decoder: FlexFecDecoder::new(ssrc),
            last: now,
        }
    }

    /// A packet of the stream came; `again`: because it was asked for. Returns what can be made now.
    pub(super) fn on_packet(&mut self, packet: &rtp::Packet, again: bool) -> Vec<rtp::Packet> {
        let mut extensions = packet.header.extensions.iter();
        if again && extensions.any(|extension| Some(extension.id) != self.number) {
            // It says more than the transport's number, and may not be what the first said.
            return Vec::new();
        }
        let number = self
            .number
            .filter(|id| packet.header.get_extension(*id).is_some());
        let packet = protected(packet, number);
        read(
            packet
                .map(|packet| self.decoder.on_packet(packet))
                .unwrap_or_default(),
        )
    }

    /// A repair packet came. Returns what can be made now.
    pub(super) fn on_repair(&mut self, payload: &Bytes, now: Instant) -> Vec<rtp::Packet> {
        self.last = now;
        // What is none is counted.
        read(self.decoder.on_repair(payload).unwrap_or_default())
    }

    /// Whether the other side protects the stream now.
    pub(super) fn flows(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < FLOWS
    }

    pub(super) fn counters(&self) -> FlexFecCounters {
        self.decoder.counters()
    }
}

fn read(made: Vec<Bytes>) -> Vec<rtp::Packet> {
    let read = |mut wire| rtp::Packet::unmarshal(&mut wire).ok();
    made.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
