//! Runs the laboratory's experiments and prints what was measured, one line of JSON for each.

mod spacings;

use duet_media::{Clock, MediaTime};
use duet_network::{
    Call, CallConfig, LinkConfig, Loss, Sends, Tcp, VirtualClock, Wire, percentile, run,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Experiment = fn() -> Value;

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let experiments: [(&str, Experiment); 18] = [
        ("clean", || run(loss(0.0, 4_000_000))),
        ("loss-5", || run(loss(0.05, 4_000_000))),
        ("loss-1-800k", || run(loss(0.01, 800_000))),
        ("loss-5-800k", || run(loss(0.05, 800_000))),
        ("loss-40", || run(storm(4_000_000))),
        ("loss-40-800k", || run(storm(800_000))),
        ("jitter-30", || run(jitter(30))),
        ("outage-10", || run(outage(10))),
        ("outage-60", || run(outage(60))),
        ("change-of-address", || run(change_of_address())),
        ("variable-capacity", || run(variable_capacity())),
        ("start-5m", || run(start())),
        ("variable-multiple", || run(variable_multiple())),
        ("fairness", || run(fairness())),
        ("fairness-spacings", spacings::fairness_spacings),
        ("fairness-rtt", || run(fairness_by_round_trip())),
        ("tcp-long", || run(tcp_long())),
        ("pause", || run(pause())),
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
    let measured = after_loss(&call, back, end);
    call.end().await;
    measured
}

async fn change_of_address() -> Value {
    let call = Call::start(&CallConfig {
        links: [link(50), link(50)],
        ..Default::default()
    })
    .await;
    call.pass(15 * SECOND).await;
    call.unplug(0);
    call.plug(0, [127, 0, 81, 3].into());
    let (changed, end) = call.pass(15 * SECOND).await;
    let measured = after_loss(&call, changed, end);
    call.end().await;
    measured
}

/// What was seen after the way was lost; `back`: when there was one again.
fn after_loss(call: &Call, back: MediaTime, end: MediaTime) -> Value {
    let viewed = &call.ends[1].viewed;
    let after = viewed.pictures(back, end);
    let fresh = after
        .iter()
        .find(|picture| picture.age < Duration::from_millis(500));
    let state = call.ends[0].connection.connection_state();
    json!({
        "first_picture": after.first().map(|picture| ms(picture.at.saturating_since(back))),
        "fresh_picture": fresh.map(|picture| ms(picture.at.saturating_since(back))),
        "stale_shown": after.iter().filter(|picture| picture.age > Duration::from_millis(500)).count(),
        "state": format!("{state:?}"),
        "offers": call.offers(),
        "after": view(call, back, end),
    })
}

/// Lets `duration` pass; with `TIMELINE` in the environment, each tenth of a second is told.
async fn pass(call: &Call, duration: Duration) -> (MediaTime, MediaTime) {
    if std::env::var_os("TIMELINE").is_none() {
        return call.pass(duration).await;
    }
    let from = call.clock.now();
    let until = from + duration;
    while call.clock.now() < until {
        let (begun, now) = call.pass(Duration::from_millis(100)).await;
        let report = call.ends[0].connection.get_stats().await;
        let report = report.expect("the connection is open");
        let number = |kind, name: &str| report.of_type(kind).find_map(|stats| stats.number(name));
        let viewed = &call.ends[1].viewed;
        eprintln!(
            "{:6.1} s: target {:5.0} kbit/s, arrives {:5.0}, delay {:4.0} ms, {} pictures of {:4.0} ms, encoder {:?}, sent again {:?}",
            now.as_secs_f64(),
            number("candidate-pair", "availableOutgoingBitrate").unwrap_or_default() / 1e3,
            call.rate(begun, now) / 1e3,
            ms(call.delay(begun, now, 0.5)),
            viewed.pictures(begun, now).len(),
            ms(viewed.age(begun, now, 0.5)),
            number("outbound-rtp", "targetBitrate"),
            number("outbound-rtp", "retransmittedPacketsSent"),
        );
    }
    (from, until)
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
        let (from, until) = pass(&call, seconds * SECOND).await;
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
            Sends {
                video: Some((1280, 720, 30)),
                audio: true,
            },
            Sends::NOTHING,
        ],
        ..Default::default()
    })
    .await;
    let mut seconds = Vec::new();
    for _ in 0..8 {
        let (from, until) = pass(&call, SECOND).await;
        seconds.push(view(&call, from, until));
    }
    call.end().await;
    json!(seconds)
}

/// Several calls through one bottleneck.
struct Crowd {
    wire: Wire,
    config: CallConfig,
    calls: Vec<Call>,
}

impl Crowd {
    fn new(bottleneck: LinkConfig) -> Crowd {
        let clock = Arc::new(VirtualClock::start());
        let wire = Wire::new(clock, 1);
        let [a, b] = Call::addresses(0);
        wire.set_link(a, b, bottleneck);
        wire.set_link(b, a, link(50));
        let config = CallConfig {
            // Many are to be coded at once.
            sends: [
                Sends {
                    video: Some((640, 360, 30)),
                    audio: true,
                },
                Sends::NOTHING,
            ],
            ..Default::default()
        };
        Crowd {
            wire,
            config,
            calls: Vec::new(),
        }
    }

