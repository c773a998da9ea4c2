use super::*;
use crate::interceptor::route::tests::{route, way_of_sound};

fn packet(ssrc: u32) -> rtp::Packet {
    let mut header = rtp::Header {
        version: 2,
        payload_type: 96,
        ssrc,
        ..Default::default()
    };
    let mid = Bytes::from_static(b"0");
    header.set_extension(1, mid).expect("an id of one byte");
    rtp::Packet {
        header,
        payload: Bytes::from_static(&[0x10, 0, 0]),
    }
}

#[test]
fn a_source_that_changes_all_the_time_is_heard_and_forgotten() {
    let mut incoming = Incoming::default();
    incoming.set_routes(vec![route().0]);
    let start = Instant::now();
    for ssrc in 1..1_000 {
        incoming.bind(&StreamInfo {
            ssrc,
            payload_type: 96,
            clock_rate: 90_000,
            ..Default::default()
        });
        let arrival = MediaTime::from_millis(i64::from(ssrc));
        let heard = incoming.on_rtp(packet(ssrc), start, arrival);
        assert!(!heard.is_empty(), "source {ssrc}");
        assert!(incoming.bindings.len() <= MAX_STREAMS && incoming.streams.len() <= MAX_STREAMS);
    }
    assert_eq!(incoming.odd.packets_of_strangers, 0);
    assert_eq!(incoming.odd.source_changes, 998);
}

#[test]
fn sound_is_played_whatever_it_begins_with_and_changes_to() {
    // Redundancy, Opus, a telephone key.
    for first in [63, 111, 110] {
        let mut incoming = Incoming::default();
        let route = way_of_sound();
        incoming.set_routes(vec![route.clone()]);
        incoming.bind(&StreamInfo {
            ssrc: 7,
            payload_type: first,
            clock_rate: 48_000,
            ..Default::default()
        });
        let mut number = 0;
        let mut plays = |payload_type| {
            number += 1;
            let mut packet = packet(7);
            packet.header.payload_type = payload_type;
            packet.header.sequence_number = number;
            let time = MediaTime::from_millis(20 * i64::from(number));
            !incoming.on_rtp(packet, Instant::now(), time).is_empty()
        };
        assert_eq!(plays(first), first != 110, "{first}");
        assert!(plays(111) && plays(63) && plays(111), "{first}");
        assert!(!plays(110) && !plays(0), "{first}");
        let counters = incoming.counters(&route)[0];
        let strange = if first == 110 { 3 } else { 2 };
        assert_eq!((counters.packets, counters.discarded), (6, strange));
        assert_eq!(counters.payload_type, 111, "of the last that was played");
    }
}

#[test]
fn what_repair_packets_make_up_for_is_handed_over_once_and_not_asked_for() {
    use duet_session::ProtectedPacket;
    use duet_session::flexfec::{Code, protect};
    use rtc::shared::marshal::Marshal;
    let mut incoming = Incoming::default();
    incoming.set_routes(vec![route().0]);
    let feedback = rtc::interceptor::RTCPFeedback {
        typ: "nack".to_owned(),
        parameter: String::new(),
    };
    incoming.bind(&StreamInfo {
        ssrc: 7,
        payload_type: 96,
        clock_rate: 90_000,
        ssrc_fec: Some(9),
        payload_type_fec: Some(49),
        rtcp_feedback: vec![feedback],
        ..Default::default()
    });
    let (start, arrival) = (Instant::now(), MediaTime::ZERO);
    let numbered = |number| {
        let mut packet = packet(7);
        packet.header.sequence_number = number;
        // Within a picture: a key frame's first would be reason to ask for nothing before it.
        packet.payload = Bytes::from_static(&[0, 0, 0]);
        packet
    };
    let repair = |first: u16, lost: u16| {
        let packets: Vec<_> = (first..first + 4)
            .map(|number| {
                let header = numbered(number).header;
                let mut head = vec![0; header.marshal_size()];
                header.marshal_to(&mut head).expect("room for it");
                ProtectedPacket::new(head.into(), numbered(number).payload).expect("a header")
            })
            .collect();
        let mut packet = packet(9);
        packet.header.payload_type = 49;
        packet.header.sequence_number = lost;
        packet.payload = protect(&packets, 7, &Code::new(4, 1)).remove(0);
        packet
    };
    // The first tells that the stream is protected: from then on packets are remembered.
    assert_eq!(incoming.on_rtp(numbered(0), start, arrival).len(), 1);
    assert!(incoming.on_rtp(repair(0, 0), start, arrival).is_empty());
    for number in [4, 5, 7] {
        assert_eq!(incoming.on_rtp(numbered(number), start, arrival).len(), 1);
    }
    let made = incoming.on_rtp(repair(4, 1), start, arrival);
    assert!(made.iter().all(|delivery| delivery.made));
    let numbers: Vec<_> = made
        .iter()
        .map(|made| made.packet.sequence_number)
        .collect();
    assert_eq!(numbers, [6]);
    assert!(
        incoming.on_rtp(numbered(6), start, arrival).is_empty(),
        "it comes late"
    );
    let later = start + Duration::from_secs(1);
    let asked = incoming.due_nacks(later, None);
    let asked = asked
        .first()
        .and_then(|nack| nack.as_any().downcast_ref::<TransportLayerNack>());
    let asked: Vec<u16> = asked
        .map(|nack| nack.nacks.iter().copied().flatten().collect())
        .unwrap_or_default();
    assert_eq!(asked, [1, 2, 3], "which nothing was known of");
    let counters = incoming.streams[&7].counters();
    assert_eq!((counters.repairs.ssrc, counters.packets), (Some(9), 7));
    let fec = counters.repairs.counters;
    // Of what the first protects nothing was remembered.
    assert_eq!((fec.received, fec.recovered, fec.discarded), (2, 1, 1));
}
