//! What the wire saw of one sender, by the measures of [RFC 8868, section 3](https://www.rfc-editor.org/rfc/rfc8868#section-3).

use crate::{Passed, Wire, percentile};
use duet_media::MediaTime;
use std::net::IpAddr;
use std::time::Duration;

/// A sender's datagrams so far, in the order of arrival.
pub struct Flow {
    passed: Vec<Passed>,
    sent: Vec<MediaTime>,
}

impl Flow {
    /// What was sent from any of the addresses.
    pub fn of(wire: &Wire, from: &[IpAddr]) -> Flow {
        let (passed, sent) = wire.traffic(from);
        Flow { passed, sent }
    }

    /// Bits a second that arrived between the two times, headers included.
    pub fn rate(&self, from: MediaTime, until: MediaTime) -> f64 {
        let bytes: usize = self.arrived(from, until).map(|passed| passed.bytes).sum();
        bytes as f64 * 8.0 / until.saturating_since(from).as_secs_f64()
    }

    /// How long what arrived between the two times was under way, the given share of it at most.
    pub fn delay(&self, from: MediaTime, until: MediaTime, share: f64) -> Duration {
        percentile(self.delays(from, until), share)
    }

    /// How long each datagram that arrived between the two times was under way.
    pub fn delays(&self, from: MediaTime, until: MediaTime) -> Vec<Duration> {
        let within = self.arrived(from, until);
        within
            .map(|passed| passed.arrived.saturating_since(passed.sent))
            .collect()
    }

    /// The share, 0 to 1, of what was sent between the two times that never arrived. What was not sent before the
    /// last datagram that has arrived may still be under way, and is not counted.
    pub fn loss(&self, from: MediaTime, until: MediaTime) -> f64 {
        let within = |time: MediaTime| time >= from && time < until;
        let arrived = self.passed.iter().filter(|passed| within(passed.sent));
        let arrived: Vec<MediaTime> = arrived.map(|passed| passed.sent).collect();
        let Some(last) = arrived.iter().max() else {
            return if self.sent.iter().any(|sent| within(*sent)) {
                1.0
            } else {
                0.0
            };
        };
        let sent = self
            .sent
            .iter()
            .filter(|sent| within(**sent) && *sent < last);
        let sent = sent.count();
        let arrived = arrived.iter().filter(|sent| *sent < last).count();
        if sent == 0 {
            return 0.0;
        }
        // What came twice is no gain.
        1.0 - arrived.min(sent) as f64 / sent as f64
    }

    fn arrived(&self, from: MediaTime, until: MediaTime) -> impl Iterator<Item = &Passed> {
        let begin = self.passed.partition_point(|passed| passed.arrived < from);
        let end = self.passed.partition_point(|passed| passed.arrived < until);
        self.passed[begin.min(end)..end].iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LinkConfig, Loss, Tcp, VirtualClock, run};
    use duet_media::Clock;
    use std::sync::Arc;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_tells_what_the_link_did() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let lossy = LinkConfig {
                rate_bps: Some(2_000_000),
                queue_bytes: 75_000,
                delay: 50 * SECOND / 1_000,
                loss: Loss::Random(0.02),
                ..Default::default()
            };
            wire.set_link(a, b, lossy);
            let _transfer = Tcp::start(&wire, 0, u64::MAX);
            clock.sleep_until(MediaTime::from_millis(30_500)).await;
            let (from, until) = (MediaTime::ZERO, MediaTime::from_millis(30_000));
            let flow = Flow::of(&wire, &[a]);
            let rate = flow.rate(from, until);
            assert!(rate > 300_000.0 && rate < 2_000_000.0, "{rate}");
            // A packet of 1,500 bytes takes 6 ms, and waits for 300 at most.
            let (least, most) = (flow.delay(from, until, 0.0), flow.delay(from, until, 1.0));
            assert_eq!(least, 56 * SECOND / 1_000);
            assert!(most <= 350 * SECOND / 1_000, "{most:?}");
            let counters = wire.counters(a, b);
            let lost = (counters.lost + counters.overflowed) as f64 / counters.sent as f64;
            let told = flow.loss(from, until);
            assert!(lost > 0.01 && (told - lost).abs() < 0.003, "{told}, {lost}");
            let stranger = Flow::of(&wire, &[[10, 0, 0, 1].into()]);
            assert!(stranger.rate(from, until) == 0.0 && stranger.loss(from, until) == 0.0);
        });
    }

    #[test]
    fn what_is_under_way_is_not_lost() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let narrow = LinkConfig {
                rate_bps: Some(2_000_000),
                delay: 50 * SECOND / 1_000,
                ..Default::default()
            };
            wire.set_link(a, b, narrow);
            // A first window of ten at once, of which four are through.
            let _transfer = Tcp::start(&wire, 0, 100_000);
            clock.sleep_until(MediaTime::from_millis(75)).await;
            let flow = Flow::of(&wire, &[a]);
            assert_eq!(flow.delays(MediaTime::ZERO, clock.now()).len(), 4);
            assert!(flow.loss(MediaTime::ZERO, clock.now()) == 0.0);
        });
    }

    #[test]
    fn of_a_dead_link_all_is_lost() {
        run(async {
            let clock = Arc::new(VirtualClock::start());
            let wire = Wire::new(clock.clone(), 1);
            let (a, b) = Tcp::addresses(0);
            let dead = LinkConfig {
                loss: Loss::Random(1.0),
                ..Default::default()
            };
            wire.set_link(a, b, dead);
            let _transfer = Tcp::start(&wire, 0, 100_000);
            clock.sleep_until(MediaTime::from_millis(5_000)).await;
            let flow = Flow::of(&wire, &[a]);
            assert!(flow.loss(MediaTime::ZERO, clock.now()) > 0.999);
        });
    }
}
