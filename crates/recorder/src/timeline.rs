//! From capture times to times in the recording.

use duet_media::MediaTime;
use std::time::Duration;

/// Where in a recording a frame belongs. Pauses are left out: what comes after one follows what came
/// before it. All tracks share one timeline, so that they stay in step across a pause.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timeline {
    stretch: Option<Stretch>,
    /// Where what is recorded so far ends.
    end: Duration,
}

/// What is recorded without a pause.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// The capture time with which it begins.
    origin: MediaTime,
    /// Where in the recording that is.
    start: Duration,
}

impl Timeline {
    /// Nothing is recorded until the next [`Timeline::begin`].
    pub(crate) fn pause(&mut self) {
        self.stretch = None;
    }

    /// What was captured at `origin` follows what is recorded so far.
    pub(crate) fn begin(&mut self, origin: MediaTime) {
        self.stretch = Some(Stretch {
            origin,
            start: self.end,
        });
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        self.stretch.is_some()
    }

    /// Where a frame of that capture time belongs; nowhere while it is paused, or if it is older than
    /// the beginning.
    pub(crate) fn place(&self, captured: MediaTime) -> Option<Duration> {
        let Stretch { origin, start } = self.stretch?;
        let after = u64::try_from(captured.nanos_since(origin)).ok()?;
        start.checked_add(Duration::from_nanos(after))
    }

    /// Something was recorded up to there.
    pub(crate) fn reach(&mut self, end: Duration) {
        self.end = self.end.max(end);
    }

    /// How long the recording is.
    pub(crate) fn end(&self) -> Duration {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_leaves_no_hole_and_nobody_out_of_step() {
        let ms = |millis| Duration::from_millis(millis);
        let at = |millis| MediaTime::from_millis(millis);
        let mut timeline = Timeline::default();
        assert_eq!(timeline.place(at(1_000)), None);
        timeline.begin(at(1_000));
        assert_eq!(timeline.place(at(999)), None, "before the beginning");
        assert_eq!(timeline.place(at(1_040)), Some(ms(40)));
        timeline.reach(ms(80));
        timeline.reach(ms(50));
        timeline.pause();
        assert_eq!(timeline.place(at(1_100)), None);
        timeline.begin(at(9_000));
        assert_eq!(timeline.place(at(9_000)), Some(ms(80)));
        assert_eq!(timeline.place(at(9_007)), Some(ms(87)));
        assert_eq!(timeline.end(), ms(80));
    }
}
