//! The thread that grabs, and the track that it feeds.

use super::DisplaySurface;
use super::x11::{Grabbed, Grabber};
use crate::GetUserMediaError;
use crate::convert;
use crate::media_devices::choice::constrained;
use crate::pacing::Stop;
use duet_media::{
    Clock, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTrackCapabilities,
    MediaTrackConstraints, MediaTrackSettings, Pool, Range, ReconfigureError, SourceControl,
    VideoFrame,
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
    let control = Arc::new(Control {
        stop: Stop::default(),
        rate: Mutex::new(RATES[0]),
    });
    let worker = Worker {
        id: surface.id.clone(),
        size,
        source: MediaSource::new(
            MediaKind::Video,
            surface.label.clone(),
            settings(&surface.id, size, RATES[0]),
            capabilities(&surface.id, size),
            SharedControl(control.clone()),
        ),
        control,
        grabber,
        clock,
    };
    worker.source.set_modes(modes(&surface.id, size));
    let track = worker.source.create_track();
    std::thread::Builder::new()
        .name("display".into())
        .spawn(move || worker.run())
        .map_err(|e| GetUserMediaError::Abort(format!("no thread for {}: {e}", surface.label)))?;
    constrained(track, constraints)
}

fn settings(id: &str, (width, height): (u32, u32), rate: f64) -> MediaTrackSettings {
    MediaTrackSettings {
        width: Some(width),
        height: Some(height),
        frame_rate: Some(rate),
        device_id: Some(id.to_owned()),
        ..Default::default()
    }
}

fn modes(id: &str, size: (u32, u32)) -> Vec<MediaTrackSettings> {
    let modes = RATES.iter().map(|rate| settings(id, size, *rate));
    modes.collect()
}

fn capabilities(id: &str, (width, height): (u32, u32)) -> MediaTrackCapabilities {
    let from_one = |max| Some(Range { min: 1, max });
    MediaTrackCapabilities {
        width: from_one(width),
        height: from_one(height),
        frame_rate: Some(Range {
            min: 0.0,
            max: 60.0,
        }),
        device_id: Some(id.to_owned()),
        ..Default::default()
    }
}

struct Control {
    stop: Stop,
    /// Grabs a second.
    rate: Mutex<f64>,
}

struct SharedControl(Arc<Control>);

impl SourceControl for SharedControl {
    fn stop(&self) {
        self.0.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let rate = wanted.frame_rate.unwrap_or(RATES[0]).clamp(1.0, 60.0);
        *self.0.rate.lock() = rate;
        Ok(MediaTrackSettings {
            frame_rate: Some(rate),
            ..wanted.clone()
        })
    }
}

struct Worker {
    id: String,
    size: (u32, u32),
    source: MediaSource,
    control: Arc<Control>,
    grabber: Grabber,
    clock: Arc<dyn Clock>,
}

impl Drop for Worker {
    /// Ends the tracks however the thread ends. Where they were stopped it changes nothing.
    fn drop(&mut self) {
        self.source.end();
    }
}

impl Worker {
    /// Pictures on their way that need no new allocation.
    const POOLED: usize = 6;

    fn run(mut self) {
        let pool = Pool::<I420Buffer>::new(Self::POOLED);
        let mut due = self.clock.now();
        while self.control.stop.sleep_until(&*self.clock, due) {
            let now = self.clock.now();
            let interval = Duration::from_secs_f64(1.0 / *self.control.rate.lock());
            // What was missed is left out.
            due = (due + interval).max(now);
            let Grabbed {
                width,
                height,
                pixels,
            } = match self.grabber.grab() {
                Ok(Some(grabbed)) => grabbed,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(%error, surface = self.id, "nothing is left to show");
                    return;
                }
            };
            let size = (width, height);
            let picture = pool.try_fill(|to| convert::from_bgrx(pixels, width, height, to));
            if std::mem::replace(&mut self.size, size) != size {
                let rate = *self.control.rate.lock();
                self.source.set_settings(settings(&self.id, size, rate));
                self.source.set_modes(modes(&self.id, size));
            }
            if let Ok(picture) = picture {
                self.source.publish(&VideoFrame::new(picture, now).into());
            }
        }
    }
}
