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

#[test]
fn a_removed_stream_says_goodbye_and_nothing_more() {
    let mut out = Outgoing::new(1e6);
    out.add(7, MediaKind::Audio, Arc::new(Deaf));
    let sender = StreamInfo {
        ssrc: 7,
        payload_type: 111,
        ..Default::default()
    };
    out.bind(&sender);
    assert!(out.send_sound(7, MediaTime::ZERO, 960, true, Bytes::from_static(b"sound")));
    out.goodbye();
    out.remove(7);
    assert!(!out.send_sound(7, MediaTime::ZERO, 960, true, Bytes::from_static(b"sound")));
    let now = Instant::now();
    assert!(matches!(out.pop(now), Some(Packet::Rtcp(said)) if said.len() == 1));
    assert!(out.counters(7).is_none());
}
