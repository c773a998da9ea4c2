//! A real camera, or the kernel's `vivid`, which is as good as one: `script/devices-test` boots a kernel
//! that has it.

#![cfg(feature = "hardware")]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet_devices::{MediaDeviceInfo, MediaDeviceKind, MediaDevices, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    Frame, FrameQueue, MediaStreamTrack, MediaTrackConstraintSet, MediaTrackConstraints,
    MonotonicClock, TrackEvent, TrackState, VideoFrame,
};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
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

/// The kernel's own way to pull the plug of `vivid`, with all of its cameras, and to put it in again.
fn plug(how: &str) {
    let file = format!("/sys/bus/platform/drivers/vivid/{how}");
    std::fs::write(file, "vivid.0").unwrap();
}

fn cameras(devices: &[MediaDeviceInfo]) -> Vec<String> {
    let cameras = devices
        .iter()
        .filter(|device| device.kind == MediaDeviceKind::VideoInput);
    cameras.map(|camera| camera.device_id.clone()).collect()
}

#[test]
#[ignore = "needs vivid, and root"]
fn cameras_that_are_pulled_out_end_their_tracks_and_come_back() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let (told, changes) = mpsc::sync_channel(16);
    let _subscription = devices.subscribe(move |event| {
        told.try_send(cameras(&event.devices)).unwrap();
    });
    let all = cameras(&devices.enumerate_devices());
    assert_eq!(all.len(), 2, "{all:?}");
    let open = |id: &String| {
        let spec = SourceSpec::Device(id.clone());
        devices.open_video(&spec, &MediaTrackConstraints::default())
    };
    let tracks: Vec<_> = all.iter().map(|id| open(id).unwrap().unwrap()).collect();
    let (ended, ends) = mpsc::sync_channel(16);
    let _subscriptions: Vec<_> = tracks
        .iter()
        .map(|track| {
            frames(track, 3);
            let ended = ended.clone();
            track.subscribe(move |event| ended.try_send(*event).unwrap())
        })
        .collect();

    let patience = Duration::from_secs(20);
    let start = Instant::now();
    plug("unbind");
    for _ in &tracks {
        assert_eq!(ends.recv_timeout(patience), Ok(TrackEvent::Ended));
        println!(
            "a track ended {:?} after the plug was pulled",
            start.elapsed()
        );
    }
    let ended = |track: &MediaStreamTrack| track.ready_state() == TrackState::Ended;
    assert!(tracks.iter().all(ended));
    assert_eq!(changes.recv_timeout(patience).unwrap(), [""; 0]);
    println!("told of it after {:?}", start.elapsed());
    assert_eq!(open(&all[0]).unwrap_err().name(), "NotFoundError");

    let start = Instant::now();
    plug("bind");
    let mut back = changes.recv_timeout(patience).unwrap();
    if back.len() < 2 {
        // The second came so late that it was told of on its own.
        back = changes.recv_timeout(patience).unwrap();
    }
    println!("told that they are back after {:?}", start.elapsed());
    assert_eq!(back, all);
    frames(&open(&all[0]).unwrap().unwrap(), 3);
}

#[test]
#[ignore = "needs two cameras of vivid"]
fn a_camera_that_another_program_holds_is_not_readable() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let all = cameras(&devices.enumerate_devices());
    let node = all[0].strip_prefix("v4l:").unwrap();
    // It streams until it is killed.
    let mut other = Command::new("v4l2-ctl")
        .args(["-d", &format!("/dev/{node}"), "--stream-mmap"])
        .args(["--set-fmt-video=width=640,height=360", "--set-parm=30"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It prints a mark for each picture: with the first one it has the camera.
    let mut mark = [0];
    other
        .stderr
        .as_mut()
        .unwrap()
        .read_exact(&mut mark)
        .unwrap();
    let spec = SourceSpec::Device(all[0].clone());
    let any = MediaTrackConstraints::default();
    let refused = devices.open_video(&spec, &any);
    other.kill().unwrap();
    other.wait().unwrap();
    let error = refused.unwrap_err();
    println!("{error}");
    assert_eq!(error.name(), "NotReadableError");
    // It is listed all the while, and free again.
    assert_eq!(cameras(&devices.enumerate_devices()), all);
    frames(&devices.open_video(&spec, &any).unwrap().unwrap(), 3);
}
