//! What a path carries, where that changes.

use super::{Measured, SECOND, Scene, Setting};
use duet_network::{CallConfig, Sends};
use std::time::Duration;

/// [RFC 8867, 5.1](https://www.rfc-editor.org/rfc/rfc8867#section-5.1).
pub(crate) async fn variable(setting: Setting) -> Measured {
    let (forth, back) = (setting.limited(1_000, 50), setting.link(50));
    let mut scene = Scene::of_one(setting, CallConfig::default(), forth, back).await;
    for (number, (kbps, seconds)) in [(1_000, 40), (2_500, 20), (600, 20), (1_000, 20)]
        .into_iter()
        .enumerate()
    {
        scene.set_forth(setting.limited(kbps, 50));
        let (from, until) = scene.pass(seconds * SECOND).await;
        let half = from + seconds * SECOND / 2;
        let phase = format!("{}: {kbps} kbit/s", number + 1);
        scene.measure(&format!("{phase}, second half"), half, until);
        scene.measure(&format!("{phase}, whole"), from, until);
    }
    scene.end().await
}

/// [RFC 8867, 5.2](https://www.rfc-editor.org/rfc/rfc8867#section-5.2).
pub(crate) async fn variable_multiple(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(4_000, 50), setting.link(50));
    scene.call(Duration::ZERO).await;
    scene.call(Duration::ZERO).await;
    for (number, kbps) in [4_000, 2_000, 3_500, 1_000, 2_000].into_iter().enumerate() {
        scene.set_forth(setting.limited(kbps, 50));
        let (_, half) = scene.pass(12 * SECOND).await;
        let (_, until) = scene.pass(13 * SECOND).await;
        let phase = format!("{}: {kbps} kbit/s, second half", number + 1);
        scene.measure(&phase, half, until);
    }
    scene.end().await
}

/// [RFC 8867, 5.3](https://www.rfc-editor.org/rfc/rfc8867#section-5.3): what tells one side how its media fares
/// goes through the other side's queue.
pub(crate) async fn feedback(setting: Setting) -> Measured {
    let config = CallConfig {
        sends: [Sends::SMALL, Sends::SMALL],
        ..Default::default()
    };
    let wide = setting.limited(2_000, 50);
    let mut scene = Scene::of_one(setting, config, wide.clone(), wide).await;
    let mut links = [2_000, 2_000];
    let changes: [(u32, [u64; 2]); 6] = [
        (20, [1_000, 2_000]),
        (15, [1_000, 800]),
        (5, [500, 800]),
        (20, [2_000, 800]),
        (10, [2_000, 2_000]),
        (30, [2_000, 2_000]),
    ];
    let mut begun = 0;
    for (seconds, next) in changes {
        let (from, until) = scene.pass(seconds * SECOND).await;
        let half = from + seconds * SECOND / 2;
        let ended = begun + seconds;
        let phase = format!("{begun}-{ended} s: {} and {} kbit/s", links[0], links[1]);
        scene.measure(&format!("{phase}, second half"), half, until);
        if next[0] != links[0] {
            scene.set_forth(setting.limited(next[0], 50));
        }
        if next[1] != links[1] {
            scene.set_back(setting.limited(next[1], 50));
        }
        (begun, links) = (ended, next);
    }
    scene.end().await
}

/// A wide path shows a full picture soon.
pub(crate) async fn start(setting: Setting) -> Measured {
    let config = CallConfig {
        sends: [
            Sends {
                video: Some((1280, 720, 30)),
                audio: true,
            },
            Sends::NOTHING,
        ],
        ..Default::default()
    };
    let (forth, back) = (setting.limited(5_000, 50), setting.link(50));
    let mut scene = Scene::of_one(setting, config, forth, back).await;
    for number in 1..=8 {
        let (from, until) = scene.pass(SECOND).await;
        scene.measure(&format!("second {number}"), from, until);
    }
    scene.end().await
}
