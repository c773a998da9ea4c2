//! The limits in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use duet_signaling::limits::{Conduct, Doorkeeper, Limits, Overdue, Rate, TokenBucket, Turned};
use duet_signaling::message::ErrorCode;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(10);

#[test]
fn a_bucket_never_gives_more_than_its_burst_and_its_rate() {
    for seed in 0..50 {
        let mut rng = StdRng::seed_from_u64(seed);
        let rate = Rate {
            per_second: rng.random_range(1.0..100.0),
            burst: rng.random_range(1.0..300.0),
        };
        let start = Instant::now();
        let (mut now, mut given) = (start, 0.0);
        let mut bucket = TokenBucket::new(rate, start);
        for _ in 0..2_000 {
            now += Duration::from_micros(rng.random_range(0..20_000));
            given += f64::from(u8::from(bucket.take(1.0, now)));
            let most = rate.burst + rate.per_second * (now - start).as_secs_f64();
            assert!(given <= most + 1e-6, "seed {seed}: {given} of {most}");
        }
        assert!(
            given >= rate.burst.floor(),
            "an honest client gets its share"
        );
    }
}

#[test]
fn a_clock_that_steps_back_gives_nothing_away() {
    let now = Instant::now() + HEARTBEAT;
    let mut bucket = TokenBucket::new(
        Rate {
            per_second: 1.0,
            burst: 1.0,
        },
        now,
    );
    assert!(bucket.take(1.0, now));
    assert!(!bucket.take(1.0, now - HEARTBEAT));
    assert!(
        !bucket.take(1.0, now),
        "the way back is no time that passed"
    );
    assert!(bucket.take(1.0, now + SECOND));
}

#[test]
fn who_takes_no_seat_is_let_go_after_ten_seconds_even_if_talkative() {
    let start = Instant::now();
    let mut conduct = Conduct::new(&Limits::default(), HEARTBEAT, start);
    for second in 1..10 {
        let now = start + SECOND * second;
        assert!(conduct.heard(2, now));
        conduct.seated(false, now);
        assert_eq!(conduct.overdue(now), None);
    }
    assert_eq!(conduct.deadline(), start + SECOND * 10);
    assert_eq!(conduct.overdue(start + SECOND * 10), Some(Overdue::Join));
}

#[test]
fn the_time_for_a_seat_begins_anew_when_one_is_given_up() {
    let start = Instant::now();
    let mut conduct = Conduct::new(&Limits::default(), HEARTBEAT, start);
    conduct.seated(true, start + SECOND);
    conduct.heard(2, start + SECOND * 15);
    assert_eq!(conduct.overdue(start + SECOND * 30), None);
    conduct.heard(2, start + SECOND * 30);
    conduct.seated(false, start + SECOND * 30);
    assert_eq!(conduct.overdue(start + SECOND * 39), None);
    assert_eq!(conduct.overdue(start + SECOND * 40), Some(Overdue::Join));
}

#[test]
fn two_missed_heartbeats_are_one_too_many() {
    let start = Instant::now();
    let mut conduct = Conduct::new(&Limits::default(), HEARTBEAT, start);
    conduct.seated(true, start);
    conduct.heard(0, start + SECOND * 10);
    assert_eq!(conduct.deadline(), start + SECOND * 30);
    assert_eq!(
        conduct.overdue(start + SECOND * 30 - Duration::from_millis(1)),
        None
    );
    assert_eq!(
        conduct.overdue(start + SECOND * 30),
        Some(Overdue::Heartbeat)
    );
}

#[test]
fn nonsense_is_forgiven_a_few_times_and_again_after_a_while() {
    let start = Instant::now();
    let mut conduct = Conduct::new(&Limits::default(), HEARTBEAT, start);
    for _ in 0..5 {
        assert!(conduct.forgives(ErrorCode::BadMessage, start));
    }
    assert!(!conduct.forgives(ErrorCode::BadMessage, start));
    assert!(conduct.forgives(ErrorCode::BadMessage, start + SECOND * 10));
    assert!(
        !conduct.forgives(ErrorCode::Version, start + SECOND * 100),
        "there is nothing to wait for"
    );
}

#[test]
fn a_call_set_up_in_a_burst_passes_and_a_flood_does_not() {
    let start = Instant::now();
    let mut conduct = Conduct::new(&Limits::default(), HEARTBEAT, start);
    assert!(conduct.heard(6_000, start), "an offer");
    assert!(
        (0..100).all(|_| conduct.heard(200, start)),
        "and every candidate it may have"
    );
    let passed = (0..1_000)
        .filter(|step| conduct.heard(200, start + Duration::from_millis(*step)))
        .count();
    assert!(
        (190..=210).contains(&passed),
        "the rest of the burst, and a second's worth: {passed}"
    );
    assert!(
        !conduct.heard(64_000, start + SECOND),
        "bytes are counted as well as messages"
    );
}

#[test]
fn the_door_counts_addresses_and_everybody() {
    let now = Instant::now();
    let mut door = Doorkeeper::new(3, 2, None);
    let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([192, 0, 2, last]));
    door.enter(a, now).unwrap();
    door.enter(a, now).unwrap();
    assert_eq!(door.enter(a, now), Err(Turned::Address));
    door.enter(b, now).unwrap();
    assert_eq!(door.enter(c, now), Err(Turned::Full));
    door.leave(a, now);
    door.enter(c, now).unwrap();
    assert_eq!(door.open(), 3);
    for address in [a, b, c, c, c] {
        door.leave(address, now);
    }
    assert_eq!(door.open(), 0, "one leave too many does no harm");
}

#[test]
fn a_household_is_one_address_however_many_it_uses() {
    let now = Instant::now();
    let mut door = Doorkeeper::new(100, 2, None);
    let v6 = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host));
    door.enter(v6(1), now).unwrap();
    door.enter(v6(2), now).unwrap();
    assert_eq!(door.enter(v6(3), now), Err(Turned::Address));
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    door.enter(IpAddr::V4(v4), now).unwrap();
    door.enter(IpAddr::V6(v4.to_ipv6_mapped()), now).unwrap();
    assert_eq!(door.enter(IpAddr::V4(v4), now), Err(Turned::Address));
}

#[test]
fn the_door_remembers_no_more_than_it_must() {
    let start = Instant::now();
    let mut door = Doorkeeper::new(
        10,
        10,
        Some(Rate {
            per_second: 1.0,
            burst: 2.0,
        }),
    );
    let regular = IpAddr::from([192, 0, 2, 1]);
    door.enter(regular, start).unwrap();
    for stranger in 0..200_000 {
        // An address that was used a moment ago has to be remembered.
        let stranger = IpAddr::V4(Ipv4Addr::from_bits(stranger));
        door.enter(stranger, start)
            .expect("strangers are let in however many there were");
        door.leave(stranger, start);
    }
    assert!(format!("{door:?}").matches("Visitor").count() <= 10_010);
    assert_eq!(door.open(), 1);
    door.leave(regular, start);
    assert_eq!(door.open(), 0, "who is inside is never forgotten");
}
