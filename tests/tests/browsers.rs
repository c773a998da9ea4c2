//! The program in a call with real browsers. What either side sent is read back at the other.

use duet_devices::synthetic::marks::audio::pattern_index;
use duet_tests::{
    Browser, BrowserOptions, Clip, PATIENCE, Page, Program, Server, SoundServer, TONE_HZ, Watched,
};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const ROOM: &str = "test";
const WATCH: Duration = Duration::from_secs(5);

/// An endpoint with the synthetic pair that reads back what it gets, and leaves a report.
fn endpoint(server: &Server, report: &Path, seconds: u32) -> Program {
    Program::start([
        "call",
        ROOM,
        "--server",
        &server.url(),
        "--name",
        "Duet",
        "--camera",
        "synthetic",
        "--microphone",
        "synthetic",
        "--speaker",
        "none",
        "--size",
        "640x360",
        "--verify",
        "--report",
        &report.display().to_string(),
        "--duration",
        &format!("{seconds}s"),
    ])
}

/// An endpoint with the synthetic pair.
fn plain_endpoint(server: &Server, name: &str) -> Program {
    Program::start([
        "call",
        ROOM,
        "--server",
        &server.url(),
        "--name",
        name,
        "--camera",
        "synthetic",
        "--microphone",
        "synthetic",
        "--speaker",
        "none",
        "--size",
        "640x360",
    ])
}

/// The browser saw numbered pictures in order, in time, and heard the melody.
fn assert_intact(seen: &Watched, browser: &str) {
    assert!(
        seen.frames.len() > 60,
        "{browser} read {} pictures in {WATCH:?}",
        seen.frames.len()
    );
    assert!(
        seen.frames.is_sorted_by_key(|(_, number, _)| *number),
        "{browser} saw pictures out of order"
    );
    assert!(
        seen.unreadable * 20 <= seen.frames.len() as u64,
        "{} unreadable pictures",
        seen.unreadable
    );
    let mut ages: Vec<i32> = seen.frames.iter().map(|(_, _, age)| *age).collect();
    ages.sort_unstable();
    let median = ages[ages.len() / 2];
    assert!(
        (0..1_000).contains(&median),
        "{browser}: pictures are {median} ms old"
    );
    eprintln!(
        "{browser}: {} pictures, {median} ms old, {:?}",
        seen.frames.len(),
        seen.size
    );
    let known = seen
        .hz
        .iter()
        .filter(|hz| pattern_index(**hz).is_some() || (**hz - 1_000.0).abs() < 25.0);
    let known = known.count();
    assert!(
        seen.hz.len() >= 20,
        "{browser} heard a sound only {} times",
        seen.hz.len()
    );
    assert!(
        known * 10 >= seen.hz.len() * 8,
        "{browser} heard strange pitches: {:?}",
        seen.hz
    );
}

fn read_report(program: Program, path: &Path) -> Value {
    program.finish(PATIENCE);
    let text = std::fs::read_to_string(path).expect("the endpoint leaves a report");
    serde_json::from_str(&text).expect("the report is JSON")
}

/// The endpoint read the clip that Chromium was given.
fn assert_clip_arrived(report: &Value) {
    let decoded = report["video"]["frames_decoded"].as_u64().unwrap_or(0);
    let unreadable = report["video"]["frames_unreadable"]
        .as_u64()
        .unwrap_or(u64::MAX);
    assert!(
        decoded > 20 && unreadable * 10 <= decoded.max(60),
        "{report}"
    );
    let pitch = report["audio"]["pitch_hz"].as_f64().unwrap_or(0.0);
    assert!(
        (pitch - TONE_HZ).abs() < TONE_HZ * 0.02,
        "the endpoint heard {pitch} Hz"
    );
}

fn connected_page(browser: &Browser, server: &Server, name: &str) -> Page {
    let page = browser.open(name, &server.page(ROOM));
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    page
}

#[test]
fn chromium_offers_and_both_sides_get_what_was_sent() {
    let (server, clip) = (Server::start(), Clip::new());
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let endpoint = endpoint(&server, &report, 25);
    endpoint.wait_for("nobody else", PATIENCE);
    let (video, audio) = (clip.video(), clip.audio());
    let options = BrowserOptions {
        video: Some(&video),
        audio: Some(&audio),
        ..Default::default()
    };
    let browser = Browser::chromium(&options);
    let page = connected_page(&browser, &server, "page");
    assert_intact(&page.watch(WATCH), "chromium");
    endpoint.interrupt();
    assert_clip_arrived(&read_report(endpoint, &report));
    page.wait_for_state(&["ended", "joining", "connecting"]);
}

#[test]
fn chromium_answers_and_both_sides_get_what_was_sent() {
    let (server, clip) = (Server::start(), Clip::new());
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let (video, audio) = (clip.video(), clip.audio());
    let options = BrowserOptions {
        video: Some(&video),
        audio: Some(&audio),
        ..Default::default()
    };
    let browser = Browser::chromium(&options);
    let page = browser.open("page", &server.page(ROOM));
    page.wait_for_state(&["joining", "connecting"]);
    page.eval("new Promise((done) => { const look = () => document.querySelector('#local-video').srcObject ? done(1) : setTimeout(look, 50); look(); })");
    let endpoint = endpoint(&server, &report, 25);
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    assert_intact(&page.watch(WATCH), "chromium");
    endpoint.interrupt();
    assert_clip_arrived(&read_report(endpoint, &report));
}

