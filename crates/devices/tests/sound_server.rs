//! Speaker and microphone for real, without a sound card: a PulseAudio server of the test's own, in
//! which what is played into the speaker is what the microphone hears.
//!
//! The server is found by environment variables, so each test that needs one runs in a process of its
//! own: this one again, with a test that is ignored otherwise.

#![cfg(all(feature = "hardware", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet_devices::synthetic::marks::audio::{Listener, beep_delay, pattern_index};
use duet_devices::synthetic::{SyntheticMicrophone, SyntheticMicrophoneConfig};
use duet_devices::{MediaDeviceKind, MediaDevices, SourceSpec, Speaker, TrackOutput};
use duet_media::{
    AudioBuffer, Clock, Frame, FrameQueue, MediaStreamTrack, MediaTime, MediaTrackConstraintSet,
    MediaTrackConstraints, MonotonicClock, TrackEvent, TrackState,
};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Ends the server with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server with its socket in `directory`. None if there is no PulseAudio here.
fn start_server(directory: &Path) -> Option<Server> {
    let socket = directory.join("pulse/native");
    std::fs::create_dir_all(directory.join("pulse")).unwrap();
    let script = directory.join("script.pa");
    let mut file = std::fs::File::create(&script).unwrap();
    for line in [
        "load-module module-null-sink sink_name=loudspeaker rate=48000 channels=2",
        "load-module module-null-sink sink_name=unused rate=44100 channels=2",
        "load-module module-remap-source source_name=ear master=loudspeaker.monitor",
        "set-default-sink loudspeaker",
        "set-default-source ear",
    ] {
        writeln!(file, "{line}").unwrap();
    }
    writeln!(
        file,
        "load-module module-native-protocol-unix auth-anonymous=1 socket={}",
        socket.display()
    )
    .unwrap();
    let child = Command::new("pulseaudio")
        .args([
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "-F",
        ])
        .arg(&script)
        .env("XDG_RUNTIME_DIR", directory)
        .env("HOME", directory)
        .env_remove("PULSE_RUNTIME_PATH")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut server = Server(child.ok()?);
    let start = Instant::now();
    while !socket.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "the server does not start"
        );
        assert!(server.0.try_wait().unwrap().is_none(), "the server ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(server)
}

/// Runs one of the ignored tests below in a process that finds the server.
fn run_with_server(test: &str) {
    let directory = tempfile::tempdir().unwrap();
    let Some(server) = start_server(directory.path()) else {
        println!("skipped: pulseaudio is not installed");
        return;
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture"])
        .env("XDG_RUNTIME_DIR", directory.path())
        .env("HOME", directory.path())
        .env("SERVER_PID", server.0.id().to_string())
        .env_remove("PULSE_RUNTIME_PATH")
        .env_remove("PULSE_SERVER")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test} failed"
    );
}

#[test]
fn what_a_speaker_plays_a_microphone_hears() {
    run_with_server("with_server_a_melody_goes_round");
}

#[test]
fn a_lost_device_ends_the_track_and_the_speaker() {
    run_with_server("with_server_the_server_goes");
}

#[test]
fn a_server_that_starts_anew_has_its_devices_back_within_two_seconds() {
    run_with_server("with_server_it_starts_anew");
}

#[test]
fn a_device_that_is_unplugged_ends_and_the_default_speaker_moves_on() {
    run_with_server("with_server_devices_are_unplugged");
}

#[test]
fn a_sound_device_that_comes_or_goes_is_told_of() {
    run_with_server("with_server_devices_change");
}

#[test]
fn opening_and_closing_leaves_nothing_behind() {
    run_with_server("with_server_nothing_is_left");
}

fn microphone(clock: &Arc<MonotonicClock>) -> MediaStreamTrack {
    open(clock, &SourceSpec::Default)
}

/// Waits until the server has a stream of a program, and not only those of its own.
fn until_open(streams: &str) -> Duration {
    let start = Instant::now();
    let of_a_program = |line: &str| line.split('\t').nth(2).is_some_and(|client| client != "-");
    while !pactl(&["list", "short", streams]).lines().any(of_a_program) {
        assert!(start.elapsed() < Duration::from_secs(15), "no {streams}");
    }
    start.elapsed()
}

