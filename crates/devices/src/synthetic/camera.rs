//! The synthetic camera.

use super::Painter;
use crate::pacing::Stop;
use crate::worker;
use duet_media::{
    Clock, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, Pool, Range, ReconfigureError, SourceControl, VideoFacingMode, VideoFrame,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How a [`SyntheticCamera`] works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyntheticCameraConfig {
    /// Width in pixels, 1 to 3,840. The marks can be read from 40 on.
    pub width: u32,
    /// Height in pixels, 1 to 2,160. The marks can be read from 18 on.
    pub height: u32,
    /// Frames a second, 1 to 120.
    pub frame_rate: f64,
    /// How long after the whole second the second's first frame is due. Two cameras of one machine
    /// share its processors better when they do not work at the same moment.
    pub phase: Duration,
}

impl Default for SyntheticCameraConfig {
    /// 1280x720, 30 a second, on the second.
    fn default() -> Self {
        SyntheticCameraConfig {
            width: 1280,
            height: 720,
            frame_rate: 30.0,
            phase: Duration::ZERO,
        }
    }
}

impl SyntheticCameraConfig {
    const MAX_WIDTH: u32 = 3840;
    const MAX_HEIGHT: u32 = 2160;
    const MAX_FRAME_RATE: f64 = 120.0;

    /// The nearest configuration within the documented ranges.
    fn clamped(self) -> Self {
        let frame_rate = match self.frame_rate.is_finite() {
            true => self.frame_rate.clamp(1.0, Self::MAX_FRAME_RATE),
            false => Self::default().frame_rate,
        };
        SyntheticCameraConfig {
            width: self.width.clamp(1, Self::MAX_WIDTH),
            height: self.height.clamp(1, Self::MAX_HEIGHT),
            frame_rate,
            phase: self.phase,
        }
    }

    /// As near to `wanted` as can be.
    pub(crate) fn with(self, wanted: &MediaTrackSettings) -> Self {
        SyntheticCameraConfig {
            width: wanted.width.unwrap_or(self.width),
            height: wanted.height.unwrap_or(self.height),
            frame_rate: wanted.frame_rate.unwrap_or(self.frame_rate),
            ..self
        }
        .clamped()
    }

    pub(crate) fn settings(&self) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(self.width),
            height: Some(self.height),
            frame_rate: Some(self.frame_rate),
            device_id: Some(SyntheticCamera::DEVICE_ID.into()),
            group_id: Some(SyntheticCamera::GROUP_ID.into()),
            facing_mode: Some(VideoFacingMode::User),
            ..Default::default()
        }
    }
}

/// A camera whose pictures move, carry [`Marks`](super::Marks) and flash with the first frame of each
/// second.
///
/// It works on a thread of its own by an absolute schedule: frame times are the clock's, evenly
/// spaced from the whole second (plus [`phase`](SyntheticCameraConfig::phase)), so that late waking
/// does not add up. A frame's capture time is its scheduled time. Where the machine cannot keep up,
/// frames are left out and the frame numbers stay consecutive.
#[derive(Debug)]
pub struct SyntheticCamera;

impl SyntheticCamera {
    /// What its tracks have for a device id.
    pub const DEVICE_ID: &'static str = "synthetic-camera";
    /// Shared with the synthetic microphone.
    pub const GROUP_ID: &'static str = "synthetic";
    /// Its name.
    pub const LABEL: &'static str = "Synthetic camera";

    /// Starts a camera; it stops with its last track. A configuration out of range is brought into
    /// it. The track is ended from the start if the system gives no thread.
    pub fn start(config: SyntheticCameraConfig, clock: Arc<dyn Clock>) -> MediaStreamTrack {
        let config = config.clamped();
        let control = Arc::new(Control {
            stop: Stop::default(),
            config: Mutex::new(config),
        });
        let source = MediaSource::new(
            MediaKind::Video,
            Self::LABEL,
            config.settings(),
            Self::capabilities(),
            control.clone(),
        );
        let track = source.create_track();
        let worker = Worker {
            source: source.clone(),
            control,
            clock,
        };
        // Without a thread it has ended.
        let _ = worker::spawn("synth-camera", &source, move || worker.run());
        track
    }

