//! What a path loses, and what it delays unevenly.

use super::{Measured, SECOND, Scene, Setting};
use duet_network::{CallConfig, LinkConfig, Loss};

/// A minute on a path that stays as it is.
pub(crate) async fn steady(setting: Setting, loss: f64, max_bitrate: u32) -> Measured {
    let path = LinkConfig {
        loss: Loss::Random(loss),
        ..setting.link(50)
    };
    let mut scene = scene(setting, path, max_bitrate).await;
    scene.pass(5 * SECOND).await;
    let (from, until) = scene.pass(60 * SECOND).await;
    scene.measure("a minute", from, until);
    scene.end().await
}

/// A minute on a long path, with forward error correction or without.
pub(crate) async fn far(setting: Setting, loss: f64, fec: bool) -> Measured {
    let path = LinkConfig {
        loss: Loss::Random(loss),
        ..setting.link(150)
    };
    let config = CallConfig {
        fec,
        ..Default::default()
    };
    let mut scene = Scene::of_one(setting, config, path.clone(), path).await;
    scene.pass(10 * SECOND).await;
    let (from, until) = scene.pass(60 * SECOND).await;
    scene.measure("a minute", from, until);
    scene.end().await
}

/// 40 % are lost for 5 s.
pub(crate) async fn storm(setting: Setting, max_bitrate: u32) -> Measured {
    let calm = setting.link(50);
    let mut scene = scene(setting, calm.clone(), max_bitrate).await;
    scene.pass(15 * SECOND).await;
    scene.set_both(LinkConfig {
        loss: Loss::Random(0.4),
        ..calm.clone()
    });
    let (from, until) = scene.pass(5 * SECOND).await;
    scene.set_both(calm);
    let (_, end) = scene.pass(10 * SECOND).await;
    scene.measure("the 5 s", from, until);
    scene.measure("the second after them", until, until + SECOND);
    scene.measure("the 10 s after them", until, end);
    scene.end().await
}

async fn scene(setting: Setting, path: LinkConfig, max_bitrate: u32) -> Scene {
    let config = CallConfig {
        max_bitrate,
        ..Default::default()
    };
    Scene::of_one(setting, config, path.clone(), path).await
}
