//! Calls and transfers that share one link each way.

use super::Setting;
use super::measured::{FlowSeries, Measured, Row, Series};
use duet_media::{Clock, MediaTime};
use duet_network::{
    Call, CallConfig, Flow, LinkConfig, Sends, Tcp, Viewed, VirtualClock, Wire, percentile,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(100);
/// A call begins up to so much later, by the seed: runs would be alike on links that lose and delay nothing.
const LATER_MS: u64 = 1_000;

/// A scene; its first call's links are everybody's.
pub(crate) struct Scene {
    pub(crate) wire: Wire,
    /// What the next call is like.
    pub(crate) config: CallConfig,
    pub(crate) calls: Vec<Call>,
    farther: Vec<Duration>,
    transfers: Vec<Tcp>,
    clock: Arc<VirtualClock>,
    luck: StdRng,
    links: [LinkConfig; 2],
    /// What the links could carry from when on: forth, and back.
    capacity: [Vec<(MediaTime, Option<u64>)>; 2],
    rows: Vec<Row>,
}

/// What one sender did.
struct Seen<'a> {
    name: String,
    back: bool,
    flow: Flow,
    /// What its datagrams take where nothing waits.
    way: Duration,
    /// Where its pictures are shown; nowhere for a transfer.
    viewed: Option<&'a Viewed>,
}

impl Scene {
    pub(crate) fn new(setting: Setting, forth: LinkConfig, back: LinkConfig) -> Scene {
        let clock = Arc::new(VirtualClock::start());
        let mut scene = Scene {
            wire: Wire::new(clock.clone(), setting.seed),
            config: CallConfig {
                seed: setting.seed,
                ..Default::default()
            },
            calls: Vec::new(),
            farther: Vec::new(),
            transfers: Vec::new(),
            clock,
            luck: StdRng::seed_from_u64(setting.seed),
            links: [forth.clone(), back.clone()],
            capacity: [Vec::new(), Vec::new()],
            rows: Vec::new(),
        };
        scene.set_forth(forth);
        scene.set_back(back);
        scene
    }

    /// A scene of one call.
    pub(crate) async fn of_one(
        setting: Setting,
        config: CallConfig,
        forth: LinkConfig,
        back: LinkConfig,
    ) -> Scene {
        let mut scene = Scene::new(setting, forth, back);
        scene.config = CallConfig {
            seed: setting.seed,
            ..config
        };
        scene.call(Duration::ZERO).await;
        scene
    }

    /// One more call, whose ends are farther away than the link is long.
    pub(crate) async fn call(&mut self, farther: Duration) {
        let n = u8::try_from(self.calls.len()).unwrap_or(u8::MAX);
        let ([a, b], [first, second]) = (Call::addresses(n), Call::addresses(0));
        if n > 0 {
            self.wire.share((a, b), (first, second));
            self.wire.share((b, a), (second, first));
        }
        self.wire.set_farther(a, b, farther);
        self.wire.set_farther(b, a, farther);
        self.farther.push(farther);
        let later = Duration::from_millis(self.luck.random_range(0..LATER_MS));
        self.clock.sleep_until(self.clock.now() + later).await;
        self.calls
            .push(Call::over(&self.wire, n, &self.config).await);
    }

    /// One more transfer, of files between silences.
    pub(crate) fn transfer(
        &mut self,
        files: impl Iterator<Item = (Duration, u64)> + Send + 'static,
    ) {
        let n = u8::try_from(self.transfers.len()).unwrap_or(u8::MAX);
        let ([a, b], (from, to)) = (Call::addresses(0), Tcp::addresses(n));
        self.wire.share((from, to), (a, b));
        self.wire.share((to, from), (b, a));
        self.transfers.push(Tcp::in_turns(&self.wire, n, files));
    }

    pub(crate) fn set_forth(&mut self, link: LinkConfig) {
        self.set(0, link);
    }

    pub(crate) fn set_back(&mut self, link: LinkConfig) {
        self.set(1, link);
    }

    /// Both at once.
    pub(crate) fn set_both(&mut self, link: LinkConfig) {
        self.set(0, link.clone());
        self.set(1, link);
    }

