//! Devices that fail, and devices beside which there is a better one.

use super::*;
use duet_media::{I420Buffer, MediaTime, TrackEvent, VideoFrame};
use std::sync::mpsc;
use std::time::Instant;

fn busy() -> GetUserMediaError {
    GetUserMediaError::NotReadable("somebody else has it".into())
}

#[test]
fn the_camera_that_fits_best_is_taken_and_of_equals_the_first() {
    let (first, large, same) = (
        TestCamera::new("first", 640),
        TestCamera::new("large", 1280),
        TestCamera::new("same", 640),
    );
    let devices = machine([&first, &large, &same]);
    assert_eq!(ask(&devices, 640).unwrap().label(), "first");
    assert_eq!(ask(&devices, 1280).unwrap().label(), "large");
    let ids: Vec<_> = devices
        .enumerate_devices()
        .into_iter()
        .map(|d| d.device_id)
        .collect();
    assert!(
        ids.starts_with(&["first".into(), "large".into(), "same".into()]),
        "{ids:?}"
    );
}

#[test]
fn an_advanced_set_decides_between_cameras_before_any_distance() {
    let (first, second) = (
        TestCamera::new("first", 640),
        TestCamera::new("second", 1280),
    );
    let devices = machine([&first, &second]);
    let get = |advanced: &[MediaTrackConstraintSet]| {
        let video = MediaTrackConstraints {
            basic: MediaTrackConstraintSet {
                width: Some(ConstrainNumber::ideal(640)),
                ..Default::default()
            },
            advanced: advanced.to_vec(),
        };
        let (audio, video) = (None, Some(video));
        let stream = devices.get_user_media(&MediaStreamConstraints { audio, video });
        stream.unwrap().get_video_tracks()[0].label().to_owned()
    };
    let wide = |width| MediaTrackConstraintSet {
        width: Some(ConstrainNumber::min(width)),
        ..Default::default()
    };
    assert_eq!(get(&[]), "first");
    assert_eq!(get(&[wide(1_000)]), "second");
    assert_eq!(get(&[wide(9_000), named("second")]), "second");
    assert_eq!(get(&[named("first"), wide(1_000)]), "first");
}

#[test]
fn a_camera_that_comes_back_otherwise_serves_its_tracks_from_that() {
    let camera = TestCamera::new("camera", 640);
    let mut devices = machine([&camera]);
    let track = ask(&devices, 320).unwrap();
    assert_eq!(track.get_settings().width, Some(320));
    let picture = Arc::new(I420Buffer::new(640, 480));
    let frame = VideoFrame::new(picture, MediaTime::ZERO).into();
    camera.source().unwrap().publish(&frame);
    track.set_enabled(false);
    while camera.counts() != (1, 1) {
        std::thread::yield_now();
    }
    devices.test.clear();
    camera.comes_back(200);
    track.set_enabled(true);
    while camera.counts() != (2, 1) || track.get_settings().width != Some(200) {
        std::thread::yield_now();
    }
    assert_eq!(track.ready_state(), TrackState::Live);
}

#[test]
fn a_camera_that_cannot_be_had_is_passed_over_and_the_last_refusal_is_told() {
    let broken = TestCamera::new("broken", 640).refusing(busy());
    let works = TestCamera::new("works", 320);
    assert_eq!(
        ask(&machine([&broken, &works]), 640).unwrap().label(),
        "works"
    );
    let error = ask(&machine([&broken]), 640).unwrap_err();
    assert_eq!(
        (error.name(), error.message()),
        ("NotReadableError", "somebody else has it")
    );
    let odd = TestCamera::new("odd", 640).refusing(GetUserMediaError::Abort("smoke".into()));
    assert_eq!(ask(&machine([&odd]), 640).unwrap_err().name(), "AbortError");
}

#[test]
fn a_camera_that_is_lost_as_it_is_opened_is_no_camera() {
    let fleeting = TestCamera::new("fleeting", 640).fleeting();
    let devices = machine([&fleeting]);
    let error = ask(&devices, 640).unwrap_err();
    assert_eq!(
        (error.name(), error.message()),
        ("NotReadableError", "fleeting was lost as it was opened")
    );
    assert!(devices.open_sources(None).is_empty());
    assert!(fleeting.source().is_none(), "something of it is left");
    let works = TestCamera::new("works", 320);
    let track = ask(&machine([&fleeting, &works]), 640).unwrap();
    assert_eq!(
        (track.label(), track.ready_state()),
        ("works", TrackState::Live)
    );
}

#[test]
fn what_was_opened_is_closed_when_another_part_of_the_request_fails() {
    let camera = TestCamera::new("camera", 640);
    let mut devices = machine([&camera]).with_synthetic();
    devices.synthetic = true;
    let impossible = MediaTrackConstraintSet {
        sample_rate: Some(ConstrainNumber::exact(11_025)),
        ..named(SyntheticMicrophone::DEVICE_ID)
    };
    let constraints = MediaStreamConstraints {
        audio: Some(impossible.into()),
        video: Some(Default::default()),
    };
    let error = devices.get_user_media(&constraints).unwrap_err();
    assert_eq!(error.name(), "OverconstrainedError");
    let (opened, stopped) = camera.counts();
    assert_eq!(opened, stopped);
    assert!(devices.open_sources(None).is_empty());
}

#[test]
fn a_camera_is_opened_once_for_all_and_unplugged_for_all() {
    let camera = TestCamera::new("camera", 640);
    let devices = machine([&camera]);
    let (a, b) = (ask(&devices, 640).unwrap(), ask(&devices, 320).unwrap());
    assert_eq!(camera.counts(), (1, 0));
    let (ended, heard) = mpsc::channel();
    let _subscriptions = [&a, &b].map(|track| {
        let ended = ended.clone();
        track.subscribe(move |event| ended.send(*event).unwrap())
    });
    camera.source().unwrap().end();
    let events: Vec<_> = heard.try_iter().collect();
    assert_eq!(events, [TrackEvent::Ended, TrackEvent::Ended]);
    assert_eq!(camera.counts(), (1, 0), "it went by itself");
    drop((a, b));
    assert!(camera.source().is_none(), "something of it is left");
    let again = ask(&devices, 640).unwrap();
    assert_eq!(
        (again.ready_state(), camera.counts().0),
        (TrackState::Live, 2)
    );
}

#[test]
fn a_camera_that_cannot_be_had_again_ends_its_tracks() {
    let camera = TestCamera::new("camera", 640);
    let devices = machine([&camera]);
    let track = ask(&devices, 640).unwrap();
    let picture = Arc::new(I420Buffer::new(640, 480));
    let frame = VideoFrame::new(picture, MediaTime::ZERO).into();
    camera.source().unwrap().publish(&frame);
    let (ended, heard) = mpsc::channel();
    let _subscription = track.subscribe(move |event| ended.send(*event).unwrap());
    track.set_enabled(false);
    let disabled = Instant::now();
    while camera.counts() != (1, 1) {
        assert!(
            disabled.elapsed() < Duration::from_secs(3),
            "it is still held"
        );
        std::thread::yield_now();
    }
    camera.refuse(busy());
    track.set_enabled(true);
    let event = heard.recv_timeout(Duration::from_secs(10));
    assert_eq!(event, Ok(TrackEvent::Ended));
    assert_eq!(track.ready_state(), TrackState::Ended);
}
