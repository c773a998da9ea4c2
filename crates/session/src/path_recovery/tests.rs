use super::*;
use IceState::{Checking, Closed, Connected, Disconnected, Failed};
use proptest::prelude::*;

fn at(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn connected(first: bool) -> PathRecovery {
    let mut recovery = PathRecovery::new(PathRecoveryConfig::default());
    recovery.set_first(first);
    recovery.on_ice(Checking, at(0));
    recovery.on_restart(at(0));
    recovery.on_ice(Connected, at(100));
    recovery
}

/// Answers come every second until `end`.
fn answered(recovery: &mut PathRecovery, from: i64, end: i64) {
    for time in (from..end).step_by(1_000) {
        recovery.on_answered(at(time));
        assert!(!recovery.poll(at(time)));
    }
}

/// When ICE is restarted until `end`, each restart failing after the half minute that it takes.
fn restarts(recovery: &mut PathRecovery, end: i64) -> Vec<i64> {
    let mut times = Vec::new();
    while let Some(now) = recovery.next_timeout().filter(|now| *now <= at(end)) {
        if recovery.poll(now) {
            times.push(now.as_millis());
            recovery.on_restart(now + Duration::from_millis(200));
            recovery.on_ice(Checking, now + Duration::from_millis(200));
            recovery.on_ice(Failed, now + Duration::from_secs(30));
        }
    }
    times
}

const NO_CHANGE: NetworkChange = NetworkChange {
    lost: false,
    gained: false,
    usable: true,
};

#[test]
fn a_way_that_is_answered_is_left_alone() {
    let mut recovery = connected(true);
    answered(&mut recovery, 1_000, 600_000);
    assert!(recovery.is_answered(at(600_000)) && recovery.may_send(at(600_000)));
}

#[test]
fn ten_seconds_of_silence_are_waited_out() {
    let mut recovery = connected(true);
    answered(&mut recovery, 1_000, 20_000);
    recovery.on_ice(Disconnected, at(23_000));
    assert!(!recovery.poll(at(29_000)));
    assert!(!recovery.is_answered(at(29_000)));
    assert!(recovery.may_send(at(29_000)));
    recovery.on_ice(Connected, at(29_100));
    answered(&mut recovery, 29_100, 100_000);
}

#[test]
fn consent_ends_after_half_a_minute_and_needs_other_credentials() {
    let mut recovery = connected(true);
    // The other side is heard, but no longer answers: the agent notices nothing.
    assert!(recovery.may_send(at(30_099)));
    assert!(!recovery.may_send(at(30_100)));
    recovery.on_answered(at(30_200));
    assert!(!recovery.may_send(at(30_200)), "too late");
    assert!(recovery.poll(at(30_200)));
    assert!(!recovery.poll(at(30_300)), "once");
    recovery.on_restart(at(30_400));
    recovery.on_ice(Checking, at(30_400));
    recovery.on_ice(Connected, at(30_600));
    assert!(recovery.may_send(at(30_600)));
}

#[test]
fn a_failure_is_answered_at_once_by_the_first_side_and_later_by_the_other() {
    for (first, due) in [(true, 30_000), (false, 32_000)] {
        let mut recovery = connected(first);
        recovery.on_ice(Failed, at(30_000));
        assert_eq!(recovery.next_timeout(), Some(at(due)));
        assert!(!recovery.poll(at(due - 1)));
        assert!(recovery.poll(at(due)));
    }
    // And not at all by the other, if the first acts.
    let mut second = connected(false);
    second.on_ice(Failed, at(30_000));
    second.on_restart(at(30_200));
    assert_eq!(second.next_timeout(), None);
}

#[test]
fn restarts_go_on_seldomer_and_end() {
    let mut recovery = connected(true);
    recovery.on_ice(Failed, at(30_000));
    let times = restarts(&mut recovery, 10_000_000);
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // In the first minutes somebody checks all the time.
    assert_eq!(pauses[..18], [30_000; 18]);
    assert!(
        pauses.is_sorted() && pauses.last() == Some(&90_000),
        "{pauses:?}"
    );
    assert!((25..60).contains(&times.len()), "{}", times.len());
    assert!(
        times.last().is_some_and(|last| *last < 1_900_000),
        "{times:?}"
    );
}

#[test]
fn a_first_attempt_is_not_its_business() {
    let mut recovery = PathRecovery::new(PathRecoveryConfig::default());
    recovery.on_ice(Checking, at(0));
    recovery.on_ice(Failed, at(30_000));
    let gained = NetworkChange {
        gained: true,
        ..NO_CHANGE
    };
    recovery.on_network(gained, at(31_000));
    assert_eq!(recovery.next_timeout(), None);
    assert!(recovery.may_send(at(100_000)));
}

#[test]
fn an_address_that_is_gone_is_replaced_at_once() {
    let mut recovery = connected(false);
    let lost = NetworkChange {
        lost: true,
        ..NO_CHANGE
    };
    answered(&mut recovery, 1_000, 10_000);
    recovery.on_network(lost, at(10_000));
    assert_eq!(recovery.next_timeout(), Some(at(10_200)));
    assert!(recovery.poll(at(10_200)));
    recovery.on_restart(at(10_300));
    // Several change in turn: no more than one restart a second.
    for time in [10_400, 10_500, 10_600] {
        recovery.on_ice(Checking, at(10_300));
        let gained = NetworkChange {
            gained: true,
            ..NO_CHANGE
        };
        recovery.on_network(gained, at(time));
    }
    assert_eq!(recovery.next_timeout(), Some(at(11_300)));
}

#[test]
fn without_any_network_the_next_one_is_waited_for() {
    let mut recovery = connected(true);
    answered(&mut recovery, 1_000, 10_000);
    let lost = NetworkChange {
        lost: true,
        gained: false,
        usable: false,
    };
    recovery.on_network(lost, at(10_000));
    assert!(!recovery.poll(at(11_000)));
    let gained = NetworkChange {
        gained: true,
        ..NO_CHANGE
    };
    recovery.on_network(gained, at(12_000));
    assert!(recovery.poll(at(12_200)));
}

#[test]
fn a_second_network_does_not_disturb_a_way_that_works() {
    let mut recovery = connected(true);
    answered(&mut recovery, 1_000, 10_000);
    let gained = NetworkChange {
        gained: true,
        ..NO_CHANGE
    };
    recovery.on_network(gained, at(10_000));
    answered(&mut recovery, 10_000, 20_000);
    recovery.on_ice(Disconnected, at(23_000));
    recovery.on_network(gained, at(24_000));
    assert!(recovery.poll(at(24_200)), "but one that is silent is left");
}

#[test]
fn who_is_heard_from_elsewhere_has_moved() {
    let mut recovery = connected(true);
    recovery.on_astray(at(1_000));
    assert!(!recovery.poll(at(10_000)), "it is heard where it should be");
    recovery.on_ice(Disconnected, at(13_000));
    recovery.on_astray(at(13_000));
    recovery.on_astray(at(13_900));
    assert!(recovery.poll(at(14_000)));
}

#[test]
fn an_open_offer_is_waited_for() {
    let mut recovery = connected(true);
    recovery.on_ice(Failed, at(30_000));
    for time in [30_000, 31_000, 32_000] {
        assert!(recovery.poll(at(time)));
        recovery.postpone(at(time));
        assert!(!recovery.poll(at(time)));
    }
    recovery.on_ice(Closed, at(32_500));
    assert!(!recovery.poll(at(40_000)));
}

proptest! {
    #[test]
    fn it_never_spins_and_never_asks_for_much(
        first in any::<bool>(),
        events in prop::collection::vec((0i64..5_000, 0u8..13), 0..200),
    ) {
        let mut recovery = connected(first);
        let mut now = 0;
        for (wait, event) in events {
            let mut restarts = 0;
            while let Some(due) = recovery.next_timeout().filter(|due| *due <= at(now + wait)) {
                let due = due.max(at(now));
                let before = recovery.next_timeout();
                restarts += i64::from(recovery.poll(due));
                prop_assert!(recovery.next_timeout() != before, "woken for nothing");
            }
            prop_assert!(restarts <= 2 + wait / 1_000);
            now += wait;
            let change = |bits: u8| NetworkChange {
                lost: bits & 1 != 0,
                gained: bits & 2 != 0,
                usable: true,
            };
            match event {
                0 => recovery.on_ice(Checking, at(now)),
                1 => recovery.on_ice(Connected, at(now)),
                2 => recovery.on_ice(Disconnected, at(now)),
                3 => recovery.on_ice(Failed, at(now)),
                4 => recovery.on_restart(at(now)),
                5 => recovery.on_astray(at(now)),
                6..=8 => recovery.on_network(change(event - 6), at(now)),
                9 => recovery.postpone(at(now)),
                10 => recovery.on_no_relay(at(now)),
                _ => recovery.on_answered(at(now)),
            }
        }
    }
}

#[test]
fn relays_that_cannot_be_had_are_asked_again_while_there_is_no_way() {
    let mut recovery = connected(true);
    // All is well without them.
    recovery.on_no_relay(at(1_000));
    assert!(!recovery.poll(at(4_000)));
    let lost = NetworkChange {
        lost: true,
        ..NO_CHANGE
    };
    recovery.on_answered(at(5_000));
    recovery.on_network(lost, at(5_000));
    assert!(recovery.poll(at(5_200)));
    let mut now = 5_300;
    for _ in 0..5 {
        recovery.on_ice(Checking, at(now));
        recovery.on_restart(at(now));
        recovery.on_no_relay(at(now + 300));
        assert!(!recovery.poll(at(now + 2_299)));
        assert!(recovery.poll(at(now + 2_300)));
        now += 2_400;
    }
    // It is not the first connection's affair.
    let mut first = PathRecovery::new(PathRecoveryConfig::default());
    first.on_ice(Checking, at(0));
    first.on_no_relay(at(100));
    assert_eq!(first.next_timeout(), None);
}
