//! Voice and lips over two links, in virtual time: the beep and the flash of the synthetic pair tell
//! how far apart they are played.

use super::*;
use crate::pipeline::video_playout::{VideoAction, VideoPlayout};
use duet_codec::{AudioEncoder, AudioEncoderConfig, VideoCodec, VideoEncoder, VideoEncoderConfig};
use duet_devices::synthetic::marks::audio::{Listener, pattern_hz};
use duet_devices::synthetic::{Painter, hear, marks};
use duet_media::{I420Buffer, ManualClock, VideoFrame};
use duet_session::sim::{Jitter, Link, LinkConfig, Loss};
use duet_session::{RedHistory, RtpClock, Vp8Packetizer};

const STEP: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_micros(33_333);
const OPUS: u8 = 111;
const RED: u8 = 63;
const PACKET: Duration = Duration::from_millis(20);

struct Call {
    clock: Arc<ManualClock>,
    microphone: Microphone,
    camera: Camera,
    player: Player,
    playout: VideoPlayout,
    next_block: MediaTime,
    listener: Listener,
    /// When beeps were heard, and flashes seen.
    beeps: Vec<MediaTime>,
    flashes: Vec<MediaTime>,
    pitches: Vec<(MediaTime, Option<f64>)>,
    group: SyncGroup,
}

struct Microphone {
    encoder: Box<dyn AudioEncoder>,
    rtp: RtpClock,
    sequence: u16,
    next: MediaTime,
    /// Packets before it that each one takes along; none for plain ones.
    copies: Option<usize>,
    sent: RedHistory,
    link: Link<RtpPacket>,
}

struct Camera {
    encoder: Box<dyn VideoEncoder>,
    painter: Painter,
    packetizer: Vp8Packetizer,
    rtp: RtpClock,
    sequence: u16,
    frames: u32,
    next: MediaTime,
    link: Link<RtpPacket>,
}

fn link(delay_ms: u64, loss: Loss) -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(delay_ms),
        jitter: Jitter::Uniform(Duration::from_millis(3)),
        loss,
        ..Default::default()
    }
}

impl Call {
    fn new(audio: LinkConfig, video: LinkConfig) -> Self {
        let start = MediaTime::from_millis(10_500);
        let clock = Arc::new(ManualClock::new(start));
        let group = SyncGroup::new();
        let decoder = AudioCodec::Opus.decoder(1).unwrap();
        let mut player = Player::new(OpusDecode(decoder), 1);
        player.sync = Some(group.clone());
        let mut playout = VideoPlayout::new(clock.clone(), VideoCodec::Vp8.decoder().unwrap());
        playout.set_sync_group(Some(group.clone()));
        let sound = AudioEncoderConfig {
            bitrate: 48_000,
            expected_loss: 0,
            fec: false,
            dtx: false,
        };
        let pictures = VideoEncoderConfig {
            width: 320,
            height: 180,
            frame_rate: 30.0,
            bitrate: 500_000,
            temporal_layers: 1,
        };
        Call {
            clock,
            microphone: Microphone {
                encoder: AudioCodec::Opus.encoder(1, &sound).unwrap(),
                rtp: RtpClock::new(ClockRate::OPUS, 12_345),
                sequence: 9,
                next: start,
                copies: None,
                sent: RedHistory::new(),
                link: Link::new(audio, 1),
            },
            camera: Camera {
                encoder: VideoCodec::Vp8.encoder(&pictures).unwrap(),
                painter: Painter::new(320, 180),
                packetizer: Vp8Packetizer::new(1_100, 0),
                rtp: RtpClock::new(ClockRate::VIDEO, 999),
                sequence: 77,
                frames: 0,
                next: start,
                link: Link::new(video, 2),
            },
            player,
            playout,
            next_block: start,
            listener: Listener::new(),
            beeps: Vec::new(),
            flashes: Vec::new(),
            pitches: Vec::new(),
            group,
        }
    }

    fn run(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        while self.clock.now() < end {
            let now = self.clock.now();
            if now >= self.microphone.next + PACKET {
                self.speak();
            }
            if now >= self.camera.next {
                self.film(now);
            }
            self.receive(now);
            self.clock.advance(STEP);
        }
    }

