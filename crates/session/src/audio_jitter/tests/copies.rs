//! Sound that is sent twice or three times.

use super::call::{Call, Tone};
use super::*;
use crate::RedError;

#[test]
fn single_losses_cost_nothing_but_a_packets_wait() {
    let mut lossy = |_: i64, rng: &mut Rng| (rng.unit() >= 0.05).then(|| 8.0 * rng.unit());
    let mut call = Call::new(14);
    call.copies = 1;
    call.run(5.0, &mut lossy);
    let before = call.stats();
    call.run(60.0, &mut lossy);
    let stats = call.stats();
    let made_up = stats.concealed_samples - before.concealed_samples;
    // What remains are the first of two lost in a row: 0.25 % of all.
    assert!(made_up < 60 * 48_000 / 200, "{made_up} samples");
    assert!(call.delay(0.5) < 65.0, "{} ms", call.delay(0.5));
    let copies = stats.fec_packets_received - before.fec_packets_received;
    let unused = stats.fec_packets_discarded - before.fec_packets_discarded;
    assert!(
        (2_750..2_950).contains(&copies),
        "{copies} of 3,000 less 5 %"
    );
    assert!(
        (110..190).contains(&(copies - unused)),
        "some 150 were lost"
    );
    assert_eq!(stats.packets_duplicated, 0, "a copy is no repetition");
    call.assert_no_click();
    call.assert_pitch();
}

#[test]
fn at_forty_percent_two_copies_leave_six() {
    let mut lossy = |_: i64, rng: &mut Rng| (rng.unit() >= 0.4).then_some(5.0);
    let concealed = |copies| {
        let mut call = Call::new(15);
        call.copies = copies;
        call.run(5.0, &mut lossy);
        let before = call.stats().concealed_samples;
        call.run(60.0, &mut lossy);
        (call.stats().concealed_samples - before) as f64 / (60.0 * 48_000.0)
    };
    let [none, one, two] = [0, 1, 2].map(concealed);
    assert!((0.3..0.5).contains(&none), "{none}");
    assert!((0.12..0.2).contains(&one), "{one}");
    assert!((0.04..0.09).contains(&two), "{two}");
}

#[test]
fn without_losses_copies_are_not_waited_for() {
    let mut call = Call::new(16);
    call.copies = 2;
    call.run(0.1, &mut at_once).run(20.0, &mut at_once);
    assert_eq!(call.playout.target_delay(), Duration::from_millis(15));
    assert!(call.delay(0.95) <= 5.0 + 25.0, "{} ms", call.delay(0.95));
    let stats = call.stats();
    assert_eq!(stats.fec_packets_received, stats.fec_packets_discarded);
    assert_eq!(stats.concealed_samples + stats.packets_duplicated, 0);
    call.assert_no_click();
}

#[test]
fn a_packet_that_comes_after_its_copy_is_neither_lost_nor_a_repetition() {
    // Every eighth overtaken by two others.
    let mut disorder = |n: i64, _: &mut Rng| Some(if n % 8 == 1 { 45.0 } else { 2.0 });
    let mut call = Call::new(17);
    call.copies = 1;
    call.run(5.0, &mut disorder);
    let learnt = call.stats();
    call.run(20.0, &mut disorder);
    let stats = call.stats();
    assert_eq!(stats.concealed_samples, learnt.concealed_samples);
    assert_eq!(stats.packets_duplicated, 0);
    call.assert_no_click();
    // The late ones tell of the network's delay as ever.
    assert!(call.playout.needed_delay() > Duration::from_millis(50));
}

#[test]
fn a_stream_does_not_begin_with_the_past() {
    let mut call = Call::new(18);
    call.copies = 2;
    let mut out = AudioBuffer::default();
    call.arrive(7, MediaTime::ZERO);
    for millis in (0..40).step_by(10) {
        let block = call.playout.pull(MediaTime::from_millis(millis), &mut out);
        let first = i64::from(call.first_timestamp) + 7 * 960;
        assert!(block.rtp_timestamp.is_none_or(|at| at >= first));
    }
    assert_eq!(call.stats().fec_packets_discarded, 2);
}

#[test]
fn hostile_redundancy_is_refused_or_bounded() {
    let mut call = Call::new(19);
    call.run(1.0, &mut at_once);
    let sixtieth = call.packet(60);
    let packet = |payload: Vec<u8>| RtpPacket {
        payload: payload.into(),
        payload_type: 63,
        ..sixtieth.clone()
    };
    let nested = call.playout.push_red(
        &packet(vec![63, 63, 63]),
        111,
        MediaTime::from_millis(1_200),
    );
    assert_eq!(nested, Err(RedError::OtherType(63)));
    let cut = call.playout.push_red(
        &packet(vec![0xef, 0, 0, 9, 111]),
        111,
        MediaTime::from_millis(1_200),
    );
    assert_eq!(cut, Err(RedError::TooShort));
    let before = call.playout.stats();
    // Thirty-one copies that reach back by a third of a second: of what was played long ago.
    let mut far: Vec<u8> = Vec::new();
    for back in 0..31_u32 {
        let offset = 16_383 - back;
        far.extend([0xef, (offset >> 6) as u8, (offset << 2) as u8, 5]);
    }
    far.push(111);
    (0..31).for_each(|_| far.extend(&Tone::packet(0, 0)[..]));
    far.extend(&sixtieth.payload[..]);
    call.playout
        .push_red(&packet(far), 111, MediaTime::from_millis(1_200))
        .unwrap();
    let stats = call.playout.stats();
    assert_eq!(
        stats.fec_packets_discarded - before.fec_packets_discarded,
        31
    );
    // It asks for more patience than there ever is, and the call goes on.
    let mut lossy = |_: i64, rng: &mut Rng| (rng.unit() >= 0.1).then_some(5.0);
    call.run(10.0, &mut lossy);
    assert!(call.delay(1.0) < 500.0, "{} ms", call.delay(1.0));
    call.assert_no_click();
}