fn open(clock: &Arc<MonotonicClock>, spec: &SourceSpec) -> MediaStreamTrack {
    let devices = MediaDevices::new(clock.clone());
    // What is played is to be heard, and as it is.
    let untreated = MediaTrackConstraintSet {
        echo_cancellation: Some(false.into()),
        auto_gain_control: Some(false.into()),
        noise_suppression: Some(false.into()),
        ..Default::default()
    };
    devices
        .open_audio(spec, &untreated.into())
        .unwrap()
        .unwrap()
}

#[test]
#[ignore = "needs a sound server: what_a_speaker_plays_a_microphone_hears runs it"]
fn with_server_a_melody_goes_round() {
    let clock = Arc::new(MonotonicClock::new());
    let all = MediaDevices::new(clock.clone()).enumerate_devices();
    let ids = |kind| {
        let of_kind = all.iter().filter(move |device| device.kind == kind);
        of_kind
            .map(|device| device.device_id.as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(MediaDeviceKind::AudioInput)[0], "pulseaudio:ear");
    assert_eq!(
        ids(MediaDeviceKind::AudioOutput),
        ["default", "pulseaudio:loudspeaker", "pulseaudio:unused"]
    );

    let heard = microphone(&clock);
    assert_eq!(
        heard.get_settings().device_id.as_deref(),
        Some("pulseaudio:ear")
    );
    let queue = Arc::new(FrameQueue::new(100));
    let _sink = heard.add_sink(queue.clone());
    let melody = SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock.clone());
    let speaker = Speaker::open(Some("default"), TrackOutput::new(&melody), clock.clone()).unwrap();

    let mut listener = Listener::new();
    let (mut delays, mut notes, mut frames) = (Vec::new(), 0, 0u32);
    let mut last: Option<MediaTime> = None;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(6) {
        let Some(Frame::Audio(frame)) = queue.pop_timeout(Duration::from_secs(5)) else {
            panic!("no sound");
        };
        assert_eq!(
            (frame.buffer.frames(), frame.buffer.sample_rate()),
            (480, 48_000)
        );
        if let Some(last) = last {
            assert!(frame.capture_time > last, "time goes back");
        }
        last = Some(frame.capture_time);
        frames += 1;
        for beep in listener.hear(&frame.buffer, frame.capture_time) {
            delays.push(beep_delay(clock.unix_time(beep.onset)));
        }
        let note = listener.pitch_hz().and_then(pattern_index);
        notes += u32::from(note.is_some());
    }
    println!(
        "beeps {:.0?} ms late, {notes} of {frames} frames in tune, {} underruns, speaker latency {:?}",
        delays
            .iter()
            .map(|delay| delay * 1000.0)
            .collect::<Vec<_>>(),
        speaker.underruns(),
        speaker.latency()
    );
    // Four fifths of each second are the tone; a busy machine may leave gaps.
    assert!((400..=620).contains(&frames), "{frames} frames in 6 s");
    assert!(notes > frames / 2, "{notes} of {frames} in tune");
    assert!(delays.len() >= 3, "{delays:?}");
    assert!(
        delays.iter().all(|delay| (-0.01..0.5).contains(delay)),
        "{delays:?}"
    );
    heard.stop();
    assert_eq!(heard.ready_state(), TrackState::Ended);
}

#[test]
#[ignore = "needs a sound server: a_lost_device_ends_the_track_and_the_speaker runs it"]
fn with_server_the_server_goes() {
    let clock = Arc::new(MonotonicClock::new());
    let heard = microphone(&clock);
    let (ended, events) = mpsc::channel();
    let _subscription = heard.subscribe(move |event| ended.send(*event).unwrap());
    let silence = |sound: &mut AudioBuffer, _| sound.samples_mut().fill(0.0);
    let speaker = Speaker::open(None, silence, clock.clone()).unwrap();
    assert!(!speaker.is_lost());

    let pid = std::env::var("SERVER_PID").unwrap();
    assert!(
        Command::new("kill")
            .args(["-KILL", &pid])
            .status()
            .unwrap()
            .success()
    );
    let start = Instant::now();
    let event = events.recv_timeout(Duration::from_secs(15)).unwrap();
    assert_eq!(event, TrackEvent::Ended);
    println!("the track ended {:?} after the server", start.elapsed());
    while !speaker.is_lost() {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "the speaker goes on"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let any = MediaTrackConstraints::default();
    let again = MediaDevices::new(clock).open_audio(&SourceSpec::Default, &any);
    assert_eq!(again.unwrap_err().name(), "NotFoundError");
}

/// A tone for ever.
fn tone() -> impl FnMut(&mut AudioBuffer, MediaTime) + Send + 'static {
    let mut at = 0u32;
    move |sound: &mut AudioBuffer, _heard: MediaTime| {
        let channels = usize::from(sound.channels());
        for samples in sound.samples_mut().chunks_exact_mut(channels) {
            samples.fill(0.5 * (std::f32::consts::TAU * 440.0 * at as f32 / 48_000.0).sin());
            at = (at + 1) % 48_000;
        }
    }
}

