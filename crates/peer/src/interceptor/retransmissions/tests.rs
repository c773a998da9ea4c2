use super::*;
use crate::PeerContext;
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, RTCPFeedback};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;
use rtc::rtp;
use tokio::sync::Notify;

const SSRC: u32 = 7;
const BYTES: usize = 1_000;

fn tagged(packet: Packet, now: Instant) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: Default::default(),
        message: AttributedPacket::new(packet),
    }
}

/// A stream of which `numbers` have left.
fn counter(numbers: std::ops::Range<u16>, now: Instant) -> RetransmissionCounter {
    let (path, _) = MediaPath::new(&PeerContext::default(), Arc::new(Notify::new()));
    let mut counter = RetransmissionCounter::new(path);
    counter.bind_local_stream(&StreamInfo {
        ssrc: SSRC,
        rtcp_feedback: vec![RTCPFeedback {
            typ: "nack".into(),
            parameter: String::new(),
        }],
        ..Default::default()
    });
    for sequence_number in numbers {
        let header = rtp::Header {
            version: 2,
            ssrc: SSRC,
            sequence_number,
            ..Default::default()
        };
        let payload = Bytes::from(vec![0; BYTES]);
        let packet = Packet::Rtp(rtp::Packet { header, payload });
        counter.handle_write(tagged(packet, now)).unwrap();
        assert!(counter.poll_write().is_some());
    }
    counter
}

/// As many requests as fit a datagram, from `first` on.
fn demand(media_ssrc: u32, first: u16) -> TransportLayerNack {
    let pairs = (0..370).map(|n: u16| NackPair {
        packet_id: first.wrapping_add(n * 17),
        lost_packets: u16::MAX,
    });
    TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc,
        nacks: pairs.collect(),
    }
}

/// What of a demand reaches the memory for retransmissions.
fn heeded(counter: &mut RetransmissionCounter, demand: TransportLayerNack, now: Instant) -> usize {
    let packet = Packet::Rtcp(vec![Box::new(demand)]);
    counter.handle_read(tagged(packet, now)).unwrap();
    let Packet::Rtcp(read) = counter.poll_read().unwrap().message.packet else {
        panic!("no RTCP");
    };
    let nack = read[0].as_any().downcast_ref::<TransportLayerNack>();
    let pairs = nack.unwrap().nacks.iter();
    pairs.copied().flatten().count()
}

#[test]
fn who_asks_for_everything_gets_a_share_of_the_path() {
    let start = Instant::now();
    let mut counter = counter(0..1_024, start);
    // 1.5 Mbit/s to begin with, half of it, and a quarter of a second saved up.
    let share = 1_500_000 / 2 / 8;
    let (a_second, most) = (share / BYTES, (share + share / 4) / BYTES);
    let mut answered = 0;
    for millis in 0..1_000 {
        let now = start + Duration::from_millis(millis);
        answered += heeded(&mut counter, demand(SSRC, 0), now);
    }
    assert!((a_second..=most).contains(&answered), "{answered}");
    let odd = *counter.path.odd.lock();
    // 6,290 requests in each datagram, for 1,024 packets.
    let refused = odd.requests_refused + odd.requests_over_budget + odd.requests_repeated;
    assert_eq!(refused + answered as u64, 6_290_000);
    assert!(odd.requests_refused >= 5_266_000);
}

#[test]
fn what_was_never_sent_is_not_looked_for() {
    let start = Instant::now();
    let mut counter = counter(0..10, start);
    assert_eq!(heeded(&mut counter, demand(SSRC, 100), start), 0);
    assert_eq!(heeded(&mut counter, demand(8, 0), start), 0);
    assert_eq!(counter.path.odd.lock().requests_refused, 2 * 6_290);
    assert_eq!(counter.sent.len(), 1);
    counter.unbind_local_stream(&StreamInfo {
        ssrc: SSRC,
        ..Default::default()
    });
    assert!(counter.sent.is_empty());
}

#[test]
fn a_round_trip_that_is_a_lie_stops_no_answers() {
    let start = Instant::now();
    let mut counter = counter(0..10, start);
    let ask = || TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: SSRC,
        nacks: nack_pairs_from_sequence_numbers(&[3]),
    };
    let mut answers = |millis| heeded(&mut counter, ask(), start + Duration::from_millis(millis));
    // Unknown: a millisecond later the first answer cannot have been missed.
    assert_eq!([answers(0), answers(1), answers(6)], [1, 0, 1]);
}
