//! Calls among calls.

use super::{Measured, SECOND, Scene, Setting};
use std::time::Duration;

/// [RFC 8867, 5.4](https://www.rfc-editor.org/rfc/rfc8867#section-5.4).
pub(crate) async fn fairness(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(3_500, 50), setting.link(50));
    for _ in 0..3 {
        scene.call(Duration::ZERO).await;
        scene.pass(20 * SECOND).await;
    }
    let (from, until) = scene.pass(60 * SECOND).await;
    scene.measure("the last minute", from, until);
    scene.end().await
}

/// The same for calls that begin at other distances of time, one for each of six seeds: how evenly they come
/// to share a link depends on the moment at which the next one comes, and one run of it says little.
pub(crate) async fn fairness_spacings(setting: Setting) -> Measured {
    const SPACINGS: [u32; 6] = [15, 18, 20, 22, 25, 30];
    let spacing = SPACINGS[(setting.seed % 6) as usize];
    let mut scene = Scene::new(setting, setting.limited(3_500, 50), setting.link(50));
    for _ in 0..3 {
        scene.call(Duration::ZERO).await;
        scene.pass(spacing * SECOND).await;
    }
    for _ in 0..4 {
        let (from, until) = scene.pass(30 * SECOND).await;
        scene.measure("30 s", from, until);
    }
    scene.end().await
}

/// [RFC 8867, 5.5](https://www.rfc-editor.org/rfc/rfc8867#section-5.5).
pub(crate) async fn fairness_by_round_trip(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(4_000, 10), setting.link(10));
    for farther in [0, 15, 40, 90, 140] {
        scene.call(Duration::from_millis(farther)).await;
        scene.pass(10 * SECOND).await;
    }
    scene.pass(30 * SECOND).await;
    let (from, until) = scene.pass(100 * SECOND).await;
    scene.measure("the last 100 s", from, until);
    scene.end().await
}

/// [RFC 8867, 5.8](https://www.rfc-editor.org/rfc/rfc8867#section-5.8).
pub(crate) async fn pause(setting: Setting) -> Measured {
    let mut scene = Scene::new(setting, setting.limited(3_500, 50), setting.link(50));
    for _ in 0..3 {
        scene.call(Duration::ZERO).await;
    }
    scene.pass(40 * SECOND).await;
    let show = |scene: &Scene, on| {
        let camera = scene.calls[0].ends[0].camera.as_ref();
        camera.expect("it has one").track.set_enabled(on);
    };
    show(&scene, false);
    scene.pass(10 * SECOND).await;
    let (from, until) = scene.pass(10 * SECOND).await;
    scene.measure("the pause's second half", from, until);
    show(&scene, true);
    scene.pass(20 * SECOND).await;
    let (from, until) = scene.pass(40 * SECOND).await;
    scene.measure("from 20 s after it", from, until);
    scene.end().await
}
