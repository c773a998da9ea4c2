use super::*;
use duet_media::MediaTime;
use duet_session::FecPath;
use rtc::interceptor::{FlexFec03Decoder, FlexFec03Encoder};

const SSRC: u32 = 7;
const REPAIR: RepairStream = RepairStream {
    ssrc: 9,
    payload_type: 49,
};
const NUMBER: u8 = 3;

fn policy(loss: f64) -> FecPolicy {
    let mut policy = FecPolicy::new();
    for at in 0..100 {
        let round_trip = Some(Duration::from_millis(300));
        let path = FecPath { loss, round_trip };
        policy.update(path, MediaTime::from_millis(at * 50));
    }
    policy
}

/// A picture of so many packets, the first of which names its section.
fn picture(first: u16, packets: u16) -> Vec<rtp::Packet> {
    let packet = |at: u16| {
        let mut header = rtp::Header {
            version: 2,
            marker: at + 1 == packets,
            payload_type: 96,
            sequence_number: first.wrapping_add(at),
            timestamp: 90_000,
            ssrc: SSRC,
            ..Default::default()
        };
        if at == 0 {
            let mid = Bytes::from_static(b"video");
            header.set_extension(1, mid).expect("an id of one byte");
        }
        let payload = (0..400 + at * 50).map(|byte| (byte ^ at) as u8).collect();
        rtp::Packet { header, payload }
    };
    (0..packets).map(packet).collect()
}

/// As it is on the wire, with the transport's number.
fn sent(packet: &rtp::Packet, number: u16) -> rtp::Packet {
    let mut packet = packet.clone();
    let number = Bytes::copy_from_slice(&number.to_be_bytes());
    packet
        .header
        .set_extension(NUMBER, number)
        .expect("an id of one byte");
    let mut wire = BytesMut::zeroed(packet.marshal_size());
    packet.marshal_to(&mut wire).expect("room for it");
    rtp::Packet::unmarshal(&mut wire.freeze()).expect("what was written")
}

fn protect_all(
    protection: &mut Protection,
    packets: &[rtp::Packet],
    policy: &FecPolicy,
) -> Vec<rtp::Packet> {
    let left = |packet| protection.left(packet, false, Some(NUMBER), policy, REPAIR);
    packets.iter().flat_map(left).collect()
}

#[test]
fn what_is_lost_of_a_picture_comes_back_as_it_was() {
    let (policy, mut protection) = (policy(0.05), Protection::default());
    let packets = picture(65_530, 12);
    let repairs = protect_all(&mut protection, &packets, &policy);
    assert!(repairs.len() >= 3, "{}", repairs.len());
    let (pictures, repaired) = protection.average().expect("it is protected");
    assert!(repaired > pictures * 0.1);
    let mut recovery = Recovery::new(SSRC, Some(NUMBER), Instant::now());
    let before = &picture(65_529, 1)[0];
    recovery.on_packet(&sent(before, 99), false);
    for (at, packet) in packets.iter().enumerate() {
        if at != 0 && at != 11 {
            assert!(
                recovery
                    .on_packet(&sent(packet, 100 + at as u16), false)
                    .is_empty()
            );
        }
    }
    let now = Instant::now();
    let on_repair = |repair: &rtp::Packet| recovery.on_repair(&repair.payload, now);
    let mut made: Vec<_> = repairs.iter().flat_map(on_repair).collect();
    made.sort_by_key(|packet| {
        packet
            .header
            .timestamp
            .wrapping_add(packet.payload.len() as u32)
    });
    for (made, original) in made.iter().zip([&packets[0], &packets[11]]) {
        assert_eq!(made.payload, original.payload);
        let fields = |header: &rtp::Header| {
            (
                header.sequence_number,
                header.marker,
                header.payload_type,
                header.timestamp,
                header.ssrc,
                header.get_extension(1),
            )
        };
        assert_eq!(fields(&made.header), fields(&original.header));
    }
    assert_eq!(made.len(), 2);
}

#[test]
fn the_substrates_decoder_reads_what_we_write() {
    let packets = picture(100, 8);
    let repairs = protect_all(&mut Protection::default(), &packets, &policy(0.05));
    let mut decoder = FlexFec03Decoder::new(REPAIR.ssrc, SSRC);
    let zeroed = |packet| sent(packet, 0);
    for (_, packet) in packets
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != 2 && *at != 5)
    {
        assert!(decoder.decode(zeroed(packet)).is_empty());
    }
    let made: Vec<_> = repairs
        .into_iter()
        .flat_map(|repair| decoder.decode(repair))
        .collect();
    let mut numbers: Vec<_> = made
        .iter()
        .map(|packet| packet.header.sequence_number)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [102, 105]);
    for packet in made {
        let of = usize::from(packet.header.sequence_number - 100);
        assert_eq!(packet.payload, packets[of].payload);
    }
}

#[test]
fn what_the_substrates_encoder_writes_is_read() {
    // With masks of all three lengths.
    for (count, repairs) in [(8, 1), (40, 3), (100, 5)] {
        let packets: Vec<_> = picture(0, count)
            .iter()
            .map(|packet| sent(packet, 0))
            .collect();
        let repairs =
            FlexFec03Encoder::new(REPAIR.payload_type, REPAIR.ssrc).encode(&packets, repairs);
        let mut recovery = Recovery::new(SSRC, Some(NUMBER), Instant::now());
        for packet in packets
            .iter()
            .filter(|packet| packet.header.sequence_number != 5)
        {
            recovery.on_packet(packet, false);
        }
        let now = Instant::now();
        let made = repairs
            .iter()
            .flat_map(|repair| recovery.on_repair(&repair.payload, now));
        let made: Vec<_> = made.collect();
        assert_eq!(made.len(), 1, "of {count}");
        assert_eq!(made[0], packets[5]);
    }
}

#[test]
fn a_clean_path_has_none_and_a_great_picture_is_protected_in_parts() {
    let mut protection = Protection::default();
    assert!(protect_all(&mut protection, &picture(0, 12), &policy(0.0)).is_empty());
    assert_eq!(protection.average(), None);
    let policy = policy(0.05);
    let packets = picture(0, 250);
    let repairs = protect_all(&mut protection, &packets, &policy);
    let mut recovery = Recovery::new(SSRC, Some(NUMBER), Instant::now());
    // Ten in a row are lost.
    for packet in packets
        .iter()
        .filter(|p| !(130..140).contains(&p.header.sequence_number))
    {
        recovery.on_packet(&sent(packet, 1), false);
    }
    let now = Instant::now();
    let made = repairs
        .iter()
        .flat_map(|repair| recovery.on_repair(&repair.payload, now));
    assert_eq!(made.count(), 10);
    let discarded = picture(300, 5);
    protect_all(&mut protection, &discarded[..3], &policy);
    protection.forget();
    let next = protect_all(&mut protection, &picture(303, 1), &policy);
    assert_eq!(next.len(), policy.repairs(1, false), "of what is there");
}
