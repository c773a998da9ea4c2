use super::*;
use serde_json::json;

fn report(seconds: u32) -> Value {
    let ms = seconds * 1_000;
    json!([
        { "type": "transport", "id": "t", "timestamp": ms, "selectedCandidatePairId": "p" },
        { "type": "candidate-pair", "id": "p", "timestamp": ms, "currentRoundTripTime": 0.0124,
          "availableOutgoingBitrate": 1_234_567.0, "localCandidateId": "l", "remoteCandidateId": "r" },
        { "type": "local-candidate", "id": "l", "candidateType": "host", "protocol": "udp" },
        { "type": "remote-candidate", "id": "r", "candidateType": "relay" },
        { "type": "codec", "id": "v", "mimeType": "video/VP8" },
        { "type": "codec", "id": "a", "mimeType": "audio/opus" },
        { "type": "outbound-rtp", "id": "ov", "kind": "video", "timestamp": ms, "codecId": "v",
          "remoteId": "rv", "bytesSent": 250_000 * seconds, "targetBitrate": 2_000_000,
          "frameWidth": 1_280, "frameHeight": 720, "framesPerSecond": 30.0, "nackCount": 7,
          "pliCount": 2, "firCount": 0, "retransmittedPacketsSent": 9,
          "qualityLimitationReason": "bandwidth",
          "qualityLimitationDurations": { "none": 1.0, "bandwidth": 12.4 } },
        { "type": "remote-inbound-rtp", "id": "rv", "packetsLost": 5, "packetsReceived": 95,
          "jitter": 0.0031, "roundTripTime": 0.041 },
        { "type": "inbound-rtp", "id": "old", "kind": "audio", "timestamp": ms, "bytesReceived": 3 },
        { "type": "inbound-rtp", "id": "ia", "kind": "audio", "timestamp": ms, "codecId": "a",
          "bytesReceived": 4_000 * seconds, "packetsLost": 0, "packetsReceived": 50,
          "jitter": 0.002, "concealedSamples": 480, "totalSamplesReceived": 48_000,
          "jitterBufferDelay": 2_400.0 * f64::from(seconds),
          "jitterBufferTargetDelay": 1_920.0 * f64::from(seconds),
          "jitterBufferEmittedCount": 48_000 * seconds },
    ])
}

fn row<'a>(table: &'a str, member: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(member));
    let line = line.unwrap_or_else(|| panic!("no {member} in\n{table}"));
    line.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

#[test]
fn every_member_has_a_row_and_every_stream_a_column() {
    let table = table("Zoë", &report(2), Some(&report(1)));
    let expected = [
        &["Zoë", "video out", "audio out", "video in", "audio in"][..],
        &["codec", "VP8", "–", "–", "opus"],
        &["bitrate", "2.0 Mbit/s", "–", "–", "32 kbit/s"],
        &["targetBitrate", "2.0 Mbit/s", "–", "–", "–"],
        &["frame ", "1280×720", "–", "–", "–"],
        &["framesPerSecond", "30", "–", "–", "–"],
        &["packetsLost", "5 (5.0 %)", "–", "–", "0 (0.0 %)"],
        &["jitter ", "3 ms", "–", "–", "2 ms"],
        &["roundTripTime", "41 ms", "–", "–", "–"],
        &["nackCount", "7", "–", "–", "–"],
        &["pliCount", "2", "–", "–", "–"],
        &["firCount", "0", "–", "–", "–"],
        &["retransmittedPackets", "9", "–", "–", "–"],
        &["concealedSamples", "–", "–", "–", "480 (1.0 %)"],
        &["jitterBufferDelay", "–", "–", "–", "50 ms"],
        &["jitterBufferTargetDelay", "–", "–", "–", "40 ms"],
        &["qualityLimitationReason", "bandwidth (12 s)", "–", "–", "–"],
        &["currentRoundTripTime", "12 ms"],
        &["availableOutgoingBitrate", "1.2 Mbit/s"],
        &["candidatePair", "host – relay udp"],
    ];
    for expected in expected {
        let cells = row(&table, expected[0]);
        assert_eq!(cells[1..], expected[1..], "{}", expected[0]);
    }
    // Columns stand one below the other.
    let column = |member: &str, cell: &str| {
        let line = table.lines().find(|line| line.starts_with(member));
        let line: Vec<char> = line.unwrap_or_default().chars().collect();
        let cell: Vec<char> = cell.chars().collect();
        line.windows(cell.len()).position(|at| at == cell)
    };
    assert!(column("Zoë", "audio in").is_some());
    assert_eq!(column("Zoë", "audio in"), column("codec", "opus"));
}

#[test]
fn several_encodings_have_a_column_each() {
    let encoding = |rid: &str, sent: bool, bytes: u32| {
        json!({ "type": "outbound-rtp", "id": rid, "kind": "video", "timestamp": 1_000, "rid": rid,
                "bytesSent": bytes, "frameWidth": if sent { Some(320) } else { None },
                "frameHeight": if sent { Some(180) } else { None },
                "qualityLimitationReason": if sent { "none" } else { "bandwidth" } })
    };
    let report = json!([encoding("q", true, 9), encoding("f", false, 0)]);
    let table = table("them", &report, None);
    let head = [
        "video out q",
        "video out f",
        "audio out",
        "video in",
        "audio in",
    ];
    assert_eq!(row(&table, "them")[1..], head);
    assert_eq!(row(&table, "frame ")[1..], ["320×180", "–", "–", "–", "–"]);
    let limits = &row(&table, "qualityLimitationReason")[1..3];
    assert_eq!(limits, ["none", "bandwidth"]);
    let told = lines("them", &report, None);
    assert!(
        told.contains("\"them\" video-out-q frame=320×180 "),
        "{told}"
    );
    assert!(
        told.contains("\"them\" video-out-f qualityLimitationReason=bandwidth"),
        "{told}"
    );
}

#[test]
fn without_a_terminal_a_stream_is_a_line() {
    let told = lines("Zoë", &report(2), Some(&report(1)));
    let all: Vec<&str> = told.lines().collect();
    assert_eq!(all.len(), 3, "{told}");
    assert_eq!(
        all[0],
        "\"Zoë\" connection currentRoundTripTime=12ms availableOutgoingBitrate=1.2Mbit/s \
         candidatePair=host–relayudp"
    );
    assert!(all[1].starts_with("\"Zoë\" video-out codec=VP8 bitrate=2.0Mbit/s targetBitrate="));
    assert!(all[1].ends_with("qualityLimitationReason=bandwidth(12s)"));
    assert!(all[2].starts_with("\"Zoë\" audio-in codec=opus bitrate=32kbit/s packetsLost=0(0.0%)"));
}

#[test]
fn a_first_report_and_one_of_another_stream_tell_no_rates() {
    let later = report(9);
    for before in [None, Some(&later), Some(&Value::Null)] {
        let table = table("them", &report(2), before);
        assert_eq!(row(&table, "bitrate")[1..], ["–"; 4]);
        assert_eq!(row(&table, "jitterBufferDelay")[1..], ["–"; 4]);
    }
    assert_eq!(lines("them", &Value::Null, None), "");
}
