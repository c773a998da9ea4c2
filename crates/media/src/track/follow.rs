//! How a track follows its source: what it makes of other settings, and of silence.

use super::{Configured, TrackShared};
use crate::configure;
use crate::shape::Shape;
use crate::sync::atomic::Ordering;
use crate::{MediaTrackConstraints, MediaTrackSettings, TrackEvent};
use std::time::Duration;

impl TrackShared {
    /// Serves its constraints from a source that will be set to `native`; returns what was in force, if
    /// that had to change.
    pub(super) fn prepare(&self, native: &MediaTrackSettings) -> Option<Configured> {
        let before = self.configured.lock().clone();
        let promised = before.settings.as_ref()?;
        if configure::serves(native, promised) {
            return None;
        }
        let constraints = before.constraints.clone();
        let chosen = configure::from_native(&self.source, native, &constraints).ok();
        let settings = Some(chosen?.0);
        self.configure(Configured {
            constraints,
            settings,
        });
        Some(before)
    }

    /// What it was promised, where the source is set to something else by now from which it can be
    /// served as well.
    pub(super) fn keep_promise(&self) {
        let settings = self.configured.lock().settings.clone();
        if settings.is_some_and(|promised| !configure::serves(&self.source.settings(), &promised)) {
            self.choose_anew();
        }
    }

    /// Chooses settings for the constraints from what the source delivers now. What cannot be met is
    /// left out of account until it can be.
    pub(crate) fn choose_anew(&self) {
        let constraints = self.configured.lock().constraints.clone();
        if constraints == MediaTrackConstraints::default() {
            return;
        }
        let settings = configure::served(&self.source, &constraints);
        let shape = settings.as_ref().and_then(Shape::of);
        let mut guard = self.configured.lock();
        if guard.constraints == constraints && guard.settings != settings {
            *self.shape.lock() = shape;
            guard.settings = settings;
        }
    }

    /// Brings the track's muted state to its source's, whoever else does the same at the same time.
    pub(crate) fn follow_mute(&self) {
        loop {
            let muted = self.source.muted.load(Ordering::Acquire);
            if !self.is_live() || self.muted.swap(muted, Ordering::AcqRel) == muted {
                return;
            }
            if muted {
                self.go_black();
            }
            self.events.dispatch(if muted {
                &TrackEvent::Mute
            } else {
                &TrackEvent::Unmute
            });
        }
    }

    /// A source that is muted may deliver nothing at all; its last picture must not stay on show.
    fn go_black(&self) {
        let last = self.blank.lock().last;
        if let Some((size, time)) = last {
            let sinks = self.sinks.lock().list.clone();
            let black = self.black(size, time + Duration::from_millis(1));
            for (_, sink) in sinks.iter() {
                sink.accept(&black);
            }
        }
    }
}
