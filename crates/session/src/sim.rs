//! A simulated network link in virtual time, seeded: the same seed loses the same packets.
//!
//! Not part of a call; for tests, here (always) and in the crates above (feature `sim`). One queue, one
//! pipe; what competes for it is for those who send, of whom [`CubicWindow`] is one.

mod cubic;

pub use cubic::CubicWindow;

use std::collections::BTreeMap;
use std::time::Duration;

use duet_media::MediaTime;

use crate::rng::Rng;

/// How a link loses packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// It does not.
    None,
    /// Each with this probability, alone.
    Random(f64),
    /// In bursts (Gilbert-Elliott): every packet in a burst is lost.
    Burst {
        /// Probability that a burst begins with a packet.
        begin: f64,
        /// Probability that it ends after one.
        end: f64,
    },
}

/// By how much packets take longer than others; they keep their order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Jitter {
    /// None does.
    None,
    /// Up to this, each as likely.
    Uniform(Duration),
    /// Up to this, which is three standard deviations: the size of a truncated Gaussian, as
    /// [RFC 8868, 4.5.3](https://www.rfc-editor.org/rfc/rfc8868#section-4.5.3) recommends.
    Gaussian(Duration),
}

impl Jitter {
    /// From a draw of 0 to 1.
    fn of(self, draw: f64) -> Duration {
        match self {
            Jitter::None => Duration::ZERO,
            Jitter::Uniform(most) => most.mul_f64(draw),
            Jitter::Gaussian(most) => {
                // Box and Muller's, who ask for two draws: the last bits of one are another.
                let size = (-2.0 * (1.0 - draw).ln()).sqrt();
                let turns = (draw * f64::from(1 << 26)).fract();
                let deviations = (size * (std::f64::consts::TAU * turns).cos()).abs();
                most.mul_f64((deviations / 3.0).min(1.0))
            }
        }
    }
}

/// What a link does to packets.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// Bits a second; `None` for a pipe that is never full.
    pub rate_bps: Option<u64>,
    /// What waits for the pipe, in bytes, at most; what comes then is lost.
    pub queue_bytes: usize,
    /// Time in the pipe.
    pub delay: Duration,
    /// What a packet takes besides.
    pub jitter: Jitter,
    /// What is lost.
    pub loss: Loss,
    /// Share of packets that are overtaken, by up to [`reorder_by`](Self::reorder_by).
    pub reorder: f64,
    /// How much later an overtaken packet comes, at most.
    pub reorder_by: Duration,
    /// Share of packets that come twice.
    pub duplicate: f64,
    /// From the first time until the second nothing goes in.
    pub outages: Vec<(MediaTime, MediaTime)>,
}

impl Default for LinkConfig {
    /// A perfect pipe of no length.
    fn default() -> Self {
        LinkConfig {
            rate_bps: None,
            queue_bytes: 256 << 10,
            delay: Duration::ZERO,
            jitter: Jitter::None,
            loss: Loss::None,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            duplicate: 0.0,
            outages: Vec::new(),
        }
    }
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Sent into the link.
    pub sent: u64,
    /// Lost to loss or outage.
    pub lost: u64,
    /// Lost to a full queue.
    pub overflowed: u64,
    /// Come out, copies included.
    pub delivered: u64,
}

/// One direction of a network between two ends.
///
/// At most [`MAX_IN_FLIGHT`](Self::MAX_IN_FLIGHT) packets are under way; what comes then is lost and
/// counted as overflowed.
#[derive(Clone, Debug)]
pub struct Link<T> {
    config: LinkConfig,
    rng: Rng,
    in_flight: BTreeMap<(MediaTime, u64), T>,
    serial: u64,
    /// When the pipe's mouth is free.
    free_at: MediaTime,
    last_arrival: MediaTime,
    in_burst: bool,
    counters: LinkCounters,
}

impl<T: Clone> Link<T> {
    /// See [`Link`].
    pub const MAX_IN_FLIGHT: usize = 65_536;

