use super::*;
use crate::synthetic::{SyntheticCamera, SyntheticMicrophone, marks};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    Frame, FrameQueue, MediaStreamConstraints, MediaTrackConstraintSet, MonotonicClock, TrackState,
};
use std::time::Duration;

fn devices() -> MediaDevices {
    MediaDevices::new(Arc::new(MonotonicClock::new())).with_synthetic()
}

fn named(id: &str) -> MediaTrackConstraintSet {
    MediaTrackConstraintSet {
        device_id: Some(duet_media::constraints::ConstrainChoice::exact(id)),
        ..Default::default()
    }
}

fn first_picture(track: &MediaStreamTrack) -> duet_media::VideoFrame {
    let queue = Arc::new(FrameQueue::latest());
    let _sink = track.add_sink(queue.clone());
    match queue.pop_timeout(Duration::from_secs(10)) {
        Some(Frame::Video(frame)) => frame,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_synthetic_pair_is_listed_when_asked_for_in_the_specified_order() {
    let all = devices().enumerate_devices();
    let kinds: Vec<_> = all.iter().map(|device| device.kind).collect();
    let order = [
        MediaDeviceKind::AudioInput,
        MediaDeviceKind::VideoInput,
        MediaDeviceKind::AudioOutput,
    ];
    let rank = |kind: &MediaDeviceKind| order.iter().position(|other| other == kind);
    assert!(kinds.is_sorted_by_key(rank), "{kinds:?}");
    let find = |id: &str| all.iter().find(|device| device.device_id == id).unwrap();
    let (camera, microphone) = (
        find(SyntheticCamera::DEVICE_ID),
        find(SyntheticMicrophone::DEVICE_ID),
    );
    assert_eq!(camera.group_id, microphone.group_id);
    assert_eq!(camera.capabilities.width.unwrap().max, 3840);
    assert_eq!(devices().enumerate_devices(), all, "ids are stable");
    let plain = MediaDevices::new(Arc::new(MonotonicClock::new())).enumerate_devices();
    assert!(plain.iter().all(|device| device.group_id != "synthetic"));
}

#[test]
fn a_stream_has_a_track_of_each_kind_that_is_asked_for() {
    let constraints = MediaStreamConstraints {
        audio: Some(named(SyntheticMicrophone::DEVICE_ID).into()),
        video: Some(
            MediaTrackConstraintSet {
                width: Some(320.into()),
                height: Some(180.into()),
                frame_rate: Some(15.0.into()),
                ..named(SyntheticCamera::DEVICE_ID)
            }
            .into(),
        ),
    };
    let stream = devices().get_user_media(&constraints).unwrap();
    let (audio, video) = (stream.get_audio_tracks(), stream.get_video_tracks());
    assert_eq!((audio.len(), video.len()), (1, 1));
    let settings = video[0].get_settings();
    assert_eq!((settings.width, settings.height), (Some(320), Some(180)));
    assert_eq!(settings.frame_rate, Some(15.0));
    let frame = first_picture(&video[0]);
    assert_eq!((frame.width(), frame.height()), (320, 180));
    assert!(marks::read(&frame.buffer).is_some());
    assert_eq!(audio[0].get_settings().sample_rate, Some(48_000));
}

#[test]
fn each_refusal_has_its_name() {
    let name = |constraints: &MediaStreamConstraints| {
        let error = devices().get_user_media(constraints).unwrap_err();
        assert!(error.to_string().starts_with(error.name()), "{error}");
        (error.name(), error)
    };
    assert_eq!(name(&Default::default()).0, "TypeError");

    let blur = MediaTrackConstraintSet {
        background_blur: Some(duet_media::constraints::ConstrainChoice::exact(true)),
        ..Default::default()
    };
    let video = |set: MediaTrackConstraintSet| MediaStreamConstraints {
        audio: None,
        video: Some(set.into()),
    };
    assert_eq!(name(&video(blur)).0, "TypeError");

    let too_wide = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::min(100_000)),
        ..Default::default()
    };
    let (error, details) = name(&video(too_wide));
    assert_eq!(error, "OverconstrainedError");
    assert!(matches!(
        details,
        GetUserMediaError::Overconstrained { constraint, .. } if constraint == "width"
    ));
    let no_number = MediaTrackConstraintSet {
        frame_rate: Some(f64::NAN.into()),
        ..Default::default()
    };
    let (error, details) = name(&video(no_number));
    assert_eq!(error, "TypeError");
    assert_eq!(
        details.message(),
        "frameRate was given as NaN, which is no finite number"
    );
    let supported = MediaDevices::get_supported_constraints();
    assert!(supported.iter().all(|p| p.name() != "backgroundBlur") && supported.len() == 18);
    let (error, details) = name(&video(named("no such camera")));
    assert_eq!(error, "OverconstrainedError");
    assert!(matches!(
        details,
        GetUserMediaError::Overconstrained { constraint, .. } if constraint == "deviceId"
    ));
}

