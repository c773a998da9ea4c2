//! How long sound must wait so that nearly every packet is there in time.

use crate::ClockRate;
use duet_media::MediaTime;
use std::collections::VecDeque;

/// The distribution of the packets' relative delay: how much later than the fastest packet of the
/// last seconds each arrived.
///
/// It is kept as the plain list of the last arrivals. So the reference (the fastest) and the
/// quantile always speak of the same packets, and a drifting sender's clock moves both.
#[derive(Debug, Default)]
pub(super) struct DelayEstimator {
    /// When it arrived, and arrival minus RTP time, in nanoseconds. Capacity: `WINDOW_PACKETS`; the
    /// oldest is forgotten.
    arrivals: VecDeque<(MediaTime, i64)>,
    base: i64,
    spread: i64,
    /// When something last held packets up for longer than the quantile says, and for how long, once
    /// for each time. Capacity: `PEAKS`; the oldest is forgotten.
    peaks: VecDeque<(MediaTime, i64)>,
    scratch: Vec<i64>,
}

const WINDOW_PACKETS: usize = 250;
const WINDOW_NANOS: i64 = 5_000_000_000;
const QUANTILE_PERCENT: usize = 97;
const PEAKS: usize = 8;
/// So many peaks in so long are no accident.
const HABIT: usize = 3;
const HABIT_NANOS: i64 = 10_000_000_000;
/// By how much the quantile must be exceeded for a peak.
const PEAK_NANOS: i64 = 10_000_000;
/// Late packets so near to one another are late for one reason.
const ONE_PEAK_NANOS: i64 = 500_000_000;

impl DelayEstimator {
    /// Forgets what is too old at `now`; true if nothing is left.
    pub(super) fn expire(&mut self, now: MediaTime) -> bool {
        while let Some((at, _)) = self.arrivals.front()
            && now.nanos_since(*at) > WINDOW_NANOS
        {
            self.arrivals.pop_front();
        }
        self.arrivals.is_empty()
    }

    /// How much later than the fastest a packet of RTP time `timestamp` would be if it came now.
    pub(super) fn relative(&self, timestamp: i64, now: MediaTime) -> i64 {
        offset(timestamp, now).saturating_sub(self.base)
    }

    /// When a packet of RTP time `timestamp` comes if it is as fast as the fastest.
    pub(super) fn expected(&self, timestamp: i64) -> MediaTime {
        MediaTime::from_nanos(ClockRate::OPUS.nanos(timestamp).saturating_add(self.base))
    }

    /// Notes a packet.
    pub(super) fn arrived(&mut self, timestamp: i64, now: MediaTime) {
        self.expire(now);
        if self.arrivals.len() == WINDOW_PACKETS {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((now, offset(timestamp, now)));
        self.scratch.clear();
        self.scratch
            .extend(self.arrivals.iter().map(|(_, offset)| *offset));
        let at = (self.scratch.len() * QUANTILE_PERCENT).div_ceil(100) - 1;
        let (below, quantile, _) = self.scratch.select_nth_unstable(at);
        self.base = below.iter().copied().min().unwrap_or(*quantile);
        self.spread = quantile.saturating_sub(self.base);
        self.note_peak(self.relative(timestamp, now), now);
    }

    /// The relative delay that 97 of 100 packets stay within, in nanoseconds; or all but the worst,
    /// where being held up is a habit.
    pub(super) fn spread(&self) -> i64 {
        if self.peaks.len() < HABIT {
            return self.spread;
        }
        let (_, second) = self
            .peaks
            .iter()
            .fold((0, 0), |(most, second), (_, delay)| {
                (most.max(*delay), second.max(most.min(*delay)))
            });
        self.spread.max(second)
    }

    fn note_peak(&mut self, delay: i64, now: MediaTime) {
        let old = |(at, _): &(MediaTime, i64)| now.nanos_since(*at) > HABIT_NANOS;
        while self.peaks.front().is_some_and(old) {
            self.peaks.pop_front();
        }
        if delay <= self.spread.saturating_add(PEAK_NANOS) {
            return;
        }
        match self.peaks.back_mut() {
            Some((at, worst)) if now.nanos_since(*at) < ONE_PEAK_NANOS => {
                *worst = delay.max(*worst);
            }
            _ => {
                if self.peaks.len() == PEAKS {
                    self.peaks.pop_front();
                }
                self.peaks.push_back((now, delay));
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.arrivals.clear();
        self.peaks.clear();
        self.base = 0;
        self.spread = 0;
    }
}

fn offset(timestamp: i64, now: MediaTime) -> i64 {
    now.as_nanos()
        .saturating_sub(ClockRate::OPUS.nanos(timestamp))
}
