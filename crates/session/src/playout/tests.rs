use super::*;
use crate::sim::{Jitter, Link, LinkConfig};
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
        jitter: Jitter::Uniform(ms(20)),
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
fn behind_a_stop_the_delay_goes_on_from_where_it_was() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    show(&mut scheduler, LinkConfig::default(), 60, |_| ms(20));
    scheduler.set_min_delay(ms(200));
    let mut frame = |n: i64, came: i64| {
        scheduler.schedule(
            ticks(MediaTime::from_nanos(n * FRAME)),
            MediaTime::from_nanos(came * FRAME + 20_000_000),
        );
        scheduler.delay()
    };
    // Twelve pictures are missing, and sound knows nothing of it.
    assert!(frame(72, 72) < ms(18), "{:?}", frame(72, 72));
    let before = frame(73, 73);
    // Those that come late and at once are not seen, but for the last.
    assert!(
        [74, 75, 76, 77]
            .iter()
            .all(|n| frame(*n, 84) <= before + ms(9))
    );
    assert!((78..110).all(|n| frame(n, n.max(84)) <= before + ms(9) * (n - 76) as u32));
    assert_eq!(frame(110, 110).as_millis(), 200);
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
fn no_longer_delay_is_told_than_is_kept() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    // More of them are late, and by more, than is waited for.
    let late = |n: i64| if n % 10 == 0 { ms(500) } else { Duration::ZERO };
    show(&mut scheduler, LinkConfig::default(), 300, late);
    for told in [scheduler.delay(), scheduler.needed_delay()] {
        assert!(
            told.abs_diff(PlayoutScheduler::MAX_DELAY) < ms(1),
            "{told:?}"
        );
    }
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
fn two_clocks_that_drift_apart_for_an_hour_do_not_matter() {
    // 300 ppm: over a second in an hour.
    for drift in [FRAME * 3 / 10_000, -FRAME * 3 / 10_000] {
        let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
        let mut last = None;
        for n in 0..30 * 3_600 {
            let came = MediaTime::from_nanos(n * (FRAME + drift));
            let at = scheduler.schedule(ticks(MediaTime::from_nanos(n * FRAME)), came);
            assert!(at.saturating_since(came) < ms(3), "frame {n}");
            let apart = last.map_or(FRAME, |last| at.nanos_since(last));
            assert!(apart.abs_diff(FRAME) < 2_000_000, "frame {n}: {apart}");
            last = Some(at);
        }
        assert!(scheduler.delay() < ms(3));
    }
}

/// Shows frames of which every `nth` is lost and comes again `again` after its time; those captured
/// meanwhile wait for it. Returns how late each is shown.
fn show_lossy(
    scheduler: &mut PlayoutScheduler,
    frames: std::ops::Range<i64>,
    nth: i64,
) -> Vec<Duration> {
    let again = 110_000_000;
    let mut decodable_at = MediaTime::ZERO;
    frames
        .map(|n| {
            let captured = MediaTime::from_nanos(n * FRAME);
            let lost = n % nth == nth - 1;
            let came = MediaTime::from_nanos(n * FRAME + if lost { again } else { 0 });
            decodable_at = decodable_at.max(came);
            let arrival = FrameArrival {
                decodable_at,
                prompt_at: (!lost).then_some(captured),
                recovered: lost,
            };
            let at = scheduler.schedule(ticks(captured), arrival);
            at.saturating_since(captured)
        })
        .collect()
}

#[test]
fn frequent_losses_delay_all_alike_and_rare_ones_only_whom_they_hit() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    scheduler.set_rtt(ms(100));
    let shown = show_lossy(&mut scheduler, 0..600, 6);
    let settled = &shown[150..];
    assert!(settled.iter().all(|late| late.abs_diff(ms(110)) < ms(2)));
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    scheduler.set_rtt(ms(100));
    let shown = show_lossy(&mut scheduler, 0..900, 90);
    let late = shown.iter().filter(|late| **late > ms(2)).count();
    // The last frame is one.
    assert_eq!(late, 9 * 4 + 1);
}

#[test]
fn soon_after_the_last_loss_nobody_waits() {
    let mut scheduler = PlayoutScheduler::new(ClockRate::VIDEO);
    scheduler.set_rtt(ms(100));
    show_lossy(&mut scheduler, 0..600, 6);
    let shown = show_lossy(&mut scheduler, 600..700, 1_000);
    assert!(shown[60] < ms(30), "{:?} after two seconds", shown[60]);
    assert!(shown[80] < ms(8), "{:?}", shown[80]);
    let even = |pair: &[Duration]| pair[0].abs_diff(pair[1]) < ms(8);
    assert!(shown.windows(2).all(even));
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
