//! Simulcast as a conference server receives it: each encoding under its id, in its size, and each
//! counted for itself. The server is the substrate's own, which takes several encodings of a track;
//! an end of ours takes one.

mod common;

use common::{Camera, End, context, within};
use duet_media::MediaStreamTrack;
use duet_peer::{
    PeerConnectionEvent as Event, PeerContext, RTCIceGatheringState, RTCPeerConnection,
    RTCRtpEncodingParameters, RTCRtpTransceiver, RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
    RTCSdpType, RTCSessionDescription,
};
use duet_session::Vp8Descriptor;
use parking_lot::Mutex;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_RTX, MIME_TYPE_VP8, MediaEngine,
};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection as server;
use webrtc::rtp_transceiver::{
    RTCRtpTransceiverDirection as ServerDirection, RTCRtpTransceiverInit as ServerInit,
};

const RIDS: [&str; 3] = ["q", "h", "f"];

fn encodings() -> Vec<RTCRtpEncodingParameters> {
    let encoding = |rid: &str| RTCRtpEncodingParameters {
        rid: Some(rid.to_owned()),
        ..Default::default()
    };
    RIDS.map(encoding).to_vec()
}

/// An end that may send as much as three encodings of 720p take, and its camera.
async fn end() -> (End, Camera, RTCRtpTransceiver) {
    let context = PeerContext {
        start_bitrate: 6_000_000,
        max_bitrate: 6_000_000,
        ..context()
    };
    let end = End::new(context.clone()).await;
    let (camera, track) = Camera::new(&context, 1_280, 720);
    let transceiver = simulcast(&end.pc, &track).await;
    (end, camera, transceiver)
}

async fn simulcast(pc: &RTCPeerConnection, track: &MediaStreamTrack) -> RTCRtpTransceiver {
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::SendOnly,
        send_encodings: encodings(),
        ..Default::default()
    };
    let made = pc.add_transceiver_with_track(track, init).await;
    made.expect("three encodings")
}

/// What a server got of each encoding, by its id: the sizes of its key frames.
type Got = HashMap<String, Vec<(u16, u16)>>;

struct Handler {
    gathered: mpsc::Sender<()>,
    got: Arc<watch::Sender<Got>>,
}

#[async_trait::async_trait]
impl server::PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: server::RTCIceGatheringState) {
        if state == server::RTCIceGatheringState::Complete {
            let _ = self.gathered.try_send(());
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let got = self.got.clone();
        tokio::spawn(async move {
            let mut rids: HashMap<u32, String> = HashMap::new();
            while let Some(event) = track.poll().await {
                match event {
                    TrackRemoteEvent::OnOpen(init) => {
                        let rid = init.rid.as_ref().map(ToString::to_string);
                        rids.insert(init.ssrc, rid.unwrap_or_default());
                    }
                    TrackRemoteEvent::OnRtpPacket(packet) => {
                        let header = packet.header;
                        let rid = rids.get(&header.ssrc).cloned().unwrap_or_default();
                        let size = key_frame_size(packet.payload);
                        let mut waits = false;
                        got.send_modify(|got| {
                            let sizes = got.entry(rid).or_default();
                            sizes.extend(size);
                            waits = sizes.is_empty();
                        });
                        // The server looks on for a while before it knows a source.
                        if waits && header.marker {
                            let _ = track.write_rtcp(vec![key_frame_of(header.ssrc)]).await;
                        }
                    }
                    TrackRemoteEvent::OnEnded => return,
                    _ => {}
                }
            }
        });
    }
}

fn key_frame_of(media_ssrc: u32) -> Box<dyn rtc::rtcp::Packet> {
    Box::new(PictureLossIndication {
        sender_ssrc: 1,
        media_ssrc,
    })
}

/// Of the key frame that begins in a packet
/// ([RFC 6386, section 9.1](https://www.rfc-editor.org/rfc/rfc6386#section-9.1)).
fn key_frame_size(payload: bytes::Bytes) -> Option<(u16, u16)> {
    let (descriptor, part) = Vp8Descriptor::parse(payload).ok()?;
    let key = descriptor.is_frame_start() && duet_session::vp8_payload::is_key_frame(&part);
    let [a, b, c, d] = *part.get(6..10).filter(|_| key)? else {
        return None;
    };
    let side = |low, high| u16::from_le_bytes([low, high]) & 0x3FFF;
    Some((side(a, b), side(c, d)))
}

