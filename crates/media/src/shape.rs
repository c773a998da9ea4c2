//! From a source's pictures to those of a track that was promised fewer, or smaller ones:
//! `resizeMode` "crop-and-scale".
//!
//! What it is not: it never makes a picture larger, never stretches one and never makes one up.

use crate::{I420Buffer, MediaTime, MediaTrackSettings, Pool, VideoFrame, VideoResizeMode};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Lets through at most so many frames a second, evenly, by their capture times: of 30 frames a second
/// every second one to make 15, five of six to make 25.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    due: Option<MediaTime>,
}

impl Pace {
    /// `frame_rate` frames a second; `None` unless that is a positive number.
    pub fn new(frame_rate: f64) -> Option<Self> {
        let interval = Duration::try_from_secs_f64(1.0 / frame_rate).ok()?;
        (!interval.is_zero() && frame_rate > 0.0).then_some(Pace {
            interval,
            due: None,
        })
    }

    /// Whether the frame that was captured at `time` is let through. To be asked once for each.
    pub fn admit(&mut self, time: MediaTime) -> bool {
        // Cameras jitter: a frame a little early is the one that is meant.
        let early = self.interval / 8;
        let in_step = match self.due {
            // A clock that went far back begins anew.
            Some(due) if time + early < due && due.saturating_since(time) <= 2 * self.interval => {
                return false;
            }
            Some(due) if time + 2 * self.interval > due && time < due + self.interval => due,
            _ => time,
        };
        self.due = Some(in_step + self.interval);
        true
    }
}

/// Cuts pictures to a shape and makes them smaller.
pub struct CropScaler {
    resizer: Resizer,
    /// Capacity: pictures on their way that need no new allocation.
    pool: Pool<I420Buffer>,
}

impl CropScaler {
    /// A scaler that reuses up to six pictures.
    pub fn new() -> Self {
        CropScaler {
            resizer: Resizer::new(),
            pool: Pool::new(6),
        }
    }

    /// The middle of `picture` that has the shape of `width` by `height`, in that size. A side that is
    /// longer than the picture's becomes the picture's own; a picture that has the size already is
    /// returned as it is. `None` if either has no pixels.
    pub fn scale(
        &mut self,
        picture: &Arc<I420Buffer>,
        width: u32,
        height: u32,
    ) -> Option<Arc<I420Buffer>> {
        let full = (picture.width(), picture.height());
        let size = (width.min(full.0), height.min(full.1));
        if size.0 == 0 || size.1 == 0 {
            return None;
        }
        if size == full {
            return Some(picture.clone());
        }
        let CropScaler { resizer, pool } = self;
        pool.try_fill(|to| resize(resizer, picture, to, size)).ok()
    }
}

impl Default for CropScaler {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CropScaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CropScaler").finish_non_exhaustive()
    }
}

/// What a track makes of its source's pictures.
#[derive(Debug)]
pub(crate) struct Shape {
    size: Option<(u32, u32)>,
    pace: Option<Pace>,
    scaler: CropScaler,
}

impl Shape {
    /// `None` for settings that are the source's own.
    pub(crate) fn of(settings: &MediaTrackSettings) -> Option<Self> {
        (settings.resize_mode == Some(VideoResizeMode::CropAndScale)).then(|| Shape {
            size: settings.width.zip(settings.height),
            pace: settings.frame_rate.and_then(Pace::new),
            scaler: CropScaler::new(),
        })
    }

    /// Whether the track shows the frame of that time. To be asked once for each.
    pub(crate) fn admit(&mut self, time: MediaTime) -> bool {
        self.pace.as_mut().is_none_or(|pace| pace.admit(time))
    }

    /// The size in which the track shows a picture of `full` size.
    pub(crate) fn size(&self, full: (u32, u32)) -> (u32, u32) {
        self.size
            .map_or(full, |(w, h)| (w.min(full.0), h.min(full.1)))
    }

    /// The track's picture of the source's.
    pub(crate) fn scale(&mut self, frame: &VideoFrame) -> Option<VideoFrame> {
        let (width, height) = self.size((frame.width(), frame.height()));
        let buffer = self.scaler.scale(&frame.buffer, width, height)?;
        Some(VideoFrame::new(buffer, frame.capture_time))
    }
}

fn resize(
    resizer: &mut Resizer,
    from: &I420Buffer,
    to: &mut I420Buffer,
    (width, height): (u32, u32),
) -> Result<(), Unscalable> {
    to.resize(width, height);
    let (from_chroma, to_chroma) = (
        (from.chroma_width(), from.chroma_height()),
        (to.chroma_width(), to.chroma_height()),
    );
    let crop = Crop::of((from.width(), from.height()), (width, height));
    let (y, u, v) = to.planes_mut();
    for (from, from_size, to, to_size, crop) in [
        (
            from.y(),
            (from.width(), from.height()),
            y,
            (width, height),
            crop,
        ),
        (
            from.u(),
            from_chroma,
            u,
            to_chroma,
            crop.halved(from_chroma),
        ),
        (
            from.v(),
            from_chroma,
            v,
            to_chroma,
            crop.halved(from_chroma),
        ),
    ] {
        let from = TypedImageRef::<U8>::from_buffer(from_size.0, from_size.1, from)
            .map_err(|_| Unscalable)?;
        let mut to =
            TypedImage::<U8>::from_buffer(to_size.0, to_size.1, to).map_err(|_| Unscalable)?;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .use_alpha(false)
            .crop(crop.left, crop.top, crop.width, crop.height);
        resizer
            .resize_typed(&from, &mut to, &options)
            .map_err(|_| Unscalable)?;
    }
    Ok(())
}

