//! Offers and answers: what they add and take away, who wins, and what is refused.

mod common;

use common::{Camera, End, Viewer, microphone, negotiate, pair, within};
use duet_media::{MediaKind, MediaStream, StreamEvent, TrackEvent, TrackState};
use duet_peer::{
    PeerConnectionEvent as Event, RTCErrorKind, RTCIceCandidateInit, RTCOfferOptions,
    RTCPeerConnectionState, RTCRtpTransceiverDirection as Direction, RTCRtpTransceiverInit,
    RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use tokio::sync::mpsc;

/// What happens to a track, as it happens.
fn track_events(track: &duet_media::MediaStreamTrack) -> mpsc::Receiver<TrackEvent> {
    let (tx, rx) = mpsc::channel(64);
    let on = move |event: &TrackEvent| tx.try_send(*event).expect("a test reads on");
    track.subscribe(on).forever();
    rx
}

async fn next<T>(what: &str, rx: &mut mpsc::Receiver<T>) -> T {
    within(what, rx.recv()).await.expect(what)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_come_and_go_by_renegotiation() {
    let context = common::context();
    let (mut a, mut b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    let stream = MediaStream::new();
    stream.add_track(video.clone());

    let sender = a.pc.add_track(&video, &[&stream]).await.unwrap();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let first = b.track().await;
    assert_eq!(first.streams.len(), 1);
    assert_eq!(first.streams[0].id(), stream.id());
    assert_eq!(
        first.streams[0].get_tracks(),
        std::slice::from_ref(&first.track)
    );
    let mut happened = track_events(&first.track);
    let viewer = Viewer::of(&first.track);
    viewer.frame().await;
    common::unmuted(&first.track).await;

    // Sound joins the same stream: nobody calls again.
    let (hum, audio) = microphone(&context);
    a.pc.add_track(&audio, &[&stream]).await.unwrap();
    a.negotiation_needed().await;
    let (tx, mut stream_events) = mpsc::channel(8);
    first.streams[0]
        .subscribe(move |event| tx.try_send(event.clone()).expect("a test reads on"))
        .forever();
    negotiate(&a.pc, &b.pc).await;
    let second = b.track().await;
    assert_eq!(second.track.kind(), MediaKind::Audio);
    assert_eq!(second.streams, first.streams, "the same stream");
    let added = StreamEvent::AddTrack(second.track.clone());
    assert_eq!(next("addtrack", &mut stream_events).await, added);
    Viewer::of(&second.track).frame().await;

    // The picture goes: muted and out of its stream, and not ended.
    a.pc.remove_track(&sender).unwrap();
    assert_eq!(video.ready_state(), TrackState::Live, "the camera runs on");
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let removed = StreamEvent::RemoveTrack(first.track.clone());
    assert_eq!(next("removetrack", &mut stream_events).await, removed);
    while next("mute", &mut happened).await != TrackEvent::Mute {}
    assert!(first.track.muted());
    assert_eq!(first.track.ready_state(), TrackState::Live);
    assert_eq!(
        first.transceiver.current_direction(),
        Some(Direction::Inactive)
    );

    // And comes back on the same transceiver.
    let transceivers = a.pc.get_transceivers();
    let transceiver = transceivers.iter().find(|t| t.sender() == sender).unwrap();
    transceiver.sender().replace_track(Some(&video)).unwrap();
    transceiver.set_direction(Direction::SendRecv).unwrap();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let third = b.track().await;
    assert_eq!(third.track, first.track);
    while next("unmute", &mut happened).await != TrackEvent::Unmute {}
    assert_eq!(b.pc.get_transceivers().len(), 2);

    a.pc.close().await;
    b.pc.close().await;
    assert_eq!(first.track.ready_state(), TrackState::Ended);
    assert_eq!(video.ready_state(), TrackState::Live);
    camera.abort();
    hum.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directions_are_what_both_want() {
    let (mut a, mut b) = pair().await;
    let init = |direction| RTCRtpTransceiverInit {
        direction,
        ..Default::default()
    };
    let ours =
        a.pc.add_transceiver(MediaKind::Video, init(Direction::RecvOnly))
            .await
            .unwrap();
    assert_eq!(ours.current_direction(), None);
    negotiate(&a.pc, &b.pc).await;
    let theirs = b.pc.get_transceivers().remove(0);
    assert_eq!(theirs.mid(), ours.mid());
    assert_eq!(theirs.direction(), Direction::RecvOnly);
    assert_eq!(ours.current_direction(), Some(Direction::Inactive));

    // The answerer wants to send now, and asks for it itself.
    let context = common::context();
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    theirs.sender().replace_track(Some(&video)).unwrap();
    theirs.set_direction(Direction::SendOnly).unwrap();
    b.negotiation_needed().await;
    negotiate(&b.pc, &a.pc).await;
    assert_eq!(ours.current_direction(), Some(Direction::RecvOnly));
    assert_eq!(theirs.current_direction(), Some(Direction::SendOnly));
    assert_eq!(
        ours.direction(),
        Direction::RecvOnly,
        "the wish is the program's own"
    );
    let event = a.track().await;
    let mut happened = track_events(&event.track);
    Viewer::of(&event.track).frame().await;

    // Held: muted, and resumed without a new track.
    ours.set_direction(Direction::Inactive).unwrap();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    assert_eq!(theirs.current_direction(), Some(Direction::Inactive));
    assert_eq!(theirs.direction(), Direction::SendOnly);
    ours.set_direction(Direction::RecvOnly).unwrap();
    negotiate(&a.pc, &b.pc).await;
    assert_eq!(theirs.current_direction(), Some(Direction::SendOnly));
    while next("unmute", &mut happened).await != TrackEvent::Unmute {}
    Viewer::of(&event.track).frame().await;
    assert_eq!(a.pc.get_transceivers().len(), 1);
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_track_goes_on_in_the_same_remote_track() {
    let context = common::context();
    let (mut a, mut b) = pair().await;
    let (small, first) = Camera::new(&context, 320, 180);
    let (large, second) = Camera::new(&context, 640, 360);
    let (small, large) = (small.roll(), large.roll());
    let sender = a.pc.add_track(&first, &[]).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let event = b.track().await;
    let viewer = Viewer::of(&event.track);
    let width = |frame: duet_media::Frame| match frame {
        duet_media::Frame::Video(frame) => frame.width(),
        duet_media::Frame::Audio(_) => 0,
    };
    assert_eq!(width(viewer.frame().await), 320);
    sender.replace_track(Some(&second)).unwrap();
    within("the other camera", async {
        while width(viewer.frame().await) != 640 {}
    })
    .await;
    let (hum, sound) = microphone(&context);
    let refused = sender.replace_track(Some(&sound)).unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::Type);
    sender.replace_track(None).unwrap();
    assert_eq!(
        (first.ready_state(), second.ready_state()),
        (TrackState::Live, TrackState::Live)
    );
    sender.replace_track(Some(&first)).unwrap();
    within("the first camera", async {
        while width(viewer.frame().await) != 320 {}
    })
    .await;
    a.connected().await;
    for task in [small, large, hum] {
        task.abort();
    }
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_offer_at_once_and_the_polite_one_gives_way() {
    let context = common::context();
    let (mut a, mut b) = pair().await;
    let (ours, video_a) = Camera::new(&context, 320, 180);
    let (theirs, video_b) = Camera::new(&context, 320, 180);
    let (ours, theirs) = (ours.roll(), theirs.roll());
    a.pc.add_track(&video_a, &[]).await.unwrap();
    b.pc.add_track(&video_b, &[]).await.unwrap();
    a.pc.set_local_description(None).await.unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let from_b = b.pc.local_description().await.unwrap();
    assert_eq!(from_b.sdp_type, RTCSdpType::Offer);
    // The impolite one refuses nothing: its program does. The polite one takes its offer back.
    let from_a = a.pc.local_description().await.unwrap();
    b.pc.set_remote_description(from_a).await.unwrap();
    assert_eq!(b.pc.signaling_state(), RTCSignalingState::HaveRemoteOffer);
    b.pc.set_local_description(None).await.unwrap();
    let answer = b.pc.local_description().await.unwrap();
    a.pc.set_remote_description(answer).await.unwrap();
    Viewer::of(&a.track().await.track).frame().await;
    Viewer::of(&b.track().await.track).frame().await;
    assert_eq!(
        b.pc.get_transceivers().len(),
        1,
        "one section serves both ways"
    );

    // An explicit rollback, and the call goes on.
    a.pc.set_local_description(None).await.unwrap();
    let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
    a.pc.set_local_description(Some(rollback.clone()))
        .await
        .unwrap();
    assert_eq!(a.pc.signaling_state(), RTCSignalingState::Stable);
    let refused =
        a.pc.set_local_description(Some(rollback))
            .await
            .unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::InvalidState);
    negotiate(&b.pc, &a.pc).await;
    Viewer::of(&a.pc.get_receivers()[0].track()).frame().await;
    ours.abort();
    theirs.abort();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ice_restart_keeps_the_media_and_the_track() {
    let context = common::context();
    let (mut a, mut b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let event = b.track().await;
    let viewer = Viewer::of(&event.track);
    viewer.frame().await;
    a.connected().await;
    let ufrag = |sdp: &str| {
        let line = sdp
            .lines()
            .find(|line| line.starts_with("a=ice-ufrag"))
            .unwrap();
        line.to_owned()
    };
    let before = ufrag(&a.pc.local_description().await.unwrap().sdp);
    a.pc.restart_ice();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let after = ufrag(&a.pc.local_description().await.unwrap().sdp);
    assert_ne!(before, after);
    viewer.drain();
    for _ in 0..10 {
        viewer.frame().await;
    }

    // The side that answered first may be the one that restarts: who shook hands how stays as it was.
    b.pc.restart_ice();
    b.negotiation_needed().await;
    negotiate(&b.pc, &a.pc).await;
    let answer = a.pc.local_description().await.unwrap().sdp;
    assert_ne!(after, ufrag(&answer));
    assert!(
        answer.contains("a=setup:passive") && !answer.contains("a=setup:active"),
        "{answer}"
    );
    viewer.drain();
    for _ in 0..10 {
        viewer.frame().await;
    }
    assert_eq!(event.track.ready_state(), TrackState::Live);
    assert_eq!(a.pc.connection_state(), RTCPeerConnectionState::Connected);
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}

/// Everything that may come instead of a description, and how it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_descriptions_and_candidates_are_refused_and_the_call_goes_on() {
    let context = common::context();
    let (a, mut b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let viewer = Viewer::of(&b.track().await.track);
    viewer.frame().await;

    let good =
        a.pc.create_offer(RTCOfferOptions::default())
            .await
            .unwrap()
            .sdp;
    let without = |name: &str| -> String {
        let kept = good.lines().filter(|line| !line.starts_with(name));
        kept.flat_map(|line| [line, "\r\n"]).collect()
    };
    let section = &good[good.find("m=").unwrap()..];
    let many: String = (0..10_000)
        .map(|n| section.replace("a=mid:0", &format!("a=mid:{n}")))
        .collect();
    let some: String = (0..300)
        .map(|n| format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{n}\r\n"))
        .collect();
    use RTCErrorKind::{InvalidAccess, Operation};
    let bad = [
        ("nothing", String::new(), Operation),
        ("no description", "hello".to_owned(), Operation),
        ("no fingerprint", without("a=fingerprint"), InvalidAccess),
        ("no ufrag", without("a=ice-ufrag"), InvalidAccess),
        ("no pwd", without("a=ice-pwd"), InvalidAccess),
        ("no origin", without("o="), Operation),
        (
            "short fingerprint",
            good.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"),
            InvalidAccess,
        ),
        ("cut short", good[..good.len() - 7].to_owned(), Operation),
        ("cut at half", good[..good.len() / 2].to_owned(), Operation),
        ("over 64 kB", many, Operation),
        (
            "300 sections",
            good[..good.find("m=").unwrap()].to_owned() + &some,
            Operation,
        ),
        (
            "a bad candidate",
            good.clone() + "a=candidate:x y z\r\n",
            Operation,
        ),
        (
            "not encrypted",
            good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
            Operation,
        ),
    ];
    for (what, sdp, kind) in bad {
        let refused =
            b.pc.set_remote_description(RTCSessionDescription::new(RTCSdpType::Offer, sdp))
                .await
                .expect_err(what);
        assert_eq!(refused.kind, kind, "{what}: {refused}");
        assert!(refused.message.len() < 400, "{what}: {refused}");
        assert_eq!(b.pc.signaling_state(), RTCSignalingState::Stable, "{what}");
    }
    let answer = RTCSessionDescription::new(RTCSdpType::Answer, good.clone());
    let refused = b.pc.set_remote_description(answer).await.unwrap_err();
    assert_eq!(
        refused.kind,
        RTCErrorKind::InvalidState,
        "an answer without an offer"
    );
    let munged = RTCSessionDescription::new(RTCSdpType::Offer, good.replace("VP8", "VP9"));
    let refused = b.pc.set_local_description(Some(munged)).await.unwrap_err();
    assert_eq!(refused.kind, RTCErrorKind::InvalidModification);

    let candidate = |text: &str, mid: Option<&str>| RTCIceCandidateInit {
        candidate: text.to_owned(),
        sdp_mid: mid.map(str::to_owned),
        ..Default::default()
    };
    let fine = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host";
    for (what, init, kind) in [
        ("of nothing", candidate(fine, None), RTCErrorKind::Type),
        (
            "of no section",
            candidate(fine, Some("nope")),
            RTCErrorKind::Operation,
        ),
        (
            "garbage",
            candidate("candidate:1 1", Some("0")),
            RTCErrorKind::Operation,
        ),
        (
            "long",
            candidate(&format!("candidate:{}", "1 ".repeat(4_000)), Some("0")),
            RTCErrorKind::Operation,
        ),
    ] {
        let refused = b.pc.add_ice_candidate(Some(init)).await.expect_err(what);
        assert_eq!(refused.kind, kind, "{what}: {refused}");
    }
    let mut taken = 0;
    for port in 10_000..10_300 {
        let text = format!("candidate:1 1 udp 2130706431 127.0.0.1 {port} typ host");
        taken += usize::from(
            b.pc.add_ice_candidate(Some(candidate(&text, Some("0"))))
                .await
                .is_ok(),
        );
    }
    assert!(taken <= 100, "a flood of candidates is capped: {taken}");
    let lonely = End::new(common::context()).await;
    let early = lonely
        .pc
        .add_ice_candidate(Some(candidate(fine, Some("0"))))
        .await
        .unwrap_err();
    assert_eq!(early.kind, RTCErrorKind::InvalidState);

    // The call heard nothing of it.
    viewer.drain();
    for _ in 0..5 {
        viewer.frame().await;
    }
    negotiate(&a.pc, &b.pc).await;
    viewer.frame().await;
    camera.abort();
    a.pc.close().await;
    let closed =
        a.pc.create_offer(RTCOfferOptions::default())
            .await
            .unwrap_err();
    assert_eq!(closed.kind, RTCErrorKind::InvalidState);
    assert_eq!(a.pc.signaling_state(), RTCSignalingState::Closed);
    b.pc.close().await;
    lonely.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_fingerprint_leads_to_failed_and_no_media() {
    let context = common::context();
    let (a, mut b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    a.pc.set_local_description(None).await.unwrap();
    let mut offer = a.pc.local_description().await.unwrap();
    let at = offer.sdp.find("a=fingerprint:sha-256 ").unwrap() + 22;
    let other = if &offer.sdp[at..at + 2] == "00" {
        "01"
    } else {
        "00"
    };
    offer.sdp.replace_range(at..at + 2, other);
    b.pc.set_remote_description(offer).await.unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let answer = b.pc.local_description().await.unwrap();
    a.pc.set_remote_description(answer).await.unwrap();
    b.wait("failed", |event| match event {
        Event::ConnectionStateChange(RTCPeerConnectionState::Failed) => Some(()),
        _ => None,
    })
    .await;
    let track = b.track().await.track;
    assert!(track.muted(), "no packet was believed");
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}