    fn set(&mut self, direction: usize, link: LinkConfig) {
        let [a, b] = Call::addresses(0);
        let (from, to) = if direction == 0 { (a, b) } else { (b, a) };
        self.wire.set_link(from, to, link.clone());
        self.capacity[direction].push((self.clock.now(), link.rate_bps));
        self.links[direction] = link;
    }

    /// Lets `duration` pass; with `TIMELINE` in the environment, each tenth of a second of the first call is told.
    pub(crate) async fn pass(&self, duration: Duration) -> (MediaTime, MediaTime) {
        let (from, until) = (self.clock.now(), self.clock.now() + duration);
        if std::env::var_os("TIMELINE").is_none() {
            self.clock.sleep_until(until).await;
            return (from, until);
        }
        while self.clock.now() < until {
            let begun = self.clock.now();
            self.clock.sleep_until((begun + STEP).min(until)).await;
            if let Some(call) = self.calls.first() {
                tell(call, begun, self.clock.now()).await;
            }
        }
        (from, until)
    }

    /// Adds what was measured between the two times: of each flow, and where several go one way, of all of
    /// them. Returns what was added, the whole first.
    pub(crate) fn measure(&mut self, of: &str, from: MediaTime, until: MediaTime) -> &mut [Row] {
        let before = self.rows.len();
        let mut rows = Vec::new();
        for back in [false, true] {
            let seen = self.seen().into_iter().filter(|seen| seen.back == back);
            let seen: Vec<_> = seen.collect();
            let capacity = self.capacity_between(usize::from(back), from, until);
            if seen.len() > 1 {
                let of = if back {
                    format!("{of}, back")
                } else {
                    of.into()
                };
                rows.push(row_of_all(of, &seen, capacity, from, until));
            }
            for one in &seen {
                let alone = seen.len() == 1;
                let of = match alone && !back {
                    true => of.to_owned(),
                    false => format!("{of}, {}", one.name),
                };
                let mut row = one.row(of, from, until);
                if let (true, Some(capacity)) = (alone, capacity) {
                    row.set("used_percent", 100.0 * row.get("kbps") / capacity);
                }
                rows.push(row);
            }
        }
        self.rows.extend(rows);
        &mut self.rows[before..]
    }

    /// Adds a row of the experiment's own.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Hangs up, and says how it went.
    pub(crate) async fn end(self) -> Measured {
        let now = self.clock.now();
        let series = self.series(now);
        for call in self.calls {
            call.end().await;
        }
        Measured {
            rows: self.rows,
            series,
        }
    }

    fn seen(&self) -> Vec<Seen<'_>> {
        let mut seen = Vec::new();
        for (n, call) in self.calls.iter().enumerate() {
            for (end, viewer) in [(0, 1), (1, 0)] {
                if self.config.sends[end] == Sends::NOTHING {
                    continue;
                }
                let direction = if end == 1 { ", back" } else { "" };
                seen.push(Seen {
                    name: format!("call {}{direction}", n + 1),
                    back: end == 1,
                    flow: call.flow(end),
                    way: self.links[end].delay + self.farther[n],
                    viewed: Some(&call.ends[viewer].viewed),
                });
            }
        }
        if !self.transfers.is_empty() {
            let all = 0..u8::try_from(self.transfers.len()).unwrap_or(u8::MAX);
            let from: Vec<_> = all.map(|n| Tcp::addresses(n).0).collect();
            seen.push(Seen {
                name: "TCP".to_owned(),
                back: false,
                flow: Flow::of(&self.wire, &from),
                way: self.links[0].delay,
                viewed: None,
            });
        }
        seen
    }

    /// In kbit/s, on an average; `None` where the link was never full.
    fn capacity_between(&self, direction: usize, from: MediaTime, until: MediaTime) -> Option<f64> {
        let steps = &self.capacity[direction];
        let mut bits = 0.0;
        for (at, (begin, rate)) in steps.iter().enumerate() {
            let end = steps.get(at + 1).map_or(until, |(next, _)| *next);
            let lasted = end.min(until).saturating_since((*begin).max(from));
            if !lasted.is_zero() {
                bits += (*rate)? as f64 * lasted.as_secs_f64();
            }
        }
        Some(bits / until.saturating_since(from).as_secs_f64() / 1e3)
    }

    fn series(&self, until: MediaTime) -> Series {
        let lasted = until.saturating_since(MediaTime::ZERO);
        let steps = u32::try_from(lasted.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
        let steps: Vec<_> = (0..steps).map(|n| MediaTime::ZERO + STEP * n).collect();
        let capacity = |direction| {
            let of_step = |from: &MediaTime| {
                self.capacity_between(direction, *from, *from + STEP)
                    .map(tenths)
            };
            steps.iter().map(of_step).collect()
        };
        let flows = self.seen().into_iter().map(|seen| FlowSeries {
            kbps: steps.iter().map(|at| seen.kbps(*at)).collect(),
            queue_ms: steps.iter().map(|at| seen.queue_ms(*at)).collect(),
            age_ms: steps.iter().map(|at| seen.age_ms(*at)).collect(),
            name: seen.name,
            back: seen.back,
        });
        Series {
            step_ms: u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX),
            flows: flows.collect(),
            capacity_kbps: [capacity(0), capacity(1)],
        }
    }
}

