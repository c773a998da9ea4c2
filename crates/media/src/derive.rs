//! Tracks that are made from other tracks.
//!
//! A derived track is a track like any other. Its source takes part in the life of what it is made
//! from: it ends when the last of its inputs ends, it is muted while all of them are muted, and when its
//! last track is stopped it lets go of them. It never stops them: they are the program's.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::{
    Frame, MediaKind, MediaSource, MediaStreamTrack, MediaTrackCapabilities, MediaTrackSettings,
    Sink, SinkHandle, SourceControl, Subscription, TrackEvent, WeakMediaSource,
};
use std::sync::{Arc, OnceLock};

/// Makes something of the frames of each input.
pub(crate) trait Derivation: Send + Sync + 'static {
    /// Takes a frame of the input of that number, and hands on what comes of it. Called on the input's
    /// thread.
    fn take(&self, input: usize, frame: &Frame, hand_on: &dyn Fn(&Frame));
}

/// A new track of what `derivation` makes of `inputs`, of which there should be one at least.
pub(crate) fn derive(
    label: &str,
    settings: MediaTrackSettings,
    inputs: &[MediaStreamTrack],
    derivation: impl Derivation,
) -> MediaStreamTrack {
    let kind = inputs
        .first()
        .map_or(MediaKind::Audio, MediaStreamTrack::kind);
    let ties = Ties::default();
    let derived = Arc::new(Derived {
        derivation,
        source: OnceLock::new(),
        left: AtomicUsize::new(inputs.len()),
        inputs: inputs.to_vec(),
        ties: ties.clone(),
    });
    let capabilities = MediaTrackCapabilities::default();
    let source = MediaSource::new(kind, label, settings, capabilities, ties.clone());
    let track = source.create_track();
    // Nobody else has it yet.
    let _ = derived.source.set(source.downgrade());
    derived.follow_mute();
    for (number, input) in inputs.iter().enumerate() {
        let (mute, sink) = (derived.clone(), derived.clone());
        let muted = input.subscribe(move |event| match event {
            TrackEvent::Mute | TrackEvent::Unmute => mute.follow_mute(),
            TrackEvent::Ended => {}
        });
        let tie = input.add_sink(Arc::new(Input {
            number,
            derived: sink,
        }));
        ties.add(tie, muted);
    }
    track
}

struct Derived<D> {
    derivation: D,
    source: OnceLock<WeakMediaSource>,
    /// Inputs that have not ended.
    left: AtomicUsize,
    /// They hold on to this through their sinks, until the ties are cut.
    inputs: Vec<MediaStreamTrack>,
    ties: Ties,
}

impl<D> Derived<D> {
    fn source(&self) -> Option<MediaSource> {
        self.source.get()?.upgrade()
    }

    fn follow_mute(&self) {
        if let Some(source) = self.source() {
            source.set_muted(self.inputs.iter().all(MediaStreamTrack::muted));
        }
    }
}

struct Input<D> {
    number: usize,
    derived: Arc<Derived<D>>,
}

impl<D: Derivation> Sink for Input<D> {
    fn accept(&self, frame: &Frame) {
        if let Some(source) = self.derived.source() {
            let hand_on = |frame: &Frame| source.publish(frame);
            self.derived.derivation.take(self.number, frame, &hand_on);
        }
    }

    fn ended(&self) {
        if self.derived.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        if let Some(source) = self.derived.source() {
            source.end();
        }
        self.derived.ties.cut();
    }
}

/// What ties a derived source to its inputs, until its last track is stopped.
#[derive(Clone, Default)]
struct Ties(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    ties: Vec<(SinkHandle, Subscription)>,
    cut: bool,
}

impl Ties {
    fn add(&self, sink: SinkHandle, muted: Subscription) {
        let mut state = self.0.lock();
        if state.cut {
            drop(state);
            drop((sink, muted));
        } else {
            state.ties.push((sink, muted));
        }
    }
}

impl Ties {
    fn cut(&self) {
        let mut state = self.0.lock();
        state.cut = true;
        let ties = std::mem::take(&mut state.ties);
        drop(state);
        // Not under the lock: an input that goes with its sink may call back.
        drop(ties);
    }
}

impl SourceControl for Ties {
    fn stop(&self) {
        self.cut();
    }
}
