//! What is seen and heard over links that lose, shake and fall silent.

use duet_media::MediaTime;
use duet_network::{Call, CallConfig, Jitter, LinkConfig, Loss, Viewed, percentile, run};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn far() -> LinkConfig {
    LinkConfig {
        delay: 50 * MS,
        ..Default::default()
    }
}

fn losing(share: f64) -> LinkConfig {
    LinkConfig {
        loss: Loss::Random(share),
        ..far()
    }
}

/// A call over `link` both ways that sends no more than fits it by far.
async fn call(link: LinkConfig, seed: u64) -> Call {
    let config = CallConfig {
        seed,
        links: [link.clone(), link],
        max_bitrate: 800_000,
        ..Default::default()
    };
    Call::start(&config).await
}

/// How far sound and picture were apart, in 95 of 100 seconds at most.
fn sync(viewed: &Viewed, from: MediaTime, until: MediaTime) -> Duration {
    let offsets = viewed.lip_sync(from, until);
    let apart = |offset: &f64| Duration::from_secs_f64(offset.abs() / 1e3);
    percentile(offsets.iter().map(apart).collect(), 0.95)
}

fn change(call: &Call, link: LinkConfig) {
    call.set_forth(link.clone());
    call.set_back(link);
}

#[test]
fn lost_packets_come_again_and_nothing_stops() {
    run(async {
        let call = call(losing(0.02), 1).await;
        call.pass(5 * SECOND).await;
        let (from, until) = call.pass(60 * SECOND).await;
        let viewed = &call.ends[1].viewed;
        let shown = viewed.pictures(from, until).len();
        assert!((1_780..=1_803).contains(&shown), "{shown}");
        let freezes = viewed.freezes(from, until);
        assert!(freezes.is_empty(), "{freezes:?}");
        // The way, a picture's distance until the loss is known, the way back and forth.
        let p95 = viewed.age(from, until, 0.95);
        assert!(p95 <= 200 * MS, "{p95:?}");
        assert!(viewed.lip_sync(from, until).len() >= 55);
        let sync = sync(viewed, from, until);
        assert!(sync <= 45 * MS, "{sync:?}");
        call.end().await;
    });
}

#[test]
fn a_link_that_shakes_is_evened_out() {
    run(async {
        let shaken = LinkConfig {
            jitter: Jitter::Uniform(30 * MS),
            ..far()
        };
        let call = call(shaken, 1).await;
        call.pass(5 * SECOND).await;
        let (from, until) = call.pass(30 * SECOND).await;
        let viewed = &call.ends[1].viewed;
        let gap = viewed.longest_gap(from, until);
        assert!(gap <= 50 * MS, "{gap:?}");
        let p95 = viewed.age(from, until, 0.95);
        assert!(p95 <= 105 * MS, "{p95:?}");
        assert!(viewed.lip_sync(from, until).len() >= 28);
        let sync = sync(viewed, from, until);
        assert!(sync <= 40 * MS, "{sync:?}");
        call.end().await;
    });
}

#[test]
fn after_a_storm_all_is_as_it_was() {
    for seed in 1..6 {
        run(async {
            let call = call(far(), seed).await;
            call.pass(10 * SECOND).await;
            let viewed = &call.ends[1].viewed;
            let before = viewed.blocks();
            change(&call, losing(0.4));
            let (from, over) = call.pass(5 * SECOND).await;
            change(&call, far());
            let (_, until) = call.pass(10 * SECOND).await;
            // Ten milliseconds each: it was never silent in between, nor is anything made up for.
            let blocks = viewed.blocks() - before;
            assert!((1_499..=1_501).contains(&blocks), "seed {seed}: {blocks}");
            let gap = viewed.longest_gap(from, over);
            assert!(gap <= 1_500 * MS, "seed {seed}: {gap:?} in the storm");
            let gap = viewed.longest_gap(over, until);
            assert!(gap <= 500 * MS, "seed {seed}: {gap:?} after it");
            let oldest = viewed.age(over, until, 1.0);
            assert!(oldest <= 500 * MS, "seed {seed}: {oldest:?}");
            let soon = over + 2 * SECOND;
            let p95 = viewed.age(soon, until, 0.95);
            assert!(p95 <= 160 * MS, "seed {seed}: {p95:?} two seconds after it");
            let sync = sync(viewed, soon, until);
            assert!(sync <= 45 * MS, "seed {seed}: {sync:?}");
            call.end().await;
        });
    }
}

#[test]
fn an_outage_ends_with_fresh_pictures() {
    for seed in 1..6_u32 {
        run(async {
            let call = call(far(), seed.into()).await;
            call.pass(10 * SECOND).await;
            change(&call, losing(1.0));
            let (_, over) = call.pass(2 * SECOND + 13 * seed * MS).await;
            change(&call, far());
            let (_, until) = call.pass(8 * SECOND).await;
            let viewed = &call.ends[1].viewed;
            let gap = viewed.longest_gap(over, until);
            assert!(gap <= 400 * MS, "seed {seed}: {gap:?}");
            let oldest = viewed.age(over, until, 1.0);
            assert!(oldest <= 250 * MS, "seed {seed}: {oldest:?}");
            let settled = over + 2 * SECOND;
            assert!(viewed.lip_sync(settled, until).len() >= 5);
            let sync = sync(viewed, settled, until);
            assert!(sync <= 45 * MS, "seed {seed}: {sync:?}");
            call.end().await;
        });
    }
}
