//! Words that make no sense, command by command: one sentence on standard error that says what was
//! expected, exit status 2, nothing on standard output, and never a panic.

use duet_tests::{Clip, Ended, PATIENCE, Program};
use std::path::Path;

/// Words, and what of the sentence must be there.
type Case<'a> = (Vec<&'a str>, &'a str);

fn assert_refused(words: &[&str], expected: &str) {
    let Ended {
        status,
        output,
        said,
    } = Program::start(words).finish(PATIENCE);
    assert_eq!(status.code(), Some(2), "{words:?}: {said}");
    assert!(output.is_empty(), "{words:?} printed {output}");
    let sentence = said.lines().next().unwrap_or_default();
    assert!(
        sentence.starts_with("error: ") || sentence.starts_with("duet: "),
        "{words:?}: {said}"
    );
    assert!(said.contains(expected), "{words:?}: {said}");
    // The parser adds how the command is used; nobody adds how the program is built.
    for foreign in ["panicked", "backtrace", ".rs:", "unwrap", "Os {"] {
        assert!(!said.contains(foreign), "{words:?}: {said}");
    }
    assert!(said.lines().count() <= 12, "{words:?}: {said}");
}

fn refuse_all<'a>(first: &[&'a str], cases: impl IntoIterator<Item = Case<'a>>) {
    for (words, expected) in cases {
        assert_refused(&[first, &words].concat(), expected);
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder is ours");
    path.display().to_string()
}

#[test]
fn of_the_program() {
    refuse_all(
        &[],
        [
            (vec!["dance"], "unrecognized subcommand"),
            (vec!["devices", "--loud"], "unexpected argument"),
            (vec!["devices", "camera"], "unexpected argument"),
            (vec!["completions"], "<SHELL>"),
            (vec!["completions", "cmd"], "possible values: bash"),
            (vec!["call", "demo"], "--server <URL>"),
        ],
    );
}

#[test]
fn of_a_server() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let text = &write(folder.path(), "text.pem", "this is no certificate\n");
    let missing = &folder.path().join("missing.pem").display().to_string();
    refuse_all(
        &["serve"],
        [
            (vec!["--listen", "here"], "invalid socket address"),
            (vec!["--listen", "127.0.0.1"], "invalid socket address"),
            (
                vec!["--listen", "127.0.0.1:99999"],
                "invalid socket address",
            ),
            (
                vec!["--listen", "192.0.2.1:8080"],
                "not an address of this machine",
            ),
            (vec!["--tls-cert", text], "--tls-key"),
            (vec!["--tls-key", text], "--tls-cert"),
            (
                vec!["--tls-cert", text, "--tls-key", text, "--tls-self-signed"],
                "cannot be used with",
            ),
            (
                vec!["--tls-cert", missing, "--tls-key", missing],
                "missing.pem, which should be a PEM file",
            ),
            (
                vec!["--tls-cert", text, "--tls-key", text],
                "holds no certificate; expected PEM",
            ),
            (vec!["--room-size", "1"], "1 is not in 2..=16"),
            (vec!["--room-size", "many"], "invalid digit"),
            (
                vec!["--ice-server", "http://host"],
                "expected stun:HOST:PORT",
            ),
            (
                vec!["--ice-server", "turn:host"],
                "turn:USER:PASSWORD@HOST:PORT",
            ),
            (
                vec!["--allow-origin", "example.org"],
                "such as https://example.org",
            ),
            (
                vec!["--allow-origin", "https://example.org/page"],
                "such as https://example.org",
            ),
            (vec!["--camera", "webcam"], "expected default, none"),
            (
                vec!["--listen", "127.0.0.1:0", "--camera", "file:/nowhere.y4m"],
                "/nowhere.y4m",
            ),
            (
                vec!["--camera", "synthetic", "--size", "huge"],
                "WIDTHxHEIGHT",
            ),
        ],
    );
}

