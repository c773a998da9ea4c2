//! When a frame is shown: as evenly as it was captured, and as early as that allows.
//!
//! Not a jitter buffer: it holds no frame. It says when; the caller keeps the picture until then.

mod recovery;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use duet_media::MediaTime;

use self::recovery::RecoveryDelay;
use crate::{AssembledFrame, ClockRate};

/// Turns the times at which frames could be decoded into the times at which they are shown.
///
/// A frame is shown a fixed while after its capture, chosen so that 95 of the last 100 were there in
/// time; on a clean link that is within a few milliseconds of their coming. Where packets are lost so
/// often that one frame in ten waits for a retransmission, all wait as long as one takes. A frame
/// that is later than that is shown at once. The while changes gently, so that motion stays even.
#[derive(Clone, Debug)]
pub struct PlayoutScheduler {
    rate: ClockRate,
    max_delay: Duration,
    min_delay: Duration,
    /// Capture, and `arrival - capture`, in nanoseconds by two clocks, of the newest frames, without
    /// what losses added. At most [`WINDOW`](Self::WINDOW) and no older than [`MEMORY`](Self::MEMORY);
    /// the oldest is forgotten.
    offsets: VecDeque<(i64, i64)>,
    recovery: RecoveryDelay,
    /// Nanoseconds from capture to capture, smoothed.
    interval: i64,
    /// Where the offset in force stands, and the frame it was used for.
    current: Option<InForce>,
    /// Where it would stand if nobody asked for more.
    own: Option<InForce>,
    /// Capture (in nanoseconds by its clock) and coming of the frame scheduled last.
    newest: Option<(i64, MediaTime)>,
    last: Option<MediaTime>,
    /// When that one could be decoded.
    decodable: Option<MediaTime>,
    lateness: Duration,
}

#[derive(Clone, Copy, Debug)]
struct InForce {
    offset: i64,
    media: i64,
}

impl InForce {
    /// Moves towards `target` with the frame captured at `media`, gently; up by no more than a quarter of
    /// `seen`, in nanoseconds.
    fn follow(before: Option<InForce>, target: i64, media: i64, seen: i64) -> InForce {
        let Some(before) = before else {
            return InForce {
                offset: target,
                media,
            };
        };
        let elapsed = media.saturating_sub(before.media).max(0);
        let excess = before.offset.saturating_sub(target).max(0);
        let fall = (elapsed / 10).max(excess / 16);
        let lowest = before.offset.saturating_sub(fall);
        let highest = before.offset.saturating_add(seen / 4);
        InForce {
            offset: target.clamp(lowest, highest),
            media,
        }
    }

    fn at_most(self, limit: i64) -> InForce {
        InForce {
            offset: self.offset.min(limit),
            ..self
        }
    }
}

/// When a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameArrival {
    /// When it could be decoded.
    pub decodable_at: MediaTime,
    /// When it would have been there without losses; `None` if that is not known.
    pub prompt_at: Option<MediaTime>,
    /// Whether a packet of it was lost and came again.
    pub recovered: bool,
}

impl From<&AssembledFrame> for FrameArrival {
    fn from(frame: &AssembledFrame) -> Self {
        FrameArrival {
            decodable_at: frame.decodable_at,
            prompt_at: frame.prompt_at,
            recovered: frame.recovered,
        }
    }
}

/// Nothing of it was lost.
impl From<MediaTime> for FrameArrival {
    fn from(decodable_at: MediaTime) -> Self {
        FrameArrival {
            decodable_at,
            prompt_at: Some(decodable_at),
            recovered: false,
        }
    }
}

impl PlayoutScheduler {
    /// So many frames are remembered.
    pub const WINDOW: usize = 100;
    /// Of so much captured time (nanoseconds).
    const MEMORY: i64 = 3_500_000_000;
    /// A frame is never shown later than this after the fastest of late could be decoded, unless it comes
    /// later or [`set_min_delay`](Self::set_min_delay) asks for more.
    pub const MAX_DELAY: Duration = Duration::from_millis(300);
    /// A capture time this far off the others' starts a new measure.
    const RESTART: i64 = 1_000_000_000;
    /// Captures are no further apart than this, or it is a pause (nanoseconds).
    const LONGEST_INTERVAL: i64 = 200_000_000;

