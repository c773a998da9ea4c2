//! What two ends of one call say of the same streams: the program, and Chromium.

use duet_tests::{Browser, BrowserOptions, Call, Clip, PATIENCE, Server};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const WATCH: Duration = Duration::from_secs(8);

/// Reports of one end, each with its time in milliseconds since 1970.
struct Reports(Vec<(f64, Value)>);

impl Reports {
    /// As the program writes them.
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the endpoint leaves statistics");
        let lines = text.lines().map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let at = line["timestamp"].as_f64().expect("a line has its time");
            (at, line["stats"].clone())
        });
        Reports(lines.collect())
    }

    /// A counter at a time between two reports.
    fn at(&self, time: f64, kind: &str, media: &str, member: &str) -> f64 {
        let after = self.0.iter().position(|(at, _)| *at >= time);
        let after = after.expect("the program went on for longer");
        let (before, after) = (&self.0[after - 1], &self.0[after]);
        let [low, high] = [before, after].map(|(_, report)| number(report, kind, media, member));
        low + (high - low) * (time - before.0) / (after.0 - before.0)
    }
}

fn stream<'a>(report: &'a Value, kind: &str, media: &str) -> &'a Value {
    let all = report.as_array().into_iter().flatten();
    let mut of = all.filter(|stats| stats["type"] == kind && stats["kind"] == media);
    of.next()
        .unwrap_or_else(|| panic!("no {kind} of {media} in {report}"))
}

fn number(report: &Value, kind: &str, media: &str, member: &str) -> f64 {
    let value = stream(report, kind, media)[member].as_f64();
    value.unwrap_or_else(|| panic!("no {member} in {kind} of {media} in {report}"))
}

fn codec<'a>(report: &'a Value, kind: &str, media: &str) -> Option<&'a str> {
    let id = &stream(report, kind, media)["codecId"];
    let mut all = report.as_array()?.iter();
    all.find(|stats| stats["id"] == *id)?["mimeType"].as_str()
}

/// What belongs together: who counts what leaves, and who counts what comes.
const COUNTERS: [(&str, &str, &[&str]); 3] = [
    ("packetsSent", "packetsReceived", &["audio", "video"]),
    ("bytesSent", "bytesReceived", &["audio", "video"]),
    ("framesSent", "framesReceived", &["video"]),
];

/// But for what is under way, and for what a counter did between two reports.
fn assert_near(what: &str, one: f64, other: f64) {
    let apart = (one - other).abs();
    assert!(
        one > 0.0 && apart <= one.max(other) * 0.03 + 5.0,
        "{what}: {one} and {other}"
    );
    eprintln!("{what}: {one:.0} and {other:.0}");
}

#[test]
fn chromium_and_the_program_say_the_same_of_the_same_streams() {
    let server = Server::start();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("stats.jsonl");
    let file = path.display().to_string();
    let endpoint = Call::to(server.url())
        .with(["--name", "Duet", "--size", "640x360", "--stats-file", &file])
        .start();
    let clip = Clip::new();
    let (video, audio) = (clip.video(), clip.audio());
    let browser = Browser::chromium(&BrowserOptions {
        video: Some(&video),
        audio: Some(&audio),
        ..Default::default()
    });
    let page = browser.open("page", &server.page());
    page.wait_for_state(&["connected"]);
    page.wait_for_picture();
    page.watch(WATCH);
    let told = page.eval(
        "connections.at(-1).getStats().then((report) => ({ at: Date.now(), stats: [...report.values()] }))",
    );
    // The program writes once a second: one report after this one is wanted.
    page.watch(Duration::from_secs(2));
    endpoint.interrupt();
    endpoint.finish(PATIENCE);
    let ours = Reports::read(&path);
    let (at, theirs) = (told["at"].as_f64().expect("a time"), &told["stats"]);
    for (sent, received, kinds) in COUNTERS {
        for media in kinds {
            let left = ours.at(at, "outbound-rtp", media, sent);
            let came = number(theirs, "inbound-rtp", media, received);
            assert_near(&format!("{media} out, {sent}"), left, came);
            let left = number(theirs, "outbound-rtp", media, sent);
            let came = ours.at(at, "inbound-rtp", media, received);
            assert_near(&format!("{media} in, {sent}"), left, came);
        }
    }
    // What each says that the other said of it: nothing is lost within a machine.
    let (_, last) = ours.0.last().expect("there are reports");
    for report in [last, theirs] {
        for media in ["audio", "video"] {
            let number = |kind, member| number(report, kind, media, member);
            assert!(number("remote-inbound-rtp", "roundTripTime") < 0.1);
            assert!(number("remote-inbound-rtp", "jitter") < 0.1);
            assert!(number("inbound-rtp", "jitter") < 0.1);
            assert!(number("remote-outbound-rtp", "packetsSent") > 0.0);
        }
    }
    for (report, kind) in [
        (last, "outbound-rtp"),
        (last, "inbound-rtp"),
        (theirs, "inbound-rtp"),
    ] {
        let coded = ["audio", "video"].map(|media| codec(report, kind, media));
        assert_eq!(coded, [Some("audio/opus"), Some("video/VP8")], "{kind}");
    }
}
