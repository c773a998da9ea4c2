//! A path that loses packets, and a peer that asks too much.

mod common;

use common::{Camera, End, Viewer, microphone, millis, negotiate, within};
use duet_media::MediaKind;
use duet_peer::{
    PeerConnectionEvent as Event, RTCOfferOptions, RTCPeerConnection, RTCSessionDescription,
};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Stands between two connections: each knows the relay's address instead of the other's. Of a
/// hundred packets each way, `lost` are lost, the same ones in every run.
struct Relay {
    tasks: Vec<JoinHandle<()>>,
}

impl Relay {
    async fn between(a: &mut End, b: &mut End, lost: u32) -> Relay {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (for_a, for_b) = (
            Arc::new(bind().await.expect("a socket")),
            Arc::new(bind().await.expect("a socket")),
        );
        let shown = [
            for_a.local_addr().expect("its address"),
            for_b.local_addr().expect("its address"),
        ];
        let at_a = introduce(a, &b.pc, shown[1]).await;
        let at_b = introduce(b, &a.pc, shown[0]).await;
        let way = |from: Arc<UdpSocket>, to: Arc<UdpSocket>, target: SocketAddr, seed: u32| {
            tokio::spawn(async move {
                let mut buffer = [0; 2_048];
                let mut random = seed;
                while let Ok((length, _)) = from.recv_from(&mut buffer).await {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // STUN and DTLS pass: the loss begins with the media.
                    let media = (128..192).contains(&buffer[0]);
                    if !media || (random >> 8) % 100 >= lost {
                        let _ = to.send_to(&buffer[..length], target).await;
                    }
                }
            })
        };
        let tasks = vec![
            way(for_a.clone(), for_b.clone(), at_b, 1),
            way(for_b, for_a, at_a, 2),
        ];
        Relay { tasks }
    }
}

/// Signals the first candidate over UDP of `from` to `to` as if it were at `shown`; returns where it really is.
async fn introduce(from: &mut End, to: &RTCPeerConnection, shown: SocketAddr) -> SocketAddr {
    loop {
        let event = within("a candidate", from.candidates().recv()).await;
        let Some(Event::IceCandidate(Some(mut candidate))) = event else {
            continue;
        };
        let mut words: Vec<String> = candidate.candidate.split(' ').map(str::to_owned).collect();
        if words[2] != "udp" {
            continue;
        }
        let real = format!("{}:{}", words[4], words[5])
            .parse()
            .expect("an address");
        words[4] = shown.ip().to_string();
        words[5] = shown.port().to_string();
        candidate.candidate = words.join(" ");
        to.add_ice_candidate(Some(candidate))
            .await
            .expect("a good candidate");
        return real;
    }
}