/// Firefox has a picture and a tone of its own: changing colours, and one steady pitch.
fn assert_firefox_arrived(report: &Value) {
    let shown = report["video"]["frames_unreadable"].as_u64().unwrap_or(0);
    assert!(shown > 50, "{report}");
    assert!(report["audio"]["pitch_hz"].as_f64().is_some(), "{report}");
    assert!(
        report["audio"]["received"].as_f64().unwrap_or(0.0) > 3.0,
        "{report}"
    );
}

#[test]
fn firefox_offers_and_both_sides_get_what_was_sent() {
    let (server, sound) = (Server::start(), SoundServer::start());
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let endpoint = endpoint(&server, &report, 30);
    endpoint.wait_for("nobody else", PATIENCE);
    let browser = Browser::firefox(&BrowserOptions {
        sound: Some(sound.runtime_dir()),
        ..Default::default()
    });
    let page = connected_page(&browser, &server, "page");
    assert_intact(&page.watch(WATCH), "firefox");
    endpoint.interrupt();
    assert_firefox_arrived(&read_report(endpoint, &report));
}

#[test]
fn firefox_answers_and_both_sides_get_what_was_sent() {
    let (server, sound) = (Server::start(), SoundServer::start());
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let browser = Browser::firefox(&BrowserOptions {
        sound: Some(sound.runtime_dir()),
        ..Default::default()
    });
    let page = browser.open("page", &server.page(ROOM));
    page.wait_for_state(&["joining", "connecting"]);
    page.eval("new Promise((done) => { const look = () => document.querySelector('#local-video').srcObject ? done(1) : setTimeout(look, 50); look(); })");
    let endpoint = endpoint(&server, &report, 30);
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    assert_intact(&page.watch(WATCH), "firefox");
    endpoint.interrupt();
    assert_firefox_arrived(&read_report(endpoint, &report));
}

#[test]
fn a_reloaded_page_is_back_in_the_call() {
    let server = Server::start();
    let endpoint = plain_endpoint(&server, "Duet");
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = connected_page(&browser, &server, "page");
    page.reload();
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    assert_intact(&page.watch(WATCH), "the reloaded page");
    let calls = endpoint
        .said()
        .iter()
        .filter(|line| line.contains("in a call"))
        .count();
    assert_eq!(calls, 2, "{:?}", endpoint.said());
}

#[test]
fn a_hang_up_is_seen_on_the_other_side() {
    let server = Server::start();
    let mut endpoint = plain_endpoint(&server, "Duet");
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = connected_page(&browser, &server, "page");
    page.click("#hang-up");
    page.wait_for_state(&["ended"]);
    endpoint.wait_for("left", Duration::from_secs(5));
    assert!(endpoint.is_running(), "an endpoint outlives a call");

    let page = connected_page(&browser, &server, "again");
    endpoint.interrupt();
    page.wait_for_state(&["ended", "joining"]);
    let (status, _) = endpoint.finish(Duration::from_secs(10));
    assert!(status.success());
}

#[test]
fn a_killed_endpoint_is_missed_and_another_takes_its_place() {
    let server = Server::start();
    let endpoint = plain_endpoint(&server, "Duet");
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = connected_page(&browser, &server, "page");
    endpoint.kill();
    page.wait_for_state(&["ended", "joining", "reconnecting"]);
    let _other = plain_endpoint(&server, "Another");
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    assert_intact(&page.watch(WATCH), "chromium");
}

#[test]
fn media_goes_on_while_the_server_is_away_and_the_room_is_rejoined() {
    let server = Server::start();
    let port = server.port();
    let endpoint = plain_endpoint(&server, "Duet");
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = connected_page(&browser, &server, "page");
    server.kill();
    endpoint.wait_for("trying again", PATIENCE);
    assert_intact(&page.watch(WATCH), "without a server, chromium");

    let _server = Server::on_port(port);
    endpoint.wait_for("found again", PATIENCE);
    assert_intact(&page.watch(WATCH), "after the server's return, chromium");
    let calls = endpoint
        .said()
        .iter()
        .filter(|line| line.contains("in a call"))
        .count();
    assert_eq!(calls, 1, "{:?}", endpoint.said());
}

#[test]
fn a_third_person_is_told_that_the_room_is_full() {
    let server = Server::start();
    let _endpoint = plain_endpoint(&server, "Duet");
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = connected_page(&browser, &server, "page");
    let third = plain_endpoint(&server, "Third");
    let (status, _) = third.finish(PATIENCE);
    assert_eq!(status.code(), Some(1));
    // Not in a second tab: a browser shows no pictures in a page that is hidden.
    let another = Browser::chromium(&BrowserOptions::default());
    let other = another.open("third", &server.page(ROOM));
    other.wait_for_state(&["failed"]);
    assert_eq!(
        other.eval("document.documentElement.dataset.callReason"),
        "room-full"
    );
    assert_intact(&page.watch(WATCH), "the first page");
}

#[test]
fn two_who_call_at_the_same_moment_meet() {
    let server = Server::start();
    for _ in 0..3 {
        let (one, other) = (
            plain_endpoint(&server, "One"),
            plain_endpoint(&server, "Other"),
        );
        one.wait_for("in a call with Other", PATIENCE);
        other.wait_for("in a call with One", PATIENCE);
    }
}
