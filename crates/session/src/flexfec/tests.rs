use super::*;
use proptest::prelude::*;

const SSRC: u32 = 0x1c64_3d82;

/// A packet of the stream; some have an extension, so that lengths and flags differ.
fn packet(number: u16, payload: &[u8]) -> ProtectedPacket {
    let extended = number.is_multiple_of(3);
    let mut head = vec![0x80, 96];
    if extended {
        head[0] |= 0x10;
    }
    if number.is_multiple_of(4) {
        head[1] |= 0x80;
    }
    head.extend(number.to_be_bytes());
    head.extend((u32::from(number) * 3_000).to_be_bytes());
    head.extend(SSRC.to_be_bytes());
    if extended {
        head.extend([0xbe, 0xde, 0, 1, 0x10, b'1', 0, 0]);
    }
    ProtectedPacket::new(head.into(), Bytes::copy_from_slice(payload)).unwrap()
}

fn wire(packet: &ProtectedPacket) -> Bytes {
    [&packet.head[..], &packet.payload[..]].concat().into()
}

fn stream(first: u16, count: usize) -> Vec<ProtectedPacket> {
    let payload = |at: usize| (0..at * 37 % 200).map(|byte| (byte * at) as u8).collect();
    (0..count)
        .map(|at| {
            packet(
                first.wrapping_add(at as u16),
                &Vec::<u8>::clone(&payload(at)),
            )
        })
        .collect()
}

/// What a decoder makes that has seen a packet before the first of `packets`, those that are not `lost`,
/// and then the repair packets that are not.
fn decode(
    packets: &[ProtectedPacket],
    repairs: &[Bytes],
    lost: impl Fn(usize) -> bool,
) -> Vec<Bytes> {
    let mut decoder = FlexFecDecoder::new(SSRC);
    let before = packets[0].sequence_number().wrapping_sub(1);
    decoder.on_packet(packet(before, &[1]));
    let mut made = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        if !lost(at) {
            made.extend(decoder.on_packet(packet.clone()));
        }
    }
    for (at, repair) in repairs.iter().enumerate() {
        if !lost(packets.len() + at) {
            made.extend(decoder.on_repair(repair).unwrap());
        }
    }
    made
}

#[test]
fn any_two_losses_of_a_picture_are_mended() {
    let packets = stream(65_530, 11);
    let repairs = protect(&packets, SSRC, &Code::new(11, 4));
    assert_eq!(repairs.len(), 4);
    for one in 0..15 {
        for other in 0..15 {
            let made = decode(&packets, &repairs, |at| at == one || at == other);
            let lost = [one.min(other), one.max(other)].into_iter();
            let mut lost: Vec<_> = lost.filter(|at| *at < 11).collect();
            lost.dedup();
            let mut expected: Vec<_> = lost.iter().map(|at| wire(&packets[*at])).collect();
            let mut made = made;
            made.sort();
            expected.sort();
            assert_eq!(made, expected, "{one} and {other}");
        }
    }
}

#[test]
fn two_losses_in_one_mask_are_not_made_up_until_one_of_them_comes() {
    let packets = stream(100, 6);
    let repairs = protect(&packets, SSRC, &Code::new(6, 1));
    assert!(decode(&packets, &repairs, |at| at == 2 || at == 4).is_empty());
    let mut decoder = FlexFecDecoder::new(SSRC);
    for at in [0, 1, 3, 5] {
        assert!(decoder.on_packet(packets[at].clone()).is_empty());
    }
    assert!(decoder.on_repair(&repairs[0]).unwrap().is_empty());
    // One is sent again.
    assert_eq!(decoder.on_packet(packets[4].clone()), [wire(&packets[2])]);
    assert!(decoder.on_packet(packets[2].clone()).is_empty());
    let counters = decoder.counters();
    assert_eq!((counters.received, counters.recovered), (1, 1));
    assert_eq!(counters.discarded, 0);
}

#[test]
fn repair_packets_are_solved_together() {
    // Each has two losses; their sum has one.
    let packets = stream(7, 3);
    let of = |mask: u128| {
        let (mut fields, mut rest) = ([0; 8], vec![0; 200]);
        for at in (0..3).filter(|at| mask >> at & 1 == 1) {
            packets[at].add_to(&mut fields, &mut rest);
        }
        let (ssrc, base) = (SSRC, 7);
        let header = FlexFecHeader {
            fields,
            ssrc,
            base,
            mask,
        };
        header.write(&rest)
    };
    let mut made = decode(&packets, &[of(0b011), of(0b110), of(0b111)], |at| at < 3);
    made.sort();
    let mut expected: Vec<_> = packets.iter().map(wire).collect();
    expected.sort();
    assert_eq!(made, expected);
}

#[test]
fn what_nobody_needs_is_counted() {
    let packets = stream(1, 4);
    let repairs = protect(&packets, SSRC, &Code::new(4, 2));
    let mut decoder = FlexFecDecoder::new(SSRC);
    for packet in &packets {
        decoder.on_packet(packet.clone());
    }
    for repair in &repairs {
        assert!(decoder.on_repair(repair).unwrap().is_empty());
    }
    let other = protect(&packets, SSRC + 1, &Code::new(4, 1));
    assert_eq!(decoder.on_repair(&other[0]), Err(FlexFecError::OtherKind));
    let counters = decoder.counters();
    assert_eq!((counters.received, counters.discarded), (3, 3));
}

