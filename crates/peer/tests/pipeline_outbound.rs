//! From tracks to encoded frames: encoders are shared, and nobody spoils it for the others.

use duet_codec::{AudioCodec, VideoCodec, VideoDecoder};
use duet_media::{
    AudioBuffer, AudioFrame, Clock, I420Buffer, ManualClock, MediaKind, MediaSource,
    MediaStreamTrack, MediaTime, MediaTrackSettings, MonotonicClock, TrackState, VideoFrame,
};
use duet_peer::pipeline::{
    AudioSendSettings, EncoderHub, OutboundAudio, OutboundFrame, OutboundPacket, OutboundVideo,
    VideoSendSettings,
};
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_millis(33);

/// A camera that is worked by hand, and the hub that sends what it sees.
struct Studio {
    clock: Arc<ManualClock>,
    hub: EncoderHub,
    camera: MediaSource,
    track: MediaStreamTrack,
    pictures: u32,
}

impl Studio {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(MediaTime::from_millis(5_000)));
        let camera = source(MediaKind::Video);
        Studio {
            hub: EncoderHub::new(clock.clone()),
            clock,
            track: camera.create_track(),
            camera,
            pictures: 0,
        }
    }

    fn viewer(&self, target_bitrate: u32) -> OutboundVideo {
        let settings = VideoSendSettings::default();
        self.hub
            .subscribe_video(Some(&self.track), settings, target_bitrate)
    }

    /// Shows a picture of the given size, a frame's time after the last.
    fn show(&mut self, width: u32, height: u32) {
        self.clock.advance(FRAME);
        self.camera
            .publish(&picture(self.pictures, width, height, self.clock.now()).into());
        self.pictures += 1;
    }

    /// Shows pictures until `viewer` gets a frame.
    async fn until_seen(&mut self, viewer: &OutboundVideo) -> OutboundFrame {
        for _ in 0..200 {
            self.show(64, 48);
            let soon = tokio::time::timeout(Duration::from_millis(50), viewer.next());
            if let Ok(frame) = soon.await {
                return frame.expect("it is not closed");
            }
        }
        panic!("nothing was encoded");
    }
}

fn source(kind: MediaKind) -> MediaSource {
    MediaSource::new(
        kind,
        "by hand",
        MediaTrackSettings::default(),
        Default::default(),
        (),
    )
}

/// Its number is told by its brightness.
fn picture(number: u32, width: u32, height: u32, time: MediaTime) -> VideoFrame {
    let mut buffer = I420Buffer::new(width, height);
    let (y, _, _) = buffer.planes_mut();
    y.fill(brightness(number));
    VideoFrame::new(Arc::new(buffer), time)
}

fn brightness(number: u32) -> u8 {
    40 + (number * 7 % 150) as u8
}

async fn next(viewer: &OutboundVideo) -> OutboundFrame {
    let frame = tokio::time::timeout(PATIENCE, viewer.next()).await;
    frame
        .expect("a frame comes in time")
        .expect("it is not closed")
}

async fn next_packet(listener: &OutboundAudio) -> OutboundPacket {
    let packet = tokio::time::timeout(PATIENCE, listener.next()).await;
    packet
        .expect("a packet comes in time")
        .expect("it is not closed")
}

async fn nothing_more(viewer: &OutboundVideo) {
    let soon = tokio::time::timeout(Duration::from_millis(100), viewer.next());
    assert!(soon.await.is_err(), "nothing was to come");
}

#[tokio::test]
async fn one_encoder_serves_every_viewer_with_the_same_bytes() {
    let mut studio = Studio::new();
    let (one, two) = (studio.viewer(500_000), studio.viewer(600_000));
    assert_eq!(studio.hub.video_encoders(), 1);
    studio.show(64, 48);
    let (first, again) = tokio::join!(next(&one), next(&two));
    assert!(first.key_frame && again.key_frame);
    for _ in 0..10 {
        studio.show(64, 48);
        let (a, b) = (next(&one).await, next(&two).await);
        if a.capture_time == b.capture_time {
            assert_eq!(a.data.as_ptr(), b.data.as_ptr(), "shared, not copied");
        }
    }
    assert_eq!(studio.hub.video_encoders(), 1);
    assert_eq!(one.stats().target_bitrate, 500_000, "the least of both");
    drop(one);
    assert_eq!(studio.hub.video_encoders(), 1);
    drop(two);
    assert_eq!(studio.hub.video_encoders(), 0);
}

#[tokio::test]
async fn nothing_is_encoded_before_somebody_watches_and_then_at_once() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    for _ in 0..5 {
        studio.show(64, 48);
    }
    assert_eq!(viewer.stats().frames_encoded, 0);
    // No further picture is needed: the newest is waiting.
    let frame = next(&viewer).await;
    assert!(frame.key_frame);
    assert_eq!(frame.capture_time, studio.clock.now());
    assert_eq!(viewer.stats().frames_encoded, 1);
}