    /// A scheduler for timestamps of `rate`.
    pub fn new(rate: ClockRate) -> Self {
        PlayoutScheduler {
            rate,
            max_delay: Self::MAX_DELAY,
            min_delay: Duration::ZERO,
            offsets: VecDeque::with_capacity(Self::WINDOW),
            recovery: RecoveryDelay::default(),
            interval: 33_000_000,
            current: None,
            own: None,
            newest: None,
            last: None,
            decodable: None,
            lateness: Duration::ZERO,
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

    /// How long a retransmission takes: what is waited for, where losses are frequent, is no more.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.recovery.set_round_trip(rtt);
    }

    /// When to show the frame captured at `rtp_timestamp` (unwrapped) that came at `arrival`: when it
    /// can be decoded or later, never before the frame scheduled last.
    pub fn schedule(&mut self, rtp_timestamp: i64, arrival: impl Into<FrameArrival>) -> MediaTime {
        let arrival = arrival.into();
        let media = self.rate.nanos(rtp_timestamp);
        self.measure(media, arrival);
        let decodable_at = arrival.decodable_at;
        let (own, target) = self.targets(decodable_at);
        let limits = [self.max_delay, self.max_delay.max(self.min_delay)];
        let [own_limit, limit] = limits.map(|limit| self.latest(limit));
        let seen = self.seen_before(media, decodable_at);
        self.own = Some(InForce::follow(self.own, own, media, seen).at_most(own_limit));
        let current = InForce::follow(self.current, target, media, seen).at_most(limit);
        (self.current, self.decodable) = (Some(current), Some(decodable_at));
        let due = MediaTime::from_nanos(media.saturating_add(current.offset))
            .min(decodable_at + self.max_delay.max(self.min_delay));
        self.lateness = decodable_at.saturating_since(due);
        let at = due.max(decodable_at).max(self.last.unwrap_or(decodable_at));
        self.last = Some(at);
        at
    }

    /// How much too late the frame scheduled last could be decoded; zero if it was in time.
    pub fn lateness(&self) -> Duration {
        self.lateness
    }

    /// How much later than the fastest of late frames are shown now.
    pub fn delay(&self) -> Duration {
        self.after_fastest(self.current)
    }

    /// The same if [`set_min_delay`](Self::set_min_delay) had not asked for more.
    pub fn needed_delay(&self) -> Duration {
        self.after_fastest(self.own)
    }

    /// When the frame captured at `rtp_timestamp` could have been decoded, had it come as fast as the
    /// fastest of late. `None` before the first frame.
    pub fn earliest(&self, rtp_timestamp: i64) -> Option<MediaTime> {
        let media = self.rate.nanos(rtp_timestamp);
        let fastest = self.fastest()?;
        Some(MediaTime::from_nanos(media.saturating_add(fastest)))
    }

    /// Forgets what was measured, not what was set.
    pub fn reset(&mut self) {
        self.offsets.clear();
        (self.current, self.own) = (None, None);
    }

    /// For how long, in nanoseconds, the frame before the one captured at `media` is seen: not at all if both are late
    /// and come at once. Behind a stop no more is counted than between two frames: sound, which went on meanwhile, is
    /// to keep up.
    fn seen_before(&self, media: i64, decodable_at: MediaTime) -> i64 {
        let (Some(current), Some(before)) = (self.current, self.decodable) else {
            return 0;
        };
        let captured_apart = media.saturating_sub(current.media);
        let late = decodable_at.as_nanos().saturating_sub(media) > current.offset;
        if late && decodable_at.nanos_since(before) < captured_apart / 2 {
            return 0;
        }
        captured_apart.clamp(0, self.interval.saturating_mul(2))
    }

    /// Takes note of how long a frame took.
    fn measure(&mut self, media: i64, arrival: FrameArrival) {
        let Some(prompt_at) = arrival.prompt_at else {
            return self.measure_loss(media, arrival);
        };
        let offset = prompt_at.as_nanos().saturating_sub(media);
        let newest = self.offsets.back().map_or(offset, |(_, offset)| *offset);
        if newest.abs_diff(offset) > Self::RESTART.unsigned_abs() {
            self.reset();
        }
        if let Some((before, _)) = self.newest {
            let apart = media.saturating_sub(before);
            if (1..Self::LONGEST_INTERVAL).contains(&apart) {
                self.interval += (apart - self.interval) / 16;
            }
        }
        if !self.on_the_heels(media, offset, prompt_at) {
            while self.offsets.len() >= Self::WINDOW
                || (self.offsets.front())
                    .is_some_and(|(oldest, _)| media.saturating_sub(*oldest) > Self::MEMORY)
            {
                self.offsets.pop_front();
            }
            self.offsets.push_back((media, offset));
        }
        self.newest = Some((media, prompt_at));
        self.measure_loss(media, arrival);
    }

    fn measure_loss(&mut self, media: i64, arrival: FrameArrival) {
        if arrival.recovered
            && let Some(usual) = self.usual()
        {
            let offset = arrival.decodable_at.as_nanos().saturating_sub(media);
            let late = offset.saturating_sub(usual);
            self.recovery.note(arrival.decodable_at, late);
        }
    }

    /// Whether a late frame came in a burst right behind another: what held up the first held up all,
    /// and counts once.
    fn on_the_heels(&self, media: i64, offset: i64, came: MediaTime) -> bool {
        let (Some((before, before_came)), Some(current)) = (self.newest, self.current) else {
            return false;
        };
        let captured_apart = media.saturating_sub(before);
        let came_apart = came.nanos_since(before_came);
        offset > current.offset && came_apart < captured_apart / 2
    }

    /// The offset that 95 of 100 frames keep, and what losses add to it; and that which lip-sync asks
    /// for, if it is more.
    fn targets(&mut self, now: MediaTime) -> (i64, i64) {
        let (Some(usual), Some(fastest)) = (self.usual(), self.fastest()) else {
            return (0, 0);
        };
        let own = usual.saturating_add(self.recovery.wanted(now, self.interval));
        let min_delay = i64::try_from(self.min_delay.as_nanos()).unwrap_or(i64::MAX);
        (own, own.max(fastest.saturating_add(min_delay)))
    }

    /// The offset of what is shown `limit` after the fastest. What is in force has to keep it too: a picture
    /// that were only shown sooner than that says would have its sound wait for what does not happen.
    fn latest(&self, limit: Duration) -> i64 {
        let limit = i64::try_from(limit.as_nanos()).unwrap_or(i64::MAX);
        self.fastest()
            .map_or(i64::MAX, |fastest| fastest.saturating_add(limit))
    }

    fn after_fastest(&self, offset: Option<InForce>) -> Duration {
        let (Some(offset), Some(fastest)) = (offset, self.fastest()) else {
            return Duration::ZERO;
        };
        let after = offset.offset.saturating_sub(fastest);
        Duration::from_nanos(u64::try_from(after).unwrap_or(0))
    }

    /// The offset that 95 of 100 frames keep where nothing is lost.
    fn usual(&self) -> Option<i64> {
        let mut sorted = [0; Self::WINDOW];
        let sorted = &mut sorted[..self.offsets.len()];
        for (to, (_, from)) in sorted.iter_mut().zip(&self.offsets) {
            *to = *from;
        }
        sorted.sort_unstable();
        sorted
            .get(sorted.len().saturating_sub(1) * 95 / 100)
            .copied()
    }

    fn fastest(&self) -> Option<i64> {
        self.offsets.iter().map(|(_, offset)| *offset).min()
    }
}