#[test]
fn masks_are_as_the_draft_has_them() {
    let header = |mask| FlexFecHeader {
        fields: [0x10, 0x80, 1, 2, 3, 4, 5, 6],
        ssrc: 0x0102_0304,
        base: 0x0506,
        mask,
    };
    let short = header(0b101).write(&[9]);
    assert_eq!(
        short[..],
        [
            0x10,
            0x80,
            1,
            2,
            3,
            4,
            5,
            6,
            1,
            0,
            0,
            0,
            1,
            2,
            3,
            4,
            5,
            6,
            0x80 | 0x50,
            0,
            9
        ]
    );
    let middle = header(1 | 1 << 15 | 1 << 45).write(&[]);
    assert_eq!(middle[18..], [0x40, 0, 0x80 | 0x40, 0, 0, 1]);
    let long = header(1 << 46 | 1 << 108).write(&[]);
    assert_eq!(
        long[18..],
        [0, 0, 0, 0, 0, 0, 0x80 | 0x40, 0, 0, 0, 0, 0, 0, 1]
    );
}

#[test]
fn what_is_no_repair_packet_is_refused() {
    let whole = FlexFecHeader {
        fields: [0; 8],
        ssrc: SSRC,
        base: 1,
        mask: 1 << 100,
    };
    let whole = whole.write(&[]);
    assert!(FlexFecHeader::parse(&whole).is_ok());
    for length in 0..whole.len() {
        let cut = FlexFecHeader::parse(&whole.slice(..length));
        assert_eq!(cut, Err(FlexFecError::TooShort), "{length}");
    }
    let with = |at: usize, byte| {
        let mut bytes = whole.to_vec();
        bytes[at] = byte;
        FlexFecHeader::parse(&bytes.into())
    };
    assert_eq!(with(0, 0x80), Err(FlexFecError::OtherKind), "sent again");
    assert_eq!(
        with(0, 0x40),
        Err(FlexFecError::OtherKind),
        "rows and columns"
    );
    assert_eq!(with(8, 2), Err(FlexFecError::Streams(2)));
    assert_eq!(with(24, 0), Err(FlexFecError::OtherKind), "without an end");
    let nothing = [&whole[..18], &[0x80, 0]].concat();
    assert_eq!(
        FlexFecHeader::parse(&nothing.into()),
        Err(FlexFecError::Nothing)
    );
}

proptest! {
    #[test]
    fn any_single_loss_is_mended_and_nothing_else_is_made(
        first in any::<u16>(), count in 1usize..=20, repairs in 1usize..=10, lost in any::<prop::sample::Index>(),
    ) {
        let packets = stream(first, count);
        let repairs = protect(&packets, SSRC, &Code::new(count, repairs));
        let lost = lost.index(count);
        prop_assert_eq!(decode(&packets, &repairs, |at| at == lost), [wire(&packets[lost])]);
    }

    #[test]
    fn whatever_is_lost_what_is_made_is_true(
        first in any::<u16>(), count in 1usize..=20, repairs in 1usize..=10, lost in any::<u32>(),
    ) {
        let packets = stream(first, count);
        let repairs = protect(&packets, SSRC, &Code::new(count, repairs));
        let made = decode(&packets, &repairs, |at| lost >> at & 1 == 1);
        for one in made {
            let of = (0..count).find(|at| one == wire(&packets[*at]));
            prop_assert!(of.is_some_and(|at| lost >> at & 1 == 1), "{:?}", one);
        }
    }

    #[test]
    fn headers_come_back(fields in any::<[u8; 8]>(), ssrc in any::<u32>(), base in any::<u16>(), mask in any::<u128>(), rest in prop::collection::vec(any::<u8>(), 0..20)) {
        let mut fields = fields;
        fields[0] &= 0x3f;
        let mask = mask >> 19 | 1;
        let header = FlexFecHeader { fields, ssrc, base, mask };
        prop_assert_eq!(FlexFecHeader::parse(&header.write(&rest)), Ok((header, Bytes::from(rest))));
    }

    #[test]
    fn garbage_is_survived_in_bounded_memory(
        steps in prop::collection::vec((any::<bool>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..60)), 0..300),
    ) {
        let mut decoder = FlexFecDecoder::new(SSRC);
        for (repair, number, mut bytes) in steps {
            if repair {
                // So that some of it gets further than the first field.
                if bytes.len() > 18 {
                    bytes[0] &= 0x3f;
                    bytes[8] = 1;
                    bytes[12..16].copy_from_slice(&SSRC.to_be_bytes());
                    bytes[16..18].copy_from_slice(&(number % 64).to_be_bytes());
                }
                let _ = decoder.on_repair(&bytes.into());
            } else {
                decoder.on_packet(packet(number % 64, &bytes));
            }
            let counters = decoder.counters();
            prop_assert!(counters.discarded <= counters.received);
            prop_assert!(decoder.kept() <= 64);
        }
    }
}
