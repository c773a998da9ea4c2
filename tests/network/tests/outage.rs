//! Calls whose way is lost, and comes back.

use duet_media::{Clock, MediaTime};
use duet_network::{Call, CallConfig, LinkConfig, Loss, Sends, run};
use duet_peer::{DataChannelMessage, RTCIceConnectionState, RTCPeerConnectionState};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// How old a picture may be that is shown.
const STALE: Duration = Duration::from_millis(500);

fn link() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(50),
        ..Default::default()
    }
}

fn dead() -> LinkConfig {
    LinkConfig {
        loss: Loss::Random(1.0),
        ..link()
    }
}

/// A call in which both are seen and heard, and which has gone on for a while.
async fn call() -> Call {
    call_that(Sends::SMALL).await
}

async fn call_that(sends: Sends) -> Call {
    let call = Call::start(&CallConfig {
        sends: [sends, sends],
        links: [link(), link()],
        data: true,
        ..Default::default()
    })
    .await;
    for end in &call.ends {
        let channel = end.channel.as_ref().expect("a channel");
        assert!(channel.opened().await);
    }
    call.pass(5 * SECOND).await;
    call
}

/// How long after `since` each end is shown a picture that was taken after it, the caller first. Panics
/// if a stale one was shown.
fn back(call: &Call, since: MediaTime, until: MediaTime) -> [Duration; 2] {
    [0, 1].map(|end: usize| {
        let shown = call.ends[end].viewed.pictures(since, until);
        let stale = shown.iter().find(|picture| picture.age > STALE);
        assert_eq!(stale, None, "shown to {end}");
        let mut fresh = shown.iter().filter(|shown| shown.at >= since + shown.age);
        let first = fresh.next();
        let first = first.map(|first| first.at.saturating_since(since));
        first.unwrap_or_else(|| panic!("nothing is shown to {end}"))
    })
}

/// Whether a message from each end reaches the other within two seconds.
async fn pass_messages(call: &Call) -> [bool; 2] {
    let mut passed = [false; 2];
    for (end, passed) in passed.iter_mut().enumerate() {
        let [from, to] = [end, 1 - end].map(|end| call.ends[end].channel.clone());
        let (from, to) = (from.expect("a channel"), to.expect("a channel"));
        let mut messages = to.messages();
        let text = format!("at {:?}", call.clock);
        from.send_text(&text).await.expect("an open channel");
        let message = tokio::time::timeout(2 * SECOND, messages.recv()).await;
        *passed = message == Ok(Some(DataChannelMessage::Text(text)));
    }
    passed
}

fn states(call: &Call) -> [RTCPeerConnectionState; 2] {
    [0, 1].map(|end: usize| call.ends[end].connection.connection_state())
}

/// An outage of the given ways; then both are back within the time.
async fn outage(ways: [bool; 2], lasts: Duration, within: Duration) -> Call {
    let call = call().await;
    if ways[0] {
        call.set_forth(dead());
    }
    if ways[1] {
        call.set_back(dead());
    }
    call.pass(lasts).await;
    call.set_forth(link());
    call.set_back(link());
    let (since, until) = call.pass(10 * SECOND).await;
    let times = back(&call, since, until);
    println!(
        "{lasts:?} {ways:?}: back after {times:?}, {} offers",
        call.offers()
    );
    assert!(times.iter().all(|time| *time <= within), "{times:?}");
    assert_eq!(states(&call), [RTCPeerConnectionState::Connected; 2]);
    assert_eq!(pass_messages(&call).await, [true, true]);
    call
}

#[test]
fn ten_seconds_without_a_way_end_at_once_and_without_a_restart() {
    run(async {
        let call = outage([true, true], 10 * SECOND, SECOND / 2).await;
        assert_eq!(call.offers(), 1);
        call.end().await;
    });
}

#[test]
fn a_minute_without_a_way_ends_within_three_seconds() {
    run(async {
        let call = outage([true, true], 60 * SECOND, 3 * SECOND).await;
        // One side restarted ICE when consent had expired, and again half a minute later at most.
        assert!((2..=4).contains(&call.offers()), "{}", call.offers());
        call.end().await;
    });
}

