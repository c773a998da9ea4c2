//! Why pictures are smaller or fewer than they could be, and for how long:
//! [`qualityLimitationReason`](https://www.w3.org/TR/webrtc-stats/#dom-rtcoutboundrtpstreamstats-qualitylimitationreason).

use duet_media::MediaTime;
use std::time::Duration;

/// What limits pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitationReason {
    /// Nothing.
    #[default]
    None,
    /// The encoder does not keep up with the source.
    Cpu,
    /// The path carries no more.
    Bandwidth,
    /// Something else.
    Other,
}

impl LimitationReason {
    /// All of them.
    pub const ALL: [LimitationReason; 4] = [Self::None, Self::Cpu, Self::Bandwidth, Self::Other];

    /// As in statistics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cpu => "cpu",
            Self::Bandwidth => "bandwidth",
            Self::Other => "other",
        }
    }
}

/// Keeps the time for each reason.
#[derive(Clone, Debug, Default)]
pub struct QualityLimitation {
    reason: LimitationReason,
    since: Option<MediaTime>,
    spent: [Duration; 4],
    resolution_changes: u64,
    /// Since when the encoder's figures are compared, and what they were: encoded, overwritten.
    watched: Option<(MediaTime, u64, u64)>,
    overloaded: bool,
}

impl QualityLimitation {
    /// Whether the encoder keeps up is judged so often.
    const WINDOW: Duration = Duration::from_secs(2);

    /// The encoder has encoded `encoded` pictures so far, and `overwritten` were replaced before it
    /// came to them. More than one in ten is more than it can do.
    pub fn watch_encoder(&mut self, encoded: u64, overwritten: u64, now: MediaTime) {
        let Some((since, encoded_before, overwritten_before)) = self.watched else {
            self.watched = Some((now, encoded, overwritten));
            return;
        };
        if now.saturating_since(since) < Self::WINDOW {
            return;
        }
        let done = encoded.saturating_sub(encoded_before);
        let missed = overwritten.saturating_sub(overwritten_before);
        self.overloaded = missed * 10 > done + missed;
        self.watched = Some((now, encoded, overwritten));
    }

    /// Pictures are made smaller or fewer for the path's sake, or not, from `now` on.
    pub fn set(&mut self, by_bandwidth: bool, now: MediaTime) {
        self.settle(now);
        self.reason = match (by_bandwidth, self.overloaded) {
            (true, _) => LimitationReason::Bandwidth,
            (false, true) => LimitationReason::Cpu,
            (false, false) => LimitationReason::None,
        };
    }

    /// The size became another one for the path's sake.
    pub fn resized(&mut self) {
        self.resolution_changes += 1;
    }

    fn settle(&mut self, now: MediaTime) {
        if let Some(since) = self.since.replace(now) {
            self.spent[self.reason as usize] += now.saturating_since(since);
        }
    }

    /// What limits it now.
    pub fn reason(&self) -> LimitationReason {
        self.reason
    }

    /// For how long it was so, until `now`, for each of [`LimitationReason::ALL`].
    pub fn durations(&self, now: MediaTime) -> [Duration; 4] {
        let mut durations = self.spent;
        if let Some(since) = self.since {
            durations[self.reason as usize] += now.saturating_since(since);
        }
        durations
    }

    /// How often the size changed for the path's sake.
    pub fn resolution_changes(&self) -> u64 {
        self.resolution_changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> MediaTime {
        MediaTime::from_millis(seconds * 1_000)
    }

    #[test]
    fn each_reason_has_its_time() {
        let mut limitation = QualityLimitation::default();
        limitation.set(false, at(0));
        limitation.set(true, at(3));
        assert_eq!(limitation.reason(), LimitationReason::Bandwidth);
        limitation.resized();
        limitation.set(false, at(5));
        let seconds = limitation.durations(at(9)).map(|time| time.as_secs());
        assert_eq!(seconds, [7, 0, 2, 0]);
        assert_eq!(limitation.resolution_changes(), 1);
    }

    #[test]
    fn an_encoder_that_does_not_keep_up_is_told_from_a_narrow_path() {
        let mut limitation = QualityLimitation::default();
        limitation.watch_encoder(0, 0, at(0));
        limitation.watch_encoder(40, 20, at(2));
        limitation.set(false, at(2));
        assert_eq!(limitation.reason(), LimitationReason::Cpu);
        limitation.set(true, at(3));
        assert_eq!(limitation.reason(), LimitationReason::Bandwidth);
        limitation.watch_encoder(100, 21, at(4));
        limitation.set(false, at(4));
        assert_eq!(limitation.reason(), LimitationReason::None);
    }
}
