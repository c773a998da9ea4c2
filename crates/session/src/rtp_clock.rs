//! From the time at which something was captured to the timestamp that its packets carry.
//!
//! Not the remote side's clock: see [`RtpTimeline`](crate::RtpTimeline) for that.

use duet_media::MediaTime;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Ticks a second of an RTP clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClockRate(u32);

impl ClockRate {
    /// 90 kHz, every video format's ([RFC 7741](https://www.rfc-editor.org/rfc/rfc7741#section-6.1) for VP8).
    pub const VIDEO: ClockRate = ClockRate(90_000);
    /// 48 kHz, Opus's whatever it samples at ([RFC 7587](https://www.rfc-editor.org/rfc/rfc7587#section-4.1)).
    pub const OPUS: ClockRate = ClockRate(48_000);

    /// A rate of `hz` ticks a second; `None` for zero.
    pub const fn new(hz: u32) -> Option<Self> {
        if hz == 0 { None } else { Some(ClockRate(hz)) }
    }

    /// Ticks a second.
    pub const fn hz(self) -> u32 {
        self.0
    }

    /// Whole ticks in `nanos` nanoseconds, rounded down.
    pub const fn ticks(self, nanos: i64) -> i64 {
        // An i64 times a u32 fits; the quotient is smaller than `nanos * 4.3`, which may not.
        saturate((nanos as i128 * self.0 as i128).div_euclid(NANOS_PER_SECOND))
    }

    /// Nanoseconds that `ticks` ticks take, rounded down.
    pub const fn nanos(self, ticks: i64) -> i64 {
        saturate((ticks as i128 * NANOS_PER_SECOND).div_euclid(self.0 as i128))
    }
}

const fn saturate(wide: i128) -> i64 {
    if wide > i64::MAX as i128 {
        i64::MAX
    } else if wide < i64::MIN as i128 {
        i64::MIN
    } else {
        wide as i64
    }
}

/// The sender's clock of one RTP stream.
///
/// Every timestamp is multiplied from the clock's origin, so that rounding never adds up: frames
/// 33.333 ms apart are 3,000 ticks apart on average, for ever.
#[derive(Clone, Debug)]
pub struct RtpClock {
    rate: ClockRate,
    offset: u32,
    /// The last stamp given, in ticks from the origin.
    last: Option<i64>,
    /// The first tick after the last sound stamped, and how far the count of samples lags behind the
    /// clock, smoothed, in ticks.
    samples: Option<(i64, f64)>,
}

impl RtpClock {
    /// How far (in seconds) a block of sound may be from where the count, and its drift against the
    /// clock so far, say that it is.
    const MAX_SAMPLE_GAP: f64 = 0.1;

    /// A clock of `rate` whose origin has the timestamp `offset`, which should be random
    /// ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550#section-5.1)).
    pub fn new(rate: ClockRate, offset: u32) -> Self {
        RtpClock {
            rate,
            offset,
            last: None,
            samples: None,
        }
    }

    /// The clock's rate.
    pub fn rate(&self) -> ClockRate {
        self.rate
    }

    /// The timestamp of a picture captured at `capture_time`. Each is later than the one before: a
    /// capture time that stands still or goes back gets the next tick.
    pub fn stamp(&mut self, capture_time: MediaTime) -> u32 {
        let exact = self.rate.ticks(capture_time.as_nanos());
        self.give(exact)
    }

    /// The timestamp of a block of `samples` ticks of sound whose first was captured at
    /// `capture_time`.
    ///
    /// Sound is continuous: blocks that follow one another get timestamps that do, however unevenly
    /// the device hands them over, and however far its own clock has run off. When a block is over
    /// 100 ms from where it should be by that (the device was reopened, the track was silent), there is
    /// a pause in the timestamps too.
    pub fn stamp_samples(&mut self, capture_time: MediaTime, samples: u32) -> u32 {
        let exact = self.rate.ticks(capture_time.as_nanos());
        let limit = Self::MAX_SAMPLE_GAP * f64::from(self.rate.hz());
        let (start, lag) = match self.samples {
            Some((next, lag)) => {
                let off = exact.saturating_sub(next) as f64 - lag;
                if off.abs() <= limit {
                    (next, lag + off / 64.0)
                } else {
                    // As far off the clock as before, but never back over what was sent.
                    let start = exact.saturating_sub(lag.round() as i64).max(next);
                    (start, exact.saturating_sub(start) as f64)
                }
            }
            None => (exact, 0.0),
        };
        self.samples = Some((start.saturating_add(i64::from(samples)), lag));
        self.give(start)
    }

