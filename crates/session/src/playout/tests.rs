use super::*;
use crate::sim::{Link, LinkConfig};
use proptest::prelude::*;

const FRAME: i64 = 33_333_333;

struct Shown {
    captured: MediaTime,
    came: MediaTime,
    at: MediaTime,
}

impl Shown {
    fn held(&self) -> Duration {
        self.at.saturating_since(self.came)
    }
}

fn ticks(time: MediaTime) -> i64 {
    // Far from our clock's origin, as a remote clock is.
    ClockRate::VIDEO.ticks(time.as_nanos()) + 3_000_000_000
}

/// Shows `frames` frames that came over `link`; `late` is what each took before it left.
fn show(
    scheduler: &mut PlayoutScheduler,
    link: LinkConfig,
    frames: i64,
    late: impl Fn(i64) -> Duration,
) -> Vec<Shown> {
    let mut link = Link::new(link, 11);
    for n in 0..frames {
        let captured = MediaTime::from_nanos(n * FRAME);
        link.send(captured, 1_000, captured + late(n));
    }
    let end = MediaTime::from_nanos(i64::MAX);
    let arrivals = std::iter::from_fn(|| link.poll(end));
    arrivals
        .map(|(came, captured)| {
            let at = scheduler.schedule(ticks(captured), came);
            Shown { captured, came, at }
        })
        .collect()
}

/// The largest difference between two frames' distance on the screen and before the camera.
fn unevenness(shown: &[Shown]) -> Duration {
    let off = |pair: &[Shown]| {
        let screen = pair[1].at.nanos_since(pair[0].at);
        let camera = pair[1].captured.nanos_since(pair[0].captured);
        Duration::from_nanos(screen.abs_diff(camera))
    };
    shown.windows(2).map(off).max().unwrap_or_default()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_clean_link_costs_nothing() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    let link = LinkConfig {
        delay: ms(20),
        ..LinkConfig::default()
    };
    let shown = show(&mut scheduler, link, 300, |_| Duration::ZERO);
    assert!(shown.iter().all(|frame| frame.held() < ms(1)));
    assert!(unevenness(&shown) < ms(1));
    assert!(scheduler.delay() < ms(1));
}

#[test]
fn a_slow_key_frame_now_and_then_does_not_hold_up_the_rest() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    let key = |n: i64| if n % 60 == 0 { ms(30) } else { Duration::ZERO };
    let shown = show(&mut scheduler, LinkConfig::default(), 600, key);
    let settled = &shown[20..];
    assert!(settled.iter().all(|frame| frame.held() < ms(2)));
    assert!(
        settled
            .iter()
            .all(|frame| frame.at.saturating_since(frame.captured) <= ms(31))
    );
}

#[test]
fn jitter_is_evened_out_by_as_much_as_it_is() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    let link = LinkConfig {
        delay: ms(40),
        jitter: ms(20),
        ..LinkConfig::default()
    };
    let shown = show(&mut scheduler, link, 900, |_| Duration::ZERO);
    let settled = &shown[100..];
    let longest = settled
        .iter()
        .map(|frame| frame.at.saturating_since(frame.captured))
        .max();
    assert!(longest <= Some(ms(61)), "{longest:?}");
    let late = settled
        .iter()
        .filter(|frame| frame.held() == Duration::ZERO)
        .count();
    assert!(late * 10 <= settled.len(), "{late} of {}", settled.len());
    assert!(unevenness(settled) < ms(5), "{:?}", unevenness(settled));
    assert!(
        (ms(15)..ms(21)).contains(&scheduler.delay()),
        "{:?}",
        scheduler.delay()
    );
}

#[test]
fn calm_after_jitter_brings_the_delay_down_gently() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    let shown = show(&mut scheduler, LinkConfig::default(), 600, |n| {
        if n < 300 {
            ms(n as u64 % 5 * 8)
        } else {
            Duration::ZERO
        }
    });
    assert!(shown[299].held() + ms(5) >= ms(32 - 299 % 5 * 8));
    assert!(shown[599].held() < ms(1));
    assert!(
        unevenness(&shown[300..]) < ms(4),
        "{:?}",
        unevenness(&shown[300..])
    );
}

