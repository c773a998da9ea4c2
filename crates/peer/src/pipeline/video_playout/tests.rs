//! A synthetic camera's pictures through encoder, packets, a seeded link and back, in virtual time.

use super::*;
use duet_codec::{VideoCodec, VideoEncoder, VideoEncoderConfig};
use duet_devices::synthetic::{Painter, marks};
use duet_media::ManualClock;
use duet_session::sim::{Jitter, Link, LinkConfig, Loss};
use duet_session::{RtpClock, Vp8Packetizer};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;
const FRAME: Duration = Duration::from_nanos(33_333_333);
const STEP: Duration = Duration::from_millis(1);

/// One camera that calls one receiver. Lost packets stay lost; key frames are sent when asked for.
struct Call {
    clock: Arc<ManualClock>,
    painter: Painter,
    encoder: Box<dyn VideoEncoder>,
    packetizer: Vp8Packetizer,
    rtp: RtpClock,
    sequence: u16,
    link: Link<RtpPacket>,
    playout: VideoPlayout,
    captured: Vec<MediaTime>,
    key_frame_due: bool,
    /// Frame number, when shown, and how far from the original (mean error a pixel).
    shown: Vec<(u32, MediaTime, f64)>,
}

impl Call {
    fn new(link: LinkConfig, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(MediaTime::from_millis(1_000)));
        let config = VideoEncoderConfig {
            width: WIDTH,
            height: HEIGHT,
            frame_rate: 30.0,
            bitrate: 800_000,
            temporal_layers: 1,
        };
        Call {
            painter: Painter::new(WIDTH, HEIGHT),
            encoder: VideoCodec::Vp8.encoder(&config).unwrap(),
            packetizer: Vp8Packetizer::new(1_000, 7),
            rtp: RtpClock::new(ClockRate::VIDEO, u32::MAX - 90_000),
            sequence: 65_500,
            link: Link::new(link, seed),
            playout: VideoPlayout::new(clock.clone(), VideoCodec::Vp8.decoder().unwrap()),
            clock,
            captured: Vec::new(),
            key_frame_due: false,
            shown: Vec::new(),
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        let mut next_frame = self.clock.now();
        while self.clock.now() < end {
            let now = self.clock.now();
            if now >= next_frame {
                self.send_frame(now);
                next_frame += FRAME;
            }
            while let Some((arrival, packet)) = self.link.poll(now) {
                self.playout.push(packet, arrival);
            }
            while let Some(action) = self.playout.poll() {
                match action {
                    VideoAction::Show(frame) => self.watch(&frame),
                    VideoAction::RequestKeyFrame => self.key_frame_due = true,
                }
            }
            self.clock.advance(STEP);
        }
    }

    fn paint(&self, number: u32) -> I420Buffer {
        let mut picture = I420Buffer::default();
        let time = self.captured[number as usize];
        let unix = self.clock.unix_time(time);
        self.painter.paint(number, unix, false, &mut picture);
        picture
    }

    fn send_frame(&mut self, now: MediaTime) {
        let number = self.captured.len() as u32;
        self.captured.push(now);
        let frame = VideoFrame::new(Arc::new(self.paint(number)), now);
        let due = std::mem::take(&mut self.key_frame_due);
        let Some(encoded) = self.encoder.encode(&frame, due).unwrap() else {
            return;
        };
        let payloads = self.packetizer.packetize(&encoded.data, None);
        let timestamp = self.rtp.stamp(now);
        let last = payloads.len() - 1;
        for (n, payload) in payloads.into_iter().enumerate() {
            let packet = RtpPacket {
                sequence_number: self.sequence,
                timestamp,
                marker: n == last,
                ssrc: 1,
                payload_type: 96,
                payload,
            };
            self.sequence = self.sequence.wrapping_add(1);
            let size = packet.payload.len() + 40;
            self.link.send(packet, size, now);
        }
    }

    fn watch(&mut self, frame: &VideoFrame) {
        let marks = marks::read(&frame.buffer).expect("every shown picture is whole");
        let original = self.paint(marks.frame_number);
        let off = original.y().iter().zip(frame.buffer.y());
        let off = off.map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>();
        let error = off / f64::from(WIDTH * HEIGHT);
        self.shown
            .push((marks.frame_number, self.clock.now(), error));
    }

