//! A sender that sends just what it is told, over a modelled link.

use super::*;
use crate::sim::{Link, LinkConfig, Loss};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);
const FEEDBACK: u64 = 50;
const PACKET: usize = 1_200;

struct Run {
    controller: CongestionController,
    link: Link<usize>,
    back: Duration,
    packets: Vec<PacketResult>,
    reported: usize,
    now: MediaTime,
    on_the_way_back: VecDeque<(MediaTime, Vec<PacketResult>)>,
    due: Duration,
    /// What a picture still has to send.
    waiting: f64,
    arrived: Vec<(MediaTime, Duration)>,
}

fn link(kbps: u64) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: (kbps * 1_000 / 8 * 300 / 1_000) as usize,
        delay: Duration::from_millis(50),
        ..Default::default()
    }
}

impl Run {
    fn new(config: LinkConfig) -> Run {
        Run {
            controller: CongestionController::new(CongestionConfig {
                start: 1_000_000.0,
                min: 60_000.0,
                max: 4_000_000.0,
            }),
            link: Link::new(config, 7),
            back: Duration::from_millis(50),
            packets: Vec::new(),
            reported: 0,
            now: MediaTime::ZERO,
            on_the_way_back: VecDeque::new(),
            due: Duration::ZERO,
            waiting: 0.0,
            arrived: Vec::new(),
        }
    }

    /// Pictures at 30 a second, each of which leaves at two and a half times the target.
    fn run(&mut self, duration: Duration) -> (f64, Duration) {
        let (begun, until) = (self.now, self.now + duration);
        let first = self.arrived.len();
        while self.now < until {
            let millis = self.now.as_millis() as u64;
            let target = self.controller.target();
            if millis.is_multiple_of(33) {
                self.waiting += target * 0.033 / 8.0;
            }
            let mut may = target * 2.5 / 8.0 / 1_000.0 + self.due.as_secs_f64();
            while self.waiting >= PACKET as f64 && may >= PACKET as f64 {
                may -= PACKET as f64;
                self.waiting -= PACKET as f64;
                self.link.send(self.packets.len(), PACKET, self.now);
                self.packets.push(PacketResult {
                    departure: self.now,
                    arrival: None,
                    bytes: PACKET,
                });
            }
            self.due = Duration::from_secs_f64(may.min(PACKET as f64));
            while let Some((arrival, packet)) = self.link.poll(self.now) {
                // The receiver's clock is another.
                let theirs = arrival + Duration::from_secs(1_000);
                self.packets[packet].arrival = Some(theirs);
                let departure = self.packets[packet].departure;
                self.arrived
                    .push((arrival, arrival.saturating_since(departure)));
            }
            if millis.is_multiple_of(FEEDBACK) {
                let last = self
                    .packets
                    .iter()
                    .rposition(|packet| packet.arrival.is_some());
                if let Some(last) = last.filter(|last| *last >= self.reported) {
                    let report = self.packets[self.reported..=last].to_vec();
                    self.reported = last + 1;
                    self.on_the_way_back
                        .push_back((self.now + self.back, report));
                }
            }
            while let Some((at, _)) = self.on_the_way_back.front()
                && *at <= self.now
                && let Some((_, report)) = self.on_the_way_back.pop_front()
            {
                self.controller.on_report(&report, self.now);
            }
            if self
                .controller
                .next_timeout()
                .is_some_and(|due| due <= self.now)
            {
                self.controller.on_timeout(self.now);
            }
            self.now += TICK;
        }
        let arrived = &self.arrived[first..];
        let bits = arrived.len() as f64 * PACKET as f64 * 8.0;
        let mut delays: Vec<_> = arrived.iter().map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        let p95 = delays.get(delays.len() * 95 / 100).copied();
        let rate = bits / self.now.saturating_since(begun).as_secs_f64();
        (rate, p95.unwrap_or_default())
    }
}

const BASE: Duration = Duration::from_millis(50);

