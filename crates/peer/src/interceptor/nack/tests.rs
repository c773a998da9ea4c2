use super::*;

const RTT: Option<Duration> = Some(Duration::from_millis(40));

fn after(start: Instant, millis: u64) -> Instant {
    start + Duration::from_millis(millis)
}

#[test]
fn a_gap_is_asked_for_until_it_is_filled() {
    let start = Instant::now();
    let at = |ms| after(start, ms);
    let mut tracker = NackTracker::default();
    for number in [65_533u16, 65_534, 1] {
        tracker.on_packet(number, false, start);
    }
    assert!(
        tracker.due(start, RTT).is_empty(),
        "neighbours change places"
    );
    assert_eq!(tracker.due(at(5), RTT), [65_535, 0]);
    assert!(tracker.due(at(10), RTT).is_empty());
    tracker.on_packet(0, true, at(45));
    assert_eq!(tracker.due(at(60), RTT), [65_535]);
    tracker.on_packet(65_535, true, at(70));
    assert_eq!(tracker.next_due(), None);
}

#[test]
fn what_never_comes_is_given_up_when_it_is_too_late() {
    for (rtt, most) in [(40, 10), (250, 4)] {
        let rtt = Some(Duration::from_millis(rtt));
        let start = Instant::now();
        let mut tracker = NackTracker::default();
        tracker.on_packet(1, false, start);
        tracker.on_packet(3, false, start);
        let (mut now, mut asked, mut last) = (start, 0, start);
        while let Some(due) = tracker.next_due() {
            now = now.max(due);
            let wanted = tracker.due(now, rtt).len();
            asked += wanted;
            if wanted > 0 {
                last = now;
            }
        }
        assert_eq!(asked, most);
        assert!(last <= after(start, 1_010));
    }
}

/// Loses every tenth packet over a path of `rtt`, asks without knowing the round trip, and says how
/// often it asked for a packet that was on its way.
fn asked_in_vain(
    tracker: &mut NackTracker,
    rtt: u64,
    start: Instant,
    numbers: (u16, u16),
) -> usize {
    let mut answers: Vec<(Instant, u16)> = Vec::new();
    let (mut asked, mut lost) = (0, 0);
    let (first, last) = numbers;
    for (number, millis) in (first..last).zip((0..).step_by(10)) {
        for millis in millis..millis + 10 {
            let now = after(start, millis);
            while let Some(index) = answers.iter().position(|(at, _)| *at <= now) {
                tracker.on_packet(answers.swap_remove(index).1, true, now);
            }
            let mut wanted = tracker.due(now, None);
            // What is said twice is heard once.
            wanted.retain(|number| {
                let [asked, _] = tracker.missing[&i64::from(*number)].asked;
                asked == Some(now)
            });
            asked += wanted.len();
            answers.extend(wanted.iter().map(|number| (after(now, rtt), *number)));
        }
        if number % 10 == 9 && number + 30 < last {
            lost += 1;
        } else {
            tracker.on_packet(number, false, after(start, millis));
        }
    }
    asked - lost.min(asked)
}

#[test]
fn it_finds_out_how_long_an_answer_takes() {
    for rtt in [15, 100, 180] {
        let mut tracker = NackTracker::default();
        let start = Instant::now();
        let learning = asked_in_vain(&mut tracker, rtt, start, (0, 200));
        assert!(learning <= 5, "{learning}");
        let start = after(start, 2_000);
        assert_eq!(asked_in_vain(&mut tracker, rtt, start, (200, 1_000)), 0);
        let expected = tracker.answer_time(None).as_millis();
        assert!(expected.abs_diff(u128::from(rtt)) <= 2, "{expected}");
    }
}

#[test]
fn where_much_is_lost_a_request_is_said_twice() {
    let start = Instant::now();
    let mut tracker = NackTracker::default();
    for number in (0..199).filter(|number| number % 10 != 9) {
        tracker.on_packet(number, false, start);
    }
    tracker.forget_before(199);
    tracker.on_packet(200, false, start);
    let mut asked = Vec::new();
    while let Some(due) = tracker.next_due() {
        asked.extend(tracker.due(due, RTT).iter().map(|_| due - start));
    }
    let asked: Vec<u128> = asked.iter().map(Duration::as_millis).collect();
    assert_eq!(asked[..5], [4, 14, 54, 64, 104]);
}

#[test]
fn a_path_that_gets_longer_is_not_asked_twice_for_ever() {
    let mut tracker = NackTracker::default();
    let start = Instant::now();
    asked_in_vain(&mut tracker, 50, start, (0, 500));
    let start = after(start, 5_000);
    asked_in_vain(&mut tracker, 140, start, (500, 1_000));
    let start = after(start, 5_000);
    assert!(asked_in_vain(&mut tracker, 140, start, (1_000, 1_500)) <= 2);
}

#[test]
fn a_jump_an_outage_and_a_key_frame_clear_the_list() {
    let start = Instant::now();
    let mut tracker = NackTracker::default();
    tracker.on_packet(1, false, start);
    tracker.on_packet(30_000, false, start);
    assert_eq!(tracker.next_due(), None);
    let back = after(start, 500);
    tracker.on_packet(30_030, false, back);
    assert_eq!(tracker.next_due(), None, "half a second of it");
    tracker.on_packet(30_040, false, back);
    tracker.forget_before(30_035);
    let late = after(back, 10);
    assert_eq!(
        tracker.due(late, RTT),
        [30_035, 30_036, 30_037, 30_038, 30_039]
    );
}
