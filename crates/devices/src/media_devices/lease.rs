//! A device that is held while somebody wants its content.
//!
//! Tracks get a source that stays; behind it the device comes and goes. When all tracks are muted or
//! disabled it is [let go within three seconds](https://w3c.github.io/mediacapture-main/#life-cycle),
//! and had again when one wants content; if it cannot be had again, the tracks end. Meanwhile the source
//! goes on with black or silence, so that consumers keep their rhythm.

use super::device::Device;
use crate::GetUserMediaError;
use duet_media::{
    AudioBuffer, AudioFrame, Clock, Frame, I420Buffer, MediaSource, MediaStreamTrack, MediaTime,
    MediaTrackSettings, ReconfigureError, Sink, SinkHandle, SourceControl, VideoFrame,
    WeakMediaSource,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a device is kept for tracks that want nothing. Of the three seconds that are allowed, with
/// time for a slow device to close.
const GRACE: Duration = Duration::from_secs(2);

/// Opens `device` so that it delivers `native`, and returns what tracks can be made of.
pub(super) fn open(
    device: &Device,
    native: &MediaTrackSettings,
    clock: Arc<dyn Clock>,
) -> Result<MediaSource, GetUserMediaError> {
    let track = device.clone().open(native, clock.clone())?;
    let inner = track.source();
    let lease = Arc::new(Lease {
        outer: OnceLock::new(),
        state: Mutex::new(State {
            held: None,
            device: Some((device.clone(), clock)),
            native: native.clone(),
            wanted: true,
            watched: false,
        }),
        changed: Condvar::new(),
        shape: Mutex::default(),
    });
    let source = MediaSource::new(
        inner.kind(),
        inner.label(),
        inner.settings(),
        inner.capabilities(),
        Control(lease.clone()),
    );
    source.set_modes(inner.modes());
    // Nobody else has it yet.
    let _ = lease.outer.set(source.downgrade());
    lease.hold(track);
    Ok(source)
}

struct Lease {
    outer: OnceLock<WeakMediaSource>,
    state: Mutex<State>,
    changed: Condvar,
    /// Of what the device delivered last, for what stands in for it.
    shape: Mutex<Option<Shape>>,
}

struct State {
    held: Option<Held>,
    /// What is opened, and by which clock; nothing once it will never be again.
    device: Option<(Device, Arc<dyn Clock>)>,
    native: MediaTrackSettings,
    wanted: bool,
    /// Whether a thread sees to letting go and getting back.
    watched: bool,
}

/// A device in use. Dropped in this order: what it says of its end is not meant for the tracks.
struct Held {
    _sink: SinkHandle,
    track: MediaStreamTrack,
}

impl Lease {
    fn outer(&self) -> Option<MediaSource> {
        self.outer.get()?.upgrade()
    }

    /// Passes on what the track delivers, until it is let go.
    fn hold(self: &Arc<Self>, track: MediaStreamTrack) {
        let sink = track.add_sink(Arc::new(Forward(self.clone())));
        let held = Held { _sink: sink, track };
        let mut state = self.state.lock();
        let late = if state.device.is_none() {
            Some(held)
        } else {
            state.held.replace(held)
        };
        drop(state);
        drop(late);
    }

    /// Lets the device go for good.
    fn end(&self) {
        let mut state = self.state.lock();
        let device = state.device.take();
        let held = state.held.take();
        drop(state);
        self.changed.notify_all();
        drop((held, device));
    }

    /// Lets the device go once it was not wanted for long enough, and gets it back when it is.
    fn watch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        loop {
            let patience = Instant::now() + GRACE;
            let still = |state: &State| !state.wanted && state.device.is_some();
            while still(&state) && Instant::now() < patience {
                self.changed.wait_until(&mut state, patience);
            }
            if !still(&state) {
                state.watched = false;
                return;
            }
            let held = state.held.take();
            MutexGuard::unlocked(&mut state, || drop(held));
            self.stand_in(&mut state);
            let Some((device, clock)) = state.device.clone() else {
                state.watched = false;
                return;
            };
            let native = state.native.clone();
            let opened = MutexGuard::unlocked(&mut state, || {
                let opened = device.open(&native, clock);
                opened.map(|track| {
                    let settings = track.source().settings();
                    self.hold(track);
                    // It may have come back otherwise than it went.
                    if let Some(outer) = self.outer().filter(|o| o.settings() != settings) {
                        outer.set_settings(settings);
                    }
                })
            });
            if opened.is_err() {
                state.device = None;
                MutexGuard::unlocked(&mut state, || {
                    if let Some(outer) = self.outer() {
                        outer.end();
                    }
                });
                return;
            }
        }
    }

    /// Delivers black or silence in the device's rhythm until the device is wanted or nobody is left.
    fn stand_in(&self, state: &mut MutexGuard<'_, State>) {
        let shape = *self.shape.lock();
        let blank = shape.map(Shape::blank);
        let interval = shape.map_or(GRACE, |shape| shape.interval(&state.native));
        let Some(mut time) = state.device.as_ref().map(|(_, clock)| clock.now()) else {
            return;
        };
        let mut due = Instant::now();
        while !state.wanted && state.device.is_some() {
            if Instant::now() < due {
                self.changed.wait_until(state, due);
                continue;
            }
            let left = MutexGuard::unlocked(state, || {
                let outer = self.outer().filter(MediaSource::is_wanted)?;
                if let Some(blank) = &blank {
                    outer.publish(&blank.at(time));
                }
                Some(())
            });
            if left.is_none() {
                state.device = None;
            }
            due += interval;
            time += interval;
        }
    }
}

