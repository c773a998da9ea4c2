//! Runs the laboratory's experiments and prints what was measured, one line of JSON for each.

use duet_media::MediaTime;
use duet_network::{Call, CallConfig, LinkConfig, Loss, percentile, run};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

type Experiment = fn() -> Value;

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let experiments: [(&str, Experiment); 11] = [
        ("clean", || run(loss(0.0, 4_000_000))),
        ("loss-5", || run(loss(0.05, 4_000_000))),
        ("loss-1-800k", || run(loss(0.01, 800_000))),
        ("loss-5-800k", || run(loss(0.05, 800_000))),
        ("loss-40", || run(storm(4_000_000))),
        ("loss-40-800k", || run(storm(800_000))),
        ("jitter-30", || run(jitter(30))),
        ("outage-10", || run(outage(10))),
        ("outage-60", || run(outage(60))),
        ("variable-capacity", || run(variable_capacity())),
        ("start-5m", || run(start())),
    ];
    for (name, experiment) in experiments {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        let started = Instant::now();
        let measured = experiment();
        println!(
            "{name}: {measured} ({:.1} s)",
            started.elapsed().as_secs_f64()
        );
    }
}

fn link(delay_ms: u64) -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(delay_ms),
        ..Default::default()
    }
}

fn limited(kbps: u64, delay_ms: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        ..link(delay_ms)
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

fn view(call: &Call, from: MediaTime, until: MediaTime) -> Value {
    let viewed = &call.ends[1].viewed;
    let pictures = viewed.pictures(from, until);
    let sync = viewed.lip_sync(from, until);
    let off = sync
        .iter()
        .map(|offset| Duration::from_secs_f64(offset.abs() / 1e3));
    let off: Vec<_> = off.collect();
    json!({
        "pictures": pictures.len(),
        "age_p50": ms(viewed.age(from, until, 0.5)),
        "age_p95": ms(viewed.age(from, until, 0.95)),
        "age_max": ms(viewed.age(from, until, 1.0)),
        "freezes": viewed.freezes(from, until).iter().map(|gap| ms(*gap)).collect::<Vec<_>>(),
        "longest_gap": ms(viewed.longest_gap(from, until)),
        "kbps": (call.rate(from, until) / 1e3).round(),
        "delay_p95": ms(call.delay(from, until, 0.95)),
        "beeps": viewed.beeps(from, until),
        "sync_p95": ms(percentile(off.clone(), 0.95)),
        "sync_max": ms(percentile(off, 1.0)),
        "size": pictures.last().map(|picture| picture.size),
    })
}

async fn loss(share: f64, max_bitrate: u32) -> Value {
    let lossy = LinkConfig {
        loss: Loss::Random(share),
        ..link(50)
    };
    let call = Call::start(&CallConfig {
        links: [lossy.clone(), lossy],
        max_bitrate,
        ..Default::default()
    })
    .await;
    call.pass(5 * SECOND).await;
    let (from, until) = call.pass(60 * SECOND).await;
    let measured = view(&call, from, until);
    call.end().await;
    measured
}

async fn jitter(by_ms: u64) -> Value {
    let shaky = LinkConfig {
        jitter: Duration::from_millis(by_ms),
        ..link(50)
    };
    let call = Call::start(&CallConfig {
        links: [shaky.clone(), shaky],
        max_bitrate: 800_000,
        ..Default::default()
    })
    .await;
    call.pass(5 * SECOND).await;
    let (from, until) = call.pass(60 * SECOND).await;
    let measured = view(&call, from, until);
    call.end().await;
    measured
}

async fn storm(max_bitrate: u32) -> Value {
    let call = Call::start(&CallConfig {
        links: [link(50), link(50)],
        max_bitrate,
        ..Default::default()
    })
    .await;
    call.pass(15 * SECOND).await;
    let lossy = LinkConfig {
        loss: Loss::Random(0.4),
        ..link(50)
    };
    call.set_forth(lossy.clone());
    call.set_back(lossy);
    let (from, until) = call.pass(5 * SECOND).await;
    call.set_forth(link(50));
    call.set_back(link(50));
    let (_, end) = call.pass(10 * SECOND).await;
    let measured = json!({ "during": view(&call, from, until), "after": view(&call, until, end),
        "first_second_after": view(&call, until, until + SECOND) });
    call.end().await;
    measured
}

async fn outage(seconds: u32) -> Value {
    let call = Call::start(&CallConfig {
        links: [link(50), link(50)],
        ..Default::default()
    })
    .await;
    call.pass(15 * SECOND).await;
    let dead = LinkConfig {
        loss: Loss::Random(1.0),
        ..link(50)
    };
    call.set_forth(dead.clone());
    call.set_back(dead);
    let (_, back) = call.pass(seconds * SECOND).await;
    call.set_forth(link(50));
    call.set_back(link(50));
    let (_, end) = call.pass(15 * SECOND).await;
    let viewed = &call.ends[1].viewed;
    let after = viewed.pictures(back, end);
    let fresh = after
        .iter()
        .find(|picture| picture.age < Duration::from_millis(500));
    let state = call.ends[0].connection.connection_state();
    let measured = json!({
        "first_picture": after.first().map(|picture| ms(picture.at.saturating_since(back))),
        "fresh_picture": fresh.map(|picture| ms(picture.at.saturating_since(back))),
        "stale_shown": after.iter().filter(|picture| picture.age > Duration::from_millis(500)).count(),
        "state": format!("{state:?}"),
        "after": view(&call, back, end),
    });
    call.end().await;
    measured
}

/// RFC 8867, 5.1.
async fn variable_capacity() -> Value {
    let call = Call::start(&CallConfig {
        links: [limited(1_000, 50), link(50)],
        ..Default::default()
    })
    .await;
    let mut phases = Vec::new();
    for (kbps, seconds) in [(1_000, 40), (2_500, 20), (600, 20), (1_000, 20)] {
        call.set_forth(limited(kbps, 50));
        let (from, until) = call.pass(seconds * SECOND).await;
        let half = from + seconds * SECOND / 2;
        phases.push(json!({
            "capacity": kbps,
            "whole": view(&call, from, until),
            "second_half": view(&call, half, until),
        }));
    }
    call.end().await;
    json!(phases)
}

async fn start() -> Value {
    let call = Call::start(&CallConfig {
        links: [limited(5_000, 50), link(50)],
        sends: [
            duet_network::Sends {
                video: Some((1280, 720, 30)),
                audio: true,
            },
            duet_network::Sends::NOTHING,
        ],
        ..Default::default()
    })
    .await;
    let mut seconds = Vec::new();
    for _ in 0..8 {
        let (from, until) = call.pass(SECOND).await;
        seconds.push(view(&call, from, until));
    }
    call.end().await;
    json!(seconds)
}
