//! The recorder's states, events and errors, story by story, as its specification tells them.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Events, LIMIT, name, synthetic, until_recorded};
use duet_devices::synthetic::{SyntheticMicrophone, SyntheticMicrophoneConfig};
use duet_media::{MediaKind, MediaSource, MediaStream, MediaTrackCapabilities, MediaTrackSettings};
use duet_recorder::{
    MediaRecorder, MediaRecorderError, MediaRecorderOptions, Output, RecorderEvent, RecordingState,
};
use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

fn recorder(stream: &MediaStream) -> (MediaRecorder, Events) {
    let recorder = MediaRecorder::new(stream, MediaRecorderOptions::default()).unwrap();
    let events = Events::of(&recorder);
    (recorder, events)
}

fn of_type(stream: &MediaStream, mime_type: &str) -> Result<MediaRecorder, MediaRecorderError> {
    let options = MediaRecorderOptions {
        mime_type: mime_type.into(),
        ..Default::default()
    };
    MediaRecorder::new(stream, options)
}

fn names(events: &[RecorderEvent]) -> Vec<&'static str> {
    events.iter().map(name).collect()
}

/// A source that shows nothing unless it is told to.
fn still(kind: MediaKind) -> MediaSource {
    let (settings, can) = (
        MediaTrackSettings::default(),
        MediaTrackCapabilities::default(),
    );
    MediaSource::new(kind, "still", settings, can, ())
}

fn size(event: &RecorderEvent) -> usize {
    match event {
        RecorderEvent::DataAvailable { blob, .. } => blob.data.len(),
        _ => 0,
    }
}

#[test]
fn events_come_in_order_and_methods_have_their_states() {
    let stream = MediaStream::new();
    let (recorder, events) = recorder(&stream);
    let inactive = |result: Result<(), MediaRecorderError>| {
        assert_eq!(result.unwrap_err().name(), "InvalidStateError");
    };
    assert_eq!(recorder.state(), RecordingState::Inactive);
    recorder.stop();
    inactive(recorder.pause());
    inactive(recorder.resume());
    inactive(recorder.request_data());
    assert_eq!(
        recorder.start(None).unwrap_err().name(),
        "NotSupportedError"
    );
    let live = synthetic(160, 90);
    stream.add_track(live.get_video_tracks().remove(0));

    recorder.start(None).unwrap();
    assert_eq!(recorder.state(), RecordingState::Recording);
    inactive(recorder.start(None));
    assert_eq!(
        events.next(),
        RecorderEvent::Start {
            mime_type: "video/webm;codecs=vp8".into()
        }
    );
    assert_eq!(recorder.mime_type(), "video/webm;codecs=vp8");
    until_recorded(&recorder, Duration::from_millis(200));
    recorder.pause().unwrap();
    recorder.pause().unwrap();
    assert_eq!(recorder.state(), RecordingState::Paused);
    assert_eq!(events.next(), RecorderEvent::Pause);
    recorder.resume().unwrap();
    recorder.resume().unwrap();
    assert_eq!(recorder.state(), RecordingState::Recording);
    assert_eq!(events.next(), RecorderEvent::Resume);
    recorder.stop();
    recorder.stop();
    assert_eq!(recorder.state(), RecordingState::Inactive);
    assert_eq!(recorder.mime_type(), "");
    let rest = events.to_the_end();
    assert_eq!(names(&rest), ["dataavailable", "stop"]);
    assert!(size(&rest[0]) > 1_000);
    inactive(recorder.pause());

    // And once more, from a pause.
    recorder.start(None).unwrap();
    recorder.pause().unwrap();
    recorder.stop();
    let again = events.to_the_end();
    assert_eq!(names(&again), ["start", "pause", "dataavailable", "stop"]);
}

#[test]
fn start_is_fired_even_if_it_is_stopped_at_once() {
    let (recorder, events) = recorder(&synthetic(160, 90));
    recorder.start(None).unwrap();
    recorder.stop();
    recorder.start(None).unwrap();
    let first = events.to_the_end();
    assert_eq!(names(&first), ["start", "dataavailable", "stop"]);
    recorder.stop();
    let second = events.to_the_end();
    assert_eq!(names(&second), ["start", "dataavailable", "stop"]);
}

