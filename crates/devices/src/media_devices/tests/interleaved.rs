//! A device that comes and goes while its tracks do, under a scheduler that tries out thousands of ways in
//! which threads can interleave. Whether two seconds are over is the scheduler's to say.
//! `cargo test -p duet-devices --features shuttle --lib interleaved`

use super::*;
use duet_media::{MediaTime, TrackEvent};
use shuttle::rand::Rng;
use shuttle::sync::mpsc::{self, Receiver, Sender};
use shuttle::thread;
use std::sync::atomic::{AtomicU32, Ordering};

const SCHEDULES: usize = 5_000;

/// Says when nobody has it any more: no devices, no lease, no thread.
#[derive(Debug)]
struct LastOne(MonotonicClock, Sender<()>);

impl Clock for LastOne {
    fn now(&self) -> MediaTime {
        self.0.now()
    }

    fn unix_time(&self, time: MediaTime) -> Duration {
        self.0.unix_time(time)
    }

    fn from_unix_time(&self, unix: Duration) -> MediaTime {
        self.0.from_unix_time(unix)
    }
}

impl Drop for LastOne {
    fn drop(&mut self) {
        // Whoever waited may be gone after a failure.
        let _ = self.1.send(());
    }
}

/// A machine with one camera, and what is left of it.
struct Machine {
    camera: TestCamera,
    devices: MediaDevices,
    gone: Receiver<()>,
}

impl Machine {
    fn with(camera: TestCamera) -> Self {
        let (last, gone) = mpsc::channel();
        let clock = Arc::new(LastOne(MonotonicClock::new(), last));
        let mut devices = MediaDevices::new(clock).without_hardware();
        devices.test = vec![Device::Test(camera.clone())];
        Machine {
            camera,
            devices,
            gone,
        }
    }

    /// Everybody has what they want. Then they are content, and nothing is left of anything.
    fn settles<const N: usize>(self, tracks: [&MediaStreamTrack; N]) {
        let live = tracks.map(|track| track.ready_state() == TrackState::Live);
        for (track, live) in tracks.into_iter().zip(live) {
            if live && track.enabled() {
                until(|| self.camera.is_open() || track.ready_state() == TrackState::Ended);
            }
        }
        tracks.into_iter().for_each(MediaStreamTrack::stop);
        let Machine {
            camera,
            devices,
            gone,
        } = self;
        drop(devices);
        // A deadlock if a thread waits for something that does not come.
        gone.recv().unwrap();
        assert!(!camera.is_open(), "it is still held");
        assert!(!camera.clash(), "it was opened twice");
    }
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// For so long that others may have come far, or not.
fn a_while() {
    for _ in 0..shuttle::rand::thread_rng().gen_range(0..60) {
        thread::yield_now();
    }
}

fn at_once<const N: usize>(work: [Box<dyn FnOnce() + Send>; N]) {
    let threads = work.map(thread::spawn);
    for thread in threads {
        assert!(thread.join().is_ok());
    }
}

/// Tries out the scenario, which says how often the camera was opened. It has to be more than once in some
/// of the schedules: else nothing was tried.
fn try_out(scenario: impl Fn() -> u32 + Send + Sync + 'static) {
    let again = Arc::new(AtomicU32::new(0));
    let counted = again.clone();
    let run = move || {
        if scenario() > 1 {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    };
    shuttle::check_random(run, SCHEDULES);
    let again = again.load(Ordering::Relaxed);
    println!("taken again in {again} of {SCHEDULES} schedules");
    assert!(again > SCHEDULES as u32 / 100, "{again}");
}

fn a_camera() -> TestCamera {
    TestCamera::new("camera", 640)
}

#[test]
fn it_is_let_go_while_it_is_wanted_again() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        let (off, on) = (track.clone(), track.clone());
        at_once([
            Box::new(move || off.set_enabled(false)),
            Box::new(move || {
                on.set_enabled(false);
                on.set_enabled(true);
            }),
        ]);
        let camera = machine.camera.clone();
        track.set_enabled(true);
        assert_eq!(track.ready_state(), TrackState::Live);
        machine.settles([&track]);
        camera.counts().0
    });
}

#[test]
fn two_clones_are_switched() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        let clone = track.clone_track();
        let (a, b) = (track.clone(), clone.clone());
        at_once([
            Box::new(move || {
                a.set_enabled(false);
                a.set_enabled(true);
                a.set_enabled(false);
            }),
            Box::new(move || {
                b.set_enabled(false);
                b.set_enabled(true);
            }),
        ]);
        let camera = machine.camera.clone();
        assert_eq!(clone.ready_state(), TrackState::Live);
        machine.settles([&track, &clone]);
        camera.counts().0
    });
}

