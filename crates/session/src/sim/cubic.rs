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

/// What may be under way of a transfer.
#[derive(Clone, Debug)]
pub struct CubicWindow {
    /// In packets.
    size: f64,
    threshold: f64,
    flying: BTreeMap<u64, MediaTime>,
    next: u64,
    /// The transfer's first packet.
    first: u64,
    /// The first packet after the last reduction.
    recovered: u64,
    /// When the window was last reduced, and what it was.
    epoch: Option<(MediaTime, f64)>,
    round_trip: Duration,
    variation: Duration,
    /// Doubles while nothing comes.
    patience: u32,
    heard: MediaTime,
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
            round_trip: Duration::from_millis(300),
            variation: Duration::from_millis(150),
            patience: 0,
            heard: MediaTime::ZERO,
        }
    }
}

impl CubicWindow {
    /// Another transfer begins, as on a connection of its own: what comes late of the one before is none
    /// of this one's.
    pub fn begin(&mut self) {
        *self = CubicWindow {
            next: self.next,
            first: self.next,
            recovered: self.next,
            ..CubicWindow::default()
        };
    }

    /// Whether another packet may leave.
    pub fn has_room(&self) -> bool {
        (self.flying.len() as f64) < self.size
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.flying.is_empty()
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
            self.epoch = Some((now, self.size));
            self.size = (self.size * BETA).max(LEAST_WINDOW);
            self.threshold = self.size;
            self.recovered = self.next;
        }
        lost.len() as u64
    }

    fn grow(&mut self, now: MediaTime) {
        if self.size < self.threshold {
            self.size += 1.0;
            return;
        }
        let (since, most) = *self.epoch.get_or_insert((now, self.size));
        let elapsed = now.saturating_since(since) + self.round_trip;
        let flat = (most * (1.0 - BETA) / C).cbrt();
        let wanted = C * (elapsed.as_secs_f64() - flat).powi(3) + most;
        // As fast as Reno at least.
        let reno = 3.0 * (1.0 - BETA) / (1.0 + BETA);
        let step = ((wanted - self.size) / self.size).max(reno / self.size);
        self.size += step.min(0.5);
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
