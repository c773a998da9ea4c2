//! The program's words: what it takes, what it refuses, and with which exit status.

use duet_tests::{PATIENCE, Program, Server, free_port};
use serde_json::Value;
use std::time::Duration;

/// Runs `duet` with the given words to its end; returns its exit status and what it said.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let program = Program::start(words);
    let patience = PATIENCE;
    // What it says is complete when it has ended.
    let said = program.log();
    let (status, output) = program.finish(patience);
    let said = said.lock().expect("no holder panics").join("\n");
    (status.code(), output, said)
}

#[test]
fn words_that_make_no_sense_end_with_2_and_a_sentence() {
    for (words, expected) in [
        (
            ["call", "a room", "--server", "http://localhost"].as_slice(),
            "letters, digits",
        ),
        (&["call", "demo", "--server", "nowhere"], "expected a URL"),
        (
            &[
                "call",
                "demo",
                "--server",
                "http://localhost",
                "--camera",
                "webcam",
            ],
            "synthetic",
        ),
        (
            &[
                "call",
                "demo",
                "--server",
                "http://localhost",
                "--camera",
                "file:/does/not/exist.y4m",
            ],
            "/does/not/exist.y4m",
        ),
        (
            &[
                "call",
                "demo",
                "--server",
                "http://localhost",
                "--duration",
                "soon",
            ],
            "such as",
        ),
        (&["serve", "--listen", "here"], "invalid"),
        (
            &["serve", "--tls-cert", "/none.pem", "--tls-key", "/none.pem"],
            "/none.pem",
        ),
        (&["loopback", "--duration", "0"], "such as"),
    ] {
        let (code, output, said) = run(words);
        assert_eq!(code, Some(2), "{words:?}: {said}");
        assert!(said.contains(expected), "{words:?}: {said}");
        assert!(output.is_empty());
    }
}

#[test]
fn loopback_reads_back_what_it_sent() {
    let (code, output, said) = run(&[
        "loopback",
        "--duration",
        "6s",
        "--size",
        "640x360",
        "--json",
    ]);
    assert_eq!(code, Some(0), "{output}\n{said}");
    let report: Value = serde_json::from_str(&output).expect("one JSON object and nothing else");
    assert_eq!(report["pass"], true);
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

#[test]
fn a_loopback_without_media_fails_and_says_why() {
    let (code, output, _) = run(&["loopback", "--duration", "50ms", "--json"]);
    assert_eq!(code, Some(1));
    let report: Value = serde_json::from_str(&output).expect("one JSON object");
    assert_eq!(report["pass"], false);
    assert!(!report["reasons"].as_array().unwrap().is_empty());
}

#[test]
fn devices_lists_what_there_is() {
    let (code, output, said) = run(&["devices", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let devices: Value = serde_json::from_str(&output).expect("one JSON array");
    assert!(devices.is_array());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::start();
    let address = format!("127.0.0.1:{}", server.port());
    let (code, _, said) = run(&["serve", "--listen", &address]);
    assert_eq!(code, Some(2));
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn a_call_waits_for_a_server_that_is_not_there_yet() {
    let port = free_port();
    let url = format!("http://localhost:{port}");
    let words = [
        "call",
        "demo",
        "--server",
        &url,
        "--camera",
        "none",
        "--microphone",
        "synthetic",
        "--speaker",
        "none",
    ];
    let call = Program::start(words);
    call.wait_for("trying again", PATIENCE);
    let _server = Server::on_port(port);
    call.wait_for("nobody else", PATIENCE);
    call.interrupt();
    assert!(call.finish(Duration::from_secs(10)).0.success());
}

#[test]
fn two_endpoints_call_over_tls_and_verify_each_other() {
    let port = free_port();
    let serve = Program::start([
        "serve",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--tls-self-signed",
    ]);
    serve.wait_for("listening", PATIENCE);
    let url = format!("https://localhost:{port}");
    let folder = tempfile::tempdir().unwrap();
    let calls = ["one", "other"].map(|name| {
        let report = folder.path().join(name).display().to_string();
        Program::start([
            "call",
            "demo",
            "--server",
            &url,
            "--insecure",
            "--name",
            name,
            "--camera",
            "synthetic",
            "--microphone",
            "synthetic",
            "--speaker",
            "none",
            "--size",
            "320x180",
            "--verify",
            "--report",
            &report,
            "--duration",
            "8s",
        ])
    });
    for call in calls {
        let said = call.log();
        let (status, _) = call.finish(PATIENCE);
        assert!(status.success(), "{}", said.lock().unwrap().join("\n"));
    }
    let untrusting = Program::start([
        "call",
        "demo",
        "--server",
        &url,
        "--camera",
        "synthetic",
        "--microphone",
        "none",
        "--speaker",
        "none",
    ]);
    let (status, _) = untrusting.finish(PATIENCE);
    assert_eq!(
        status.code(),
        Some(1),
        "a certificate that nobody vouches for is refused"
    );
}
