//! Lips and voice: how much longer sound or picture must be held back so that both are played as far
//! apart as they were captured.
//!
//! Each stream tells, as it plays, which capture time (by the sender's wall clock, which its sender
//! reports relate to RTP time, [RFC 3550 section 6.4.1](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1))
//! was played when (by ours), when it could have been at the earliest, and how long it must wait for
//! reasons of its own. From the last two follows when each stream would play what was captured
//! together, and so how much longer the earlier one has to wait; the unknown difference of the two
//! machines' clocks cancels out. Nothing is tried out step by step, so nothing overshoots: how gently
//! a delay changes is the jitter buffers' affair.
//!
//! What it is not: it holds nothing back itself. It names a smallest delay for each stream, to be set
//! on the jitter buffers.

use duet_media::{MediaKind, MediaTime};
use std::time::Duration;

/// The smallest delays that bring sound and picture together. Zero asks for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinDelays {
    /// For the audio jitter buffer.
    pub audio: Duration,
    /// For the video jitter buffer.
    pub video: Duration,
}

/// Keeps one audio and one video stream of the same sender in step.
#[derive(Clone, Debug, Default)]
pub struct LipSync {
    audio: Journey,
    video: Journey,
    delays: MinDelays,
}

/// That something was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Played {
    /// When it is heard or seen, the output device's delay included.
    pub at: MediaTime,
    /// When it would have been, had it come as fast as the fastest of late and waited for nothing.
    pub earliest: MediaTime,
    /// How much later than that the stream has to play for its own sake: because of jitter, say.
    pub needs: Duration,
    /// How much later than that it is played now: for its own sake, for the other's, or because a delay
    /// that is needed no more goes gently.
    pub holds: Duration,
}

/// From capture to playing, of one stream.
#[derive(Clone, Debug, Default)]
struct Journey {
    /// Capture to playing in nanoseconds, smoothed, across two machines' clocks; and when last told.
    length: Option<(f64, MediaTime)>,
    /// Capture to the earliest that it could be played, likewise.
    shortest: i64,
    /// How much longer the stream takes for its own sake, and in fact, in nanoseconds.
    needs: i64,
    holds: i64,
    /// It waits for the other.
    waits: bool,
}

/// Sound that comes this little before the picture, or after it, is in step (nanoseconds). In nature
/// sound comes late, and nobody notices 30 ms of it; early sound is noticed sooner
/// ([ITU-R BT.1359](https://www.itu.int/rec/R-REC-BT.1359)). A picture is not held back for less: sound
/// takes longer by its packets' length, and every call would pay for that.
const IN_STEP: std::ops::RangeInclusive<i64> = -15_000_000..=30_000_000;
/// Where sound that has to wait is put: behind the picture, since pictures may be late (nanoseconds).
const SOUND_BEHIND: i64 = 5_000_000;
/// How far behind sound may stay for which the picture has to wait (nanoseconds)…
const PICTURE_AHEAD: i64 = 26_000_000;
/// … and if the network shakes, so that neither can be held to the millisecond.
const PICTURE_AHEAD_SHAKEN: i64 = 20_000_000;
/// Sound that needs more than this for its own sake comes over a network that shakes (nanoseconds).
const SHAKEN: i64 = 22_000_000;
/// Further apart than this, the streams do not share a clock (nanoseconds).
const UNRELATED: i64 = 10_000_000_000;
/// What a stream told that long ago no longer counts.
const STALE: Duration = Duration::from_secs(2);
/// Weight of a new observation.
const SMOOTHING: f64 = 0.1;

impl LipSync {
    /// The longest that either stream is held back for the other's sake.
    pub const MAX_DELAY: Duration = Duration::from_secs(1);

    /// Two streams of which nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of the stream of `kind`, what was captured at `captured` (by the sender's wall clock, as
    /// [`RtpTimeline::remote_time`](crate::RtpTimeline::remote_time) gives it; `None` before the first
    /// sender report) is played.
    pub fn played(&mut self, kind: MediaKind, captured: Option<Duration>, played: Played) {
        let Some(captured) = captured else { return };
        let captured = i64::try_from(captured.as_nanos()).unwrap_or(i64::MAX);
        let Played {
            at,
            earliest,
            needs,
            holds,
        } = played;
        let length = at.as_nanos().saturating_sub(captured) as f64;
        let journey = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        let smoothed = match journey.length {
            Some((old, told))
                if at.saturating_since(told) < STALE && (old - length).abs() < 1e9 =>
            {
                old + (length - old) * SMOOTHING
            }
            _ => length,
        };
        journey.length = Some((smoothed, at));
        journey.shortest = earliest.as_nanos().saturating_sub(captured);
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        (journey.needs, journey.holds) = (nanos(needs), nanos(holds));
    }

    /// How far sound lags behind the picture at `now`, in nanoseconds; negative if it is early.
    /// `None` unless both streams play and have had sender reports.
    pub fn offset(&self, now: MediaTime) -> Option<i64> {
        let (audio, video) = (self.audio.fresh(now)?, self.video.fresh(now)?);
        let offset = (audio - video) as i64;
        (offset.abs() < UNRELATED).then_some(offset)
    }

    /// The delays to set from `now` on; to be asked often.
    pub fn update(&mut self, now: MediaTime) -> MinDelays {
        if self.offset(now).is_none() {
            return self.delays;
        }
        let (audio, video) = (self.audio.own(), self.video.own());
        let offset = audio.saturating_sub(video);
        // Sound catches up with what it is late at once, a picture gently: where both were late, sound is
        // not to be early meanwhile.
        let picture = video.max(self.video.now());
        let behind = audio.saturating_sub(picture);
        // Who waits goes on until the other no longer needs it, so that nobody hesitates.
        self.audio.waits = match self.audio.waits {
            true => behind < SOUND_BEHIND,
            false => behind < *IN_STEP.start(),
        };
        let ahead = match self.audio.needs > SHAKEN {
            true => PICTURE_AHEAD_SHAKEN,
            false => PICTURE_AHEAD,
        };
        self.video.waits = match self.video.waits {
            true => offset > ahead,
            false => offset > *IN_STEP.end(),
        };
        self.delays = MinDelays {
            audio: self.audio.wait_until(picture.saturating_add(SOUND_BEHIND)),
            video: self.video.wait_until(audio.saturating_sub(ahead)),
        };
        self.delays
    }

    /// Forgets everything, as when the streams are replaced.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Journey {
    fn fresh(&self, now: MediaTime) -> Option<f64> {
        let (length, told) = self.length?;
        (now.saturating_since(told) < STALE).then_some(length)
    }

    /// How long it takes for its own sake, by the two clocks.
    fn own(&self) -> i64 {
        self.shortest.saturating_add(self.needs)
    }

    /// How long it takes now.
    fn now(&self) -> i64 {
        self.shortest.saturating_add(self.holds)
    }

    /// The delay by which it takes so long, if it has to wait.
    fn wait_until(&self, length: i64) -> Duration {
        let delay = length.saturating_sub(self.shortest).max(0);
        let delay = Duration::from_nanos(delay.unsigned_abs()).min(LipSync::MAX_DELAY);
        if self.waits { delay } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