#[test]
fn the_variable_capacity_of_rfc_8867_is_used_without_a_queue() {
    let mut run = Run::new(link(1_000));
    for (kbps, seconds) in [(1_000, 40), (2_500, 20), (600, 20), (1_000, 20)] {
        run.link.set_config(link(kbps));
        let half = Duration::from_secs(seconds / 2);
        let whole = run.run(half);
        let (rate, p95) = run.run(half);
        eprintln!("{kbps}: first half {whole:?}, second half {rate:.0} {p95:?}");
        let used = rate / (kbps as f64 * 1_000.0);
        assert!(used > 0.9, "{kbps} kbit/s: {used:.2} used");
        let queue = p95.saturating_sub(BASE);
        assert!(
            queue < Duration::from_millis(100),
            "{kbps} kbit/s: {queue:?}"
        );
    }
}

#[test]
fn losses_that_stay_whatever_is_sent_do_not_count() {
    let config = LinkConfig {
        rate_bps: None,
        loss: Loss::Random(0.05),
        ..link(1_000)
    };
    let mut run = Run::new(config);
    run.run(Duration::from_secs(20));
    let target = run.controller.target();
    assert!(target > 2_500_000.0, "{target:.0}");
    let loss = run.controller.loss();
    assert!((0.02..0.1).contains(&loss), "{loss}");
}

#[test]
fn a_queue_too_short_to_be_seen_is_known_by_its_losses() {
    let config = LinkConfig {
        queue_bytes: 6_000,
        ..link(1_000)
    };
    let mut run = Run::new(config);
    run.run(Duration::from_secs(10));
    let (rate, _) = run.run(Duration::from_secs(20));
    let counters = run.link.counters();
    let lost = counters.overflowed as f64 / counters.sent as f64;
    eprintln!("{rate:.0}, {lost:.3} lost");
    assert!(rate > 700_000.0, "{rate:.0}");
    assert!(lost < 0.08, "{lost:.3}");
}

#[test]
fn a_wide_path_is_found_within_two_seconds() {
    let mut run = Run::new(link(5_000));
    run.run(Duration::from_secs(2));
    let target = run.controller.target();
    assert!(target > 3_000_000.0, "{target:.0}");
}

#[test]
fn silence_changes_nothing_and_the_path_is_taken_up_again() {
    let mut run = Run::new(link(2_000));
    run.run(Duration::from_secs(10));
    let before = run.controller.target();
    let dead = LinkConfig {
        loss: Loss::Random(1.0),
        ..link(2_000)
    };
    run.link.set_config(dead);
    run.run(Duration::from_secs(10));
    assert!(run.controller.target() > 0.5 * before);
    run.link.set_config(link(2_000));
    let (rate, _) = run.run(Duration::from_secs(3));
    assert!(rate > 1_200_000.0, "{rate:.0}");
}

proptest! {
    /// Whatever the other side makes up, the target stays within its bounds.
    #[test]
    fn reports_that_lie_are_survived(
        reports in prop::collection::vec(
            (0_u64..500, prop::collection::vec((0_i64..400, prop::option::of(any::<i64>()), 0_usize..3_000), 0..30)),
            0..60,
        ),
        near in any::<bool>(),
    ) {
        let config = CongestionConfig { start: 1e6, min: 6e4, max: 4e6 };
        let mut controller = CongestionController::new(config);
        let mut now = MediaTime::from_millis(3_600_000);
        for (later, packets) in reports {
            now += Duration::from_millis(later);
            let packets: Vec<_> = packets
                .into_iter()
                .map(|(before, arrival, bytes)| PacketResult {
                    departure: MediaTime::from_nanos(now.as_nanos() - before * 1_000_000),
                    // Anything, or anything within a second.
                    arrival: arrival.map(|nanos| {
                        MediaTime::from_nanos(if near { nanos % 1_000_000_000 } else { nanos })
                    }),
                    bytes,
                })
                .collect();
            controller.on_report(&packets, now);
            controller.on_timeout(now);
            let target = controller.target();
            prop_assert!((config.min..=config.max).contains(&target), "{target}");
            prop_assert!(controller.pace().is_finite());
        }
    }
}
