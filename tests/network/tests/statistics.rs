//! What `get_stats` says, held against what the wire did and what was seen.

use duet_media::MediaKind;
use duet_network::{Call, CallConfig, LinkConfig, Loss, run};
use duet_peer::RTCStats;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn number(stats: &RTCStats, member: &str) -> f64 {
    let value = stats.number(member);
    value.unwrap_or_else(|| panic!("{member} is missing in {stats:?}"))
}

fn share_lost(stats: &RTCStats) -> f64 {
    let lost = number(stats, "packetsLost");
    lost / (lost + number(stats, "packetsReceived"))
}

#[test]
fn both_sides_say_what_the_wire_did() {
    run(async {
        let lossy = LinkConfig {
            delay: 30 * MS,
            loss: Loss::Random(0.05),
            ..Default::default()
        };
        let call = Call::start(&CallConfig {
            links: [lossy.clone(), lossy],
            max_bitrate: 800_000,
            ..Default::default()
        })
        .await;
        call.pass(60 * SECOND).await;
        let [sender, receiver] = &call.ends;
        let wire = call.wire.counters(sender.ip, receiver.ip);
        let lost = wire.lost as f64 / wire.sent as f64;
        let sent = sender.connection.get_stats().await.unwrap();
        let got = receiver.connection.get_stats().await.unwrap();
        for media in [MediaKind::Video, MediaKind::Audio] {
            let told = sent.rtp("remote-inbound-rtp", media).unwrap();
            let inbound = got.rtp("inbound-rtp", media).unwrap();
            for stats in [told, inbound] {
                let says = share_lost(stats);
                assert!((says - lost).abs() < 0.01, "{says} of {lost}: {stats:?}");
            }
            let trips = number(told, "roundTripTimeMeasurements");
            assert!(trips > 40.0, "{trips}");
            let mean = number(told, "totalRoundTripTime") / trips;
            for trip in [number(told, "roundTripTime"), mean] {
                assert!((trip - 0.06).abs() < 0.005, "{trip}");
            }
            // But for what is lost, or under way.
            let outbound = sent.rtp("outbound-rtp", media).unwrap();
            let came = 1.0 - number(inbound, "packetsReceived") / number(outbound, "packetsSent");
            assert!((came - lost).abs() < 0.01, "{came} of {lost}");
        }
        let outbound = sent.rtp("outbound-rtp", MediaKind::Video).unwrap();
        let inbound = got.rtp("inbound-rtp", MediaKind::Video).unwrap();
        let again = number(outbound, "retransmittedPacketsSent");
        assert!(again >= number(inbound, "retransmittedPacketsReceived") && again > 0.0);
        assert!(number(inbound, "nackCount") >= number(outbound, "nackCount"));
        let shown = number(inbound, "framesRendered");
        let seen = receiver.viewed.pictures(
            duet_media::MediaTime::ZERO,
            duet_media::MediaTime::from_millis(i64::MAX / 2_000_000),
        );
        assert_eq!(shown, seen.len() as f64);
        // The quantizer is told by both ends alike.
        let mean = |stats: &RTCStats, frames| number(stats, "qpSum") / number(stats, frames);
        let (made, decoded) = (
            mean(outbound, "framesEncoded"),
            mean(inbound, "framesDecoded"),
        );
        assert!((made - decoded).abs() < 0.5, "{made} and {decoded}");
        call.end().await;
    });
}

#[test]
fn freezes_and_pauses_are_those_that_were_seen() {
    run(async {
        let far = LinkConfig {
            delay: 30 * MS,
            ..Default::default()
        };
        let call = Call::start(&CallConfig {
            links: [far.clone(), far.clone()],
            ..Default::default()
        })
        .await;
        let (from, _) = call.pass(5 * SECOND).await;
        for outage in [SECOND, 7 * SECOND] {
            let gone = LinkConfig {
                loss: Loss::Random(1.0),
                ..far.clone()
            };
            call.set_forth(gone.clone());
            call.set_back(gone);
            call.pass(outage).await;
            call.set_forth(far.clone());
            call.set_back(far.clone());
            call.pass(5 * SECOND).await;
        }
        let (_, until) = call.pass(MS).await;
        let viewed = &call.ends[1].viewed;
        let mut stops = viewed.freezes(from + SECOND, until);
        stops.sort_unstable();
        let (long, short) = stops.split_last().unwrap();
        let got = call.ends[1].connection.get_stats().await.unwrap();
        let inbound = got.rtp("inbound-rtp", MediaKind::Video).unwrap();
        assert_eq!(
            number(inbound, "freezeCount"),
            short.len() as f64,
            "{stops:?}"
        );
        assert_eq!(number(inbound, "pauseCount"), 1.0);
        let frozen: Duration = short.iter().sum();
        for (member, seen) in [
            ("totalFreezesDuration", &frozen),
            ("totalPausesDuration", long),
        ] {
            let (says, seen) = (number(inbound, member), seen.as_secs_f64());
            assert!((says - seen).abs() < 0.002, "{member} {says}, seen {seen}");
        }
        call.end().await;
    });
}