    fn delays(&self) -> Vec<Duration> {
        let delay = |(number, at, _): &(u32, MediaTime, f64)| {
            at.saturating_since(self.captured[*number as usize])
        };
        self.shown.iter().map(delay).collect()
    }

    fn in_order_and_sharp(&self) {
        for pair in self.shown.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
        }
        for (number, _, error) in &self.shown {
            assert!(*error < 8.0, "frame {number} is off by {error} a pixel");
        }
    }
}

#[test]
fn a_clean_link_shows_every_picture_at_once() {
    let delay = Duration::from_millis(20);
    let mut call = Call::new(
        LinkConfig {
            delay,
            ..Default::default()
        },
        1,
    );
    call.run(Duration::from_secs(3));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert!(call.shown.len() >= call.captured.len() - 1, "{stats:?}");
    assert!(call.delays().iter().all(|d| *d <= delay + 2 * STEP));
    assert_eq!(stats.frames_decoded, call.shown.len() as u64);
    assert_eq!((stats.freeze_count, stats.decode_errors), (0, 0));
    assert_eq!(stats.frames_per_second.round(), 30.0);
    assert_eq!((stats.frame_width, stats.frame_height), (WIDTH, HEIGHT));
    assert_eq!(stats.key_frames_decoded, 1);
    assert!(stats.first_frame_time.is_some());
}

#[test]
fn jitter_is_evened_out() {
    let mut call = Call::new(
        LinkConfig {
            delay: Duration::from_millis(20),
            jitter: Jitter::Uniform(Duration::from_millis(40)),
            ..Default::default()
        },
        2,
    );
    call.run(Duration::from_secs(10));
    call.in_order_and_sharp();
    let settled = &call.shown[60..];
    let gaps = settled.windows(2).map(|w| w[1].1.saturating_since(w[0].1));
    let uneven = gaps.filter(|gap| gap.abs_diff(FRAME) > Duration::from_millis(10));
    let share = uneven.count() as f64 / settled.len() as f64;
    assert!(share < 0.1, "{share} of the gaps are uneven");
    assert!(call.delays().iter().all(|d| *d < Duration::from_millis(80)));
    assert_eq!(call.playout.stats().freeze_count, 0);
}

#[test]
fn what_a_sender_made_while_it_waited_does_not_delay_the_rest() {
    let slow = LinkConfig {
        delay: Duration::from_millis(300),
        ..Default::default()
    };
    let mut call = Call::new(slow, 9);
    call.run(Duration::from_millis(20));
    // The link keeps the order: all that follows comes together with the first, then in time.
    call.link.set_config(LinkConfig::default());
    call.run(Duration::from_secs(2));
    call.in_order_and_sharp();
    let delays = call.delays();
    assert!(delays[0] >= Duration::from_millis(300));
    assert!(delays[12..].iter().all(|d| *d <= 3 * STEP), "{delays:?}");
}

#[test]
fn of_pictures_that_are_late_and_come_at_once_the_last_is_shown() {
    let mut call = Call::new(LinkConfig::default(), 10);
    call.run(Duration::from_secs(1));
    let before = call.shown.len();
    let slow = LinkConfig {
        delay: Duration::from_millis(150),
        ..Default::default()
    };
    // One picture is held up, and four wait behind it.
    call.link.set_config(slow);
    call.run(FRAME);
    call.link.set_config(LinkConfig::default());
    call.run(Duration::from_secs(1));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert_eq!(stats.frames_dropped, 4, "{stats:?}");
    assert_eq!(stats.frames_decoded, call.captured.len() as u64);
    let after = call.delays().split_off(before);
    assert!(after[0] < FRAME, "{after:?}");
}

#[test]
fn reordered_packets_cost_no_picture() {
    let mut call = Call::new(
        LinkConfig {
            delay: Duration::from_millis(10),
            reorder: 0.2,
            reorder_by: Duration::from_millis(15),
            duplicate: 0.1,
            ..Default::default()
        },
        3,
    );
    call.run(Duration::from_secs(5));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert!(call.shown.len() >= call.captured.len() - 2, "{stats:?}");
    assert!(stats.packets_discarded > 0, "copies are counted: {stats:?}");
}

