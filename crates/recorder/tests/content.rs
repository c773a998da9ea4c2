//! What is recorded is what is played: read back from pictures and sound, by our own player and by
//! ffmpeg.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Events, LIMIT, Seen, ffmpeg, name, synthetic, until_recorded, watch};
use duet_devices::file::Repeat;
use duet_devices::synthetic::marks;
use duet_media::{I420Buffer, MediaStream};
use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output, RecorderEvent};
use std::path::Path;
use std::time::Duration;

/// Pictures that may have been shown before anybody looked, on a busy machine.
const SEEN_LATE: usize = 5;

/// Records `stream` into a file for so long.
fn record(stream: &MediaStream, path: &Path, duration: Duration) -> MediaRecorder {
    let recorder = MediaRecorder::new(stream, MediaRecorderOptions::default()).unwrap();
    recorder.start_to(Output::file(path).unwrap()).unwrap();
    until_recorded(&recorder, duration);
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
    recorder
}

#[test]
fn no_picture_is_lost_and_picture_and_sound_are_in_step() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(640, 360);
    let recorder = record(&stream, file.path(), Duration::from_millis(4_500));
    let statistics = recorder.statistics();
    assert_eq!((statistics.pictures_lost, statistics.sounds_lost), (0, 0));
    let seen = watch(file.path());
    seen.assert_none_lost();
    let recorded = statistics.pictures as usize;
    assert!(
        (recorded - SEEN_LATE..=recorded).contains(&seen.pictures.len()),
        "{} of {recorded} pictures",
        seen.pictures.len()
    );
    let lip_sync = seen.lip_sync();
    assert!(lip_sync.len() >= 3, "{seen:?}");
    eprintln!("lip-sync: {lip_sync:.1?} ms");
    assert!(lip_sync.iter().all(|off| off.abs() < 45.0), "{lip_sync:?}");
    // A second is a second.
    for pair in seen.beeps.windows(2) {
        let apart = pair[1].nanos_since(pair[0]) - 1_000_000_000;
        assert!(apart.abs() < 5_000_000, "{apart} ns");
    }
}

#[test]
fn ffmpeg_reads_the_same() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(640, 360);
    let recorder = record(&stream, file.path(), Duration::from_millis(3_500));
    let statistics = recorder.statistics();
    let path = file.path().to_str().unwrap();
    let arguments = [
        "-v",
        "warning",
        "-show_entries",
        "format=duration:stream=codec_name,width,height,channels",
        "-of",
        "compact",
        path,
    ];
    let Some(told) = ffmpeg("ffprobe", &arguments) else {
        return;
    };
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.contains("codec_name=vp8|width=640|height=360"),
        "{told}"
    );
    assert!(told.contains("codec_name=opus|channels="), "{told}");
    let duration = told.split("duration=").nth(1).unwrap();
    let duration: f64 = duration.trim().parse().unwrap();
    let off = duration - statistics.duration.as_secs_f64();
    assert!(off.abs() < 0.05, "{told} for {statistics:?}");
    // A place to seek to, by the cues at the file's end.
    let seek = [
        "-v",
        "warning",
        "-ss",
        "3",
        "-i",
        path,
        "-frames:v",
        "1",
        "-f",
        "null",
        "-",
    ];
    ffmpeg("ffmpeg", &seek);

    let raw = [
        "-v",
        "warning",
        "-i",
        path,
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuv420p",
        "-",
    ];
    let raw = ffmpeg("ffmpeg", &raw).unwrap();
    let mut picture = I420Buffer::new(640, 360);
    let size = picture.as_bytes().len();
    let numbers = raw.chunks_exact(size).map(|bytes| {
        picture.as_bytes_mut().copy_from_slice(bytes);
        marks::read(&picture).expect("marks").frame_number
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(numbers.len(), statistics.pictures as usize);
    assert!(numbers.windows(2).all(|w| w[1] == w[0] + 1), "{numbers:?}");

    let samples = [
        "-v", "warning", "-i", path, "-map", "0:a", "-f", "f32le", "-ac", "1", "-",
    ];
    let samples = ffmpeg("ffmpeg", &samples).unwrap().len() / 4;
    let heard = samples as f64 / 48_000.0;
    let off = heard - statistics.duration.as_secs_f64();
    // A microphone may be a little behind when it is stopped.
    assert!(off.abs() < 0.1, "{heard} s of sound in {statistics:?}");
}

#[test]
fn a_pause_leaves_no_hole_and_nobody_out_of_step() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(320, 180);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    let events = Events::of(&recorder);
    recorder
        .start_to(Output::file(file.path()).unwrap())
        .unwrap();
    until_recorded(&recorder, Duration::from_millis(1_500));
    recorder.pause().unwrap();
    assert_eq!(name(&events.next()), "start");
    assert_eq!(events.next(), RecorderEvent::Pause);
    let before = recorder.statistics().duration;
    // Whatever comes meanwhile is left out.
    let queue = std::sync::Arc::new(duet_media::FrameQueue::new(1_000));
    let sink = stream.get_tracks()[0].add_sink(queue.clone());
    (0..45).for_each(|_| drop(queue.pop_timeout(LIMIT)));
    drop(sink);
    assert_eq!(recorder.statistics().duration, before);
    recorder.resume().unwrap();
    until_recorded(&recorder, before + Duration::from_millis(2_500));
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
    let seen = watch(file.path());
    assert_eq!(seen.unread, 0);
    let gaps: Vec<_> = seen
        .pictures
        .windows(2)
        .filter(|pair| pair[1].0 != pair[0].0 + 1)
        .map(|pair| {
            (
                pair[1].0 - pair[0].0,
                pair[1].1.nanos_since(pair[0].1) / 1_000_000,
            )
        })
        .collect();
    let [(left_out, millis)] = gaps[..] else {
        panic!("one gap, not {gaps:?}")
    };
    assert!(left_out > 20 && (20..100).contains(&millis), "{gaps:?}");
    let lip_sync = seen.lip_sync();
    assert!(lip_sync.len() >= 2, "{seen:?}");
    assert!(lip_sync.iter().all(|off| off.abs() < 45.0), "{lip_sync:?}");
}

