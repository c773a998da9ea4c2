//! When a frame is shown: as evenly as it was captured, and as early as that allows.
//!
//! Not a jitter buffer: it holds no frame. It says when; the caller keeps the picture until then.

use std::collections::VecDeque;
use std::time::Duration;

use duet_media::MediaTime;

use crate::ClockRate;

/// Turns the times at which frames could be decoded into the times at which they are shown.
///
/// A frame is shown a fixed while after its capture, chosen so that 95 of the last 100 were there in
/// time; on a clean link that is within a few milliseconds of their coming. One that is later than
/// that is shown at once. The while changes gently, so that motion stays even.
#[derive(Clone, Debug)]
pub struct PlayoutScheduler {
    rate: ClockRate,
    max_delay: Duration,
    min_delay: Duration,
    /// `decodable_at - capture`, in nanoseconds by two clocks, of the newest frames. At most
    /// [`WINDOW`](Self::WINDOW); the oldest is forgotten.
    offsets: VecDeque<i64>,
    /// Where the offset in force stands, and the frame it was used for.
    current: Option<Shown>,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    offset: i64,
    media: i64,
    at: MediaTime,
}

impl PlayoutScheduler {
    /// So many frames are remembered.
    pub const WINDOW: usize = 100;
    /// A frame is never held back longer than this, unless [`set_min_delay`](Self::set_min_delay) asks
    /// for more.
    pub const MAX_DELAY: Duration = Duration::from_millis(300);
    /// A capture time this far off the others' starts a new measure.
    const RESTART: i64 = 1_000_000_000;

    /// A scheduler for timestamps of `rate`.
    pub fn new(rate: ClockRate) -> Self {
        PlayoutScheduler {
            rate,
            max_delay: Self::MAX_DELAY,
            min_delay: Duration::ZERO,
            offsets: VecDeque::with_capacity(Self::WINDOW),
            current: None,
        }
    }

    /// Another limit than [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn set_max_delay(&mut self, max_delay: Duration) {
        self.max_delay = max_delay;
    }

    /// Frames are shown at least this long after the fastest of late could be decoded: for pictures
    /// that would else be ahead of their sound. Reached gently.
    pub fn set_min_delay(&mut self, min_delay: Duration) {
        self.min_delay = min_delay;
    }

    /// When to show the frame captured at `rtp_timestamp` (unwrapped) that could be decoded at
    /// `decodable_at`: then or later, never before the frame scheduled last.
    pub fn schedule(&mut self, rtp_timestamp: i64, decodable_at: MediaTime) -> MediaTime {
        let media = self.rate.nanos(rtp_timestamp);
        let offset = decodable_at.as_nanos().saturating_sub(media);
        let newest = self.offsets.back().copied().unwrap_or(offset);
        if newest.abs_diff(offset) > Self::RESTART.unsigned_abs() {
            self.offsets.clear();
            self.current = None;
        }
        if self.offsets.len() == Self::WINDOW {
            self.offsets.pop_front();
        }
        self.offsets.push_back(offset);

        let target = self.target();
        let in_force = match self.current {
            None => target,
            Some(shown) => {
                let elapsed = media.saturating_sub(shown.media).max(0);
                target.clamp(
                    shown.offset.saturating_sub(elapsed / 10),
                    shown.offset.saturating_add(elapsed / 4),
                )
            }
        };
        let latest = decodable_at + self.max_delay.max(self.min_delay);
        let earliest = self
            .current
            .map_or(decodable_at, |shown| shown.at.max(decodable_at));
        let due = MediaTime::from_nanos(media.saturating_add(in_force));
        let at = due.max(earliest).min(latest.max(decodable_at));
        self.current = Some(Shown {
            offset: in_force,
            media,
            at,
        });
        at
    }

    /// How much later than the fastest of late frames are shown now.
    pub fn delay(&self) -> Duration {
        let fastest = self.offsets.iter().min();
        match (self.current, fastest) {
            (Some(shown), Some(&fastest)) => Duration::from_nanos(
                u64::try_from(shown.offset.saturating_sub(fastest)).unwrap_or(0),
            ),
            _ => Duration::ZERO,
        }
    }

    /// Forgets what was measured, not what was set.
    pub fn reset(&mut self) {
        self.offsets.clear();
        self.current = None;
    }

    /// The offset that 95 of 100 frames keep, or the one that lip-sync asks for.
    fn target(&self) -> i64 {
        let mut sorted: Vec<i64> = self.offsets.iter().copied().collect();
        sorted.sort_unstable();
        let index = sorted.len().saturating_sub(1) * 95 / 100;
        let min_delay = i64::try_from(self.min_delay.as_nanos()).unwrap_or(i64::MAX);
        let kept = sorted.get(index).copied().unwrap_or(0);
        let fastest = sorted.first().copied().unwrap_or(0);
        kept.max(fastest.saturating_add(min_delay))
    }
}
