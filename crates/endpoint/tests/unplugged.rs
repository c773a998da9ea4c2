//! A call whose camera is pulled out: the kernel's `vivid`, which `script/devices-test` boots.

#![cfg(all(feature = "hardware", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet::devices::synthetic::marks::audio::{Listener, pattern_index};
use duet::devices::synthetic::{SyntheticMicrophone, SyntheticMicrophoneConfig};
use duet::devices::{MediaDeviceKind, MediaDevices, SourceSpec};
use duet::media::constraints::ConstrainNumber;
use duet::media::{
    Frame, FrameQueue, MediaKind, MediaStream, MediaStreamTrack, MediaTrackConstraintSet,
    MonotonicClock, SinkHandle, TrackEvent, TrackState,
};
use duet::peer::{
    NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCPeerConnection,
    RTCPeerConnectionState,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// An emulated machine takes its time.
const PATIENCE: Duration = Duration::from_secs(40);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let timed = tokio::time::timeout(PATIENCE, future).await;
    timed.unwrap_or_else(|_| panic!("{what} does not come"))
}

/// Carries one side's candidates to the other, and hands out the tracks that it is sent.
fn carry(from: &RTCPeerConnection, to: &RTCPeerConnection) -> mpsc::Receiver<MediaStreamTrack> {
    let (found, tracks) = mpsc::channel(4);
    let mut events = from.events();
    let to = to.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                PeerConnectionEvent::IceCandidate(candidate) => {
                    let _ = to.add_ice_candidate(candidate).await;
                }
                PeerConnectionEvent::Track(event) => found.try_send(event.track).unwrap(),
                _ => {}
            }
        }
    });
    tracks
}

struct Viewer {
    queue: Arc<FrameQueue>,
    _sink: SinkHandle,
}

impl Viewer {
    fn of(track: &MediaStreamTrack) -> Self {
        let queue = Arc::new(FrameQueue::new(64));
        Viewer {
            _sink: track.add_sink(queue.clone()),
            queue,
        }
    }

    async fn next(&self, what: &str) -> Frame {
        soon(what, self.queue.pop()).await.unwrap()
    }

    /// Frames that come in so long a time, and of the sound those in tune.
    async fn count(&self, time: Duration) -> (u32, u32) {
        while self.queue.try_pop().is_some() {}
        let mut listener = Listener::new();
        let (mut frames, mut in_tune) = (0, 0);
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(frame)) = tokio::time::timeout_at(end, self.queue.pop()).await {
            frames += 1;
            if let Frame::Audio(sound) = frame {
                listener.hear(&sound.buffer, sound.capture_time);
                let note = listener.pitch_hz().and_then(pattern_index);
                in_tune += u32::from(note.is_some());
            }
        }
        (frames, in_tune)
    }
}

/// The first camera, small enough for a slow machine.
async fn open(devices: &MediaDevices) -> MediaStreamTrack {
    let devices = devices.clone();
    let set = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::ideal(320)),
        height: Some(ConstrainNumber::ideal(180)),
        frame_rate: Some(ConstrainNumber::ideal(15.0)),
        ..Default::default()
    };
    let opened =
        tokio::task::spawn_blocking(move || devices.open_video(&SourceSpec::Default, &set.into()));
    opened.await.unwrap().unwrap().unwrap()
}

async fn plug(how: &'static str) {
    let file = format!("/sys/bus/platform/drivers/vivid/{how}");
    let done = tokio::task::spawn_blocking(move || std::fs::write(file, "vivid.0"));
    done.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vivid, and root"]
async fn in_mid_call_the_sound_goes_on_and_the_camera_that_is_plugged_in_again_is_seen() {
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone());
    let (told, mut changes) = mpsc::channel(16);
    let _devices_subscription = devices.subscribe(move |event| {
        let cameras = event.devices.iter();
        let cameras = cameras.filter(|device| device.kind == MediaDeviceKind::VideoInput);
        told.try_send(cameras.count()).unwrap();
    });
    let camera = open(&devices).await;
    let microphone =
        SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock.clone());
    let stream = MediaStream::from_tracks([camera.clone(), microphone.clone()]);

    let context = PeerContext {
        network: NetworkPolicy::LoopbackOnly,
        mdns: false,
        ..PeerContext::new(clock)
    };
    let new = || RTCPeerConnection::new(RTCConfiguration::default(), context.clone());
    let (near, far) = (new().await.unwrap(), new().await.unwrap());
    let _none = carry(&near, &far);
    let mut tracks = carry(&far, &near);
    let sender = near.add_track(&camera, &[&stream]).await.unwrap();
    near.add_track(&microphone, &[&stream]).await.unwrap();
    for (from, to) in [(&near, &far), (&far, &near)] {
        from.set_local_description(None).await.unwrap();
        let description = from.local_description().await.unwrap();
        to.set_remote_description(description).await.unwrap();
    }
    let (mut picture, mut sound) = (None, None);
    for _ in 0..2 {
        let track = soon("a track", tracks.recv()).await.unwrap();
        match track.kind() {
            MediaKind::Video => picture = Some((Viewer::of(&track), track)),
            MediaKind::Audio => sound = Some(Viewer::of(&track)),
        }
    }
    let ((picture, remote), sound) = (picture.unwrap(), sound.unwrap());
    picture.next("the first picture").await;
    sound.next("the first sound").await;
    let before = picture.count(Duration::from_secs(3)).await;
    println!("{before:?} pictures in 3 s before");
    assert!(before.0 > 5, "{before:?}");

    let (ended, mut ends) = mpsc::channel(4);
    let _subscription = camera.subscribe(move |event| ended.try_send(*event).unwrap());
    let start = Instant::now();
    plug("unbind").await;
    assert_eq!(soon("the end", ends.recv()).await, Some(TrackEvent::Ended));
    println!("the track ended after {:?}", start.elapsed());
    assert_eq!(soon("devicechange", changes.recv()).await, Some(0));
    println!("devicechange after {:?}", start.elapsed());
    assert_eq!(camera.ready_state(), TrackState::Ended);

    // The call goes on: its sound, and the track at the other end, which stands still.
    let (frames, in_tune) = sound.count(Duration::from_secs(4)).await;
    println!("{frames} frames of sound in 4 s without the camera, {in_tune} in tune");
    assert!(
        frames > 200 && in_tune * 2 > frames,
        "{in_tune} of {frames}"
    );
    assert_eq!(near.connection_state(), RTCPeerConnectionState::Connected);
    assert_eq!(remote.ready_state(), TrackState::Live);
    assert_eq!(microphone.ready_state(), TrackState::Live);
    let still = picture.count(Duration::from_secs(1)).await;
    assert_eq!(still, (0, 0), "pictures of a camera that is gone");

    plug("bind").await;
    while soon("devicechange", changes.recv()).await == Some(0) {}
    let again = open(&devices).await;
    let start = Instant::now();
    sender.replace_track(Some(&again)).unwrap();
    picture.next("a picture of the new track").await;
    println!("the new track's picture after {:?}", start.elapsed());
    let after = picture.count(Duration::from_secs(3)).await;
    let (frames, in_tune) = sound.count(Duration::from_secs(2)).await;
    println!("{after:?} pictures in 3 s after, {in_tune} of {frames} frames in tune");
    assert!(
        after.0 > 5 && in_tune * 2 > frames,
        "{after:?}, {in_tune} of {frames}"
    );
    near.close().await;
    far.close().await;
    // A call that closes ends no local track.
    assert_eq!(again.ready_state(), TrackState::Live);
}
