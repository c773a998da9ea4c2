use super::*;

struct Deaf;

impl Feedbacks for Deaf {
    fn key_frame_wanted(&self) {}
}

#[test]
fn what_waits_for_a_driver_that_has_ended_is_bounded() {
    let mut out = Outgoing::new(1e6);
    for media_ssrc in 0..10_000 {
        out.push_rtcp(Box::new(PictureLossIndication {
            sender_ssrc: 1,
            media_ssrc,
        }));
    }
    let now = Instant::now();
    let left = std::iter::from_fn(|| out.pop(now)).map(|packet| match packet {
        Packet::Rtcp(packets) => packets.len(),
        _ => 0,
    });
    let left: Vec<usize> = left.collect();
    assert!(left.iter().all(|packets| *packets <= RTCP_TOGETHER));
    assert_eq!(left.iter().sum::<usize>(), MAX_WAITING_RTCP);
}

/// A stream of sound that was agreed on as payload type 111.
fn sound() -> Outgoing {
    let mut out = Outgoing::new(1e6);
    out.add(7, MediaKind::Audio, Arc::new(Deaf));
    out.bind(&StreamInfo {
        ssrc: 7,
        payload_type: 111,
        ..Default::default()
    });
    out
}

#[test]
fn sound_takes_what_went_before_along_when_that_is_wanted() {
    let mut out = sound();
    let mut send = |n: u8, redundancy| {
        out.set_redundancy(7, redundancy);
        let time = MediaTime::from_millis(20 * i64::from(n));
        assert!(out.send_sound(7, time, 960, n == 0, Bytes::from(vec![n; 3])));
        let Some(Packet::Rtp(packet)) = out.pop(Instant::now()) else {
            panic!("sound waits for nothing");
        };
        let told = out.counters(7).expect("it was added").payload_type;
        assert_eq!(told, packet.header.payload_type);
        (packet.header.payload_type, packet.payload)
    };
    let two = Some(Redundancy {
        payload_type: 63,
        copies: 2,
    });
    assert_eq!(send(0, None), (111, Bytes::from(vec![0; 3])));
    assert_eq!(send(1, None).0, 111);
    let (payload_type, payload) = send(2, two);
    assert_eq!(payload_type, 63);
    let red = duet_session::RedPayload::parse(&payload, 111).expect("what was wrapped");
    assert_eq!(red.primary, vec![2; 3]);
    let copies = red.copies.iter().map(|copy| (copy.offset, copy.payload[0]));
    assert_eq!(copies.collect::<Vec<_>>(), [(1_920, 0), (960, 1)]);
    assert_eq!(send(3, None), (111, Bytes::from(vec![3; 3])));
}

#[test]
fn a_removed_stream_says_goodbye_and_nothing_more() {
    let mut out = sound();
    assert!(out.send_sound(7, MediaTime::ZERO, 960, true, Bytes::from_static(b"sound")));
    out.goodbye();
    out.remove(7);
    assert!(!out.send_sound(7, MediaTime::ZERO, 960, true, Bytes::from_static(b"sound")));
    let now = Instant::now();
    assert!(matches!(out.pop(now), Some(Packet::Rtcp(said)) if said.len() == 1));
    assert!(out.counters(7).is_none());
}

#[test]
fn packets_of_an_encoding_and_their_repairs_say_whose_they_are() {
    use crate::sdp::{MID_URI, REPAIRED_RID_URI, RID_URI};
    let mut out = Outgoing::new(1e6);
    out.add(7, MediaKind::Video, Arc::new(Deaf));
    let extensions = [MID_URI, RID_URI, REPAIRED_RID_URI].into_iter().zip(1..);
    out.bind(&StreamInfo {
        ssrc: 7,
        ssrc_rtx: Some(8),
        payload_type: 96,
        payload_type_rtx: Some(97),
        rtp_header_extensions: extensions
            .map(|(uri, id)| rtc::interceptor::RTPHeaderExtension {
                uri: uri.to_owned(),
                id,
            })
            .collect(),
        ..Default::default()
    });
    out.set_mid(7, "0");
    out.set_rid(7, "h");
    assert!(out.send_picture(7, MediaTime::ZERO, None, &[0; 100]));
    let Some(Packet::Rtp(mut packet)) = out.pop(Instant::now()) else {
        panic!("a picture is to leave");
    };
    let said = |packet: &rtp::Packet, id| packet.header.get_extension(id);
    let text = |text: &'static [u8]| Some(Bytes::from_static(text));
    let told = |packet: &rtp::Packet| [1, 2, 3].map(|id| said(packet, id));
    assert_eq!(told(&packet), [text(b"0"), text(b"h"), None]);
    packet.header.ssrc = 8;
    let bare = {
        let mut packet = packet.clone();
        packet.header.extensions.clear();
        packet.header.extension = false;
        packet
    };
    for mut repair in [packet, bare] {
        out.mark_retransmission(&mut repair);
        assert_eq!(told(&repair), [text(b"0"), None, text(b"h")]);
    }
    // An only encoding has no id.
    out.set_rid(7, "");
    assert!(out.send_picture(7, MediaTime::from_millis(40), None, &[0; 100]));
    let Some(Packet::Rtp(mut packet)) = out.pop(Instant::now() + Duration::from_secs(1)) else {
        panic!("a picture is to leave");
    };
    assert_eq!(told(&packet), [text(b"0"), None, None]);
    packet.header.ssrc = 8;
    out.mark_retransmission(&mut packet);
    assert_eq!(told(&packet), [text(b"0"), None, None]);
}
