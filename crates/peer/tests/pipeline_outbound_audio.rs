//! From a track of sound to encoded packets: encoders are shared, and nobody spoils it for the others.

mod common;

use common::{source, within};
use duet_codec::AudioCodec;
use duet_media::{
    AudioBuffer, AudioFrame, ManualClock, MediaKind, MediaSource, MediaStreamTrack, MediaTime,
};
use duet_peer::pipeline::{AudioSendSettings, EncoderHub, OutboundAudio, OutboundPacket};
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

async fn next_packet(listener: &OutboundAudio) -> OutboundPacket {
    let packet = within("a packet", listener.next()).await;
    packet.expect("it is not closed")
}

/// A microphone that is worked by hand.
struct Booth {
    hub: EncoderHub,
    microphone: MediaSource,
    track: MediaStreamTrack,
    rate: u32,
    channels: u16,
    samples: u64,
    skipped: Duration,
}

impl Booth {
    fn new(rate: u32, channels: u16) -> Self {
        let microphone = source(MediaKind::Audio);
        Booth {
            hub: EncoderHub::new(Arc::new(ManualClock::default())),
            track: microphone.create_track(),
            microphone,
            rate,
            channels,
            samples: 0,
            skipped: Duration::ZERO,
        }
    }

    /// Ten milliseconds of a tone of 440 Hz.
    fn play(&mut self) {
        let frames = self.rate / 100;
        let mut buffer = AudioBuffer::new(self.rate, self.channels, frames as usize);
        let channels = usize::from(self.channels);
        for (n, frame) in buffer.samples_mut().chunks_mut(channels).enumerate() {
            let at = (self.samples + n as u64) as f64 / f64::from(self.rate);
            frame.fill((0.5 * (TAU * 440.0 * at).sin()) as f32);
        }
        let time = Duration::from_nanos(self.samples * 1_000_000_000 / u64::from(self.rate));
        self.samples += u64::from(frames);
        let time = MediaTime::ZERO + time + self.skipped;
        self.microphone
            .publish(&AudioFrame::new(Arc::new(buffer), time).into());
    }

    /// A listener that is listening already.
    async fn listener(&self, settings: AudioSendSettings) -> OutboundAudio {
        let listener = self.hub.subscribe_audio(Some(&self.track), settings);
        let first = tokio::time::timeout(Duration::from_millis(1), listener.next());
        assert!(first.await.is_err());
        listener
    }
}

/// Share of the sound's energy that is at 440 Hz, and its level.
fn tone(samples: &[f32]) -> (f64, f64) {
    let (mut re, mut im, mut energy) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (sin, cos) = (TAU * 440.0 * n as f64 / 48_000.0).sin_cos();
        let sample = f64::from(*sample);
        re += sample * cos;
        im += sample * sin;
        energy += sample * sample;
    }
    let len = samples.len() as f64;
    (
        2.0 * (re * re + im * im) / len / energy.max(1e-9),
        (energy / len).sqrt(),
    )
}

#[tokio::test]
async fn a_tone_of_any_shape_arrives_as_a_tone() {
    for (rate, channels, sent) in [
        (48_000, 1, 1),
        (44_100, 2, 1),
        (16_000, 1, 2),
        (48_000, 6, 2),
    ] {
        let mut booth = Booth::new(rate, channels);
        let settings = AudioSendSettings {
            channels: sent,
            ..Default::default()
        };
        let listener = booth.listener(settings).await;
        let mut decoder = AudioCodec::Opus.decoder(1).unwrap();
        let (mut heard, mut pcm, mut times) = (Vec::new(), AudioBuffer::default(), Vec::new());
        for _ in 0..40 {
            for _ in 0..3 {
                booth.play();
            }
            let packet = next_packet(&listener).await;
            assert_eq!(packet.starts_talk_spurt, times.is_empty());
            assert_eq!(packet.duration, Duration::from_millis(20));
            decoder.decode(&packet.data, &mut pcm).unwrap();
            assert_eq!(pcm.frames(), 960);
            heard.extend_from_slice(pcm.samples());
            times.push(packet.capture_time);
        }
        let (purity, level) = tone(&heard[9_600..28_800]);
        assert!(purity > 0.98, "{rate} Hz, {channels} to {sent}: {purity}");
        assert!((0.3..0.4).contains(&level), "{level}");
        for (n, time) in times.iter().enumerate() {
            let off = time.nanos_since(MediaTime::from_millis(20 * n as i64));
            assert!(off.abs() < 50_000, "{rate} Hz: packet {n} is {off} ns off");
        }
    }
}