    /// What it can be set to.
    pub fn capabilities() -> MediaTrackCapabilities {
        MediaTrackCapabilities {
            width: Some(Range {
                min: 1,
                max: SyntheticCameraConfig::MAX_WIDTH,
            }),
            height: Some(Range {
                min: 1,
                max: SyntheticCameraConfig::MAX_HEIGHT,
            }),
            frame_rate: Some(Range {
                min: 1.0,
                max: SyntheticCameraConfig::MAX_FRAME_RATE,
            }),
            device_id: Some(Self::DEVICE_ID.into()),
            group_id: Some(Self::GROUP_ID.into()),
            facing_mode: vec![VideoFacingMode::User],
            ..Default::default()
        }
    }
}

struct Control {
    stop: Stop,
    config: Mutex<SyntheticCameraConfig>,
}

impl SourceControl for Control {
    fn stop(&self) {
        self.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let mut config = self.config.lock();
        *config = config.with(wanted);
        Ok(config.settings())
    }
}

struct Worker {
    source: MediaSource,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    /// Pictures that may be on their way at once without a new allocation: one in each of a few
    /// sinks, and one that is being painted.
    const POOLED: usize = 6;

    fn run(self) {
        let pool = Pool::<I420Buffer>::new(Self::POOLED);
        let mut config = *self.control.config.lock();
        let mut painter = Painter::new(config.width, config.height);
        let mut grid = Grid::new(&config, &*self.clock);
        for frame_number in 0.. {
            let wanted = *self.control.config.lock();
            if wanted != config {
                config = wanted;
                painter = Painter::new(config.width, config.height);
                grid = Grid::new(&config, &*self.clock);
            }
            let (time, flash) = grid.next(self.clock.now());
            if !self.control.stop.sleep_until(&*self.clock, time) {
                return;
            }
            let unix = self.clock.unix_time(time);
            let picture = pool.fill(|p| painter.paint(frame_number, unix, flash, p));
            self.source.publish(&VideoFrame::new(picture, time).into());
        }
    }
}

/// The times at which frames are due.
struct Grid {
    /// A whole second of the wall clock, plus the phase.
    start: MediaTime,
    interval_nanos: f64,
    next: u64,
}

impl Grid {
    fn new(config: &SyntheticCameraConfig, clock: &dyn Clock) -> Self {
        let second = Duration::from_secs(clock.unix_time(clock.now()).as_secs());
        Grid {
            start: clock.from_unix_time(second) + config.phase,
            interval_nanos: 1e9 / config.frame_rate,
            next: 0,
        }
    }

    /// The next frame's time and whether it is its second's first. Times that are over already when
    /// `now` is past the next one, too, are left out.
    fn next(&mut self, now: MediaTime) -> (MediaTime, bool) {
        while self.time(self.next + 1) <= now {
            let behind = now.nanos_since(self.time(self.next + 1)) as f64 / self.interval_nanos;
            self.next += 1 + behind as u64;
        }
        let n = self.next;
        self.next += 1;
        let flash = n == 0 || self.second(n) != self.second(n - 1);
        (self.time(n), flash)
    }

    fn time(&self, n: u64) -> MediaTime {
        self.start
            .offset_by((n as f64 * self.interval_nanos).round() as i64)
    }

