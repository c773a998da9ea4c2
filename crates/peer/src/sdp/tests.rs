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
    assert_eq!(
        audio.streams,
        Some(vec!["room".to_owned(), "other".to_owned()])
    );
    assert_eq!(audio.ssrcs, [5]);
    assert_eq!(audio.mid_extension, Some(4));
    let opus = audio.opus.unwrap();
    assert_eq!((opus.stereo, opus.fec, opus.dtx), (true, true, false));
    let video = session.section("1").unwrap();
    assert_eq!(video.direction, Direction::RecvOnly);
    assert!(video.streams.is_none() && video.opus.is_none());
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
    let detail = |sdp: &str| parse(sdp).unwrap_err().detail;
    let line = |line| Some(crate::RTCErrorDetail::SdpSyntaxError { line });
    assert_eq!(detail(&twice), line(22));
    let at = OFFER.rfind("a=ice-ufrag:abcd").unwrap();
    let apart = format!("{}a=ice-ufrag:efgh{}", &OFFER[..at], &OFFER[at + 16..]);
    let session = parse(&apart).unwrap();
    assert!(session.can_be_had() && !session.shares_transport(&session.sections[2]));
    let known = for_substrate(&apart, &session, true, |_| false);
    assert_eq!(
        (
            known.matches("m=").count(),
            known.matches("ice-ufrag").count()
        ),
        (3, 2)
    );
}

#[test]
fn the_substrate_sees_sound_as_its_own() {
    let offer = OFFER
        .replace(
            "UDP/TLS/RTP/SAVPF 111 63\r\n",
            "UDP/TLS/RTP/SAVPF 111 63 62\r\n",
        )
        .replace(
            "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n",
            "a=fmtp:111 minptime=20;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\n\
             a=fmtp:63 111/111\r\na=rtpmap:62 red/8000\r\na=fmtp:62 0/0\r\n",
        );
    let session = parse(&offer).unwrap();
    let audio = session.section("0").unwrap();
    let types = SoundTypes::of(&audio.codecs).unwrap();
    assert_eq!((types.opus, types.red), (111, Some(63)));
    let known = for_substrate(&offer, &session, true, |_| false);
    assert!(
        known.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"),
        "{known}"
    );
    assert!(known.contains("a=fmtp:63 111/111\r\n") && !known.contains(":62 "));
    assert!(known.contains("a=fmtp:111 useinbandfec=1\r\n"));
}

#[test]
fn what_is_not_bundled_is_on_its_own() {
    let apart = OFFER.replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    let session = parse(&apart).unwrap();
    let alone = |session: &Session| -> Vec<bool> {
        session
            .sections
            .iter()
            .map(|section| section.apart)
            .collect()
    };
    assert_eq!(alone(&session), [false, true, false]);
    let known = for_substrate(&apart, &session, true, |_| false);
    assert!(!known.contains("m=video"));
    assert!(known.contains("a=group:BUNDLE 0 2\r\n"));
    let whole = arrange(&known, &apart);
    let again = parse(&whole).unwrap();
    let mids: Vec<&str> = again.sections.iter().map(|s| s.mid.as_str()).collect();
    assert_eq!(mids, ["0", "1", "2"]);
    assert!(again.sections[1].rejected && !again.sections[2].rejected);
    assert_eq!(arrange(&apart, &known).matches("m=").count(), 3);
    // Without a word on bundling: the same transport is the same, another is another.
    let silent = OFFER.replace("a=group:BUNDLE 0 1 2\r\n", "");
    assert_eq!(alone(&parse(&silent).unwrap()), [false, false, false]);
    let at = silent.rfind("a=ice-ufrag:abcd").unwrap();
    let other = format!("{}a=ice-ufrag:efgh{}", &silent[..at], &silent[at + 16..]);
    assert_eq!(alone(&parse(&other).unwrap()), [false, false, true]);
}

#[test]
fn the_line_at_fault_is_told() {
    let line = |sdp: &str| match parse(sdp).unwrap_err().detail {
        Some(crate::RTCErrorDetail::SdpSyntaxError { line }) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(line("nonsense"), 1);
    assert_eq!(line(&OFFER.replace("a=rtcp-mux", "!rtcp-mux")), 17);
    assert_eq!(line(&OFFER.replace("m=video 9 ", "m=video x ")), 22);
    assert_eq!(parse("").unwrap_err().kind, RTCErrorKind::Operation);
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
            if let Ok(session) = parse(&text) {
                for_substrate(&text, &session, true, |_| false);
                arrange(OFFER, &text);
            }
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
            codecs: Vec::new(),
            streams,
            track_id: "t".into(),
            rids: Vec::new(),
        })
    });
    let session = parse(&shown).unwrap();
    let audio = session.section("0").unwrap();
    assert_eq!(audio.direction, Direction::SendOnly);
    assert_eq!(
        (audio.streams.clone(), audio.ssrcs.as_slice()),
        (Some(vec!["mine".to_owned()]), &[5][..])
    );
    let video = session.section("1").unwrap();
    assert!(
        video.streams.is_none() && video.ssrcs.is_empty(),
        "nothing is sent"
    );
    assert_eq!(shown.matches("msid:").count(), 1);
    assert!(session.has_data());

    let gone = present(OFFER, |mid| {
        (mid == "1").then(|| Presented {
            direction: Direction::Stopped,
            codecs: Vec::new(),
            streams: Vec::new(),
            track_id: "t".into(),
            rids: Vec::new(),
        })
    });
    assert!(parse(&gone).unwrap().section("1").unwrap().rejected);
}

