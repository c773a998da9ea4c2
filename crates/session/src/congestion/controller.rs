//! The target, from all that is known.

use super::PacketResult;
use super::acknowledged::Acknowledged;
use super::loss::{Loss, LossNews};
use super::queue::Queue;
use super::tolerance::{NONE, Tolerance};
use super::train::Trains;
use super::trend::{Trend, Usage};
use duet_media::MediaTime;
use std::time::Duration;

/// What arrived is counted over this long…
const WINDOW: Duration = Duration::from_millis(500);
/// … and over these when the path has just changed: if less than this share of the longer's rate came
/// within the shorter, only that counts.
const SHORT_WINDOWS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(100)];
const FALLEN: f64 = 0.75;
/// A fall shows in no fewer bits than these: fewer packets are chance.
const TELLING: f64 = 80_000.0;
/// A queue that grows is drained at this share of what is borne, and one that is longer than this many
/// times that much at once, whether it stands or not.
const GROWS: f64 = 0.8;
const SUDDEN: f64 = 2.0;
/// Draining takes this long, besides the queue itself.
const DRAIN_TIME: Duration = Duration::from_millis(200);
/// No less of the path's rate is used while draining: sound goes on, and a picture now and then.
const DRAIN_LEAST: f64 = 0.3;
const DRAIN_MOST: f64 = 0.75;
/// While draining a queue of ours, no less than this share of what arrived before does. Below the second
/// rate, in bits a second, none is ours.
const OURS: f64 = 0.85;
const HARDLY: f64 = 120_000.0;
/// What a queue is expected to grow at most before less arrives.
const MOST_GROWTH: Duration = Duration::from_millis(200);
/// Packets leave so much faster than the target.
const PACE: f64 = 2.5;
const DRAIN_PACE: f64 = 1.0;
/// Into somebody else's queue they leave more evenly: it may be full.
const PACE_BESIDE_OTHERS: f64 = 1.3;
/// So much of what the path carried is used after a queue was drained.
const RESUME: f64 = 0.96;
/// After that the rate stays for so long: what is found out now is still of before.
const REST: Duration = Duration::from_millis(800);
/// Growth a second where nothing is known.
const FAST_GROWTH: f64 = 0.12;
/// Growth a second near what the path carried, in bits a second: the same for all who share it, so that
/// they come to have the same. The longer ago it was congested, the less that binds.
const SLOW_GROWTH: f64 = 30_000.0;
const BINDS: Duration = Duration::from_secs(2);
/// By so much growth is slower where the queue is about to be too long.
const SLOWER: f64 = 0.7;
/// Growth a second towards what a train has shown that there is room for.
const SHOWN_GROWTH: f64 = 3.0;
/// So much of what trains show is believed.
const SHOWN_SHARE: f64 = 0.85;
/// … and no more than the share of it that was ours when the queue stood, but for this at least. Each time
/// so much is learned of it: single trains tell little.
const LEAST_SHARE: f64 = 0.05;
const LEARN_SHARE: f64 = 0.2;
/// They are news if they show this much more than the target.
const NEWS: f64 = 1.2;
/// The target may be so much above what arrived.
const HEADROOM: f64 = 1.5;
/// Below this share of the known capacity growth is fast, and above that one the capacity is another.
const NEAR: (f64, f64) = (0.85, 1.15);
/// Congestion's share of losses: below the first there is none, above the second the rate falls.
const LOSSES: (f64, f64) = (0.02, 0.08);
/// A queue this long that loses is full, and one whose path carries no more than this share of what is sent
/// soon will be. It is told once in a while.
const COLLAPSE: f64 = 0.6;
const OVERLOAD: Duration = Duration::from_millis(120);
const OVERLOAD_REST: Duration = Duration::from_secs(1);
/// So much is sent to see whether less is lost.
const TRIAL: f64 = 0.8;
/// Arrivals so far from the last ones are by another clock.
const JUMP: Duration = Duration::from_secs(10);
/// Without a word for so long (besides the round trip) nothing is known any more.
const SILENCE: Duration = Duration::from_millis(400);

/// Bounds of the target, in bits a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CongestionConfig {
    /// Before anything is known.
    pub start: f64,
    /// At least.
    pub min: f64,
    /// At most.
    pub max: f64,
}

