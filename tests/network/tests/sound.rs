//! What is heard over links that lose, and over thin ones; and that a clean one pays nothing for it.

use duet_media::MediaKind;
use duet_network::{Call, CallConfig, Hears, LinkConfig, Loss, Sends, Tone, run};
use duet_peer::{RTCStats, RTCStatsReport};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// Samples in a second, and packets of 20 ms.
const SAMPLES: f64 = 48_000.0;
const PACKETS: f64 = 50.0;

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

/// What both ends count of the caller's sound.
#[derive(Debug, Clone, PartialEq)]
struct Sound {
    /// Samples heard, and those among them that were made up.
    heard: f64,
    concealed: f64,
    /// Sent packets, and the bytes in them.
    packets: f64,
    bytes: f64,
    /// What they are.
    codec: String,
}

fn number(stats: &RTCStats, member: &str) -> f64 {
    let value = stats.number(member);
    value.unwrap_or_else(|| panic!("{member} is missing in {stats:?}"))
}

fn codec(report: &RTCStatsReport, stream: &RTCStats) -> String {
    let codec = stream.text("codecId").and_then(|id| report.get(id));
    let name = codec.and_then(|codec| codec.text("mimeType"));
    name.expect("a stream has a codec").to_owned()
}

impl Sound {
    async fn of(call: &Call) -> Sound {
        let [caller, called] = &call.ends;
        let sent = caller.connection.get_stats().await.expect("it is open");
        let got = called.connection.get_stats().await.expect("it is open");
        let outbound = sent
            .rtp("outbound-rtp", MediaKind::Audio)
            .expect("it sends");
        let inbound = got.rtp("inbound-rtp", MediaKind::Audio).expect("it hears");
        Sound {
            heard: number(inbound, "totalSamplesReceived"),
            concealed: number(inbound, "concealedSamples"),
            packets: number(outbound, "packetsSent"),
            bytes: number(outbound, "bytesSent"),
            codec: codec(&sent, outbound),
        }
    }

    /// What was counted since `before`.
    fn since(&self, before: &Sound) -> Sound {
        Sound {
            heard: self.heard - before.heard,
            concealed: self.concealed - before.concealed,
            packets: self.packets - before.packets,
            bytes: self.bytes - before.bytes,
            codec: self.codec.clone(),
        }
    }
}

#[test]
fn a_clean_link_pays_for_nothing() {
    run(async {
        let call = Call::start(&CallConfig {
            links: [far(), far()],
            ..Default::default()
        })
        .await;
        call.pass(10 * SECOND).await;
        let before = Sound::of(&call).await;
        call.pass(30 * SECOND).await;
        let sound = Sound::of(&call).await.since(&before);
        assert_eq!(sound.codec, "audio/opus");
        assert!(
            (sound.packets - 30.0 * PACKETS).abs() <= 1.0,
            "{}",
            sound.packets
        );
        // 48 kbit/s, as before there was anything else.
        let bits = sound.bytes * 8.0 / 30.0;
        assert!(bits < 49_000.0, "{bits}");
        assert_eq!(sound.concealed, 0.0);
        call.end().await;
    });
}

#[test]
fn what_can_arrive_of_a_storm_is_heard() {
    for seed in 1..6 {
        run(async {
            let call = Call::start(&CallConfig {
                seed,
                links: [far(), far()],
                ..Default::default()
            })
            .await;
            call.pass(10 * SECOND).await;
            let before = Sound::of(&call).await;
            call.set_forth(losing(0.4));
            call.set_back(losing(0.4));
            let (from, over) = call.pass(5 * SECOND).await;
            let during = Sound::of(&call).await;
            let storm = during.since(&before);
            assert_eq!(storm.codec, "audio/red", "seed {seed}");
            // Ten milliseconds each: it was never silent in between.
            assert!((storm.heard - 5.0 * SAMPLES).abs() <= 480.0, "{storm:?}");
            // A packet and two copies of it are lost together in 6.4 of 100.
            let can_arrive = 1.0 - 0.4_f64.powi(3);
            let heard = 1.0 - storm.concealed / storm.heard;
            assert!(heard > 0.95 * can_arrive, "seed {seed}: {heard}");
            let beeps = call.ends[1].viewed.beeps(from, over);
            assert!(beeps >= 4, "seed {seed}: {beeps}");
            call.set_forth(far());
            call.set_back(far());
            call.pass(30 * SECOND).await;
            let calm = Sound::of(&call).await;
            call.pass(10 * SECOND).await;
            let calm = Sound::of(&call).await.since(&calm);
            assert_eq!(calm.codec, "audio/opus", "seed {seed}: all is forgotten");
            assert_eq!(calm.concealed, 0.0, "seed {seed}");
            call.end().await;
        });
    }
}

