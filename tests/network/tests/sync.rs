//! Lips and voice over a link whose rate changes.

use duet_network::{Call, CallConfig, LinkConfig, percentile, run};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn limited(kbps: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        delay: 50 * MS,
        ..Default::default()
    }
}

#[test]
fn sound_and_picture_stay_together_while_the_link_changes() {
    run(async {
        let far = LinkConfig {
            delay: 50 * MS,
            ..Default::default()
        };
        let call = Call::start(&CallConfig {
            links: [limited(1_000), far],
            ..Default::default()
        })
        .await;
        let viewed = &call.ends[1].viewed;
        // RFC 8867, 5.1: each fall fills the queue before anybody can know.
        for (kbps, seconds) in [(1_000, 40), (2_500, 20), (600, 20), (1_000, 20)] {
            call.set_forth(limited(kbps));
            let (from, until) = call.pass(seconds * SECOND).await;
            let offsets = viewed.lip_sync(from, until);
            assert!(offsets.len() + 3 >= seconds as usize, "{offsets:?}");
            let apart = offsets
                .iter()
                .map(|off| Duration::from_secs_f64(off.abs() / 1e3));
            let p95 = percentile(apart.collect(), 0.95);
            assert!(p95 <= 45 * MS, "{kbps} kbit/s: {p95:?} of {offsets:?}");
        }
        call.end().await;
    });
}
