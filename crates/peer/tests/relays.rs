//! Calls through a real TURN server, over UDP, TCP and TLS, and what is told when there is no way through.

mod common;
#[path = "common/turn_server.rs"]
mod turn_server;

use common::{End, PATIENCE, context, keep_negotiating, negotiate, trickle, within};
use duet_devices::synthetic::{SyntheticCamera, SyntheticCameraConfig, marks};
use duet_media::{Frame, MediaStreamTrack};
use duet_peer::{
    NetworkPolicy, PeerConnectionEvent as Event, PeerContext, RTCConfiguration,
    RTCIceGatheringState, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection,
    RTCPeerConnectionIceErrorEvent, RTCStatsReport,
};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use turn_server::{TurnServer, has_ipv6, ice_server};

fn through(server: RTCIceServer) -> RTCConfiguration {
    RTCConfiguration {
        ice_servers: vec![server],
        ice_transport_policy: RTCIceTransportPolicy::Relay,
        ..Default::default()
    }
}

fn trusting(server: &TurnServer) -> PeerContext {
    PeerContext {
        turn_roots: vec![server.root.clone()],
        ..context()
    }
}

/// A call that sends pictures from the first end to the other.
struct Call {
    a: End,
    b: End,
    seen: MediaStreamTrack,
    _camera: MediaStreamTrack,
    connecting: Duration,
}

impl Call {
    async fn through(server: &TurnServer, urls: [String; 2]) -> Call {
        let configurations = urls.map(|url| through(ice_server(url)));
        Call::configured(configurations, trusting(server)).await
    }

    async fn configured(configurations: [RTCConfiguration; 2], context: PeerContext) -> Call {
        let [one, other] = configurations;
        let mut a = End::configured(one, context.clone()).await;
        let mut b = End::configured(other, context.clone()).await;
        let config = SyntheticCameraConfig {
            width: 320,
            height: 180,
            ..Default::default()
        };
        let camera = SyntheticCamera::start(config, context.clock.clone());
        a.pc.add_track(&camera, &[]).await.expect("a sender");
        trickle(&mut a, &mut b);
        let begun = Instant::now();
        negotiate(&a.pc, &b.pc).await;
        a.connected().await;
        b.connected().await;
        let connecting = begun.elapsed();
        let seen = b.track().await.track;
        // A muted track is black.
        common::unmuted(&seen).await;
        Call {
            a,
            b,
            seen,
            _camera: camera,
            connecting,
        }
    }

    /// Reads `count` different pictures of the other side.
    async fn read_pictures(&self, count: usize) {
        let viewer = common::Viewer::of(&self.seen);
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let Frame::Video(picture) = viewer.frame().await else {
                panic!("a picture");
            };
            let Some(read) = marks::read(&picture.buffer) else {
                let (width, height) = (picture.width(), picture.height());
                let shades = picture.buffer.y().iter().step_by(997).collect::<Vec<_>>();
                panic!("not to be read after {numbers:?}: {width}x{height}, {shades:?}");
            };
            if numbers.last() != Some(&read.frame_number) {
                numbers.push(read.frame_number);
            }
        }
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    async fn close(self) {
        self.a.pc.close().await;
        self.b.pc.close().await;
    }
}

/// The candidates in use, as statistics tell of them: the way of each is (type, relay's protocol, its URL).
async fn ways(pc: &RTCPeerConnection) -> [(String, String, String); 2] {
    let report: RTCStatsReport = pc.get_stats().await.expect("an open connection");
    let transport = report.of_type("transport").next().expect("a transport");
    let pair = transport.text("selectedCandidatePairId").expect("a pair");
    let pair = report.get(pair).expect("the pair");
    ["localCandidateId", "remoteCandidateId"].map(|side| {
        let id = pair.text(side).expect("a candidate's id");
        let candidate = report.get(id).unwrap_or_else(|| panic!("no {id}"));
        let text = |name| candidate.text(name).unwrap_or_default().to_owned();
        (text("candidateType"), text("relayProtocol"), text("url"))
    })
}

