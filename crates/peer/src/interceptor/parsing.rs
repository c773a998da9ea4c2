//! What the substrate makes of any bytes, which only reach it well encrypted: a packet, or an error. The
//! link behind it counts on that, and so does the bound of a datagram's cost.

use super::*;
use crate::PeerContext;
use bytes::Bytes;
use proptest::prelude::*;
use rtc::interceptor::AttributedPacket;
use rtc::rtp;
use rtc::shared::marshal::Unmarshal;

/// A compound of RTCP, of which each packet is of a kind and format that there is, as long as it says, and
/// full of anything.
fn compound() -> impl Strategy<Value = Vec<u8>> {
    let packet = (
        any::<bool>(),
        0u8..32,
        200u8..208,
        prop::collection::vec(any::<u8>(), 0..120),
    );
    let packet = packet.prop_map(|(padded, count, kind, mut body)| {
        body.truncate(body.len() / 4 * 4);
        let first = 0x80 | u8::from(padded) << 5 | count;
        let words = u16::try_from(body.len() / 4).unwrap_or(0).to_be_bytes();
        [&[first, kind, words[0], words[1]], body.as_slice()].concat()
    });
    prop::collection::vec(packet, 1..12).prop_map(|packets| packets.concat())
}

/// All of a path that hears what comes, one after the other, as the chain has them.
fn hear(packets: impl IntoIterator<Item = Packet>) -> Arc<MediaPath> {
    let (path, _) = MediaPath::new(&PeerContext::default(), Arc::new(Notify::new()));
    let mut links: [Box<dyn Interceptor>; 3] = [
        Box::new(Guard::new(path.clone())),
        Box::new(RetransmissionCounter::new(path.clone())),
        Box::new(MediaLink::new(path.clone())),
    ];
    for packet in packets {
        let mut msg = TaggedPacket {
            now: Instant::now(),
            transport: Default::default(),
            message: AttributedPacket::new(packet),
        };
        for link in &mut links {
            link.handle_read(msg).expect("links refuse nothing");
            match link.poll_read() {
                Some(next) => msg = next,
                None => break,
            }
        }
    }
    path
}

proptest! {
    #[test]
    fn any_rtcp_is_read_or_refused(wire in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(packets) = rtcp::packet::unmarshal(&mut Bytes::from(wire)) {
            hear([Packet::Rtcp(packets)]);
        }
    }

    #[test]
    fn rtcp_that_looks_like_rtcp_is_read_or_refused(wires in prop::collection::vec(compound(), 1..8)) {
        let read = wires.into_iter().filter_map(|wire| rtcp::packet::unmarshal(&mut Bytes::from(wire)).ok());
        hear(read.map(Packet::Rtcp));
    }

    #[test]
    fn any_rtp_is_read_or_refused(mut wire in prop::collection::vec(any::<u8>(), 0..120), first in 0x80u8..0xC0) {
        if let Some(byte) = wire.first_mut() {
            *byte = first;
        }
        if let Ok(packet) = rtp::Packet::unmarshal(&mut Bytes::from(wire)) {
            hear([Packet::Rtp(packet)]);
        }
    }
}

#[test]
fn padding_that_is_longer_than_its_packet_makes_no_packet() {
    let head = [0xA0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
    for padding in [5, 200, 255] {
        let wire = [&head[..], &[1, 2, 3, padding]].concat();
        assert!(rtp::Packet::unmarshal(&mut Bytes::from(wire)).is_err());
    }
    let wire = Bytes::copy_from_slice(&head);
    assert!(
        rtp::Packet::unmarshal(&mut wire.clone()).is_err(),
        "none at all"
    );
    // As long as the packet: a probe.
    let wire = [&head[..], &[0, 0, 0, 4]].concat();
    let packet = rtp::Packet::unmarshal(&mut Bytes::from(wire)).unwrap();
    assert!(packet.payload.is_empty());
}
