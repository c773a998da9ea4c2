//! Several tracks of one device, and a device that nobody wants for a while.

use super::*;
use duet_media::constraints::ConstrainDOMString;
use std::time::Instant;

fn camera(devices: &MediaDevices, constraints: &MediaTrackConstraints) -> MediaStreamTrack {
    let spec = SourceSpec::Device(SyntheticCamera::DEVICE_ID.into());
    devices.open_video(&spec, constraints).unwrap().unwrap()
}

fn wide(width: ConstrainNumber<u32>) -> MediaTrackConstraints {
    MediaTrackConstraintSet {
        width: Some(width),
        ..Default::default()
    }
    .into()
}

fn number(frame: &duet_media::VideoFrame) -> Option<u32> {
    marks::read(&frame.buffer).map(|marks| marks.frame_number)
}

#[test]
fn a_device_is_opened_once_and_each_track_gets_its_own_picture() {
    let devices = devices();
    let large = camera(&devices, &wide(ConstrainNumber::exact(640)));
    let small = camera(&devices, &wide(ConstrainNumber::exact(320)));
    let follows = camera(&devices, &Default::default());
    let size = |track: &MediaStreamTrack| first_picture(track).width();
    assert_eq!((size(&large), size(&small)), (640, 320));
    assert_eq!(size(&follows), 640, "it asks for nothing");
    assert_eq!(devices.open_sources(None).len(), 1);
    let hd = wide(ConstrainNumber::exact(1280));
    follows.apply_constraints(hd.clone()).unwrap();
    assert_eq!(
        (size(&large), size(&small), size(&follows)),
        (640, 320, 1280),
        "nobody else suffers"
    );
    large.apply_constraints(hd).unwrap();
    assert_eq!((size(&large), size(&small)), (1280, 320));
    large.stop();
    small.stop();
    assert_eq!(devices.open_sources(None).len(), 1);
    follows.stop();
    assert!(devices.open_sources(None).is_empty());
}

#[test]
fn a_second_request_that_the_first_stands_in_the_way_of_is_overconstrained() {
    let devices = devices();
    let native = |width| MediaTrackConstraintSet {
        width: Some(ConstrainNumber::exact(width)),
        resize_mode: Some(ConstrainDOMString::exact("none")),
        ..named(SyntheticCamera::DEVICE_ID)
    };
    let ask = |set: MediaTrackConstraintSet| {
        let (audio, video) = (None, Some(set.into()));
        devices.get_user_media(&MediaStreamConstraints { audio, video })
    };
    let first = ask(native(640)).unwrap();
    assert_eq!(ask(native(320)).unwrap_err().name(), "OverconstrainedError");
    assert!(first.active());
    first.get_tracks()[0].stop();
    ask(native(320)).unwrap();
}

#[test]
fn a_device_that_nobody_wants_is_let_go_and_comes_back() {
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone()).with_synthetic();
    let track = camera(&devices, &wide(ConstrainNumber::exact(320)));
    let clone = track.clone_track();
    let queue = Arc::new(FrameQueue::latest());
    let _sink = track.add_sink(queue.clone());
    let next = || match queue.pop_timeout(Duration::from_secs(10)) {
        Some(Frame::Video(frame)) => frame,
        other => panic!("{other:?}"),
    };
    assert!(number(&next()).is_some());
    // The device's thread, this test, the devices, and the lease.
    let held = Arc::strong_count(&clock);
    track.set_enabled(false);
    clone.set_enabled(false);
    let disabled = Instant::now();
    while Arc::strong_count(&clock) == held {
        assert!(
            disabled.elapsed() < Duration::from_secs(3),
            "it is still held"
        );
        let black = next();
        assert_eq!((black.width(), number(&black)), (320, None));
    }
    // Without a device the track keeps its rhythm.
    let (a, b) = (next().capture_time, next().capture_time);
    assert!(b > a && b.saturating_since(a) < Duration::from_millis(500));
    clone.set_enabled(true);
    let enabled = Instant::now();
    while number(&first_picture(&clone)).is_none() {
        assert!(
            enabled.elapsed() < Duration::from_secs(10),
            "it does not come back"
        );
    }
    assert_eq!(number(&next()), None, "for whoever wants it");
    clone.stop();
    track.stop();
    assert!(devices.open_sources(None).is_empty());
}

#[test]
fn a_short_pause_keeps_the_device() {
    let devices = devices();
    let track = camera(&devices, &wide(ConstrainNumber::exact(320)));
    let before = number(&first_picture(&track)).unwrap();
    for _ in 0..20 {
        track.set_enabled(false);
        track.set_enabled(true);
    }
    let after = number(&first_picture(&track)).unwrap();
    assert!(after >= before, "it was never opened anew");
}
