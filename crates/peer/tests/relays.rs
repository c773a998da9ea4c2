//! Calls through a real TURN server, over UDP, TCP and TLS, and what is told when there is no way through.

mod common;
#[path = "common/turn_server.rs"]
mod turn_server;
#[path = "common/watched_call.rs"]
mod watched_call;

use common::{End, PATIENCE, context, keep_negotiating};
use duet_peer::{
    NetworkPolicy, PeerConnectionEvent as Event, PeerContext, RTCConfiguration,
    RTCIceGatheringState, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection,
    RTCPeerConnectionIceErrorEvent,
};
use std::net::Ipv6Addr;
use std::time::{Duration, Instant};
use turn_server::{TurnServer, has_ipv6, ice_server};
use watched_call::{WatchedCall, candidates_in_use};

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

/// A call through one server, by a URL for each end.
async fn call_through(server: &TurnServer, urls: [String; 2]) -> WatchedCall {
    let configurations = urls.map(|url| through(ice_server(url)));
    let context = trusting(server);
    WatchedCall::start(configurations, [context.clone(), context]).await
}

/// A call whose second end has nothing but an address of IPv6, and the first nothing but relays.
async fn call_to_ipv6_alone(server: &TurnServer, url: String) -> WatchedCall {
    let alone = PeerContext {
        network: NetworkPolicy::Only(vec![Ipv6Addr::LOCALHOST.into()]),
        ..context()
    };
    let configurations = [through(ice_server(url)), RTCConfiguration::default()];
    WatchedCall::start(configurations, [trusting(server), alone]).await
}

/// The candidates in use, as statistics tell of them: the way of each is (type, relay's protocol, its URL).
async fn ways(pc: &RTCPeerConnection) -> [(String, String, String); 2] {
    candidates_in_use(pc).await.map(|candidate| {
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
    let call = call_through(&server, [server.tcp(), server.tls()]).await;
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
    let call = call_through(&server, [server.udp(), server.udp()]).await;
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
    let call = WatchedCall::start(direct, [context.clone(), context.clone()]).await;
    call.read_pictures(10).await;
    let [local, remote] = ways(&call.a.pc).await;
    // A check may come before the candidate that it is sent from.
    assert_eq!(local.0, "host");
    assert!(matches!(&*remote.0, "host" | "prflx"), "{remote:?}");
    call.close().await;

    let relayed = [server.udp6(), server.tcp6()].map(|url| through(ice_server(url)));
    let call = WatchedCall::start(relayed, [context.clone(), context]).await;
    call.read_pictures(10).await;
    let [local, _] = ways(&call.b.pc).await;
    assert_eq!(local, ("relay".into(), "tcp".into(), server.tcp6()));
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_reach_who_has_ipv6_alone_from_where_there_is_none() {
    let Some(server) = TurnServer::start_with_ipv6("to-ipv6") else {
        return;
    };
    for (url, protocol) in [(server.udp(), "udp"), (server.tls(), "tls")] {
        let call = call_to_ipv6_alone(&server, url.clone()).await;
        println!("connected over {protocol} after {:?}", call.connecting);
        call.read_pictures(10).await;
        let [local, _] = ways(&call.a.pc).await;
        assert_eq!(local, ("relay".into(), protocol.into(), url));
        call.close().await;
    }
}

/// The server has none of IPv6, which is no error while it has others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_that_a_server_does_not_have_is_no_error() {
    let Some(server) = TurnServer::start("one-family") else {
        return;
    };
    for url in [server.udp(), server.tcp(), server.tls()] {
        let mut end = End::configured(through(ice_server(&url)), trusting(&server)).await;
        let channel = end.pc.create_data_channel("data", Default::default());
        channel.await.expect("a channel");
        end.pc.set_local_description(None).await.expect("an offer");
        end.wait("the end of gathering", |event| match event {
            Event::IceCandidateError(error) => panic!("{error:?}"),
            Event::IceGatheringStateChange(RTCIceGatheringState::Complete) => Some(()),
            _ => None,
        })
        .await;
        let mut found = Vec::new();
        while let Ok(Event::IceCandidate(Some(candidate))) = end.candidates().try_recv() {
            found.push(candidate.candidate);
        }
        let relayed = |line: &String| line.contains("typ relay");
        assert!(
            !found.is_empty() && found.iter().all(relayed),
            "{url}: {found:?}"
        );
        end.pc.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_is_killed_and_started_again_is_found_again() {
    if let Some(server) = TurnServer::start("again") {
        let call = call_through(&server, [server.tcp(), server.tls()]).await;
        killed_and_started_again(server, call).await;
    }
}

/// The address of IPv6 is had by a socket of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_of_ipv6_over_udp_that_is_killed_and_started_again_is_found_again() {
    if let Some(server) = TurnServer::start_with_ipv6("ipv6-again") {
        let call = call_to_ipv6_alone(&server, server.udp()).await;
        killed_and_started_again(server, call).await;
    }
}

/// Nothing breaks over UDP: that it was started anew, it says itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_over_udp_that_is_killed_and_started_again_is_found_again() {
    if let Some(server) = TurnServer::start("udp-again") {
        let call = call_through(&server, [server.udp(), server.udp()]).await;
        killed_and_started_again(server, call).await;
    }
}

async fn killed_and_started_again(mut server: TurnServer, call: WatchedCall) {
    call.read_pictures(5).await;
    let negotiating = keep_negotiating(&call.a.pc, &call.b.pc);
    server.kill();
    // Long enough that it is asked in vain.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.again();
    let back = Instant::now();
    // None that is shown now was sent before.
    call.next_picture().await;
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