    /// Seconds since the start, the phase aside: with a phase of 10 ms, the frame at 10 ms begins one.
    fn second(&self, n: u64) -> i64 {
        self.time(n).nanos_since(self.start) / 1_000_000_000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::marks;
    use duet_media::{Frame, FrameQueue, ManualClock, MonotonicClock, TrackState};

    fn video(frame: Frame) -> VideoFrame {
        match frame {
            Frame::Video(frame) => frame,
            Frame::Audio(_) => panic!("sound from a camera"),
        }
    }

    #[test]
    fn frames_are_evenly_spaced_and_numbered_and_flash_on_the_second() {
        let clock = Arc::new(MonotonicClock::new());
        let config = SyntheticCameraConfig {
            width: 160,
            height: 90,
            frame_rate: 25.0,
            phase: Duration::ZERO,
        };
        let track = SyntheticCamera::start(config, clock.clone());
        let queue = Arc::new(FrameQueue::new(8));
        let _sink = track.add_sink(queue.clone());
        let mut last: Option<(u32, MediaTime)> = None;
        let mut flashes = 0;
        for _ in 0..30 {
            let frame = video(queue.pop_timeout(Duration::from_secs(10)).unwrap());
            let marks = marks::read(&frame.buffer).unwrap();
            let unix = clock.unix_time(frame.capture_time);
            assert_eq!(marks.unix_ms, unix.as_millis() as u32);
            assert_eq!(marks.flash, unix.subsec_millis() == 0, "{unix:?}");
            flashes += u32::from(marks.flash);
            if let Some((number, time)) = last {
                assert_eq!(marks.frame_number, number + 1);
                let gap = frame.capture_time.nanos_since(time);
                assert_eq!(gap % 40_000_000, 0, "off the grid");
            }
            last = Some((marks.frame_number, frame.capture_time));
        }
        assert!((1..=2).contains(&flashes) || queue.overwritten() > 0);
        track.stop();
        while queue.try_pop().is_some() {}
        assert!(queue.is_ended());
    }

    #[test]
    fn it_takes_on_other_settings_while_it_runs() {
        let control = Arc::new(Control {
            stop: Stop::default(),
            config: Mutex::new(SyntheticCameraConfig::default()),
        });
        let wanted = MediaTrackSettings {
            width: Some(320),
            height: Some(180),
            frame_rate: Some(500.0),
            ..Default::default()
        };
        let reached = control.reconfigure(&wanted).unwrap();
        assert_eq!((reached.width, reached.height), (Some(320), Some(180)));
        assert_eq!(reached.frame_rate, Some(120.0));
        assert_eq!(control.config.lock().settings(), reached);
    }

    #[test]
    fn the_grid_leaves_out_what_is_over() {
        let clock = ManualClock::new(MediaTime::from_millis(250));
        let config = SyntheticCameraConfig {
            frame_rate: 10.0,
            phase: Duration::from_millis(20),
            ..Default::default()
        };
        let mut grid = Grid::new(&config, &clock);
        let millis = |(time, flash): (MediaTime, bool)| (time.as_millis(), flash);
        assert_eq!(millis(grid.next(clock.now())), (220, false));
        assert_eq!(millis(grid.next(clock.now())), (320, false));
        clock.advance(Duration::from_millis(600));
        assert_eq!(millis(grid.next(clock.now())), (820, false));
        assert_eq!(millis(grid.next(clock.now())), (920, false));
        assert_eq!(millis(grid.next(clock.now())), (1020, true));
        assert_eq!(millis(grid.next(clock.now())), (1120, false));
    }

    #[test]
    fn odd_rates_flash_once_a_second() {
        let clock = ManualClock::new(MediaTime::ZERO);
        let config = SyntheticCameraConfig {
            frame_rate: 30_000.0 / 1_001.0,
            ..Default::default()
        };
        let mut grid = Grid::new(&config, &clock);
        let flashes = (0..2_997).filter(|_| grid.next(MediaTime::ZERO).1).count();
        assert_eq!(flashes, 100);
    }

    #[test]
    fn nonsense_is_brought_into_range() {
        let clock = Arc::new(MonotonicClock::new());
        let config = SyntheticCameraConfig {
            width: 0,
            height: u32::MAX,
            frame_rate: f64::NAN,
            phase: Duration::ZERO,
        };
        let track = SyntheticCamera::start(config, clock);
        let settings = track.get_settings();
        assert_eq!((settings.width, settings.height), (Some(1), Some(2160)));
        assert_eq!(settings.frame_rate, Some(30.0));
        assert_eq!(track.ready_state(), TrackState::Live);
    }
}
