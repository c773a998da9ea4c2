//! What is easily got wrong between an offer and its answer, and at the end.

mod common;

use common::{Camera, End, Viewer, negotiate, pair, source, within};
use duet_media::{
    MediaKind, MediaSource, MediaStream, MediaTrackCapabilities, MediaTrackSettings, SourceControl,
    TrackEvent, TrackState,
};
use duet_peer::{
    PeerConnectionEvent as Event, RTCDataChannelInit, RTCErrorKind, RTCOfferOptions,
    RTCPeerConnectionState, RTCRtpSender, RTCRtpTransceiverDirection as Direction,
    RTCRtpTransceiverInit, RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use tokio::sync::mpsc;

fn rollback() -> RTCSessionDescription {
    RTCSessionDescription::new(RTCSdpType::Rollback, "")
}

/// The offer or answer that is due, set.
async fn due_from(end: &End) -> RTCSessionDescription {
    let set = end.pc.set_local_description(None).await;
    set.expect("something is due");
    end.pc.local_description().await.expect("it was set")
}

async fn state(end: &mut End, wanted: RTCSignalingState) {
    end.wait(wanted.as_str(), |event| match event {
        Event::SignalingStateChange(state) if *state == wanted => Some(()),
        _ => None,
    })
    .await;
}

fn ufrag(description: &RTCSessionDescription) -> String {
    let mut lines = description.sdp.lines();
    let line = lines.find(|line| line.starts_with("a=ice-ufrag"));
    line.expect("credentials").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_section_that_was_stopped_here_brings_no_track_again() {
    let (a, mut b) = pair().await;
    let track = source(MediaKind::Video).create_track();
    a.pc.add_track(&track, &[&MediaStream::new()])
        .await
        .unwrap();
    negotiate(&a.pc, &b.pc).await;
    let first = b.track().await;
    assert_eq!(first.receiver.streams().len(), 1);
    state(&mut b, RTCSignalingState::Stable).await;
    first.transceiver.stop().unwrap();
    // Before the other side has heard of it.
    let offer = due_from(&a).await;
    b.pc.set_remote_description(offer.clone()).await.unwrap();
    assert_eq!(first.receiver.streams(), [], "its track has ended");
    b.pc.set_remote_description(rollback()).await.unwrap();
    state(&mut b, RTCSignalingState::Stable).await;
    b.pc.set_remote_description(offer).await.unwrap();
    let answer = due_from(&b).await;
    let again = b.wait("the end of the round", |event| match event {
        Event::Track(_) => Some(true),
        Event::SignalingStateChange(RTCSignalingState::Stable) => Some(false),
        _ => None,
    });
    assert!(!again.await, "a track that has ended came again");
    a.pc.set_remote_description(answer).await.unwrap();
    assert!(a.pc.get_transceivers().is_empty());
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_stopped_halfway_sends_no_more() {
    let context = common::context();
    let (a, b) = (
        End::new(context.clone()).await,
        End::new(common::context()).await,
    );
    let camera = source(MediaKind::Video);
    a.pc.add_track(&camera.create_track(), &[]).await.unwrap();
    let offer = due_from(&a).await;
    assert_eq!(context.encoders.video_encoders(), 1, "it is made ready");
    a.pc.get_transceivers()[0].stop().unwrap();
    assert_eq!(context.encoders.video_encoders(), 0);
    b.pc.set_remote_description(offer).await.unwrap();
    let answer = due_from(&b).await;
    a.pc.set_remote_description(answer).await.unwrap();
    assert_eq!(context.encoders.video_encoders(), 0, "the answer is late");
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_offers_while_there_is_an_offer_to_answer() {
    let (a, mut b) = pair().await;
    a.pc.add_transceiver(MediaKind::Audio, RTCRtpTransceiverInit::default())
        .await
        .unwrap();
    let offer = due_from(&a).await;
    b.pc.set_remote_description(offer).await.unwrap();
    let refused = b.pc.create_offer(RTCOfferOptions::default()).await;
    assert_eq!(refused.unwrap_err().kind, RTCErrorKind::InvalidState);
    // The state is told before the tracks.
    let first = b.wait("an event", |event| match event {
        Event::SignalingStateChange(_) => Some("state"),
        Event::Track(_) => Some("track"),
        _ => None,
    });
    assert_eq!(first.await, "state");
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_description_is_what_was_set_whatever_was_made_since() {
    let (a, b) = pair().await;
    let sender =
        a.pc.add_track(&source(MediaKind::Video).create_track(), &[])
            .await
            .unwrap();
    negotiate(&a.pc, &b.pc).await;
    let told = async || -> Vec<String> {
        let set = a.pc.local_description().await.unwrap().sdp;
        let lines = set.lines();
        let lines = lines.filter(|l| l.starts_with("a=msid") || l.starts_with("a=send"));
        lines.map(str::to_owned).collect()
    };
    let before = told().await;
    assert_eq!(before.len(), 2, "{before:?}");
    sender.set_streams(&[MediaStream::new()]).unwrap();
    a.pc.get_transceivers()[0]
        .set_direction(Direction::Inactive)
        .unwrap();
    let made = a.pc.create_offer(RTCOfferOptions::default()).await.unwrap();
    assert!(made.sdp.contains("a=inactive"));
    assert_eq!(told().await, before);
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wish_for_a_restart_outlives_a_rollback() {
    let context = common::context();
    let (a, mut b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let viewer = Viewer::of(&b.track().await.track);
    viewer.frame().await;
    let before = ufrag(&a.pc.local_description().await.unwrap());

    // Both offer, and the one that wants a restart gives way.
    b.pc.restart_ice();
    b.negotiation_needed().await;
    due_from(&b).await;
    negotiate(&a.pc, &b.pc).await;
    b.negotiation_needed().await;
    negotiate(&b.pc, &a.pc).await;
    assert_ne!(ufrag(&a.pc.local_description().await.unwrap()), before);
    viewer.drain();
    viewer.frame().await;
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_by_the_other_side_meets_our_wish_for_one() {
    let (a, b) = pair().await;
    a.pc.add_transceiver(MediaKind::Audio, RTCRtpTransceiverInit::default())
        .await
        .unwrap();
    negotiate(&a.pc, &b.pc).await;
    let before = ufrag(&b.pc.local_description().await.unwrap());
    a.pc.restart_ice();
    b.pc.restart_ice();
    negotiate(&a.pc, &b.pc).await;
    let restarted = ufrag(&b.pc.local_description().await.unwrap());
    assert_ne!(restarted, before);
    assert_eq!(ufrag(&due_from(&b).await), restarted, "once is enough");
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_program_added_survives_the_rollback_of_their_offer() {
    let context = common::context();
    let (mut a, b) = pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.create_data_channel("first", RTCDataChannelInit::default())
        .await
        .unwrap();
    negotiate(&a.pc, &b.pc).await;
    a.pc.add_transceiver(MediaKind::Video, RTCRtpTransceiverInit::default())
        .await
        .unwrap();
    let offer = due_from(&a).await;
    b.pc.set_remote_description(offer).await.unwrap();
    let theirs = b.pc.get_transceivers().remove(0);
    let sender = b.pc.add_track(&video, &[]).await.unwrap();
    assert_eq!(sender, theirs.sender(), "the section is free");
    let own =
        b.pc.add_transceiver(MediaKind::Audio, RTCRtpTransceiverInit::default())
            .await
            .unwrap();
    b.pc.set_remote_description(rollback()).await.unwrap();
    a.pc.set_local_description(Some(rollback())).await.unwrap();
    assert_eq!(b.pc.get_transceivers(), [theirs.clone(), own.clone()]);
    assert_eq!((theirs.mid(), own.mid()), (None, None));

    negotiate(&b.pc, &a.pc).await;
    assert_eq!(own.current_direction(), Some(Direction::SendOnly));
    let event = a.track().await;
    let video = match event.track.kind() {
        MediaKind::Video => event.track,
        MediaKind::Audio => a.track().await.track,
    };
    Viewer::of(&video).frame().await;
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_streams_are_negotiated() {
    let (mut a, mut b) = pair().await;
    let (one, other) = (MediaStream::new(), MediaStream::new());
    let track = source(MediaKind::Audio).create_track();
    let sender = a.pc.add_track(&track, &[&one]).await.unwrap();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let receiver = b.track().await.receiver;
    assert_eq!(receiver.streams()[0].id(), one.id());
    sender
        .set_streams(&[other.clone(), one.clone(), other.clone()])
        .unwrap();
    a.negotiation_needed().await;
    negotiate(&a.pc, &b.pc).await;
    let ids: Vec<_> = receiver
        .streams()
        .iter()
        .map(|s| s.id().to_owned())
        .collect();
    assert_eq!(ids, [other.id(), one.id()]);
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_that_nobody_waits_for_is_done_all_the_same() {
    let (mut a, b) = pair().await;
    a.pc.add_track(&source(MediaKind::Video).create_track(), &[])
        .await
        .unwrap();
    negotiate(&a.pc, &b.pc).await;
    {
        let mut closing = Box::pin(a.pc.close());
        let mut cx = Context::from_waker(Waker::noop());
        // Another thread may have been so quick that it is done already.
        let _ = closing.as_mut().poll(&mut cx);
    }
    a.wait("closed", |event| match event {
        Event::ConnectionStateChange(RTCPeerConnectionState::Closed) => Some(()),
        _ => None,
    })
    .await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_a_dropped_connection_end_with_it() {
    let context = common::context();
    let (a, mut b) = (
        End::new(context.clone()).await,
        End::new(common::context()).await,
    );
    let camera = source(MediaKind::Video);
    let sender = a.pc.add_track(&camera.create_track(), &[]).await.unwrap();
    let offer = due_from(&a).await;
    b.pc.set_remote_description(offer).await.unwrap();
    let event = b.track().await;
    let (tx, mut ended) = mpsc::channel(8);
    let on = move |event: &TrackEvent| tx.try_send(*event).expect("a test reads on");
    event.track.subscribe(on).forever();

    assert_eq!(context.encoders.video_encoders(), 1);
    drop((a, b));
    assert_eq!(context.encoders.video_encoders(), 0, "{sender:?} is held");
    within("the remote track's end", async {
        while ended.recv().await != Some(TrackEvent::Ended) {}
    })
    .await;
    assert_eq!(event.track.ready_state(), TrackState::Ended);
}

/// Asks the sender of its track what that sends, when nobody wants its picture any more.
struct Curious(Arc<OnceLock<RTCRtpSender>>);

impl SourceControl for Curious {
    fn stop(&self) {
        let sender = self.0.get().expect("a sender");
        assert_eq!(sender.track(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_may_ask_the_sender_that_lets_go_of_it() {
    let a = End::new(common::context()).await;
    let asked = Arc::new(OnceLock::new());
    let camera = MediaSource::new(
        MediaKind::Video,
        "curious",
        MediaTrackSettings::default(),
        MediaTrackCapabilities::default(),
        Curious(asked.clone()),
    );
    let sender = a.pc.add_track(&camera.create_track(), &[]).await.unwrap();
    asked.set(sender.clone()).expect("the first");
    let replaced = tokio::task::spawn_blocking(move || sender.replace_track(None));
    within("the change", replaced).await.unwrap().unwrap();
    assert!(!camera.is_wanted());
    a.pc.close().await;
}