    /// Sends 20 ms of sound, which must be over by now.
    fn speak(&mut self) {
        let mic = &mut self.microphone;
        let mut sound = AudioBuffer::new(48_000, 1, 960);
        hear(self.clock.unix_time(mic.next), &mut sound);
        let timestamp = mic.rtp.stamp_samples(mic.next, 960);
        let opus = mic.encoder.encode(&sound).unwrap();
        let (payload_type, payload) = match mic.copies {
            Some(copies) => (RED, mic.sent.wrap(OPUS, timestamp, opus, copies, 1_100)),
            None => (OPUS, opus),
        };
        let packet = RtpPacket {
            sequence_number: mic.sequence,
            timestamp,
            marker: false,
            ssrc: 2,
            payload_type,
            payload,
        };
        mic.sequence = mic.sequence.wrapping_add(1);
        mic.next += PACKET;
        let now = self.clock.now();
        mic.link.send(packet, 100, now);
        if mic.sequence.is_multiple_of(50) {
            let ntp = NtpTime::from_unix(self.clock.unix_time(now));
            self.player
                .timeline
                .on_sender_report(ntp, mic.rtp.timestamp_at(now));
        }
    }

    fn film(&mut self, now: MediaTime) {
        let camera = &mut self.camera;
        let unix = self.clock.unix_time(now);
        let second = |time: Duration| time.as_secs();
        let flash = second(unix) != second(unix - FRAME);
        let mut picture = I420Buffer::default();
        camera
            .painter
            .paint(camera.frames, unix, flash, &mut picture);
        camera.frames += 1;
        camera.next += FRAME;
        let frame = VideoFrame::new(Arc::new(picture), now);
        let Some(encoded) = camera.encoder.encode(&frame, false).unwrap() else {
            return;
        };
        let timestamp = camera.rtp.stamp(now);
        let payloads = camera.packetizer.packetize(&encoded.data, None);
        let last = payloads.len() - 1;
        for (n, payload) in payloads.into_iter().enumerate() {
            let packet = RtpPacket {
                sequence_number: camera.sequence,
                timestamp,
                marker: n == last,
                ssrc: 1,
                payload_type: 96,
                payload,
            };
            camera.sequence = camera.sequence.wrapping_add(1);
            camera.link.send(packet, 1_100, now);
        }
        if camera.frames.is_multiple_of(30) {
            let ntp = NtpTime::from_unix(unix);
            self.playout
                .on_sender_report(ntp, camera.rtp.timestamp_at(now));
        }
    }

    fn receive(&mut self, now: MediaTime) {
        while let Some((arrival, packet)) = self.microphone.link.poll(now) {
            let red_of = (packet.payload_type == RED).then_some(OPUS);
            self.player.push(Came {
                packet,
                red_of,
                arrival,
            });
        }
        while let Some((arrival, packet)) = self.camera.link.poll(now) {
            self.playout.push(packet, arrival);
        }
        while let Some(action) = self.playout.poll() {
            if let VideoAction::Show(frame) = action
                && marks::read(&frame.buffer).expect("a whole picture").flash
            {
                self.flashes.push(now);
            }
        }
        if now >= self.next_block {
            let block = self.player.pull(self.next_block, now);
            self.next_block += BLOCK;
            let beeps = self.listener.hear(&block.buffer, block.capture_time);
            self.beeps.extend(beeps.into_iter().map(|beep| beep.onset));
            self.pitches.push((now, self.listener.pitch_hz()));
        }
    }

    /// How far the sound of the last second lags behind its picture, in milliseconds.
    fn lag(&self) -> i64 {
        let beep = self.beeps.last().expect("a beep was heard");
        let off = |flash: &MediaTime| beep.nanos_since(*flash);
        let nearest = self.flashes.iter().map(off).min_by_key(|off| off.abs());
        nearest.expect("a flash was seen") / 1_000_000
    }
}

