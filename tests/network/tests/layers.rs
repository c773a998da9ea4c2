//! One encoder and several viewers: whoever is on a bad link gets fewer pictures of the same, and nobody
//! else notices.

use duet_media::{MediaKind, MediaTime};
use duet_network::{Call, CallConfig, LinkConfig, Sends, run};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const GOOD: u64 = 6_000;

fn limited(kbps: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        delay: 30 * SECOND / 1_000,
        ..Default::default()
    }
}

fn config(kbps: u64) -> CallConfig {
    let pictures = Sends {
        video: Some((640, 360, 30)),
        audio: false,
    };
    CallConfig {
        links: [limited(kbps), limited(GOOD)],
        sends: [pictures, Sends::NOTHING],
        max_bitrate: 2_000_000,
        ..Default::default()
    }
}

/// Sends in layers from now on.
fn layer(call: &Call, mode: &str) {
    let senders = call.ends[0].connection.get_senders();
    let sender = senders.first().expect("it sends pictures");
    let mut parameters = sender.get_parameters();
    parameters.encodings[0].scalability_mode = Some(mode.to_owned());
    sender.set_parameters(parameters).expect("a mode of VP8's");
}

async fn sent(call: &Call, member: &str) -> f64 {
    let stats = call.ends[0].connection.get_stats().await;
    let stats = stats.expect("the connection is open");
    let rtp = stats
        .rtp("outbound-rtp", MediaKind::Video)
        .expect("pictures");
    rtp.number(member).unwrap_or_default()
}

fn rate_of(call: &Call, from: MediaTime, until: MediaTime) -> f64 {
    let pictures = call.ends[1].viewed.pictures(from, until);
    pictures.len() as f64 / until.saturating_since(from).as_secs_f64()
}

/// A viewer on a good link and one whose link becomes a bad one while they look: what both see then,
/// and how many encoders serve them.
async fn beside_a_bad_link(mode: &str, kbps: u64) -> (Call, Call, MediaTime, MediaTime) {
    let good = Call::start(&config(GOOD)).await;
    let bad = good.also(1, &config(GOOD)).await;
    layer(&good, mode);
    layer(&bad, mode);
    good.pass(10 * SECOND).await;
    let encoders = &good.ends[0].encoders;
    assert_eq!(encoders.video_encoders(), 1, "both carry all");
    bad.set_forth(limited(kbps));
    let (from, _) = good.pass(10 * SECOND).await;
    let (_, until) = good.pass(20 * SECOND).await;
    (good, bad, from, until)
}

#[test]
fn a_bad_viewer_gets_fewer_pictures_and_a_good_one_notices_nothing() {
    run(async {
        for (mode, least) in [("L1T2", 14.0), ("L1T3", 7.0)] {
            let (good, bad, from, until) = beside_a_bad_link(mode, 1_500).await;
            // The good one, from the moment on that the other's link got bad.
            let frames = rate_of(&good, from, until);
            assert!(frames > 29.5, "{mode}: {frames}");
            let viewed = &good.ends[1].viewed;
            assert!(viewed.freezes(from, until).is_empty(), "{mode}");
            let kbps = good.rate(from, until) / 1e3;
            assert!(kbps > 1_800.0, "{mode}: {kbps}");
            // The bad one, once it knows.
            let later = from + 10 * SECOND;
            let frames = rate_of(&bad, later, until);
            assert!(frames > least, "{mode}: {frames}");
            let made = sent(&bad, "framesEncoded").await;
            let left = sent(&bad, "framesSent").await;
            assert!(left + 30.0 < made, "{mode}: {left} of {made}");
            let gap = bad.ends[1].viewed.longest_gap(later, until);
            assert!(gap < 300 * SECOND / 1_000, "{mode}: {gap:?}");
            // Where it fell below the lowest layer for a while it has one of its own until it is well above.
            assert!(good.ends[0].encoders.video_encoders() <= 2, "{mode}");
            good.end().await;
            bad.end().await;
        }
    });
}

#[test]
fn whoever_cannot_have_the_lowest_layer_gets_an_encoder_and_spoils_nothing() {
    run(async {
        let (good, bad, from, until) = beside_a_bad_link("L1T3", 400).await;
        assert_eq!(good.ends[0].encoders.video_encoders(), 2);
        assert!(rate_of(&good, from, until) > 29.5);
        assert!(good.ends[1].viewed.freezes(from, until).is_empty());
        assert!(good.rate(from, until) > 1_800e3);
        let later = from + 10 * SECOND;
        assert!(rate_of(&bad, later, until) > 14.0);
        good.end().await;
        bad.end().await;
    });
}