#[test]
fn what_is_stopped_or_silent_is_no_end_for_the_substrate() {
    let held = OFFER.replace("a=sendrecv", "a=inactive");
    let session = parse(&held).unwrap();
    let known = for_substrate(&held, &session, true, |_| true);
    let silent = parse(&known).unwrap();
    assert_eq!(silent.section("0").unwrap().direction, Direction::SendOnly);
    assert!(!known.contains("a=msid:room"));
    let as_answer = for_substrate(&held, &session, false, |_| true);
    assert_eq!(as_answer.matches("a=inactive").count(), 1);
    let session = parse(OFFER).unwrap();
    assert_eq!(
        parse(&for_substrate(OFFER, &session, true, |_| true)).unwrap(),
        session
    );
}

#[test]
fn streams_are_those_of_the_section_or_of_its_sources() {
    let of = |text: &str| parse(text).unwrap().sections[0].streams.clone();
    let doubled = OFFER.replace("a=msid:other mic", "a=msid:room again");
    assert_eq!(of(&doubled), Some(vec!["room".to_owned()]));
    let old = OFFER.replace("a=msid:room mic\r\na=msid:other mic\r\n", "");
    assert_eq!(of(&old), Some(vec!["room".to_owned()]));
    assert_eq!(of(&old.replace("a=ssrc:5 msid:room mic\r\n", "")), None);
    let none = OFFER.replace("a=msid:room mic\r\na=msid:other mic", "a=msid:- mic");
    assert_eq!(of(&none), Some(Vec::new()));
}

#[test]
fn what_nobody_here_knows_cannot_be_had() {
    let other = OFFER.replace("a=rtpmap:96 VP8/90000", "a=rtpmap:96 H266/90000");
    let session = parse(&other).unwrap();
    assert!(session.sections[1].foreign && session.can_be_had());
    let beast = OFFER.replace("m=video", "m=unicorn");
    assert!(!parse(&beast).unwrap().sections[1].can_be_had());
    let rtcp = OFFER
        .replace("a=rtpmap:96 ", "a=rtpmap:72 ")
        .replace("SAVPF 96", "SAVPF 72");
    assert_eq!(parse(&rtcp).unwrap_err().kind, RTCErrorKind::InvalidAccess);
    let two_ports = OFFER.replace("a=rtcp-mux\r\n", "");
    assert_eq!(
        parse(&two_ports).unwrap_err().kind,
        RTCErrorKind::InvalidAccess
    );
    let odd = OFFER.replace("ice-ufrag:abcd", "ice-ufrag:ab d");
    assert_eq!(parse(&odd).unwrap_err().kind, RTCErrorKind::InvalidAccess);
}

#[test]
fn lines_are_added_where_asked() {
    let more = with_lines(OFFER, |at| match at {
        1 => vec!["a=candidate:1".to_owned(), "a=end-of-candidates".to_owned()],
        _ => Vec::new(),
    });
    let end = "a=ssrc-group:FID 6 7\r\na=candidate:1\r\na=end-of-candidates\r\nm=application";
    assert!(more.contains(end));
    assert_eq!(with_lines(OFFER, |_| Vec::new()), OFFER);
}

#[test]
fn encodings_are_told_and_read_and_kept_from_the_substrate() {
    let video = parse(OFFER).unwrap();
    let video = video
        .sections
        .iter()
        .find(|s| s.kind == Some(MediaKind::Video));
    let mid = video.unwrap().mid.clone();
    let shown = present(OFFER, |of| {
        (*of == mid).then(|| Presented {
            direction: Direction::SendOnly,
            codecs: Vec::new(),
            streams: Vec::new(),
            track_id: "t".into(),
            rids: vec!["h".into(), "f".into()],
        })
    });
    assert!(shown.contains("a=rid:h send\r\na=rid:f send\r\na=simulcast:send h;f\r\n"));
    let answer = shown.replace("simulcast:send h;f", "simulcast:recv f;h");
    let answer = answer.replace(" send\r\n", " recv\r\n");
    let session = parse(&answer).unwrap();
    let taken = session.section(&mid).unwrap().taken_encodings.iter();
    assert!(taken.map(|one| one.rid.as_str()).eq(["f", "h"]));
    let known = for_substrate(&answer, &session, false, |_| true);
    assert!(!known.contains("a=rid:") && !known.contains("simulcast"));
    assert!(
        parse(OFFER)
            .unwrap()
            .section(&mid)
            .unwrap()
            .taken_encodings
            .is_empty()
    );
}

#[test]
fn a_section_is_shown_with_the_preferred_codecs() {
    let only = present(OFFER, |mid| {
        (mid == "0").then(|| Presented {
            direction: Direction::SendRecv,
            codecs: parse(OFFER).unwrap().sections[0]
                .codecs
                .iter()
                .map(|c| c.codec.clone())
                .collect(),
            streams: Vec::new(),
            track_id: "t".into(),
            rids: Vec::new(),
        })
    });
    // 63 has no name.
    assert!(only.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"));
    assert!(parse(&only).unwrap().trickles && !parse(OFFER).unwrap().trickles);
}

#[test]
fn sections_without_an_id_get_one() {
    let bare = OFFER.replace("a=mid:0\r\n", "").replace("a=mid:2\r\n", "");
    let mids = |sdp: &str| -> Vec<String> {
        let session = parse(sdp).unwrap();
        session
            .sections
            .into_iter()
            .map(|section| section.mid)
            .collect()
    };
    assert_eq!(mids(&with_mids(&bare, |_| None)), ["0", "1", "2"]);
    assert_eq!(
        mids(&with_mids(&bare, |at| Some(format!("m{at}")))),
        ["m0", "1", "m2"]
    );
    // Another's is not taken.
    assert_eq!(
        mids(&with_mids(&bare, |_| Some("1".into()))),
        ["0", "1", "2"]
    );
    assert_eq!(with_mids(OFFER, |_| None), OFFER);
}
