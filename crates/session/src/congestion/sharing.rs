//! How calls share a link, with each other and with TCP: many runs, since one says little.

use super::crowd::Crowd;
use crate::sim::Jitter;
use std::time::Duration;

const WAY: Duration = Duration::from_millis(50);
const SEEDS: std::ops::RangeInclusive<u64> = 1..=8;

/// [Jain's index](https://www.rfc-editor.org/rfc/rfc8868#section-3.1): 1 if all have the same.
fn evenness(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|rate| rate * rate).sum();
    sum * sum / (rates.len() as f64 * squares)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// What was measured in many stretches of many runs.
#[derive(Debug, Default)]
struct Measured {
    evenness: Vec<f64>,
    used: Vec<f64>,
    /// Seconds, all but a twentieth of the packets at most.
    queue: Vec<f64>,
}

impl Measured {
    fn stretch(&mut self, crowd: &mut Crowd, seconds: u64, kbps: u64) {
        let stretch = crowd.pass(seconds);
        let rates = crowd.rates(stretch);
        self.evenness.push(evenness(&rates));
        self.used
            .push(rates.iter().sum::<f64>() / (kbps as f64 * 1e3));
        self.queue.push(crowd.queue(stretch).as_secs_f64());
    }

    /// In order, and told.
    fn sorted(self, what: &str) -> Measured {
        let told = Measured {
            evenness: sorted(self.evenness),
            used: sorted(self.used),
            queue: sorted(self.queue),
        };
        let of = |values: &[f64]| {
            let at = |share: f64| values[((values.len() - 1) as f64 * share) as usize];
            format!("{:.3} {:.3} {:.3}", at(0.0), at(0.5), at(1.0))
        };
        eprintln!(
            "{what}, least, median, most: evenness {}, used {}, queue {}",
            of(&told.evenness),
            of(&told.used),
            of(&told.queue)
        );
        told
    }
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// [RFC 8867, 5.4](https://www.rfc-editor.org/rfc/rfc8867#section-5.4), however far apart they begin.
#[test]
fn calls_on_one_link_come_to_have_the_same() {
    let mut measured = Measured::default();
    for spacing in [15, 18, 20, 22, 25, 30] {
        for seed in SEEDS {
            let mut crowd = Crowd::new(3_500, WAY, seed);
            for _ in 0..3 {
                crowd.call(Duration::ZERO);
                crowd.pass(spacing);
            }
            for _ in 0..4 {
                measured.stretch(&mut crowd, 30, 3_500);
            }
        }
    }
    let measured = measured.sorted("three calls");
    let evenness = &measured.evenness;
    assert!(median(evenness) >= 0.97, "{}", median(evenness));
    assert!(evenness[evenness.len() / 10] >= 0.93, "{evenness:?}");
    assert!(evenness[0] >= 0.8, "{}", evenness[0]);
    assert!(median(&measured.used) >= 0.92, "{}", median(&measured.used));
    assert!(measured.used[0] >= 0.87, "{}", measured.used[0]);
    // None of them takes another's queue for TCP's, and fills it in turn.
    let queue = &measured.queue;
    assert!(median(queue) <= 0.06, "{queue:?}");
    assert!(queue.iter().all(|queue| *queue <= 0.15), "{queue:?}");
}

/// [RFC 8867, 5.5](https://www.rfc-editor.org/rfc/rfc8867#section-5.5).
#[test]
fn who_is_farther_away_has_no_less() {
    let mut measured = Measured::default();
    for seed in SEEDS {
        let mut crowd = Crowd::new(4_000, Duration::from_millis(10), seed);
        for farther in [0, 15, 40, 90, 140] {
            crowd.call(Duration::from_millis(farther));
            crowd.pass(10);
        }
        crowd.pass(30);
        measured.stretch(&mut crowd, 100, 4_000);
    }
    let measured = measured.sorted("five distances");
    assert!(median(&measured.evenness) >= 0.88, "{measured:?}");
    assert!(measured.evenness[0] >= 0.7, "{measured:?}");
    assert!(measured.used[0] >= 0.9, "{measured:?}");
}

/// [RFC 8867, 5.2](https://www.rfc-editor.org/rfc/rfc8867#section-5.2).
#[test]
fn two_calls_share_a_link_that_changes() {
    let phases = [4_000, 2_000, 3_500, 1_000, 2_000];
    let mut measured = phases.map(|kbps| (kbps, Measured::default()));
    for seed in SEEDS {
        let mut crowd = Crowd::new(4_000, WAY, seed);
        crowd.call(Duration::ZERO);
        crowd.call(Duration::ZERO);
        for (kbps, phase) in &mut measured {
            crowd.set_kbps(*kbps);
            crowd.pass(12);
            phase.stretch(&mut crowd, 13, *kbps);
        }
    }
    for (kbps, phase) in measured {
        let phase = phase.sorted(&format!("{kbps} kbit/s"));
        assert!(median(&phase.evenness) >= 0.95, "{kbps}: {phase:?}");
        assert!(median(&phase.used) >= 0.9, "{kbps}: {phase:?}");
        assert!(median(&phase.queue) <= 0.09, "{kbps}: {phase:?}");
    }
}

/// [RFC 8867, 5.8](https://www.rfc-editor.org/rfc/rfc8867#section-5.8).
#[test]
fn what_a_pause_leaves_is_used_and_given_back() {
    let (mut paused, mut resumed) = (Measured::default(), Measured::default());
    for seed in SEEDS {
        let mut crowd = Crowd::new(3_500, WAY, seed);
        (0..3).for_each(|_| crowd.call(Duration::ZERO));
        crowd.pass(40);
        crowd.set_camera(0, false);
        crowd.pass(10);
        paused.stretch(&mut crowd, 10, 3_500);
        crowd.set_camera(0, true);
        crowd.pass(20);
        resumed.stretch(&mut crowd, 40, 3_500);
    }
    let (paused, resumed) = (paused.sorted("paused"), resumed.sorted("resumed"));
    assert!(median(&paused.used) >= 0.9, "{paused:?}");
    assert!(median(&resumed.evenness) >= 0.95, "{resumed:?}");
}

/// [RFC 8867, 5.6](https://www.rfc-editor.org/rfc/rfc8867#section-5.6): it fills the queue until it loses.
#[test]
fn beside_tcp_a_call_is_neither_starved_nor_starves() {
    for seed in 1..=10 {
        let mut crowd = Crowd::new(2_000, WAY, seed);
        crowd.transfer();
        crowd.pass(1);
        crowd.call(Duration::ZERO);
        crowd.pass(20);
        let before = crowd.transferred();
        let mut tens = Vec::new();
        for _ in 0..10 {
            let stretch = crowd.pass(10);
            tens.extend(crowd.rates(stretch));
        }
        let call = tens.iter().sum::<f64>() / 10.0;
        let tcp = (crowd.transferred() - before) as f64 * 8.0 / 100.0;
        let tens = sorted(tens);
        eprintln!("{seed}: call {call:.0}, least {:.0}, tcp {tcp:.0}", tens[0]);
        assert!(call >= 300e3, "{seed}: {call:.0}");
        assert!(tens[0] >= 150e3, "{seed}: {tens:?}");
        assert!(tcp >= 700e3, "{seed}: {tcp:.0}");
    }
}

/// [RFC 8867, 5.1](https://www.rfc-editor.org/rfc/rfc8867#section-5.1), with its jitter and without, and with
/// more than it asks for.
#[test]
fn jitter_is_told_from_a_queue() {
    let most = Duration::from_millis(30);
    let cases = [
        (Jitter::None, 0.93),
        (Jitter::Gaussian(most), 0.91),
        (Jitter::Uniform(most), 0.88),
    ];
    for (jitter, used) in cases {
        let phases = [(1_000, 40), (2_500, 20), (600, 20), (1_000, 20)];
        let mut measured = phases.map(|phase| (phase, Measured::default()));
        for seed in SEEDS {
            let mut crowd = Crowd::new(1_000, WAY, seed);
            crowd.set_jitter(jitter);
            crowd.call(Duration::ZERO);
            for ((kbps, seconds), phase) in &mut measured {
                crowd.set_kbps(*kbps);
                crowd.pass(*seconds / 2);
                phase.stretch(&mut crowd, *seconds / 2, *kbps);
            }
        }
        for ((kbps, _), phase) in measured {
            let phase = phase.sorted(&format!("{kbps} kbit/s, {jitter:?}"));
            assert!(median(&phase.used) >= used, "{kbps}, {jitter:?}: {phase:?}");
            // What jitter adds is in it.
            let queue = median(&phase.queue);
            assert!(queue <= 0.1, "{kbps}, {jitter:?}: {phase:?}");
        }
    }
}
