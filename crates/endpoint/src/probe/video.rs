//! Reading back the picture.

use super::likeness::{COMPARED, Likeness, Original};
use super::{record_ms, time_histogram};
use duet_devices::synthetic::marks;
use duet_media::{Clock, Frame, MediaTime, Sink, VideoFrame};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::sync::Arc;

/// A gap between pictures that a viewer notices, in milliseconds.
const FREEZE_MS: f64 = 200.0;
/// A stamp that is older than this, or from the future, is of another clock, in milliseconds.
const STRANGE_AGE_MS: i32 = 60_000;

/// A sink on a remote video track that shows the synthetic camera.
pub(crate) struct VideoProbe {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    likeness: Likeness,
}

struct Seen {
    first_at: Option<MediaTime>,
    last_at: Option<MediaTime>,
    numbers: Option<(u32, u32)>,
    size: (u32, u32),
    decoded: u64,
    unreadable: u64,
    ages: Histogram<u32>,
    freezes: u64,
    longest_gap_ms: f64,
    flashes: Vec<(u64, f64)>,
}

/// What a [`VideoProbe`] saw.
pub(crate) struct VideoFigures {
    pub(crate) first_at: Option<MediaTime>,
    pub(crate) last_at: Option<MediaTime>,
    pub(crate) size: (u32, u32),
    /// How many pictures were captured from the first to the last that was seen.
    pub(crate) captured: u64,
    pub(crate) decoded: u64,
    pub(crate) unreadable: u64,
    pub(crate) ages: Histogram<u32>,
    pub(crate) freezes: u64,
    pub(crate) longest_gap_ms: f64,
    pub(crate) psnr_db: Option<f64>,
    /// By second: the flash's delay in milliseconds.
    pub(crate) flashes: Vec<(u64, f64)>,
}

impl VideoProbe {
    pub(crate) fn new(clock: Arc<dyn Clock>, original: Original) -> Arc<Self> {
        Arc::new(VideoProbe {
            clock,
            seen: Mutex::new(Seen {
                first_at: None,
                last_at: None,
                numbers: None,
                size: (0, 0),
                decoded: 0,
                unreadable: 0,
                ages: time_histogram(),
                freezes: 0,
                longest_gap_ms: 0.0,
                flashes: Vec::new(),
            }),
            likeness: Likeness::start(original),
        })
    }

    /// How many pictures have been read so far.
    pub(crate) fn decoded(&self) -> u64 {
        self.seen.lock().decoded
    }

    /// The figures as they are now, once every picture that was put aside has been compared.
    pub(crate) fn figures(&self) -> VideoFigures {
        let psnr_db = self.likeness.median();
        let seen = self.seen.lock();
        VideoFigures {
            first_at: seen.first_at,
            last_at: seen.last_at,
            size: seen.size,
            captured: seen
                .numbers
                .map_or(0, |(first, last)| u64::from(last.wrapping_sub(first)) + 1),
            decoded: seen.decoded,
            unreadable: seen.unreadable,
            ages: seen.ages.clone(),
            freezes: seen.freezes,
            longest_gap_ms: seen.longest_gap_ms,
            psnr_db,
            flashes: seen.flashes.clone(),
        }
    }

    fn see(&self, frame: &VideoFrame) {
        let now = self.clock.now();
        let marks = marks::read(&frame.buffer);
        let mut seen = self.seen.lock();
        seen.size = (frame.width(), frame.height());
        let Some(marks) = marks else {
            seen.unreadable += 1;
            return;
        };
        match seen.numbers {
            // A picture is held on the screen by showing it again: it counts once.
            Some((_, last)) if last == marks.frame_number => return,
            // The camera was started anew.
            Some((_, last)) if marks.frame_number < last => {
                seen.numbers = Some((marks.frame_number, marks.frame_number));
                seen.decoded = 0;
            }
            Some((first, _)) => seen.numbers = Some((first, marks.frame_number)),
            None => seen.numbers = Some((marks.frame_number, marks.frame_number)),
        }
        seen.decoded += 1;
        seen.first_at.get_or_insert(now);
        if let Some(last_at) = seen.last_at.replace(now) {
            let gap_ms = now.saturating_since(last_at).as_secs_f64() * 1_000.0;
            seen.freezes += u64::from(gap_ms > FREEZE_MS);
            seen.longest_gap_ms = seen.longest_gap_ms.max(gap_ms);
        }
        let unix = self.clock.unix_time(now);
        if (-1..STRANGE_AGE_MS).contains(&marks.age_ms(unix)) {
            let captured = marks.unix_time(unix);
            let age_ms = unix.saturating_sub(captured).as_secs_f64() * 1_000.0;
            record_ms(&mut seen.ages, age_ms);
            // One a second is what the synthetic camera has; a stranger may send more.
            let second = captured.as_secs();
            if marks.flash && seen.flashes.last().is_none_or(|(last, _)| *last < second) {
                seen.flashes.push((second, age_ms));
            }
            if marks.frame_number.is_multiple_of(COMPARED) {
                self.likeness.compare(frame.buffer.clone(), marks, captured);
            }
        }
    }
}

impl Sink for VideoProbe {
    fn accept(&self, frame: &Frame) {
        if let Frame::Video(frame) = frame {
            self.see(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_devices::synthetic::render;
    use duet_media::{I420Buffer, ManualClock};
    use std::time::Duration;

    fn show(probe: &VideoProbe, clock: &ManualClock, number: u32, age: Duration) {
        let unix = clock.unix_time(clock.now()) - age;
        let mut picture = I420Buffer::default();
        render(number, unix, number == 30, 320, 180, &mut picture);
        probe.accept(&VideoFrame::new(Arc::new(picture), clock.now()).into());
    }

    #[test]
    fn losses_freezes_and_ages_are_counted() {
        let clock = Arc::new(ManualClock::new(MediaTime::from_millis(5_000)));
        let probe = VideoProbe::new(clock.clone(), Original::Painted);
        let age = Duration::from_millis(25);
        for number in (0..60).filter(|n| !(40..50).contains(n)) {
            show(&probe, &clock, number, age);
            let step = if number == 39 { 11 } else { 1 };
            clock.advance(Duration::from_millis(33) * step);
        }
        let figures = probe.figures();
        assert_eq!((figures.captured, figures.decoded), (60, 50));
        assert_eq!(figures.freezes, 1);
        assert!((figures.longest_gap_ms - 363.0).abs() < 1.0);
        let p50 = figures.ages.value_at_quantile(0.5);
        assert!((24_000..=26_100).contains(&p50), "{p50} us");
        assert_eq!(figures.flashes.len(), 1);
        assert!(figures.psnr_db.unwrap() > 60.0, "{:?}", figures.psnr_db);
    }

    #[test]
    fn a_picture_of_something_else_is_unreadable() {
        let clock = Arc::new(ManualClock::default());
        let probe = VideoProbe::new(clock.clone(), Original::Painted);
        let grey = Arc::new(I420Buffer::new(320, 180));
        probe.accept(&VideoFrame::new(grey, clock.now()).into());
        let figures = probe.figures();
        assert_eq!((figures.decoded, figures.unreadable), (0, 1));
    }
}
