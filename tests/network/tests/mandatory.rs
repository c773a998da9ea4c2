//! What every implementation has to tell of a running call
//! ([webrtc-pc, section 8.6](https://www.w3.org/TR/webrtc/#mandatory-to-implement-stats)), on both sides.

use duet_media::{Clock, MediaTime};
use duet_network::{Call, CallConfig, LinkConfig, Sends, run};
use duet_peer::{RTCStats, RTCStatsReport};
use std::net::IpAddr;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A type of statistics, of which kind of media if not of both, and its mandatory members. Left out are those
/// that no object here has: a certificate's issuer, where it is its own, and a candidate's `url`, where no
/// server gave it.
type Mandatory = (&'static str, Option<&'static str>, &'static [&'static str]);

const MANDATORY: [Mandatory; 21] = [
    ("codec", None, &["payloadType", "mimeType", "clockRate"]),
    (
        "inbound-rtp",
        None,
        &[
            "ssrc",
            "kind",
            "transportId",
            "codecId",
            "packetsReceived",
            "packetsLost",
            "jitter",
            "packetsDiscarded",
            "trackIdentifier",
            "remoteId",
            "nackCount",
            "bytesReceived",
        ],
    ),
    (
        "inbound-rtp",
        Some("video"),
        &["framesDecoded", "framesDropped", "framesReceived"],
    ),
    (
        "inbound-rtp",
        Some("audio"),
        &["totalAudioEnergy", "totalSamplesDuration"],
    ),
    (
        "outbound-rtp",
        None,
        &[
            "ssrc",
            "kind",
            "transportId",
            "codecId",
            "packetsSent",
            "bytesSent",
            "remoteId",
            "nackCount",
        ],
    ),
    (
        "outbound-rtp",
        Some("video"),
        &["framesEncoded", "framesSent"],
    ),
    (
        "remote-inbound-rtp",
        None,
        &[
            "ssrc",
            "kind",
            "transportId",
            "codecId",
            "packetsReceived",
            "packetsLost",
            "jitter",
            "localId",
            "roundTripTime",
        ],
    ),
    (
        "remote-outbound-rtp",
        None,
        &[
            "ssrc",
            "kind",
            "transportId",
            "codecId",
            "packetsSent",
            "bytesSent",
            "localId",
            "remoteTimestamp",
        ],
    ),
    ("media-source", None, &["trackIdentifier", "kind"]),
    (
        "media-source",
        Some("audio"),
        &["totalAudioEnergy", "totalSamplesDuration"],
    ),
    (
        "media-source",
        Some("video"),
        &["width", "height", "framesPerSecond"],
    ),
    (
        "peer-connection",
        None,
        &["dataChannelsOpened", "dataChannelsClosed"],
    ),
    (
        "data-channel",
        None,
        &[
            "label",
            "protocol",
            "dataChannelIdentifier",
            "state",
            "messagesSent",
            "bytesSent",
            "messagesReceived",
            "bytesReceived",
        ],
    ),
    (
        "transport",
        None,
        &[
            "bytesSent",
            "bytesReceived",
            "selectedCandidatePairId",
            "localCertificateId",
            "remoteCertificateId",
        ],
    ),
    (
        "candidate-pair",
        None,
        &[
            "transportId",
            "localCandidateId",
            "remoteCandidateId",
            "state",
            "nominated",
            "bytesSent",
            "bytesReceived",
            "totalRoundTripTime",
        ],
    ),
    (
        "local-candidate",
        None,
        &["address", "port", "protocol", "candidateType"],
    ),
    (
        "remote-candidate",
        None,
        &["address", "port", "protocol", "candidateType"],
    ),
    (
        "certificate",
        None,
        &["fingerprint", "fingerprintAlgorithm", "base64Certificate"],
    ),
    // Where they are defined: Opus has two channels and a line of parameters, VP8 neither.
    ("codec", Some("audio/opus"), &["channels", "sdpFmtpLine"]),
    (
        "candidate-pair",
        Some("selected"),
        &["currentRoundTripTime", "responsesReceived"],
    ),
    ("transport", Some("selected"), &["selectedCandidatePairId"]),
];

