//! Sound cards that run faster or slower than they say.

use super::{Measured, Row, SECOND, Setting};
use duet_media::{Clock, MediaKind};
use duet_network::{Call, CallConfig, Hears, Sends, Tone, percentile};
use std::time::Duration;

/// So many samples a second, of 48,000: 312 parts in a million more, and less.
const FAST: u32 = 48_015;
const SLOW: u32 = 47_985;

/// An hour of each, twice: by the marks it is told how late sound is heard, and by a tone whether anything clicks.
/// A minute of a card that keeps time stands beside them.
pub(crate) async fn hour(setting: Setting) -> Measured {
    let mut rows = Vec::new();
    for (of, card_hz, minutes) in [
        ("a minute, in time", 48_000, 1),
        ("an hour, 312 ppm fast", FAST, 60),
        ("an hour, 312 ppm slow", SLOW, 60),
    ] {
        let mut row = Row::new(of);
        listen(setting, card_hz, minutes, &mut row).await;
        time(setting, card_hz, minutes, &mut row).await;
        rows.push(row);
    }
    Measured::of_rows(rows)
}

async fn call(setting: Setting, card_hz: u32, hears: Hears) -> Call {
    let sound = Sends {
        video: None,
        audio: true,
    };
    let call = Call::start(&CallConfig {
        seed: setting.seed,
        sends: [sound, Sends::NOTHING],
        links: [setting.link(50), setting.link(50)],
        hears,
        card_hz,
        ..Default::default()
    })
    .await;
    call.pass(10 * SECOND).await;
    call
}

/// Whether the tone goes on.
async fn listen(setting: Setting, card_hz: u32, minutes: u32, row: &mut Row) {
    let call = call(setting, card_hz, Hears::Sound(Tone::sound())).await;
    let mut tone = Tone::listener();
    let before = counted(&call).await;
    let viewed = &call.ends[1].viewed;
    for _ in 0..minutes {
        viewed.keep_sound();
        call.pass(60 * SECOND).await;
        tone.hear(&viewed.kept_sound());
    }
    let [concealed, stretched] = counted(&call).await;
    row.set("clicks", tone.clicks() as f64);
    row.set("largest_jump_percent", 100.0 * tone.largest_jump());
    row.set("concealed_samples", concealed - before[0]);
    row.set("stretched_samples", stretched - before[1]);
    call.end().await;
}

/// Samples made up, and left out or added to keep pace.
async fn counted(call: &Call) -> [f64; 2] {
    let report = call.ends[1].connection.get_stats().await;
    let report = report.expect("it is open");
    let number = |name| {
        let inbound = report.rtp("inbound-rtp", MediaKind::Audio);
        let value = inbound.and_then(|stats| stats.number(name));
        value.unwrap_or_default()
    };
    let stretched = [
        "insertedSamplesForDeceleration",
        "removedSamplesForAcceleration",
    ];
    [
        number("concealedSamples"),
        stretched.into_iter().map(number).sum(),
    ]
}

/// How late sound is heard, from minute to minute.
async fn time(setting: Setting, card_hz: u32, minutes: u32, row: &mut Row) {
    let call = call(setting, card_hz, Hears::Marks).await;
    let viewed = &call.ends[1].viewed;
    let mut late: Vec<Duration> = Vec::new();
    let mut medians = Vec::new();
    for _ in 0..minutes {
        let (from, until) = call.pass(60 * SECOND).await;
        let onsets = viewed.onsets(from, until).into_iter();
        // Beeps begin with the second.
        let of_minute = onsets.map(|at| call.clock.unix_time(at).subsec_nanos());
        let of_minute = of_minute.map(|nanos| Duration::from_nanos(nanos.into()));
        let of_minute: Vec<_> = of_minute.collect();
        medians.push(percentile(of_minute.clone(), 0.5));
        late.extend(of_minute);
    }
    row.set("beeps", late.len() as f64);
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    for (name, share) in [
        ("late_least_ms", 0.0),
        ("late_p50_ms", 0.5),
        ("late_most_ms", 1.0),
    ] {
        row.set(name, ms(percentile(late.clone(), share)));
    }
    if let [first, .., last] = medians[..] {
        row.set("late_first_minute_ms", ms(first));
        row.set("late_last_minute_ms", ms(last));
    }
    call.end().await;
}
