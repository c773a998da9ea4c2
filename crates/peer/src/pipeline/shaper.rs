//! From the source's pictures to those that an encoder is to get: fewer, and smaller.
//!
//! Not concerned with other encoders of the same track, which may want the same size: that is
//! [`scaled`](super::scaled)'s business.

use super::VideoSendSettings;
use super::scaled::{ScaledSource, Wish};
use duet_media::{I420Buffer, MediaTime, VideoFrame};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use std::sync::Arc;
use std::time::Duration;

/// Drops pictures above the frame rate and scales down the rest.
pub(super) struct Shaper {
    pace: Pace,
    wish: Wish,
}

impl Shaper {
    pub(super) fn new(settings: &VideoSendSettings, source: &Arc<ScaledSource>) -> Self {
        Shaper {
            pace: Pace::new(settings.max_frame_rate),
            wish: source.wish(settings.scale_resolution_down_by),
        }
    }

    /// Takes on other settings.
    pub(super) fn set(&mut self, settings: &VideoSendSettings) {
        self.pace.set(settings.max_frame_rate);
        self.wish.set(settings.scale_resolution_down_by);
    }

    /// Whether a picture of that time is wanted; ask once for each.
    pub(super) fn admit(&mut self, capture_time: MediaTime) -> bool {
        self.pace.admit(capture_time)
    }

    /// The picture in the size in which it is sent. `None` for a picture that has no pixels.
    pub(super) fn shape(&self, frame: &VideoFrame) -> Option<VideoFrame> {
        self.wish.picture(frame)
    }

    /// The size in which a picture of that size is sent.
    pub(super) fn shaped(&self, size: (u32, u32)) -> (u32, u32) {
        self.wish.size(size)
    }
}

/// Scales each plane on its own. Not cropped: aspect ratios differ by the rounding at most.
pub(super) fn resize(
    resizer: &mut Resizer,
    from: &I420Buffer,
    to: &mut I420Buffer,
    width: u32,
    height: u32,
) -> Result<(), Unscalable> {
    to.resize(width, height);
    let luma = ((from.width(), from.height()), (width, height));
    let chroma = (
        (from.chroma_width(), from.chroma_height()),
        (to.chroma_width(), to.chroma_height()),
    );
    let (y, u, v) = to.planes_mut();
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .use_alpha(false);
    for ((from_size, to_size), from, to) in [
        (luma, from.y(), y),
        (chroma, from.u(), u),
        (chroma, from.v(), v),
    ] {
        let from = TypedImageRef::<U8>::from_buffer(from_size.0, from_size.1, from)
            .map_err(|_| Unscalable)?;
        let mut to =
            TypedImage::<U8>::from_buffer(to_size.0, to_size.1, to).map_err(|_| Unscalable)?;
        resizer
            .resize_typed(&from, &mut to, &options)
            .map_err(|_| Unscalable)?;
    }
    Ok(())
}

/// A buffer and its size disagree.
pub(super) struct Unscalable;

/// Lets through at most so many pictures a second, evenly.
struct Pace {
    interval: Option<Duration>,
    due: Option<MediaTime>,
}

impl Pace {
    fn new(rate: Option<f64>) -> Self {
        let mut pace = Pace {
            interval: None,
            due: None,
        };
        pace.set(rate);
        pace
    }

    fn set(&mut self, rate: Option<f64>) {
        let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
        // A rate of less than one in an hour is one in an hour.
        self.interval = rate.map(|rate| Duration::from_secs_f64((1.0 / rate).min(3_600.0)));
    }

    fn admit(&mut self, time: MediaTime) -> bool {
        let Some(interval) = self.interval else {
            return true;
        };
        // A camera's frames jitter: one that is a little early is not to wait for the next.
        let slack = interval / 8;
        match self.due {
            Some(due) if time + slack < due && due.saturating_since(time) <= 2 * interval => false,
            // In step with the last one while the source keeps up, so that 30 to 20 is two of three.
            Some(due) if time.saturating_since(due) < interval => {
                self.due = Some(due + interval);
                true
            }
            _ => {
                self.due = Some(time + interval);
                true
            }
        }
    }
}

