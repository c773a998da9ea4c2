//! The W3C's attributes and errors on real connections: what `negotiation.rs` does not look at.

mod common;

use common::{End, Viewer, context, microphone, negotiate, pair, source, within};
use duet_media::{MediaKind, MediaStream};
use duet_peer::{
    PeerConnectionEvent as Event, RTCBundlePolicy, RTCCertificate, RTCConfiguration,
    RTCDataChannelInit, RTCDataChannelState, RTCDtlsTransportState, RTCErrorDetail, RTCErrorKind,
    RTCIceCandidateInit, RTCIceGatheringState, RTCIceRole, RTCIceServer, RTCIceTransportState,
    RTCOfferOptions, RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpReceiver, RTCRtpSender,
    RTCRtpTransceiverDirection as Direction, RTCRtpTransceiverInit, RTCSctpTransportState,
    RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use tokio::sync::mpsc;

async fn connection() -> RTCPeerConnection {
    let made = RTCPeerConnection::new(RTCConfiguration::default(), context());
    made.await.expect("a connection")
}

fn offer(sdp: String) -> RTCSessionDescription {
    RTCSessionDescription::new(RTCSdpType::Offer, sdp)
}

async fn offer_of(pc: &RTCPeerConnection) -> RTCSessionDescription {
    pc.create_offer(RTCOfferOptions::default())
        .await
        .expect("an offer")
}

async fn add(pc: &RTCPeerConnection, kind: MediaKind) -> duet_peer::RTCRtpTransceiver {
    let made = pc.add_transceiver(kind, RTCRtpTransceiverInit::default());
    made.await.expect("a transceiver")
}

#[tokio::test]
async fn a_configuration_is_kept_and_guarded() {
    let certificate = RTCCertificate::generate(Default::default(), None).unwrap();
    let configuration = RTCConfiguration {
        certificates: vec![certificate.clone()],
        ice_servers: vec![RTCIceServer {
            urls: vec!["turns:relay.example".into()],
            username: Some("u".into()),
            credential: Some("p".into()),
        }],
        ..Default::default()
    };
    let pc = RTCPeerConnection::new(configuration.clone(), context())
        .await
        .unwrap();
    assert_eq!(pc.get_configuration(), configuration);
    let mut events = pc.events();
    pc.create_data_channel("d", RTCDataChannelInit::default())
        .await
        .unwrap();
    pc.set_local_description(None).await.unwrap();
    let print = &certificate.get_fingerprints()[0];
    let line = format!(
        "a=fingerprint:{} {}\r\n",
        print.algorithm,
        print.value.to_uppercase()
    );
    assert!(pc.local_description().await.unwrap().sdp.contains(&line));
    let error = within("the relay's fault", async {
        loop {
            if let Some(Event::IceCandidateError(error)) = events.recv().await {
                return error;
            }
        }
    });
    let error = error.await;
    assert_eq!(
        (error.url.as_str(), error.error_code),
        ("turns:relay.example", 701)
    );

    let other = RTCConfiguration {
        bundle_policy: RTCBundlePolicy::MaxBundle,
        ..configuration.clone()
    };
    let refused = pc.set_configuration(other).await.unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::InvalidModification);
    assert_eq!(pc.get_configuration(), configuration, "as it was");
    pc.set_configuration(RTCConfiguration::default())
        .await
        .unwrap();
    assert!(pc.get_configuration().ice_servers.is_empty());
    assert_eq!(pc.get_configuration().certificates, [certificate]);
    pc.close().await;
    let closed = pc.set_configuration(RTCConfiguration::default()).await;
    assert_eq!(closed.unwrap_err().kind, RTCErrorKind::InvalidState);
}