    async fn add(&mut self, farther: Duration) {
        let n = u8::try_from(self.calls.len()).unwrap_or(u8::MAX);
        let ([a, b], [first, second]) = (Call::addresses(n), Call::addresses(0));
        if n > 0 {
            self.wire.share((a, b), (first, second));
            self.wire.share((b, a), (second, first));
        }
        self.wire.set_farther(a, b, farther);
        self.wire.set_farther(b, a, farther);
        self.calls
            .push(Call::over(&self.wire, n, &self.config).await);
    }

    fn set(&self, bottleneck: LinkConfig) {
        let [a, b] = Call::addresses(0);
        self.wire.set_link(a, b, bottleneck);
    }

    async fn pass(&self, duration: Duration) -> (MediaTime, MediaTime) {
        self.calls[0].pass(duration).await
    }

    fn rates(&self, from: MediaTime, until: MediaTime) -> Vec<f64> {
        let rates = self.calls.iter().map(|call| call.rate(from, until));
        rates.map(|rate| (rate / 1e3).round()).collect()
    }

    fn told(&self, from: MediaTime, until: MediaTime) -> Value {
        let rates = self.rates(from, until);
        json!({
            "kbps": rates,
            "sum": rates.iter().sum::<f64>(),
            "fairness": (fairness_of(&rates) * 1e3).round() / 1e3,
            "delay_p95": ms(self.calls[0].delay(from, until, 0.95)),
            "longest_gap": self.calls.iter().map(|call| ms(call.ends[1].viewed.longest_gap(from, until))).collect::<Vec<_>>(),
        })
    }

    async fn end(self) {
        for call in self.calls {
            call.end().await;
        }
    }
}

/// Jain's index.
fn fairness_of(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

/// RFC 8867, 5.2.
async fn variable_multiple() -> Value {
    let mut crowd = Crowd::new(limited(4_000, 50));
    crowd.add(Duration::ZERO).await;
    crowd.add(Duration::ZERO).await;
    let mut phases = Vec::new();
    for kbps in [4_000, 2_000, 3_500, 1_000, 2_000] {
        crowd.set(limited(kbps, 50));
        let (_, half) = crowd.pass(12 * SECOND).await;
        let (_, until) = crowd.pass(13 * SECOND).await;
        phases.push(json!({ "link": kbps, "second_half_of": crowd.told(half, until) }));
    }
    crowd.end().await;
    json!({ "phases": phases })
}

/// RFC 8867, 5.4.
async fn fairness() -> Value {
    let mut crowd = Crowd::new(limited(3_500, 50));
    crowd.add(Duration::ZERO).await;
    crowd.pass(20 * SECOND).await;
    crowd.add(Duration::ZERO).await;
    crowd.pass(20 * SECOND).await;
    crowd.add(Duration::ZERO).await;
    crowd.pass(20 * SECOND).await;
    let (from, until) = crowd.pass(60 * SECOND).await;
    let told = crowd.told(from, until);
    crowd.end().await;
    json!({ "last_minute": told })
}

/// RFC 8867, 5.5.
async fn fairness_by_round_trip() -> Value {
    let mut crowd = Crowd::new(limited(4_000, 10));
    for farther in [0, 15, 40, 90, 140] {
        crowd.add(Duration::from_millis(farther)).await;
        crowd.pass(10 * SECOND).await;
    }
    crowd.pass(30 * SECOND).await;
    let (from, until) = crowd.pass(100 * SECOND).await;
    let told = crowd.told(from, until);
    crowd.end().await;
    json!({ "end": told })
}

/// RFC 8867, 5.6.
async fn tcp_long() -> Value {
    let mut crowd = Crowd::new(limited(2_000, 50));
    let ([a, b], (from, to)) = (Call::addresses(0), Tcp::addresses(0));
    crowd.wire.share((from, to), (a, b));
    crowd.wire.share((to, from), (b, a));
    let tcp = Tcp::start(&crowd.wire, 0, u64::MAX);
    crowd.add(Duration::ZERO).await;
    pass(&crowd.calls[0], 20 * SECOND).await;
    let before = tcp.received();
    let (from, until) = pass(&crowd.calls[0], 100 * SECOND).await;
    let tcp_kbps = (duet_network::rate(tcp.received() - before, from, until) / 1e3).round();
    let told = crowd.told(from, until);
    crowd.end().await;
    json!({ "tcp_kbps": tcp_kbps, "call": told })
}

/// RFC 8867, 5.8.
async fn pause() -> Value {
    let mut crowd = Crowd::new(limited(3_500, 50));
    for _ in 0..3 {
        crowd.add(Duration::ZERO).await;
    }
    crowd.pass(40 * SECOND).await;
    let camera = |crowd: &Crowd, on| {
        let camera = crowd.calls[0].ends[0].camera.as_ref();
        camera.expect("it has one").track.set_enabled(on);
    };
    camera(&crowd, false);
    crowd.pass(10 * SECOND).await;
    let (from, until) = crowd.pass(10 * SECOND).await;
    let paused = crowd.told(from, until);
    camera(&crowd, true);
    crowd.pass(20 * SECOND).await;
    let (from, until) = crowd.pass(40 * SECOND).await;
    let resumed = crowd.told(from, until);
    crowd.end().await;
    json!({ "paused": paused, "resumed": resumed })
}
