//! A sender, a seeded link with retransmission, and the buffer under test, in virtual time.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::*;
use super::MS;
use crate::rng::Rng;
use crate::sim::{Link, LinkConfig};
use crate::{KeyFrameGate, RtpClock, Vp8Packetizer};

const FRAME: i64 = 33_333_333;

/// Thirty frames a second, some 1 Mbit/s, from a sender that heeds NACK and PLI.
pub(super) struct Call {
    pub(super) link: Link<RtpPacket>,
    /// NACKed numbers and PLIs (`None`) on their way back.
    back: Link<Option<u16>>,
    pub(super) nack: bool,
    pub(super) picture_ids: bool,
    rng: Rng,
    pub(super) packetizer: Vp8Packetizer,
    pub(super) clock: RtpClock,
    pub(super) gate: KeyFrameGate,
    pub(super) ssrc: u32,
    pub(super) sequence_number: u16,
    pub(super) sent: Vec<Bytes>,
    history: BTreeMap<u16, RtpPacket>,
    nacked: BTreeMap<i64, MediaTime>,
    numbers: SequenceUnwrapper,
    pub(super) buffer: VideoJitterBuffer,
    pub(super) got: Vec<Got>,
    pub(super) requests: Vec<MediaTime>,
}

pub(super) struct Got {
    pub(super) at: MediaTime,
    pub(super) index: usize,
    pub(super) frame: AssembledFrame,
}

