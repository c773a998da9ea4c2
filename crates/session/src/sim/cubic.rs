//! The window of a transfer by [CUBIC](https://www.rfc-editor.org/rfc/rfc9438) with selective
//! acknowledgements, as TCP has it on most systems.
//!
//! A model of windows, not of segments.

use duet_media::MediaTime;
use std::collections::BTreeMap;
use std::time::Duration;

/// Packets acknowledged behind a missing one, after which it is lost.
const REORDERING: u64 = 3;
/// Least time after which nothing is expected any more.
const LEAST_TIMEOUT: Duration = Duration::from_millis(200);
/// A window's beginning, and its least, in packets.
const FIRST_WINDOW: f64 = 10.0;
const LEAST_WINDOW: f64 = 2.0;
/// RFC 9438's constants.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Where it grows as Reno would, by so many packets a round trip.
const RENO: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// What may be under way of a transfer.
#[derive(Clone, Debug)]
pub struct CubicWindow {
    /// In packets.
    size: f64,
    threshold: f64,
    flying: BTreeMap<u64, MediaTime>,
    next: u64,
    /// The file's first packet.
    first: u64,
    /// The first packet after the last reduction.
    recovered: u64,
    epoch: Option<Epoch>,
    /// Where the last epoch's curve was to be flat; none before the first loss.
    flat: f64,
    round_trip: Duration,
    variation: Duration,
    /// Doubles while nothing comes.
    patience: u32,
    heard: MediaTime,
}

/// Since the window was last reduced.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    since: MediaTime,
    /// The curve is flat at this size, so many seconds after its beginning.
    flat: (f64, f64),
    /// What [Reno](https://www.rfc-editor.org/rfc/rfc5681) would have by now.
    reno: f64,
}

impl Default for CubicWindow {
    fn default() -> Self {
        CubicWindow {
            size: FIRST_WINDOW,
            threshold: f64::INFINITY,
            flying: BTreeMap::new(),
            next: 0,
            first: 0,
            recovered: 0,
            epoch: None,
            flat: 0.0,
            round_trip: Duration::from_millis(300),
            variation: Duration::from_millis(150),
            patience: 0,
            heard: MediaTime::ZERO,
        }
    }
}

impl CubicWindow {
    /// The window of another file over the same way: numbers go on, and what comes late of the file before
    /// is none of this one's.
    pub fn next_file(&self) -> CubicWindow {
        CubicWindow {
            next: self.next,
            recovered: self.next,
            first: self.next,
            ..CubicWindow::default()
        }
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty()
    }

    /// Whether another packet may leave.
    pub fn has_room(&self) -> bool {
        (self.flying.len() as f64) < self.size
    }

    /// A packet leaves at `now`: its number.
    pub fn fly(&mut self, now: MediaTime) -> u64 {
        if self.flying.is_empty() {
            self.heard = now;
        }
        let number = self.next;
        self.next += 1;
        self.flying.insert(number, now);
        number
    }

    /// Packet `number` has arrived. How many packets are to be sent again.
    pub fn on_ack(&mut self, number: u64, now: MediaTime) -> u64 {
        if number < self.first {
            return 0;
        }
        self.heard = now;
        self.patience = 0;
        if let Some(sent) = self.flying.remove(&number) {
            let took = now.saturating_since(sent);
            let off = took.abs_diff(self.round_trip);
            self.variation = (self.variation * 3 + off) / 4;
            self.round_trip = (self.round_trip * 7 + took) / 8;
            self.grow(now);
        }
        let behind = number.saturating_sub(REORDERING);
        let kept = self.flying.split_off(&(behind + 1));
        let lost = std::mem::replace(&mut self.flying, kept);
        if number >= REORDERING && lost.keys().any(|lost| *lost >= self.recovered) {
            self.reduce(now);
            self.recovered = self.next;
        }
        lost.len() as u64
    }

    fn reduce(&mut self, now: MediaTime) {
        // Less than the last time: somebody new is there, who is left some room.
        let flat = match self.size < self.flat {
            true => self.size * (1.0 + BETA) / 2.0,
            false => self.size,
        };
        self.flat = flat;
        self.size = (self.size * BETA).max(LEAST_WINDOW);
        self.threshold = self.size;
        self.epoch = Some(Epoch {
            since: now,
            flat: (flat, ((flat - self.size).max(0.0) / C).cbrt()),
            reno: self.size,
        });
    }

    fn grow(&mut self, now: MediaTime) {
        if self.size < self.threshold {
            self.size += 1.0;
            return;
        }
        let epoch = self.epoch.get_or_insert(Epoch {
            since: now,
            flat: (self.size, 0.0),
            reno: self.size,
        });
        let (flat, after) = epoch.flat;
        let elapsed = now.saturating_since(epoch.since) + self.round_trip;
        let wanted = C * (elapsed.as_secs_f64() - after).powi(3) + flat;
        let least = if epoch.reno < flat { RENO } else { 1.0 };
        epoch.reno += least / self.size;
        let step = (wanted - self.size) / self.size;
        self.size = (self.size + step.clamp(0.0, 0.5)).max(epoch.reno);
    }

    /// When to call [`on_timeout`](Self::on_timeout), unless something is acknowledged before.
    pub fn timeout(&self) -> MediaTime {
        let patience = (self.round_trip + self.variation * 4).max(LEAST_TIMEOUT);
        self.heard + patience * (1 << self.patience.min(6))
    }

    /// Nothing came for long. How many packets are to be sent again.
    pub fn on_timeout(&mut self) -> u64 {
        self.threshold = (self.size * BETA).max(LEAST_WINDOW);
        self.size = LEAST_WINDOW;
        self.epoch = None;
        self.recovered = self.next;
        self.patience += 1;
        let lost = self.flying.len();
        self.flying.clear();
        lost as u64
    }
}