struct Server {
    pc: Arc<dyn server::PeerConnection>,
    gathered: Mutex<mpsc::Receiver<()>>,
    got: watch::Receiver<Got>,
}

impl Server {
    async fn new() -> Self {
        let mut engine = MediaEngine::default();
        for (mime, payload_type, fmtp) in [(MIME_TYPE_VP8, 96, ""), (MIME_TYPE_RTX, 97, "apt=96")] {
            let codec = RTCRtpCodecParameters {
                rtp_codec: RTCRtpCodec {
                    mime_type: mime.to_owned(),
                    clock_rate: 90_000,
                    sdp_fmtp_line: fmtp.to_owned(),
                    ..Default::default()
                },
                payload_type,
            };
            engine
                .register_codec(codec, RtpCodecKind::Video)
                .expect("a codec");
        }
        for name in ["mid", "rtp-stream-id", "repaired-rtp-stream-id"] {
            let uri = format!("urn:ietf:params:rtp-hdrext:sdes:{name}");
            let extension = RTCRtpHeaderExtensionCapability { uri };
            let registered = engine.register_header_extension(extension, RtpCodecKind::Video, None);
            registered.expect("an extension");
        }
        let (gathered, gathers) = mpsc::channel(1);
        let (got, sees) = watch::channel(Got::new());
        let handler = Handler {
            gathered,
            got: Arc::new(got),
        };
        let built = server::PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_handler(Arc::new(handler))
            .with_runtime(Arc::new(webrtc::runtime::TokioRuntime))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build();
        Server {
            pc: Arc::new(built.await.expect("a server")),
            gathered: Mutex::new(gathers),
            got: sees,
        }
    }

    async fn answer(&self, offer: &str) -> String {
        let offer = server::RTCSessionDescription::offer(offer.to_owned());
        let set = self.pc.set_remote_description(offer.expect("an offer"));
        set.await.expect("an offer that it takes");
        let answer = self.pc.create_answer(None).await.expect("an answer");
        self.set(answer).await
    }

