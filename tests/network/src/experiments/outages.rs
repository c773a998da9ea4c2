//! No way for a while, or another one.

use super::scene::ms;
use super::{Measured, Row, SECOND, Scene, Setting};
use duet_media::MediaTime;
use duet_network::{CallConfig, LinkConfig, Loss};
use duet_peer::RTCPeerConnectionState;
use std::time::Duration;

/// A picture that is older is not fresh.
const STALE: Duration = Duration::from_millis(500);

pub(crate) async fn outage(setting: Setting, seconds: u32) -> Measured {
    let way = setting.link(50);
    let mut scene = scene(setting).await;
    scene.pass(15 * SECOND).await;
    scene.set_both(LinkConfig {
        loss: Loss::Random(1.0),
        ..way.clone()
    });
    let (_, back) = scene.pass(seconds * SECOND).await;
    scene.set_both(way);
    let (_, end) = scene.pass(15 * SECOND).await;
    measure_from(&mut scene, back, end);
    scene.end().await
}

pub(crate) async fn change_of_address(setting: Setting) -> Measured {
    let mut scene = scene(setting).await;
    scene.pass(15 * SECOND).await;
    scene.calls[0].unplug(0);
    scene.calls[0].plug(0, [127, 0, 81, 3].into());
    let (changed, end) = scene.pass(15 * SECOND).await;
    measure_from(&mut scene, changed, end);
    scene.end().await
}

async fn scene(setting: Setting) -> Scene {
    let way = setting.link(50);
    Scene::of_one(setting, CallConfig::default(), way.clone(), way).await
}

/// What was seen from when there was a way again.
fn measure_from(scene: &mut Scene, back: MediaTime, end: MediaTime) {
    let call = &scene.calls[0];
    let after = call.ends[1].viewed.pictures(back, end);
    let since = |at: MediaTime| ms(at.saturating_since(back));
    let mut row = Row::new("the way's return");
    if let Some(first) = after.first() {
        row.set("first_picture_ms", since(first.at));
    }
    // Taken since then.
    if let Some(fresh) = after
        .iter()
        .find(|it| it.at.saturating_since(back) >= it.age)
    {
        row.set("fresh_picture_ms", since(fresh.at));
    }
    let stale = after.iter().filter(|picture| picture.age > STALE).count();
    row.set("stale_pictures", stale as f64);
    row.set("offers", f64::from(call.offers()));
    let state = call.ends[0].connection.connection_state();
    let connected = state == RTCPeerConnectionState::Connected;
    row.set("connected", f64::from(u8::from(connected)));
    scene.add(row);
    scene.measure("15 s from the way's return", back, end);
}