#[test]
fn a_lossy_link_recovers_by_key_frames_and_never_shows_damage() {
    let mut call = Call::new(
        LinkConfig {
            delay: Duration::from_millis(20),
            loss: Loss::Random(0.02),
            reorder: 0.05,
            reorder_by: Duration::from_millis(10),
            ..Default::default()
        },
        4,
    );
    call.run(Duration::from_secs(20));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert!(call.link.counters().lost > 10);
    assert!(stats.key_frame_requests > 0, "{stats:?}");
    assert!(
        stats.key_frame_requests <= 40,
        "no more than two a second: {stats:?}"
    );
    assert!(stats.freeze_count > 0, "{stats:?}");
    assert!(call.shown.len() * 3 > call.captured.len(), "{stats:?}");
    let last = call.shown.last().unwrap().0 as usize;
    assert!(last + 60 > call.captured.len(), "it goes on to the end");
}

#[test]
fn a_refused_frame_costs_a_key_frame_and_holds_the_last_picture() {
    let mut call = Call::new(LinkConfig::default(), 5);
    call.run(Duration::from_secs(1));
    let before = call.shown.len();
    // A key frame, says its first bit, of no size at all.
    let packet = RtpPacket {
        sequence_number: call.sequence,
        timestamp: call.rtp.stamp(call.clock.now()),
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: vec![0x10, 0, 0, 0, 1, 2, 3, 4, 5, 6].into(),
    };
    call.sequence = call.sequence.wrapping_add(1);
    call.playout.push(packet, call.clock.now());
    call.run(Duration::from_secs(2));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert_eq!(stats.decode_errors, 1);
    assert!((1..=2).contains(&stats.key_frame_requests), "{stats:?}");
    assert!(call.shown.len() > before + 45, "{stats:?}");
}

#[test]
fn garbage_is_counted_and_does_no_harm() {
    let mut call = Call::new(LinkConfig::default(), 6);
    call.run(Duration::from_millis(500));
    for n in 0..2_000u32 {
        let packet = RtpPacket {
            sequence_number: call.sequence.wrapping_add((n * 7) as u16 % 50),
            timestamp: n.wrapping_mul(2_654_435_761),
            marker: n % 3 == 0,
            ssrc: 1,
            payload_type: 96,
            payload: vec![(n * 31) as u8; (n % 40) as usize].into(),
        };
        call.playout.push(packet, call.clock.now());
        while call.playout.poll().is_some() {}
    }
    let stats = call.playout.stats();
    assert!(stats.packets_discarded > 500, "{stats:?}");
    assert!(call.playout.waiting.len() <= CAPACITY);
}

#[test]
fn a_decoder_that_was_away_for_long_starts_afresh() {
    let mut call = Call::new(LinkConfig::default(), 7);
    call.run(Duration::from_secs(1));
    // The machine sleeps for three seconds, packets come all the same.
    let mut packets = Vec::new();
    for _ in 0..90 {
        call.clock.advance(FRAME);
        call.send_frame(call.clock.now());
        packets.extend(std::iter::from_fn(|| call.link.poll(call.clock.now())));
    }
    for (arrival, packet) in packets {
        call.playout.push(packet, arrival);
    }
    call.run(Duration::from_secs(2));
    call.in_order_and_sharp();
    let stats = call.playout.stats();
    assert!(stats.frames_dropped > 20, "{stats:?}");
    let last = call.delays().into_iter().next_back().unwrap();
    assert!(last < Duration::from_millis(50), "{last:?} behind");
}

#[test]
fn a_picture_that_waits_for_its_sound_waits_as_bytes() {
    let mut call = Call::new(LinkConfig::default(), 8);
    call.playout.scheduler.set_min_delay(Duration::from_secs(1));
    call.run(Duration::from_secs(12));
    call.in_order_and_sharp();
    let late = call.delays().into_iter().next_back().unwrap();
    assert!(late > Duration::from_millis(900), "{late:?}");
    assert!(call.playout.waiting.len() > 20);
    assert!(call.playout.ready.is_none(), "decoded only when it is due");
}