/// What the rate does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// It grows.
    Growing,
    /// Less is sent until the queue is gone, or until it is no use.
    Draining {
        until: MediaTime,
        queue: Duration,
        resume: f64,
    },
    /// It stays.
    Resting { until: MediaTime },
    /// Less is sent to see whether less is lost.
    Trying { back: f64 },
}

/// Tells how many bits a second to send.
#[derive(Debug)]
pub struct CongestionController {
    config: CongestionConfig,
    target: f64,
    phase: Phase,
    /// What the path carried when its queue stood.
    capacity: Option<f64>,
    /// When it last did.
    congested: MediaTime,
    /// The share of what trains showed that the path carried of ours when its queue stood: the rest is
    /// others'. A train is over before it learns of them all.
    share: f64,
    tolerance: Tolerance,
    acknowledged: Acknowledged,
    trend: Trend,
    queue: Queue,
    trains: Trains,
    loss: Loss,
    round_trip: Duration,
    /// Packets of the last report that were lost.
    lost: usize,
    overloads: u64,
    overloaded: MediaTime,
    updated: Option<MediaTime>,
    heard: Option<MediaTime>,
    /// When the last packet of the last report came, by the other side's clock.
    came: MediaTime,
    silent: bool,
}

impl CongestionController {
    /// A controller that has heard nothing.
    pub fn new(config: CongestionConfig) -> Self {
        let max = config.max.max(config.min);
        let config = CongestionConfig {
            max,
            start: config.start.clamp(config.min, max),
            ..config
        };
        CongestionController {
            target: config.start,
            config,
            phase: Phase::Growing,
            capacity: None,
            congested: MediaTime::ZERO,
            share: 1.0,
            tolerance: Tolerance::default(),
            acknowledged: Acknowledged::default(),
            trend: Trend::new(),
            queue: Queue::default(),
            trains: Trains::default(),
            loss: Loss::default(),
            round_trip: Duration::from_millis(100),
            lost: 0,
            overloads: 0,
            overloaded: MediaTime::ZERO,
            updated: None,
            heard: None,
            came: MediaTime::ZERO,
            silent: false,
        }
    }

    /// Bits a second to send.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Bits a second at which packets may leave. More than the target: a picture should not take its whole
    /// interval, and that shows what room there is. But a queue is not drained while it is filled.
    pub fn pace(&self) -> f64 {
        match self.phase {
            Phase::Draining { .. } => self.target * DRAIN_PACE,
            _ if self.tolerance.is_beside_others() => self.target * PACE_BESIDE_OTHERS,
            _ => self.target * PACE,
        }
    }

    /// Bits a second that arrived of late; `None` before anything is known.
    pub fn acknowledged(&self) -> Option<f64> {
        self.acknowledged.rate(WINDOW)
    }

