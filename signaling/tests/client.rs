//! The client against the server, and against servers that are none.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{TestServer, join, soon};
use duet_signaling::{
    ClientError, ClientMessage, ConnectOptions, IceServer, LeaveReason, PeerId, ServerMessage,
    SignalingClient, SignalingReceiver, SignalingSender, TlsConfig,
};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

async fn connect(url: &Url) -> Result<(SignalingSender, SignalingReceiver), ClientError> {
    soon(
        "the connection",
        SignalingClient::connect(url, ConnectOptions::default()),
    )
    .await
}

async fn joined(url: &Url) -> (SignalingSender, SignalingReceiver, PeerId, usize) {
    let (sender, mut receiver) = connect(url).await.unwrap();
    sender.send(join("demo")).await.unwrap();
    match recv(&mut receiver).await.unwrap() {
        ServerMessage::Joined { id, peers, .. } => (sender, receiver, id, peers.len()),
        other => panic!("{other:?}"),
    }
}

async fn recv(receiver: &mut SignalingReceiver) -> Result<ServerMessage, ClientError> {
    soon("a message", receiver.recv()).await
}

#[tokio::test]
async fn two_ends_find_each_other_and_say_goodbye() {
    let server = TestServer::with(|config| {
        config.ice_servers = vec![IceServer {
            urls: vec!["stun:stun.example.org".into()],
            ..IceServer::default()
        }];
    })
    .await;
    let (a, mut from_a, a_id, _) = joined(&server.url).await;
    let (b, mut from_b, b_id, there) = joined(&server.url).await;
    assert_eq!(there, 1);
    assert!(
        matches!(recv(&mut from_a).await.unwrap(), ServerMessage::PeerJoined { peer } if peer.id == b_id)
    );
    b.send(ClientMessage::Offer {
        to: a_id.clone(),
        sdp: "v=0".into(),
    })
    .await
    .unwrap();
    assert_eq!(
        recv(&mut from_a).await.unwrap(),
        ServerMessage::Offer {
            from: b_id.clone(),
            sdp: "v=0".into()
        }
    );
    a.send(ClientMessage::Answer {
        to: b_id,
        sdp: "v=1".into(),
    })
    .await
    .unwrap();
    assert_eq!(
        recv(&mut from_b).await.unwrap(),
        ServerMessage::Answer {
            from: a_id.clone(),
            sdp: "v=1".into()
        }
    );
    a.send(ClientMessage::Leave).await.unwrap();
    a.close().await;
    assert!(matches!(
        recv(&mut from_a).await,
        Err(ClientError::Closed { code: 1000, .. })
    ));
    let left = ServerMessage::PeerLeft {
        id: a_id,
        reason: LeaveReason::Left,
    };
    assert_eq!(recv(&mut from_b).await.unwrap(), left);
    assert!(a.send(ClientMessage::Leave).await.is_err());
    server.stop().await;
}