#[test]
fn five_minutes_without_a_way_end_within_three_seconds() {
    run(async {
        let call = outage([true, true], 300 * SECOND, 3 * SECOND).await;
        assert!((6..=14).contains(&call.offers()), "{}", call.offers());
        call.end().await;
    });
}

/// What was under way when an outage began, and what was sent during it, arrives after it and in order.
async fn outage_of_data(lasts: Duration) {
    const UNDER_WAY: usize = 200_000;
    let call = call_that(Sends::NOTHING).await;
    let channels = call.ends.each_ref().map(|end| end.channel.clone());
    let [ours, theirs] = channels.map(|channel| channel.expect("a channel"));
    for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
        let mut messages = to.messages();
        let sent = from.send(&[7; UNDER_WAY]).await;
        sent.expect("an open channel");
        // The first of its packets is on the way, and none arrived.
        call.pass(SECOND / 25).await;
        call.set_forth(dead());
        call.set_back(dead());
        call.pass(lasts / 2).await;
        for n in 0..10 {
            let sent = from.send_text(&n.to_string()).await;
            sent.expect("an open channel");
        }
        call.pass(lasts / 2).await;
        assert!(messages.try_recv().is_err());
        call.set_forth(link());
        call.set_back(link());
        let since = call.clock.now();
        let whole = tokio::time::timeout(10 * SECOND, messages.recv()).await;
        assert_eq!(
            whole,
            Ok(Some(DataChannelMessage::Binary(vec![7; UNDER_WAY].into())))
        );
        for n in 0..10 {
            let next = tokio::time::timeout(SECOND, messages.recv()).await;
            assert_eq!(next, Ok(Some(DataChannelMessage::Text(n.to_string()))));
        }
        let took = call.clock.now().saturating_since(since);
        println!("{lasts:?} without a way: all data {took:?} after it");
        assert!(took < 6 * SECOND, "{took:?}");
        call.pass(5 * SECOND).await;
    }
    call.end().await;
}

#[test]
fn data_under_way_arrive_after_a_minute_without_a_way() {
    run(outage_of_data(60 * SECOND));
}

#[test]
fn data_under_way_arrive_after_five_minutes_without_a_way() {
    run(outage_of_data(300 * SECOND));
}

#[test]
fn one_way_alone_may_be_lost() {
    for ways in [[true, false], [false, true]] {
        run(async {
            let call = outage(ways, 10 * SECOND, SECOND / 2).await;
            call.end().await;
            let call = outage(ways, 60 * SECOND, 3 * SECOND).await;
            call.end().await;
        });
    }
}

#[test]
fn the_states_are_those_of_a_browser_and_nothing_is_sent_without_consent() {
    run(async {
        let call = call().await;
        let connection = &call.ends[0].connection;
        // Only what the called one hears is lost: the caller hears, and is not answered.
        call.set_forth(dead());
        call.pass(2 * SECOND).await;
        assert_eq!(states(&call), [RTCPeerConnectionState::Connected; 2]);
        call.pass(5 * SECOND).await;
        assert_eq!(states(&call), [RTCPeerConnectionState::Disconnected; 2]);
        let ice = connection.ice_connection_state();
        assert_eq!(ice, RTCIceConnectionState::Disconnected);
        call.set_back(dead());
        call.pass(20 * SECOND).await;
        // Now consent has expired on both sides. All that is sent are checks, a few a second.
        call.pass(10 * SECOND).await;
        let [a, b] = Call::ADDRESSES;
        let offered = |from, to| call.wire.counters(from, to).sent;
        let before = [offered(a, b), offered(b, a)];
        call.pass(10 * SECOND).await;
        let sent = [offered(a, b) - before[0], offered(b, a) - before[1]];
        println!("{sent:?} datagrams in 10 s without a way");
        assert!(
            sent.iter().all(|sent| (20..=300).contains(sent)),
            "{sent:?}"
        );
        call.end().await;
    });
}

