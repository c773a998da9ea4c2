//! How often an encoder is asked for a key frame, whoever asks and how often.
//!
//! Not a parser of RTCP: whoever reads a PLI, a FIR, or sees a new viewer come calls
//! [`KeyFrameGate::request`].

use std::time::Duration;

use duet_media::MediaTime;

/// Lets at most one key frame through in [`KeyFrameGate::MIN_INTERVAL`], and forgets no request:
/// what comes too early is kept until it is due. Serves
/// [PLI](https://www.rfc-editor.org/rfc/rfc4585#section-6.3.1) and
/// [FIR](https://www.rfc-editor.org/rfc/rfc5104#section-4.3.1) alike.
#[derive(Clone, Debug, Default)]
pub struct KeyFrameGate {
    pending: bool,
    last: Option<MediaTime>,
    requests: u64,
    granted: u64,
}

impl KeyFrameGate {
    /// The shortest time between two key frames.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(500);

    /// A gate through which nothing has gone yet: the first request is due at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody needs a key frame.
    pub fn request(&mut self, _now: MediaTime) {
        self.requests += 1;
        self.pending = true;
    }

    /// True once if a key frame is to be made now; the caller then makes one.
    pub fn take_due(&mut self, now: MediaTime) -> bool {
        let due = self.next_timeout().is_some_and(|at| at <= now);
        if due {
            self.on_key_frame(now);
            self.granted += 1;
        }
        due
    }

    /// The encoder made a key frame, asked for or not: everybody who waited is served.
    pub fn on_key_frame(&mut self, now: MediaTime) {
        self.pending = false;
        self.last = Some(now);
    }

    /// When the kept request is due; `None` if nobody asked.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        let due = self.last.map_or(MediaTime::from_nanos(i64::MIN), |last| {
            last + Self::MIN_INTERVAL
        });
        self.pending.then_some(due)
    }

    /// How many times it was asked.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// How many key frames it let through.
    pub fn granted(&self) -> u64 {
        self.granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_viewer_waits_for_nothing() {
        let mut gate = KeyFrameGate::new();
        assert!(!gate.take_due(MediaTime::ZERO));
        gate.request(MediaTime::ZERO);
        assert!(gate.take_due(MediaTime::ZERO));
        assert!(!gate.take_due(MediaTime::from_millis(600)));
    }

    #[test]
    fn an_early_request_is_kept() {
        let mut gate = KeyFrameGate::new();
        gate.request(MediaTime::ZERO);
        assert!(gate.take_due(MediaTime::ZERO));
        gate.request(MediaTime::from_millis(10));
        assert!(!gate.take_due(MediaTime::from_millis(499)));
        assert_eq!(gate.next_timeout(), Some(MediaTime::from_millis(500)));
        assert!(gate.take_due(MediaTime::from_millis(500)));
        assert_eq!(gate.next_timeout(), None);
    }

    #[test]
    fn an_unasked_key_frame_serves_who_waited() {
        let mut gate = KeyFrameGate::new();
        gate.request(MediaTime::ZERO);
        gate.on_key_frame(MediaTime::from_millis(1));
        assert!(!gate.take_due(MediaTime::from_millis(2_000)));
    }

    proptest! {
        #[test]
        fn a_storm_gets_two_a_second_and_the_last_is_served(gaps in prop::collection::vec(0i64..200, 1..500)) {
            let mut gate = KeyFrameGate::new();
            let (mut now, mut granted) = (MediaTime::ZERO, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap as u64);
                gate.request(now);
                if gate.take_due(now) {
                    granted.push(now);
                }
            }
            if gate.take_due(now + KeyFrameGate::MIN_INTERVAL) {
                granted.push(now + KeyFrameGate::MIN_INTERVAL);
            }
            prop_assert!(granted.windows(2).all(|w| w[1].saturating_since(w[0]) >= KeyFrameGate::MIN_INTERVAL));
            prop_assert!(*granted.last().unwrap() + KeyFrameGate::MIN_INTERVAL >= now);
            prop_assert_eq!(gate.next_timeout(), None);
        }
    }
}