#[test]
fn a_freeze_is_not_made_up_for_with_delay() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    // Nothing for half a second, then all of it at once.
    let held_up = |n: i64| match n {
        100..115 => Duration::from_nanos((FRAME * (115 - n)).unsigned_abs()),
        _ => Duration::ZERO,
    };
    let shown = show(&mut scheduler, LinkConfig::default(), 200, held_up);
    assert!(shown[115..].iter().all(|frame| frame.held() < ms(10)));
}

#[test]
fn a_longer_path_is_followed() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    let shown = show(&mut scheduler, LinkConfig::default(), 600, |n| {
        if n < 300 { ms(20) } else { ms(80) }
    });
    assert!(shown.iter().all(|frame| frame.held() < ms(2)));
    assert!(unevenness(&shown[301..]) < ms(9));
}

#[test]
fn lip_sync_gets_the_delay_it_asks_for() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    scheduler.set_min_delay(ms(60));
    let shown = show(&mut scheduler, LinkConfig::default(), 100, |_| ms(10));
    assert!(shown[99].held().abs_diff(ms(60)) < ms(1));
    scheduler.set_min_delay(ms(400));
    let link = LinkConfig::default();
    let mut more = PlayoutScheduler::new(ClockRate::VIDEO);
    std::mem::swap(&mut more, &mut scheduler);
    more.reset();
    let shown = show(&mut more, link, 300, |_| ms(10));
    assert!(
        shown[299].held().abs_diff(ms(400)) < ms(1),
        "{:?}",
        shown[299].held()
    );
}

#[test]
fn a_delay_no_longer_asked_for_is_soon_gone() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    scheduler.set_min_delay(ms(400));
    let hold = |scheduler: &mut PlayoutScheduler, n: i64| {
        let came = MediaTime::from_nanos(n * FRAME);
        scheduler.schedule(ticks(came), came).saturating_since(came)
    };
    (0..200).for_each(|n| {
        hold(&mut scheduler, n);
    });
    scheduler.set_min_delay(ms(0));
    let held: Vec<Duration> = (200..290).map(|n| hold(&mut scheduler, n)).collect();
    assert!(held[60] < ms(20), "{:?}", held[60]);
    assert!(held[89] < ms(1), "{:?}", held[89]);
}

#[test]
fn two_clocks_that_drift_apart_do_not_matter() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    for n in 0..30 * 600 {
        // 300 ppm: 180 ms in ten minutes.
        let came = MediaTime::from_nanos(n * (FRAME + FRAME * 3 / 10_000));
        let at = scheduler.schedule(ticks(MediaTime::from_nanos(n * FRAME)), came);
        assert!(at.saturating_since(came) < ms(3));
    }
}

#[test]
fn a_jump_of_the_timestamps_is_no_freeze() {
    for jump in [-1_000_000_000, 1_000_000_000i64, i64::MAX / 2] {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        for n in 0..100 {
            let came = MediaTime::from_nanos(n * FRAME);
            let stamp = ticks(came) + if n < 50 { 0 } else { jump };
            let at = scheduler.schedule(stamp, came);
            assert!(at.saturating_since(came) < ms(3), "frame {n}");
        }
    }
}

proptest! {
    #[test]
    fn never_early_never_past_the_cap_never_back(
        frames in prop::collection::vec((any::<i64>(), 0u64..100_000_000, 0i64..90_000), 1..300),
        wild in any::<bool>(),
        min_delay in 0u64..1_000,
    ) {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        scheduler.set_min_delay(ms(min_delay));
        let cap = ms(min_delay).max(PlayoutScheduler::MAX_DELAY);
        let (mut now, mut last, mut stamp) = (MediaTime::ZERO, None, 0);
        for (anything, wait, step) in frames {
            now += Duration::from_nanos(wait);
            stamp += step;
            let at = scheduler.schedule(if wild { anything } else { stamp }, now);
            prop_assert!(at >= now && at <= now + cap);
            prop_assert!(last.is_none_or(|last| at >= last));
            last = Some(at);
        }
    }
}