/// Measures a frame rate.
pub(super) struct RateMeter {
    last: Option<MediaTime>,
    interval: f64,
}

impl RateMeter {
    /// Believes in `rate` frames a second until it knows better.
    pub(super) fn new(rate: f64) -> Self {
        RateMeter {
            last: None,
            interval: 1.0 / rate.clamp(1.0, 240.0),
        }
    }

    pub(super) fn observe(&mut self, time: MediaTime) {
        if let Some(last) = self.last {
            // A pause is no frame rate.
            let gap = time
                .saturating_since(last)
                .as_secs_f64()
                .clamp(1.0 / 240.0, 1.0);
            self.interval += (gap - self.interval) / 16.0;
        }
        self.last = Some(time);
    }

    /// Frames a second, 1 to 240.
    pub(super) fn rate(&self) -> f64 {
        (1.0 / self.interval).clamp(1.0, 240.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(scale: f64, rate: Option<f64>) -> VideoSendSettings {
        VideoSendSettings {
            scale_resolution_down_by: scale,
            max_frame_rate: rate,
            ..Default::default()
        }
    }

    fn shaper(scale: f64, rate: Option<f64>) -> Shaper {
        Shaper::new(&settings(scale, rate), &Arc::default())
    }

    fn admitted(rate: f64, frames: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut shaper = shaper(1.0, Some(rate));
        frames
            .filter(|millis| shaper.admit(MediaTime::from_millis(*millis)))
            .collect()
    }

    #[test]
    fn thirty_become_fifteen_and_twenty_evenly() {
        let source = || (0..30).map(|n| n * 1_000 / 30);
        assert_eq!(admitted(15.0, source()).len(), 15);
        assert_eq!(admitted(20.0, source()).len(), 20);
        assert_eq!(admitted(30.0, source()).len(), 30);
        assert_eq!(admitted(60.0, source()).len(), 30);
        let gaps: Vec<_> = admitted(15.0, source())
            .windows(2)
            .map(|w| w[1] - w[0])
            .collect();
        assert!(gaps.iter().all(|gap| (66..=67).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn a_clock_that_jumps_stops_nothing() {
        assert_eq!(
            admitted(10.0, [100_000, 0, 100, 200].into_iter()),
            [100_000, 0, 100, 200]
        );
        assert_eq!(admitted(f64::NAN, 0..5).len(), 5);
    }

    #[test]
    fn scaling_keeps_the_picture() {
        let mut picture = I420Buffer::new(64, 48);
        let (y, u, v) = picture.planes_mut();
        for (at, luma) in y.iter_mut().enumerate() {
            *luma = if at % 64 < 32 { 50 } else { 200 };
        }
        u.fill(90);
        v.fill(160);
        let frame = VideoFrame::new(Arc::new(picture), MediaTime::ZERO);
        let shaper = shaper(2.0, None);
        let small = shaper.shape(&frame).unwrap();
        assert_eq!((small.width(), small.height()), (32, 24));
        assert_eq!((small.buffer.y()[2], small.buffer.y()[29]), (50, 200));
        assert!(small.buffer.u().iter().all(|&c| c == 90));
        assert!(small.buffer.v().iter().all(|&c| c == 160));
    }

    #[test]
    fn unscaled_pictures_are_not_copied_and_empty_ones_not_sent() {
        let shaper = shaper(0.5, None);
        let frame = VideoFrame::new(Arc::new(I420Buffer::new(65, 49)), MediaTime::ZERO);
        let same = shaper.shape(&frame).unwrap();
        assert!(Arc::ptr_eq(&frame.buffer, &same.buffer));
        let empty = VideoFrame::new(Arc::new(I420Buffer::new(0, 10)), MediaTime::ZERO);
        assert!(shaper.shape(&empty).is_none());
    }

    #[test]
    fn the_meter_follows_and_forgives_a_pause() {
        let mut meter = RateMeter::new(30.0);
        for n in 0..100 {
            meter.observe(MediaTime::from_millis(n * 100));
        }
        assert!((9.5..10.6).contains(&meter.rate()), "{}", meter.rate());
        meter.observe(MediaTime::from_millis(1_000_000));
        assert!(meter.rate() > 4.0);
    }
}