#[test]
fn a_track_that_comes_or_goes_ends_the_recording_with_an_error() {
    for add in [true, false] {
        let stream = synthetic(160, 90);
        let (recorder, events) = recorder(&stream);
        recorder.start(None).unwrap();
        if add {
            let config = SyntheticMicrophoneConfig::default();
            stream.add_track(SyntheticMicrophone::start(config, common::clock()));
        } else {
            stream.remove_track(&stream.get_audio_tracks()[0]);
        }
        let events = events.to_the_end();
        assert_eq!(names(&events), ["start", "error", "dataavailable", "stop"]);
        let RecorderEvent::Error(error) = &events[1] else {
            panic!("{events:?}")
        };
        assert_eq!(error.name(), "InvalidModificationError");
        assert_eq!(recorder.state(), RecordingState::Inactive);
    }
}

#[test]
fn the_end_of_all_tracks_is_the_end_of_the_recording() {
    let stream = synthetic(160, 90);
    let (recorder, events) = recorder(&stream);
    recorder.start(None).unwrap();
    until_recorded(&recorder, Duration::from_millis(300));
    stream.get_video_tracks()[0].stop();
    until_recorded(&recorder, Duration::from_millis(600));
    assert_eq!(recorder.state(), RecordingState::Recording, "sound goes on");
    stream.get_audio_tracks()[0].stop();
    let events = events.to_the_end();
    assert_eq!(names(&events), ["start", "dataavailable", "stop"]);
    assert_eq!(recorder.state(), RecordingState::Inactive);
    recorder.stop();
}

#[test]
fn with_a_queue_of_its_own_a_program_sees_changes_in_its_tasks_only() {
    let stream = synthetic(160, 90);
    let (queue, tasks) = mpsc::channel();
    let options = MediaRecorderOptions::default();
    let queue = move |task| queue.send(task).expect("the test listens");
    let recorder = MediaRecorder::with_task_queue(&stream, options, queue).unwrap();
    let events = Events::of(&recorder);
    recorder.start(None).unwrap();
    let start = tasks.recv_timeout(LIMIT).unwrap();
    assert_eq!(recorder.mime_type(), "");
    start.run();
    assert_eq!(recorder.mime_type(), "video/webm;codecs=vp8,opus");
    assert_eq!(name(&events.next()), "start");
    until_recorded(&recorder, Duration::from_millis(200));
    stream.get_tracks().iter().for_each(|track| track.stop());
    let end = tasks.recv_timeout(LIMIT).unwrap();
    assert_eq!(recorder.state(), RecordingState::Recording);
    assert!(!recorder.wait_until_stopped(Duration::ZERO));
    end.run();
    assert_eq!(recorder.state(), RecordingState::Inactive);
    assert!(recorder.wait_until_stopped(LIMIT));
    let last = events.to_the_end();
    assert_eq!(names(&last), ["dataavailable", "stop"]);
    assert!(size(&last[0]) > 1_000);
}

#[test]
fn a_program_that_drops_its_tasks_is_not_waited_for_for_ever() {
    let stream = synthetic(160, 90);
    let options = MediaRecorderOptions::default();
    let recorder = MediaRecorder::with_task_queue(&stream, options, drop).unwrap();
    recorder.start(None).unwrap();
    until_recorded(&recorder, Duration::from_millis(200));
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
}