async fn refused(
    configuration: RTCConfiguration,
    context: PeerContext,
) -> (End, RTCPeerConnectionIceErrorEvent) {
    let mut end = End::configured(configuration, context).await;
    end.pc
        .create_data_channel("data", Default::default())
        .await
        .expect("a channel");
    end.pc.set_local_description(None).await.expect("an offer");
    let error = end
        .wait("a refusal", |event| match event {
            Event::IceCandidateError(error) => Some(error.clone()),
            _ => None,
        })
        .await;
    // It goes on without.
    end.wait("the end of gathering", |event| {
        matches!(
            event,
            Event::IceGatheringStateChange(RTCIceGatheringState::Complete)
        )
        .then_some(())
    })
    .await;
    (end, error)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_through_tcp_at_one_end_and_tls_at_the_other() {
    let Some(server) = TurnServer::start("mixed") else {
        return;
    };
    let call = Call::through(&server, [server.tcp(), server.tls()]).await;
    println!("connected after {:?}", call.connecting);
    call.read_pictures(30).await;
    for (pc, protocol, url) in [
        (&call.a.pc, "tcp", server.tcp()),
        (&call.b.pc, "tls", server.tls()),
    ] {
        let [local, remote] = ways(pc).await;
        assert_eq!(local, ("relay".into(), protocol.into(), url));
        assert_eq!((remote.1, remote.2), (String::new(), String::new()));
    }
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_through_udp() {
    let Some(server) = TurnServer::start("udp") else {
        return;
    };
    let call = Call::through(&server, [server.udp(), server.udp()]).await;
    println!("connected after {:?}", call.connecting);
    call.read_pictures(30).await;
    let [local, _] = ways(&call.a.pc).await;
    assert_eq!(local, ("relay".into(), "udp".into(), server.udp()));
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_over_ipv6_alone_and_through_relays_that_are_reached_by_it() {
    if !has_ipv6() {
        println!("skipped: there is no IPv6 here");
        return;
    }
    let Some(server) = TurnServer::start("ipv6") else {
        return;
    };
    let context = PeerContext {
        network: NetworkPolicy::Only(vec![Ipv6Addr::LOCALHOST.into()]),
        ..trusting(&server)
    };
    let direct = [RTCConfiguration::default(), RTCConfiguration::default()];
    let call = Call::configured(direct, context.clone()).await;
    call.read_pictures(10).await;
    let [local, remote] = ways(&call.a.pc).await;
    // A check may come before the candidate that it is sent from.
    assert_eq!(local.0, "host");
    assert!(matches!(&*remote.0, "host" | "prflx"), "{remote:?}");
    call.close().await;

    let relayed = [server.udp6(), server.tcp6()].map(|url| through(ice_server(url)));
    let call = Call::configured(relayed, context).await;
    call.read_pictures(10).await;
    let [local, _] = ways(&call.b.pc).await;
    assert_eq!(local, ("relay".into(), "tcp".into(), server.tcp6()));
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_killed_and_started_again_is_found_again() {
    if let Some(server) = TurnServer::start("again") {
        let urls = [server.tcp(), server.tls()];
        killed_and_started_again(server, urls).await;
    }
}

/// Nothing breaks over UDP: that it was started anew, it says itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_over_udp_that_is_killed_and_started_again_is_found_again() {
    if let Some(server) = TurnServer::start("udp-again") {
        let urls = [server.udp(), server.udp()];
        killed_and_started_again(server, urls).await;
    }
}

async fn killed_and_started_again(mut server: TurnServer, urls: [String; 2]) {
    let call = Call::through(&server, urls).await;
    call.read_pictures(5).await;
    let negotiating = keep_negotiating(&call.a.pc, &call.b.pc);
    server.kill();
    // Long enough that it is asked in vain.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.again();
    let back = Instant::now();
    // None that is shown now was sent before.
    let viewer = common::Viewer::of(&call.seen);
    viewer.drain();
    within("a picture", viewer.frame()).await;
    let took = back.elapsed();
    println!("pictures again {took:?} after the server's return");
    assert!(took < PATIENCE);
    call.read_pictures(10).await;
    negotiating.abort();
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_with_the_servers_own_words() {
    let Some(server) = TurnServer::start("password") else {
        return;
    };
    for url in [server.udp(), server.tcp(), server.tls()] {
        let wrong = RTCIceServer {
            credential: Some("wrong".into()),
            ..ice_server(&url)
        };
        let (end, error) = refused(through(wrong), trusting(&server)).await;
        assert_eq!(
            (error.error_code, &*error.error_text),
            (401, "Unauthorized")
        );
        assert_eq!(error.url, url);
        // It may not be told: only relayed addresses are.
        assert_eq!((error.address, error.port), (None, None));
        end.pc.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let Some(server) = TurnServer::start("authority") else {
        return;
    };
    let all = RTCConfiguration {
        ice_servers: vec![ice_server(server.tls())],
        ..Default::default()
    };
    let (end, error) = refused(all, context()).await;
    assert_eq!(error.error_code, 701);
    assert!(
        error.error_text.contains("certificate"),
        "{}",
        error.error_text
    );
    assert_eq!(error.address.as_deref(), Some("127.0.0.1"));
    end.pc.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_not_there_do_not_keep_gathering_from_its_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    for (url, says) in [
        (format!("turn:127.0.0.1:{port}?transport=tcp"), "refused"),
        (format!("turns:127.0.0.1:{port}"), "refused"),
        ("turn:nowhere.invalid?transport=tcp".to_owned(), ""),
        ("turn:nowhere.invalid".to_owned(), ""),
        (format!("turn:127.0.0.1:{port}"), "does not answer"),
    ] {
        let begun = Instant::now();
        let (end, error) = refused(through(ice_server(&url)), context()).await;
        println!("{url}: {} after {:?}", error.error_text, begun.elapsed());
        assert_eq!((error.error_code, error.url), (701, url));
        assert!(error.error_text.contains(says), "{}", error.error_text);
        end.pc.close().await;
    }
}