/// Those of a type, and of a kind, codec or place if one is asked for.
fn those<'a>(
    report: &'a RTCStatsReport,
    kind: &'a str,
    which: Option<&'a str>,
) -> Vec<&'a RTCStats> {
    let selected = report
        .of_type("transport")
        .find_map(|t| t.text("selectedCandidatePairId"));
    let of = |stats: &&RTCStats| match which {
        None => true,
        Some("selected") => kind == "transport" || Some(stats.id.as_str()) == selected,
        Some(which) => [stats.text("kind"), stats.text("mimeType")].contains(&Some(which)),
    };
    report.of_type(kind).filter(of).collect()
}

/// Names of the other dictionaries lead to them.
fn ids_resolve(report: &RTCStatsReport) {
    for stats in report.iter() {
        for (member, value) in &stats.members {
            // The substrate gives candidates other ids than it names in pairs.
            let is_id = member.ends_with("Id") && !member.ends_with("CandidateId");
            if let Some(id) = value.as_str().filter(|_| is_id) {
                assert!(report.get(id).is_some(), "{member} of {stats:?}");
            }
        }
    }
}

fn number(stats: &RTCStats, member: &str) -> f64 {
    let value = stats.number(member);
    value.unwrap_or_else(|| panic!("{member} is missing in {stats:?}"))
}

/// What one sent that came through, UDP's and IP's headers apart.
fn bytes(call: &Call, from: IpAddr, until: MediaTime) -> f64 {
    let passed = call.wire.passed();
    let of = passed
        .iter()
        .filter(|one| one.from == from && one.arrived <= until);
    of.map(|one| one.bytes as f64 - 28.0).sum()
}

#[test]
fn a_running_call_has_every_mandatory_member_on_both_sides() {
    run(async {
        let far = LinkConfig {
            delay: 15 * MS,
            ..Default::default()
        };
        let call = Call::start(&CallConfig {
            sends: [Sends::SMALL, Sends::SMALL],
            links: [far.clone(), far],
            max_bitrate: 800_000,
            data: true,
            ..Default::default()
        })
        .await;
        call.pass(2 * SECOND).await;
        let channel = call.ends[0].channel.as_ref().unwrap();
        channel.send_text("hello").await.unwrap();
        call.pass(8 * SECOND).await;
        for (end, other) in [(0, 1), (1, 0)] {
            let report = call.ends[end].connection.get_stats().await.unwrap();
            for (kind, which, members) in MANDATORY {
                let all = those(&report, kind, which);
                assert!(!all.is_empty(), "no {kind} {which:?} on side {end}");
                for stats in all {
                    for member in members {
                        let value = stats.members.get(*member);
                        assert!(value.is_some(), "no {member} in {stats:?}");
                    }
                }
            }
            ids_resolve(&report);
            // And what they say is so.
            let now = call.clock.now();
            let (here, there) = (call.ends[end].ip, call.ends[other].ip);
            let [transport] = those(&report, "transport", None)[..] else {
                panic!("transports are bundled");
            };
            let [pair] = those(&report, "candidate-pair", Some("selected"))[..] else {
                panic!("one pair is in use");
            };
            for stats in [transport, pair] {
                for (member, from) in [("bytesSent", here), ("bytesReceived", there)] {
                    let (told, wire) = (number(stats, member), bytes(&call, from, now));
                    let share = told / wire;
                    assert!(
                        (0.95..1.05).contains(&share),
                        "{member} {told} of {wire} in {stats:?}"
                    );
                }
            }
            let trip = number(pair, "currentRoundTripTime");
            assert!((0.029..0.05).contains(&trip), "{trip}");
            let mean = number(pair, "totalRoundTripTime") / number(pair, "responsesReceived");
            assert!((0.029..0.05).contains(&mean), "{mean}");
            let [channel] = those(&report, "data-channel", None)[..] else {
                panic!("one channel");
            };
            let said = ["messagesSent", "messagesReceived"].map(|member| number(channel, member));
            assert_eq!(said, if end == 0 { [1.0, 0.0] } else { [0.0, 1.0] });
            let [source] = those(&report, "media-source", Some("video"))[..] else {
                panic!("one camera");
            };
            let size = ["width", "height", "framesPerSecond"].map(|member| number(source, member));
            assert_eq!(size, [640.0, 360.0, 30.0]);
        }
        call.end().await;
    });
}