#[tokio::test]
async fn descriptions_of_nothing_are_exchanged_without_a_transport() {
    let (a, b) = (connection().await, connection().await);
    assert_eq!(a.local_description().await, None);
    a.set_local_description(None).await.unwrap();
    let offer = a.pending_local_description().unwrap();
    assert_eq!(a.local_description().await, Some(offer.clone()));
    assert_eq!(a.current_local_description(), None);
    assert_eq!(a.ice_gathering_state(), RTCIceGatheringState::New);
    b.set_remote_description(offer).await.unwrap();
    assert_eq!(b.can_trickle_ice_candidates(), Some(true));
    b.set_local_description(None).await.unwrap();
    let answer = b.current_local_description().unwrap();
    assert_eq!(b.pending_remote_description(), None);
    a.set_remote_description(answer).await.unwrap();
    assert_eq!(a.signaling_state(), RTCSignalingState::Stable);
    assert!(a.pending_local_description().is_none() && a.current_local_description().is_some());
    // And a call can still begin.
    add(&a, MediaKind::Audio).await;
    negotiate(&a, &b).await;
    assert_eq!(b.get_transceivers().len(), 1);
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn what_fits_no_state_is_refused_at_once() {
    let pc = connection().await;
    let kind = |result: Result<(), duet_peer::RTCError>| result.unwrap_err().kind;
    use RTCErrorKind::{InvalidModification, InvalidState};
    assert_eq!(kind(pc.create_answer().await.map(drop)), InvalidState);
    let of = |sdp_type, sdp: &str| RTCSessionDescription::new(sdp_type, sdp);
    for sdp_type in [
        RTCSdpType::Rollback,
        RTCSdpType::Answer,
        RTCSdpType::Pranswer,
    ] {
        let local = pc.set_local_description(Some(of(sdp_type, ""))).await;
        assert_eq!(kind(local), InvalidState, "{sdp_type:?}");
        let remote = pc.set_remote_description(of(sdp_type, "v=0\r\n")).await;
        assert_eq!(kind(remote), InvalidState, "{sdp_type:?}");
    }
    let foreign = pc
        .set_local_description(Some(of(RTCSdpType::Answer, "v=0\r\n")))
        .await;
    assert_eq!(kind(foreign), InvalidModification);
    let bad = pc
        .set_remote_description(offer("v=0\r\nx\r\n".into()))
        .await
        .unwrap_err();
    assert_eq!(bad.kind, RTCErrorKind::Operation);
    assert_eq!(bad.detail, Some(RTCErrorDetail::SdpSyntaxError { line: 2 }));
    assert_eq!(kind(pc.add_ice_candidate(None).await), InvalidState);
    let nowhere = RTCIceCandidateInit {
        candidate: "candidate:1 1 udp 1 192.0.2.1 1 typ host".into(),
        ..Default::default()
    };
    assert_eq!(
        kind(pc.add_ice_candidate(Some(nowhere)).await),
        RTCErrorKind::Type
    );
    pc.close().await;
    assert_eq!(
        kind(pc.create_offer(RTCOfferOptions::default()).await.map(drop)),
        InvalidState
    );
}

#[tokio::test]
async fn the_last_offer_is_set_as_long_as_it_says_all() {
    let pc = connection().await;
    add(&pc, MediaKind::Audio).await;
    let first = offer_of(&pc).await;
    pc.set_local_description(None).await.unwrap();
    // Candidates may have come since.
    let set = pc.pending_local_description().unwrap().sdp;
    assert!(set.starts_with(&first.sdp), "{set}");
    let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
    pc.set_local_description(Some(rollback)).await.unwrap();
    let second = offer_of(&pc).await;
    add(&pc, MediaKind::Video).await;
    let implied = RTCSessionDescription::new(RTCSdpType::Offer, "");
    pc.set_local_description(Some(implied)).await.unwrap();
    let third = pc.pending_local_description().unwrap().sdp;
    assert_eq!(
        second.sdp.matches("m=").count() + 1,
        third.matches("m=").count()
    );
    pc.close().await;
}

#[tokio::test]
async fn an_offer_can_be_taken_back_and_replaced_before_it_is_answered() {
    let (a, b) = (connection().await, connection().await);
    add(&a, MediaKind::Audio).await;
    let first = offer_of(&a).await;
    let track = source(MediaKind::Audio).create_track();
    let mine = add(&b, MediaKind::Audio).await;
    b.set_remote_description(first.clone()).await.unwrap();
    assert_eq!(
        b.get_transceivers().len(),
        2,
        "one that was added pairs with no section"
    );
    let made = b.get_transceivers()[1].clone();
    assert_eq!((mine.mid(), made.direction()), (None, Direction::RecvOnly));
    assert!(made.receiver().transport().is_some() && mine.sender().transport().is_none());
    let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
    b.set_remote_description(rollback.clone()).await.unwrap();
    assert_eq!(b.get_transceivers(), [mine]);
    assert_eq!((made.mid(), made.stopped()), (None, true));
    assert!(b.remote_description().is_none());

    b.set_remote_description(first.clone()).await.unwrap();
    let sender = b.add_track(&track, &[]).await.unwrap();
    b.set_remote_description(first).await.unwrap();
    // What add_track took is the first that was free, and pairs now.
    let [kept] = <[_; 1]>::try_from(b.get_transceivers()).unwrap();
    assert!(kept.sender() == sender && kept.mid().is_some());
    b.set_local_description(None).await.unwrap();
    let answer = b.local_description().await.unwrap();
    a.set_local_description(None).await.unwrap();
    a.set_remote_description(answer).await.unwrap();
    assert_eq!(
        a.get_transceivers()[0].current_direction(),
        Some(Direction::SendRecv)
    );
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn a_provisional_answer_comes_before_the_last_one() {
    let (mut a, mut b) = pair().await;
    add(&a.pc, MediaKind::Audio).await;
    a.pc.set_local_description(None).await.unwrap();
    b.pc.set_remote_description(a.pc.local_description().await.unwrap())
        .await
        .unwrap();
    let answer = b.pc.create_answer().await.unwrap();
    let provisional = RTCSessionDescription::new(RTCSdpType::Pranswer, answer.sdp.clone());
    b.pc.set_local_description(Some(provisional.clone()))
        .await
        .unwrap();
    assert_eq!(b.pc.signaling_state(), RTCSignalingState::HaveLocalPranswer);
    a.pc.set_remote_description(provisional.clone())
        .await
        .unwrap();
    a.pc.set_remote_description(provisional).await.unwrap();
    assert_eq!(
        a.pc.signaling_state(),
        RTCSignalingState::HaveRemotePranswer
    );
    b.pc.set_local_description(Some(answer.clone()))
        .await
        .unwrap();
    a.pc.set_remote_description(answer).await.unwrap();
    a.connected().await;
    b.connected().await;
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test]
async fn what_cannot_be_bundled_or_is_unknown_is_refused_in_place() {
    let (a, b) = (connection().await, connection().await);
    for kind in [MediaKind::Audio, MediaKind::Video] {
        add(&a, kind).await;
    }
    let whole = offer_of(&a).await.sdp;
    let apart = whole.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0");
    let beast = "m=unicorn 9 UDP/TLS/RTP/SAVPF 99\r\nc=IN IP4 0.0.0.0\r\na=mid:u\r\na=sendrecv\r\n";
    let credentials: String = whole
        .lines()
        .filter(|l| {
            ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint"]
                .iter()
                .any(|p| l.starts_with(p))
        })
        .take(3)
        .map(|line| format!("{line}\r\n"))
        .collect();
    let mixed = offer(format!("{apart}{beast}{credentials}"));
    b.set_remote_description(mixed).await.unwrap();
    assert_eq!(b.get_transceivers().len(), 2);
    b.set_local_description(None).await.unwrap();
    let answer = b.local_description().await.unwrap().sdp;
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert!(lines[0].starts_with("m=audio 9 "), "{lines:?}");
    assert!(
        lines[1].starts_with("m=video 0 ") && lines[2].starts_with("m=unicorn 0 "),
        "{lines:?}"
    );
    assert_eq!(b.get_transceivers().len(), 1, "the second is stopped");
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn candidates_are_seen_in_the_description_they_belong_to() {
    let (a, b) = (connection().await, connection().await);
    add(&a, MediaKind::Audio).await;
    a.create_data_channel("d", RTCDataChannelInit::default())
        .await
        .unwrap();
    let sdp = offer_of(&a).await;
    b.set_remote_description(sdp.clone()).await.unwrap();
    let line = "candidate:1 1 udp 2113929471 192.0.2.1 10100 typ host";
    let candidate = |mid: &str, candidate: &str| RTCIceCandidateInit {
        candidate: candidate.to_owned(),
        sdp_mid: Some(mid.to_owned()),
        ..Default::default()
    };
    b.add_ice_candidate(Some(candidate("1", line)))
        .await
        .unwrap();
    b.add_ice_candidate(Some(candidate("0", ""))).await.unwrap();
    let seen = b.remote_description().unwrap().sdp;
    let (first, second) = seen.split_at(seen.find("m=application").unwrap());
    assert!(first.contains("a=end-of-candidates") && !first.contains(line));
    assert!(second.contains(line) && !second.contains("a=end-of-candidates"));
    let of_nobody = RTCIceCandidateInit {
        username_fragment: Some("nobody".into()),
        ..Default::default()
    };
    let refused = b.add_ice_candidate(Some(of_nobody)).await.unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::Operation);
    b.add_ice_candidate(None).await.unwrap();
    assert_eq!(
        b.remote_description()
            .unwrap()
            .sdp
            .matches("a=end-of-candidates")
            .count(),
        2
    );
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn parameters_are_those_agreed_on_and_change_by_transaction() {
    let (a, b) = (connection().await, connection().await);
    let transceiver = add(&a, MediaKind::Video).await;
    let sender = transceiver.sender();
    assert!(sender.get_parameters().codecs.is_empty());
    negotiate(&a, &b).await;
    let mut parameters = sender.get_parameters();
    let names: Vec<&str> = parameters
        .codecs
        .iter()
        .map(|c| c.codec.mime_type.as_str())
        .collect();
    assert_eq!(names, ["video/VP8", "video/flexfec-03", "video/rtx"]);
    assert!(!parameters.header_extensions.is_empty() && parameters.rtcp.reduced_size);
    assert!(parameters.rtcp.cname.is_some());
    let received = b.get_receivers()[0].get_parameters();
    assert_eq!(received.codecs, parameters.codecs);
    parameters.encodings[0].max_bitrate = Some(100_000);
    sender.set_parameters(parameters.clone()).unwrap();
    assert_eq!(
        sender.get_parameters().encodings[0].max_bitrate,
        Some(100_000)
    );
    let stale = sender.set_parameters(parameters).unwrap_err();
    assert_eq!(stale.kind, RTCErrorKind::InvalidModification);
    let fresh = sender.get_parameters();
    sender.set_parameters(fresh.clone()).unwrap();
    assert_eq!(
        sender.set_parameters(fresh).unwrap_err().kind,
        RTCErrorKind::InvalidState
    );
    let fresh = sender.get_parameters();
    transceiver.stop().unwrap();
    assert_eq!(
        sender.set_parameters(fresh).unwrap_err().kind,
        RTCErrorKind::InvalidState
    );
    assert_eq!(
        sender.replace_track(None).unwrap_err().kind,
        RTCErrorKind::InvalidState
    );
    assert!(transceiver.stopping() && !transceiver.stopped());
    assert_eq!(a.get_transceivers().len(), 1, "until its end is negotiated");
    a.close().await;
    b.close().await;
    assert!(transceiver.stopped());
}

/// The names of what a sender and the other side agreed on.
fn agreed(sender: &RTCRtpSender) -> Vec<String> {
    let codecs = sender.get_parameters().codecs.into_iter();
    codecs.map(|codec| codec.codec.mime_type).collect()
}

#[tokio::test]
async fn redundant_sound_is_agreed_on_or_left_out() {
    let capabilities = RTCRtpReceiver::get_capabilities(MediaKind::Audio).codecs;
    let (opus, red) = (capabilities[0].clone(), capabilities[1].clone());
    assert_eq!(red.mime_type, "audio/red");
    assert_eq!(red.sdp_fmtp_line.as_deref(), Some("111/111"));
    for (preferred, formats, names) in [
        (
            vec![],
            "111 63 110",
            &["opus", "red", "telephone-event"][..],
        ),
        (vec![red.clone(), opus.clone()], "63 111", &["red", "opus"]),
        (vec![opus.clone()], "111", &["opus"]),
    ] {
        let (a, b) = (connection().await, connection().await);
        let transceiver = add(&a, MediaKind::Audio).await;
        transceiver.set_codec_preferences(&preferred).unwrap();
        negotiate(&a, &b).await;
        for pc in [&a, &b] {
            let sdp = pc.local_description().await.unwrap().sdp;
            let line = format!("SAVPF {formats}\r\n");
            assert!(sdp.contains(&line), "{sdp}");
            assert_eq!(
                sdp.contains("a=fmtp:63 111/111\r\n"),
                names.contains(&"red")
            );
        }
        let names: Vec<String> = names.iter().map(|name| format!("audio/{name}")).collect();
        assert_eq!(agreed(&transceiver.sender()), names);
        a.close().await;
        b.close().await;
    }
    let pc = connection().await;
    let alone = add(&pc, MediaKind::Audio)
        .await
        .set_codec_preferences(&[red]);
    assert_eq!(alone.unwrap_err().kind, RTCErrorKind::InvalidModification);
    pc.close().await;
}

#[tokio::test]
async fn forward_error_correction_is_agreed_on_or_left_out() {
    let repair = RTCRtpSender::get_capabilities(MediaKind::Video).codecs[2].clone();
    assert_eq!(repair.mime_type, "video/flexfec-03");
    // As Chromium offers it; with another payload type and window; not at all.
    for (offered, is_agreed) in [("49", true), ("120", true), ("", false)] {
        let (a, b) = (connection().await, connection().await);
        let transceiver = add(&a, MediaKind::Video).await;
        let mut offer = offer_of(&a).await;
        let ours = [
            "a=rtpmap:49 flexfec-03/90000\r\n",
            "a=fmtp:49 repair-window=10000000\r\n",
        ];
        assert!(
            ours.iter().all(|line| offer.sdp.contains(line)),
            "{}",
            offer.sdp
        );
        assert!(offer.sdp.contains("a=ssrc-group:FEC-FR "), "{}", offer.sdp);
        a.set_local_description(Some(offer.clone())).await.unwrap();
        offer.sdp = match offered {
            "49" => offer.sdp,
            "120" => offer
                .sdp
                .replace("SAVPF 96 97 49", "SAVPF 96 97 120")
                .replace("SAVPF 96 49", "SAVPF 96 120")
                .replace(":49 ", ":120 ")
                .replace("window=10000000", "window=200000"),
            _ => offer.sdp.replace("flexfec-03", "flexfec-99"),
        };
        b.set_remote_description(offer).await.unwrap();
        b.set_local_description(None).await.unwrap();
        let mut answer = b.local_description().await.unwrap();
        let answered = format!("a=rtpmap:{offered} flexfec-03/90000\r\n");
        assert_eq!(answer.sdp.contains(&answered), is_agreed, "{}", answer.sdp);
        let received = b.get_transceivers()[0].receiver().get_parameters().codecs;
        let name = "video/flexfec-03".to_owned();
        let mut received = received.iter().map(|codec| &codec.codec.mime_type);
        assert_eq!(received.any(|of| *of == name), is_agreed);
        answer.sdp = answer
            .sdp
            .replace(":120 ", ":49 ")
            .replace("SAVPF 96 97 120", "SAVPF 96 97 49")
            .replace("SAVPF 96 120", "SAVPF 96 49");
        a.set_remote_description(answer).await.unwrap();
        assert_eq!(agreed(&transceiver.sender()).contains(&name), is_agreed);
        a.close().await;
        b.close().await;
    }
}

#[tokio::test]
async fn who_knows_no_redundancy_still_gets_sound_and_keys() {
    let (a, b) = (connection().await, connection().await);
    add(&a, MediaKind::Audio).await;
    let mut offer = offer_of(&a).await;
    offer.sdp = offer
        .sdp
        .replace("SAVPF 111 63 110", "SAVPF 111 110")
        .replace("a=rtpmap:63 red/48000/2\r\n", "")
        .replace("a=fmtp:63 111/111\r\n", "")
        // What it wishes to be sent is another than we do.
        .replace(
            "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1",
            "a=fmtp:111 minptime=20;stereo=0",
        );
    assert!(!offer.sdp.contains(":63 "), "{}", offer.sdp);
    b.set_remote_description(offer).await.unwrap();
    b.set_local_description(None).await.unwrap();
    let names = ["audio/opus", "audio/telephone-event"];
    assert_eq!(agreed(&b.get_senders()[0]), names);
    // Nor is it offered any later.
    add(&b, MediaKind::Audio).await;
    let again = offer_of(&b).await.sdp;
    assert_eq!(
        again.matches("a=rtpmap:110 telephone-event").count(),
        2,
        "{again}"
    );
    assert!(!again.contains("red/48000"));
    a.close().await;
    b.close().await;
}

#[tokio::test]
async fn encodings_that_cannot_be_are_refused() {
    let pc = connection().await;
    let with = |encoding| RTCRtpTransceiverInit {
        send_encodings: vec![encoding],
        ..Default::default()
    };
    let rid = RTCRtpEncodingParameters {
        rid: Some("no rid".into()),
        ..Default::default()
    };
    let refused = pc
        .add_transceiver(MediaKind::Video, with(rid))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::Type);
    assert!(pc.get_transceivers().is_empty());
    pc.close().await;
}

#[tokio::test]
async fn preferred_codecs_are_offered_and_answered_alone() {
    let (a, b) = (connection().await, connection().await);
    let transceiver = add(&a, MediaKind::Video).await;
    let codecs = RTCRtpSender::get_capabilities(MediaKind::Video).codecs;
    transceiver.set_codec_preferences(&codecs[..1]).unwrap();
    let refused = transceiver.set_codec_preferences(&codecs[1..]).unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::InvalidModification);
    let alone = offer_of(&a).await.sdp;
    assert!(alone.contains("VP8/90000") && !alone.contains("rtx/90000"));
    transceiver.set_codec_preferences(&[]).unwrap();
    assert!(offer_of(&a).await.sdp.contains("rtx/90000"));
    a.set_local_description(None).await.unwrap();
    b.set_remote_description(a.local_description().await.unwrap())
        .await
        .unwrap();
    b.get_transceivers()[0]
        .set_codec_preferences(&codecs[..1])
        .unwrap();
    b.set_local_description(None).await.unwrap();
    let answer = b.local_description().await.unwrap();
    assert!(!answer.sdp.contains("rtx/90000"));
    a.set_remote_description(answer).await.unwrap();
    assert_eq!(transceiver.sender().get_parameters().codecs.len(), 1);
    a.close().await;
    b.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transports_tell_what_carries_the_call() {
    let (mut a, mut b) = pair().await;
    let channel =
        a.pc.create_data_channel("d", RTCDataChannelInit::default())
            .await
            .unwrap();
    let (task, track) = microphone(&context());
    let sender =
        a.pc.add_track(&track, &[&MediaStream::new()])
            .await
            .unwrap();
    assert!(a.pc.sctp().is_none() && sender.transport().is_none());
    a.pc.set_local_description(None).await.unwrap();
    let sctp = a.pc.sctp().expect("offered");
    let dtls = sctp.transport();
    // Once there is an answer it takes milliseconds.
    let (tx, mut states) = mpsc::channel(16);
    let _subscription = dtls.subscribe(move |event| {
        // A test that has seen enough no longer listens.
        let _ = tx.try_send(event.clone());
    });
    let offer = a.pc.local_description().await.unwrap();
    b.pc.set_remote_description(offer).await.unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let answer = b.pc.local_description().await.unwrap();
    a.pc.set_remote_description(answer).await.unwrap();
    assert_eq!(a.pc.sctp().map(|sctp| sctp.transport()), Some(dtls.clone()));
    assert_eq!(sender.transport(), Some(dtls.clone()));
    assert_eq!(
        b.pc.get_receivers()[0].transport(),
        Some(b.pc.sctp().unwrap().transport())
    );
    assert_eq!(sctp.max_message_size(), 262_144.0);
    a.connected().await;
    b.connected().await;
    assert_eq!(dtls.state(), RTCDtlsTransportState::Connected);
    assert!(states.recv().await.is_some());
    assert_eq!(dtls.get_remote_certificates().len(), 1);
    let ice = dtls.ice_transport();
    assert_eq!(ice.role(), RTCIceRole::Controlling);
    let theirs = b.pc.sctp().unwrap().transport().ice_transport();
    assert_eq!(theirs.role(), RTCIceRole::Controlled);
    assert_eq!(ice.state(), RTCIceTransportState::Connected);
    let pair = ice.get_selected_candidate_pair().expect("a way");
    assert_eq!(pair.local.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(ice.get_local_parameters(), theirs.get_remote_parameters());
    assert!(!ice.get_local_candidates().is_empty());
    assert!(within("open", channel.opened()).await);
    assert_eq!(sctp.state(), RTCSctpTransportState::Connected);
    assert!(sctp.max_channels().is_some_and(|channels| channels > 100));

    let heard = b.track().await;
    Viewer::of(&heard.track).frame().await;
    let sources = heard.receiver.get_synchronization_sources();
    assert_eq!(sources.len(), 1);
    assert!(
        sources[0]
            .audio_level
            .is_some_and(|level| (0.0..=1.0).contains(&level))
    );
    assert!(heard.receiver.get_contributing_sources().is_empty());

    a.pc.close().await;
    assert_eq!(dtls.state(), RTCDtlsTransportState::Closed);
    assert_eq!(ice.state(), RTCIceTransportState::Closed);
    assert_eq!(sctp.state(), RTCSctpTransportState::Closed);
    b.pc.close().await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_have_ids_limits_and_an_end_that_is_told() {
    let (a, mut b) = pair().await;
    let agreed = RTCDataChannelInit {
        negotiated_id: Some(1),
        ..Default::default()
    };
    let ours =
        a.pc.create_data_channel("agreed", agreed.clone())
            .await
            .unwrap();
    assert_eq!((ours.id(), ours.negotiated()), (Some(1), true));
    let twice = a.pc.create_data_channel("twice", agreed).await.unwrap_err();
    assert_eq!(twice.kind, RTCErrorKind::Operation);
    let long = "x".repeat(65_536);
    let refused =
        a.pc.create_data_channel(&long, RTCDataChannelInit::default())
            .await;
    assert_eq!(refused.unwrap_err().kind, RTCErrorKind::Type);
    let init = RTCDataChannelInit {
        ordered: false,
        max_retransmits: Some(3),
        protocol: "p".into(),
        ..Default::default()
    };
    let first = a.pc.create_data_channel("first", init).await.unwrap();
    assert_eq!(first.id(), None);
    negotiate(&a.pc, &b.pc).await;
    // The offerer is the DTLS server, and 1 is taken.
    assert_eq!(first.id(), Some(3));
    let second =
        a.pc.create_data_channel("second", RTCDataChannelInit::default())
            .await
            .unwrap();
    assert_eq!(second.id(), Some(5));
    let mut theirs = Vec::new();
    for _ in 0..2 {
        let channel = b.wait("a channel", |event| match event {
            Event::DataChannel(channel) => Some(channel.clone()),
            _ => None,
        });
        theirs.push(channel.await);
    }
    theirs.sort_by_key(|channel| channel.id());
    assert!(within("open", first.opened()).await && within("open", second.opened()).await);
    let (one, two) = (&theirs[0], &theirs[1]);
    assert_eq!((one.id(), two.id()), (Some(3), Some(5)));
    assert_eq!((one.ordered(), one.protocol()), (false, "p"));
    assert_eq!(first.max_retransmits(), Some(3));
    let large = vec![0; 262_145];
    assert_eq!(
        first.send(&large).await.unwrap_err().kind,
        RTCErrorKind::Type
    );

    let events = |channel: &duet_peer::RTCDataChannel| {
        let (tx, rx) = mpsc::channel(16);
        let subscription = channel.subscribe(move |event| {
            // A test that has seen enough no longer listens.
            let _ = tx.try_send(event.clone());
        });
        subscription.forever();
        rx
    };
    use duet_peer::DataChannelEvent as Told;
    let mut at_two = events(two);
    second.close().await.unwrap();
    let mut told = within("an event", at_two.recv()).await;
    if told == Some(Told::Open) {
        // It is told after the channel is.
        told = within("closing", at_two.recv()).await;
    }
    assert_eq!(told, Some(Told::Closing));
    assert_eq!(within("the end", at_two.recv()).await, Some(Told::Close));
    assert_eq!(two.ready_state(), RTCDataChannelState::Closed);
    let mut at_one = events(one);
    assert_eq!(within("open", at_one.recv()).await, Some(Told::Open));
    a.pc.close().await;
    match within("a fault", at_one.recv()).await {
        Some(Told::Error(error)) => {
            let detail = Some(RTCErrorDetail::SctpFailure { cause_code: None });
            assert_eq!(error.detail, detail);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(within("the end", at_one.recv()).await, Some(Told::Close));
    b.pc.close().await;
}

#[tokio::test]
async fn negotiation_is_asked_for_when_the_chain_is_empty() {
    let mut end = End::new(context()).await;
    add(&end.pc, MediaKind::Audio).await;
    end.negotiation_needed().await;
    assert!(end.pc.negotiation_needed());
    end.pc.set_local_description(None).await.unwrap();
    assert!(!end.pc.negotiation_needed());
    // The state was told before the step was over.
    let state = end.events.try_recv().expect("told");
    assert!(
        matches!(
            state,
            Event::SignalingStateChange(RTCSignalingState::HaveLocalOffer)
                | Event::IceGatheringStateChange(_)
        ),
        "{state:?}"
    );
    end.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telephone_keys_go_among_the_sound() {
    let (mut a, mut b) = pair().await;
    let (task, track) = microphone(&context());
    let sender = a.pc.add_track(&track, &[]).await.unwrap();
    let early = sender.insert_dtmf("1", 100, 70).unwrap_err();
    assert_eq!(early.kind, RTCErrorKind::InvalidState);
    negotiate(&a.pc, &b.pc).await;
    a.connected().await;
    assert!(sender.can_insert_dtmf());
    let none = sender.insert_dtmf("1x", 100, 70).unwrap_err();
    assert_eq!(none.kind, RTCErrorKind::InvalidCharacter);
    let heard = b.track().await;
    Viewer::of(&heard.track).frame().await;

    let dtmf = sender.dtmf().expect("it sends sound");
    let (tx, mut tones) = mpsc::channel(16);
    let _subscription = dtmf.subscribe(move |event| {
        // A test that has seen enough no longer listens.
        let _ = tx.try_send(event.tone.clone());
    });
    sender.insert_dtmf("1d#", 60, 40).unwrap();
    let mut played = Vec::new();
    loop {
        let tone = within("a tone", tones.recv()).await.expect("it plays");
        let last = tone.is_empty();
        played.push(tone);
        if last {
            break;
        }
    }
    assert_eq!(played, ["1", "D", "#", ""]);
    assert_eq!(dtmf.tone_buffer(), "");
    // The sound goes on, and nothing of it is missing by its numbers.
    Viewer::of(&heard.track).frame().await;
    let report = heard.receiver.get_stats().await.unwrap();
    let inbound = report.of_type("inbound-rtp").next().expect("a stream");
    assert_eq!(inbound.number("packetsLost"), Some(0.0));
    assert!(report.of_type("transport").count() == 1 && report.of_type("codec").count() == 1);
    a.pc.close().await;
    b.pc.close().await;
    task.abort();
}