#[test]
fn slices_and_requests_make_up_one_recording() {
    let stream = synthetic(160, 90);
    let (recorder, events) = recorder(&stream);
    recorder.start(Some(Duration::from_millis(300))).unwrap();
    recorder.request_data().unwrap();
    until_recorded(&recorder, Duration::from_millis(1_500));
    recorder.request_data().unwrap();
    recorder.stop();
    let events = events.to_the_end();
    let (mut whole, mut last) = (Vec::new(), None);
    let mut slices = 0;
    for event in &events {
        let RecorderEvent::DataAvailable { blob, timecode } = event else {
            continue;
        };
        assert_eq!(blob.mime_type, "video/webm;codecs=vp8,opus");
        assert!(Some(*timecode) >= last, "{timecode:?} after {last:?}");
        last = Some(*timecode);
        slices += 1;
        whole.extend_from_slice(&blob.data);
    }
    assert!((6..=8).contains(&slices), "{slices}: {:?}", names(&events));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), whole).unwrap();
    let seen = common::watch(file.path());
    seen.assert_none_lost();
    assert!(seen.pictures.len() >= 40, "{}", seen.pictures.len());
}

#[test]
fn types_say_what_they_have_room_for() {
    let both = synthetic(160, 90);
    let sound = MediaStream::from_tracks(both.get_audio_tracks());
    for bad in ["video/invalid", "audio/banana", "video/webm;codecs=vp9"] {
        assert!(!MediaRecorder::is_type_supported(bad));
        let error = of_type(&MediaStream::new(), bad).unwrap_err();
        assert_eq!(error.name(), "NotSupportedError");
    }
    for (stream, mime_type) in [
        (&both, "audio/webm"),
        (&both, "video/webm;codecs=vp8"),
        (&sound, "video/webm;codecs=vp8"),
    ] {
        let recorder = of_type(stream, mime_type).unwrap();
        assert_eq!(recorder.mime_type(), mime_type);
        let error = recorder.start(None).unwrap_err();
        assert_eq!(error.name(), "NotSupportedError", "{mime_type}");
        assert_eq!(recorder.state(), RecordingState::Inactive);
    }
    for (stream, asked, recorded) in [
        (&sound, "", "audio/webm;codecs=opus"),
        (&sound, "audio/webm", "audio/webm;codecs=opus"),
        (&both, "video/webm", "video/webm;codecs=vp8,opus"),
        (
            &both,
            "video/webm; codecs=\"vp8, opus\"",
            "video/webm; codecs=\"vp8, opus\"",
        ),
    ] {
        let recorder = of_type(stream, asked).unwrap();
        let events = Events::of(&recorder);
        recorder.start(None).unwrap();
        let mime_type = recorded.to_owned();
        assert_eq!(events.next(), RecorderEvent::Start { mime_type });
    }
}

#[test]
fn targets_follow_the_tracks_while_it_records() {
    let sound = MediaStream::from_tracks(synthetic(160, 90).get_audio_tracks());
    let options = MediaRecorderOptions {
        bits_per_second: Some(100_000),
        ..Default::default()
    };
    let recorder = MediaRecorder::new(&sound, options).unwrap();
    let bitrates = || {
        (
            recorder.audio_bits_per_second(),
            recorder.video_bits_per_second(),
        )
    };
    assert_eq!(bitrates(), (10_000, 90_000));
    recorder.start(None).unwrap();
    assert_eq!(bitrates(), (100_000, 0));
    recorder.stop();
    assert_eq!(bitrates(), (10_000, 90_000));
    let both = MediaRecorderOptions {
        video_key_frame_interval_count: Some(10),
        video_key_frame_interval_duration: Some(Duration::from_secs(1)),
        ..Default::default()
    };
    let recorder = MediaRecorder::new(&sound, both).unwrap();
    assert_eq!(
        recorder.start(None).unwrap_err().name(),
        "NotSupportedError"
    );
}

/// A disk with room for so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_and_the_tracks_go_on() {
    let stream = synthetic(160, 90);
    let full = Output::file(std::path::Path::new("/dev/full")).unwrap();
    for output in [Output::stream(Disk(20_000)), full] {
        let (recorder, events) = recorder(&stream);
        recorder.start_to(output).unwrap();
        let events = events.to_the_end();
        assert_eq!(names(&events), ["start", "error", "dataavailable", "stop"]);
        let RecorderEvent::Error(MediaRecorderError::Unknown(reason)) = &events[1] else {
            panic!("{events:?}")
        };
        assert!(reason.starts_with("cannot write: "), "{reason}");
        assert_eq!(recorder.state(), RecordingState::Inactive);
        assert!(stream.active());
    }
}