    /// Asks for these encodings of a track, as a conference server does that makes the offers.
    async fn ask(&self, rids: &str) -> String {
        let init = ServerInit {
            direction: ServerDirection::Recvonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let made = self
            .pc
            .add_transceiver_from_kind(RtpCodecKind::Video, Some(init));
        made.await.expect("a place for a track");
        let offer = self.pc.create_offer(None).await.expect("an offer");
        let mut offer = self.set(offer).await;
        for rid in rids.split(';') {
            offer += &format!("a=rid:{} recv\r\n", rid.trim_start_matches('~'));
        }
        offer + &format!("a=simulcast:recv {rids}\r\n")
    }

    /// What it says of itself, with candidates.
    async fn set(&self, description: server::RTCSessionDescription) -> String {
        let set = self.pc.set_local_description(description);
        set.await.expect("its own description");
        let mut gathered = {
            let (_, nothing) = mpsc::channel(1);
            std::mem::replace(&mut *self.gathered.lock(), nothing)
        };
        within("its candidates", gathered.recv()).await;
        let description = self.pc.local_description().await;
        description.expect("it is set").sdp
    }

    /// Waits until it has each of these encodings in this size, and no other of it.
    async fn gets(&self, wanted: &[(&str, (u16, u16))]) {
        let mut got = self.got.clone();
        let complete = |got: &Got| {
            let has = |(rid, size): &(&str, (u16, u16))| {
                got.get(*rid).is_some_and(|sizes| sizes.contains(size))
            };
            wanted.iter().all(has)
        };
        let all = tokio::time::timeout(common::PATIENCE, got.wait_for(complete)).await;
        let all = all.unwrap_or_else(|_| panic!("of {wanted:?} only {:?}", *self.got.borrow()));
        let got = all.expect("the server runs");
        for (rid, size) in wanted {
            let only = got[*rid].iter().all(|of| of == size);
            assert!(only, "{rid}: {:?}", got[*rid]);
        }
        assert_eq!(got.len(), wanted.len(), "{:?}", got.keys());
    }
}

/// Its offer, with candidates.
async fn offered(end: &mut End) -> String {
    let set = end.pc.set_local_description(None).await;
    set.expect("its own offer");
    let complete = |event: &Event| {
        use RTCIceGatheringState::Complete;
        matches!(event, Event::IceGatheringStateChange(Complete)).then_some(())
    };
    end.wait("its candidates", complete).await;
    let offer = end.pc.local_description().await;
    offer.expect("it is set").sdp
}

/// What it would offer now.
async fn offer_of(pc: &RTCPeerConnection) -> String {
    let offer = pc.create_offer(Default::default()).await;
    offer.expect("an offer").sdp
}

async fn answered(pc: &RTCPeerConnection, answer: &str) {
    let answer = RTCSessionDescription::new(RTCSdpType::Answer, answer);
    let set = pc.set_remote_description(answer);
    set.await.expect("an answer that is understood");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_gets_every_encoding_in_its_size() {
    let (mut end, camera, transceiver) = end().await;
    let (pc, server) = (end.pc.clone(), Server::new().await);
    let show = camera.roll();
    let offer = offered(&mut end).await;
    let lines = ["a=rid:q send", "a=rid:f send", "a=simulcast:send q;h;f"];
    for line in lines {
        assert!(offer.contains(line), "{offer}");
    }
    let answer = server.answer(&offer).await;
    assert!(answer.contains("a=simulcast:recv q;h;f"), "{answer}");
    answered(&pc, &answer).await;

    let sizes = [(320, 180), (640, 360), (1_280, 720)];
    let wanted: Vec<_> = RIDS.into_iter().zip(sizes).collect();
    server.gets(&wanted).await;

    // Each is counted for itself.
    let stats = pc.get_stats().await.expect("it is up");
    let outbound: Vec<_> = stats.of_type("outbound-rtp").collect();
    assert_eq!(outbound.len(), 3);
    for (stats, (rid, size)) in outbound.iter().zip(RIDS.into_iter().zip(sizes)) {
        assert_eq!(stats.text("rid"), Some(rid));
        assert_eq!(stats.number("frameWidth"), Some(f64::from(size.0)));
        assert!(stats.number("packetsSent").is_some_and(|sent| sent > 0.0));
        assert!(stats.number("rtxSsrc").is_some());
    }

    // One that is switched off is not sent any more.
    let sender = transceiver.sender();
    let mut parameters = sender.get_parameters();
    assert_eq!(parameters.encodings.len(), 3);
    parameters.encodings[2].active = false;
    sender.set_parameters(parameters).expect("one less");
    assert_eq!(active(&pc).await, [true, true, false]);
    pc.close().await;
    server.pc.close().await.expect("it ends");
    show.abort();
}

/// What its sender sends: ids, and by how much each is scaled down.
fn told(transceiver: &RTCRtpTransceiver) -> Vec<(Option<String>, f64)> {
    let encodings = transceiver.sender().get_parameters().encodings;
    let told = encodings.into_iter();
    told.map(|one| (one.rid, one.scale_resolution_down_by))
        .collect()
}

fn encoding_of(rid: &str, scale: f64) -> (Option<String>, f64) {
    (Some(rid.to_owned()), scale)
}

#[tokio::test]
async fn whoever_takes_one_gets_the_first() {
    let (mut ours, _camera, transceiver) = end().await;
    let theirs = End::new(context()).await;
    let offer = offered(&mut ours).await;
    let offer = RTCSessionDescription::new(RTCSdpType::Offer, offer);
    let set = theirs.pc.set_remote_description(offer).await;
    set.expect("an offer with more than it takes");
    let set = theirs.pc.set_local_description(None).await;
    set.expect("its own answer");
    let answer = theirs.pc.local_description().await.expect("it is set").sdp;
    assert!(!answer.contains("a=rid:") && !answer.contains("simulcast"));
    answered(&ours.pc, &answer).await;
    assert_eq!(told(&transceiver), [encoding_of("q", 4.0)]);
    let again = offer_of(&ours.pc).await;
    assert!(!again.contains("a=rid:") && !again.contains("simulcast"));
    ours.pc.close().await;
    theirs.pc.close().await;
}

#[tokio::test]
async fn an_answer_may_take_some_of_them_and_pause_others() {
    let (mut end, _camera, transceiver) = end().await;
    let offer = offered(&mut end).await;
    let answer = Server::new().await.answer(&offer).await;
    let fewer = answer.replace("a=rid:h recv\r\n", "");
    let fewer = fewer.replace("a=simulcast:recv q;h;f", "a=simulcast:recv ~f;q");
    answered(&end.pc, &fewer).await;
    let some = [encoding_of("q", 4.0), encoding_of("f", 1.0)];
    assert_eq!(told(&transceiver), some);
    assert_eq!(active(&end.pc).await, [true, false, false]);
    let again = offer_of(&end.pc).await;
    assert!(again.contains("a=simulcast:send q;f\r\n"), "{again}");
    end.pc.close().await;
}

/// Whether each encoding is being sent.
async fn active(pc: &RTCPeerConnection) -> Vec<bool> {
    let stats = pc.get_stats().await.expect("it is up");
    let sent = stats.of_type("outbound-rtp");
    sent.filter_map(|stats| stats.members["active"].as_bool())
        .collect()
}

#[tokio::test]
async fn what_the_path_does_not_carry_is_sent_once_it_is_all_there_is() {
    let context = PeerContext {
        start_bitrate: 400_000,
        max_bitrate: 400_000,
        ..context()
    };
    let mut end = End::new(context.clone()).await;
    let (camera, track) = Camera::new(&context, 1_280, 720);
    let transceiver = simulcast(&end.pc, &track).await;
    let server = Server::new().await;
    let offer = offered(&mut end).await;
    let show = camera.roll();
    answered(&end.pc, &server.answer(&offer).await).await;
    let two = async {
        while active(&end.pc).await != [true, true, false] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("two encodings", two).await;
    let sender = transceiver.sender();
    let mut parameters = sender.get_parameters();
    parameters.encodings[0].active = false;
    parameters.encodings[1].active = false;
    sender.set_parameters(parameters).expect("one alone");
    let third = async {
        while active(&end.pc).await != [false, false, true] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("the third encoding", third).await;
    end.pc.close().await;
    server.pc.close().await.expect("it ends");
    show.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_gets_what_it_asked_for() {
    let context = PeerContext {
        start_bitrate: 6_000_000,
        max_bitrate: 6_000_000,
        ..context()
    };
    let mut end = End::new(context.clone()).await;
    let (camera, track) = Camera::new(&context, 1_280, 720);
    let sender = end.pc.add_track(&track, &[]).await.expect("a track");
    let (pc, server) = (end.pc.clone(), Server::new().await);
    let offer = RTCSessionDescription::new(RTCSdpType::Offer, server.ask("a;b").await);

    // It may think better of it.
    let one = |sender: &duet_peer::RTCRtpSender| sender.get_parameters().encodings.len() == 1;
    let set = pc.set_remote_description(offer.clone()).await;
    set.expect("an offer of a server");
    assert!(!one(&sender));
    let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
    let set = pc.set_remote_description(rollback).await;
    set.expect("an offer that is taken back");
    assert!(one(&sender));

    let set = pc.set_remote_description(offer).await;
    set.expect("an offer of a server");
    let encodings = sender.get_parameters().encodings;
    let told: Vec<_> = encodings
        .iter()
        .map(|one| (one.rid.as_deref(), one.scale_resolution_down_by))
        .collect();
    assert_eq!(told, [(Some("a"), 2.0), (Some("b"), 1.0)]);
    let show = camera.roll();
    let set = pc.set_local_description(None).await;
    set.expect("its own answer");
    let complete = |event: &Event| {
        use RTCIceGatheringState::Complete;
        matches!(event, Event::IceGatheringStateChange(Complete)).then_some(())
    };
    end.wait("its candidates", complete).await;
    let answer = pc.local_description().await.expect("it is set").sdp;
    for line in ["a=rid:a send", "a=rid:b send", "a=simulcast:send a;b"] {
        assert!(answer.contains(line), "{answer}");
    }
    let answer = server::RTCSessionDescription::answer(answer).expect("an answer");
    let set = server.pc.set_remote_description(answer).await;
    set.expect("an answer that it takes");
    server.gets(&[("a", (640, 360)), ("b", (1_280, 720))]).await;
    pc.close().await;
    server.pc.close().await.expect("it ends");
    show.abort();
}
