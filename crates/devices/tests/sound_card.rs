//! Sound cards without a sound server, by ALSA: the kernel's `snd-aloop`, which `script/devices-test` boots.
//!
//! The card is a cable with two ends. What is played on device 0 is heard on device 1, and the other way
//! round; device 0 does not hear what is played on device 0, nor does `default`, which is device 0 both ways.
//! Who records there records silence, by whatever program.

#![cfg(all(feature = "hardware", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet_devices::synthetic::marks::audio::Listener;
use duet_devices::{AudioOutput, MediaDeviceKind, MediaDevices, SourceSpec, Speaker};
use duet_media::{
    AudioBuffer, Frame, FrameQueue, MediaStreamTrack, MediaTime, MediaTrackConstraintSet,
    MediaTrackConstraints, MonotonicClock, TrackEvent, TrackState,
};
use std::f32::consts::TAU;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const NEAR: &str = "alsa:hw:CARD=Loopback,DEV=0";
const FAR: &str = "alsa:hw:CARD=Loopback,DEV=1";
const PITCH_HZ: f64 = 440.0;
/// Of a wave of half the full amplitude, in dBFS.
const LEVEL: f32 = -9.03;
const PATIENCE: Duration = Duration::from_secs(20);

/// A tone for ever.
fn tone() -> impl AudioOutput {
    let mut at = 0u32;
    move |sound: &mut AudioBuffer, _heard: MediaTime| {
        let channels = usize::from(sound.channels());
        for samples in sound.samples_mut().chunks_exact_mut(channels) {
            samples.fill(0.5 * (TAU * PITCH_HZ as f32 * at as f32 / 48_000.0).sin());
            at = (at + 1) % 48_000;
        }
    }
}

fn devices() -> (MediaDevices, Arc<MonotonicClock>) {
    let clock = Arc::new(MonotonicClock::new());
    (MediaDevices::new(clock.clone()), clock)
}

/// A microphone that hears what there is: a tone for ever is noise to one that is treated, and its own
/// process's sound an echo.
fn microphone(devices: &MediaDevices, id: &str) -> MediaStreamTrack {
    let untreated = MediaTrackConstraintSet {
        echo_cancellation: Some(false.into()),
        auto_gain_control: Some(false.into()),
        noise_suppression: Some(false.into()),
        ..Default::default()
    };
    let opened = devices.open_audio(&SourceSpec::Device(id.into()), &untreated.into());
    opened.unwrap().unwrap()
}

/// What a microphone hears in a while, after its first half second.
struct Heard {
    frames: u32,
    /// Whole frames of digital silence.
    silent: u32,
    /// In tune and at the right level.
    right: u32,
}

fn listen(track: &MediaStreamTrack) -> Heard {
    let queue = Arc::new(FrameQueue::new(200));
    let _sink = track.add_sink(queue.clone());
    let mut listener = Listener::new();
    let mut heard = Heard {
        frames: 0,
        silent: 0,
        right: 0,
    };
    let mut last = None;
    for number in 0..250 {
        let Some(Frame::Audio(frame)) = queue.pop_timeout(Duration::from_secs(5)) else {
            panic!("the microphone delivers nothing");
        };
        assert!(
            last.is_none_or(|last| last < frame.capture_time),
            "time goes back"
        );
        last = Some(frame.capture_time);
        listener.hear(&frame.buffer, frame.capture_time);
        if number < 50 {
            continue;
        }
        heard.frames += 1;
        let silent = frame.buffer.samples().iter().all(|sample| *sample == 0.0);
        heard.silent += u32::from(silent);
        let in_tune = listener
            .pitch_hz()
            .is_some_and(|hz| (hz / PITCH_HZ - 1.0).abs() < 0.01);
        let loud = (listener.level_dbfs() - LEVEL).abs() < 1.0;
        heard.right += u32::from(in_tune && loud);
    }
    heard
}

