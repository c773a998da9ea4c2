//! The synthetic pair, recorded, and what can be read back of it.
#![allow(dead_code, reason = "not every test needs all of it")]

use duet_devices::synthetic::marks::{self, audio::Listener};
use duet_devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
use duet_media::{Frame, FrameQueue, MediaKind, MediaStream, MediaTime, MonotonicClock};
use duet_recorder::{MediaRecorder, RecorderEvent};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn clock() -> Arc<MonotonicClock> {
    static CLOCK: OnceLock<Arc<MonotonicClock>> = OnceLock::new();
    CLOCK
        .get_or_init(|| Arc::new(MonotonicClock::new()))
        .clone()
}

/// A camera of that size at 30 a second, and a microphone.
pub(crate) fn synthetic(width: u32, height: u32) -> MediaStream {
    let camera = SyntheticCameraConfig {
        width,
        height,
        ..Default::default()
    };
    MediaStream::from_tracks([
        SyntheticCamera::start(camera, clock()),
        SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock()),
    ])
}

/// A recorder's events, one after the other.
pub(crate) struct Events(Receiver<RecorderEvent>);

impl Events {
    pub(crate) fn of(recorder: &MediaRecorder) -> Self {
        let (fired, events) = mpsc::channel();
        // The recorder may outlive the test's interest in it.
        recorder
            .subscribe(move |event| drop(fired.send(event.clone())))
            .forever();
        Events(events)
    }

    pub(crate) fn next(&self) -> RecorderEvent {
        self.0.recv_timeout(LIMIT).expect("an event")
    }

    /// All events up to `stop`.
    pub(crate) fn to_the_end(&self) -> Vec<RecorderEvent> {
        let mut events = Vec::new();
        loop {
            let event = self.next();
            let last = event == RecorderEvent::Stop;
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

/// The W3C's name of an event.
pub(crate) fn name(event: &RecorderEvent) -> &'static str {
    match event {
        RecorderEvent::Start { .. } => "start",
        RecorderEvent::Stop => "stop",
        RecorderEvent::DataAvailable { .. } => "dataavailable",
        RecorderEvent::Pause => "pause",
        RecorderEvent::Resume => "resume",
        RecorderEvent::Error(_) => "error",
    }
}

/// Waits until so much has been recorded.
pub(crate) fn until_recorded(recorder: &MediaRecorder, duration: Duration) {
    let started = std::time::Instant::now();
    let queue = Arc::new(FrameQueue::new(1));
    let tracks = recorder.stream().get_tracks();
    let _sink = tracks[0].add_sink(queue.clone());
    while recorder.statistics().duration < duration {
        assert!(started.elapsed() < LIMIT, "{:?}", recorder.statistics());
        drop(queue.pop_timeout(Duration::from_millis(20)));
    }
}

/// What a stream shows until its tracks end.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Frame numbers and times of all pictures whose marks could be read.
    pub(crate) pictures: Vec<(u32, MediaTime)>,
    /// Pictures whose marks could not be read.
    pub(crate) unread: usize,
    /// Times of the pictures that flash.
    pub(crate) flashes: Vec<MediaTime>,
    /// When beeps began.
    pub(crate) beeps: Vec<MediaTime>,
    /// Where the sound ends.
    pub(crate) sound_end: Option<MediaTime>,
}

impl Seen {
    /// Watches `stream` from its first frame to the end of its tracks.
    pub(crate) fn of(stream: &MediaStream) -> Self {
        let queues: Vec<_> = stream
            .get_tracks()
            .into_iter()
            .map(|track| {
                let queue = Arc::new(FrameQueue::new(10_000));
                let sink = track.add_sink(queue.clone());
                (track, queue, sink)
            })
            .collect();
        let mut seen = Seen::default();
        for (track, queue, _) in &queues {
            let mut listener = Listener::new();
            while let Some(frame) = queue.pop_timeout(LIMIT) {
                match frame {
                    Frame::Video(frame) => match marks::read(&frame.buffer) {
                        Some(marks) => {
                            seen.pictures.push((marks.frame_number, frame.capture_time));
                            if marks.flash {
                                seen.flashes.push(frame.capture_time);
                            }
                        }
                        None => seen.unread += 1,
                    },
                    Frame::Audio(frame) => {
                        let beeps = listener.hear(&frame.buffer, frame.capture_time);
                        seen.beeps.extend(beeps.iter().map(|beep| beep.onset));
                        seen.sound_end = Some(frame.capture_time + frame.buffer.duration());
                    }
                }
            }
            assert_eq!(queue.overwritten(), 0);
            assert!(queue.is_ended(), "no end of the {} track", track.kind());
        }
        seen
    }

    /// No picture is missing, whichever was the first.
    pub(crate) fn assert_none_lost(&self) {
        assert_eq!(self.unread, 0);
        for pair in self.pictures.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "a picture is missing");
        }
    }

    /// How far picture and sound are apart at each second, in milliseconds; positive if the picture is
    /// late.
    pub(crate) fn lip_sync(&self) -> Vec<f64> {
        let apart = |flash: &MediaTime, beep: &MediaTime| flash.nanos_since(*beep) as f64 / 1e6;
        self.flashes
            .iter()
            .filter_map(|flash| {
                let offs = self.beeps.iter().map(|beep| apart(flash, beep));
                offs.filter(|off| off.abs() < 400.0)
                    .min_by(|a, b| a.abs().total_cmp(&b.abs()))
            })
            .collect()
    }
}

/// Plays a file once and watches it. The first frame may have been shown before anybody looked.
pub(crate) fn watch(path: &Path) -> Seen {
    let stream = duet_recorder::player::play(path, clock(), duet_devices::file::Repeat::Once)
        .expect("a file that can be played");
    Seen::of(&stream)
}

pub(crate) fn has(stream: &MediaStream, kind: MediaKind) -> bool {
    stream.get_tracks().iter().any(|track| track.kind() == kind)
}

/// What a program of ffmpeg's prints; `None`, with a line that says so, where there is none.
pub(crate) fn ffmpeg(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: {program} is not installed");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {complaints}");
    assert!(complaints.is_empty(), "{program}: {complaints}");
    Some(output.stdout)
}
