//! Freezes and evenness, as [webrtc-stats](https://www.w3.org/TR/webrtc-stats/) defines them.

use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// The average is that of so many gaps between pictures.
const WINDOW: usize = 30;

/// With fewer gaps than this there is no average to speak of.
const ENOUGH: usize = 5;

/// What is over the average by so much is a freeze.
const MARGIN: Duration = Duration::from_millis(150);

/// A longer gap is a [pause](https://www.w3.org/TR/webrtc-stats/#dom-rtcinboundrtpstreamstats-pausecount),
/// and no freeze.
const PAUSE: Duration = Duration::from_secs(5);

/// Follows the times at which pictures are shown.
#[derive(Debug, Default)]
pub(super) struct FreezeDetector {
    last: Option<MediaTime>,
    /// The sender stopped on purpose since.
    paused: bool,
    /// At most [`WINDOW`]; the oldest is forgotten.
    gaps: VecDeque<Duration>,
    pub(super) totals: FreezeTotals,
}

/// Since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct FreezeTotals {
    pub(super) freezes: u64,
    pub(super) freezes_duration: Duration,
    pub(super) pauses: u64,
    pub(super) pauses_duration: Duration,
    pub(super) inter_frame_delay: Duration,
    /// Seconds squared.
    pub(super) squared_inter_frame_delay: f64,
}

impl FreezeDetector {
    /// A picture is shown at `time`.
    pub(super) fn shown(&mut self, time: MediaTime) {
        let Some(last) = self.last.replace(time) else {
            return;
        };
        let gap = time.saturating_since(last);
        if gap > PAUSE {
            self.totals.pauses += 1;
            self.totals.pauses_duration += gap;
        }
        if std::mem::take(&mut self.paused) {
            return;
        }
        self.totals.inter_frame_delay += gap;
        self.totals.squared_inter_frame_delay += gap.as_secs_f64().powi(2);
        if gap > PAUSE {
            return;
        }
        if self.gaps.len() >= ENOUGH {
            let average = self.gaps.iter().sum::<Duration>() / self.gaps.len() as u32;
            if gap >= (3 * average).max(average + MARGIN) {
                self.totals.freezes += 1;
                self.totals.freezes_duration += gap;
            }
        }
        if self.gaps.len() == WINDOW {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    /// The sender stopped on purpose: the gap that follows is no freeze.
    pub(super) fn paused(&mut self) {
        self.paused = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(millis: impl IntoIterator<Item = i64>) -> FreezeTotals {
        let mut detector = FreezeDetector::default();
        for millis in millis {
            detector.shown(MediaTime::from_millis(millis));
        }
        detector.totals
    }

    #[test]
    fn a_gap_over_the_average_and_150_ms_is_a_freeze() {
        let even = || (0..30).map(|n| n * 30);
        assert_eq!(shown(even().chain([870 + 179])).freezes, 0);
        let frozen = shown(even().chain([870 + 180]));
        assert_eq!(frozen.freezes, 1);
        assert_eq!(frozen.freezes_duration, Duration::from_millis(180));
    }

    #[test]
    fn a_slow_sender_is_allowed_three_times_its_average() {
        let slow = || (0..10).map(|n| n * 200);
        assert_eq!(shown(slow().chain([1_800 + 599])).freezes, 0);
        assert_eq!(shown(slow().chain([1_800 + 600])).freezes, 1);
    }

    #[test]
    fn a_pause_is_no_freeze() {
        let mut detector = FreezeDetector::default();
        (0..20).for_each(|n| detector.shown(MediaTime::from_millis(n * 33)));
        detector.paused();
        detector.shown(MediaTime::from_millis(60_000));
        assert_eq!(detector.totals.freezes, 0);
        assert!(detector.totals.inter_frame_delay < Duration::from_secs(1));
        assert_eq!(detector.totals.pauses, 1);
        detector.paused();
        detector.shown(MediaTime::from_millis(61_000));
        assert_eq!(detector.totals.pauses, 1, "a short one");
    }

    #[test]
    fn a_long_outage_is_a_pause_and_no_freeze() {
        let outage = (0..30).map(|n| n * 33).chain([11_000, 11_033, 11_066]);
        let totals = shown(outage);
        assert_eq!((totals.freezes, totals.pauses), (0, 1));
        assert_eq!(totals.pauses_duration, Duration::from_millis(11_000 - 957));
        assert_eq!(totals.inter_frame_delay, Duration::from_millis(11_066));
    }
}