#[test]
fn of_a_call() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let long = &"x".repeat(65);
    let nowhere = &folder.path().join("no/folder/file").display().to_string();
    let here = &folder.path().display().to_string();
    let server = "http://localhost:1";
    let room = "letters, digits, - or _";
    for name in ["", "a room", "caf\u{e9}", "a/b", long] {
        assert_refused(&["call", name, "--server", server], room);
    }
    for url in [
        "",
        "nowhere",
        "localhost:8080",
        "ftp://localhost",
        "http://",
        "http://localhost:99999",
        "file:///etc/passwd",
        "https://exa mple.org",
    ] {
        assert_refused(&["call", "demo", "--server", url], "expected a URL such as");
    }
    refuse_all(
        &["call", "demo", "--server", server],
        [
            (vec!["--name", ""], "1 to 64 characters"),
            (vec!["--name", long], "1 to 64 characters"),
            (vec!["--name", "a\u{1b}[2Jb"], "1 to 64 characters"),
            (vec!["--speaker", "megaphone"], "no such speaker; expected"),
            (vec!["--verify"], "--duration <T>"),
            (vec!["--report", nowhere], "--verify"),
        ],
    );
    let nothing = [
        "--camera",
        "none",
        "--microphone",
        "none",
        "--speaker",
        "none",
    ];
    let silent = [&["call", "demo", "--server", server], &nothing[..]].concat();
    let verify = ["--verify", "--duration", "1s", "--report"];
    for file in [
        ["--stats-file", nowhere].to_vec(),
        [&verify[..], &[nowhere]].concat(),
        [&verify[..], &[here]].concat(),
    ] {
        assert_refused(
            &[silent.clone(), file].concat(),
            "expected a file that can be written",
        );
    }
    refuse_media(&["call", "demo", "--server", server, "--speaker", "none"]);
}

#[test]
fn of_a_loopback() {
    let silent = ["--camera", "none", "--microphone", "none"];
    refuse_all(&["loopback"], [(silent.to_vec(), "nothing to judge")]);
    refuse_media(&["loopback"]);
}

/// What a call and a loopback take alike: times, sizes and sources.
fn refuse_media(command: &[&str]) {
    for time in [
        "",
        "soon",
        "0",
        "-1s",
        "1 day",
        "10x",
        "1e9h",
        "s",
        "99999999h",
        "\u{661}s",
    ] {
        assert_refused(
            &[command, &[&format!("--duration={time}")]].concat(),
            "such as 500ms, 90s",
        );
    }
    for size in [
        "huge",
        "640",
        "640x",
        "0x0",
        "8x8",
        "99999x99999",
        "640x-360",
    ] {
        assert_refused(
            &[command, &[&format!("--size={size}")]].concat(),
            "such as 1280x720",
        );
    }
    refuse_all(
        command,
        [
            (vec!["--frame-rate", "0"], "0 is not in 1..=120"),
            (vec!["--frame-rate", "fast"], "invalid digit"),
            (vec!["--video-kbps", "1"], "1 is not in 50..=50000"),
        ],
    );
    for source in [
        "",
        "webcam",
        "file:",
        "device:",
        "http://host/clip.y4m",
        "Synthetic",
        "screen:",
        "window",
    ] {
        for option in ["--camera", "--microphone"] {
            let expected =
                "expected default, none, synthetic, file:PATH, once:PATH, device:ID, screen";
            assert_refused(&[command, &[option, source]].concat(), expected);
        }
    }
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let clip = Clip::new();
    let file = |path: String| format!("file:{path}");
    let text = &file(write(folder.path(), "notes.txt", "no picture, no sound"));
    let empty = &file(write(folder.path(), "empty", ""));
    let lying = &file(write(
        folder.path(),
        "lying.y4m",
        "YUV4MPEG2 W0 H99999999 F30:1\n",
    ));
    let here = &file(folder.path().display().to_string());
    let missing = &file(folder.path().join("missing.y4m").display().to_string());
    let (video, audio) = (
        &file(clip.video().display().to_string()),
        &file(clip.audio().display().to_string()),
    );
    refuse_all(
        command,
        [
            (
                vec!["--camera", missing, "--microphone", "none"],
                "NotFoundError: cannot read",
            ),
            (
                vec!["--camera", here, "--microphone", "none"],
                "NotReadableError: cannot read",
            ),
            (vec!["--camera", text, "--microphone", "none"], "is not a"),
            (vec!["--camera", empty, "--microphone", "none"], "is not a"),
            (
                vec!["--camera", lying, "--microphone", "none"],
                "NotReadableError: ",
            ),
            (vec!["--camera", audio, "--microphone", "none"], "is not a"),
            (
                vec!["--camera", "none", "--microphone", missing],
                "NotFoundError: cannot read",
            ),
            (vec!["--camera", "none", "--microphone", text], "is not a"),
            (vec!["--camera", "none", "--microphone", video], "is not a"),
            (
                vec!["--camera", "device:nobody", "--microphone", "none"],
                "NotFoundError: there is no camera with the id \"nobody\"; there are",
            ),
            (
                vec!["--camera", "none", "--microphone", "device:nobody"],
                "NotFoundError: there is no microphone with the id \"nobody\"; there are",
            ),
        ],
    );
}
