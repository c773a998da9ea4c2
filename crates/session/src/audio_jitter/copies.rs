//! Packets that come twice: whole within later ones, or coarsely in their successors.

use super::{AudioJitterBuffer, FEC_MEMORY};
use crate::{ClockRate, RtpPacket};
use duet_media::MediaTime;

/// Copies are waited for where more than this share of packets is lost.
const WORTH_WAITING: f64 = 0.01;

/// No copy further back is waited for: two packets of 60 ms, in samples.
const FARTHEST: i64 = 5_760;

impl AudioJitterBuffer {
    /// Takes a copy of an earlier packet that came at `now` within one that was just
    /// [pushed](Self::push), `back` samples before that one. It stands in for a packet that has not
    /// come, and is dropped if that did, or its time is over. It says nothing about the network's
    /// delay, for it was sent late.
    pub fn push_copy(&mut self, packet: RtpPacket, back: u16, now: MediaTime) {
        self.stats.fec_packets_received += 1;
        let back = i64::from(back).min(FARTHEST);
        if back >= self.copies.0 || self.copies.1 == 0 {
            self.copies = (back, FEC_MEMORY);
        }
        let timestamp = self.timestamps.peek(packet.timestamp);
        let sequence = self.sequence.peek(packet.sequence_number);
        // Before anything was played nothing is missing but what is between what is there.
        let first = self.packets.first_key_value().map(|(first, _)| *first);
        let early = self.floor().or(first).is_none_or(|floor| timestamp < floor);
        if early
            || packet.payload.is_empty()
            || self.ssrc != Some(packet.ssrc)
            || self.packets.len() >= Self::CAPACITY
            || self.packets.contains_key(&timestamp)
            || self.was_played(sequence)
        {
            self.stats.fec_packets_discarded += 1;
            return;
        }
        self.hold(timestamp, sequence, packet.payload, now, true);
    }

    /// Whether a packet of this number was played, by itself or a copy.
    pub(super) fn was_played(&self, sequence: i64) -> bool {
        self.played & self.bit(sequence) != 0
    }

    /// Among the 64 packets up to the last one; 0 beyond.
    fn bit(&self, sequence: i64) -> u64 {
        let back = self.last_sequence.map(|last| last - sequence);
        let back = back.filter(|back| (0..64).contains(back));
        back.map_or(0, |back| 1 << back)
    }

    /// Whether a copy of this packet was played before it came; once.
    pub(super) fn came_after_its_copy(&mut self, sequence: i64) -> bool {
        let bit = self.bit(sequence);
        let came = self.by_copy & bit != 0;
        self.by_copy &= !bit;
        came
    }

    /// How much longer than for the network's sake sound waits, in nanoseconds: the copy of a lost
    /// packet comes with a later one.
    pub(super) fn patience(&self) -> i64 {
        if self.loss <= WORTH_WAITING {
            return 0;
        }
        let coarse = match self.fec_lately {
            0 => 0,
            _ => self.packet_frames as i64,
        };
        let whole = match self.copies {
            (_, 0) => 0,
            (reach, _) => reach,
        };
        ClockRate::OPUS.nanos(coarse.max(whole))
    }
}
