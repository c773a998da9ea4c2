//! How long a call takes to begin over links that lose.

use duet_media::{Clock, MediaTime};
use duet_network::{Call, CallConfig, LinkConfig, Loss, run};
use std::time::Duration;

/// How long after its beginning both ends are connected, for each of the seeds, in order of length.
fn connected(share: f64, seeds: std::ops::Range<u64>) -> Vec<(Duration, u64)> {
    let mut took: Vec<_> = seeds
        .map(|seed| {
            run(async move {
                let link = LinkConfig {
                    loss: Loss::Random(share),
                    delay: Duration::from_millis(50),
                    ..Default::default()
                };
                let call = Call::start(&CallConfig {
                    seed,
                    links: [link.clone(), link],
                    ..Default::default()
                })
                .await;
                let took = call.clock.now().saturating_since(MediaTime::ZERO);
                call.end().await;
                (took, seed)
            })
        })
        .collect();
    took.sort();
    eprintln!("{share}: {took:?}");
    took
}

/// What the handshake loses is sent again after 150 ms, then 300 (`duet_session::FlightRepeater`).
#[test]
fn a_call_begins_however_much_is_lost() {
    let took = connected(0.05, 1..41);
    assert!(took[took.len() / 2].0 < Duration::from_secs(1), "{took:?}");
    assert!(took[took.len() - 1].0 < Duration::from_secs(2), "{took:?}");
}
