//! A sender, a seeded link with retransmission, and the buffer under test, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::rng::Rng;
use crate::sim::{Link, LinkConfig, Loss};
use crate::{KeyFrameGate, RtpClock, Vp8Packetizer};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);
const FRAME: i64 = 33_333_333;

/// Thirty frames a second, some 1 Mbit/s, from a sender that heeds NACK and PLI.
struct Call {
    link: Link<RtpPacket>,
    /// NACKed numbers and PLIs (`None`) on their way back.
    back: Link<Option<u16>>,
    nack: bool,
    picture_ids: bool,
    rng: Rng,
    packetizer: Vp8Packetizer,
    clock: RtpClock,
    gate: KeyFrameGate,
    ssrc: u32,
    sequence_number: u16,
    sent: Vec<Bytes>,
    history: BTreeMap<u16, RtpPacket>,
    nacked: BTreeMap<i64, MediaTime>,
    numbers: SequenceUnwrapper,
    buffer: VideoJitterBuffer,
    got: Vec<Got>,
    requests: Vec<MediaTime>,
}

struct Got {
    at: MediaTime,
    index: usize,
    frame: AssembledFrame,
}

impl Call {
    fn over(link: LinkConfig, seed: u64) -> Self {
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
    fn run(&mut self, from: MediaTime, end: MediaTime) {
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
        let mut payloads = self.packetizer.packetize(&frame);
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

    fn send_packet(&mut self, timestamp: u32, marker: bool, payload: Bytes, now: MediaTime) {
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

    fn take(&mut self, now: MediaTime) {
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
    fn check(&self) {
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

    fn longest_gap(&self) -> Duration {
        let gaps = self
            .got
            .windows(2)
            .map(|pair| pair[1].at.saturating_since(pair[0].at));
        gaps.max().unwrap_or(Duration::MAX)
    }
}

fn seconds(n: i64) -> MediaTime {
    MediaTime::from_millis(n * 1_000)
}

/// Runs `scenario` with twenty seeds, and names the one that fails.
fn with_seeds(scenario: impl Fn(u64)) {
    for seed in 0..20 {
        let run = std::panic::AssertUnwindSafe(|| scenario(seed));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_clean_link_adds_no_delay() {
    let mut call = Call::over(
        LinkConfig {
            delay: MS * 20,
            ..LinkConfig::default()
        },
        1,
    );
    call.run(MediaTime::ZERO, seconds(60));
    call.check();
    assert!(call.sent.len() - call.got.len() <= 1);
    assert!(
        call.got
            .iter()
            .all(|got| got.at == got.frame.complete_at && got.frame.decodable_at == got.at)
    );
    assert_eq!(call.requests, []);
    let counters = call.buffer.counters();
    let bad = [
        counters.late,
        counters.duplicates,
        counters.dropped,
        counters.lost,
        counters.malformed,
    ];
    assert_eq!(bad, [0; 5]);
    assert_eq!(counters.key_frames, 1);
}

#[test]
fn a_frame_of_one_packet_is_not_copied() {
    let payload = Bytes::from_static(&[0x10, 0x00, 1, 2, 3, 4, 5]);
    let mut buffer = VideoJitterBuffer::default();
    let packet = RtpPacket {
        sequence_number: 1,
        timestamp: 0,
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: payload.clone(),
    };
    buffer.push(packet, MediaTime::ZERO);
    let Some(VideoEvent::Frame(frame)) = buffer.poll(MediaTime::ZERO) else {
        panic!("no frame");
    };
    assert_eq!(frame.data.as_ptr(), payload[1..].as_ptr());
    assert_eq!(buffer.buffered_bytes(), 0);
}

#[test]
fn reordering_and_copies_lose_nothing() {
    with_seeds(|seed| {
        let link = LinkConfig {
            delay: MS * 20,
            jitter: MS * 10,
            reorder: 0.05,
            reorder_by: MS * 40,
            duplicate: 0.05,
            ..LinkConfig::default()
        };
        let mut call = Call::over(link, seed);
        call.nack = false;
        call.run(MediaTime::ZERO, seconds(20));
        call.check();
        // A key frame's first packet may be overtaken, and one is asked for in vain.
        assert!(call.requests.len() <= 1, "{:?}", call.requests);
        assert!(
            call.sent.len() - call.got.len() <= 5,
            "{} of {}",
            call.got.len(),
            call.sent.len()
        );
    });
}

#[test]
fn what_is_lost_comes_again_in_time() {
    with_seeds(|seed| {
        let link = LinkConfig {
            delay: MS * 20,
            loss: Loss::Random(0.05),
            ..LinkConfig::default()
        };
        let mut call = Call::over(link, seed);
        call.run(MediaTime::ZERO, seconds(30));
        call.check();
        // Twice in a row is lost one in 400; a gap is waited for through two retransmissions.
        let missed = call.sent.len() - call.got.len();
        assert!(missed <= 20, "{missed} of {} missed", call.sent.len());
        assert!(call.requests.len() <= 5, "{:?}", call.requests);
    });
}

#[test]
fn without_retransmission_key_frames_mend_it() {
    with_seeds(|seed| {
        let link = LinkConfig {
            delay: MS * 25,
            loss: Loss::Burst {
                begin: 0.003,
                end: 0.3,
            },
            ..LinkConfig::default()
        };
        let mut call = Call::over(link, seed);
        call.nack = false;
        call.run(MediaTime::ZERO, seconds(60));
        call.check();
        assert!(!call.requests.is_empty());
        assert!(
            call.got.len() * 2 > call.sent.len(),
            "{} of {}",
            call.got.len(),
            call.sent.len()
        );
        assert!(
            call.longest_gap() < Duration::from_secs(4),
            "{:?}",
            call.longest_gap()
        );
        assert!(call.buffer.counters().lost > 0);
    });
}

#[test]
fn pictures_are_back_at_once_after_an_outage() {
    with_seeds(|seed| {
        let link = LinkConfig {
            delay: MS * 25,
            outages: vec![(seconds(5), seconds(15))],
            ..LinkConfig::default()
        };
        let mut call = Call::over(link, seed);
        call.run(MediaTime::ZERO, seconds(20));
        call.check();
        let back = call.got.iter().find(|got| got.at > seconds(15)).unwrap();
        let wait = back.at.saturating_since(seconds(15));
        // One frame, the way there and back, a key frame.
        assert!(wait < MS * 150, "{wait:?}");
        assert!(call.requests.len() <= 2, "{:?}", call.requests);
    });
}

#[test]
fn an_outage_while_a_key_frame_is_awaited_ends_as_soon() {
    let mut call = Call::over(
        LinkConfig {
            delay: MS * 25,
            ..LinkConfig::default()
        },
        8,
    );
    call.run(MediaTime::ZERO, seconds(5));
    call.buffer.demand_key_frame(seconds(5));
    let dead = (seconds(5), MediaTime::from_millis(17_400));
    call.link.set_config(LinkConfig {
        delay: MS * 25,
        outages: vec![dead],
        ..LinkConfig::default()
    });
    call.run(seconds(5), seconds(20));
    let back = call.got.iter().find(|got| got.at > dead.1).unwrap();
    let wait = back.at.saturating_since(dead.1);
    assert!(wait < MS * 150, "{wait:?} {:?}", call.requests);
}

/// A frame of one packet.
fn single(number: u16, key: bool) -> RtpPacket {
    RtpPacket {
        sequence_number: number,
        timestamp: u32::from(number) * 3_000,
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: Bytes::copy_from_slice(&[0x10, u8::from(!key), 0]),
    }
}

/// The frames (by timestamp, in frames) that come out at `now`, and whether a key frame is asked for.
fn drain(buffer: &mut VideoJitterBuffer, now: MediaTime) -> (Vec<i64>, bool) {
    let (mut frames, mut asked) = (Vec::new(), false);
    while let Some(event) = buffer.poll(now) {
        match event {
            VideoEvent::Frame(frame) => frames.push(frame.rtp_timestamp / 3_000),
            VideoEvent::KeyFrameNeeded => asked = true,
        }
    }
    (frames, asked)
}

#[test]
fn a_whole_key_frame_behind_a_gap_is_not_kept_waiting() {
    let mut buffer = VideoJitterBuffer::default();
    for (number, key) in [(0, true), (2, false), (4, true), (5, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![0, 4, 5], false));
    assert_eq!((buffer.counters().lost, buffer.counters().dropped), (2, 1));
}

#[test]
fn what_comes_after_all_spares_the_key_frame() {
    let mut buffer = VideoJitterBuffer::default();
    buffer.set_rtt(MS * 20);
    for (number, key) in [(0, true), (2, false), (3, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![0], false));
    let timeout = buffer.next_timeout().unwrap();
    assert_eq!(timeout, MediaTime::from_millis(100));
    assert_eq!(drain(&mut buffer, timeout), (vec![], true));
    let late = MediaTime::from_millis(900);
    buffer.push(single(4, false), late);
    buffer.push(single(1, false), late);
    assert_eq!(drain(&mut buffer, late), (vec![1, 2, 3, 4], false));
    assert_eq!(buffer.next_timeout(), None);
    assert_eq!(buffer.counters().lost, 0);
}

#[test]
fn what_the_decoder_gave_up_is_not_taken_up_again() {
    let mut buffer = VideoJitterBuffer::default();
    for (number, key) in [(0, true), (2, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    drain(&mut buffer, MediaTime::ZERO);
    let timeout = buffer.next_timeout().unwrap();
    assert_eq!(drain(&mut buffer, timeout), (vec![], true));
    buffer.demand_key_frame(timeout);
    for number in [1, 3, 4] {
        buffer.push(single(number, false), timeout);
    }
    assert_eq!(drain(&mut buffer, timeout).0, []);
    buffer.push(single(5, true), timeout);
    assert_eq!(drain(&mut buffer, timeout).0, [5]);
}

#[test]
fn a_gap_that_was_filled_is_forgotten() {
    let mut buffer = VideoJitterBuffer::default();
    buffer.push(single(0, true), MediaTime::ZERO);
    let (first, last) = (single(2, false), single(3, false));
    // The frame of packets 2 and 3: its end is still to come when the gap before it is filled.
    buffer.push(
        RtpPacket {
            marker: false,
            ..first
        },
        MediaTime::ZERO,
    );
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, [0]);
    assert!(buffer.next_timeout().is_some());
    buffer.push(single(1, false), MediaTime::from_millis(5));
    assert_eq!(drain(&mut buffer, MediaTime::from_millis(5)).0, [1]);
    assert_eq!(buffer.next_timeout(), None);
    let rest = RtpPacket {
        timestamp: 6_000,
        payload: Bytes::from_static(&[0, 9]),
        ..last
    };
    buffer.push(rest, MediaTime::from_millis(700));
    assert_eq!(
        drain(&mut buffer, MediaTime::from_millis(700)),
        (vec![2], false)
    );
}

#[test]
fn a_missing_marker_and_a_stray_part_are_told_apart() {
    let mut buffer = VideoJitterBuffer::default();
    buffer.push(
        RtpPacket {
            marker: false,
            ..single(0, true)
        },
        MediaTime::ZERO,
    );
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, []);
    // The next frame begins: the first was whole.
    buffer.push(
        RtpPacket {
            marker: false,
            ..single(1, false)
        },
        MediaTime::ZERO,
    );
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, [0]);
    // Part of a frame whose beginning never was: what stands before it has no end.
    let stray = RtpPacket {
        payload: Bytes::from_static(&[0, 9]),
        ..single(2, false)
    };
    buffer.push(stray, MediaTime::ZERO);
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![], true));
}

#[test]
fn a_sender_that_starts_anew_is_followed() {
    for (ssrc, jump) in [
        (2, 0u16),
        (1, 30_000),
        (1, 50_000),
        (2, 40_000),
        (1, 65_000),
    ] {
        let mut call = Call::over(
            LinkConfig {
                delay: MS * 20,
                ..LinkConfig::default()
            },
            9,
        );
        call.run(MediaTime::ZERO, seconds(5));
        call.ssrc = ssrc;
        call.sequence_number = call.sequence_number.wrapping_add(jump);
        call.clock = RtpClock::new(ClockRate::VIDEO, 0x4000_0000);
        call.packetizer = Vp8Packetizer::new(1_200, 1);
        call.gate.request(seconds(5));
        let before = call.got.len();
        call.run(seconds(5), seconds(10));
        let after = call.got.len() - before;
        assert!(after > 120, "ssrc {ssrc}, jump {jump}: {after} frames");
        let deltas_follow =
            |pair: &[Got]| pair[1].frame.key_frame || pair[0].index + 1 == pair[1].index;
        assert!(call.got.windows(2).all(deltas_follow));
    }
}

#[test]
fn lost_padding_is_no_lost_picture() {
    let mut call = Call::over(
        LinkConfig {
            delay: MS * 20,
            ..LinkConfig::default()
        },
        4,
    );
    call.nack = false;
    call.run(MediaTime::ZERO, seconds(1));
    // Three numbers are used up by padding that never comes, one by padding that does.
    call.sequence_number = call.sequence_number.wrapping_add(3);
    call.send_packet(0, false, Bytes::new(), seconds(1));
    call.run(seconds(1), seconds(2));
    call.check();
    assert_eq!(call.requests, []);
    assert!(call.sent.len() - call.got.len() <= 1);
    assert_eq!(
        (call.buffer.counters().lost, call.buffer.counters().padding),
        (3, 1)
    );
}

#[test]
fn a_sender_without_picture_ids_is_understood() {
    let link = LinkConfig {
        delay: MS * 20,
        loss: Loss::Random(0.02),
        ..LinkConfig::default()
    };
    let mut call = Call::over(link, 5);
    call.picture_ids = false;
    call.run(MediaTime::ZERO, seconds(20));
    call.check();
    assert!(call.sent.len() - call.got.len() <= 10);
}

#[test]
fn who_joins_late_asks_at_once() {
    let mut call = Call::over(
        LinkConfig {
            delay: MS * 20,
            ..LinkConfig::default()
        },
        6,
    );
    call.gate.take_due(MediaTime::ZERO);
    call.run(MediaTime::ZERO, seconds(2));
    call.check();
    assert_eq!(call.requests.len(), 1);
    let first = &call.got[0];
    assert!(first.at < MediaTime::from_millis(600), "{:?}", first.at);
}

#[test]
fn a_decoder_that_failed_gets_a_key_frame() {
    let mut call = Call::over(
        LinkConfig {
            delay: MS * 20,
            ..LinkConfig::default()
        },
        7,
    );
    call.run(MediaTime::ZERO, seconds(2));
    let before = call.got.len();
    call.buffer.demand_key_frame(seconds(2));
    call.take(seconds(2));
    call.run(seconds(2), seconds(3));
    call.check();
    assert!(call.got[before].frame.key_frame);
    assert!(
        call.got[before].at < MediaTime::from_millis(2_150),
        "{:?}",
        call.got[before].at
    );
}

#[test]
fn upper_temporal_layers_may_be_lost() {
    // Layer 0 and layer 1 in turn; the second frame of layer 1 never comes.
    let mut buffer = VideoJitterBuffer::default();
    buffer.set_rtt(MS * 20);
    let mut now = MediaTime::ZERO;
    let mut shown = Vec::new();
    for n in 0..8u16 {
        let descriptor = Vp8Descriptor {
            partition_start: true,
            picture_id: Some(PictureId::Long(n)),
            tl0_picture_index: Some((n / 2) as u8),
            temporal_layer: Some(((n % 2) as u8, false)),
            ..Vp8Descriptor::default()
        };
        let mut payload = bytes::BytesMut::new();
        descriptor.write(&mut payload);
        payload.extend_from_slice(&[u8::from(n > 0), 0, 0]);
        let packet = RtpPacket {
            sequence_number: n,
            timestamp: u32::from(n) * 3_000,
            marker: true,
            ssrc: 1,
            payload_type: 96,
            payload: payload.freeze(),
        };
        if n != 3 {
            buffer.push(packet, now);
        }
        now += MS * 50;
        while let Some(event) = buffer.poll(now) {
            match event {
                VideoEvent::Frame(frame) => shown.push(frame.rtp_timestamp / 3_000),
                VideoEvent::KeyFrameNeeded => panic!("no need"),
            }
        }
    }
    assert_eq!(shown, [0, 1, 2, 4, 5, 6, 7]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let config = VideoJitterConfig {
        max_packets: 100,
        max_bytes: 50_000,
        ..VideoJitterConfig::default()
    };
    let mut buffer = VideoJitterBuffer::new(config);
    for n in 0..60_000u32 {
        let now = MediaTime::from_micros(i64::from(n) * 100);
        let packet = RtpPacket {
            // Every tenth number is missing, so that nothing is ever whole.
            sequence_number: (n + n / 9) as u16,
            timestamp: n / 20 * 3_000,
            marker: n % 20 == 19,
            ssrc: 1,
            payload_type: 96,
            payload: Bytes::from(vec![if n % 20 == 0 { 0x10 } else { 0 }; 1_000]),
        };
        buffer.push(packet, now);
        while let Some(event) = buffer.poll(now) {
            assert!(!matches!(event, VideoEvent::Frame(_)));
        }
        assert!(buffer.buffered_packets() <= 100 && buffer.buffered_bytes() <= 50_000);
    }
    assert!(
        buffer.counters().key_frame_requests <= 12,
        "{:?}",
        buffer.counters()
    );
}

proptest! {
    #[test]
    fn no_packets_panic_and_what_comes_out_can_be_decoded(
        packets in prop::collection::vec((any::<u16>(), 0u32..8, any::<bool>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..8), 0i64..400), 0..300),
        base in any::<u16>(),
        spread in 1u16..,
    ) {
        let config = VideoJitterConfig { max_packets: 50, ..VideoJitterConfig::default() };
        let mut buffer = VideoJitterBuffer::new(config);
        let mut now = MediaTime::ZERO;
        let mut started = false;
        for (number, timestamp, marker, ssrc, payload, wait) in packets {
            let packet = RtpPacket {
                sequence_number: base.wrapping_add(number % spread),
                timestamp: timestamp.wrapping_mul(0x3000_0000),
                marker,
                ssrc,
                payload_type: 96,
                payload: Bytes::from(payload),
            };
            buffer.push(packet, now);
            let mut events = 0;
            while let Some(event) = buffer.poll(now) {
                if let VideoEvent::Frame(frame) = event {
                    prop_assert!(started || frame.key_frame);
                    prop_assert!(!frame.data.is_empty());
                    started = true;
                }
                events += 1;
                prop_assert!(events < 100);
            }
            prop_assert!(buffer.next_timeout().is_none_or(|at| at > now));
            prop_assert!(buffer.buffered_packets() <= 50);
            now += MS * u32::try_from(wait).unwrap();
        }
    }

    #[test]
    fn cut_shuffled_doubled_and_put_together_again(
        sizes in prop::collection::vec(5usize..4_000, 1..20),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
        copies in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        first in any::<u16>(),
    ) {
        let mut packetizer = Vp8Packetizer::new(500, first);
        let mut packets = Vec::new();
        let frames: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| {
            let mut frame = vec![n as u8; *size];
            frame[0] = u8::from(n > 0);
            frame
        }).collect();
        for (n, frame) in frames.iter().enumerate() {
            let payloads = packetizer.packetize(frame);
            let count = payloads.len();
            for (part, payload) in payloads.into_iter().enumerate() {
                packets.push(RtpPacket {
                    sequence_number: first.wrapping_add(packets.len() as u16),
                    timestamp: (u32::MAX - 9_000).wrapping_add(n as u32 * 3_000),
                    marker: part + 1 == count,
                    ssrc: 1,
                    payload_type: 96,
                    payload,
                });
            }
        }
        for (a, b) in swaps {
            let (a, b) = (a.index(packets.len()), b.index(packets.len()));
            packets.swap(a, b);
        }
        for copy in copies {
            packets.push(packets[copy.index(packets.len())].clone());
        }
        let mut buffer = VideoJitterBuffer::default();
        for packet in packets {
            buffer.push(packet, MediaTime::ZERO);
        }
        let mut got = Vec::new();
        while let Some(event) = buffer.poll(MediaTime::ZERO) {
            if let VideoEvent::Frame(frame) = event {
                got.push(frame.data.to_vec());
            }
        }
        prop_assert_eq!(got, frames);
    }
}
