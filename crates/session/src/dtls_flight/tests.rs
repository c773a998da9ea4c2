use super::*;
use crate::rng::Rng;

fn at(millis: i64) -> MediaTime {
    MediaTime::from_millis(millis)
}

fn record(kind: u8, epoch: u16, number: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 254, 253];
    record.extend(epoch.to_be_bytes());
    record.extend([0, 0, 0, 0, 0, number]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// A message in the clear, by its number.
fn message(message: u16, number: u8) -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0];
    body.extend(message.to_be_bytes());
    body.extend([0; 6]);
    record(HANDSHAKE, 0, number, &body)
}

fn finished() -> Vec<u8> {
    [
        record(CHANGE_CIPHER_SPEC, 0, 9, &[1]),
        record(HANDSHAKE, 1, 0, &[7; 40]),
    ]
    .concat()
}

/// A datagram that stands for itself.
fn send(repeater: &mut FlightRepeater<Vec<u8>>, millis: i64, datagram: &[u8]) {
    repeater.on_sent(at(millis), datagram, || datagram.to_vec());
}

/// When what was sent is sent again within ten seconds.
fn repeats<T: Clone>(repeater: &mut FlightRepeater<T>) -> Vec<i64> {
    let times = (0..10_000).filter(|millis| !repeater.take_due(at(*millis)).is_empty());
    times.collect()
}

#[test]
fn a_flight_is_sent_again_until_it_is_answered() {
    let mut repeater = FlightRepeater::default();
    send(&mut repeater, 0, &message(0, 0));
    send(&mut repeater, 0, &message(1, 1));
    assert_eq!(repeater.next_timeout(), Some(at(150)));
    assert!(repeater.take_due(at(149)).is_empty());
    let whole = [message(0, 0), message(1, 1)];
    assert_eq!(repeater.take_due(at(150)), whole);
    assert_eq!(repeater.next_timeout(), Some(at(450)));
    repeater.on_received(&message(0, 0));
    assert_eq!(repeater.next_timeout(), None);
    // The next flight takes the place of the last.
    send(&mut repeater, 500, &message(2, 2));
    assert_eq!(repeater.take_due(at(650)), [message(2, 2)]);
    // The other side repeats itself: that is no answer.
    repeater.on_received(&message(0, 1));
    assert_eq!(repeater.next_timeout(), Some(at(950)));
    repeater.on_received(&finished());
    assert_eq!(repeater.next_timeout(), None);
}

#[test]
fn nobody_is_pestered_for_long() {
    let mut repeater = FlightRepeater::default();
    send(&mut repeater, 0, &finished());
    let times = repeats(&mut repeater);
    assert_eq!(times, [150, 450, 1_050, 1_650, 2_250, 2_850, 3_450, 4_050]);
}

#[test]
fn what_its_maker_says_again_takes_the_place_of_what_it_said() {
    let mut repeater = FlightRepeater::default();
    send(&mut repeater, 0, &message(3, 0));
    send(&mut repeater, 0, &finished());
    send(&mut repeater, 1_000, &message(3, 7));
    send(&mut repeater, 1_000, &finished());
    let again = [message(3, 7), finished()];
    assert_eq!(repeater.take_due(at(2_000)), again);
}

#[test]
fn the_last_flight_is_repeated_until_the_other_side_uses_the_keys() {
    for word in [record(APPLICATION_DATA, 1, 1, &[0; 30]), vec![0x80; 20]] {
        let mut repeater = FlightRepeater::default();
        send(&mut repeater, 0, &finished());
        // Not with them.
        repeater.on_received(&record(APPLICATION_DATA, 0, 1, &[0; 30]));
        assert!(repeater.next_timeout().is_some());
        repeater.on_received(&word);
        assert_eq!(repeater.next_timeout(), None);
        send(&mut repeater, 10, &finished());
        assert!(repeats(&mut repeater).is_empty());
    }
}

#[test]
fn what_is_no_handshake_is_not_repeated_and_a_long_one_not_all_of_it() {
    let mut repeater = FlightRepeater::default();
    for other in [
        &[][..],
        &[0; 20],
        &[0x80; 20],
        &record(APPLICATION_DATA, 1, 0, &[]),
    ] {
        send(&mut repeater, 0, other);
        assert_eq!(repeater.next_timeout(), None);
    }
    for number in 0..1_000 {
        send(&mut repeater, 0, &message(number, 0));
        send(
            &mut repeater,
            0,
            &record(HANDSHAKE, 0, 0, &[number as u8; 16_000]),
        );
    }
    let due = repeater.take_due(at(200));
    assert!(due.len() <= MAX_DATAGRAMS);
    assert!(due.iter().map(Vec::len).sum::<usize>() <= MAX_BYTES);
}

#[test]
fn whatever_comes_is_looked_at_without_harm() {
    let mut rng = Rng::new(5);
    let mut repeater = FlightRepeater::default();
    for round in 0..20_000_u64 {
        let mut datagram = match round % 3 {
            0 => message(round as u16, 1),
            1 => finished(),
            _ => vec![22; (rng.next_u64() % 60) as usize],
        };
        let cut = rng.next_u64() as usize % (datagram.len() + 1);
        if let Some(byte) = datagram.get_mut(cut) {
            *byte = rng.next_u64() as u8;
        }
        datagram.truncate(cut + 20);
        if !matches!(datagram.first(), Some(128..=191)) {
            repeater.on_received(&datagram);
        }
        send(&mut repeater, round as i64, &datagram);
        repeater.take_due(at(round as i64));
        assert!(repeater.flight.len() <= MAX_DATAGRAMS);
    }
}
