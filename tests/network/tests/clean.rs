//! Calls over a link that does nothing but take its time.

use duet_network::{Call, CallConfig, LinkConfig, run};
use std::time::Duration;

fn far() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(25),
        ..Default::default()
    }
}

#[test]
fn over_a_perfect_link_every_picture_is_shown_on_time() {
    run(async {
        let call = Call::start(&CallConfig {
            links: [far(), far()],
            ..Default::default()
        })
        .await;
        let _ = call.pass(Duration::from_secs(3)).await;
        let (from, until) = call.pass(Duration::from_secs(30)).await;
        let viewed = &call.ends[1].viewed;
        let shown = viewed.pictures(from, until);
        assert!((899..=901).contains(&shown.len()), "{}", shown.len());
        let in_order = |pair: &[duet_network::Shown]| pair[1].number == pair[0].number + 1;
        assert!(shown.windows(2).all(in_order));
        let p95 = viewed.age(from, until, 0.95);
        assert!(p95 <= Duration::from_millis(45), "{p95:?}");
        assert!(viewed.freezes(from, until).is_empty());
        let beeps = viewed.beeps(from, until);
        assert!((29..=31).contains(&beeps), "{beeps}");
        let sync = viewed.lip_sync(from, until);
        assert!(sync.iter().all(|offset| offset.abs() < 45.0), "{sync:?}");
        call.end().await;
    });
}