    /// Share of packets lost of late, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss.share()
    }

    /// How long a packet waits in queues on its way.
    pub fn queue(&self) -> Duration {
        self.queue.wait()
    }

    /// How often the path fell so far that its queue overflows: what was made for it is late or lost, and
    /// what goes on from that is of no use.
    pub fn overloads(&self) -> u64 {
        self.overloads
    }

    /// Takes in a report that came at `now`: packets in the order of departure.
    pub fn on_report(&mut self, packets: &[PacketResult], now: MediaTime) {
        let arrived = packets
            .iter()
            .filter_map(|packet| Some((packet, packet.arrival?)));
        let Some(last) = packets.iter().rfind(|packet| packet.arrival.is_some()) else {
            self.note_losses(packets, now);
            return;
        };
        let came = last.arrival.unwrap_or_default();
        let jumped = came.nanos_since(self.came).unsigned_abs() > JUMP.as_nanos() as u64;
        self.came = came;
        if std::mem::take(&mut self.silent) || jumped {
            // The path may be another, and what was sent meanwhile is gone or in a queue; or the other
            // side's clock is another.
            self.acknowledged.start_afresh();
            self.trains.start_afresh();
            self.queue.start_afresh();
            self.trend = Trend::new();
        }
        self.heard = Some(now);
        let round_trip = now.saturating_since(last.departure);
        self.round_trip = (self.round_trip * 7 + round_trip) / 8;
        for (packet, arrival) in arrived.clone() {
            self.acknowledged.on_arrival(arrival, packet.bytes);
            self.trend.on_packet(packet, arrival);
        }
        packets
            .iter()
            .for_each(|packet| self.trains.on_packet(packet, now));
        let delays = arrived.map(|(packet, arrival)| (packet.departure, arrival));
        self.queue.on_report(delays, now);
        self.note_losses(packets, now);
        self.update(now);
    }

    /// When to call [`on_timeout`](Self::on_timeout), unless a report comes before.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        let heard = self.heard.filter(|_| !self.silent)?;
        Some(heard + SILENCE + self.round_trip.min(SILENCE))
    }

    /// Nothing was heard for long.
    pub fn on_timeout(&mut self, now: MediaTime) {
        if self.next_timeout().is_some_and(|due| due <= now) {
            self.silent = true;
            self.loss.break_off();
            if let Phase::Draining { resume: back, .. } | Phase::Trying { back } = self.phase {
                self.set(back);
            }
            self.phase = Phase::Growing;
            self.updated = None;
        }
    }

    fn note_losses(&mut self, packets: &[PacketResult], now: MediaTime) {
        let lost = packets.iter().filter(|packet| packet.arrival.is_none());
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.lost = lost.count();
        let (sent, lost) = (count(packets.len()), count(self.lost));
        let news = self.loss.on_report(sent, lost, now, self.round_trip);
        let draining = matches!(self.phase, Phase::Draining { .. });
        match news {
            None => {}
            // Of a queue: that is being seen to.
            Some(LossNews::TrialBegins) if draining => self.loss.break_off(),
            Some(LossNews::Congested(_)) if draining => {}
            Some(LossNews::Congested(share)) if share > LOSSES.1 => {
                self.set(self.target * (1.0 - 0.5 * share));
                self.phase = Phase::Resting { until: now + REST };
            }
            Some(LossNews::Congested(share))
                if share > LOSSES.0 && self.phase == Phase::Growing =>
            {
                self.phase = Phase::Resting { until: now + REST };
            }
            Some(LossNews::Congested(_)) => {}
            Some(LossNews::TrialBegins) => {
                self.phase = Phase::Trying { back: self.target };
                self.set(self.target * TRIAL);
            }
            Some(LossNews::TrialEnds { cured }) => {
                let Phase::Trying { back } = self.phase else {
                    return;
                };
                if cured {
                    // Somewhere between the two is what the path carries.
                    self.capacity = Some(self.target / RESUME);
                } else {
                    self.set(back);
                }
                self.phase = Phase::Resting { until: now + REST };
            }
        }
    }

    fn update(&mut self, now: MediaTime) {
        let before = self.updated.replace(now).unwrap_or(now);
        let elapsed = now.saturating_since(before).as_secs_f64().min(0.5);
        let waits = self.queue.wait();
        if waits >= OVERLOAD.max(self.tolerance.foreign()) && self.lost > 0 {
            self.overload(now);
        }
        self.tolerance.on_wait(waits, elapsed, now);
        match self.phase {
            Phase::Draining {
                until,
                queue,
                resume,
            } => {
                let worse = self
                    .carried()
                    .is_some_and(|now| now * RESUME < resume * FALLEN);
                if worse && waits > queue / 2 {
                    // It was taken for better than it is: what arrived was of before.
                    self.drain(waits, now);
                } else if waits <= NONE.max(queue / 5) {
                    self.tolerance.went();
                    self.set(resume);
                    self.phase = Phase::Resting { until: now + REST };
                } else if now >= until {
                    // While a queue of ours stands, as much arrives as ever. If less does, and it stands all
                    // the same, somebody else took the room: there is no use in sending less.
                    // So it is, too, if what we send can hardly keep a queue.
                    let arrives = self.acknowledged.rate(SHORT_WINDOWS[0]).unwrap_or(0.0);
                    let taken = arrives < resume / RESUME * OURS || self.target < HARDLY;
                    if self.queue.stands() > queue / 2 && taken {
                        self.tolerance.stayed(waits);
                    }
                    self.set(resume);
                    self.phase = Phase::Resting { until: now + REST };
                }
                return;
            }
            Phase::Resting { until } if now >= until => self.phase = Phase::Growing,
            Phase::Resting { .. } | Phase::Growing | Phase::Trying { .. } => {}
        }
        let stands = self.queue.stands();
        let most = self.tolerance.most(self.target);
        let too_long = stands > most || waits > most.mul_f64(SUDDEN);
        // A queue that somebody else keeps grows and shrinks with what they do.
        let foreign = waits < self.tolerance.foreign();
        let grows = self.trend.usage() == Usage::Over
            && !foreign
            && stands > self.tolerance.of_ours(self.target).mul_f64(GROWS);
        if too_long || grows {
            self.drain(waits, now);
        } else if self.phase == Phase::Growing && (foreign || self.trend.usage() == Usage::Normal) {
            let near = if foreign {
                0.0
            } else {
                stands.as_secs_f64() / most.as_secs_f64()
            };
            self.grow(elapsed * (1.0 - SLOWER * near), now);
        }
    }

    /// Sends less for as long as it takes until the queue is gone.
    fn drain(&mut self, waits: Duration, now: MediaTime) {
        let Some(carried) = self.carried() else {
            return;
        };
        let carried = carried.min(self.target).max(self.config.min);
        if carried < self.target * COLLAPSE {
            self.overload(now);
        }
        self.capacity = Some(carried);
        self.congested = now;
        if let Some(shown) = self.trains.shown(now) {
            let share = (carried / shown).clamp(LEAST_SHARE, 1.0);
            self.share += (share - self.share) * LEARN_SHARE;
        }
        self.loss.break_off();
        // What left in the last round trip is still to come into it.
        let grows = (self.target / carried - 1.0).max(0.0) * self.round_trip.as_secs_f64();
        let queue = waits.saturating_sub(self.tolerance.foreign())
            + MOST_GROWTH.min(Duration::try_from_secs_f64(grows).unwrap_or(MOST_GROWTH));
        let takes = DRAIN_TIME + queue / 2;
        let less = 1.0 - queue.as_secs_f64() / takes.as_secs_f64();
        self.set(carried * less.clamp(DRAIN_LEAST, DRAIN_MOST));
        self.phase = Phase::Draining {
            until: now + takes + self.round_trip + Duration::from_millis(100),
            queue: waits.max(queue),
            resume: carried * RESUME,
        };
    }

    fn overload(&mut self, now: MediaTime) {
        if now >= self.overloaded + OVERLOAD_REST {
            self.overloads += 1;
            self.overloaded = now;
        }
    }

    /// What the path carries while a queue stands: what arrives.
    fn carried(&self) -> Option<f64> {
        let rate = |window| self.acknowledged.rate(window);
        let long = rate(WINDOW)?;
        let telling = |window: &&Duration| long * window.as_secs_f64() >= TELLING;
        let shorter = SHORT_WINDOWS.iter().filter(telling);
        let fallen = shorter.fold(long, |carried, window| match rate(*window) {
            Some(short) if short < carried * FALLEN => short,
            _ => carried,
        });
        if fallen < long {
            return Some(fallen);
        }
        // A queue that is short stood for the last moments only: before, the path was not full.
        Some(rate(SHORT_WINDOWS[0]).map_or(long, |latest| latest.max(long)))
    }

    fn grow(&mut self, elapsed: f64, now: MediaTime) {
        // Where somebody else fills the queue, a train shows theirs.
        let shown = match self.trains.shown(now) {
            Some(shown) if !self.tolerance.is_beside_others() => shown,
            _ => 0.0,
        };
        let shown = shown * SHOWN_SHARE.min(self.share);
        if self.capacity.is_some_and(|capacity| {
            self.target > capacity * NEAR.1 || shown > capacity * NEAR.1 * 1.2
        }) {
            self.capacity = None;
        }
        let near = self
            .capacity
            .is_some_and(|capacity| self.target > capacity * NEAR.0);
        let by = if shown > self.target * NEWS {
            (self.target * SHOWN_GROWTH * elapsed).min(shown - self.target)
        } else if near {
            let ago = now.saturating_since(self.congested).as_secs_f64() / BINDS.as_secs_f64();
            let slow = SLOW_GROWTH * (1.0 + ago * ago);
            slow.min(self.target * FAST_GROWTH).max(SLOW_GROWTH) * elapsed
        } else {
            (self.target * FAST_GROWTH).max(SLOW_GROWTH) * elapsed
        };
        let mut next = self.target + by;
        // Nothing is known of what was not tried.
        if let Some(arrived) = self.acknowledged.rate(WINDOW) {
            let proven = (arrived * HEADROOM + 10_000.0).max(shown);
            next = next.min(proven.max(self.target));
        }
        self.set(next);
    }

    fn set(&mut self, target: f64) {
        self.target = target.clamp(self.config.min, self.config.max);
    }
}