#[test]
fn copies_do_not_starve_the_picture() {
    run(async {
        let call = Call::start(&CallConfig {
            links: [losing(0.05), losing(0.05)],
            max_bitrate: 800_000,
            ..Default::default()
        })
        .await;
        call.pass(10 * SECOND).await;
        let before = Sound::of(&call).await;
        let (from, until) = call.pass(30 * SECOND).await;
        let sound = Sound::of(&call).await.since(&before);
        assert_eq!(sound.codec, "audio/red");
        let all = call.rate(from, until);
        let bits = sound.bytes * 8.0 / 30.0;
        assert!(bits < 0.2 * all, "{bits} of {all}");
        let lost = sound.concealed / sound.heard;
        assert!(lost < 0.005, "{lost}");
        let shown = call.ends[1].viewed.pictures(from, until).len();
        // To find out whether less is lost when less is sent may cost a picture in three for two seconds.
        assert!(shown >= 850, "{shown}");
        call.end().await;
    });
}

#[test]
fn sound_goes_on_over_a_thin_link() {
    for seed in 1..4 {
        run(async {
            let thin = LinkConfig {
                rate_bps: Some(60_000),
                queue_bytes: 60_000 / 8 * 300 / 1_000,
                ..far()
            };
            let call = Call::start(&CallConfig {
                seed,
                links: [thin, far()],
                ..Default::default()
            })
            .await;
            call.pass(20 * SECOND).await;
            let before = Sound::of(&call).await;
            let (from, until) = call.pass(30 * SECOND).await;
            let sound = Sound::of(&call).await.since(&before);
            // Headers of 50 packets a second are 24 kbit/s.
            assert!(sound.packets <= 30.0 * PACKETS / 3.0 + 1.0, "{sound:?}");
            let lost = sound.concealed / sound.heard;
            assert!(lost < 0.03, "seed {seed}: {lost}");
            let beeps = call.ends[1].viewed.beeps(from, until);
            // Three packets fill the queue, and with each beep comes a flash, which is the largest picture of the
            // second: 28 to 30 were heard in twenty seeds.
            assert!((27..=31).contains(&beeps), "seed {seed}: {beeps}");
            call.end().await;
        });
    }
}

/// A call of sound alone whose caller's sound card takes `card_hz` samples in a second of 48,000, for five
/// minutes. An hour is the experiment `drift-hour`.
async fn drifting(card_hz: u32) {
    let call = Call::start(&CallConfig {
        sends: [
            Sends {
                video: None,
                audio: true,
            },
            Sends::NOTHING,
        ],
        links: [far(), far()],
        hears: Hears::Sound(Tone::sound()),
        card_hz,
        ..Default::default()
    })
    .await;
    call.pass(10 * SECOND).await;
    let before = Sound::of(&call).await;
    let viewed = &call.ends[1].viewed;
    viewed.keep_sound();
    call.pass(300 * SECOND).await;
    let mut tone = Tone::listener();
    tone.hear(&viewed.kept_sound());
    let sound = Sound::of(&call).await.since(&before);
    assert_eq!(sound.concealed, 0.0);
    assert_eq!(tone.clicks(), 0, "{}", tone.largest_jump());
    call.end().await;
}

/// How late the marks of such a call are heard, where it runs 312 parts in a million fast.
async fn delay_while_drifting() {
    let call = Call::start(&CallConfig {
        sends: [
            Sends {
                video: None,
                audio: true,
            },
            Sends::NOTHING,
        ],
        links: [far(), far()],
        card_hz: 48_015,
        ..Default::default()
    })
    .await;
    call.pass(10 * SECOND).await;
    let before = Sound::of(&call).await;
    let viewed = &call.ends[1].viewed;
    let mut late: Vec<f64> = Vec::new();
    for minute in 0..5 {
        let (from, until) = call.pass(60 * SECOND).await;
        let onsets = viewed.onsets(from, until);
        assert!((59..=61).contains(&onsets.len()), "{minute}: {onsets:?}");
        late.extend(onsets.iter().map(|onset| {
            let unix = duet_media::Clock::unix_time(&*call.clock, *onset);
            f64::from(unix.subsec_nanos()) / 1e6
        }));
    }
    let sound = Sound::of(&call).await.since(&before);
    assert_eq!(sound.concealed, 0.0);
    // What comes too much is left out by whole waves, so the delay breathes by the longest of them.
    let (least, most) = late
        .iter()
        .fold((f64::MAX, f64::MIN), |(least, most), late| {
            (least.min(*late), most.max(*late))
        });
    assert!(most - least < 25.0 && most < 150.0, "{least} to {most} ms");
    call.end().await;
}

#[test]
fn a_sound_card_that_runs_fast_adds_no_delay() {
    run(delay_while_drifting());
}

#[test]
fn nothing_is_torn_where_a_sound_card_runs_fast() {
    run(drifting(48_015));
}

#[test]
fn nothing_is_torn_where_a_sound_card_runs_slow() {
    run(drifting(47_985));
}
