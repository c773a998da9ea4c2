//! How long a queue is borne.
//!
//! All who share a queue see the same one. So the more somebody sends, the less of it is borne: the
//! largest is the first to give way, the others grow into what it leaves, and there is no rest before
//! all have the same. (Delay-based TCPs have the same property:
//! [Copa](https://www.usenix.org/conference/nsdi18/presentation/arun)'s rate is the inverse of the queue.)
//!
//! A queue that stands whatever we do is somebody else's, who fills it until it loses. Beside them who is
//! modest has nothing, so that one is borne, until it is gone for good.

use duet_media::MediaTime;
use std::time::Duration;

/// Whatever is sent, this much is borne: pictures of others come between…
const LEAST: Duration = Duration::from_millis(15);
/// … besides as long as so many bits of ours take…
const OURS: f64 = 36_000.0;
/// … but no more than this.
const MOST: Duration = Duration::from_millis(48);
/// A queue shorter than this is none.
pub(super) const NONE: Duration = Duration::from_millis(12);
/// A queue that stands although we send less is somebody else's only if it does so again: once, others who
/// are modest too may just have taken what we left.
const TIMES: u32 = 2;
/// Somebody else's queue may grow by so much.
const ROOM: f64 = 1.3;
/// So much of it is forgotten a second…
const FORGET: f64 = 0.02;
/// … and all of it once there was none for so long: who fills a queue until it loses lets it run empty
/// for a moment after that.
const GONE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Tolerance {
    /// A queue of this length is somebody else's.
    foreign: Duration,
    /// When there last was a queue.
    stood: MediaTime,
    /// How often in a row one stood although we sent less.
    stayed: u32,
}

impl Tolerance {
    /// Takes in that a packet waits so long, `elapsed` seconds after the last.
    pub(super) fn on_wait(&mut self, waits: Duration, elapsed: f64, now: MediaTime) {
        if waits > NONE {
            self.stood = now;
        } else if now.saturating_since(self.stood) > GONE {
            self.foreign = Duration::ZERO;
        }
        self.foreign = self.foreign.mul_f64(1.0 - FORGET * elapsed);
    }

    /// It went as we sent less.
    pub(super) fn went(&mut self) {
        self.stayed = 0;
    }

    /// It stood although we sent less.
    pub(super) fn stayed(&mut self, waits: Duration) {
        self.stayed = self.stayed.saturating_add(1);
        if self.stayed >= TIMES || self.is_beside_others() {
            self.foreign = waits.mul_f64(ROOM);
        }
    }

    /// What of a queue is taken for somebody else's.
    pub(super) fn foreign(&self) -> Duration {
        self.foreign
    }

    /// Whether somebody fills the queue whatever it costs.
    pub(super) fn is_beside_others(&self) -> bool {
        self.foreign > NONE
    }

    /// A longer queue than this is too long for who sends `target` bits a second.
    pub(super) fn most(&self, target: f64) -> Duration {
        self.of_ours(target).max(self.foreign)
    }

    /// The same, where nobody else keeps one.
    pub(super) fn of_ours(&self, target: f64) -> Duration {
        let ours = Duration::try_from_secs_f64(OURS / target).unwrap_or(MOST);
        (LEAST + ours.min(MOST)).min(MOST)
    }
}
