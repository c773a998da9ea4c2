//! `duet record`, and `duet call --record`: what is in the files is read back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "../../recorder/tests/common/mod.rs"]
mod common;

use duet::signaling::{Server, ServerConfig};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

fn duet(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duet"));
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn run(words: &[&str]) -> Output {
    let output = timeout(PATIENCE, duet(words).output()).await;
    output.expect("it ends").unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Records the synthetic pair for so long.
async fn record(to: &Path, duration: &str) {
    let words = ["record", to.to_str().unwrap(), "--duration", duration];
    let sources = ["--camera", "synthetic", "--microphone", "synthetic"];
    let output = run(&[&words[..], &sources, &["--size", "320x180"]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains(" pictures, "), "{}", said(&output));
}

/// A recording of what was captured here goes by capture times: no second may be off.
fn assert_in_step(seen: &common::Seen) {
    let lip_sync = seen.lip_sync();
    assert!(!lip_sync.is_empty(), "{seen:?}");
    assert!(lip_sync.iter().all(|off| off.abs() < 45.0), "{lip_sync:?}");
}

/// One of a call goes by when it was played, and a machine with other work plays a second or two late
/// without any fault of ours: that 95 of 100 are in step is the network laboratory's claim, whose time
/// nobody holds up. Here it is most seconds, and none that belongs to another beep.
fn assert_mostly_in_step(seen: &common::Seen) {
    let mut off: Vec<f64> = seen.lip_sync().iter().map(|off| off.abs()).collect();
    off.sort_by(f64::total_cmp);
    assert!(off.len() >= 3, "{seen:?}");
    assert!(off[off.len() / 2] < 45.0, "{off:?}");
    assert!(off.iter().all(|off| *off < 200.0), "{off:?}");
}

#[tokio::test]
async fn what_is_recorded_is_a_source_of_a_call_and_recorded_at_its_far_end() {
    let directory = tempfile::tempdir().unwrap();
    let talk = directory.path().join("talk.webm");
    record(&talk, "3s").await;
    let seen = common::watch(&talk);
    seen.assert_none_lost();
    assert!(seen.pictures.len() > 80, "{}", seen.pictures.len());
    assert_in_step(&seen);

    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let url = server.url();
    let running = tokio::spawn(async { server.run_until(std::future::pending()).await.unwrap() });
    let call = ["call", "demo", "--server", &url, "--speaker", "none"];
    let talk = format!("file:{}", talk.display());
    let talks = ["--camera", &talk, "--microphone", &talk];
    let talking = duet(&[&call[..], &talks].concat()).spawn().unwrap();
    let them = directory.path().join("them.webm");
    let listens = [
        "--camera",
        "synthetic",
        "--microphone",
        "synthetic",
        "--size",
        "160x90",
        "--duration",
        "6s",
        "--record",
        them.to_str().unwrap(),
    ];
    let output = run(&[&call[..], &listens].concat()).await;
    drop(talking);
    running.abort();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let seen = common::watch(&them);
    // The clip begins again and again, and congestion may make the picture smaller; its marks stay.
    assert!(seen.pictures.len() > 90, "{}\n{seen:?}", said(&output));
    assert_mostly_in_step(&seen);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_a_usage_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.webm");
    let (file, folder) = (file.to_str().unwrap(), directory.path().to_str().unwrap());
    let none = ["--camera", "none", "--microphone", "none"];
    for words in [
        [&["record", file][..], &none].concat(),
        vec!["record", folder],
        vec!["record", "/nowhere/at/all.webm"],
        vec!["record"],
        vec!["record", file, "--camera", "once:/nowhere/at.all"],
    ] {
        let output = run(&words).await;
        assert_eq!(
            output.status.code(),
            Some(2),
            "{words:?}: {}",
            said(&output)
        );
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_recording_with_a_sentence() {
    let sources = ["--camera", "synthetic", "--microphone", "synthetic"];
    let output = run(&[&["record", "/dev/full"][..], &sources].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot write"), "{}", said(&output));
}

/// Runs a command where `at` is a disk of 100 kB. Where the system grants nobody a disk of his own it is
/// a device that is always full.
async fn on_a_small_disk(at: &Path) -> (Command, PathBuf) {
    let probe = Command::new("unshare").args(["-rm", "true"]).status().await;
    let mut command = Command::new("unshare");
    if !probe.is_ok_and(|status| status.success()) {
        command = Command::new("env");
        return (command, "/dev/full".into());
    }
    let script = r#"mount -t tmpfs -o size=100k tmpfs "$0" && exec "$@""#;
    command.args(["-rm", "sh", "-c", script]).arg(at);
    (command, at.join("them.webm"))
}

#[tokio::test]
async fn a_full_disk_ends_the_recording_and_the_call_goes_on() {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let url = server.url();
    let running = tokio::spawn(async { server.run_until(std::future::pending()).await.unwrap() });
    let call = ["call", "demo", "--server", &url, "--speaker", "none"];
    let sources = ["--camera", "synthetic", "--microphone", "synthetic"];
    let size = ["--size", "320x180"];
    let talking = duet(&[&call[..], &sources, &size].concat())
        .spawn()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("report.json");
    let disk = directory.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (mut command, them) = on_a_small_disk(&disk).await;
    command
        .arg(env!("CARGO_BIN_EXE_duet"))
        .args([&call[..], &sources, &size].concat())
        .args(["--duration", "12s", "--verify", "--report"])
        .arg(&report)
        .arg("--record")
        .arg(&them)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await;
    let output = output.expect("it ends").unwrap();
    drop(talking);
    running.abort();
    let said = said(&output);
    assert!(
        said.contains("is not recorded any more: ") && said.contains("cannot write: "),
        "{said}"
    );
    // How much was recorded is told at the end: FILE: 1.0 s, 30 pictures, …
    let recorded = said.split(" pictures").next().unwrap().rsplit(' ').next();
    let recorded: u64 = recorded
        .unwrap()
        .parse()
        .unwrap_or_else(|_| panic!("{said}"));
    let report = std::fs::read_to_string(&report).unwrap_or_else(|_| panic!("{said}"));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let seen = report["video"]["frames_decoded"].as_u64().unwrap();
    assert!(
        seen > recorded + 90,
        "{recorded} pictures fitted on the disk, and {seen} were seen: {said}"
    );
    let heard = report["audio"]["received"].as_f64().unwrap();
    assert!(heard > 0.5, "{report}");
}

/// The status of the answer to `GET url`.
async fn status(url: &str) -> u16 {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    let read = BufReader::new(connection).read_line(&mut line).await;
    read.unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_live_stream_opens_beside_the_signaling_of_the_same_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let urls = duet::recorder::ObjectUrls::new(&base);
    let routes = duet::signaling::app(ServerConfig::default()).merge(urls.router());
    tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
    let stream = common::synthetic(160, 90);
    let url = urls.create_object_url(&stream);
    assert_eq!(status(&url).await, 200);
    assert_eq!(status(&format!("{base}/healthz")).await, 200);
    assert_eq!(status(&format!("{base}/live/nonsense")).await, 404);
    urls.revoke_object_url(&url);
    assert_eq!(status(&url).await, 404);
}