#[test]
fn a_track_that_shows_nothing_holds_nobody_up() {
    let camera = still(MediaKind::Video);
    let stream = synthetic(160, 90);
    stream.remove_track(&stream.get_video_tracks()[0]);
    stream.add_track(camera.create_track());
    let (recorder, events) = recorder(&stream);
    recorder.start(None).unwrap();
    until_recorded(&recorder, Duration::from_secs(1));
    recorder.stop();
    let events = events.to_the_end();
    assert_eq!(names(&events), ["start", "dataavailable", "stop"]);
    assert!(size(&events[1]) > 5_000);
}

#[test]
fn a_muted_microphone_is_silence_in_step_with_the_picture() {
    let stream = synthetic(160, 90);
    let microphone = still(MediaKind::Audio);
    let sound = stream.get_audio_tracks().remove(0);
    stream.remove_track(&sound);
    stream.add_track(microphone.create_track());
    // What the synthetic one says, for a second; then nothing.
    let queue = std::sync::Arc::new(duet_media::FrameQueue::new(200));
    let sink = sound.add_sink(queue.clone());
    let file = tempfile::NamedTempFile::new().unwrap();
    let (recorder, events) = recorder(&stream);
    recorder
        .start_to(Output::file(file.path()).unwrap())
        .unwrap();
    for _ in 0..100 {
        microphone.publish(&queue.pop_timeout(LIMIT).unwrap());
    }
    microphone.set_muted(true);
    drop(sink);
    until_recorded(&recorder, Duration::from_millis(3_500));
    recorder.stop();
    events.to_the_end();
    let seen = common::watch(file.path());
    seen.assert_none_lost();
    let pictures_end = seen.pictures.last().unwrap().1;
    let behind = pictures_end.nanos_since(seen.sound_end.unwrap()) / 1_000_000;
    assert!(behind < 1_500, "sound ends {behind} ms before the picture");
}

#[test]
fn a_stream_that_falls_silent_altogether_is_recorded_all_the_same() {
    let pair = synthetic(160, 90);
    let (camera, microphone) = (still(MediaKind::Video), still(MediaKind::Audio));
    let stream = MediaStream::from_tracks([camera.create_track(), microphone.create_track()]);
    let queue = std::sync::Arc::new(duet_media::FrameQueue::new(200));
    let tracks = pair.get_tracks();
    let sinks: Vec<_> = tracks
        .iter()
        .map(|track| track.add_sink(queue.clone()))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let (recorder, events) = recorder(&stream);
    recorder
        .start_to(Output::file(file.path()).unwrap())
        .unwrap();
    for _ in 0..60 {
        let frame = queue.pop_timeout(LIMIT).unwrap();
        match frame.kind() {
            MediaKind::Audio => microphone.publish(&frame),
            MediaKind::Video => camera.publish(&frame),
        }
    }
    drop(sinks);
    camera.set_muted(true);
    microphone.set_muted(true);
    let before = recorder.statistics();
    let started = std::time::Instant::now();
    while recorder.statistics().duration < before.duration + Duration::from_millis(2_500) {
        assert!(started.elapsed() < LIMIT, "{:?}", recorder.statistics());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    recorder.stop();
    events.to_the_end();
    let seen = common::watch(file.path());
    assert!(seen.unread >= 2, "{} black pictures", seen.unread);
}

#[test]
fn a_dropped_recorder_leaves_a_whole_recording() {
    let stream = synthetic(160, 90);
    let file = tempfile::NamedTempFile::new().unwrap();
    let (recorder, events) = recorder(&stream);
    recorder
        .start_to(Output::file(file.path()).unwrap())
        .unwrap();
    until_recorded(&recorder, Duration::from_millis(400));
    drop(recorder);
    events.to_the_end();
    common::watch(file.path()).assert_none_lost();
}