#[tokio::test]
async fn dropping_either_half_leaves() {
    let server = TestServer::start().await;
    let (_other, mut from_other, ..) = joined(&server.url).await;
    for keep_sender in [true, false] {
        let (sender, receiver, id, _) = joined(&server.url).await;
        recv(&mut from_other).await.unwrap();
        let (mut sender, mut receiver) = (Some(sender), Some(receiver));
        if keep_sender {
            receiver.take();
        } else {
            sender.take();
        }
        let left = ServerMessage::PeerLeft {
            id,
            reason: LeaveReason::Gone,
        };
        assert_eq!(recv(&mut from_other).await.unwrap(), left);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_idle_client_stays_for_many_heartbeats() {
    let server = TestServer::with(|config| config.heartbeat = Duration::from_millis(200)).await;
    let (sender, mut receiver, ..) = joined(&server.url).await;
    let quiet = tokio::time::timeout(Duration::from_secs(2), receiver.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    sender.send(ClientMessage::Ping).await.unwrap();
    assert_eq!(recv(&mut receiver).await.unwrap(), ServerMessage::Pong);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_says_so() {
    let server = TestServer::start().await;
    let (_sender, mut receiver, ..) = joined(&server.url).await;
    server.stop().await;
    assert!(matches!(
        recv(&mut receiver).await,
        Err(ClientError::Closed { code: 1001, .. })
    ));
    assert!(
        matches!(recv(&mut receiver).await, Err(ClientError::Closed { .. })),
        "and it stays closed"
    );
}

#[tokio::test]
async fn a_self_made_certificate_has_to_be_accepted_explicitly() {
    let server =
        TestServer::with(|config| config.tls = TlsConfig::SelfSigned { names: Vec::new() }).await;
    assert_eq!(server.url.scheme(), "https");
    let error = connect(&server.url).await.unwrap_err();
    assert!(matches!(error, ClientError::Untrusted { .. }), "{error:?}");
    assert!(error.to_string().contains("accepted explicitly"), "{error}");

    let options = ConnectOptions {
        accept_invalid_certs: true,
        ..ConnectOptions::default()
    };
    let (sender, mut receiver) = SignalingClient::connect(&server.url, options)
        .await
        .unwrap();
    sender.send(join("demo")).await.unwrap();
    assert!(matches!(
        recv(&mut receiver).await.unwrap(),
        ServerMessage::Joined { .. }
    ));
    server.stop().await;
}

#[tokio::test]
async fn urls_that_lead_nowhere_are_explained() {
    for url in ["ftp://localhost", "file:///tmp", "mailto:a@b"] {
        let error = connect(&url.parse().unwrap()).await.unwrap_err();
        assert!(
            matches!(error, ClientError::BadUrl { .. }),
            "{url}: {error:?}"
        );
    }
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let error = connect(&format!("http://{nobody}").parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );

    let server = TestServer::start().await;
    let elsewhere = server.url.join("/else/where").unwrap();
    let error = connect(&elsewhere).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Refused { status: 404, .. }),
        "{error:?}"
    );
    let page = server.url.join("/?room=demo&join=1#top").unwrap();
    connect(&page).await.expect("a page's URL will do");
    let socket = format!("ws://{}/ws", server.address).parse().unwrap();
    connect(&socket).await.expect("and so will the socket's");
    server.stop().await;
}

#[tokio::test]
async fn a_listener_that_never_answers_runs_into_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let options = ConnectOptions {
        timeout: Duration::from_millis(200),
        ..ConnectOptions::default()
    };
    let error = soon("the timeout", SignalingClient::connect(&url, options))
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
}

/// A server that answers the upgrade and a join, then does as the test says.
async fn odd_server(after: &'static str) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let joined = r#"{"type":"joined","version":1,"id":"a","room":"demo","peers":[],"iceServers":[],
                         "heartbeatSeconds":1,"resumeToken":"t"}"#;
        socket.send(Message::text(joined)).await.unwrap();
        if after == "silence" {
            // Pings are taken from the network, and never answered.
            let stream = socket.get_mut();
            while stream.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
        } else if after == "flood" {
            // More than the client's queue holds, and little enough for the buffers on the way.
            for _ in 0..10 * SignalingClient::QUEUE {
                let pong = Message::text(r#"{"type":"pong"}"#);
                socket.feed(pong).await.unwrap();
            }
            socket.flush().await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        } else if after == "cut" {
            socket.get_mut().shutdown().await.unwrap();
        } else {
            socket.send(Message::text(after)).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_after_two_heartbeats() {
    let (_sender, mut receiver, ..) = joined(&odd_server("silence").await).await;
    let begin = std::time::Instant::now();
    assert!(matches!(
        recv(&mut receiver).await,
        Err(ClientError::Silent)
    ));
    assert!(begin.elapsed() >= Duration::from_millis(1_900));
}

#[tokio::test]
async fn a_server_that_vanishes_or_talks_nonsense_ends_the_connection() {
    let (_sender, mut receiver, ..) = joined(&odd_server("cut").await).await;
    assert!(matches!(
        recv(&mut receiver).await,
        Err(ClientError::Closed { code: 1006, .. })
    ));
    let (_sender, mut receiver, ..) = joined(&odd_server("nonsense").await).await;
    assert!(matches!(
        recv(&mut receiver).await,
        Err(ClientError::BadMessage(_))
    ));
}

#[tokio::test]
async fn who_does_not_read_can_still_send_and_leave() {
    let (sender, receiver, ..) = joined(&odd_server("flood").await).await;
    // More than all queues hold: most of it is sent while the reader's is full.
    for _ in 0..10 * SignalingClient::QUEUE {
        soon("a place in the queue", sender.send(ClientMessage::Ping))
            .await
            .unwrap();
    }
    soon("the end", sender.close()).await;
    drop(receiver);
}

#[tokio::test]
async fn what_a_later_server_may_say_is_skipped() {
    let (sender, mut receiver, ..) = joined(&odd_server(r#"{"type":"weather"}"#).await).await;
    sender.close().await;
    assert!(matches!(
        recv(&mut receiver).await,
        Err(ClientError::Closed { code: 1000, .. })
    ));
}