/// Waits until the tone is heard, and says how long it took.
fn until_heard(track: &MediaStreamTrack) -> Duration {
    let queue = Arc::new(FrameQueue::new(16));
    let _sink = track.add_sink(queue.clone());
    let mut listener = Listener::new();
    let start = Instant::now();
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "the tone is not heard"
        );
        if let Some(Frame::Audio(frame)) = queue.pop_timeout(Duration::from_secs(1)) {
            listener.hear(&frame.buffer, frame.capture_time);
            if listener
                .pitch_hz()
                .is_some_and(|hz| (hz - 440.0).abs() < 5.0)
            {
                return start.elapsed();
            }
        }
    }
}

fn pactl(words: &[&str]) -> String {
    let output = Command::new("pactl").args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs a sound server: a_server_that_starts_anew_has_its_devices_back_within_two_seconds runs it"]
fn with_server_it_starts_anew() {
    let clock = Arc::new(MonotonicClock::new());
    let ear = microphone(&clock);
    let (ended, ends) = mpsc::channel();
    let _subscription = ear.subscribe(move |event| ended.send(*event).unwrap());
    let speaker = Speaker::open(None, tone(), clock.clone()).unwrap();
    until_heard(&ear);
    let (told, changes) = mpsc::channel();
    let devices = MediaDevices::new(clock);
    let _devices_subscription =
        devices.subscribe(move |event| told.send(event.devices.len()).unwrap());
    let count = devices.enumerate_devices().len();
    let directory = std::env::var("XDG_RUNTIME_DIR").unwrap();
    let directory = Path::new(&directory);
    let patience = Duration::from_secs(10);

    let pid = std::env::var("SERVER_PID").unwrap();
    let killed = Command::new("kill").args(["-KILL", &pid]).status();
    assert!(killed.unwrap().success());
    let mut server = None;
    // Twice is no accident.
    for _ in 0..2 {
        drop(server.take());
        // Told of while there is none.
        assert_eq!(changes.recv_timeout(patience), Ok(0));
        std::fs::remove_file(directory.join("pulse/native")).unwrap();
        let start = Instant::now();
        server = start_server(directory);
        let took = until_open("source-outputs") + until_open("sink-inputs");
        println!("microphone and speaker are open again {took:?} after the server is back");
        assert!(took < Duration::from_secs(2), "{took:?}");
        // A null sink sleeps for two seconds at first.
        let took = until_heard(&ear);
        println!("the one hears the other {took:?} after that");
        assert!(took < Duration::from_secs(5), "{took:?}");
        while changes.recv_timeout(patience).unwrap() < count {}
        println!("all was told {:?} after the start", start.elapsed());
    }
    assert!(!speaker.is_lost());
    assert_eq!(ear.ready_state(), TrackState::Live);
    assert_eq!(ends.try_recv(), Err(mpsc::TryRecvError::Empty));
}

#[test]
#[ignore = "needs a sound server: a_device_that_is_unplugged_ends_and_the_default_speaker_moves_on runs it"]
fn with_server_devices_are_unplugged() {
    let headset = pactl(&["load-module", "module-null-sink", "sink_name=headset"]);
    let mouth = pactl(&[
        "load-module",
        "module-remap-source",
        "source_name=mouth",
        "master=headset.monitor",
    ]);
    pactl(&["set-default-sink", "headset"]);
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone());
    let named = |id: &str| open(&clock, &SourceSpec::Device(id.into()));
    let (ear, mouth_track) = (named("pulseaudio:ear"), named("pulseaudio:mouth"));
    let (told, changes) = mpsc::channel();
    let _devices_subscription = devices.subscribe(move |event| {
        let here = |device: &duet_devices::MediaDeviceInfo| device.device_id == "pulseaudio:mouth";
        told.send(event.devices.iter().any(here)).unwrap();
    });
    let (ended, ends) = mpsc::channel();
    let _subscription = mouth_track.subscribe(move |event| ended.send(*event).unwrap());
    // Two at the same speaker, as the voices of two others in a room.
    let first = Speaker::open(None, tone(), clock.clone()).unwrap();
    let second = Speaker::open(Some("pulseaudio:headset"), tone(), clock).unwrap();
    until_heard(&mouth_track);

    // The microphone goes: its track ends, the other one stays.
    let start = Instant::now();
    pactl(&["unload-module", &mouth]);
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(10)),
        Ok(TrackEvent::Ended)
    );
    println!("the track ended after {:?}", start.elapsed());
    assert_eq!(changes.recv_timeout(Duration::from_secs(10)), Ok(false));
    println!("told of it after {:?}", start.elapsed());
    assert_eq!(ear.ready_state(), TrackState::Live);

    // The speaker goes: PulseAudio has what it played moved to the default one.
    pactl(&["set-default-sink", "loudspeaker"]);
    pactl(&["unload-module", &headset]);
    println!("another speaker plays {:?} later", until_heard(&ear));
    assert!(!first.is_lost() && !second.is_lost());
}

