//! What goes wrong at a server on the open Internet, done to a real one over real sockets. In each
//! drill the others in other rooms notice nothing, and a counter moves.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use common::{Closed, RawClient, TestServer, error_code, join, soon};
use duet_signaling::limits::Rate;
use duet_signaling::{ClientMessage, ErrorCode, IceCandidate, LeaveReason, PeerId, ServerMessage};
use futures::{SinkExt, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

const UNLIMITED: Rate = Rate {
    per_second: 1e12,
    burst: 1e12,
};

fn offer(to: &PeerId, sdp: &str) -> ClientMessage {
    ClientMessage::Offer {
        to: to.clone(),
        sdp: sdp.into(),
    }
}

/// Two who are in a call elsewhere, and must not be disturbed.
struct Bystanders {
    a: RawClient,
    b: RawClient,
    b_id: PeerId,
}

impl Bystanders {
    async fn of(server: &TestServer) -> Self {
        let (mut a, _) = server.joined("bystanders").await;
        let (b, b_id) = server.joined("bystanders").await;
        assert!(matches!(a.recv().await, ServerMessage::PeerJoined { .. }));
        Self { a, b, b_id }
    }

    async fn are_undisturbed(mut self) {
        self.a.send(offer(&self.b_id, "still here")).await;
        match self.b.recv().await {
            ServerMessage::Offer { sdp, .. } => assert_eq!(sdp, "still here"),
            other => panic!("{other:?}"),
        }
        self.a.quiet().await;
    }
}

fn http_status(error: Error) -> u16 {
    match error {
        Error::Http(response) => response.status().as_u16(),
        other => panic!("expected an HTTP refusal, got {other}"),
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_when_it_repeats_the_socket_is_closed() {
    let server = TestServer::start().await;
    let bystanders = Bystanders::of(&server).await;
    let (mut client, _) = server.joined("demo").await;
    let nonsense = [
        "not json",
        "{\"type\":7}",
        &"[".repeat(50_000),
        "{\"type\":\"offer\"}",
        "",
        "null",
        "[]",
        "{}",
    ];
    for text in nonsense {
        client.send_text(text).await;
    }
    let (messages, end) = client.drain().await;
    let codes: Vec<_> = messages.iter().filter_map(error_code).collect();
    assert_eq!(codes.len(), messages.len());
    assert_eq!(codes[..5], [(ErrorCode::BadMessage, false); 5]);
    assert_eq!(codes[5..], [(ErrorCode::BadMessage, true)]);
    assert_eq!(end, Closed(1008));
    assert_eq!(
        server
            .metric("duet_signaling_refusals_total{code=\"bad-message\"}")
            .await,
        6
    );
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn random_frames_do_no_harm() {
    let server = TestServer::with(|config| {
        config.limits.openings_per_address = UNLIMITED;
    })
    .await;
    let bystanders = Bystanders::of(&server).await;
    let mut rng = StdRng::seed_from_u64(11);
    let valid = include_str!("../fixtures/client-valid.json").as_bytes();
    for _ in 0..60 {
        // A slice of good text with some bytes turned, as text, as bytes, and as raw TCP.
        let start = rng.random_range(0..valid.len() - 1);
        let len = rng.random_range(1..(valid.len() - start).min(400));
        let mut bytes = valid[start..start + len].to_vec();
        for _ in 0..rng.random_range(0..5) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] = rng.random();
        }
        let mut client = RawClient::connect(server.address).await.unwrap();
        // The server may have closed in the middle of it.
        let _ = match rng.random_range(0..3) {
            0 => {
                client
                    .socket
                    .send(Message::text(String::from_utf8_lossy(&bytes).into_owned()))
                    .await
            }
            1 => client.socket.send(Message::binary(bytes)).await,
            _ => client
                .socket
                .get_mut()
                .write_all(&bytes)
                .await
                .map_err(Error::from),
        };
    }
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn binary_frames_are_not_spoken_here() {
    let server = TestServer::start().await;
    let (mut client, _) = server.joined("demo").await;
    client
        .socket
        .send(Message::binary(vec![0; 10]))
        .await
        .unwrap();
    assert_eq!(client.drain().await, (Vec::new(), Closed(1003)));
    server.stop().await;
}

#[tokio::test]
async fn a_message_may_have_64_kib_and_not_a_byte_more() {
    let server = TestServer::start().await;
    let bystanders = Bystanders::of(&server).await;
    let (mut client, _) = server.joined("demo").await;
    let ping_of = |len: usize| {
        let frame = |padding: usize| {
            format!(
                "{{\"type\":\"ping\",\"padding\":\"{}\"}}",
                "x".repeat(padding)
            )
        };
        frame(len - frame(0).len())
    };
    client.send_text(ping_of(65_536)).await;
    assert_eq!(client.recv().await, ServerMessage::Pong);
    client.send_text(ping_of(65_537)).await;
    let (messages, end) = client.drain().await;
    assert_eq!(
        messages.iter().filter_map(error_code).collect::<Vec<_>>(),
        [(ErrorCode::TooLarge, true)]
    );
    assert_eq!(end, Closed(1009));
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_frame_that_announces_a_terabyte_is_refused_by_its_header() {
    let server = TestServer::start().await;
    let (mut client, _) = server.joined("demo").await;
    // FIN and text; masked, with a 64-bit length; the length; the mask; and a first piece of it all.
    let mut frame = vec![0x81, 0xff];
    frame.extend((1_u64 << 40).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend([b'x'; 20_000]);
    client.socket.get_mut().write_all(&frame).await.unwrap();
    let (_, end) = client.drain().await;
    assert_eq!(end, Closed(1009));
    assert_eq!(
        server
            .metric("duet_signaling_refusals_total{code=\"too-large\"}")
            .await,
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn pages_from_elsewhere_are_refused_before_the_upgrade() {
    let server = TestServer::with(|config| {
        config.allowed_origins = vec!["https://friend.example:8443".into()];
    })
    .await;
    let here = IpAddr::from([127, 0, 0, 1]);
    let port = server.address.port();
    for foreign in [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        &format!("http://127.0.0.1.evil.example:{port}"),
        &format!("file://127.0.0.1:{port}"),
        "https://friend.example",
        "nonsense",
    ] {
        let refused = RawClient::connect_as(server.address, here, Some(foreign))
            .await
            .err()
            .unwrap();
        assert_eq!(http_status(refused), 403, "{foreign}");
    }
    let own = format!("http://127.0.0.1:{port}");
    for welcome in [
        None,
        Some(own.as_str()),
        Some("https://friend.example:8443"),
    ] {
        let mut client = RawClient::connect_as(server.address, here, welcome)
            .await
            .unwrap();
        client.quiet().await;
    }
    assert_eq!(
        server
            .metric("duet_signaling_turned_away_total{reason=\"origin\"}")
            .await,
        7
    );
    server.stop().await;
}

#[tokio::test]
async fn only_the_servers_ids_count() {
    let server = TestServer::start().await;
    let (mut a, a_id) = server.joined("demo").await;
    let (mut b, b_id) = server.joined("demo").await;
    assert!(matches!(a.recv().await, ServerMessage::PeerJoined { .. }));

    a.send_text(format!(
        r#"{{"type":"offer","to":"{b_id}","sdp":"v=0","from":"the king","id":"{b_id}"}}"#
    ))
    .await;
    assert_eq!(
        b.recv().await,
        ServerMessage::Offer {
            from: a_id.clone(),
            sdp: "v=0".into()
        }
    );

    a.send_text(r#"{"type":"join","version":1,"room":"demo","id":"the king"}"#)
        .await;
    assert_eq!(
        error_code(&a.recv().await),
        Some((ErrorCode::AlreadyJoined, false))
    );
    a.send(offer(&PeerId::new("the king"), "v=0")).await;
    assert_eq!(
        error_code(&a.recv().await),
        Some((ErrorCode::NoSuchPeer, false))
    );
    a.send(offer(&a_id, "v=0")).await;
    assert_eq!(
        error_code(&a.recv().await),
        Some((ErrorCode::NoSuchPeer, false))
    );
    b.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_joins_from_one_address_leaves_the_others_their_speed() {
    let server = TestServer::with(|config| config.limits.patience = Duration::from_secs(60)).await;
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut outcomes = [0; 3];
        for attempt in 0..1_000 {
            match RawClient::connect(address).await {
                Ok(mut client) => {
                    outcomes[0] += 1;
                    client.send(join(&format!("flood-{attempt}"))).await;
                }
                Err(Error::Http(response)) if response.status() == 429 => outcomes[1] += 1,
                // Closed at the outermost door.
                Err(_) => outcomes[2] += 1,
            }
        }
        outcomes
    });
    let mut waits = Vec::new();
    for caller in 0..40 {
        let begin = Instant::now();
        let mut client = RawClient::connect_as(address, IpAddr::from([127, 0, 0, 2]), None)
            .await
            .unwrap();
        client.join(&format!("honest-{caller}")).await;
        waits.push(begin.elapsed());
    }
    waits.sort();
    let p95 = waits[waits.len() * 95 / 100];
    let [seated, refused, _] = soon("the flood's end", flood).await.unwrap();
    println!("honest joins took {p95:?} at p95, {refused} of 1000 were refused");
    assert!(
        p95 < Duration::from_secs(1),
        "honest joins took {p95:?} at p95"
    );
    assert!(
        refused > 0,
        "{seated} of the flood were seated and none was refused"
    );
    assert!(
        server
            .metric("duet_signaling_turned_away_total{reason=\"address\"}")
            .await
            > 0
    );
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_messages_is_dropped_then_cut_off() {
    let server = TestServer::start().await;
    let bystanders = Bystanders::of(&server).await;
    let (mut client, _) = server.joined("demo").await;
    let mut pings = 0;
    while pings < 5_000
        && client
            .socket
            .feed(Message::text(r#"{"type":"ping"}"#))
            .await
            .is_ok()
    {
        pings += 1;
    }
    // It may be cut off before it has said everything.
    let _ = client.socket.flush().await;
    let (messages, end) = client.drain().await;
    let answered = messages
        .iter()
        .filter(|message| **message == ServerMessage::Pong)
        .count();
    let errors: Vec<_> = messages.iter().filter_map(error_code).collect();
    assert!((200..600).contains(&answered), "{answered} pongs");
    assert!(errors.len() < 100, "{} errors", errors.len());
    assert_eq!(errors.last(), Some(&(ErrorCode::TooFast, true)));
    assert_eq!(end, Closed(1008));
    assert!(
        server
            .metric("duet_signaling_refusals_total{code=\"too-fast\"}")
            .await
            > 50
    );
    assert_eq!(
        server
            .metric("duet_signaling_closed_total{reason=\"misconduct\"}")
            .await,
        1
    );
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn sockets_are_capped_for_each_address_and_in_all() {
    let server = TestServer::with(|config| {
        config.limits.sockets_per_address = 3;
        config.limits.sockets = 5;
        config.limits.openings_per_address = UNLIMITED;
    })
    .await;
    let address = |last| IpAddr::from([127, 0, 1, last]);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(
            RawClient::connect_as(server.address, address(1), None)
                .await
                .unwrap(),
        );
    }
    let refused = RawClient::connect_as(server.address, address(1), None)
        .await
        .err()
        .unwrap();
    assert_eq!(http_status(refused), 429);
    held.push(
        RawClient::connect_as(server.address, address(2), None)
            .await
            .unwrap(),
    );
    held.push(
        RawClient::connect_as(server.address, address(2), None)
            .await
            .unwrap(),
    );

    let mut one_too_many = RawClient::connect_as(server.address, address(3), None)
        .await
        .unwrap();
    let (messages, end) = one_too_many.drain().await;
    assert_eq!(
        messages.iter().filter_map(error_code).collect::<Vec<_>>(),
        [(ErrorCode::ServerFull, true)]
    );
    assert_eq!(end, Closed(1013));
    drop(one_too_many);
    server.metric_becomes("duet_signaling_sockets", 5).await;

    // Whoever is inside is served, and a place that is given up can be taken.
    held[0].quiet().await;
    held.pop().unwrap().socket.close(None).await.unwrap();
    server.metric_becomes("duet_signaling_sockets", 4).await;
    let mut next = RawClient::connect_as(server.address, address(3), None)
        .await
        .unwrap();
    next.quiet().await;
    assert_eq!(
        server
            .metric("duet_signaling_turned_away_total{reason=\"address\"}")
            .await,
        1
    );
    assert_eq!(
        server
            .metric("duet_signaling_refusals_total{code=\"server-full\"}")
            .await,
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn connections_that_say_nothing_are_capped_too() {
    let server = TestServer::with(|config| {
        config.limits.sockets_per_address = 1;
        config.limits.patience = Duration::from_secs(60);
    })
    .await;
    let mut held = Vec::new();
    let from = IpAddr::from([127, 0, 2, 1]);
    for _ in 0..70 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        held.push(socket.connect(server.address).await.unwrap());
    }
    // 65 may wait; the last has been closed at once.
    let mut last = held.pop().unwrap();
    let read = soon("the end", last.read(&mut [0; 1])).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let (mut client, _) = server.joined("demo").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn who_is_slow_to_ask_or_to_join_is_let_go() {
    let server =
        TestServer::with(|config| config.limits.patience = Duration::from_millis(300)).await;
    let bystanders = Bystanders::of(&server).await;

    let mut half_a_request = TcpStream::connect(server.address).await.unwrap();
    half_a_request
        .write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    // It is closed, with or without a status first.
    let _ = soon(
        "the slow request's end",
        half_a_request.read_to_end(&mut rest),
    )
    .await;

    let mut undecided = RawClient::connect(server.address).await.unwrap();
    let begin = Instant::now();
    assert_eq!(undecided.drain().await, (Vec::new(), Closed(1008)));
    assert!(begin.elapsed() >= Duration::from_millis(250));
    assert_eq!(
        server
            .metric("duet_signaling_closed_total{reason=\"no-join\"}")
            .await,
        1
    );
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn who_asks_and_never_reads_the_answers_is_let_go() {
    let server = TestServer::with(|config| config.limits.stall = Duration::from_millis(300)).await;
    let bystanders = Bystanders::of(&server).await;
    let mut greedy = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    // The answers fill every buffer on the way, then nothing moves until the server has had enough.
    soon("the end", async {
        while greedy.write_all(&request).await.is_ok() {}
    })
    .await;
    bystanders.are_undisturbed().await;
    server.stop().await;
}

#[tokio::test]
async fn a_half_open_connection_is_gone_after_two_heartbeats() {
    let heartbeat = Duration::from_millis(300);
    let server = TestServer::with(|config| config.heartbeat = heartbeat).await;
    let (half_open, ghost) = server.joined("demo").await;
    let (mut other, _) = server.joined("demo").await;
    let begin = Instant::now();
    // Nothing reads the ghost's socket, so no ping is answered; nothing closes it either. The other
    // one reads, and so answers.
    assert_eq!(
        other.recv().await,
        ServerMessage::PeerLeft {
            id: ghost,
            reason: LeaveReason::Gone
        }
    );
    let took = begin.elapsed();
    assert!(took > heartbeat && took < heartbeat * 10, "{took:?}");
    assert_eq!(
        server
            .metric("duet_signaling_closed_total{reason=\"no-heartbeat\"}")
            .await,
        1
    );
    other.quiet().await;
    drop(half_open);
    server.stop().await;
}

#[tokio::test]
async fn who_never_reads_is_disconnected_and_nobody_waits_for_them() {
    let server = TestServer::with(|config| {
        config.limits.messages = UNLIMITED;
        config.limits.bytes = UNLIMITED;
    })
    .await;
    let bystanders = Bystanders::of(&server).await;
    let (deaf, deaf_id) = server.joined("demo").await;
    let (talker, _) = server.joined("demo").await;
    let (mut talk, mut listen) = talker.socket.split();
    let sdp = "x".repeat(60_000);
    let talking = tokio::spawn(async move {
        // The kernel's buffers take some megabytes before the server's own queue fills.
        loop {
            if talk
                .feed(Message::text(offer(&deaf_id, &sdp).to_json()))
                .await
                .is_err()
            {
                return;
            }
        }
    });
    let left = soon("the deaf one's end", async {
        while let Some(Ok(message)) = listen.next().await {
            if let Message::Text(text) = message
                && let ServerMessage::PeerLeft { reason, .. } = ServerMessage::parse(&text).unwrap()
            {
                return Some(reason);
            }
        }
        None
    })
    .await;
    assert_eq!(left, Some(LeaveReason::Gone));
    talking.abort();
    assert_eq!(
        server
            .metric("duet_signaling_closed_total{reason=\"not-reading\"}")
            .await,
        1
    );
    bystanders.are_undisturbed().await;
    drop(deaf);
    server.stop().await;
}

#[tokio::test]
async fn a_flood_of_candidates_is_capped_at_a_hundred() {
    let server = TestServer::start().await;
    let (mut a, _) = server.joined("demo").await;
    let (mut b, b_id) = server.joined("demo").await;
    assert!(matches!(a.recv().await, ServerMessage::PeerJoined { .. }));
    for port in 0..150 {
        let candidate = format!("candidate:1 1 udp 1 192.0.2.7 {port} typ host");
        let candidate = IceCandidate {
            candidate,
            ..IceCandidate::default()
        };
        a.send(ClientMessage::Candidate {
            to: b_id.clone(),
            candidate,
        })
        .await;
    }
    assert_eq!(
        error_code(&a.recv().await),
        Some((ErrorCode::TooFast, false))
    );
    a.quiet().await;
    a.send(ClientMessage::Bye { to: b_id.clone() }).await;
    let mut candidates = 0;
    loop {
        match b.recv().await {
            ServerMessage::Candidate { .. } => candidates += 1,
            ServerMessage::Bye { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(candidates, 100);
    assert_eq!(
        server
            .metric("duet_signaling_refusals_total{code=\"too-fast\"}")
            .await,
        1
    );
    server.stop().await;
}

#[tokio::test]
async fn a_reload_takes_its_own_seat_back() {
    let server = TestServer::start().await;
    let mut page = RawClient::connect(server.address).await.unwrap();
    page.send(join("demo")).await;
    let ServerMessage::Joined {
        resume_token,
        id: ghost,
        ..
    } = page.recv().await
    else {
        panic!()
    };
    let (mut other, _) = server.joined("demo").await;
    assert!(matches!(
        page.recv().await,
        ServerMessage::PeerJoined { .. }
    ));

    let mut stranger = RawClient::connect(server.address).await.unwrap();
    stranger.send(join("demo")).await;
    assert_eq!(
        error_code(&stranger.recv().await),
        Some((ErrorCode::RoomFull, false))
    );

    let mut reloaded = RawClient::connect(server.address).await.unwrap();
    let token = Some(resume_token);
    reloaded
        .send(ClientMessage::Join {
            version: 1,
            room: "demo".into(),
            name: None,
            resume_token: token,
        })
        .await;
    assert!(
        matches!(reloaded.recv().await, ServerMessage::Joined { peers, .. } if peers.len() == 1)
    );
    assert_eq!(page.drain().await, (Vec::new(), Closed(4001)));
    assert_eq!(
        other.recv().await,
        ServerMessage::PeerLeft {
            id: ghost,
            reason: LeaveReason::Replaced
        }
    );
    assert!(matches!(
        other.recv().await,
        ServerMessage::PeerJoined { .. }
    ));
    other.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn churn_leaves_nothing_behind() {
    let server = TestServer::with(|config| config.limits.openings_per_address = UNLIMITED).await;
    for round in 0..100 {
        let (a, _) = server.joined("demo").await;
        let (mut b, _) = server.joined(&format!("room-{round}")).await;
        if round % 2 == 0 {
            b.send(ClientMessage::Leave).await;
            b.socket.close(None).await.unwrap();
        }
        drop(a);
        server
            .metric_becomes("duet_signaling_rooms", u64::from(round % 2 == 1))
            .await;
        drop(b);
        server.metric_becomes("duet_signaling_sockets", 0).await;
    }
    assert_eq!(server.metric("duet_signaling_members").await, 0);
    assert_eq!(server.metric("duet_signaling_sockets_total").await, 200);
    server.stop().await;
}
