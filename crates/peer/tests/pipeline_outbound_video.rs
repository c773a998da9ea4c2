//! From a track of pictures to encoded frames: encoders are shared, and nobody spoils it for the
//! others.

mod common;

use common::{source, within};
use duet_codec::{CodecError, VideoCodec, VideoDecoder, VideoEncoder, VideoEncoderConfig};
use duet_media::{
    Clock, I420Buffer, ManualClock, MediaKind, MediaSource, MediaStreamTrack, MediaTime,
    MonotonicClock, TrackState, VideoFrame,
};
use duet_peer::pipeline::{EncoderHub, OutboundFrame, OutboundVideo, VideoSendSettings};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const FRAME: Duration = Duration::from_millis(33);
/// Pictures from one key frame to the next, when somebody asks for one all the time.
const KEY_FRAME_EVERY: u32 = 16;

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

/// Tells where the pictures are that it is given.
struct Look(VideoEncoderConfig, mpsc::Sender<usize>);

impl VideoEncoder for Look {
    fn encode(
        &mut self,
        frame: &VideoFrame,
        key_frame: bool,
    ) -> Result<Option<OutboundFrame>, CodecError> {
        let _ = self.1.send(frame.buffer.y().as_ptr().addr());
        Ok(Some(OutboundFrame {
            data: b"seen".as_slice().into(),
            key_frame,
            capture_time: frame.capture_time,
            width: frame.width(),
            height: frame.height(),
            layer: None,
        }))
    }

    fn configure(&mut self, config: &VideoEncoderConfig) -> Result<(), CodecError> {
        self.0 = *config;
        Ok(())
    }

    fn config(&self) -> VideoEncoderConfig {
        self.0
    }
}

#[tokio::test]
async fn an_encoder_of_the_programs_own_gets_the_very_picture_that_was_shown() {
    let (told, places) = mpsc::channel();
    let told = Mutex::new(told);
    let mut studio = Studio::new();
    studio.hub = EncoderHub::with_video_encoders(
        studio.clock.clone(),
        Arc::new(move |config| Ok(Box::new(Look(*config, told.lock().unwrap().clone())))),
    );
    let viewers = [studio.viewer(500_000), studio.viewer(600_000)];
    assert!(viewers.iter().all(|viewer| waiting_for(viewer).is_none()));
    assert_eq!(studio.hub.video_encoders(), 1);
    for n in 0..5 {
        studio.clock.advance(FRAME);
        let shown = picture(n, 64, 48, studio.clock.now());
        let place = shown.buffer.y().as_ptr().addr();
        studio.camera.publish(&shown.into());
        for viewer in &viewers {
            assert_eq!(next(viewer).await.data, "seen");
        }
        let seen: Vec<_> = places.try_iter().collect();
        assert_eq!(seen, [place], "once, and not copied");
    }
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
    let frame = within("a frame", viewer.next()).await;
    frame.expect("it is not closed")
}

/// The frame that waits to be taken, if there is one.
fn waiting_for(viewer: &OutboundVideo) -> Option<OutboundFrame> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(viewer.next()).poll(&mut cx) {
        Poll::Ready(frame) => Some(frame.expect("it is not closed")),
        Poll::Pending => None,
    }
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

/// What a viewer does not take is left out up to the next key frame, which is not made before half a
/// second has passed since the last: 16 pictures. So its queue of eight fills up and is emptied in
/// turns, and is empty in half of them. Whatever the turn at which the viewer comes back, it goes on
/// with a key frame, and soon.
#[tokio::test]
async fn a_slow_viewer_slows_nobody_and_resumes_with_a_key_frame() {
    for away in 30..30 + KEY_FRAME_EVERY {
        let mut studio = Studio::new();
        let (fast, slow) = (studio.viewer(500_000), studio.viewer(500_000));
        studio.show(64, 48);
        let (_, first) = tokio::join!(next(&fast), next(&slow));
        assert!(first.key_frame);
        let mut last = studio.clock.now();
        let mut show = async |studio: &mut Studio| {
            studio.show(64, 48);
            let frame = next(&fast).await;
            assert_eq!(frame.capture_time, last + FRAME, "the fast one misses none");
            last = frame.capture_time;
        };
        for _ in 0..away {
            show(&mut studio).await;
        }
        let mut waited = 0;
        let resumed = loop {
            if let Some(frame) = waiting_for(&slow) {
                break frame;
            }
            show(&mut studio).await;
            waited += 1;
            assert!(
                waited <= KEY_FRAME_EVERY,
                "away for {away}: left out for good"
            );
        };
        assert!(resumed.key_frame, "never a lone delta frame");
        let age = studio.clock.now().saturating_since(resumed.capture_time);
        assert!(age <= 8 * FRAME, "away for {away}: {age:?} old");
        let mut decoder = VideoCodec::Vp8.decoder().unwrap();
        let seen = decode(&mut *decoder, &resumed);
        let number = resumed
            .capture_time
            .saturating_since(MediaTime::from_millis(5_000));
        let number = (number.as_millis() / FRAME.as_millis()) as u32 - 1;
        assert!(seen.abs_diff(brightness(number)) <= 3, "{seen}");
        assert_eq!(fast.stats().frames_dropped, 0);
        // But for what the queue held, and one picture that is about to be handed over.
        let dropped = slow.stats().frames_dropped;
        assert!(
            (u64::from(away) - 9..=u64::from(away + waited)).contains(&dropped),
            "away for {away}: {dropped}"
        );
    }
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
async fn who_takes_nothing_yet_holds_nobody_to_anything() {
    let mut studio = Studio::new();
    let (waiting, poor) = (studio.viewer(4_000_000), studio.viewer(100_000));
    let watching = studio.viewer(1_000_000);
    studio.show(64, 48);
    next(&watching).await;
    assert_eq!(studio.hub.video_encoders(), 1);
    studio.show(64, 48);
    next(&watching).await;
    assert_eq!(watching.stats().target_bitrate, 1_000_000);
    // They begin to watch, and each gets what it can take.
    studio.until_seen(&poor).await;
    assert_eq!(studio.hub.video_encoders(), 2);
    studio.until_seen(&waiting).await;
    assert_eq!(studio.hub.video_encoders(), 3);
    assert_eq!(waiting.stats().target_bitrate, 4_000_000);
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
        ..Default::default()
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
        ..Default::default()
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
