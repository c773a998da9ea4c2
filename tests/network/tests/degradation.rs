//! What gives way on a thin link is what the program says: size, rate, or some of both.

use duet_media::{ContentHint, MediaKind};
use duet_network::{Call, CallConfig, LinkConfig, Sends, run};
use duet_peer::RTCDegradationPreference::{self, Balanced, MaintainFramerate, MaintainResolution};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// What a viewer saw of a call over 300 kbit/s.
#[derive(Debug)]
struct Seen {
    frames_per_second: f64,
    sizes: Vec<(u32, u32)>,
    reason: String,
    kbps: f64,
}

fn thin(kbps: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        delay: 50 * SECOND / 1_000,
        ..Default::default()
    }
}

async fn start(kbps: u64) -> Call {
    let back = LinkConfig {
        rate_bps: None,
        ..thin(kbps)
    };
    let large = Sends {
        video: Some((960, 540, 30)),
        audio: true,
    };
    Call::start(&CallConfig {
        links: [thin(kbps), back],
        sends: [large, Sends::NOTHING],
        ..Default::default()
    })
    .await
}

fn prefer(call: &Call, preference: RTCDegradationPreference) {
    let senders = call.ends[0].connection.get_senders();
    let mut senders = senders.iter().filter(|s| s.kind() == MediaKind::Video);
    let sender = senders.next().expect("it sends pictures");
    let mut parameters = sender.get_parameters();
    parameters.degradation_preference = Some(preference);
    sender.set_parameters(parameters).expect("a preference");
    let now = sender.get_parameters().degradation_preference;
    assert_eq!(now, Some(preference));
}

async fn watch(call: &Call) -> Seen {
    call.pass(8 * SECOND).await;
    let (from, until) = call.pass(10 * SECOND).await;
    let pictures = call.ends[1].viewed.pictures(from, until);
    let mut sizes: Vec<_> = pictures.iter().map(|picture| picture.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let stats = call.ends[0].connection.get_stats().await.expect("it is up");
    let outbound = stats.rtp("outbound-rtp", MediaKind::Video);
    let outbound = outbound.expect("it sends pictures");
    let reason = outbound.text("qualityLimitationReason");
    Seen {
        frames_per_second: pictures.len() as f64 / 10.0,
        sizes,
        reason: reason.expect("a reason").to_owned(),
        kbps: call.rate(from, until) / 1e3,
    }
}

#[test]
fn each_preference_keeps_what_it_names() {
    let seen = |preference| {
        run(async move {
            let call = start(300).await;
            prefer(&call, preference);
            let seen = watch(&call).await;
            call.end().await;
            println!("{preference:?}: {seen:?}");
            seen
        })
    };
    let smooth = seen(MaintainFramerate);
    assert!(smooth.frames_per_second >= 24.0, "{smooth:?}");
    assert!(smooth.sizes.iter().all(|size| size.0 <= 480), "{smooth:?}");
    let sharp = seen(MaintainResolution);
    assert_eq!(sharp.sizes, [(960, 540)], "{sharp:?}");
    let between = seen(Balanced);
    let rates = [&sharp, &between, &smooth].map(|seen| seen.frames_per_second);
    assert!(rates.is_sorted_by(|fewer, more| fewer < more), "{rates:?}");
    assert!(rates[0] >= 5.0, "{sharp:?}");
    let width = |seen: &Seen| seen.sizes.last().map_or(0, |size| size.0);
    assert!(
        (width(&smooth)..960).contains(&width(&between)),
        "{between:?}"
    );
    // Few pictures are few probes of the path: how much it carries is found out slowly.
    for (seen, kbps) in [(smooth, 250.0), (sharp, 180.0), (between, 250.0)] {
        assert_eq!(seen.reason, "bandwidth", "{seen:?}");
        assert!(seen.kbps > kbps, "{seen:?}");
    }
}

#[test]
fn text_keeps_its_size_without_being_asked_to() {
    run(async {
        let call = start(300).await;
        let camera = call.ends[0].camera.as_ref().expect("it has one");
        camera.track.set_content_hint(ContentHint::Text);
        let seen = watch(&call).await;
        assert_eq!(seen.sizes, [(960, 540)], "{seen:?}");
        call.end().await;
    });
}

#[test]
fn on_a_wide_link_nothing_gives_way() {
    run(async {
        for preference in [MaintainFramerate, MaintainResolution, Balanced] {
            let call = start(4_000).await;
            prefer(&call, preference);
            let seen = watch(&call).await;
            assert_eq!(seen.sizes, [(960, 540)], "{seen:?}");
            assert!(seen.frames_per_second > 29.5, "{seen:?}");
            assert_eq!(seen.reason, "none", "{seen:?}");
            call.end().await;
        }
    });
}
