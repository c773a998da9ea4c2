//! What stands between a device's thread that makes pictures of one size and rate, and the tracks
//! that were promised another.

use crate::convert::Scaler;
use crate::pacing::Stop;
use duet_media::{
    I420Buffer, MediaSource, MediaTime, MediaTrackCapabilities, MediaTrackSettings, Pool, Range,
    ReconfigureError, SourceControl, VideoFrame,
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Shared by a video device's thread and the control of its source.
#[derive(Debug)]
pub(crate) struct VideoControl {
    pub(crate) stop: Stop,
    native: Native,
    settings: Mutex<MediaTrackSettings>,
}

/// What a device delivers by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Native {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) frame_rate: f64,
}

impl Native {
    /// Scaled down and thinned out anything is possible; up, nothing.
    pub(crate) fn capabilities(&self) -> MediaTrackCapabilities {
        MediaTrackCapabilities {
            width: Some(Range {
                min: 1,
                max: self.width,
            }),
            height: Some(Range {
                min: 1,
                max: self.height,
            }),
            frame_rate: Some(Range {
                min: 0.0,
                max: self.frame_rate,
            }),
            ..Default::default()
        }
    }

    /// The nearest to what is wanted that can be delivered. Where only one side of the picture is
    /// wanted, the other keeps the proportions.
    pub(crate) fn reach(&self, wanted: &MediaTrackSettings) -> MediaTrackSettings {
        let keep = |side: u32, own: u32, other: u32| {
            let scaled = u64::from(side) * u64::from(other) / u64::from(own.max(1));
            (scaled as u32).max(1)
        };
        let width = wanted.width.map(|w| w.clamp(1, self.width));
        let height = wanted.height.map(|h| h.clamp(1, self.height));
        let (width, height) = match (width, height) {
            (Some(width), Some(height)) => (width, height),
            (Some(width), None) => (width, keep(width, self.width, self.height)),
            (None, Some(height)) => (keep(height, self.height, self.width), height),
            (None, None) => (self.width, self.height),
        };
        let frame_rate = wanted.frame_rate.filter(|rate| rate.is_finite());
        MediaTrackSettings {
            width: Some(width),
            height: Some(height),
            frame_rate: Some(frame_rate.map_or(self.frame_rate, |rate| {
                rate.clamp(0.0, self.frame_rate.max(0.0))
            })),
            ..Default::default()
        }
    }
}

impl VideoControl {
    /// For a device that delivers `native`; `wanted` is reached as nearly as can be.
    pub(crate) fn new(
        native: Native,
        wanted: &MediaTrackSettings,
        device_id: String,
        group_id: Option<String>,
    ) -> Arc<Self> {
        let settings = MediaTrackSettings {
            device_id: Some(device_id),
            group_id,
            ..native.reach(wanted)
        };
        Arc::new(VideoControl {
            stop: Stop::default(),
            native,
            settings: Mutex::new(settings),
        })
    }

    pub(crate) fn settings(&self) -> MediaTrackSettings {
        self.settings.lock().clone()
    }

    pub(crate) fn capabilities(&self) -> MediaTrackCapabilities {
        let settings = self.settings();
        MediaTrackCapabilities {
            device_id: settings.device_id,
            group_id: settings.group_id,
            ..self.native.capabilities()
        }
    }
}

/// A handle to a [`VideoControl`] for its source.
pub(crate) struct SharedVideoControl(pub(crate) Arc<VideoControl>);

impl SourceControl for SharedVideoControl {
    fn stop(&self) {
        self.0.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let mut settings = self.0.settings.lock();
        let reached = self.0.native.reach(wanted);
        *settings = MediaTrackSettings {
            device_id: settings.device_id.take(),
            group_id: settings.group_id.take(),
            ..reached
        };
        Ok(settings.clone())
    }
}

/// Scales and thins out a device's pictures as the control says, and publishes them.
pub(crate) struct Outlet {
    source: MediaSource,
    control: Arc<VideoControl>,
    scaler: Scaler,
    pool: Pool<I420Buffer>,
    due: Option<MediaTime>,
}

impl Outlet {
    /// Scaled pictures on their way that need no new allocation.
    const POOLED: usize = 6;

    pub(crate) fn new(source: MediaSource, control: Arc<VideoControl>) -> Self {
        Outlet {
            source,
            control,
            scaler: Scaler::new(),
            pool: Pool::new(Self::POOLED),
            due: None,
        }
    }

