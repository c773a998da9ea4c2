//! Time as a value. Nothing else in this crate reads a clock: whoever captures, sends or plays a
//! frame passes the time in.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time, in nanoseconds since its [`Clock`]'s origin.
///
/// Monotonic: it does not jump when the wall clock is set. Times of different clocks do not compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The clock's origin.
    pub const ZERO: MediaTime = MediaTime(0);

    /// `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: i64) -> Self {
        MediaTime(nanos)
    }

    /// `micros` microseconds after the origin.
    pub const fn from_micros(micros: i64) -> Self {
        MediaTime(micros * 1_000)
    }

    /// `millis` milliseconds after the origin.
    pub const fn from_millis(millis: i64) -> Self {
        MediaTime(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole microseconds since the origin, rounded down.
    pub const fn as_micros(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole milliseconds since the origin, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the origin.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_since(self, earlier: MediaTime) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Signed distance from `other` to this, in nanoseconds.
    pub const fn nanos_since(self, other: MediaTime) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// Moved by a signed number of nanoseconds.
    #[must_use]
    pub const fn offset_by(self, nanos: i64) -> MediaTime {
        MediaTime(self.0.saturating_add(nanos))
    }
}

impl fmt::Debug for MediaTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Add<Duration> for MediaTime {
    type Output = MediaTime;
    fn add(self, rhs: Duration) -> MediaTime {
        self.offset_by(nanos(rhs))
    }
}

impl AddAssign<Duration> for MediaTime {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for MediaTime {
    type Output = MediaTime;
    fn sub(self, rhs: Duration) -> MediaTime {
        self.offset_by(-nanos(rhs))
    }
}

/// Something that tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now. Never goes back.
    fn now(&self) -> MediaTime;

    /// The wall clock's reading at `time`, as time since the Unix epoch. Constant offset: what
    /// sender reports and stamps that other processes read are made of.
    fn unix_time(&self, time: MediaTime) -> Duration;

    /// The media time at which the wall clock read `unix`.
    #[allow(
        clippy::wrong_self_convention,
        reason = "the inverse of `unix_time`, by this clock"
    )]
    fn from_unix_time(&self, unix: Duration) -> MediaTime {
        let origin = self.unix_time(MediaTime::ZERO);
        MediaTime::from_nanos(nanos(unix).saturating_sub(nanos(origin)))
    }
}

/// The machine's monotonic clock. Its origin is the moment of its making, at which it notes the wall
/// clock once.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    origin: Instant,
    unix_origin: Duration,
}

impl MonotonicClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        MonotonicClock {
            origin: Instant::now(),
            unix_origin: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// The media time of a moment that `std::time::Instant` measured.
    pub fn at(&self, instant: Instant) -> MediaTime {
        match instant.checked_duration_since(self.origin) {
            Some(after) => MediaTime::ZERO + after,
            None => MediaTime::ZERO - self.origin.duration_since(instant),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> MediaTime {
        self.at(Instant::now())
    }

    fn unix_time(&self, time: MediaTime) -> Duration {
        let nanos = nanos(self.unix_origin).saturating_add(time.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

/// A clock that a test moves by hand. Its wall clock starts at 2020-01-01 00:00 UTC.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    const UNIX_ORIGIN: i64 = 1_577_836_800_000_000_000;

    /// A clock that reads `now`.
    pub fn new(now: MediaTime) -> Self {
        ManualClock(AtomicI64::new(now.as_nanos()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(nanos(by), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> MediaTime {
        MediaTime::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn unix_time(&self, time: MediaTime) -> Duration {
        let nanos = Self::UNIX_ORIGIN.saturating_add(time.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_and_media_time_are_inverse() {
        let clock = ManualClock::new(MediaTime::from_millis(1_500));
        let time = clock.now();
        assert_eq!(clock.from_unix_time(clock.unix_time(time)), time);
        let clock = MonotonicClock::new();
        let time = clock.now();
        assert_eq!(clock.from_unix_time(clock.unix_time(time)), time);
    }

    #[test]
    fn differences_saturate() {
        let (early, late) = (MediaTime::from_millis(1), MediaTime::from_millis(3));
        assert_eq!(late.saturating_since(early), Duration::from_millis(2));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(early.nanos_since(late), -2_000_000);
    }
}