#[test]
fn it_is_stopped_while_it_is_taken_and_somebody_else_asks() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        track.set_enabled(false);
        a_while();
        let (on, devices) = (track.clone(), machine.devices.clone());
        let stop = track.clone();
        let (found, another) = mpsc::channel();
        at_once([
            Box::new(move || on.set_enabled(true)),
            Box::new(move || {
                a_while();
                stop.stop();
                found.send(ask(&devices, 640).unwrap()).unwrap();
            }),
        ]);
        let another = another.recv().unwrap();
        assert_eq!(another.ready_state(), TrackState::Live);
        let camera = machine.camera.clone();
        machine.settles([&another]);
        // Once for the other one.
        camera.counts().0 - 1
    });
}

#[test]
fn the_devices_are_closed_while_it_is_taken() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        track.set_enabled(false);
        a_while();
        let (on, devices) = (track.clone(), machine.devices.clone());
        at_once([
            Box::new(move || on.set_enabled(true)),
            Box::new(move || {
                a_while();
                devices.close();
            }),
        ]);
        assert_eq!(track.ready_state(), TrackState::Ended);
        let camera = machine.camera.clone();
        machine.settles([&track]);
        camera.counts().0
    });
}

/// Whoever loses it ends, and whoever does not has it.
#[test]
fn it_is_lost_while_it_comes_and_goes() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        let events = Arc::new(AtomicU32::new(0));
        let told = events.clone();
        let again = machine.devices.clone();
        let subscription = track.subscribe(move |event| {
            if *event == TrackEvent::Ended {
                told.fetch_add(1, Ordering::SeqCst);
                // As a program does that wants its camera back.
                drop(ask(&again, 640));
            }
        });
        let (switch, lost) = (track.clone(), machine.camera.clone());
        at_once([
            Box::new(move || {
                switch.set_enabled(false);
                switch.set_enabled(true);
            }),
            Box::new(move || {
                a_while();
                lost.lose();
            }),
        ]);
        let camera = machine.camera.clone();
        if track.ready_state() == TrackState::Live {
            until(|| camera.is_open() || track.ready_state() == TrackState::Ended);
        }
        track.stop();
        drop(subscription);
        machine.settles([&track]);
        let events = events.load(Ordering::SeqCst);
        assert!(events <= 1);
        // Once for whoever wanted it back.
        camera.counts().0 - events
    });
}

#[test]
fn a_camera_that_is_lost_as_it_is_taken_again_ends_its_tracks() {
    try_out(|| {
        let machine = Machine::with(a_camera());
        let track = ask(&machine.devices, 640).unwrap();
        let camera = machine.camera.clone().fleeting();
        let clone = track.clone_track();
        let (a, b) = (track.clone(), clone.clone());
        track.set_enabled(false);
        at_once([
            Box::new(move || {
                b.set_enabled(false);
                b.set_enabled(true);
            }),
            Box::new(move || a.set_enabled(true)),
        ]);
        let has_ended = |track: &MediaStreamTrack| track.ready_state() == TrackState::Ended;
        let was_kept = || camera.counts().0 == 1 && camera.is_open();
        until(|| was_kept() || (has_ended(&track) && has_ended(&clone)));
        machine.settles([&track, &clone]);
        camera.counts().0
    });
}

#[test]
fn what_it_is_set_to_is_what_it_delivers() {
    try_out(|| {
        let machine = Machine::with(a_camera().settable());
        let track = ask(&machine.devices, 640).unwrap();
        let (switch, constrained) = (track.clone(), track.clone());
        at_once([
            Box::new(move || {
                switch.set_enabled(false);
                switch.set_enabled(true);
            }),
            Box::new(move || {
                let native = MediaTrackConstraintSet {
                    width: Some(ConstrainNumber::exact(320)),
                    height: Some(ConstrainNumber::exact(240)),
                    resize_mode: Some(duet_media::constraints::ConstrainChoice::exact("none")),
                    ..Default::default()
                };
                // It may be closed just then.
                let _ = constrained.apply_constraints(native.into());
            }),
        ]);
        let camera = machine.camera.clone();
        until(|| camera.is_open() && camera.set_to() == track.source().settings().width);
        assert_eq!(camera.set_to(), track.get_settings().width);
        machine.settles([&track]);
        camera.counts().0
    });
}
