//! A real camera, or the kernel's `vivid`, which is as good as one and fails to order: `script/devices-test`
//! boots a kernel that has it.

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

fn any() -> MediaTrackConstraints {
    MediaTrackConstraints::default()
}

fn ideal(width: u32, height: u32, rate: f64) -> MediaTrackConstraints {
    let set = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::ideal(width)),
        height: Some(ConstrainNumber::ideal(height)),
        frame_rate: Some(ConstrainNumber::ideal(rate)),
        ..Default::default()
    };
    set.into()
}

/// Pictures a second, by their times of capture.
fn rate(frames: &[VideoFrame]) -> f64 {
    let pairs = frames.windows(2);
    assert!(
        pairs.clone().all(|w| w[0].capture_time < w[1].capture_time),
        "time goes back"
    );
    let (first, last) = (frames.first().unwrap(), frames.last().unwrap());
    let whole = last.capture_time.saturating_since(first.capture_time);
    pairs.len() as f64 / whole.as_secs_f64()
}

#[test]
#[ignore = "needs a camera"]
fn a_camera_delivers_what_it_was_asked_for_and_changes_its_mind() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let all = devices.enumerate_devices();
    let mut found = all.iter().filter(|d| d.kind == MediaDeviceKind::VideoInput);
    let camera = found.next().unwrap();
    println!("{camera:?}");

    let spec = SourceSpec::Device(camera.device_id.clone());
    let track = devices.open_video(&spec, &ideal(640, 360, 30.0));
    let track = track.unwrap().unwrap();
    for (step, (width, height, wanted)) in [
        (640, 360, 30.0),
        // Only the rate, only the size, both; back to what it was.
        (640, 360, 15.0),
        (320, 180, 15.0),
        (640, 480, 25.0),
        (640, 360, 30.0),
    ]
    .into_iter()
    .enumerate()
    {
        let start = Instant::now();
        if step > 0 {
            track
                .apply_constraints(ideal(width, height, wanted))
                .unwrap();
        }
        let took = start.elapsed();
        let settings = track.get_settings();
        assert_eq!(
            (settings.width, settings.height),
            (Some(width), Some(height))
        );
        let got = frames(&track, 25);
        let sizes = got.iter().map(|frame| (frame.width(), frame.height()));
        assert!(
            sizes.clone().all(|size| size == (width, height)),
            "{:?}",
            Vec::from_iter(sizes)
        );
        let measured = rate(&got);
        println!("{width}x{height} at {wanted}: set in {took:?}, {measured:.2} a second");
        assert!(
            (measured / wanted - 1.0).abs() < 0.1,
            "{measured} in place of {wanted}"
        );
        let luma = got[0].buffer.y();
        assert!(
            luma.iter().min() != luma.iter().max(),
            "a picture of one shade"
        );
    }
    track.stop();
    assert_eq!(track.ready_state(), TrackState::Ended);
    // It is free again at once.
    let again = devices.open_video(&spec, &ideal(640, 480, 30.0));
    frames(&again.unwrap().unwrap(), 3);
}

#[test]
#[ignore = "needs a camera"]
fn two_consumers_have_one_camera_each_in_its_own_size() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let id = cameras(&devices.enumerate_devices()).remove(0);
    let open = |constraints: &MediaTrackConstraints| {
        let track = devices.open_video(&SourceSpec::Device(id.clone()), constraints);
        track.unwrap().unwrap()
    };
    let large = open(&ideal(640, 360, 30.0));
    let small = open(&ideal(320, 180, 30.0));
    assert_eq!(frames(&large, 5)[4].width(), 640);
    assert_eq!(frames(&small, 5)[4].width(), 320);
    // One of them goes; the other does not notice.
    large.stop();
    assert_eq!(frames(&small, 5)[4].width(), 320);
    assert_eq!(small.ready_state(), TrackState::Live);
}

/// Turns one of the knobs of `vivid`, as another program may while the camera is in use.
fn turn(id: &str, knob: &str) {
    let node = format!("/dev/{}", id.strip_prefix("v4l:").unwrap());
    let done = Command::new("v4l2-ctl")
        .args(["-d", &node, "-c", knob])
        .status();
    assert!(done.unwrap().success(), "{knob}");
}

#[test]
#[ignore = "needs vivid"]
fn a_camera_that_fails_ends_its_tracks_or_is_not_readable_and_never_hangs() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let id = cameras(&devices.enumerate_devices()).remove(0);
    let open = || devices.open_video(&SourceSpec::Device(id.clone()), &ideal(320, 180, 30.0));
    let (told, ends) = mpsc::sync_channel(16);
    let streaming = || {
        let track = open().unwrap().unwrap();
        frames(&track, 3);
        let told = told.clone();
        let subscription = track.subscribe(move |event| told.try_send(*event).unwrap());
        (track, subscription)
    };

    // A damaged picture is left out, and that is all.
    let (track, _subscription) = streaming();
    turn(&id, "inject_v4l2_buf_flag_error=1");
    frames(&track, 5);
    // It falls silent: every picture is dropped.
    turn(&id, "percentage_of_dropped_buffers=100");
    let start = Instant::now();
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(15)),
        Ok(TrackEvent::Ended)
    );
    println!("silent: ended after {:?}", start.elapsed());
    // Nor does it hang where it is asked for something else meanwhile.
    let (silent, start) = (open().unwrap().unwrap(), Instant::now());
    silent.apply_constraints(ideal(640, 360, 15.0)).unwrap();
    println!("silent: set anew in {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5));
    silent.stop();
    turn(&id, "percentage_of_dropped_buffers=0");
    drop(track);

    // The queue breaks.
    let (_track, _subscription) = streaming();
    let start = Instant::now();
    turn(&id, "inject_fatal_streaming_error=1");
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(15)),
        Ok(TrackEvent::Ended)
    );
    println!("broken: ended after {:?}", start.elapsed());

    // It does not start.
    for knob in [
        "inject_vidioc_streamon_error=1",
        "inject_vidioc_reqbufs_error=1",
    ] {
        turn(&id, knob);
        let error = open().unwrap_err();
        println!("{knob}: {error}");
        assert_eq!(error.name(), "NotReadableError");
    }
    // Each was meant for once.
    let (_track, _subscription) = streaming();
    // The plug is half out: the node is there, and nobody behind it.
    let start = Instant::now();
    turn(&id, "disconnect=1");
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(15)),
        Ok(TrackEvent::Ended)
    );
    println!("disconnected: ended after {:?}", start.elapsed());
    // It is put in again when the last one has let go.
    let start = Instant::now();
    let track = loop {
        match open() {
            Ok(track) => break track.unwrap(),
            Err(error) => assert!(start.elapsed() < Duration::from_secs(5), "{error}"),
        }
    };
    frames(&track, 3);
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
        devices.open_video(&spec, &any())
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
    let refused = devices.open_video(&spec, &any());
    other.kill().unwrap();
    other.wait().unwrap();
    let error = refused.unwrap_err();
    println!("{error}");
    assert_eq!(error.name(), "NotReadableError");
    // It is listed all the while, and free again.
    assert_eq!(cameras(&devices.enumerate_devices()), all);
    frames(&devices.open_video(&spec, &any()).unwrap().unwrap(), 3);
}