fn without_candidates(description: &RTCSessionDescription) -> RTCSessionDescription {
    let lines = description
        .sdp
        .lines()
        .filter(|line| !line.starts_with("a=candidate"));
    let sdp: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    RTCSessionDescription::new(description.sdp_type, sdp)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_lossy_path_gaps_are_filled_and_the_statistics_are_true() {
    let context = common::context();
    let (mut a, mut b) = (
        End::new(context.clone()).await,
        End::new(context.clone()).await,
    );
    let (camera, video) = Camera::new(&context, 640, 360);
    let camera = camera.roll();
    let (hum, audio) = microphone(&context);
    a.pc.add_track(&video, &[]).await.unwrap();
    a.pc.add_track(&audio, &[]).await.unwrap();
    let offer = a.pc.create_offer(RTCOfferOptions::default()).await.unwrap();
    a.pc.set_local_description(Some(offer.clone()))
        .await
        .unwrap();
    b.pc.set_remote_description(without_candidates(&offer))
        .await
        .unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let answer = b.pc.local_description().await.unwrap();
    a.pc.set_remote_description(without_candidates(&answer))
        .await
        .unwrap();
    let relay = Relay::between(&mut a, &mut b, 5).await;
    let tracks = [b.track().await.track, b.track().await.track];
    let picture = tracks
        .iter()
        .find(|track| track.kind() == MediaKind::Video)
        .unwrap();
    let viewer = Viewer::of(picture);
    let start = context.clock.now();
    let mut shown = 0;
    while millis(start, context.clock.now()) < 8_000.0 {
        viewer.frame().await;
        shown += 1;
    }
    // 8 s of 30 a second; at 5 % loss and ten packets to the picture, four in ten would be broken.
    assert!(shown > 190, "{shown} pictures");

    let (sent, got) = (
        a.pc.get_stats().await.unwrap(),
        b.pc.get_stats().await.unwrap(),
    );
    let outbound = sent.rtp("outbound-rtp", MediaKind::Video).unwrap();
    let inbound = got.rtp("inbound-rtp", MediaKind::Video).unwrap();
    let remote = sent.rtp("remote-inbound-rtp", MediaKind::Video).unwrap();
    let of = |stats: &duet_peer::RTCStats, name: &str| {
        stats
            .number(name)
            .unwrap_or_else(|| panic!("no {name} in {stats:?}"))
    };
    println!("{outbound:?}\n{inbound:?}\n{remote:?}");
    let (packets, arrived) = (of(outbound, "packetsSent"), of(inbound, "packetsReceived"));
    assert!(
        arrived > packets * 0.9 && arrived <= packets,
        "{arrived} of {packets}"
    );
    assert!(of(inbound, "bytesReceived") <= of(outbound, "bytesSent"));
    let again = of(outbound, "retransmittedPacketsSent");
    assert!(
        again > packets * 0.03,
        "{again} retransmissions of {packets}"
    );
    assert!(
        again < packets * 0.12,
        "asked for once each: {again} of {packets}"
    );
    assert!(of(inbound, "retransmittedPacketsReceived") > 0.0);
    assert!(of(inbound, "nackCount") > 0.0 && of(outbound, "nackCount") > 0.0);
    assert!(of(inbound, "framesDecoded") > 190.0);
    assert!((0.0..1.0).contains(&of(remote, "fractionLost")));
    assert!(
        of(remote, "packetsLost") > 0.0,
        "the reports tell of the path, not of the repair"
    );
    let round_trip = of(remote, "roundTripTime");
    assert!(round_trip > 0.0 && round_trip < 1.0, "{round_trip}");
    assert!(of(remote, "roundTripTimeMeasurements") >= 3.0);
    let pair = sent
        .of_type("candidate-pair")
        .find(|pair| pair.number("bytesSent") > Some(1e5));
    assert!(of(pair.expect("the pair in use"), "availableOutgoingBitrate") > 100_000.0);
    let far = got.rtp("remote-outbound-rtp", MediaKind::Audio).unwrap();
    assert!(of(far, "packetsSent") > 100.0);
    assert!(got.rtp("inbound-rtp", MediaKind::Audio).is_some());
    let json = serde_json::to_value(&sent).unwrap();
    assert!(
        json.as_array()
            .is_some_and(|list| list.iter().any(|s| s["type"] == "codec"))
    );

    camera.abort();
    hum.abort();
    a.pc.close().await;
    b.pc.close().await;
    relay.tasks.iter().for_each(JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_key_frame_requests_gets_two_a_second_at_most() {
    let context = common::context();
    let (mut a, mut b) = common::pair().await;
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    negotiate(&a.pc, &b.pc).await;
    let receiver = b.track().await.receiver;
    let viewer = Viewer::of(&receiver.track());
    viewer.frame().await;
    a.connected().await;
    let made = async || {
        let stats = a.pc.get_stats().await.unwrap();
        let video = stats
            .rtp("outbound-rtp", MediaKind::Video)
            .cloned()
            .unwrap();
        (
            video.number("keyFramesEncoded").unwrap(),
            video.number("pliCount").unwrap(),
        )
    };
    let (before, start) = (made().await, context.clock.now());
    for _ in 0..60 {
        for _ in 0..20 {
            receiver.request_key_frame();
        }
        viewer.frame().await;
    }
    let took = millis(start, context.clock.now()) / 1e3;
    let after = made().await;
    let (keys, plis) = (after.0 - before.0, after.1 - before.1);
    assert!(plis > 500.0, "{plis} requests came");
    assert!(keys >= 2.0, "they are heard");
    assert!(keys <= took * 2.0 + 2.0, "{keys} key frames in {took:.1} s");
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_the_socket_harms_nobody() {
    let context = common::context();
    let (mut a, mut b) = (
        End::new(context.clone()).await,
        End::new(context.clone()).await,
    );
    let (camera, video) = Camera::new(&context, 320, 180);
    let camera = camera.roll();
    a.pc.add_track(&video, &[]).await.unwrap();
    let offer = a.pc.create_offer(RTCOfferOptions::default()).await.unwrap();
    a.pc.set_local_description(Some(offer.clone()))
        .await
        .unwrap();
    b.pc.set_remote_description(offer).await.unwrap();
    b.pc.set_local_description(None).await.unwrap();
    let answer = without_candidates(&b.pc.local_description().await.unwrap());
    a.pc.set_remote_description(answer).await.unwrap();
    let relay = Relay::between(&mut a, &mut b, 0).await;
    let viewer = Viewer::of(&b.track().await.track);
    viewer.frame().await;

    // A stranger's: noise, cut STUN, a DTLS record of no length, RTP and RTCP without keys.
    let candidate = b.pc.local_description().await.unwrap().sdp;
    let line = candidate
        .lines()
        .find(|line| line.starts_with("a=candidate") && line.contains(" udp "))
        .unwrap()
        .to_owned();
    let words: Vec<&str> = line.split(' ').collect();
    let target: SocketAddr = format!("{}:{}", words[4], words[5]).parse().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = 7u32;
    for number in 0..400u32 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut packet: Vec<u8> = (0..random >> 24)
            .map(|n| (random >> (n % 24)) as u8)
            .collect();
        if let Some(first) = packet.first_mut() {
            *first = [0, 1, 20, 22, 23, 64, 128, 144, 191, 255][number as usize % 10];
        }
        stranger.send_to(&packet, target).await.unwrap();
    }
    stranger
        .send_to(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], target)
        .await
        .unwrap();
    stranger
        .send_to(&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], target)
        .await
        .unwrap();

    viewer.drain();
    for _ in 0..15 {
        viewer.frame().await;
    }
    camera.abort();
    a.pc.close().await;
    b.pc.close().await;
    relay.tasks.iter().for_each(JoinHandle::abort);
}
