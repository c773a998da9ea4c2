use super::*;

/// Chromium's offer of a microphone, a camera that it merely wants to see, and a data channel, with
/// what this crate passes over left out.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=setup:actpass\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=sendrecv\r\n\
a=msid:room mic\r\na=msid:other mic\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n\
a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\na=ssrc:5 cname:x\r\na=ssrc:5 msid:room mic\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=mid:1\r\na=recvonly\r\na=rtpmap:96 VP8/90000\r\na=ssrc:6 cname:x\r\na=ssrc-group:FID 6 7\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 \
00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
a=mid:2\r\na=sctp-port:5000\r\n";

#[test]
fn what_a_browser_offers_is_read() {
    let session = parse(OFFER).unwrap();
    assert_eq!(session.ice_ufrag, "abcd");
    assert!(session.has_data());
    let audio = session.section("0").unwrap();
    assert_eq!(audio.kind, Some(MediaKind::Audio));
    assert_eq!(audio.direction, Direction::SendRecv);
    assert_eq!(audio.streams, ["room", "other"]);
    assert_eq!(audio.ssrcs, [5]);
    assert_eq!(audio.mid_extension, Some(4));
    let opus = audio.opus.unwrap();
    assert_eq!((opus.stereo, opus.fec, opus.dtx), (true, true, false));
    let video = session.section("1").unwrap();
    assert_eq!(video.direction, Direction::RecvOnly);
    assert!(video.streams.is_empty() && video.opus.is_none());
    assert!(session.section("3").is_none());
}

#[test]
fn a_section_that_is_refused_needs_no_credentials() {
    let refused = "m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:9\r\na=inactive\r\n";
    let session = parse(&(OFFER.to_owned() + refused)).unwrap();
    assert!(session.section("9").unwrap().rejected);
    let bundled = "m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:9\r\na=bundle-only\r\n";
    assert!(parse(&(OFFER.to_owned() + bundled)).is_err());
}

#[test]
fn sections_may_not_share_an_id_or_part_company() {
    let twice = OFFER.replace("a=mid:1", "a=mid:0");
    assert_eq!(parse(&twice).unwrap_err().kind, RTCErrorKind::Syntax);
    let at = OFFER.rfind("a=ice-ufrag:abcd").unwrap();
    let apart = format!("{}a=ice-ufrag:efgh{}", &OFFER[..at], &OFFER[at + 16..]);
    assert_eq!(parse(&apart).unwrap_err().kind, RTCErrorKind::Syntax);
}

#[test]
fn no_cut_or_flipped_byte_makes_it_panic() {
    for at in 0..OFFER.len() {
        let _ = parse(&OFFER[..at]);
        let mut bytes = OFFER.as_bytes().to_vec();
        bytes[at] ^= 0x15;
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = parse(&text);
            present(&text, |_| None);
            with_directions(&text, |_| Some(Direction::Inactive));
        }
    }
}

#[test]
fn a_description_is_shown_as_the_transceivers_stand() {
    let shown = present(OFFER, |mid| {
        let (direction, streams) = match mid {
            "0" => (Direction::SendOnly, vec!["mine".to_owned()]),
            "1" => (Direction::RecvOnly, vec!["never".to_owned()]),
            _ => return None,
        };
        Some(Presented {
            direction,
            streams,
            track_id: "t".into(),
        })
    });
    let session = parse(&shown).unwrap();
    let audio = session.section("0").unwrap();
    assert_eq!(audio.direction, Direction::SendOnly);
    assert_eq!(
        (audio.streams.as_slice(), audio.ssrcs.as_slice()),
        (&["mine".to_owned()][..], &[5][..])
    );
    let video = session.section("1").unwrap();
    assert!(
        video.streams.is_empty() && video.ssrcs.is_empty(),
        "nothing is sent"
    );
    assert_eq!(shown.matches("msid:").count(), 1);
    assert!(session.has_data());

    let gone = present(OFFER, |mid| {
        (mid == "1").then(|| Presented {
            direction: Direction::Stopped,
            streams: Vec::new(),
            track_id: "t".into(),
        })
    });
    assert!(parse(&gone).unwrap().section("1").unwrap().rejected);
}

#[test]
fn directions_are_replaced_where_asked() {
    let held = with_directions(OFFER, |mid| (mid == "0").then_some(Direction::Inactive));
    let session = parse(&held).unwrap();
    assert_eq!(session.section("0").unwrap().direction, Direction::Inactive);
    assert_eq!(session.section("1").unwrap().direction, Direction::RecvOnly);
    assert_eq!(held.replacen("a=inactive", "a=sendrecv", 1), OFFER);
}
