//! The thread that grabs, and the track that it feeds.

use super::x11::{Grabbed, Grabber};
use super::{DisplayCaptureSurfaceType, DisplaySurface};
use crate::GetUserMediaError;
use crate::convert;
use crate::media_devices::choice::constrained;
use crate::pacing::Stop;
use crate::worker;
use duet_media::{
    Clock, CursorCaptureConstraint, I420Buffer, MediaKind, MediaSource, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackConstraints, MediaTrackSettings, Pool, Range,
    ReconfigureError, SourceControl, VideoFrame,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Grabs a second: one of these.
const RATES: [f64; 5] = [30.0, 60.0, 15.0, 5.0, 1.0];

/// A track of what `grabber` grabs.
pub(crate) fn start(
    surface: &DisplaySurface,
    grabber: Grabber,
    constraints: &MediaTrackConstraints,
    clock: Arc<dyn Clock>,
) -> Result<MediaStreamTrack, GetUserMediaError> {
    let size = (surface.width, surface.height);
    let facts = Facts {
        id: surface.id.clone(),
        kind: surface.kind,
        is_logical: grabber.is_logical(),
        cursors: grabber.cursors(),
    };
    let control = Arc::new(Control {
        stop: Stop::default(),
        wanted: Mutex::new((RATES[0], facts.cursors[0])),
    });
    let worker = Worker {
        size,
        source: MediaSource::new(
            MediaKind::Video,
            surface.label.clone(),
            facts.settings(size, RATES[0], facts.cursors[0]),
            facts.capabilities(size),
            control.clone(),
        ),
        facts,
        control,
        grabber,
        clock,
    };
    worker.source.set_modes(worker.facts.modes(size));
    let track = worker.source.create_track();
    let source = worker.source.clone();
    worker::spawn("display", &source, move || worker.run())
        .map_err(|e| GetUserMediaError::Abort(format!("no thread for {}: {e}", surface.label)))?;
    constrained(track, constraints)
}

/// What does not change of a surface.
struct Facts {
    id: String,
    kind: DisplayCaptureSurfaceType,
    /// Whether it is shown as if nothing lay over it.
    is_logical: bool,
    /// What can be done with the pointer: one thing at least, the usual first.
    cursors: Vec<CursorCaptureConstraint>,
}

impl Facts {
    fn settings(
        &self,
        (width, height): (u32, u32),
        rate: f64,
        cursor: CursorCaptureConstraint,
    ) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(width),
            height: Some(height),
            frame_rate: Some(rate),
            device_id: Some(self.id.clone()),
            display_surface: Some(self.kind),
            logical_surface: Some(self.is_logical),
            cursor: Some(cursor),
            ..Default::default()
        }
    }

    fn modes(&self, size: (u32, u32)) -> Vec<MediaTrackSettings> {
        let modes = RATES.iter();
        modes
            .map(|rate| self.settings(size, *rate, self.cursors[0]))
            .collect()
    }

    /// As [they are defined for screens](https://w3c.github.io/mediacapture-screen-share/#constrainable-properties-for-captured-display-surfaces):
    /// there is one shape, for nothing is cropped.
    fn capabilities(&self, size: (u32, u32)) -> MediaTrackCapabilities {
        let from_one = |max| Some(Range { min: 1, max });
        let ratio = self
            .settings(size, RATES[0], self.cursors[0])
            .aspect_ratio();
        MediaTrackCapabilities {
            width: from_one(size.0),
            height: from_one(size.1),
            aspect_ratio: ratio.map(|only| Range {
                min: only,
                max: only,
            }),
            frame_rate: Some(Range {
                min: 0.0,
                max: 60.0,
            }),
            device_id: Some(self.id.clone()),
            display_surface: Some(self.kind),
            logical_surface: Some(self.is_logical),
            cursor: self.cursors.clone(),
            ..Default::default()
        }
    }
}

struct Control {
    stop: Stop,
    /// Grabs a second, and whether the pointer is in them.
    wanted: Mutex<(f64, CursorCaptureConstraint)>,
}

impl SourceControl for Control {
    fn stop(&self) {
        self.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let rate = wanted.frame_rate.unwrap_or(RATES[0]).clamp(1.0, 60.0);
        let mut now = self.wanted.lock();
        *now = (rate, wanted.cursor.unwrap_or(now.1));
        Ok(MediaTrackSettings {
            frame_rate: Some(rate),
            cursor: Some(now.1),
            ..wanted.clone()
        })
    }
}

struct Worker {
    facts: Facts,
    size: (u32, u32),
    source: MediaSource,
    control: Arc<Control>,
    grabber: Grabber,
    clock: Arc<dyn Clock>,
}

impl Worker {
    /// Pictures on their way that need no new allocation.
    const POOLED: usize = 6;
    /// So many grabs in a row that show nothing are no accident: a window that changes its size has one or two.
    const GONE: u32 = 4;

    fn run(mut self) {
        let pool = Pool::<I420Buffer>::new(Self::POOLED);
        let mut due = self.clock.now();
        let mut nothing = 0;
        while self.control.stop.sleep_until(&*self.clock, due) {
            let now = self.clock.now();
            let (rate, cursor) = *self.control.wanted.lock();
            let interval = Duration::from_secs_f64(1.0 / rate);
            self.grabber.show_cursor(cursor);
            // What was missed is left out.
            due = (due + interval).max(now);
            let Grabbed {
                width,
                height,
                pixels,
            } = match self.grabber.grab() {
                Ok(Some(grabbed)) => grabbed,
                // Minimised, say: https://w3c.github.io/mediacapture-screen-share/#closed-and-minimized-display-surfaces
                Ok(None) => {
                    nothing += 1;
                    if nothing == Self::GONE {
                        self.source.set_muted(true);
                    }
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, surface = self.facts.id, "nothing is left to show");
                    return;
                }
            };
            if std::mem::take(&mut nothing) >= Self::GONE {
                self.source.set_muted(false);
            }
            let size = (width, height);
            let picture = pool.try_fill(|to| convert::from_bgrx(pixels, width, height, to));
            if std::mem::replace(&mut self.size, size) != size {
                self.source.set_modes(self.facts.modes(size));
                self.source.set_capabilities(self.facts.capabilities(size));
                self.source
                    .set_settings(self.facts.settings(size, rate, cursor));
            }
            if let Ok(picture) = picture {
                self.source.publish(&VideoFrame::new(picture, now).into());
            }
        }
    }
}