#[test]
#[ignore = "needs a sound server: a_sound_device_that_comes_or_goes_is_told_of runs it"]
fn with_server_devices_change() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let (told, events) = mpsc::sync_channel(16);
    let subscription = devices.subscribe(move |event| {
        let speakers = event.devices.iter();
        let speakers = speakers.filter(|device| device.kind == MediaDeviceKind::AudioOutput);
        // Of the default one the group tells which it is.
        let groups: Vec<_> = speakers.map(|device| device.group_id.clone()).collect();
        told.try_send(groups).unwrap();
    });
    let next = || events.recv_timeout(Duration::from_secs(10)).unwrap();
    let start = Instant::now();
    let module = pactl(&["load-module", "module-null-sink", "sink_name=new"]);
    let all = next();
    assert!(all.contains(&"pulseaudio:new".to_owned()), "{all:?}");
    println!("told {:?} after the sink was asked for", start.elapsed());
    // Another default comes first in the list.
    pactl(&["set-default-sink", "new"]);
    assert_eq!(next()[0], "pulseaudio:new");
    pactl(&["unload-module", &module]);
    let left = next();
    assert!(!left.contains(&"pulseaudio:new".to_owned()), "{left:?}");
    // Volume is no device.
    pactl(&["set-sink-volume", "unused", "50%"]);
    drop(subscription);
    let module = pactl(&["load-module", "module-null-sink", "sink_name=late"]);
    pactl(&["unload-module", &module]);
    assert_eq!(
        events.recv_timeout(Duration::from_secs(1)),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
#[ignore = "needs a sound server: opening_and_closing_leaves_nothing_behind runs it"]
fn with_server_nothing_is_left() {
    let clock = Arc::new(MonotonicClock::new());
    let once = || {
        assert!(
            !MediaDevices::new(clock.clone())
                .enumerate_devices()
                .is_empty()
        );
        let heard = microphone(&clock);
        let speaker = Speaker::open(None, TrackOutput::new(&heard), clock.clone()).unwrap();
        let queue = Arc::new(FrameQueue::latest());
        let _sink = heard.add_sink(queue.clone());
        assert!(queue.pop_timeout(Duration::from_secs(10)).is_some());
        drop(speaker);
        heard.stop();
    };
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/self/{what}"))
            .unwrap()
            .count()
    };
    let held = || (count("task"), count("fd"));
    once();
    let settle = |most: (usize, usize)| {
        let start = Instant::now();
        while held().0 > most.0 || held().1 > most.1 {
            if start.elapsed() > Duration::from_secs(5) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        held()
    };
    let before = settle((0, 0));
    (0..10).for_each(|_| once());
    let after = settle(before);
    println!("threads and descriptors: {before:?} before, {after:?} after");
    assert!(
        after.0 <= before.0 && after.1 <= before.1,
        "{before:?}, then {after:?}"
    );
}