#[tokio::test]
async fn listeners_share_an_encoder_and_the_weakest_path_counts() {
    let mut booth = Booth::new(48_000, 1);
    let one = booth.listener(AudioSendSettings::default()).await;
    let two = booth.listener(AudioSendSettings::default()).await;
    assert_eq!(booth.hub.audio_encoders(), 1);
    one.set_target_bitrate(24_000);
    two.set_target_bitrate(64_000);
    two.set_expected_loss(20);
    (0..2).for_each(|_| booth.play());
    let (a, b) = (next_packet(&one).await, next_packet(&two).await);
    assert_eq!(a, b);
    assert_eq!(a.data.as_ptr(), b.data.as_ptr(), "shared, not copied");
    assert_eq!(one.stats().target_bitrate, 24_000);
    let short = AudioSendSettings {
        packet_time: Duration::from_millis(10),
        ..Default::default()
    };
    let third = booth.listener(short).await;
    assert_eq!(booth.hub.audio_encoders(), 2);
    booth.play();
    assert_eq!(
        next_packet(&third).await.duration,
        Duration::from_millis(10)
    );
    drop((one, two, third));
    assert_eq!(booth.hub.audio_encoders(), 0);
}

#[tokio::test]
async fn packets_change_their_length_without_a_gap() {
    let mut booth = Booth::new(48_000, 1);
    let listener = booth.listener(AudioSendSettings::default()).await;
    let mut decoder = AudioCodec::Opus.decoder(1).unwrap();
    let (mut heard, mut pcm) = (Vec::new(), AudioBuffer::default());
    let (mut next, mut played, mut spurts) = (MediaTime::ZERO, Duration::ZERO, 0);
    for length in [20, 60, 10, 40, 20] {
        let length = Duration::from_millis(length);
        listener.set_settings(AudioSendSettings {
            packet_time: length,
            ..Default::default()
        });
        assert_eq!(booth.hub.audio_encoders(), 1);
        (0..18).for_each(|_| booth.play());
        played += Duration::from_millis(180);
        let mut last = Duration::ZERO;
        while next + length <= MediaTime::ZERO + played {
            let packet = next_packet(&listener).await;
            assert_eq!(packet.capture_time, next, "{length:?}");
            last = packet.duration;
            next += last;
            spurts += u32::from(packet.starts_talk_spurt);
            decoder.decode(&packet.data, &mut pcm).unwrap();
            heard.extend_from_slice(pcm.samples());
        }
        assert_eq!(last, length);
    }
    assert_eq!(spurts, 1, "the first packet's alone");
    let (purity, _) = tone(&heard[9_600..heard.len() - heard.len() % 4_800]);
    assert!(purity > 0.98, "{purity}");
}

#[tokio::test]
async fn a_disabled_track_sends_silence_and_with_dtx_next_to_nothing() {
    let mut booth = Booth::new(48_000, 1);
    let plain = booth.listener(AudioSendSettings::default()).await;
    let dtx = AudioSendSettings {
        dtx: true,
        ..Default::default()
    };
    let sparing = booth.listener(dtx).await;
    booth.track.set_enabled(false);
    let mut decoder = AudioCodec::Opus.decoder(1).unwrap();
    let mut pcm = AudioBuffer::default();
    for _ in 0..50 {
        (0..2).for_each(|_| booth.play());
        let packet = next_packet(&plain).await;
        decoder.decode(&packet.data, &mut pcm).unwrap();
        assert!(pcm.samples().iter().all(|s| s.abs() < 0.01));
    }
    // The other encoder has had the same; it needs a moment of its own.
    booth.track.set_enabled(true);
    (0..20).for_each(|_| booth.play());
    let mut silent = 0;
    loop {
        let packet = next_packet(&sparing).await;
        if packet.capture_time >= MediaTime::from_millis(1_000) {
            assert!(packet.starts_talk_spurt || silent > 40);
            break;
        }
        silent += 1;
    }
    assert!(silent < 40, "{silent} of 50 packets of silence were sent");
}

#[tokio::test]
async fn a_gap_in_the_capture_is_a_gap_in_the_packets() {
    let mut booth = Booth::new(48_000, 1);
    let listener = booth.listener(AudioSendSettings::default()).await;
    (0..3).for_each(|_| booth.play());
    booth.skipped = Duration::from_secs(2);
    (0..2).for_each(|_| booth.play());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let packet = next_packet(&listener).await;
        seen.push((packet.capture_time.as_millis(), packet.starts_talk_spurt));
    }
    assert_eq!(seen, [(0, true), (20, false), (2_030, true)]);
}

#[tokio::test]
async fn sound_that_nobody_takes_is_lost_from_its_beginning() {
    let mut booth = Booth::new(48_000, 1);
    let listener = booth.listener(AudioSendSettings::default()).await;
    for n in 0..60u64 {
        (0..2).for_each(|_| booth.play());
        while listener.stats().packets_encoded <= n {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(listener.stats().packets_dropped, 35);
    let first = next_packet(&listener).await;
    assert_eq!(first.capture_time, MediaTime::from_millis(35 * 20));
    listener.retarget(None);
    assert_eq!(booth.hub.audio_encoders(), 0);
    listener.close();
    assert_eq!(listener.next().await, None);
}
