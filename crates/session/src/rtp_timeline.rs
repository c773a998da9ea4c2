//! The remote side's RTP clock of one stream: when, by its wall clock, was this captured; and when,
//! by ours, would it have come had the network not delayed it.
//!
//! Not a playout policy: see [`PlayoutScheduler`](crate::PlayoutScheduler). Not a measure of the
//! difference between two machines' wall clocks: it compares one machine's streams with each other.

use std::time::Duration;

use duet_media::MediaTime;

use crate::{ClockRate, NtpTime, TimestampUnwrapper};

/// Maps one remote stream's RTP timestamps to the remote wall clock (by its
/// [sender reports](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1)) and to our arrival times.
///
/// Timestamps are unwrapped against the newest seen; a stream whose timestamps jump by over
/// [`MAX_JUMP`](Self::MAX_JUMP) is measured anew.
#[derive(Clone, Debug)]
pub struct RtpTimeline {
    rate: ClockRate,
    unwrapper: TimestampUnwrapper,
    report: Option<(NtpTime, i64)>,
    /// Smallest seen `arrival - timestamp`, in nanoseconds, of this window and of the one before.
    base: Option<Base>,
}

#[derive(Clone, Copy, Debug)]
struct Base {
    window_start: MediaTime,
    current: i64,
    previous: i64,
    newest: (i64, MediaTime),
}

impl RtpTimeline {
    /// A timestamp this far from where the stream was, by our clock, starts a new timeline.
    pub const MAX_JUMP: Duration = Duration::from_secs(10);
    /// The base is the smallest of this long, up to twice this long.
    const WINDOW: Duration = Duration::from_secs(10);

    /// A timeline that knows nothing yet.
    pub fn new(rate: ClockRate) -> Self {
        RtpTimeline {
            rate,
            unwrapper: TimestampUnwrapper::new(),
            report: None,
            base: None,
        }
    }

    /// The stream's clock rate.
    pub fn rate(&self) -> ClockRate {
        self.rate
    }

    /// A sender report said that at `ntp` the stream's clock showed `timestamp`. A report whose NTP
    /// time is zero says nothing (the sender has no wall clock) and is passed over.
    pub fn on_sender_report(&mut self, ntp: NtpTime, timestamp: u32) {
        if ntp.0 != 0 {
            self.report = Some((ntp, self.unwrapper.peek(timestamp)));
        }
    }

    /// A packet came, or a frame was complete, whichever the caller follows. Returns the timestamp
    /// unwrapped.
    pub fn on_arrival(&mut self, timestamp: u32, arrival: MediaTime) -> i64 {
        if self.jumped(timestamp, arrival) {
            self.unwrapper.reset();
            self.base = None;
            self.report = None;
        }
        let ticks = self.unwrapper.unwrap(timestamp);
        let offset = arrival.as_nanos().saturating_sub(self.rate.nanos(ticks));
        self.base = Some(match self.base {
            None => Base {
                window_start: arrival,
                current: offset,
                previous: offset,
                newest: (ticks, arrival),
            },
            Some(base) => {
                let turn = arrival.saturating_since(base.window_start) >= Self::WINDOW;
                Base {
                    window_start: if turn { arrival } else { base.window_start },
                    current: if turn {
                        offset
                    } else {
                        base.current.min(offset)
                    },
                    previous: if turn { base.current } else { base.previous },
                    newest: base.newest.max((ticks, arrival)),
                }
            }
        });
        ticks
    }

    /// The remote wall clock, as time since the Unix epoch, when the stream's clock showed
    /// `timestamp`. `None` before the first sender report.
    pub fn remote_time(&self, timestamp: u32) -> Option<Duration> {
        let (ntp, reported) = self.report?;
        let ticks = self.unwrapper.peek(timestamp).saturating_sub(reported);
        let nanos = self.rate.nanos(ticks);
        let unix = ntp.to_unix();
        let distance = Duration::from_nanos(nanos.unsigned_abs());
        if nanos < 0 {
            unix.checked_sub(distance)
        } else {
            unix.checked_add(distance)
        }
    }

