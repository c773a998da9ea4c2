//! A real camera, or the kernel's `vivid`, which is as good as one.

#![cfg(feature = "hardware")]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet_devices::{MediaDeviceKind, MediaDevices, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    Frame, FrameQueue, MediaStreamTrack, MediaTrackConstraintSet, MonotonicClock, TrackState,
    VideoFrame,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn frames(track: &MediaStreamTrack, count: usize) -> Vec<VideoFrame> {
    let queue = Arc::new(FrameQueue::new(4));
    let _sink = track.add_sink(queue.clone());
    let next = || match queue.pop_timeout(Duration::from_secs(10)) {
        Some(Frame::Video(frame)) => frame,
        other => panic!("{other:?}"),
    };
    std::iter::repeat_with(next).take(count).collect()
}

#[test]
#[ignore = "needs a camera"]
fn a_camera_delivers_what_it_was_asked_for_and_changes_its_mind() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let all = devices.enumerate_devices();
    let mut cameras = all.iter().filter(|d| d.kind == MediaDeviceKind::VideoInput);
    let camera = cameras.next().unwrap();
    println!("{camera:?}");

    let size = |width, height| MediaTrackConstraintSet {
        width: Some(ConstrainNumber::ideal(width)),
        height: Some(ConstrainNumber::ideal(height)),
        ..Default::default()
    };
    let spec = SourceSpec::Device(camera.device_id.clone());
    let track = devices
        .open_video(&spec, &size(640, 360).into())
        .unwrap()
        .unwrap();
    let settings = track.get_settings();
    let start = Instant::now();
    let got = frames(&track, 30);
    println!("{settings:?}: 30 frames in {:?}", start.elapsed());
    for frame in &got {
        assert_eq!(Some(frame.width()), settings.width);
        assert_eq!(Some(frame.height()), settings.height);
    }
    assert!(
        got.windows(2)
            .all(|w| w[0].capture_time < w[1].capture_time)
    );
    let luma = got[0].buffer.y();
    assert!(
        luma.iter().min() != luma.iter().max(),
        "a picture of one shade"
    );

    assert!(
        devices
            .enumerate_devices()
            .iter()
            .any(|d| d.device_id == camera.device_id)
    );
    track.apply_constraints(size(320, 180).into()).unwrap();
    let settings = track.get_settings();
    let got = frames(&track, 10);
    assert_eq!(got.last().map(VideoFrame::width), settings.width);
    track.stop();
    assert_eq!(track.ready_state(), TrackState::Ended);
    // It is free again at once, or nearly so.
    let start = Instant::now();
    while let Err(error) = devices.open_video(&spec, &size(640, 480).into()) {
        assert!(start.elapsed() < Duration::from_secs(5), "{error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
