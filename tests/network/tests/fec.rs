//! Pictures that are protected where asking again takes long, and nowhere else.

use duet_media::MediaKind;
use duet_network::{Call, CallConfig, LinkConfig, Loss, run};
use duet_peer::RTCStats;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn link(loss: f64, delay: Duration) -> LinkConfig {
    LinkConfig {
        delay,
        loss: Loss::Random(loss),
        ..Default::default()
    }
}

async fn call(link: LinkConfig, fec: bool) -> Call {
    Call::start(&CallConfig {
        links: [link.clone(), link],
        // So much that a picture keeps its rate whether it is protected or not.
        max_bitrate: 2_000_000,
        fec,
        ..Default::default()
    })
    .await
}

async fn inbound(call: &Call) -> RTCStats {
    let report = call.ends[1]
        .connection
        .get_stats()
        .await
        .expect("it is open");
    let video = report.rtp("inbound-rtp", MediaKind::Video);
    video.expect("it was shown something").clone()
}

fn number(stats: &RTCStats, member: &str) -> f64 {
    let value = stats.number(member);
    value.unwrap_or_else(|| panic!("{member} is missing in {stats:?}"))
}

#[test]
fn on_a_long_path_pictures_do_not_wait_for_what_is_sent_again() {
    run(async {
        let mut p90 = Vec::new();
        for fec in [true, false] {
            let call = call(link(0.05, 150 * MS), fec).await;
            call.pass(5 * SECOND).await;
            let (from, until) = call.pass(20 * SECOND).await;
            let viewed = &call.ends[1].viewed;
            let shown = viewed.pictures(from, until).len();
            assert!(shown > 550, "{fec}: {shown}");
            p90.push(viewed.age(from, until, 0.9));
            let stats = inbound(&call).await;
            if fec {
                let received = number(&stats, "fecPacketsReceived");
                assert!(received > 300.0, "{stats:?}");
                assert!(number(&stats, "fecPacketsDiscarded") < received);
                assert!(number(&stats, "fecBytesReceived") > 100.0 * received);
                assert!(stats.number("fecSsrc").is_some());
            } else {
                assert!(stats.number("fecSsrc").is_none(), "{stats:?}");
            }
            call.end().await;
        }
        assert!(p90[0] + 100 * MS < p90[1], "{p90:?}");
    });
}

#[test]
fn where_asking_is_cheap_or_nothing_is_lost_there_is_none() {
    run(async {
        for (loss, delay) in [(0.0, 150 * MS), (0.05, 50 * MS)] {
            let call = call(link(loss, delay), true).await;
            call.pass(15 * SECOND).await;
            let stats = inbound(&call).await;
            assert_eq!(number(&stats, "fecPacketsReceived"), 0.0, "{loss}");
            call.end().await;
        }
    });
}