impl Seen<'_> {
    fn row(&self, of: String, from: MediaTime, until: MediaTime) -> Row {
        let mut row = Row::new(of);
        row.set("kbps", self.flow.rate(from, until) / 1e3);
        row.set("loss_percent", 100.0 * self.flow.loss(from, until));
        for (name, share) in [("queue_p50_ms", 0.5), ("queue_p95_ms", 0.95)] {
            let took = self.flow.delay(from, until, share);
            row.set(name, ms(took.saturating_sub(self.way)));
        }
        let Some(viewed) = self.viewed else {
            return row;
        };
        let pictures = viewed.pictures(from, until);
        row.set("pictures", pictures.len() as f64);
        for (name, share) in [
            ("age_p50_ms", 0.5),
            ("age_p95_ms", 0.95),
            ("age_max_ms", 1.0),
        ] {
            row.set(name, ms(viewed.age(from, until, share)));
        }
        row.set("freezes", viewed.freezes(from, until).len() as f64);
        row.set("longest_gap_ms", ms(viewed.longest_gap(from, until)));
        row.set("beeps", viewed.beeps(from, until) as f64);
        if let Some(last) = pictures.last() {
            row.set("height_px", f64::from(last.size.1));
        }
        let off = viewed.lip_sync(from, until).into_iter();
        let off: Vec<_> = off
            .map(|ms| Duration::from_secs_f64(ms.abs() / 1e3))
            .collect();
        if !off.is_empty() {
            row.set("sync_p95_ms", ms(percentile(off, 0.95)));
        }
        row
    }

    fn kbps(&self, at: MediaTime) -> f64 {
        tenths(self.flow.rate(at, at + STEP) / 1e3)
    }

    fn queue_ms(&self, at: MediaTime) -> Option<f64> {
        let took = self.flow.delays(at, at + STEP);
        (!took.is_empty()).then(|| tenths(ms(percentile(took, 0.5).saturating_sub(self.way))))
    }

    fn age_ms(&self, at: MediaTime) -> Option<f64> {
        let viewed = self.viewed?;
        let pictures = viewed.pictures(at, at + STEP).into_iter();
        let ages: Vec<_> = pictures.map(|picture| picture.age).collect();
        (!ages.is_empty()).then(|| tenths(ms(percentile(ages, 0.5))))
    }
}

