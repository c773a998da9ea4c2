//! What arrived: every frame's time and age, whether the tone was heard, and the sound itself if it is asked for.

use crate::sound::{Ear, SAMPLE_RATE};
use crate::{barcode, emit, epoch_ms};
use duet::media::{Frame, Sink};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A sink on both remote tracks.
pub(crate) struct Receiver {
    received: Mutex<Received>,
    ear: Mutex<Ear>,
}

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
        Arc::new(Receiver {
            received: Mutex::default(),
            ear: Mutex::new(Ear::open()),
        })
    }

    /// Forgets the frames so far.
    pub(crate) fn forget(&self) {
        let mut received = self.received.lock();
        received.frames.clear();
        received.sizes.clear();
    }

    pub(crate) fn heard(&self) -> bool {
        self.received.lock().loudest > AUDIBLE
    }

    pub(crate) fn result(&self) -> io::Result<Value> {
        let sound = self.ear.lock().write_down()?;
        let received = self.received.lock();
        let sizes = received
            .sizes
            .iter()
            .map(|((w, h), n)| (format!("{w}x{h}"), json!(n)));
        Ok(json!({
            "type": "result",
            "frames": received.frames,
            "sizes": Value::Object(sizes.collect()),
            "sound": sound,
            "sound_hz": SAMPLE_RATE,
        }))
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
                let mut received = self.received.lock();
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
                self.ear.lock().hear(&frame.buffer);
                let peak = frame
                    .buffer
                    .samples()
                    .iter()
                    .fold(0f32, |peak, s| peak.max(s.abs()));
                let mut received = self.received.lock();
                received.loudest = received.loudest.max(peak);
            }
        }
    }
}