#[tokio::test]
async fn who_joins_later_begins_with_a_key_frame_that_serves_all() {
    let mut studio = Studio::new();
    let first = studio.viewer(500_000);
    studio.show(64, 48);
    assert!(next(&first).await.key_frame);
    for _ in 0..20 {
        studio.show(64, 48);
        assert!(!next(&first).await.key_frame);
    }
    let second = studio.viewer(500_000);
    let frame = studio.until_seen(&second).await;
    assert!(frame.key_frame);
    assert_eq!(studio.hub.video_encoders(), 1);
    assert_eq!(second.stats().key_frames_encoded, 1);
    assert_eq!(first.stats().key_frames_encoded, 2);
}

#[tokio::test]
async fn a_storm_of_requests_gets_one_key_frame_in_half_a_second() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    studio.show(64, 48);
    next(&viewer).await;
    let mut key_frames = 0;
    for _ in 0..40 {
        viewer.request_key_frame();
        studio.show(64, 48);
        key_frames += u32::from(next(&viewer).await.key_frame);
    }
    assert_eq!(key_frames, 2, "40 pictures are 1.3 seconds");
}

#[tokio::test]
async fn a_slow_viewer_slows_nobody_and_resumes_with_a_key_frame() {
    let mut studio = Studio::new();
    let (fast, slow) = (studio.viewer(500_000), studio.viewer(500_000));
    studio.show(64, 48);
    let (_, first) = tokio::join!(next(&fast), next(&slow));
    assert!(first.key_frame);
    let mut last = studio.clock.now();
    for _ in 0..35 {
        studio.show(64, 48);
        let frame = next(&fast).await;
        assert_eq!(frame.capture_time, last + FRAME, "the fast one misses none");
        last = frame.capture_time;
    }
    assert_eq!(fast.stats().frames_dropped, 0);
    let dropped = slow.stats().frames_dropped;
    assert!(dropped >= 20, "{dropped}");
    assert!(dropped < 35, "it is kept ready to go on: {dropped}");
    let resumed = next(&slow).await;
    assert!(resumed.key_frame, "never a lone delta frame");
    let mut decoder = VideoCodec::Vp8.decoder().unwrap();
    let seen = decode(&mut *decoder, &resumed);
    let number = resumed
        .capture_time
        .saturating_since(MediaTime::from_millis(5_000));
    let number = (number.as_millis() / FRAME.as_millis()) as u32 - 1;
    assert!(seen.abs_diff(brightness(number)) <= 3, "{seen}");
}

fn decode(decoder: &mut dyn VideoDecoder, frame: &OutboundFrame) -> u8 {
    let picture = decoder
        .decode(&frame.data)
        .expect("a whole frame")
        .expect("a shown one");
    picture.y()[picture.y().len() / 2]
}

#[tokio::test]
async fn the_bitrate_follows_and_a_poor_path_gets_a_tier_of_its_own() {
    let mut studio = Studio::new();
    let (rich, poor) = (studio.viewer(2_000_000), studio.viewer(2_000_000));
    studio.show(64, 48);
    tokio::join!(next(&rich), next(&poor));
    rich.set_target_bitrate(1_500_000);
    studio.show(64, 48);
    next(&rich).await;
    assert_eq!(rich.stats().target_bitrate, 1_500_000);
    assert_eq!(studio.hub.video_encoders(), 1);

    poor.set_target_bitrate(200_000);
    assert_eq!(studio.hub.video_encoders(), 2);
    while !studio.until_seen(&poor).await.key_frame {}
    assert_eq!(poor.stats().target_bitrate, 200_000);
    studio.until_seen(&rich).await;
    assert_eq!(rich.stats().target_bitrate, 1_500_000, "not spoiled");

    // It does better, and goes on doing so.
    for _ in 0..2 {
        poor.set_target_bitrate(1_500_000);
        studio.clock.advance(Duration::from_secs(4));
    }
    assert_eq!(studio.hub.video_encoders(), 1);
    while !studio.until_seen(&poor).await.key_frame {}
    assert!(poor.stats().frames_encoded >= 3);
}

