use super::*;
use crate::PeerContext;
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, RTPHeaderExtension};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    RunLengthChunk, StatusVectorChunk, SymbolTypeTcc,
};
use tokio::sync::Notify;

const ID: u8 = 3;

fn tagged(packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now: Instant::now(),
        transport: Default::default(),
        message: AttributedPacket::new(packet),
    }
}

fn guard() -> Guard {
    let (path, _) = MediaPath::new(&PeerContext::default(), Arc::new(Notify::new()));
    let mut guard = Guard::new(path);
    guard.bind_local_stream(&StreamInfo {
        ssrc: 1,
        rtp_header_extensions: vec![RTPHeaderExtension {
            uri: TWCC_URI.to_owned(),
            id: u16::from(ID),
        }],
        ..Default::default()
    });
    guard
}

fn numbered(number: u16) -> Packet {
    let mut header = rtp::Header {
        version: 2,
        ssrc: 1,
        ..Default::default()
    };
    let number = Bytes::copy_from_slice(&number.to_be_bytes());
    header.set_extension(ID, number).unwrap();
    Packet::Rtp(rtp::Packet {
        header,
        payload: Bytes::new(),
    })
}

fn run(run_length: u16) -> PacketStatusChunk {
    PacketStatusChunk::RunLengthChunk(RunLengthChunk {
        packet_status_symbol: SymbolTypeTcc::PacketNotReceived,
        run_length,
        ..Default::default()
    })
}

fn report(base: u16, count: u16, chunks: Vec<PacketStatusChunk>) -> TransportLayerCc {
    TransportLayerCc {
        base_sequence_number: base,
        packet_status_count: count,
        packet_chunks: chunks,
        ..Default::default()
    }
}

/// How many packets those behind the guard hear of.
fn heard_of(guard: &mut Guard, reports: Vec<TransportLayerCc>) -> usize {
    let boxed = reports
        .into_iter()
        .map(|report| Box::new(report) as Box<dyn rtcp::Packet>);
    guard
        .handle_read(tagged(Packet::Rtcp(boxed.collect())))
        .unwrap();
    let Packet::Rtcp(packets) = guard.poll_read().unwrap().message.packet else {
        panic!("no RTCP");
    };
    let reports = packets
        .iter()
        .filter_map(|p| p.as_any().downcast_ref::<TransportLayerCc>());
    let chunks = reports.flat_map(|report| &report.packet_chunks);
    let spoken_of = chunks.map(|chunk| match chunk {
        PacketStatusChunk::RunLengthChunk(run) => usize::from(run.run_length),
        PacketStatusChunk::StatusVectorChunk(vector) => vector.symbol_list.len(),
    });
    spoken_of.sum()
}

fn send(guard: &mut Guard, numbers: impl IntoIterator<Item = u16>) {
    for number in numbers {
        guard.handle_write(tagged(numbered(number))).unwrap();
        assert!(guard.poll_write().is_some());
    }
}

#[test]
fn a_report_on_what_was_sent_comes_through_as_it_is() {
    let mut guard = guard();
    // Across the wrap.
    send(&mut guard, (65_500..=65_535).chain(0..64));
    assert_eq!(
        heard_of(&mut guard, vec![report(65_500, 100, vec![run(100)])]),
        100
    );
    // A vector is padded: its excess is not spoken of.
    let vector = PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
        symbol_list: vec![SymbolTypeTcc::PacketReceivedSmallDelta; 14],
        ..Default::default()
    });
    assert_eq!(heard_of(&mut guard, vec![report(0, 10, vec![vector])]), 10);
    assert_eq!(guard.path.odd.lock().transport_reports_refused, 0);
}

#[test]
fn a_report_on_what_was_never_sent_does_not() {
    let mut guard = guard();
    assert_eq!(heard_of(&mut guard, vec![report(0, 1, vec![run(1)])]), 0);
    send(&mut guard, 100..200);
    for (base, count) in [(99, 1), (200, 1), (150, 51), (0, 65_535), (40_000, 10)] {
        let heard = heard_of(&mut guard, vec![report(base, count, vec![run(count)])]);
        assert_eq!(heard, 0, "{count} from {base}");
    }
    assert_eq!(guard.path.odd.lock().transport_reports_refused, 6);
    // Eight runs of 8,191 for ten packets.
    let chunks = (0..8).map(|_| run(8_191)).collect();
    assert_eq!(heard_of(&mut guard, vec![report(100, 10, chunks)]), 10);
}

#[test]
fn reports_without_end_speak_of_no_more_than_was_sent() {
    let mut guard = guard();
    let sent = 40_000;
    send(&mut guard, (0..=u16::MAX).take(sent));
    let all = || {
        report(
            40_000 - 30_000,
            30_000,
            vec![run(8_191), run(8_191), run(8_191), run(5_427)],
        )
    };
    let datagrams = (0..1_000).map(|_| heard_of(&mut guard, (0..33).map(|_| all()).collect()));
    let heard: usize = datagrams.sum();
    assert!((30_000..=65_536).contains(&heard), "{heard}");
    // Spent: what leaves from now on earns eight times itself.
    send(&mut guard, (0..=u16::MAX).skip(sent).take(100));
    let last = || report(40_000, 100, vec![run(100)]);
    let rest: usize = (0..1_000).map(|_| heard_of(&mut guard, vec![last()])).sum();
    assert_eq!(rest, (65_536 - heard + 800) / 100 * 100);
}

#[test]
fn what_was_not_agreed_on_is_not_read() {
    let mut guard = guard();
    let other: Box<dyn rtcp::Packet> = Box::new(CcFeedbackReport::default());
    guard
        .handle_read(tagged(Packet::Rtcp(vec![other])))
        .unwrap();
    let read = guard.poll_read().unwrap().message.packet;
    assert!(matches!(read, Packet::Rtcp(packets) if packets.is_empty()));
    assert_eq!(guard.path.odd.lock().transport_reports_refused, 1);
}

/// How many steps the recorder of arrivals makes for `numbers`.
fn recorded(guard: &mut Guard, numbers: impl IntoIterator<Item = u16>) -> (usize, u64) {
    let (mut recorded, mut steps, mut last) = (0, 0, None);
    for number in numbers {
        guard.handle_read(tagged(numbered(number))).unwrap();
        let Packet::Rtp(packet) = guard.poll_read().unwrap().message.packet else {
            panic!("no RTP");
        };
        if packet.header.get_extension(ID).is_some() {
            recorded += 1;
            let before = last.replace(number).unwrap_or(number);
            steps += u64::from(number.wrapping_sub(before).cast_signed().unsigned_abs());
        }
    }
    (recorded, steps)
}

#[test]
fn numbers_that_jump_to_and_fro_are_not_followed() {
    let mut guard = guard();
    let jumping = (0..10_000).map(|n: u16| {
        if n % 2 == 0 {
            n
        } else {
            n.wrapping_add(32_000)
        }
    });
    let (_, steps) = recorded(&mut guard, jumping);
    // Those that are near the last one recorded go on.
    assert!(steps <= 65_536 + 64 * 10_000, "{steps}");
    assert!(guard.path.odd.lock().transport_numbers_refused > 4_500);
}

#[test]
fn outages_and_packets_that_change_places_are_recorded() {
    let mut guard = guard();
    let swapped = (0..1_000).map(|n: u16| n ^ 7);
    assert_eq!(recorded(&mut guard, swapped).0, 1_000);
    assert_eq!(recorded(&mut guard, 31_000..32_000).0, 1_000);
    assert_eq!(guard.path.odd.lock().transport_numbers_refused, 0);
}
