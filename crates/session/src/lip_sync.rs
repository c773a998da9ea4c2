//! Lips and voice: how much longer sound or picture must be held back so that both are played as far
//! apart as they were captured.
//!
//! Each stream tells, as it plays, which capture time (by the sender's wall clock, which its sender
//! reports relate to RTP time, [RFC 3550 section 6.4.1](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1))
//! was played when (by ours). The difference of the two journeys is what is heard and seen as being
//! out of step; the unknown difference of the two machines' clocks cancels out.
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
    updated: Option<MediaTime>,
    delays: MinDelays,
}

/// From capture to playing, of one stream.
#[derive(Clone, Debug, Default)]
struct Journey {
    /// Capture to playing in nanoseconds, smoothed, across two machines' clocks; and when last told.
    length: Option<(f64, MediaTime)>,
    /// The playout delay that was in force.
    delay: Duration,
}

/// Sound that comes this little before the picture, or after it, is in step (nanoseconds). In nature
/// sound comes late, and nobody notices 30 ms of it; early sound is noticed sooner
/// ([ITU-R BT.1359](https://www.itu.int/rec/R-REC-BT.1359)). A picture is not held back for less: sound
/// takes longer by its packets' length, and every call would pay for that.
const IN_STEP: std::ops::RangeInclusive<i64> = -15_000_000..=30_000_000;
/// How far within that range a correction aims (nanoseconds).
const MARGIN: u64 = 2_000_000;
/// Further apart than this, the streams do not share a clock (nanoseconds).
const UNRELATED: i64 = 10_000_000_000;
const MAX_STEP: Duration = Duration::from_millis(80);
const INTERVAL: Duration = Duration::from_millis(500);
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
    /// sender report) is heard or seen at `at`, the output device's delay included. `delay` is the
    /// playout delay in force: what this object may lengthen.
    pub fn played(
        &mut self,
        kind: MediaKind,
        captured: Option<Duration>,
        at: MediaTime,
        delay: Duration,
    ) {
        let Some(captured) = captured else { return };
        let captured = i64::try_from(captured.as_nanos()).unwrap_or(i64::MAX);
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
        journey.delay = delay;
    }

    /// How far sound lags behind the picture at `now`, in nanoseconds; negative if it is early.
    /// `None` unless both streams play and have had sender reports.
    pub fn offset(&self, now: MediaTime) -> Option<i64> {
        let fresh = |journey: &Journey| {
            let (length, told) = journey.length?;
            (now.saturating_since(told) < STALE).then_some(length)
        };
        let offset = (fresh(&self.audio)? - fresh(&self.video)?) as i64;
        (offset.abs() < UNRELATED).then_some(offset)
    }

    /// The delays to set from `now` on. They move at most twice a second and at most 80 ms at a time,
    /// so that the change is neither heard nor seen; to be asked often.
    pub fn update(&mut self, now: MediaTime) -> MinDelays {
        let due = self
            .updated
            .is_none_or(|last| now.saturating_since(last) >= INTERVAL);
        let Some(offset) = self.offset(now).filter(|_| due) else {
            return self.delays;
        };
        self.updated = Some(now);
        if !IN_STEP.contains(&offset) {
            // As far as it takes to be in step, and a little further, so that it stays so.
            let excess = (offset - IN_STEP.end()).max(IN_STEP.start() - offset);
            let step = Duration::from_nanos(excess.unsigned_abs() + MARGIN).min(MAX_STEP);
            let MinDelays { audio, video } = &mut self.delays;
            // The late one first gives up what it was made to wait.
            if offset > 0 {
                shift(audio, self.audio.delay, video, self.video.delay, step);
            } else {
                shift(video, self.video.delay, audio, self.audio.delay, step);
            }
        }
        self.delays
    }

    /// Forgets everything, as when the streams are replaced.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Brings the late stream forward by `step` if it waits at our wish, else holds the early one back.
