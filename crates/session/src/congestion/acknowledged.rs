//! What arrives, in bits a second.

use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// So much is remembered.
const KEPT: Duration = Duration::from_millis(1_000);
/// Before so much time was seen, no rate is told.
const LEAST: Duration = Duration::from_millis(100);

/// Counts arrivals by the receiver's clock, so that feedback which is late or bundled changes nothing.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    arrivals: VecDeque<(MediaTime, usize)>,
    begun: Option<MediaTime>,
    latest: MediaTime,
}

impl Acknowledged {
    pub(super) fn on_arrival(&mut self, arrival: MediaTime, bytes: usize) {
        // The packet that begins the count ends no interval.
        if self.begun.is_none() {
            self.begun = Some(arrival);
            self.latest = arrival;
            return;
        }
        self.latest = self.latest.max(arrival);
        self.arrivals.push_back((arrival, bytes));
        while let Some((first, _)) = self.arrivals.front()
            && self.latest.saturating_since(*first) > KEPT
        {
            self.arrivals.pop_front();
        }
    }

    /// Over the last `window` (a second at most) before the latest arrival; `None` before anything is
    /// known.
    pub(super) fn rate(&self, window: Duration) -> Option<f64> {
        let seen = self.latest.saturating_since(self.begun?);
        let window = window.min(KEPT).min(seen);
        if window < LEAST {
            return None;
        }
        let recent = self.arrivals.iter().rev();
        let recent =
            recent.take_while(|(arrival, _)| self.latest.saturating_since(*arrival) < window);
        let bytes: usize = recent.map(|(_, bytes)| bytes).sum();
        Some(bytes as f64 * 8.0 / window.as_secs_f64())
    }

    /// Nothing came for so long that what was before says nothing.
    pub(super) fn start_afresh(&mut self) {
        *self = Acknowledged::default();
    }
}
