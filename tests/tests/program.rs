//! The program at work, without browsers: what it says, and with which exit status it ends.

use duet_tests::{Call, Clip, Ended, PATIENCE, Program, Server, TONE_HZ, executable, free_port};
use serde_json::Value;
use std::fs::File;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Runs `duet` with the given words to its end.
fn run(words: &[&str]) -> Ended {
    Program::start(words).finish(PATIENCE)
}

/// The report of a loopback that media arrived from intact.
fn intact_loopback(words: &[&str]) -> Value {
    let words = [&["loopback", "--json"], words].concat();
    let Ended {
        status,
        output,
        said,
    } = run(&words);
    assert_eq!(status.code(), Some(0), "{output}\n{said}");
    let report: Value = serde_json::from_str(&output).expect("one JSON object and nothing else");
    assert_eq!(report["pass"], true);
    report
}

#[test]
fn loopback_reads_back_what_it_sent() {
    let report = intact_loopback(&["--duration", "6s", "--size", "640x360"]);
    assert_eq!(report["video"]["width"], 640);
    for (section, members) in [
        (
            "video",
            [
                "frames_sent",
                "frames_decoded",
                "fps",
                "first_frame_ms",
                "latency_ms",
                "freezes",
                "psnr_db",
            ]
            .as_slice(),
        ),
        (
            "audio",
            &["received", "latency_ms", "concealed_ratio", "pitch_ok"],
        ),
        ("av_offset_ms", &["p50", "p95"]),
        ("cpu", &["cores", "codec_floor_cores"]),
        ("memory", &["peak_rss_mb"]),
    ] {
        for member in members {
            assert!(
                !report[section][member].is_null(),
                "{section}.{member} is missing: {report}"
            );
        }
    }
}

/// A camera that has no marks is given them, and its sound has a pitch that nobody foretold.
#[test]
fn loopback_marks_the_pictures_of_a_file_and_knows_them_again() {
    let clip = Clip::new();
    let report = intact_loopback(&[
        "--camera",
        &format!("file:{}", clip.video().display()),
        "--microphone",
        &format!("file:{}", clip.audio().display()),
        "--duration",
        "5s",
    ]);
    let video = &report["video"];
    assert_eq!(
        (&video["width"], &video["height"]),
        (&640.into(), &360.into())
    );
    let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    assert!(number(&video["frames_decoded"]) > 100.0, "{report}");
    assert_eq!(video["frames_unreadable"], 0, "{report}");
    assert!((25.0..35.0).contains(&number(&video["fps"])), "{report}");
    assert!(
        (0.0..1_000.0).contains(&number(&video["latency_ms"]["p50"])),
        "{report}"
    );
    // Compared with the very pictures that were sent, and one codec apart from them.
    assert!(
        (28.0..60.0).contains(&number(&video["psnr_db"])),
        "{report}"
    );
    let audio = &report["audio"];
    assert!(
        (number(&audio["pitch_hz"]) - TONE_HZ).abs() < TONE_HZ * 0.02,
        "{report}"
    );
    assert!(number(&audio["received"]) > 3.0, "{report}");
    // What nobody sent is not judged: neither the melody, nor beeps and flashes that belong together.
    for unknown in [
        &audio["pitch_ok"],
        &audio["latency_ms"],
        &report["av_offset_ms"],
    ] {
        assert!(unknown.is_null(), "{report}");
    }
}

#[test]
fn a_loopback_without_media_fails_and_says_why() {
    let ended = run(&["loopback", "--duration", "50ms", "--json"]);
    assert_eq!(ended.status.code(), Some(1));
    let report: Value = serde_json::from_str(&ended.output).expect("one JSON object");
    assert_eq!(report["pass"], false);
    assert!(!report["reasons"].as_array().unwrap().is_empty());
}