fn row_of_all(
    of: String,
    seen: &[Seen<'_>],
    capacity: Option<f64>,
    from: MediaTime,
    until: MediaTime,
) -> Row {
    let mut row = Row::new(of);
    let rates: Vec<f64> = seen
        .iter()
        .map(|one| one.flow.rate(from, until) / 1e3)
        .collect();
    let sum: f64 = rates.iter().sum();
    row.set("kbps", sum);
    if let Some(capacity) = capacity {
        row.set("used_percent", 100.0 * sum / capacity);
    }
    let calls: Vec<f64> = seen
        .iter()
        .zip(rates)
        .filter_map(|(one, rate)| one.viewed.map(|_| rate))
        .collect();
    if calls.len() > 1 {
        row.set("fairness", fairness(&calls));
    }
    let queues = seen.iter().filter(|one| one.viewed.is_some());
    let queues = queues.flat_map(|one| {
        let took = one.flow.delays(from, until).into_iter();
        took.map(|took| took.saturating_sub(one.way))
    });
    row.set("queue_p95_ms", ms(percentile(queues.collect(), 0.95)));
    row
}

/// Jain's index: 1 where all have the same, one by their number where one has all.
fn fairness(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (rates.len() as f64 * squares)
}

/// A tenth of a second, on standard error.
async fn tell(call: &Call, from: MediaTime, until: MediaTime) {
    let report = call.ends[0].connection.get_stats().await;
    let report = report.expect("the connection is open");
    let number = |kind, name: &str| report.of_type(kind).find_map(|stats| stats.number(name));
    let viewed = &call.ends[1].viewed;
    eprintln!(
        "{:6.1} s: target {:5.0} kbit/s, arrives {:5.0}, delay {:4.0} ms, {} pictures of {:4.0} ms, encoder {:?}, sent again {:?}",
        until.as_secs_f64(),
        number("candidate-pair", "availableOutgoingBitrate").unwrap_or_default() / 1e3,
        call.rate(from, until) / 1e3,
        ms(call.delay(from, until, 0.5)),
        viewed.pictures(from, until).len(),
        ms(viewed.age(from, until, 0.5)),
        number("outbound-rtp", "targetBitrate"),
        number("outbound-rtp", "retransmittedPacketsSent"),
    );
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::super::SECOND;
    use super::*;
    use duet_network::{Jitter, run};

    fn setting() -> Setting {
        Setting {
            seed: 1,
            jitter: Jitter::None,
        }
    }

    #[test]
    fn what_two_calls_and_a_transfer_did_is_told() {
        run(async {
            let forth = setting().limited(2_000, 50);
            let mut scene = Scene::new(setting(), forth, setting().link(50));
            scene.call(Duration::ZERO).await;
            scene.call(Duration::from_millis(20)).await;
            scene.transfer(std::iter::once((Duration::ZERO, u64::MAX)));
            scene.pass(10 * SECOND).await;
            let (from, until) = scene.pass(5 * SECOND).await;
            let rows = scene.measure("end", from, until);
            let named: Vec<_> = rows.iter().map(|row| row.of.as_str()).collect();
            assert_eq!(named, ["end", "end, call 1", "end, call 2", "end, TCP"]);
            let (all, each) = (rows[0].get("kbps"), &rows[1..]);
            let sum: f64 = each.iter().map(|row| row.get("kbps")).sum();
            assert!((all - sum).abs() < 0.1, "{all} of {sum}");
            assert!((90.0..=100.5).contains(&rows[0].get("used_percent")));
            assert!((0.5..=1.0).contains(&rows[0].get("fairness")));
            assert!(rows[2].get("queue_p95_ms") <= 301.0, "without its 20 ms");
            let measured = scene.end().await;
            let steps = measured.series.capacity_kbps[0].len();
            assert!(steps >= 150, "{steps}");
            assert_eq!(measured.series.capacity_kbps[0][120], Some(2_000.0));
            assert_eq!(measured.series.capacity_kbps[1][120], None);
            assert_eq!(measured.series.flows.len(), 3);
            assert!(
                measured
                    .series
                    .flows
                    .iter()
                    .all(|flow| flow.kbps.len() == steps)
            );
        });
    }

    #[test]
    fn fairness_is_jains() {
        assert!((fairness(&[1.0, 1.0, 1.0]) - 1.0).abs() < 1e-9);
        assert!((fairness(&[3.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-9);
        assert!((fairness(&[0.0, 0.0]) - 1.0).abs() < 1e-9);
    }
}
