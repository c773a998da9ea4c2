//! What arrived: every frame's time and age, and whether the tone was heard.

use crate::{barcode, emit, epoch_ms};
use duet::media::{Frame, Sink};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A sink on both remote tracks.
pub(crate) struct Receiver(Mutex<Received>);

#[derive(Default)]
struct Received {
    first: bool,
    /// When each came, how old it was, how high it is.
    frames: Vec<(f64, i32, u32)>,
    sizes: BTreeMap<(u32, u32), u64>,
    loudest: f32,
}

/// The tone's amplitude is 0.3; noise and silence stay below this.
const AUDIBLE: f32 = 0.05;

impl Receiver {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Receiver(Mutex::default()))
    }

    /// Forgets the frames so far.
    pub(crate) fn forget(&self) {
        let mut received = self.0.lock();
        received.frames.clear();
        received.sizes.clear();
    }

    pub(crate) fn heard(&self) -> bool {
        self.0.lock().loudest > AUDIBLE
    }

    pub(crate) fn result(&self) -> Value {
        let received = self.0.lock();
        let sizes = received
            .sizes
            .iter()
            .map(|((w, h), n)| (format!("{w}x{h}"), json!(n)));
        json!({
            "type": "result",
            "frames": received.frames,
            "sizes": Value::Object(sizes.collect()),
        })
    }
}

impl Sink for Receiver {
    fn accept(&self, frame: &Frame) {
        match frame {
            Frame::Video(frame) => {
                let now = epoch_ms();
                let stamp = barcode::read(&frame.buffer);
                let age = stamp.map_or(i32::MIN, |stamp| {
                    (now as u64 as u32).wrapping_sub(stamp) as i32
                });
                let mut received = self.0.lock();
                received.frames.push((now, age, frame.height()));
                *received
                    .sizes
                    .entry((frame.width(), frame.height()))
                    .or_default() += 1;
                if !std::mem::replace(&mut received.first, true) {
                    emit(&json!({ "type": "first", "t": now }));
                }
            }
            Frame::Audio(frame) => {
                let peak = frame
                    .buffer
                    .samples()
                    .iter()
                    .fold(0f32, |peak, s| peak.max(s.abs()));
                let mut received = self.0.lock();
                received.loudest = received.loudest.max(peak);
            }
        }
    }
}