fn shift(
    late: &mut Duration,
    late_delay: Duration,
    early: &mut Duration,
    early_delay: Duration,
    step: Duration,
) {
    // A wish that is not what holds the stream back (the network is) is no use giving up.
    let binding = !late.is_zero() && late_delay <= *late + Duration::from_millis(30);
    if binding {
        *late = late.saturating_sub(step);
        return;
    }
    *late = Duration::ZERO;
    *early = (early_delay.max(*early) + step).min(LipSync::MAX_DELAY);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender whose wall clock is years off ours, and two streams that play after the network's
    /// delay and the greater of what they need and what they are asked to wait.
    struct Call {
        sync: LipSync,
        now: MediaTime,
        audio: Stream,
        video: Stream,
    }

    struct Stream {
        network: Duration,
        needs: Duration,
        in_force: Duration,
    }

    const REMOTE: Duration = Duration::from_secs(1_700_000_000);

    impl Call {
        fn new(audio: (u64, u64), video: (u64, u64)) -> Self {
            let stream = |(network, needs): (u64, u64)| Stream {
                network: Duration::from_millis(network),
                needs: Duration::from_millis(needs),
                in_force: Duration::from_millis(needs),
            };
            Call {
                sync: LipSync::new(),
                now: MediaTime::from_millis(5_000),
                audio: stream(audio),
                video: stream(video),
            }
        }

        /// Runs for `seconds`; returns the largest change of a delay on the way.
        fn run(&mut self, seconds: i64, reports: bool) -> Duration {
            let mut largest = Duration::ZERO;
            for _ in 0..seconds * 50 {
                self.now += Duration::from_millis(20);
                for (kind, stream) in [
                    (MediaKind::Audio, &self.audio),
                    (MediaKind::Video, &self.video),
                ] {
                    let total = stream.network + stream.in_force;
                    let captured = REMOTE + self.now.saturating_since(MediaTime::ZERO) - total;
                    self.sync
                        .played(kind, reports.then_some(captured), self.now, stream.in_force);
                }
                let wanted = self.sync.update(self.now);
                for (stream, wanted) in [
                    (&mut self.audio, wanted.audio),
                    (&mut self.video, wanted.video),
                ] {
                    let delay = stream.needs.max(wanted);
                    largest = largest.max(delay.abs_diff(stream.in_force));
                    stream.in_force = delay;
                }
            }
            largest
        }

        /// Sound behind picture, in milliseconds.
        fn lag(&self) -> i64 {
            let total = |s: &Stream| (s.network + s.in_force).as_millis() as i64;
            total(&self.audio) - total(&self.video)
        }

        fn delays(&self) -> MinDelays {
            self.sync.delays
        }
    }

    #[test]
    fn the_earlier_stream_waits_in_small_steps() {
        for (audio, video) in [((20, 20), (20, 400)), ((300, 20), (30, 10))] {
            let mut call = Call::new(audio, video);
            assert!(call.run(15, true) <= MAX_STEP);
            assert!((-16..=31).contains(&call.lag()), "{} ms", call.lag());
            let settled = call.delays();
            assert!(
                settled.audio.is_zero() != settled.video.is_zero(),
                "only one waits: {settled:?}"
            );
            assert_eq!(call.run(10, true), Duration::ZERO, "settled");
        }
    }

    #[test]
    fn what_is_in_step_is_left_alone() {
        let mut call = Call::new((20, 30), (20, 43));
        call.run(10, true);
        assert_eq!(call.delays(), MinDelays::default());
        let lag = call.sync.offset(call.now).unwrap();
        assert!((lag + 13_000_000).abs() < 1_000, "{lag}");
    }

    #[test]
    fn without_sender_reports_nothing_is_known() {
        let mut call = Call::new((20, 30), (20, 400));
        call.run(10, false);
        assert_eq!(call.delays(), MinDelays::default());
        assert_eq!(call.sync.offset(call.now), None);
    }

    #[test]
    fn the_wait_is_given_back_before_the_other_is_made_to_wait() {
        let mut call = Call::new((20, 20), (20, 300));
        call.run(10, true);
        assert!(call.delays().audio > Duration::from_millis(250));
        // Now the picture comes sooner than the sound.
        call.video.needs = Duration::from_millis(10);
        call.audio.needs = Duration::from_millis(60);
        call.run(15, true);
        assert!((-16..=31).contains(&call.lag()), "{} ms", call.lag());
        assert_eq!(call.delays().audio, Duration::ZERO);
        assert!(call.delays().video < Duration::from_millis(80));
    }

    #[test]
    fn nobody_waits_for_longer_than_a_second_or_for_a_stranger() {
        let mut call = Call::new((0, 0), (3_000, 0));
        call.run(30, true);
        assert_eq!(call.delays().audio, LipSync::MAX_DELAY);
        let mut call = Call::new((0, 0), (20_000, 0));
        call.run(30, true);
        assert_eq!(call.delays(), MinDelays::default());
    }

    #[test]
    fn a_stream_that_fell_silent_no_longer_counts() {
        let mut call = Call::new((20, 20), (20, 300));
        call.run(1, true);
        let before = call.delays();
        assert_eq!(call.sync.update(call.now + Duration::from_secs(5)), before);
        assert_eq!(call.sync.offset(call.now + Duration::from_secs(5)), None);
    }
}
