//! A device that is held while somebody wants its content.
//!
//! Tracks get a source that stays; behind it the device comes and goes. When all tracks are muted or
//! disabled it is [let go within three seconds](https://w3c.github.io/mediacapture-main/#life-cycle),
//! and had again when one wants content; if it cannot be had again, the tracks end. Meanwhile the source
//! goes on with black or silence, so that consumers keep their rhythm.

use super::device::Device;
use crate::GetUserMediaError;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use duet_media::{
    AudioBuffer, AudioFrame, Clock, Frame, I420Buffer, MediaSource, MediaStreamTrack, MediaTime,
    MediaTrackSettings, ReconfigureError, Sink, SinkHandle, SourceControl, VideoFrame,
    WeakMediaSource,
};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long a device is kept for tracks that want nothing. Of the three seconds that are allowed, with
/// time for a slow device to close.
const GRACE: Duration = Duration::from_secs(2);

/// Opens `device` so that it delivers `native`, and returns what tracks can be made of. To be called with
/// `opening` held, which is held, too, whenever the device is had again.
pub(super) fn open(
    device: &Device,
    native: &MediaTrackSettings,
    clock: Arc<dyn Clock>,
    opening: Arc<Mutex<()>>,
) -> Result<MediaSource, GetUserMediaError> {
    let track = device.clone().open(native, clock.clone())?;
    let inner = track.source();
    let lease = Arc::new(Lease {
        outer: OnceLock::new(),
        opening,
        setting: Mutex::default(),
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
    lease.listen();
    Ok(source)
}

/// Locks are taken in the order in which they stand here. Tracks may only be ended where none is held: a
/// program that hears of it may open devices, and stop tracks.
struct Lease {
    outer: OnceLock<WeakMediaSource>,
    /// Held while any device is opened: whoever wants a device that is just being had again by tracks
    /// that were stopped meanwhile has to wait until it was let go.
    opening: Arc<Mutex<()>>,
    /// Held while the device is opened, set or let go in a pause: settings are not for one that is on its way.
    setting: Mutex<()>,
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

impl State {
    /// Whether it is not wanted for now.
    fn is_idle(&self) -> bool {
        !self.wanted && self.device.is_some()
    }

    /// Lets the device go. Under the lock: once it is not held, it can be had by whoever asks.
    fn let_go(&mut self) {
        if let Some(Held {
            track,
            sink,
            counts,
        }) = self.held.take()
        {
            counts.store(false, Ordering::Release);
            track.stop();
            drop(sink);
        }
    }
}

/// A device in use.
struct Held {
    track: MediaStreamTrack,
    /// Nothing until it is listened to.
    sink: Option<SinkHandle>,
    /// Whether what it says of its end is meant for the tracks: not once it is let go.
    counts: Arc<AtomicBool>,
}

impl Lease {
    fn outer(&self) -> Option<MediaSource> {
        self.outer.get()?.upgrade()
    }

    /// Keeps a device that was opened, unless it will not be wanted any more.
    fn hold(&self, track: MediaStreamTrack) {
        let mut state = self.state.lock();
        let counts = Arc::new(AtomicBool::new(true));
        state.held = Some(Held {
            track,
            sink: None,
            counts,
        });
        if state.device.is_none() {
            state.let_go();
        }
    }

    /// Passes on what the device delivers, and its end, which it may have come to already.
    fn listen(self: &Arc<Self>) {
        let state = self.state.lock();
        let held = state.held.as_ref();
        let Some((track, counts)) = held.map(|h| (h.track.clone(), h.counts.clone())) else {
            return;
        };
        drop(state);
        let lease = self.clone();
        let sink = track.add_sink(Arc::new(Forward { lease, counts }));
        let mut state = self.state.lock();
        match state.held.as_mut().filter(|held| held.track == track) {
            Some(held) => held.sink = Some(sink),
            None => {
                drop(state);
                drop(sink);
            }
        }
    }

    /// Lets the device go for good.
    fn end(&self) {
        let mut state = self.state.lock();
        let device = state.device.take();
        state.let_go();
        drop(state);
        self.changed.notify_all();
        drop(device);
    }

    /// The device cannot be had any more, and with it the tracks end. In this order: whoever hears of it
    /// may open the device.
    fn lose(&self) {
        self.end();
        if let Some(outer) = self.outer() {
            outer.end();
        }
    }

    /// Lets the device go once it was not wanted for long enough, and gets it back when it is.
    fn watch(self: &Arc<Self>) {
        while self.is_unwanted_for_long() {
            self.pause();
            self.stand_in();
            self.resume();
        }
    }

    /// Waits for as long as the device is kept. If it is wanted again meanwhile, nobody watches any more.
    fn is_unwanted_for_long(&self) -> bool {
        let patience = Instant::now() + GRACE;
        let mut state = self.state.lock();
        let mut over = false;
        while state.is_idle() {
            if over || state.held.is_none() {
                return true;
            }
            over = self.changed.wait_until(&mut state, patience).timed_out();
        }
        state.watched = false;
        false
    }

    fn pause(&self) {
        let _not_while_it_is_set = self.setting.lock();
        let mut state = self.state.lock();
        if state.is_idle() {
            state.let_go();
        }
    }

    /// Delivers black or silence in the device's rhythm until the device is wanted or nobody is left.
    fn stand_in(&self) {
        let shape = *self.shape.lock();
        let blank = shape.map(Shape::blank);
        let mut state = self.state.lock();
        let interval = shape.map_or(GRACE, |shape| shape.interval(&state.native));
        let Some(mut time) = state.device.as_ref().map(|(_, clock)| clock.now()) else {
            return;
        };
        let mut due = Instant::now();
        while state.is_idle() && state.held.is_none() {
            if !self.changed.wait_until(&mut state, due).timed_out() {
                continue;
            }
            let left = MutexGuard::unlocked(&mut state, || {
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

    /// Has the device again, if it is wanted and was let go.
    fn resume(self: &Arc<Self>) {
        let opened = {
            let _one_at_a_time = self.opening.lock();
            let _not_while_it_is_set = self.setting.lock();
            let state = self.state.lock();
            let (true, None, Some((device, clock))) =
                (state.wanted, &state.held, state.device.clone())
            else {
                return;
            };
            let native = state.native.clone();
            drop(state);
            device.open(&native, clock).map(|track| {
                let settings = track.source().settings();
                self.hold(track);
                // It may have come back otherwise than it went.
                if let Some(outer) = self.outer().filter(|o| o.settings() != settings) {
                    outer.set_settings(settings);
                }
            })
        };
        match opened {
            Ok(()) => self.listen(),
            Err(error) => {
                tracing::debug!(%error, "the device cannot be had again");
                self.lose();
            }
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
            let named = thread::Builder::new().name("lease".into());
            // Without a thread the device is simply kept.
            state.watched = named.spawn(move || lease.watch()).is_ok();
        }
        drop(state);
        self.0.changed.notify_all();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let _one_at_a_time = self.0.setting.lock();
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
struct Forward {
    lease: Arc<Lease>,
    counts: Arc<AtomicBool>,
}

impl Sink for Forward {
    fn accept(&self, frame: &Frame) {
        if let Some(outer) = self.lease.outer() {
            *self.lease.shape.lock() = Some(Shape::of(frame));
            outer.publish(frame);
        }
    }

    fn ended(&self) {
        if self.counts.load(Ordering::Acquire) {
            self.lease.lose();
        }
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
