//! The program with a screen or a window in a camera's place.

use duet_devices::synthetic::{Painter, marks};
use duet_media::I420Buffer;
use duet_tests::{Call, PATIENCE, Program, Screen, Server};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SIZE: (u32, u32) = (640, 360);

/// The synthetic camera's picture of that number.
fn picture(number: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(SIZE.0, SIZE.1);
    Painter::new(SIZE.0, SIZE.1).paint(number, Duration::from_millis(5), false, &mut picture);
    picture
}

/// The numbers that are read in the pictures of a recording, by somebody else's decoder.
fn numbers(file: &Path, width: u32, height: u32) -> Vec<Option<u32>> {
    let output = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(file)
        .args(["-f", "rawvideo", "-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::null())
        .output()
        .expect("ffmpeg runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let size = I420Buffer::new(width, height).as_bytes().len();
    let pictures = output.stdout.chunks_exact(size).map(|bytes| {
        let mut picture = I420Buffer::new(width, height);
        picture.as_bytes_mut().copy_from_slice(bytes);
        marks::read(&picture).map(|marks| marks.frame_number)
    });
    pictures.collect()
}

/// Whether nearly all pictures show that number; the first ones may come before anything is shown.
fn assert_shows(numbers: &[Option<u32>], number: u32) {
    let right = numbers.iter().filter(|n| **n == Some(number)).count();
    assert!(
        numbers.len() >= 10 && right * 10 >= numbers.len() * 9,
        "{right} of {} pictures show {number}: {numbers:?}",
        numbers.len()
    );
}

#[test]
fn a_whole_screen_is_recorded_with_what_is_on_it() {
    let screen = Screen::start();
    let _window = screen.show("Marks", (0, 0), &picture(7));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("screen.webm");
    let words = ["record", &file.display().to_string(), "--camera", "screen"].map(str::to_owned);
    let more = [
        "--microphone",
        "none",
        "--duration",
        "3s",
        "--size",
        "1280x720",
    ];
    let words = words.into_iter().chain(more.map(str::to_owned));
    let ended = Program::start_at(Some(&screen), words).finish(PATIENCE);
    assert!(ended.status.success(), "{}", ended.said);
    // The marks are in the picture's corner: cut to the window, they can be read.
    let cut = folder.path().join("window.y4m");
    let status = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-i"])
        .arg(&file)
        .args(["-vf", "crop=640:360:0:0"])
        .arg(&cut)
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("ffmpeg runs").success());
    assert_shows(&numbers(&cut, SIZE.0, SIZE.1), 7);
}

#[test]
fn a_window_is_shown_in_a_call_whatever_lies_over_it() {
    let screen = Screen::start();
    let _window = screen.show("Slides of the talk", (100, 50), &picture(11));
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("them.webm");
    let mut near = Call::to(server.url())
        .screen(&screen)
        .camera("window:slides")
        .microphone("none")
        .with(["--name", "Near", "--size", "640x360", "--duration", "60s"])
        .start();
    near.wait_for("nobody else", PATIENCE);
    // It is shown already, so what is covered now has been kept.
    let _over = screen.show("Another", (0, 0), &picture(12));
    let far = Call::to(server.url())
        .with([
            "--name",
            "Far",
            "--size",
            "320x180",
            "--duration",
            "6s",
            "--record",
            &file.display().to_string(),
        ])
        .start();
    let ended = far.finish(PATIENCE);
    assert!(ended.status.success(), "{}", ended.said);
    near.interrupt();
    near.finish(PATIENCE);
    assert_shows(&numbers(&file, SIZE.0, SIZE.1), 11);
}

#[test]
fn a_loopback_judges_a_screen_like_a_camera() {
    let screen = Screen::start();
    let _window = screen.show("Something to see", (300, 200), &picture(3));
    let words = [
        "loopback",
        "--json",
        "--camera",
        "screen:screen",
        "--microphone",
        "none",
    ];
    let more = ["--duration", "5s", "--size", "640x360"];
    let words = words.into_iter().chain(more);
    let ended = Program::start_at(Some(&screen), words).finish(PATIENCE);
    assert!(ended.status.success(), "{}\n{}", ended.output, ended.said);
    let report: Value = serde_json::from_str(&ended.output).expect("one JSON object");
    assert_eq!(report["pass"], true);
    assert_eq!(report["video"]["width"], 640, "{report}");
}

#[test]
fn what_there_is_to_show_is_listed() {
    let screen = Screen::start();
    let _window = screen.show("A window of ours", (0, 0), &picture(1));
    let ended = Program::start_at(Some(&screen), ["devices", "--json"]).finish(PATIENCE);
    let listed: Value = serde_json::from_str(&ended.output).expect("one JSON array");
    let of = |kind: &str| {
        let all = listed.as_array().into_iter().flatten();
        let of_kind = all.filter(|device| device["kind"] == kind);
        of_kind.cloned().collect::<Vec<_>>()
    };
    let (monitors, windows) = (of("monitor"), of("window"));
    assert_eq!(
        (&monitors[0]["width"], &monitors[0]["height"]),
        (&1280.into(), &720.into())
    );
    assert_eq!(windows[0]["label"], "A window of ours", "{listed}");
    assert!(
        windows[0]["source"]
            .as_str()
            .unwrap()
            .starts_with("window:0x"),
        "{listed}"
    );
}

#[test]
fn what_cannot_be_shown_is_refused_in_a_sentence() {
    let screen = Screen::start();
    let _window = screen.show("The only one", (0, 0), &picture(1));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nothing.webm").display().to_string();
    for (at, camera, microphone, sentence) in [
        (
            None,
            "screen",
            "none",
            "NotFoundError: there is no screen to show: DISPLAY names none",
        ),
        (
            None,
            "window:x",
            "none",
            "NotFoundError: there is no screen to show: DISPLAY names none",
        ),
        (
            Some(&screen),
            "screen:HDMI-9",
            "none",
            "NotFoundError: there is no monitor of that name; there are: screen:",
        ),
        (
            Some(&screen),
            "window:nobody's",
            "none",
            "NotFoundError: there is no window of that name; there are: window:0x",
        ),
        (
            Some(&screen),
            "none",
            "screen",
            "TypeError: a screen is a picture",
        ),
    ] {
        let words = [
            "record",
            &file,
            "--camera",
            camera,
            "--microphone",
            microphone,
        ];
        let ended = Program::start_at(at, words).finish(PATIENCE);
        assert_eq!(
            ended.status.code(),
            Some(2),
            "{camera}, {microphone}: {}",
            ended.said
        );
        assert!(
            ended.said.contains(sentence),
            "{camera}, {microphone}: {}",
            ended.said
        );
        assert!(ended.output.is_empty(), "{}", ended.output);
    }
}