    /// Publishes a picture of the device's, unless its time is too near to the last one's.
    pub(crate) fn publish(&mut self, picture: Arc<I420Buffer>, time: MediaTime) {
        let settings = self.control.settings();
        if !self.is_due(time, settings.frame_rate.unwrap_or(0.0)) {
            return;
        }
        let size = (
            settings.width.unwrap_or(picture.width()),
            settings.height.unwrap_or(picture.height()),
        );
        let picture = match size == (picture.width(), picture.height()) {
            true => picture,
            false => {
                let scaled = self
                    .pool
                    .try_fill(|to| self.scaler.scale(&picture, size.0, size.1, to));
                match scaled {
                    Ok(scaled) => scaled,
                    // Both sizes were checked when they were set.
                    Err(_) => return,
                }
            }
        };
        self.source.publish(&VideoFrame::new(picture, time).into());
    }

    /// Thins out to `rate`, with the mean right and no frame more than a native one early. A rate of
    /// zero lets nothing through.
    fn is_due(&mut self, time: MediaTime, rate: f64) -> bool {
        let native = self.control.native.frame_rate;
        if rate >= native {
            self.due = None;
            return true;
        }
        if rate <= 0.0 {
            return false;
        }
        let interval = (1e9 / rate) as i64;
        let half_native = (0.5e9 / native.max(1.0)) as i64;
        match self.due {
            Some(due) if time.nanos_since(due) < -half_native => false,
            Some(due) if time.nanos_since(due) < interval => {
                self.due = Some(due.offset_by(interval));
                true
            }
            _ => {
                self.due = Some(time.offset_by(interval));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::{Frame, FrameQueue, MediaKind};

    const NATIVE: Native = Native {
        width: 1280,
        height: 720,
        frame_rate: 30.0,
    };

    fn wanted(width: Option<u32>, height: Option<u32>, rate: Option<f64>) -> MediaTrackSettings {
        MediaTrackSettings {
            width,
            height,
            frame_rate: rate,
            ..Default::default()
        }
    }

    #[test]
    fn one_side_keeps_the_proportions_and_nothing_grows() {
        let size = |width, height| {
            let reached = NATIVE.reach(&wanted(width, height, None));
            (reached.width.unwrap(), reached.height.unwrap())
        };
        assert_eq!(size(None, None), (1280, 720));
        assert_eq!(size(Some(640), None), (640, 360));
        assert_eq!(size(None, Some(1)), (1, 1));
        assert_eq!(size(Some(500), Some(500)), (500, 500));
        assert_eq!(size(Some(4_000), Some(0)), (1280, 1));
        let rate = |rate| NATIVE.reach(&wanted(None, None, Some(rate))).frame_rate;
        assert_eq!(rate(f64::NAN), Some(30.0));
        assert_eq!(rate(60.0), Some(30.0));
        assert_eq!(rate(7.5), Some(7.5));
    }

    #[test]
    fn pictures_are_scaled_and_thinned_out_and_settings_change_on_the_way() {
        let control = VideoControl::new(
            NATIVE,
            &wanted(Some(640), None, Some(10.0)),
            "x".into(),
            None,
        );
        let shared = SharedVideoControl(control.clone());
        let source = MediaSource::new(
            MediaKind::Video,
            "test",
            control.settings(),
            control.capabilities(),
            SharedVideoControl(control.clone()),
        );
        let track = source.create_track();
        let queue = Arc::new(FrameQueue::new(100));
        let _sink = track.add_sink(queue.clone());
        let mut outlet = Outlet::new(source, control);
        let picture = Arc::new(I420Buffer::new(1280, 720));
        let mut second = |start: i64| {
            for n in 0..30 {
                // Device times jitter by a few milliseconds.
                let time = start * 1_000 + n * 1_000 / 30 + n % 3;
                outlet.publish(picture.clone(), MediaTime::from_millis(time));
            }
            let frames = std::iter::from_fn(|| queue.try_pop());
            let sizes: Vec<_> = frames
                .map(|frame| match frame {
                    Frame::Video(frame) => (frame.width(), frame.height()),
                    Frame::Audio(_) => (0, 0),
                })
                .collect();
            sizes
        };
        assert_eq!(second(0), [(640, 360); 10]);
        let reached = shared.reconfigure(&wanted(None, None, Some(20.0))).unwrap();
        assert_eq!(reached.device_id.as_deref(), Some("x"));
        assert_eq!(second(1), [(1280, 720); 20]);
        shared.reconfigure(&wanted(None, None, None)).unwrap();
        assert_eq!(second(2).len(), 30);
        shared.reconfigure(&wanted(None, None, Some(0.0))).unwrap();
        assert_eq!(second(3).len(), 0);
    }
}