#[test]
fn a_disabled_track_is_recorded_black_and_silent() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(160, 90);
    for track in stream.get_tracks() {
        track.set_enabled(false);
    }
    let recorder = record(&stream, file.path(), Duration::from_millis(1_200));
    let Seen {
        pictures,
        unread,
        beeps,
        sound_end,
        ..
    } = watch(file.path());
    assert!(pictures.is_empty() && beeps.is_empty());
    assert!(unread + SEEN_LATE >= recorder.statistics().pictures as usize);
    assert!(sound_end.is_some());
}

#[test]
fn a_camera_that_changes_its_size_goes_on_in_the_same_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(640, 360);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    recorder
        .start_to(Output::file(file.path()).unwrap())
        .unwrap();
    until_recorded(&recorder, Duration::from_millis(600));
    let smaller = duet_media::MediaTrackConstraints {
        basic: duet_media::MediaTrackConstraintSet {
            width: Some(duet_media::constraints::ConstrainNumber::exact(320)),
            height: Some(duet_media::constraints::ConstrainNumber::exact(180)),
            ..Default::default()
        },
        advanced: Vec::new(),
    };
    stream.get_video_tracks()[0]
        .apply_constraints(smaller)
        .unwrap();
    until_recorded(&recorder, Duration::from_millis(1_600));
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
    let played = duet_recorder::player::play(file.path(), common::clock(), Repeat::Once);
    let played = played.unwrap();
    let queue = std::sync::Arc::new(duet_media::FrameQueue::new(1_000));
    let track = played.get_video_tracks().remove(0);
    let _sink = track.add_sink(queue.clone());
    let mut sizes = Vec::new();
    while let Some(duet_media::Frame::Video(frame)) = queue.pop_timeout(LIMIT) {
        assert!(
            marks::read(&frame.buffer).is_some(),
            "damaged at the change"
        );
        sizes.push((frame.width(), frame.height()));
    }
    sizes.dedup();
    assert_eq!(sizes, [(640, 360), (320, 180)]);
    let path = file.path().to_str().unwrap();
    ffmpeg("ffmpeg", &["-v", "error", "-i", path, "-f", "null", "-"]);
}

#[test]
fn what_ffmpeg_writes_is_played() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stream = synthetic(320, 180);
    let recorder = record(&stream, file.path(), Duration::from_millis(2_600));
    let pictures = recorder.statistics().pictures as usize;
    let from = file.path().to_str().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let convert = |name: &str, options: &[&str]| {
        let to = directory.path().join(name);
        let target = to.to_str().unwrap();
        let arguments = [&["-v", "error", "-i", from], options, &[target]].concat();
        ffmpeg("ffmpeg", &arguments).map(|_| to)
    };
    let Some(copied) = convert("copied.webm", &["-c", "copy"]) else {
        return;
    };
    let live = ["-c", "copy", "-live", "1", "-f", "webm"];
    for webm in [copied, convert("live.webm", &live).unwrap()] {
        let seen = watch(&webm);
        seen.assert_none_lost();
        assert!((pictures - SEEN_LATE..=pictures).contains(&seen.pictures.len()));
        let lip_sync = seen.lip_sync();
        assert!(!lip_sync.is_empty(), "{seen:?}");
        assert!(lip_sync.iter().all(|off| off.abs() < 45.0), "{lip_sync:?}");
    }
    let ivf = watch(&convert("pictures.ivf", &["-an", "-c", "copy"]).unwrap());
    ivf.assert_none_lost();
    assert!((pictures - SEEN_LATE..=pictures).contains(&ivf.pictures.len()));
    let ogg = watch(&convert("sound.ogg", &["-vn", "-c", "copy"]).unwrap());
    assert!(ogg.beeps.len() >= 2, "{ogg:?}");

    // Another encoder's sound; and codecs that are not played.
    let again = [
        "-vn",
        "-c:a",
        "libopus",
        "-frame_duration",
        "60",
        "-ac",
        "1",
    ];
    let again = watch(&convert("again.opus", &again).unwrap());
    assert!(again.beeps.len() >= 2, "{again:?}");
    let other = convert("other.webm", &["-an", "-c:v", "libvpx-vp9", "-t", "0.2"]).unwrap();
    let refused = duet_recorder::player::play(&other, common::clock(), Repeat::Once);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("neither VP8 nor Opus"), "{refused}");
}