/// Half a second by ALSA's own recorder, as raw samples of sixteen bits.
fn arecord(device: &str) -> Vec<i16> {
    let output = Command::new("arecord")
        .args([
            "-q", "-D", device, "-t", "raw", "-f", "S16_LE", "-r", "48000", "-c", "2",
        ])
        .args(["-s", "24000"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let pairs = output.stdout.chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

#[test]
#[ignore = "needs snd-aloop"]
fn each_end_of_the_cable_is_listed_once_and_also_while_it_is_in_use() {
    let (devices, clock) = devices();
    let ids = |kind| {
        let all = devices.enumerate_devices().into_iter();
        let ids = all
            .filter(move |device| device.kind == kind)
            .map(|device| device.device_id);
        ids.collect::<Vec<_>>()
    };
    let count = |ids: &[String], what: &str| ids.iter().filter(|id| id.ends_with(what)).count();
    let (inputs, outputs) = (
        ids(MediaDeviceKind::AudioInput),
        ids(MediaDeviceKind::AudioOutput),
    );
    println!("{inputs:?}\n{outputs:?}");
    for ids in [&inputs, &outputs] {
        assert!(ids.iter().any(|id| id == NEAR) && ids.iter().any(|id| id == FAR));
        // And not once more by the card's number, which is another after the next start.
        assert_eq!(
            (count(ids, ",DEV=0"), count(ids, ",DEV=1")),
            (1, 1),
            "{ids:?}"
        );
    }
    let _track = microphone(&devices, FAR);
    let _speaker = Speaker::open(Some(NEAR), tone(), clock).unwrap();
    assert_eq!(ids(MediaDeviceKind::AudioInput), inputs);
    assert_eq!(ids(MediaDeviceKind::AudioOutput), outputs);
}

#[test]
#[ignore = "needs snd-aloop"]
fn what_is_played_into_one_end_is_recorded_at_the_other() {
    for speaker_first in [true, false] {
        let (devices, clock) = devices();
        let mut track = (!speaker_first).then(|| microphone(&devices, FAR));
        let speaker = Speaker::open(Some(NEAR), tone(), clock).unwrap();
        let track = track.take().unwrap_or_else(|| microphone(&devices, FAR));
        let heard = listen(&track);
        println!(
            "speaker first: {speaker_first}; {} of {} frames right, {} silent, {} underruns, speaker latency {:?}",
            heard.right,
            heard.frames,
            heard.silent,
            speaker.underruns(),
            speaker.latency()
        );
        // An emulated machine leaves gaps.
        assert!(
            heard.right * 10 >= heard.frames * 7,
            "{} right",
            heard.right
        );
        track.stop();
    }
}

#[test]
#[ignore = "needs snd-aloop"]
fn silence_at_the_same_end_is_the_cables() {
    let (devices, clock) = devices();
    let _speaker = Speaker::open(Some(NEAR), tone(), clock).unwrap();
    // ALSA's own recorder hears our speaker at the other end,
    let far = arecord("plughw:Loopback,1");
    let loudest = far.iter().map(|sample| sample.unsigned_abs()).max();
    println!("arecord at the other end: {loudest:?} at most");
    assert!(loudest.is_some_and(|loudest| (16_000..17_000).contains(&loudest)));
    // and nothing at the same end; nor do we.
    assert!(
        arecord("plughw:Loopback,0")
            .iter()
            .all(|sample| *sample == 0)
    );
    let heard = listen(&microphone(&devices, NEAR));
    assert_eq!(heard.silent, heard.frames);
}

/// Ends the other program with the test.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs snd-aloop with one substream"]
fn a_card_that_another_program_holds_is_not_readable_and_listed_all_the_same() {
    let (devices, _clock) = devices();
    let mut other = Other(
        Command::new("arecord")
            .args([
                "-q",
                "-D",
                "hw:Loopback,1",
                "-t",
                "raw",
                "-f",
                "S16_LE",
                "-r",
                "48000",
            ])
            .args(["-c", "2"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    // With the first sample it has the card.
    let mut sample = [0; 2];
    other
        .0
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut sample)
        .unwrap();
    let spec = SourceSpec::Device(FAR.into());
    let any = MediaTrackConstraints::default();
    let start = Instant::now();
    let error = devices.open_audio(&spec, &any).unwrap_err();
    println!("{error}, after {:?}", start.elapsed());
    assert_eq!(error.name(), "NotReadableError");
    let listed = devices.enumerate_devices();
    assert!(
        listed
            .iter()
            .any(|d| d.device_id == FAR && d.kind == MediaDeviceKind::AudioInput)
    );
    drop(other);
    devices.open_audio(&spec, &any).unwrap();
}

/// The kernel's own way to pull the card out and to put it in again. It waits until nobody holds it.
fn plug(how: &'static str) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let file = format!("/sys/bus/platform/drivers/snd_aloop/{how}");
        std::fs::write(file, "snd_aloop.0").unwrap();
    })
}

#[test]
#[ignore = "needs snd-aloop, and root"]
fn a_card_that_is_pulled_out_ends_its_tracks_and_speakers_and_comes_back() {
    let (devices, clock) = devices();
    let (told, changes) = mpsc::sync_channel(16);
    let _subscription = devices.subscribe(move |event| {
        let count = |kind| {
            event
                .devices
                .iter()
                .filter(|device| device.kind == kind)
                .count()
        };
        let sound = count(MediaDeviceKind::AudioInput) + count(MediaDeviceKind::AudioOutput);
        told.try_send(sound).unwrap();
    });
    let speaker = Speaker::open(Some(NEAR), tone(), clock.clone()).unwrap();
    let track = microphone(&devices, FAR);
    let (ended, ends) = mpsc::sync_channel(16);
    let _subscription = track.subscribe(move |event| ended.try_send(*event).unwrap());
    assert!(listen(&track).right > 0);

    let start = Instant::now();
    let pulled = plug("unbind");
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(TrackEvent::Ended));
    println!("the track ended after {:?}", start.elapsed());
    assert_eq!(track.ready_state(), TrackState::Ended);
    while !speaker.is_lost() {
        assert!(start.elapsed() < PATIENCE, "the speaker goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("the speaker was lost after {:?}", start.elapsed());
    let mut left = changes.recv_timeout(PATIENCE).unwrap();
    while left > 0 {
        left = changes.recv_timeout(PATIENCE).unwrap();
    }
    println!("told of it after {:?}", start.elapsed());
    pulled.join().unwrap();

    let start = Instant::now();
    plug("bind").join().unwrap();
    while changes.recv_timeout(PATIENCE).unwrap() < 4 {}
    println!("told that it is back after {:?}", start.elapsed());
    let _speaker = Speaker::open(Some(NEAR), tone(), clock).unwrap();
    let heard = listen(&microphone(&devices, FAR));
    assert!(
        heard.right * 10 >= heard.frames * 7,
        "{} right",
        heard.right
    );
}