#[tokio::test]
async fn another_track_goes_through_the_same_queue() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    studio.show(64, 48);
    next(&viewer).await;
    viewer.retarget(None);
    assert_eq!(studio.hub.video_encoders(), 0);
    studio.show(64, 48);
    nothing_more(&viewer).await;

    let other = source(MediaKind::Video);
    let other_track = other.create_track();
    viewer.retarget(Some(&other_track));
    other.publish(&picture(1, 32, 16, studio.clock.now()).into());
    let frame = next(&viewer).await;
    assert!(frame.key_frame);
    assert_eq!((frame.width, frame.height), (32, 16));
    assert_eq!(studio.track.ready_state(), TrackState::Live);
    assert_eq!(viewer.stats().frames_encoded, 2, "sums go on");

    viewer.close();
    assert_eq!(viewer.next().await, None);
    assert_eq!(studio.hub.video_encoders(), 0);
    assert_eq!(other_track.ready_state(), TrackState::Live);
    viewer.retarget(Some(&studio.track));
    assert_eq!(studio.hub.video_encoders(), 0, "closed is closed");
}

#[tokio::test]
async fn an_ended_track_sends_nothing_and_a_disabled_one_black() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    studio.show(64, 48);
    let mut decoder = VideoCodec::Vp8.decoder().unwrap();
    assert!(decode(&mut *decoder, &next(&viewer).await) > 30);
    studio.track.set_enabled(false);
    studio.show(64, 48);
    let black = decode(&mut *decoder, &next(&viewer).await);
    assert!(black <= 18, "{black}");
    studio.camera.end();
    studio.show(64, 48);
    nothing_more(&viewer).await;
    let other = studio.hub.subscribe_video(
        Some(&source(MediaKind::Audio).create_track()),
        VideoSendSettings::default(),
        500_000,
    );
    assert_eq!(studio.hub.video_encoders(), 1, "sound is not seen");
    drop(other);
}

#[tokio::test]
async fn a_camera_that_changes_its_size_goes_on_with_a_key_frame() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    for (width, height) in [(64, 48), (128, 96), (33, 17)] {
        studio.show(width, height);
        let frame = next(&viewer).await;
        assert!(frame.key_frame);
        assert_eq!((frame.width, frame.height), (width, height));
        studio.show(width, height);
        assert!(!next(&viewer).await.key_frame);
    }
}

#[tokio::test]
async fn settings_scale_down_and_slow_down() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    viewer.set_settings(VideoSendSettings {
        scale_resolution_down_by: 2.0,
        max_frame_rate: Some(10.0),
    });
    let mut frames = Vec::new();
    for _ in 0..30 {
        studio.show(128, 96);
        let soon = tokio::time::timeout(Duration::from_millis(50), viewer.next());
        frames.extend(soon.await.ok().flatten());
    }
    assert!((9..=11).contains(&frames.len()), "{}", frames.len());
    assert!(frames.iter().all(|f| (f.width, f.height) == (64, 48)));
    let full = studio.viewer(500_000);
    assert_eq!(
        studio.hub.video_encoders(),
        2,
        "other settings, other encoder"
    );
    drop(full);
}

#[tokio::test]
async fn an_encoder_of_ones_own_takes_on_other_settings() {
    let mut studio = Studio::new();
    let viewer = studio.viewer(500_000);
    studio.show(64, 48);
    next(&viewer).await;
    viewer.set_settings(VideoSendSettings {
        max_frame_rate: Some(60.0),
        ..Default::default()
    });
    studio.show(64, 48);
    assert!(!next(&viewer).await.key_frame, "the size is the same");
    viewer.set_settings(VideoSendSettings {
        scale_resolution_down_by: 2.0,
        max_frame_rate: Some(60.0),
    });
    studio.show(64, 48);
    let small = next(&viewer).await;
    assert!(small.key_frame);
    assert_eq!((small.width, small.height), (32, 24));
    // Another viewer wants the full size, and then both the same.
    let full = studio.viewer(500_000);
    assert_eq!(studio.hub.video_encoders(), 2);
    viewer.set_settings(VideoSendSettings::default());
    assert_eq!(studio.hub.video_encoders(), 1);
    assert_eq!(studio.until_seen(&viewer).await.width, 64);
    drop(full);
    assert_eq!(studio.until_seen(&viewer).await.width, 64);
}

#[tokio::test]
async fn a_picture_that_stands_still_is_shown_to_who_asks_for_it() {
    let clock = Arc::new(MonotonicClock::new());
    let hub = EncoderHub::new(clock.clone());
    let camera = source(MediaKind::Video);
    let track = camera.create_track();
    let settings = VideoSendSettings::default();
    let viewer = hub.subscribe_video(Some(&track), settings, 500_000);
    camera.publish(&picture(3, 64, 48, clock.now()).into());
    let first = next(&viewer).await;
    let second = hub.subscribe_video(Some(&track), settings, 500_000);
    let frame = next(&second).await;
    assert!(frame.key_frame);
    assert!(frame.capture_time > first.capture_time);
    let mut decoder = VideoCodec::Vp8.decoder().unwrap();
    assert!(decode(&mut *decoder, &frame).abs_diff(brightness(3)) <= 3);
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