impl Call {
    pub(super) fn over(link: LinkConfig, seed: u64) -> Self {
        let back = LinkConfig {
            delay: link.delay,
            ..LinkConfig::default()
        };
        let mut gate = KeyFrameGate::new();
        gate.request(MediaTime::ZERO);
        let mut buffer = VideoJitterBuffer::default();
        buffer.set_rtt(link.delay * 2);
        Call {
            link: Link::new(link, seed),
            back: Link::new(back, seed ^ 1),
            nack: true,
            picture_ids: true,
            rng: Rng::new(seed ^ 2),
            packetizer: Vp8Packetizer::new(1_200, 32_700),
            clock: RtpClock::new(ClockRate::VIDEO, u32::MAX - 100_000),
            gate,
            ssrc: 1,
            sequence_number: 65_400,
            sent: Vec::new(),
            history: BTreeMap::new(),
            nacked: BTreeMap::new(),
            numbers: SequenceUnwrapper::new(),
            buffer,
            got: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Runs until `end`, a millisecond at a time.
    pub(super) fn run(&mut self, from: MediaTime, end: MediaTime) {
        let mut now = from;
        let mut frames = from.as_nanos() / FRAME;
        while now < end {
            if now.as_nanos() / FRAME >= frames {
                frames += 1;
                self.send_frame(now);
            }
            while let Some((at, packet)) = self.link.poll(now) {
                self.note_gaps(packet.sequence_number, at);
                self.buffer.push(packet, at);
                self.take(at);
            }
            if self.buffer.next_timeout().is_some_and(|at| at <= now) {
                self.take(now);
            }
            self.send_nacks(now);
            while let Some((_, feedback)) = self.back.poll(now) {
                match feedback {
                    None => self.gate.request(now),
                    Some(number) => {
                        if let Some(packet) = self.history.get(&number) {
                            self.link.send(packet.clone(), packet.payload.len(), now);
                        }
                    }
                }
            }
            now += MS;
        }
    }

    fn send_frame(&mut self, now: MediaTime) {
        let key = self.gate.take_due(now);
        let size = if key {
            15_000
        } else {
            1_000 + (self.rng.unit() * 6_000.0) as usize
        };
        let index = u32::try_from(self.sent.len()).unwrap();
        let mut frame = vec![index as u8; size];
        frame[0] = u8::from(!key);
        frame[1..5].copy_from_slice(&index.to_be_bytes());
        let timestamp = self.clock.stamp(now);
        let mut payloads = self.packetizer.packetize(&frame, None);
        if !self.picture_ids {
            let strip = |payload: &Bytes| {
                let (descriptor, part) = Vp8Descriptor::parse(payload.clone()).unwrap();
                let plain = Vp8Descriptor {
                    picture_id: None,
                    ..descriptor
                };
                let mut out = bytes::BytesMut::new();
                plain.write(&mut out);
                out.extend_from_slice(&part);
                out.freeze()
            };
            payloads = payloads.iter().map(strip).collect();
        }
        let count = payloads.len();
        for (n, payload) in payloads.into_iter().enumerate() {
            self.send_packet(timestamp, n + 1 == count, payload, now);
        }
        self.sent.push(Bytes::from(frame));
    }

    pub(super) fn send_packet(
        &mut self,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
        now: MediaTime,
    ) {
        let packet = RtpPacket {
            sequence_number: self.sequence_number,
            timestamp,
            marker,
            ssrc: self.ssrc,
            payload_type: 96,
            payload,
        };
        self.sequence_number = self.sequence_number.wrapping_add(1);
        self.history.insert(packet.sequence_number, packet.clone());
        self.link
            .send(packet.clone(), packet.payload.len() + 40, now);
    }

    fn note_gaps(&mut self, number: u16, now: MediaTime) {
        let highest = self.numbers.highest();
        let number = self.numbers.unwrap(number);
        self.nacked.remove(&number);
        if let Some(highest) = highest.filter(|highest| number - highest < 300) {
            for missing in highest + 1..number {
                self.nacked.insert(missing, now);
            }
        }
    }

    fn send_nacks(&mut self, now: MediaTime) {
        self.nacked
            .retain(|number, _| self.numbers.highest().is_some_and(|h| h - number < 300));
        if !self.nack {
            return;
        }
        for (number, due) in &mut self.nacked {
            if *due <= now {
                *due = now + MS * 20 + self.buffer.rtt;
                self.back.send(Some(*number as u16), 60, now);
            }
        }
    }

    pub(super) fn take(&mut self, now: MediaTime) {
        while let Some(event) = self.buffer.poll(now) {
            match event {
                VideoEvent::KeyFrameNeeded => {
                    self.requests.push(now);
                    self.back.send(None, 60, now);
                }
                VideoEvent::Frame(frame) => {
                    let index = u32::from_be_bytes(frame.data[1..5].try_into().unwrap()) as usize;
                    self.got.push(Got {
                        at: now,
                        index,
                        frame,
                    });
                }
            }
        }
        assert!(
            self.buffer.next_timeout().is_none_or(|at| at > now),
            "would spin"
        );
    }

    /// What holds whatever the network did.
    pub(super) fn check(&self) {
        let mut previous: Option<&Got> = None;
        for got in &self.got {
            assert_eq!(got.frame.data, self.sent[got.index], "frame {}", got.index);
            assert_eq!(got.frame.key_frame, got.frame.data[0] & 1 == 0);
            assert!(got.frame.first_arrival <= got.frame.complete_at);
            assert!(got.frame.decodable_at <= got.at);
            let follows = previous.is_some_and(|before| before.index + 1 == got.index);
            assert!(
                got.frame.key_frame || follows,
                "frame {} cannot be decoded",
                got.index
            );
            if let Some(before) = previous {
                assert!(before.index < got.index);
                assert!(before.frame.rtp_timestamp < got.frame.rtp_timestamp);
            }
            previous = Some(got);
        }
        let close = |pair: &&[MediaTime]| {
            pair[1].saturating_since(pair[0]) < VideoJitterBuffer::MIN_REQUEST_INTERVAL
        };
        assert_eq!(self.requests.windows(2).find(close), None);
        let counters = self.buffer.counters();
        assert_eq!(counters.frames, self.got.len() as u64);
        assert_eq!(counters.key_frame_requests, self.requests.len() as u64);
    }

    pub(super) fn longest_gap(&self) -> Duration {
        let gaps = self
            .got
            .windows(2)
            .map(|pair| pair[1].at.saturating_since(pair[0].at));
        gaps.max().unwrap_or(Duration::MAX)
    }
}