#[test]
fn sound_waits_for_a_late_picture() {
    let mut call = Call::new(link(20, Loss::None), link(280, Loss::None));
    call.run(Duration::from_secs(1));
    assert!(call.lag() < -150, "at first it is early: {} ms", call.lag());
    call.run(Duration::from_secs(12));
    assert!(call.lag().abs() <= 45, "{} ms", call.lag());
    let told = call.group.offset_nanos(call.clock.now()).unwrap();
    assert!((told / 1_000_000 - call.lag()).abs() < 40, "{told}");
}

#[test]
fn a_picture_waits_for_late_sound() {
    let mut call = Call::new(link(280, Loss::None), link(20, Loss::None));
    call.run(Duration::from_secs(14));
    assert!(call.lag().abs() <= 45, "{} ms", call.lag());
    assert!(call.playout.stats().playout_delay > Duration::from_millis(200));
}

#[test]
fn without_a_group_nobody_waits() {
    let mut call = Call::new(link(20, Loss::None), link(280, Loss::None));
    call.player.sync = None;
    call.playout.set_sync_group(None);
    call.run(Duration::from_secs(10));
    assert!(call.lag() < -150, "{} ms", call.lag());
}

#[test]
fn a_melody_survives_the_loss_of_packets() {
    let mut call = Call::new(link(30, Loss::Random(0.03)), link(30, Loss::None));
    call.run(Duration::from_secs(10));
    let stats = call.player.stats;
    assert!(stats.concealed_samples > 960, "{stats:?}");
    assert!(stats.concealment_events > 3, "{stats:?}");
    let settled = call.pitches.iter().skip(200);
    let (mut right, mut all) = (0, 0);
    for (time, pitch) in settled {
        // The tone of the second in which it was said, away from where it changes.
        let unix = call.clock.unix_time(*time) - Duration::from_millis(100);
        if (300..800).contains(&unix.subsec_millis()) {
            all += 1;
            let expected = pattern_hz(unix.as_secs());
            right += u32::from(pitch.is_some_and(|hz| (hz / expected - 1.0).abs() < 0.02));
        }
    }
    assert!(right * 10 > all * 9, "{right} of {all}");
    assert!(stats.first_sound_time.is_some() && stats.total_audio_energy > 0.0);
}

#[test]
fn what_is_lost_comes_again_with_what_follows() {
    let mut call = Call::new(link(30, Loss::Random(0.1)), link(30, Loss::None));
    call.microphone.copies = Some(2);
    call.run(Duration::from_secs(20));
    let redundant = call.player.stats;
    let share = redundant.concealed_samples as f64 / redundant.total_samples_received as f64;
    assert!(share < 0.01, "{share}");
    assert!(redundant.fec_packets_received > 100, "{redundant:?}");
    // From one packet to the next, and the other way round.
    call.microphone.copies = None;
    call.run(Duration::from_secs(10));
    let plain = call.player.stats;
    let lost = plain.concealed_samples - redundant.concealed_samples;
    assert!(lost > 24_000, "a tenth of ten seconds is 48,000: {lost}");
    call.microphone.copies = Some(1);
    call.run(Duration::from_secs(10));
    let again = call.player.stats.concealed_samples - plain.concealed_samples;
    assert!(again < lost / 4, "{again}");
}

#[test]
fn redundancy_that_is_none_is_counted_and_left_out() {
    let mut call = Call::new(link(30, Loss::None), link(30, Loss::None));
    call.run(Duration::from_secs(2));
    let before = call.player.stats;
    for n in 0..100_u16 {
        let packet = RtpPacket {
            sequence_number: call.microphone.sequence.wrapping_add(n),
            timestamp: u32::from(n),
            marker: false,
            ssrc: 2,
            payload_type: RED,
            payload: vec![0xff; usize::from(n)].into(),
        };
        call.player.push(Came {
            packet,
            red_of: Some(OPUS),
            arrival: call.clock.now(),
        });
    }
    call.run(Duration::from_secs(2));
    let after = call.player.stats;
    assert_eq!(after.packets_discarded - before.packets_discarded, 100);
    assert_eq!(after.concealed_samples, before.concealed_samples);
}
