//! Which packets are missing, and when to ask for them
//! ([RFC 4585](https://www.rfc-editor.org/rfc/rfc4585#section-6.2.1)).
//!
//! It is fed after retransmissions were unwrapped, so what was recovered is never asked for again.
//! How long an answer takes it finds out by itself: who only receives has no other way to know.

mod answers;
#[cfg(test)]
mod tests;

use answers::Answers;
use duet_session::SequenceUnwrapper;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// So many are remembered as missing; with more than that only a key frame helps.
const MAX_MISSING: usize = 512;
/// How often one packet is asked for.
const MAX_TRIES: u8 = 10;
/// What has been missing for longer comes too late to be shown.
const MAX_AGE: Duration = Duration::from_secs(1);
/// A gap is not asked for at once: on many paths neighbours change places.
const PATIENCE: Duration = Duration::from_millis(4);
/// Where repair packets come, they come behind the picture, and may make up for it: they are waited for, in
/// parts of the time that an answer takes, but no longer than a picture takes to leave.
const REPAIR_PATIENCE: (u32, Duration) = (8, Duration::from_millis(30));
/// More than so many missing after a silence of so long: that was an outage. A key frame is there
/// sooner than all of them.
const OUTAGE: (i64, Duration) = (16, Duration::from_millis(400));

/// Where more than one packet in so many is lost, requests are too: each is said twice. Who answers
/// takes them for one.
const ONE_IN: f64 = 50.0;
/// How long after the first, in parts of the time that an answer takes.
const ECHO_AFTER: u32 = 8;
const LEAST_ECHO_AFTER: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
struct Missing {
    since: Instant,
    next: Instant,
    tries: u8,
    /// When it was asked for last, and before that.
    asked: [Option<Instant>; 2],
    /// After that, when to ask again unless it has come; until then the request is to be repeated.
    retry: Option<Instant>,
}

/// The gaps of one stream.
#[derive(Default)]
pub(crate) struct NackTracker {
    unwrapper: SequenceUnwrapper,
    missing: BTreeMap<i64, Missing>,
    answers: Answers,
    /// When the stream last went on.
    advanced: Option<Instant>,
    /// Share of packets lost, of the last few hundred.
    loss: f64,
    repaired: bool,
}

impl NackTracker {
    /// A packet came; `retransmitted`: because it was asked for.
    pub(crate) fn on_packet(&mut self, sequence_number: u16, retransmitted: bool, now: Instant) {
        let before = self.unwrapper.highest();
        let number = self.unwrapper.unwrap(sequence_number);
        let Some(highest) = before else {
            self.advanced = Some(now);
            return;
        };
        if number <= highest {
            let missing = self.missing.remove(&number);
            if let Some(missing) = missing.filter(|_| retransmitted) {
                self.answers.note(missing.asked, now);
            }
            return;
        }
        let last = self.advanced.replace(now).unwrap_or(now);
        let silence = now.saturating_duration_since(last);
        let lost = number - highest - 1;
        self.loss += (lost.min(10) as f64 - self.loss * (lost.min(10) + 1) as f64) / 200.0;
        let (many, long) = OUTAGE;
        if lost > MAX_MISSING as i64 || lost > many && silence > long {
            // A stream that started anew, or a blackout: nothing to be had by asking.
            self.missing.clear();
            return;
        }
        let missing = Missing {
            since: now,
            next: now + self.patience(),
            tries: 0,
            asked: [None; 2],
            retry: None,
        };
        self.missing
            .extend((highest + 1..number).map(|gap| (gap, missing)));
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// Whether the other side sends what may make up for losses.
    pub(crate) fn set_repaired(&mut self, repaired: bool) {
        self.repaired = repaired;
    }

    /// Sequence numbers to ask for now. `rtt`: the round trip, if somebody else knows it.
    pub(crate) fn due(&mut self, now: Instant, rtt: Option<Duration>) -> Vec<u16> {
        let retry = self.answers.timeout(rtt);
        let echo = (self.answers.expected(rtt) / ECHO_AFTER).max(LEAST_ECHO_AFTER);
        let lossy = self.loss * ONE_IN > 1.0;
        let mut wanted = Vec::new();
        self.missing.retain(|number, missing| {
            if missing.next > now {
                return true;
            }
            if let Some(retry) = missing.retry.take() {
                missing.next = retry;
            } else {
                let age = now.saturating_duration_since(missing.since);
                if missing.tries == MAX_TRIES || age > MAX_AGE {
                    return false;
                }
                missing.tries += 1;
                missing.asked = [Some(now), missing.asked[0]];
                missing.next = now + retry;
                if lossy && echo < retry {
                    missing.retry = Some(missing.next);
                    missing.next = now + echo;
                }
            }
            wanted.push(u16::try_from(number.rem_euclid(1 << 16)).unwrap_or_default());
            true
        });
        wanted
    }

    /// When [`due`](Self::due) is to be asked again; `None` while nothing is missing.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.missing.values().map(|missing| missing.next).min()
    }

    /// How long an answer takes, by what came; by `rtt`, what others know of the path, before one did.
    pub(crate) fn answer_time(&self, rtt: Option<Duration>) -> Duration {
        self.answers.expected(rtt)
    }

    fn patience(&self) -> Duration {
        let (parts, most) = REPAIR_PATIENCE;
        match self.repaired {
            true => (self.answers.expected(None) / parts).clamp(PATIENCE, most),
            false => PATIENCE,
        }
    }

    /// A key frame came: what is older than `sequence_number` is of no use.
    pub(crate) fn forget_before(&mut self, sequence_number: u16) {
        let number = self.unwrapper.peek(sequence_number);
        self.missing = self.missing.split_off(&number);
    }
}