struct Control(Arc<Lease>);

impl SourceControl for Control {
    fn stop(&self) {
        self.0.end();
    }

    fn demand(&self, wanted: bool) {
        let mut state = self.0.state.lock();
        state.wanted = wanted;
        let watch = !wanted && !state.watched && state.device.is_some();
        if watch {
            let lease = self.0.clone();
            let thread = std::thread::Builder::new().name("lease".into());
            // Without a thread the device is simply kept.
            state.watched = thread.spawn(move || lease.watch()).is_ok();
        }
        drop(state);
        self.0.changed.notify_all();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let held = self.0.state.lock().held.as_ref().map(|h| h.track.clone());
        let reached = match held {
            Some(track) => track.source().reconfigure(wanted)?,
            // It will be opened so.
            None => wanted.clone(),
        };
        self.0.state.lock().native = reached.clone();
        Ok(reached)
    }
}

/// Passes a device's frames on to the tracks, and its end.
struct Forward(Arc<Lease>);

impl Sink for Forward {
    fn accept(&self, frame: &Frame) {
        if let Some(outer) = self.0.outer() {
            *self.0.shape.lock() = Some(Shape::of(frame));
            outer.publish(frame);
        }
    }

    fn ended(&self) {
        if let Some(outer) = self.0.outer() {
            outer.end();
        }
        self.0.end();
    }
}

/// What a device's frames are like, but for their content.
#[derive(Clone, Copy)]
enum Shape {
    Video {
        width: u32,
        height: u32,
    },
    Audio {
        rate: u32,
        channels: u16,
        frames: usize,
    },
}

/// Black or silence.
enum Blank {
    Video(Arc<I420Buffer>),
    Audio(Arc<AudioBuffer>),
}

impl Shape {
    fn of(frame: &Frame) -> Self {
        match frame {
            Frame::Video(picture) => Shape::Video {
                width: picture.width(),
                height: picture.height(),
            },
            Frame::Audio(sound) => Shape::Audio {
                rate: sound.buffer.sample_rate(),
                channels: sound.buffer.channels(),
                frames: sound.buffer.frames(),
            },
        }
    }

    fn blank(self) -> Blank {
        match self {
            Shape::Video { width, height } => {
                Blank::Video(Arc::new(I420Buffer::new(width, height)))
            }
            Shape::Audio {
                rate,
                channels,
                frames,
            } => Blank::Audio(Arc::new(AudioBuffer::new(rate, channels, frames))),
        }
    }

    /// How far its frames are apart; 5 ms at least.
    fn interval(self, settings: &MediaTrackSettings) -> Duration {
        let interval = match self {
            Shape::Audio { rate, frames, .. } => {
                Duration::from_secs_f64(frames as f64 / f64::from(rate.max(1)))
            }
            Shape::Video { .. } => {
                let rate = settings.frame_rate.filter(|rate| *rate >= 1.0);
                Duration::from_secs_f64(1.0 / rate.unwrap_or(30.0))
            }
        };
        interval.max(Duration::from_millis(5))
    }
}

impl Blank {
    fn at(&self, time: MediaTime) -> Frame {
        match self {
            Blank::Video(black) => VideoFrame::new(black.clone(), time).into(),
            Blank::Audio(silence) => AudioFrame::new(silence.clone(), time).into(),
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").finish_non_exhaustive()
    }
}
