//! What the other side says it got of a stream, as far as it can be so.
//!
//! Nobody can be kept from saying that it got nothing, and nothing but statistics believes it: what the path
//! carries, congestion control finds out by itself.

use duet_media::MediaTime;
use duet_session::ntp::round_trip;
use duet_session::{ClockRate, NtpTime};
use rtc::rtcp::reception_report::ReceptionReport;
use std::collections::VecDeque;
use std::time::Duration;

/// What the other side says it got of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemoteReport {
    pub(crate) arrival: MediaTime,
    /// By the numbers that it has seen and what it lost of them.
    pub(crate) packets_received: u64,
    pub(crate) packets_lost: i64,
    pub(crate) fraction_lost: f64,
    /// Seconds.
    pub(crate) jitter: f64,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) total_round_trip: Duration,
    pub(crate) round_trips: u64,
}

/// Which sequence numbers a stream has given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) first: u16,
    /// To so many packets.
    pub(super) made: u64,
    /// Of which so many left.
    pub(super) left: u64,
}

/// The reports on one stream, ours and theirs.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// As reports of the other side call ours. Capacity: [`KEPT`](Self::KEPT); the oldest is forgotten, and
    /// what answers it tells no round trip.
    sent: VecDeque<u32>,
    last: Option<RemoteReport>,
    /// The highest number of the last one.
    highest: Option<u32>,
}

impl Reports {
    /// One leaves each second: what waited for longer tells of a path that was.
    const KEPT: usize = 60;
    /// A stream's jitter beyond that is none (seconds).
    const MOST_JITTER: f64 = 10.0;

    /// A report of ours leaves.
    pub(super) fn sent(&mut self, ntp: NtpTime) {
        if self.sent.len() == Self::KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(ntp.middle());
    }

    pub(super) fn last(&self) -> Option<RemoteReport> {
        self.last
    }

    /// One of the other side's came. False if it cannot be so; what can be is believed all the same.
    pub(super) fn heard(
        &mut self,
        block: &ReceptionReport,
        numbers: Numbers,
        rate: ClockRate,
        ntp: NtpTime,
        arrival: MediaTime,
    ) -> bool {
        let mut believed = true;
        let mut believe = |so: bool| {
            believed &= so;
            so
        };
        let answers = block.last_sender_report;
        let round_trip = if answers == 0 {
            None
        } else if believe(self.sent.contains(&answers)) {
            let round_trip = round_trip(ntp, answers, block.delay);
            // It waited for no longer than since it was sent.
            believe(round_trip.is_some());
            round_trip
        } else {
            None
        };
        let made = i64::try_from(numbers.made).unwrap_or(i64::MAX);
        // 24 bits, signed: duplicates make it negative.
        let lost = i64::from(block.total_lost << 8).wrapping_shl(32) >> 40;
        let lost = if believe(lost <= made) { lost } else { made };
        let highest = block.last_sequence_number;
        let seen = highest.wrapping_sub(numbers.first.into()).wrapping_add(1);
        believe(i64::from(seen) <= made);
        let seen = i64::from(seen).min(numbers.left.cast_signed());
        // If all of fewer than 256 were lost, the highest number did not change.
        let advance = self
            .highest
            .map_or(0, |before| highest.wrapping_sub(before));
        believe(block.fraction_lost < u8::MAX || !(1..256).contains(&advance));
        self.highest = Some(highest);
        let jitter = f64::from(block.jitter) / f64::from(rate.hz());
        let jitter = if believe(jitter <= Self::MOST_JITTER) {
            jitter
        } else {
            Self::MOST_JITTER
        };
        let before = self.last;
        self.last = Some(RemoteReport {
            arrival,
            packets_received: u64::try_from(seen.saturating_sub(lost)).unwrap_or(0),
            packets_lost: lost,
            fraction_lost: f64::from(block.fraction_lost) / 256.0,
            jitter,
            round_trip: round_trip.or(before.and_then(|b| b.round_trip)),
            total_round_trip: before.map_or(Duration::ZERO, |b| b.total_round_trip)
                + round_trip.unwrap_or_default(),
            round_trips: before.map_or(0, |b| b.round_trips) + u64::from(round_trip.is_some()),
        });
        believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Numbers = Numbers {
        first: 100,
        made: 1_000,
        left: 990,
    };

    fn unix(millis: u64) -> NtpTime {
        NtpTime::from_unix(Duration::from_secs(1_700_000_000) + Duration::from_millis(millis))
    }

    /// After a report of ours at 0, this block comes after 150 ms.
    fn hear(block: ReceptionReport) -> (bool, RemoteReport) {
        let mut reports = Reports::default();
        reports.sent(unix(0));
        let (now, arrival) = (unix(150), MediaTime::from_millis(150));
        let believed = reports.heard(&block, NUMBERS, ClockRate::VIDEO, now, arrival);
        (believed, reports.last().unwrap())
    }

    fn honest() -> ReceptionReport {
        ReceptionReport {
            ssrc: 1,
            fraction_lost: 26,
            total_lost: 100,
            last_sequence_number: 100 + 979,
            jitter: 900,
            last_sender_report: unix(0).middle(),
            delay: 65_536 / 10,
        }
    }

    #[test]
    fn a_report_that_can_be_so_is_believed() {
        let (believed, report) = hear(honest());
        assert!(believed);
        let round_trip = report.round_trip.unwrap();
        assert!(round_trip.abs_diff(Duration::from_millis(50)) < Duration::from_micros(50));
        assert_eq!((report.packets_received, report.packets_lost), (880, 100));
        assert!((report.jitter - 0.01).abs() < 1e-9);
        // Duplicates.
        let (believed, report) = hear(ReceptionReport {
            total_lost: 0xFF_FFF6,
            ..honest()
        });
        assert_eq!((believed, report.packets_lost), (true, -10));
    }

    #[test]
    fn what_cannot_be_so_is_told_and_does_no_harm() {
        let future = ReceptionReport {
            last_sender_report: unix(10_000).middle(),
            ..honest()
        };
        let waited = ReceptionReport {
            delay: u32::MAX / 2,
            ..honest()
        };
        for lie in [future, waited] {
            let (believed, report) = hear(lie);
            assert_eq!(
                (believed, report.round_trip, report.round_trips),
                (false, None, 0)
            );
        }
        let (believed, report) = hear(ReceptionReport {
            total_lost: 0x7F_FFFF,
            last_sequence_number: u32::MAX,
            jitter: u32::MAX,
            ..honest()
        });
        assert!(!believed && report.jitter <= 10.0);
        assert_eq!((report.packets_received, report.packets_lost), (0, 1_000));
    }

    #[test]
    fn who_lost_everything_has_not_seen_more() {
        let mut reports = Reports::default();
        let mut hear = |last_sequence_number, fraction_lost| {
            let block = ReceptionReport {
                last_sequence_number,
                fraction_lost,
                ..honest()
            };
            reports.sent(unix(0));
            reports.heard(
                &block,
                NUMBERS,
                ClockRate::VIDEO,
                unix(150),
                MediaTime::ZERO,
            )
        };
        assert!(hear(500, 0) && hear(500, 255), "an outage");
        assert!(!hear(600, 255));
        assert!(hear(900, 255), "one of 300");
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut reports = Reports::default();
        (0..100_000).for_each(|n| reports.sent(unix(n * 1_000)));
        assert_eq!(reports.sent.len(), Reports::KEPT);
    }
}