#[test]
fn without_consent_nothing_is_sent_though_nobody_negotiates() {
    run(async {
        let call = call().await;
        call.let_negotiate(false);
        // The caller goes on hearing, so that its agent is content.
        call.set_forth(dead());
        call.pass(25 * SECOND).await;
        let [a, b] = Call::ADDRESSES;
        let sent = || call.wire.counters(a, b).sent;
        let before = sent();
        call.pass(SECOND).await;
        assert!(sent() - before > 50, "it may send yet");
        call.pass(10 * SECOND).await;
        let before = sent();
        call.pass(10 * SECOND).await;
        // Checks of the way that was.
        assert!(sent() - before < 25, "{}", sent() - before);
        assert_eq!(call.offers(), 1);
        // The wish is not forgotten.
        call.set_forth(link());
        call.let_negotiate(true);
        let (since, until) = call.pass(5 * SECOND).await;
        let times = back(&call, since, until);
        assert!(times.iter().all(|time| *time <= 3 * SECOND), "{times:?}");
        call.end().await;
    });
}

#[test]
fn who_comes_from_another_address_without_knowing_it_is_found() {
    for end in [0, 1] {
        run(async {
            let call = call().await;
            let shown = [127, 0, 81, 9].into();
            let other = Call::ADDRESSES[1 - end];
            call.wire.join(shown, other, Call::ADDRESSES[end], other);
            call.wire.disguise(Call::ADDRESSES[end], shown);
            let (since, until) = call.pass(20 * SECOND).await;
            let viewed = &call.ends[end].viewed;
            println!("{end} disguised: {:?}", viewed.freezes(since, until));
            let stopped = viewed.longest_gap(since, until);
            assert!(stopped <= 8 * SECOND, "{stopped:?}");
            assert_eq!(states(&call), [RTCPeerConnectionState::Connected; 2]);
            assert_eq!(pass_messages(&call).await, [true, true]);
            call.end().await;
        });
    }
}

/// `end` gets another address, after a time without any.
async fn change(end: usize, without: Duration) {
    let call = call().await;
    call.unplug(end);
    if !without.is_zero() {
        call.pass(without).await;
    }
    call.plug(end, [127, 0, 81, 3].into());
    let (since, until) = call.pass(10 * SECOND).await;
    let times = back(&call, since, until);
    println!("{end} moved, {without:?} without: back after {times:?}");
    assert!(times.iter().all(|time| *time <= 3 * SECOND), "{times:?}");
    // By now everybody knows, and nothing goes on changing.
    let offers = call.offers();
    assert!((2..=3).contains(&offers), "{offers}");
    assert_eq!(states(&call), [RTCPeerConnectionState::Connected; 2]);
    assert_eq!(pass_messages(&call).await, [true, true]);
    call.end().await;
}

#[test]
fn another_address_is_taken_within_three_seconds() {
    run(change(0, Duration::ZERO));
    run(change(1, Duration::ZERO));
}

#[test]
fn a_network_that_is_gone_is_replaced_by_the_next() {
    run(change(0, 8 * SECOND));
    run(change(1, 45 * SECOND));
}

#[test]
fn a_second_network_disturbs_nothing_and_is_there_when_the_first_goes() {
    run(async {
        let call = call().await;
        let second = [127, 0, 81, 3].into();
        call.plug(0, second);
        let (from, until) = call.pass(5 * SECOND).await;
        assert_eq!(call.offers(), 1);
        assert!(call.ends[1].viewed.freezes(from, until).is_empty());
        // The first one goes.
        call.wire.unplug(Call::ADDRESSES[0]);
        call.ends[0].ips.send_replace(vec![second]);
        let (since, until) = call.pass(10 * SECOND).await;
        let times = back(&call, since, until);
        println!("second network: back after {times:?}");
        assert!(times.iter().all(|time| *time <= 3 * SECOND), "{times:?}");
        call.end().await;
    });
}
