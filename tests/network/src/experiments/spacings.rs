//! RFC 8867, 5.4, for calls that begin at several distances of time: how evenly they come to share a link
//! depends on the moment at which the next one comes, and one run of it says little.

use super::measured::{Measured, Row, median};
use super::{SECOND, Scene, Setting};
use std::time::Duration;

const SPACINGS: [u32; 6] = [15, 18, 20, 22, 25, 30];
/// After all three have begun, so many stretches of so long are measured.
const STRETCHES: usize = 4;
const STRETCH: Duration = Duration::from_secs(30);
/// What is told of all stretches.
const TOLD: [[&str; 4]; 3] = [
    ["fairness", "fairness", "fairness_least", "fairness_most"],
    [
        "used_percent",
        "used_percent",
        "used_least_percent",
        "used_most_percent",
    ],
    [
        "queue_p95_ms",
        "queue_p95_ms",
        "queue_least_ms",
        "queue_most_ms",
    ],
];

/// The first row sums up all stretches, by their medians; the course is that of the last spacing.
pub(crate) async fn fairness_by_spacing(setting: Setting) -> Measured {
    let mut stretches = Vec::new();
    let mut series = None;
    for spacing in SPACINGS {
        let mut scene = Scene::new(setting, setting.limited(3_500, 50), setting.link(50));
        for _ in 0..3 {
            scene.call(Duration::ZERO).await;
            scene.pass(spacing * SECOND).await;
        }
        for n in 1..=STRETCHES {
            let (from, until) = scene.pass(STRETCH).await;
            let of = format!("{spacing} s apart, stretch {n}");
            stretches.extend(scene.measure(&of, from, until).first().cloned());
        }
        series = Some(scene.end().await.series);
    }
    let mut all = Row::new("all stretches");
    for [name, middle, least, most] in TOLD {
        let mut values: Vec<f64> = stretches.iter().map(|row| row.get(name)).collect();
        values.sort_by(f64::total_cmp);
        all.set(middle, median(&values));
        all.set(least, values[0]);
        all.set(most, values[values.len() - 1]);
    }
    let mut rows = vec![all];
    rows.extend(stretches);
    Measured {
        rows,
        series: series.expect("there are spacings"),
    }
}
