//! RFC 8867, 5.4, for calls that begin at several distances of time: how evenly they come to share a link
//! depends on the moment at which the next one comes, and one run of it says little.

use super::{Crowd, SECOND, fairness_of, limited, ms};
use duet_network::run;
use serde_json::{Value, json};
use std::time::Duration;

const KBPS: u64 = 3_500;
const SPACINGS: [u32; 6] = [15, 18, 20, 22, 25, 30];
/// After all three have begun, so many stretches of so long are measured.
const STRETCHES: usize = 4;
const STRETCH: Duration = Duration::from_secs(30);

/// What three calls had in one stretch.
struct Stretch {
    rates: Vec<f64>,
    fairness: f64,
    used: f64,
    queue: Duration,
}

pub(crate) fn fairness_spacings() -> Value {
    let runs: Vec<(u32, Vec<Stretch>)> = SPACINGS
        .into_iter()
        .map(|spacing| (spacing, run(three_calls(spacing))))
        .collect();
    let all = || runs.iter().flat_map(|(_, stretches)| stretches);
    json!({
        "fairness": spread(all().map(|stretch| stretch.fairness)),
        "used": spread(all().map(|stretch| stretch.used)),
        "queue_p95": spread(all().map(|stretch| ms(stretch.queue))),
        "by_spacing": runs.iter().map(|(spacing, stretches)| json!({
            "seconds": spacing,
            "kbps": stretches.iter().map(|stretch| &stretch.rates).collect::<Vec<_>>(),
            "fairness": stretches.iter().map(|stretch| rounded(stretch.fairness)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

async fn three_calls(spacing: u32) -> Vec<Stretch> {
    let mut crowd = Crowd::new(limited(KBPS, 50));
    for _ in 0..3 {
        crowd.add(Duration::ZERO).await;
        crowd.pass(spacing * SECOND).await;
    }
    let mut stretches = Vec::new();
    for _ in 0..STRETCHES {
        let (from, until) = crowd.pass(STRETCH).await;
        let rates = crowd.rates(from, until);
        let delay = crowd.calls[0].delay(from, until, 0.95);
        stretches.push(Stretch {
            fairness: fairness_of(&rates),
            used: rates.iter().sum::<f64>() / KBPS as f64,
            queue: delay.saturating_sub(Duration::from_millis(50)),
            rates,
        });
    }
    crowd.end().await;
    stretches
}

/// The least, the median and the most.
fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.map(rounded).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: usize| values[(values.len() - 1) * share / 2];
    [at(0), at(1), at(2)]
}

fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
