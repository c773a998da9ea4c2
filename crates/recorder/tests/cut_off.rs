//! Recordings that did not come to their end.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{ffmpeg, synthetic, until_recorded};
use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "DUET_RECORDER_TEST_FILE";
const ENOUGH: &str = "two seconds are recorded";

/// Not a test of its own: what the next one kills.
#[test]
fn a_program_that_records_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let stream = synthetic(320, 180);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    recorder
        .start_to(Output::file(Path::new(&path)).unwrap())
        .unwrap();
    until_recorded(&recorder, Duration::from_secs(2));
    println!("{ENOUGH}");
    until_recorded(&recorder, Duration::from_secs(20));
    panic!("nobody killed it");
}

#[test]
fn a_killed_recording_plays_up_to_the_kill() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_program_that_records_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD, file.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let told = lines.any(|line| line.is_ok_and(|line| line.ends_with(ENOUGH)));
    assert!(told, "it ended by itself");
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = common::watch(file.path());
    seen.assert_none_lost();
    assert!(seen.pictures.len() > 45, "{}", seen.pictures.len());
    let lip_sync = seen.lip_sync();
    assert!(lip_sync.iter().all(|off| off.abs() < 45.0), "{lip_sync:?}");
    let path = file.path().to_str().unwrap();
    let raw = [
        "-v",
        "error",
        "-i",
        path,
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framecrc",
        "-",
    ];
    if let Some(frames) = ffmpeg("ffmpeg", &raw) {
        let frames = String::from_utf8(frames).unwrap();
        let frames = frames.lines().filter(|line| !line.starts_with('#')).count();
        assert!(
            (seen.pictures.len()..=seen.pictures.len() + 5).contains(&frames),
            "{frames}"
        );
    }
}