#[test]
fn devices_lists_what_there_is() {
    let ended = run(&["devices", "--json"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    let devices: Value = serde_json::from_str(&ended.output).expect("one JSON array");
    assert!(devices.is_array());
}

/// A pipe that nobody reads.
fn deaf() -> Stdio {
    let (_, writer) = std::io::pipe().expect("there is a descriptor left");
    writer.into()
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned()
}

#[test]
fn nobody_has_to_read_what_it_says() {
    for words in [
        ["devices"].as_slice(),
        &["devices", "--json"],
        &["completions", "bash"],
        &["loopback", "--duration", "2s", "--size", "320x180"],
    ] {
        let mut command = Command::new(executable());
        let output = command.args(words).stdout(deaf()).output().unwrap();
        let said = text_of(&output);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
    let mut command = Command::new(executable());
    command.args(["loopback", "--duration", "2s", "--size", "320x180"]);
    let output = command.stderr(deaf()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    assert!(text_of(&output).contains("PASS"), "{}", text_of(&output));
}

#[test]
fn what_cannot_be_written_is_a_failure_in_a_sentence() {
    for words in [["devices", "--json"], ["completions", "bash"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(executable());
        let output = command.args(words).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let expected = "duet: cannot write to standard output: ";
        assert!(
            text_of(&output).starts_with(expected),
            "{}",
            text_of(&output)
        );
    }
}

#[test]
fn a_newcomer_calls_everybody_in_a_larger_room() {
    let server = Server::start_with(&["--room-size", "3"]);
    let small = |name| Call::to(server.url()).with(["--name", name, "--size", "320x180"]);
    let mut one = small("One").start();
    one.wait_for("nobody else", PATIENCE);
    let mut two = small("Two").start();
    two.wait_for("in a call with One", PATIENCE);
    let mut three = small("Three").start();
    one.wait_for("in a call with Three", PATIENCE);
    two.wait_for("in a call with Three", PATIENCE);
    // Its own end of each may stand a little later.
    for _ in 0..2 {
        three.wait_for("in a call with", PATIENCE);
    }
    three.interrupt();
    let ended = three.finish(Duration::from_secs(10));
    assert!(ended.status.success(), "{}", ended.said);
    assert_eq!(
        ended.said.matches("in a call with").count(),
        2,
        "{}",
        ended.said
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::start();
    let address = format!("127.0.0.1:{}", server.port());
    let ended = run(&["serve", "--listen", &address]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.said.contains("in use"), "{}", ended.said);
}

#[test]
fn a_server_ends_when_it_is_asked_to_however_soon() {
    for _ in 0..10 {
        let mut server = Program::start(["serve", "--listen", "127.0.0.1:0"]);
        server.wait_for("listening", PATIENCE);
        server.interrupt();
        let ended = server.finish(Duration::from_secs(10));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    }
}

#[test]
fn a_call_waits_for_a_server_that_is_not_there_yet() {
    let port = free_port();
    let mut call = Call::to(format!("http://localhost:{port}")).start();
    call.wait_for("trying again", PATIENCE);
    let _server = Server::on_port(port);
    call.wait_for("nobody else", PATIENCE);
    call.interrupt();
    let ended = call.finish(Duration::from_secs(10));
    assert!(ended.status.success(), "{}", ended.said);
}

/// Who comes with a microphone only, or with nothing at all, sees and hears all the same.
#[test]
fn a_newcomer_gets_what_it_does_not_send() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    for microphone in ["synthetic", "none"] {
        let mut host = Call::to(server.url())
            .with(["--size", "320x180", "--duration", "60s"])
            .start();
        host.wait_for("nobody else", PATIENCE);
        let report = folder.path().join(microphone);
        let report_words = report.display().to_string();
        let newcomer = Call::to(server.url())
            .camera("none")
            .microphone(microphone)
            .with(["--verify", "--report", &report_words, "--duration", "5s"])
            .start();
        let ended = newcomer.finish(PATIENCE);
        assert!(ended.status.success(), "{}", ended.said);
        let report: Value =
            serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
        assert!(
            report["video"]["frames_decoded"].as_u64() > Some(60),
            "{report}"
        );
        assert_eq!(report["audio"]["pitch_ok"], true, "{report}");
        host.interrupt();
        host.finish(PATIENCE);
    }
}

#[test]
fn two_endpoints_call_over_tls_and_verify_each_other() {
    let server = Server::start_with(&["--tls-self-signed"]);
    let folder = tempfile::tempdir().unwrap();
    let calls = ["one", "other"].map(|name| {
        let report = folder.path().join(name).display().to_string();
        Call::to(server.secure_url())
            .with(["--insecure", "--name", name, "--size", "320x180"])
            .with(["--verify", "--report", &report, "--duration", "8s"])
            .start()
    });
    for call in calls {
        let ended = call.finish(PATIENCE);
        assert!(ended.status.success(), "{}", ended.said);
    }
    let untrusting = Call::to(server.secure_url()).start().finish(PATIENCE);
    assert_eq!(
        untrusting.status.code(),
        Some(1),
        "a certificate that nobody vouches for is refused: {}",
        untrusting.said
    );
}
