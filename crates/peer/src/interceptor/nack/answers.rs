//! How long it takes from asking for a packet until it comes: the round trip, as
//! [RFC 6298](https://www.rfc-editor.org/rfc/rfc6298) measures it.

use std::time::{Duration, Instant};

/// Before anything is known.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Nobody is asked again sooner.
const LEAST: Duration = Duration::from_millis(20);
/// And never so late that the answer could not be shown.
const MOST: Duration = Duration::from_millis(500);
/// How much longer than usual an answer may take, at least.
const MARGIN: Duration = Duration::from_millis(8);

/// So many answers in a row came only after a second request: it is not the network that loses them
/// all, they take longer than they did.
const SUSPICIOUS: u32 = 4;

/// The answers of one stream.
#[derive(Debug, Default)]
pub(super) struct Answers {
    measured: Option<Measured>,
    /// Answers in a row of which it cannot be told to which request they are.
    ambiguous: u32,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    mean: Duration,
    deviation: Duration,
}

impl Answers {
    /// What was asked for at the times `asked`, the last first, came at `now`.
    pub(super) fn note(&mut self, asked: [Option<Instant>; 2], now: Instant) {
        let since = |asked: Option<Instant>| asked.map(|at| now.saturating_duration_since(at));
        let [Some(last), before] = asked.map(since) else {
            return;
        };
        let known = self.measured.map(|known| known.mean);
        let took = match before {
            None => last,
            Some(before) => {
                self.ambiguous += 1;
                // Not the answer to a request of a moment ago.
                let is_older = known.is_none_or(|known| last < known / 2);
                if !is_older && self.ambiguous < SUSPICIOUS {
                    return;
                }
                before
            }
        };
        self.ambiguous = 0;
        self.measured = Some(match self.measured {
            None => Measured {
                mean: took,
                deviation: took / 4,
            },
            Some(Measured { mean, deviation }) => Measured {
                mean: (mean * 7 + took) / 8,
                deviation: (deviation * 3 + mean.abs_diff(took)) / 4,
            },
        });
    }

    /// How long an answer takes. `rtt` is what others know, before there was one.
    pub(super) fn expected(&self, rtt: Option<Duration>) -> Duration {
        let known = self.measured.map(|known| known.mean);
        known.or(rtt).unwrap_or(UNKNOWN)
    }

    /// After how long it is time to ask again.
    pub(super) fn timeout(&self, rtt: Option<Duration>) -> Duration {
        let timeout = match (self.measured, rtt) {
            (Some(known), _) => known.mean + (known.deviation * 2).max(MARGIN),
            (None, Some(rtt)) => rtt + rtt / 4,
            (None, None) => UNKNOWN,
        };
        timeout.clamp(LEAST, MOST)
    }
}