    /// When, by our clock, a packet of `timestamp` comes if it takes as little time as the fastest of
    /// the last 10 to 20 s. `None` before the first arrival.
    pub fn expected_arrival(&self, timestamp: u32) -> Option<MediaTime> {
        let base = self.base?;
        let nanos = self.rate.nanos(self.unwrapper.peek(timestamp));
        Some(MediaTime::from_nanos(
            nanos.saturating_add(base.current.min(base.previous)),
        ))
    }

    /// Whether a sender report came, so that [`remote_time`](Self::remote_time) has an answer.
    pub fn has_report(&self) -> bool {
        self.report.is_some()
    }

    fn jumped(&self, timestamp: u32, arrival: MediaTime) -> bool {
        let Some(base) = self.base else { return false };
        let (ticks, at) = base.newest;
        let media = self.rate.nanos(self.unwrapper.peek(timestamp) - ticks);
        let real = arrival.nanos_since(at);
        media.abs_diff(real) > Self::MAX_JUMP.as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNIX: Duration = Duration::from_secs(1_700_000_000);

    #[test]
    fn sender_reports_tell_when_a_frame_was_captured() {
        let mut timeline = RtpTimeline::new(ClockRate::VIDEO);
        timeline.on_arrival(u32::MAX - 2_999, MediaTime::ZERO);
        assert_eq!(timeline.remote_time(0), None);
        timeline.on_sender_report(NtpTime::from_unix(UNIX), u32::MAX - 89_999);
        assert_eq!(timeline.remote_time(0), Some(UNIX + Duration::from_secs(1)));
        let before = timeline.remote_time(u32::MAX - 179_999);
        assert_eq!(before, Some(UNIX - Duration::from_secs(1)));
        timeline.on_sender_report(NtpTime(0), 5);
        assert_eq!(timeline.remote_time(0), Some(UNIX + Duration::from_secs(1)));
    }

    #[test]
    fn the_fastest_packet_sets_the_base_and_is_forgotten() {
        let mut timeline = RtpTimeline::new(ClockRate::VIDEO);
        let mut expected = |n: i64, delay: i64| {
            let arrival = MediaTime::from_millis(n * 100 + delay);
            timeline.on_arrival((n * 9_000) as u32, arrival);
            timeline
                .expected_arrival((n * 9_000) as u32)
                .unwrap()
                .as_millis()
                - n * 100
        };
        assert_eq!(expected(0, 30), 30);
        assert_eq!(expected(1, 20), 20);
        assert_eq!(expected(2, 70), 20);
        for n in 3..203 {
            let base = expected(n, 40);
            // For ten seconds at least, for twenty at most.
            assert!(if n < 100 {
                base == 20
            } else {
                base == 20 || base == 40
            });
        }
        assert_eq!(expected(203, 40), 40);
        assert_eq!(expected(204, 30), 30);
        for n in 205..310 {
            assert_eq!(expected(n, 45), 30);
        }
    }

    #[test]
    fn a_jump_starts_a_new_timeline() {
        let mut timeline = RtpTimeline::new(ClockRate::VIDEO);
        timeline.on_arrival(0, MediaTime::ZERO);
        timeline.on_sender_report(NtpTime::from_unix(UNIX), 0);
        timeline.on_arrival(1_000_000_000, MediaTime::from_millis(33));
        assert!(!timeline.has_report());
        let expected = timeline.expected_arrival(1_000_003_000).unwrap();
        assert_eq!(expected.as_millis(), 66);
    }

    proptest! {
        #[test]
        fn nothing_panics(rate in 1u32.., events in prop::collection::vec((any::<u32>(), any::<i64>(), any::<u64>()), 0..50)) {
            let mut timeline = RtpTimeline::new(ClockRate::new(rate).unwrap());
            for (timestamp, time, ntp) in events {
                timeline.on_arrival(timestamp, MediaTime::from_nanos(time));
                timeline.on_sender_report(NtpTime(ntp), timestamp.wrapping_mul(7));
                timeline.remote_time(timestamp.wrapping_add(9));
                timeline.expected_arrival(timestamp.wrapping_sub(9));
            }
        }
    }
}