/// A buffer and its size disagree.
#[derive(Debug)]
struct Unscalable;

/// The part of a plane that is used, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Crop {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Crop {
    /// The largest middle part of `full` that has the shape of `size`.
    fn of(full: (u32, u32), size: (u32, u32)) -> Self {
        let scale = |side: u32, other: u32| u64::from(side) * u64::from(other);
        let (across, down) = (scale(full.0, size.1), scale(full.1, size.0));
        // As wide or as high as it is, but for the rounding to whole pixels.
        let (mut width, mut height) = (f64::from(full.0), f64::from(full.1));
        if across.abs_diff(down) > u64::from(full.0.max(full.1)) {
            if across > down {
                width = down as f64 / f64::from(size.1);
            } else {
                height = across as f64 / f64::from(size.0);
            }
        }
        // From an even pixel on, so that the colours stay where they belong.
        let margin = |full: u32, part: f64| ((f64::from(full) - part) / 4.0).floor() * 2.0;
        Crop {
            left: margin(full.0, width),
            top: margin(full.1, height),
            width,
            height,
        }
    }

    /// The same in a plane of half the size, which rounds up.
    fn halved(self, plane: (u32, u32)) -> Self {
        let (left, top) = (self.left / 2.0, self.top / 2.0);
        // A whole side, odd or not, is the plane's whole side.
        let side = |start: f64, part: f64, full: u32| {
            let half = if start == 0.0 {
                (part / 2.0).ceil()
            } else {
                part / 2.0
            };
            half.min(f64::from(full) - start)
        };
        Crop {
            left,
            top,
            width: side(left, self.width, plane.0),
            height: side(top, self.height, plane.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rate: f64, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut pace = Pace::new(rate).unwrap();
        times
            .filter(|micros| pace.admit(MediaTime::from_micros(*micros)))
            .collect()
    }

    #[test]
    fn frames_are_left_out_evenly_whatever_the_camera_jitters() {
        let thirty = |n: i64| n * 1_000_000 / 30;
        assert_eq!(admitted(15.0, (0..8).map(thirty)).len(), 4);
        for (rate, of_300) in [
            (30.0, 300),
            (25.0, 250),
            (20.0, 200),
            (10.0, 100),
            (7.5, 75),
            (1.0, 10),
            (60.0, 300),
        ] {
            let steady = admitted(rate, (0..300).map(thirty)).len();
            let jittery =
                admitted(rate, (0..300).map(|n| thirty(n) + (n * 7919 % 7 - 3) * 900)).len();
            assert!(steady.abs_diff(of_300) <= 1, "{rate}: {steady}");
            assert!(
                jittery.abs_diff(of_300) <= 3,
                "{rate}: {jittery} when jittery"
            );
        }
        for nonsense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Pace::new(nonsense).is_none());
        }
    }

    #[test]
    fn a_pause_or_a_clock_set_back_does_not_stop_the_flow() {
        let pause = admitted(10.0, (0..10).chain(60..70).map(|n| n * 100_000));
        assert_eq!(pause.len(), 20);
        let set_back = admitted(
            10.0,
            (0..10)
                .map(|n| n * 100_000 + 5_000_000)
                .chain((0..10).map(|n| n * 100_000)),
        );
        assert_eq!(set_back.len(), 20);
    }

    /// A picture that is a ramp from left to right, its chroma too.
    fn ramp(width: u32, height: u32) -> Arc<I420Buffer> {
        let mut picture = I420Buffer::new(width, height);
        let (w, cw) = (width as usize, picture.chroma_width() as usize);
        let (y, u, v) = picture.planes_mut();
        for (at, luma) in y.iter_mut().enumerate() {
            *luma = (at % w * 255 / w) as u8;
        }
        for plane in [u, v] {
            for (at, chroma) in plane.iter_mut().enumerate() {
                *chroma = (at % cw * 255 / cw) as u8;
            }
        }
        Arc::new(picture)
    }

    #[test]
    fn the_middle_is_kept_and_nothing_is_stretched() {
        let mut scaler = CropScaler::new();
        // 16:9 to 4:3: an eighth is cut off on either side.
        let square = scaler.scale(&ramp(1280, 720), 320, 240).unwrap();
        let row = &square.y()[120 * 320..121 * 320];
        assert!(
            row[0].abs_diff(31) <= 2 && row[319].abs_diff(223) <= 2,
            "{row:?}"
        );
        let chroma = &square.u()[60 * 160..61 * 160];
        assert!(chroma[0].abs_diff(31) <= 2 && chroma[159].abs_diff(223) <= 2);
        // The same shape: all of it.
        let small = scaler.scale(&ramp(1280, 720), 320, 180).unwrap();
        assert!(small.y()[0] <= 2 && small.y()[319] >= 253);
    }

    #[test]
    fn no_size_is_too_odd_and_nothing_grows() {
        let mut scaler = CropScaler::new();
        for (width, height) in [
            (1, 1),
            (3, 1),
            (1, 99),
            (101, 99),
            (33, 57),
            (100, 100),
            (5_000, 7),
        ] {
            let small = scaler.scale(&ramp(101, 99), width, height).unwrap();
            assert_eq!(
                (small.width(), small.height()),
                (width.min(101), height.min(99))
            );
        }
        let same = ramp(64, 48);
        assert!(Arc::ptr_eq(&scaler.scale(&same, 64, 48).unwrap(), &same));
        assert!(scaler.scale(&same, 0, 48).is_none());
        assert!(
            scaler
                .scale(&Arc::new(I420Buffer::default()), 64, 48)
                .is_none()
        );
    }
}