    /// An empty link.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Link {
            config,
            rng: Rng::new(seed),
            in_flight: BTreeMap::new(),
            serial: 0,
            free_at: MediaTime::ZERO,
            last_arrival: MediaTime::ZERO,
            in_burst: false,
            counters: LinkCounters::default(),
        }
    }

    /// What the link does.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes what the link does from now on.
    pub fn set_config(&mut self, config: LinkConfig) {
        self.config = config;
    }

    /// What became of packets so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Sends a packet of `size` bytes at `now`.
    pub fn send(&mut self, packet: T, size: usize, now: MediaTime) {
        self.counters.sent += 1;
        // Every draw is made for every packet, so that one setting does not change the luck of another.
        let [lost, jitter, late, late_by, twice] = std::array::from_fn(|_| self.rng.unit());
        if self.loses(lost, now) {
            self.counters.lost += 1;
            return;
        }
        let sent = match self.config.rate_bps {
            None => now,
            Some(rate) => {
                let rate = rate.max(1);
                let waiting = self.free_at.saturating_since(now).as_secs_f64() * rate as f64 / 8.0;
                if waiting + size as f64 > self.config.queue_bytes as f64 {
                    self.counters.overflowed += 1;
                    return;
                }
                let takes = Duration::from_secs_f64(size as f64 * 8.0 / rate as f64);
                self.free_at = self.free_at.max(now) + takes;
                self.free_at
            }
        };
        let mut arrival = sent + self.config.delay + self.config.jitter.of(jitter);
        if late < self.config.reorder {
            arrival += self.config.reorder_by.mul_f64(late_by);
        } else {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        if twice < self.config.duplicate {
            self.carry(packet.clone(), arrival);
        }
        self.carry(packet, arrival);
    }

    /// The next packet that has come by `now`, and when it came.
    pub fn poll(&mut self, now: MediaTime) -> Option<(MediaTime, T)> {
        let first = self.in_flight.first_entry()?;
        let (arrival, _) = *first.key();
        if arrival > now {
            return None;
        }
        self.counters.delivered += 1;
        Some((arrival, first.remove()))
    }

    /// When the next packet comes.
    pub fn next_arrival(&self) -> Option<MediaTime> {
        self.in_flight.keys().next().map(|(arrival, _)| *arrival)
    }

    fn carry(&mut self, packet: T, arrival: MediaTime) {
        if self.in_flight.len() >= Self::MAX_IN_FLIGHT {
            self.counters.overflowed += 1;
            return;
        }
        self.serial += 1;
        self.in_flight.insert((arrival, self.serial), packet);
    }

    fn loses(&mut self, draw: f64, now: MediaTime) -> bool {
        let lost = match self.config.loss {
            Loss::None => false,
            Loss::Random(probability) => draw < probability,
            Loss::Burst { begin, end } => {
                let turns = if self.in_burst {
                    draw < end
                } else {
                    draw < begin
                };
                self.in_burst ^= turns;
                self.in_burst
            }
        };
        let out = |(from, to): &(MediaTime, MediaTime)| *from <= now && now < *to;
        lost || self.config.outages.iter().any(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(config: LinkConfig, seed: u64, packets: i64) -> (Vec<(MediaTime, i64)>, LinkCounters) {
        let mut link = Link::new(config, seed);
        for n in 0..packets {
            link.send(n, 1_000, MediaTime::from_millis(n));
        }
        let end = MediaTime::from_millis(1_000_000);
        let out = std::iter::from_fn(|| link.poll(end)).collect();
        (out, link.counters())
    }

    #[test]
    fn a_perfect_pipe_delays_and_does_nothing_else() {
        let config = LinkConfig {
            delay: Duration::from_millis(20),
            ..LinkConfig::default()
        };
        let (out, _) = run(config, 1, 100);
        let expected: Vec<_> = (0..100)
            .map(|n| (MediaTime::from_millis(n + 20), n))
            .collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn jitter_keeps_the_order() {
        let config = LinkConfig {
            jitter: Jitter::Uniform(Duration::from_millis(30)),
            ..LinkConfig::default()
        };
        let (out, _) = run(config, 2, 1_000);
        assert!(out.windows(2).all(|w| w[0].1 < w[1].1));
        assert!(
            out.iter()
                .all(|(at, n)| (0..=30).contains(&(at.as_millis() - n)))
        );
    }

    #[test]
    fn jitter_is_of_the_size_that_it_says() {
        let most = Duration::from_millis(30);
        // Each alone: no packet holds up another.
        let mut rng = Rng::new(1);
        let mut mean = |jitter: Jitter| {
            let all: Vec<Duration> = (0..20_000).map(|_| jitter.of(rng.unit())).collect();
            assert!(all.iter().all(|jitter| *jitter <= most));
            all.iter().sum::<Duration>().as_secs_f64() * 1e3 / 20_000.0
        };
        assert!((mean(Jitter::Uniform(most)) - 15.0).abs() < 0.3);
        // The mean of a Gaussian's size is the deviation by the root of 2 in pi.
        assert!((mean(Jitter::Gaussian(most)) - 8.0).abs() < 0.2);
    }

    #[test]
    fn a_narrow_pipe_fills_its_queue() {
        let config = LinkConfig {
            rate_bps: Some(4_000_000),
            queue_bytes: 10_000,
            ..LinkConfig::default()
        };
        let (out, counters) = run(config, 1, 1_000);
        // 8 Mbit/s into 4: half is lost, none waits longer than the queue.
        assert!((450..550).contains(&counters.overflowed), "{counters:?}");
        let longest = out.iter().map(|(at, n)| at.as_millis() - n).max();
        assert!(longest <= Some(20), "{longest:?}");
    }

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let config = LinkConfig {
            jitter: Jitter::Uniform(Duration::from_millis(10)),
            loss: Loss::Random(0.1),
            reorder: 0.1,
            reorder_by: Duration::from_millis(30),
            duplicate: 0.05,
            ..LinkConfig::default()
        };
        let (out, counters) = run(config.clone(), 7, 2_000);
        assert_eq!((out.clone(), counters), run(config.clone(), 7, 2_000));
        assert_ne!(out, run(config, 8, 2_000).0);
        assert!((150..250).contains(&counters.lost), "{counters:?}");
        let twice = counters.delivered + counters.lost - counters.sent;
        assert!((50..140).contains(&twice), "{counters:?}");
        assert!(
            out.windows(2).any(|w| w[1].1 < w[0].1),
            "nothing was overtaken"
        );
    }

    #[test]
    fn bursts_and_outages_lose_in_a_row() {
        let config = LinkConfig {
            loss: Loss::Burst {
                begin: 0.01,
                end: 0.2,
            },
            outages: vec![(MediaTime::from_millis(500), MediaTime::from_millis(700))],
            ..LinkConfig::default()
        };
        let (out, _) = run(config, 3, 5_000);
        let gaps: Vec<i64> = out
            .windows(2)
            .map(|w| w[1].1 - w[0].1 - 1)
            .filter(|gap| *gap > 0)
            .collect();
        let mean = gaps.iter().filter(|gap| **gap < 100).sum::<i64>() as f64 / gaps.len() as f64;
        assert!((3.0..8.0).contains(&mean), "{mean}");
        assert!(gaps.iter().any(|gap| *gap >= 200));
    }
}