#[test]
fn sources_are_opened_by_their_command_line_names() {
    let (devices, any) = (devices(), MediaTrackConstraints::default());
    assert!(
        devices
            .open_video(&SourceSpec::None, &any)
            .unwrap()
            .is_none()
    );
    let track = devices
        .open_video(&SourceSpec::Synthetic, &any)
        .unwrap()
        .unwrap();
    assert_eq!(
        (track.kind(), track.label()),
        (MediaKind::Video, "Synthetic camera")
    );
    track.stop();
    assert_eq!(track.ready_state(), TrackState::Ended);
    let device = SourceSpec::Device(SyntheticMicrophone::DEVICE_ID.into());
    let track = devices.open_audio(&device, &any).unwrap().unwrap();
    assert_eq!(track.kind(), MediaKind::Audio);

    let error = devices
        .open_audio(&SourceSpec::Device("xyz".into()), &any)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("NotFoundError: there is no microphone with the id \"xyz\""),
        "{text}"
    );
    assert!(text.contains("synthetic-microphone"), "{text}");
    let file = SourceSpec::File("/nowhere/clip.y4m".into());
    let error = devices.open_video(&file, &any).unwrap_err();
    assert_eq!(error.name(), "NotFoundError");
}

#[test]
fn a_files_picture_is_made_smaller_where_that_is_wanted() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut picture = duet_media::I420Buffer::default();
    crate::synthetic::render(3, Duration::ZERO, false, 640, 360, &mut picture);
    std::io::Write::write_all(&mut file, b"YUV4MPEG2 W640 H360 F30:1\nFRAME\n").unwrap();
    std::io::Write::write_all(&mut file, picture.as_bytes()).unwrap();
    let spec = SourceSpec::File(file.path().into());
    let small = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::exact(320)),
        ..Default::default()
    };
    let track = devices().open_video(&spec, &small.into()).unwrap().unwrap();
    let frame = first_picture(&track);
    assert_eq!((frame.width(), frame.height()), (320, 180));
    assert_eq!(marks::read(&frame.buffer).unwrap().frame_number, 3);

    let large = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::exact(1280)),
        ..Default::default()
    };
    let error = devices().open_video(&spec, &large.into()).unwrap_err();
    assert_eq!(error.name(), "OverconstrainedError");
}

#[test]
fn a_devices_thread_goes_with_its_last_track() {
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone());
    let any = MediaTrackConstraints::default();
    let video = devices
        .open_video(&SourceSpec::Synthetic, &any)
        .unwrap()
        .unwrap();
    let audio = devices
        .open_audio(&SourceSpec::Synthetic, &any)
        .unwrap()
        .unwrap();
    let clone = video.clone_track();
    drop(video);
    first_picture(&clone);
    clone.stop();
    drop(audio);
    drop(devices);
    // Each thread holds the clock for as long as it lives.
    let start = std::time::Instant::now();
    while Arc::strong_count(&clock) > 1 {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "a thread lives on"
        );
        std::thread::yield_now();
    }
}

mod camera;
mod failing;
mod guarded;
#[cfg(feature = "shuttle")]
mod interleaved;
mod shared;

pub(super) use camera::TestCamera;
use camera::{ask, machine};