    /// The timestamp that the stream's clock shows at `time`: what a
    /// [sender report](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1) made then says.
    pub fn timestamp_at(&self, time: MediaTime) -> u32 {
        let lag = self.samples.map_or(0.0, |(_, lag)| lag);
        self.wire(
            self.rate
                .ticks(time.as_nanos())
                .saturating_sub(lag.round() as i64),
        )
    }

    fn give(&mut self, ticks: i64) -> u32 {
        let ticks = self
            .last
            .map_or(ticks, |last| ticks.max(last.saturating_add(1)));
        self.last = Some(ticks);
        self.wire(ticks)
    }

    fn wire(&self, ticks: i64) -> u32 {
        self.offset.wrapping_add(ticks as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn thirds_of_a_second_do_not_drift() {
        let mut clock = RtpClock::new(ClockRate::VIDEO, 0);
        // An hour at 30 a second, each capture time rounded down to the nanosecond.
        let frames = 30 * 3_600i64;
        for n in 0..=frames {
            let stamp = clock.stamp(MediaTime::from_nanos(n * 1_000_000_000 / 30));
            assert!(stamp.abs_diff((n * 3_000) as u32) <= 1);
        }
    }

    #[test]
    fn sound_is_continuous_however_it_is_handed_over() {
        let mut clock = RtpClock::new(ClockRate::OPUS, 7);
        let first = clock.stamp_samples(MediaTime::from_millis(1_000), 480);
        assert_eq!(first, 48_007);
        let second = clock.stamp_samples(MediaTime::from_millis(1_017), 480);
        assert_eq!(second, first + 480);
        let after_silence = clock.stamp_samples(MediaTime::from_millis(3_000), 480);
        // But for the beginning of the drift that 7 ms may be the beginning of.
        assert!(
            after_silence.abs_diff(3_000 * 48 + 7) <= 6,
            "{after_silence}"
        );
    }

    #[test]
    fn a_report_follows_the_sound_card_not_the_clock() {
        // The card runs 200 ppm slow: after 100 s it is 20 ms behind.
        let mut clock = RtpClock::new(ClockRate::OPUS, 0);
        let (mut time, mut stamp) = (MediaTime::ZERO, 0);
        for _ in 0..10_000 {
            stamp = clock.stamp_samples(time, 480);
            time += Duration::from_nanos(10_002_000);
        }
        let expected = stamp.wrapping_add(480);
        let error = clock.timestamp_at(time).abs_diff(expected);
        assert!(error < 48, "{error} ticks");
        assert!(clock.rate().ticks(time.as_nanos()) - i64::from(expected) > 900);
    }

    #[test]
    fn a_sound_card_that_runs_off_for_hours_leaves_no_gap() {
        for ppm in [-300_i64, 300] {
            let mut clock = RtpClock::new(ClockRate::OPUS, 0);
            let (mut time, mut expected) = (MediaTime::ZERO, 0_u32);
            // Four hours in blocks of 20 ms.
            for _ in 0..4 * 3_600 * 50 {
                assert_eq!(clock.stamp_samples(time, 960), expected);
                expected = expected.wrapping_add(960);
                time += Duration::from_nanos((20_000_000 + 20 * ppm).unsigned_abs());
            }
            // 4.3 s off the clock: a pause is as long as it is all the same.
            time += Duration::from_secs(2);
            let gap = clock.stamp_samples(time, 960).wrapping_sub(expected);
            assert!(gap.abs_diff(96_000) < 48, "{ppm}: {gap}");
        }
    }

    proptest! {
        #[test]
        fn timestamps_only_advance(offset in any::<u32>(), times in prop::collection::vec(-1_000_000_000i64..100_000_000_000, 1..100)) {
            let mut clock = RtpClock::new(ClockRate::VIDEO, offset);
            let mut last = None;
            for time in times {
                let stamp = clock.stamp(MediaTime::from_nanos(time));
                if let Some(last) = last {
                    prop_assert!(stamp.wrapping_sub(last) as i32 > 0);
                }
                last = Some(stamp);
            }
        }

        #[test]
        fn ticks_and_nanoseconds_agree(ticks in -1_000_000_000_000i64..1_000_000_000_000) {
            prop_assert!((ClockRate::VIDEO.ticks(ClockRate::VIDEO.nanos(ticks)) - ticks).abs() <= 1);
        }

        #[test]
        fn nothing_panics(rate in 1u32.., time in any::<i64>(), samples in any::<u32>(), again in any::<i64>()) {
            let mut clock = RtpClock::new(ClockRate::new(rate).unwrap(), 0);
            for time in [time, again].map(MediaTime::from_nanos) {
                clock.stamp(time);
                clock.stamp_samples(time, samples);
                clock.timestamp_at(time);
            }
        }
    }
}
