//! The program in a call with real browsers. What either side sent is read back at the other.

use duet_devices::synthetic::marks::audio::pattern_index;
use duet_tests::{
    Browser, BrowserOptions, Call, Clip, PATIENCE, Page, Program, Server, SoundServer, TONE_HZ,
    Watched,
};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const WATCH: Duration = Duration::from_secs(5);

/// Who comes to a room where the other is already. The newcomer offers.
enum Newcomer {
    Browser,
    Endpoint,
}

/// A browser and an endpoint in one call. The browser gets what the endpoint sent; what the endpoint
/// got is in the report that it leaves.
fn call_and_read_back(browser: &Browser, newcomer: &Newcomer) -> Value {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let report = folder.path().join("report.json");
    let endpoint = || {
        let report = report.display().to_string();
        synthetic(&server, "Duet")
            .with(["--verify", "--report", &report, "--duration", "30s"])
            .start()
    };
    let (page, endpoint) = match newcomer {
        Newcomer::Browser => {
            let mut endpoint = endpoint();
            endpoint.wait_for("nobody else", PATIENCE);
            (browser.open("page", &server.page()), endpoint)
        }
        Newcomer::Endpoint => {
            let page = browser.open("page", &server.page());
            page.wait_for_state(&["joining", "connecting"]);
            page.wait_for_own_picture();
            (page, endpoint())
        }
    };
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    assert_intact(&page.watch(WATCH), browser.name());
    endpoint.interrupt();
    let report = read_report(endpoint, &report);
    page.wait_for_state(&["ended", "joining", "connecting"]);
    report
}

fn synthetic<'a>(server: &Server, name: &str) -> Call<'a> {
    Call::to(server.url()).with(["--name", name, "--size", "640x360"])
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

fn call_chromium(newcomer: &Newcomer) {
    let clip = Clip::new();
    let (video, audio) = (clip.video(), clip.audio());
    let options = BrowserOptions {
        video: Some(&video),
        audio: Some(&audio),
        ..Default::default()
    };
    let report = call_and_read_back(&Browser::chromium(&options), newcomer);
    assert_clip_arrived(&report);
}

#[test]
fn chromium_offers_and_both_sides_get_what_was_sent() {
    call_chromium(&Newcomer::Browser);
}

#[test]
fn chromium_answers_and_both_sides_get_what_was_sent() {
    call_chromium(&Newcomer::Endpoint);
}

fn call_firefox(newcomer: &Newcomer) {
    let sound = SoundServer::start();
    let options = BrowserOptions {
        sound: Some(&sound),
        ..Default::default()
    };
    let report = call_and_read_back(&Browser::firefox(&options), newcomer);
    assert_firefox_arrived(&report);
}

#[test]
fn firefox_offers_and_both_sides_get_what_was_sent() {
    call_firefox(&Newcomer::Browser);
}

#[test]
fn firefox_answers_and_both_sides_get_what_was_sent() {
    call_firefox(&Newcomer::Endpoint);
}

/// Chromium, on a page that is in a call with an endpoint.
struct Standing {
    page: Page,
    browser: Browser,
    endpoint: Program,
    server: Server,
}

impl Standing {
    fn call() -> Self {
        let server = Server::start();
        let endpoint = synthetic(&server, "Duet").start();
        let browser = Browser::chromium(&BrowserOptions::default());
        let page = connected_page(&browser, &server, "page");
        Standing {
            page,
            browser,
            endpoint,
            server,
        }
    }
}

fn connected_page(browser: &Browser, server: &Server, name: &str) -> Page {
    let page = browser.open(name, &server.page());
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    page
}

/// How many calls an endpoint has been in.
fn calls_of(endpoint: &Program) -> usize {
    endpoint.said().matches("in a call").count()
}

#[test]
fn a_reloaded_page_is_back_in_the_call() {
    let call = Standing::call();
    call.page.reload();
    call.page.wait_for_state(&["connected"]);
    call.page.wait_for_picture();
    assert_intact(&call.page.watch(WATCH), "the reloaded page");
    assert_eq!(calls_of(&call.endpoint), 2, "{}", call.endpoint.said());
}

#[test]
fn a_hang_up_is_seen_on_the_other_side() {
    let mut call = Standing::call();
    call.page.click("#hang-up");
    call.page.wait_for_state(&["ended"]);
    call.endpoint.wait_for("left", Duration::from_secs(5));
    assert!(call.endpoint.is_running(), "an endpoint outlives a call");

    let page = connected_page(&call.browser, &call.server, "again");
    call.endpoint.interrupt();
    page.wait_for_state(&["ended", "joining"]);
    let ended = call.endpoint.finish(Duration::from_secs(10));
    assert!(ended.status.success());
}

#[test]
fn a_killed_endpoint_is_missed_and_another_takes_its_place() {
    let call = Standing::call();
    call.endpoint.kill();
    call.page
        .wait_for_state(&["ended", "joining", "reconnecting"]);
    let _other = synthetic(&call.server, "Another").start();
    call.page.wait_for_state(&["connected"]);
    call.page.wait_for_picture();
    assert_intact(&call.page.watch(WATCH), "chromium");
}

#[test]
fn media_goes_on_while_the_server_is_away_and_the_room_is_rejoined() {
    let Standing {
        page,
        browser: _browser,
        mut endpoint,
        server,
    } = Standing::call();
    let port = server.port();
    server.kill();
    endpoint.wait_for("trying again", PATIENCE);
    assert_intact(&page.watch(WATCH), "without a server, chromium");

    let _server = Server::on_port(port);
    endpoint.wait_for("found again", PATIENCE);
    assert_intact(&page.watch(WATCH), "after the server's return, chromium");
    assert_eq!(calls_of(&endpoint), 1, "{}", endpoint.said());
}

#[test]
fn a_third_person_is_told_that_the_room_is_full() {
    let call = Standing::call();
    let third = synthetic(&call.server, "Third").start();
    assert_eq!(third.finish(PATIENCE).status.code(), Some(1));
    // Not in a second tab: a browser shows no pictures in a page that is hidden.
    let another = Browser::chromium(&BrowserOptions::default());
    let other = another.open("third", &call.server.page());
    other.wait_for_state(&["failed"]);
    assert_eq!(
        other.eval("document.documentElement.dataset.callReason"),
        "room-full"
    );
    assert_intact(&call.page.watch(WATCH), "the first page");
}

#[test]
fn two_who_call_at_the_same_moment_meet() {
    let server = Server::start();
    for _ in 0..3 {
        let mut one = synthetic(&server, "One").start();
        let mut other = synthetic(&server, "Other").start();
        one.wait_for("in a call with Other", PATIENCE);
        other.wait_for("in a call with One", PATIENCE);
    }
}
