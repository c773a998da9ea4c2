//! Calls beside transfers, which take what they can get.

use super::{Measured, SECOND, Scene, Setting};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// Sources of short transfers.
const SOURCES: u64 = 10;
/// What a short transfer has, in bytes; uniformly.
const FILE: std::ops::RangeInclusive<u64> = 100_000..=1_000_000;
/// What a source is silent between two files, on an average; exponentially.
const SILENCE: Duration = Duration::from_secs(10);

/// [RFC 8867, 5.6](https://www.rfc-editor.org/rfc/rfc8867#section-5.6).
pub(crate) async fn long(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(2_000, 50), setting.link(50));
    scene.transfer(std::iter::once((Duration::ZERO, u64::MAX)));
    scene.call(Duration::ZERO).await;
    scene.pass(20 * SECOND).await;
    let (from, until) = scene.pass(100 * SECOND).await;
    let rows = scene.measure("the last 100 s", from, until);
    if let [_, call, _] = rows {
        // One of two.
        call.set("fair_share_percent", call.get("kbps") / 1_000.0 * 100.0);
    }
    scene.end().await
}

/// [RFC 8867, 5.7](https://www.rfc-editor.org/rfc/rfc8867#section-5.7).
pub(crate) async fn short(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(2_000, 50), setting.link(50));
    for source in 0..SOURCES {
        scene.transfer(files(setting.seed ^ source.rotate_left(32)));
    }
    scene.call(Duration::ZERO).await;
    scene.call(Duration::ZERO).await;
    scene.pass(20 * SECOND).await;
    let (from, until) = scene.pass(280 * SECOND).await;
    scene.measure("from 20 s on", from, until);
    scene.end().await
}

/// Files without end; some sources begin at once.
fn files(seed: u64) -> impl Iterator<Item = (Duration, u64)> + Send {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut at_once = rng.random_bool(0.5);
    std::iter::from_fn(move || {
        // Never the logarithm of nothing.
        let silence = SILENCE.mul_f64(-(1.0 - rng.random::<f64>()).ln());
        let silence = if std::mem::take(&mut at_once) {
            Duration::ZERO
        } else {
            silence
        };
        Some((silence, rng.random_range(FILE)))
    })
}
