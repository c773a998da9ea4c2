//! Calls over TCP alone ([RFC 6544](https://www.rfc-editor.org/rfc/rfc6544)): one end waits for connections, the
//! other opens them, through a hop of the test's that can cut them off or stop reading.

mod common;
#[path = "common/hop.rs"]
mod hop;
#[path = "common/watched_call.rs"]
mod watched_call;

use common::{context, keep_negotiating_heard, negotiate_heard, trickle_heard, within};
use duet_peer::{
    PeerConnectionEvent as Event, PeerContext, RTCConfiguration, RTCIceCandidateInit,
    RTCIceGatheringState, RTCSessionDescription, TcpCandidates,
};
use hop::Hop;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use watched_call::{WatchedCall, candidates_in_use};

fn listening() -> PeerContext {
    PeerContext {
        tcp: TcpCandidates::ActiveAndPassive,
        ..context()
    }
}

fn configurations() -> [RTCConfiguration; 2] {
    [RTCConfiguration::default(), RTCConfiguration::default()]
}

fn passive(line: &str) -> Option<SocketAddr> {
    let words: Vec<&str> = line.split(' ').collect();
    let passive = words[2].eq_ignore_ascii_case("tcp") && line.contains("tcptype passive");
    passive.then(|| {
        format!("{}:{}", words[4], words[5])
            .parse()
            .expect("an address")
    })
}

/// What one end tells of itself, as the other may hear it: nothing of UDP, and passive candidates where the hop is.
async fn as_heard(candidate: RTCIceCandidateInit, hop: Arc<Hop>) -> Option<RTCIceCandidateInit> {
    let there = passive(&candidate.candidate)?;
    let here = hop.to(there).await;
    let line = candidate.candidate.replacen(
        &format!(" {} ", there.port()),
        &format!(" {} ", here.port()),
        1,
    );
    Some(RTCIceCandidateInit {
        candidate: line,
        ..candidate
    })
}

/// Candidates go by themselves.
fn without_candidates(description: &RTCSessionDescription) -> RTCSessionDescription {
    let lines = description.sdp.split_inclusive("\r\n");
    let kept = lines.filter(|line| {
        !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates")
    });
    RTCSessionDescription::new(description.sdp_type, kept.collect::<String>())
}

async fn call(hop: &Arc<Hop>) -> WatchedCall {
    let contexts = [context(), listening()];
    WatchedCall::described(configurations(), contexts, async |a, b| {
        let hop = hop.clone();
        trickle_heard(a, b, move |candidate| as_heard(candidate, hop.clone()));
        negotiate_heard(&a.pc, &b.pc, without_candidates).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_over_tcp_where_nothing_else_does() {
    let hop = Arc::new(Hop::new());
    let call = call(&hop).await;
    println!("connected after {:?}", call.connecting);
    call.read_pictures(30).await;
    for (pc, ours) in [(&call.a.pc, "active"), (&call.b.pc, "passive")] {
        let [local, remote] = candidates_in_use(pc).await;
        assert_eq!(local.text("protocol"), Some("tcp"), "{local:?}");
        assert_eq!(local.text("tcpType"), Some(ours), "{local:?}");
        assert_eq!(remote.text("protocol"), Some("tcp"), "{remote:?}");
    }
    assert_eq!(call.b.pc.diagnostics().connections_refused, 0);
    // Another way each time, the old one is given up, and no picture leans on one that never left.
    let negotiating = keep_negotiating_heard(&call.a.pc, &call.b.pc, without_candidates);
    for _ in 0..8 {
        call.a.pc.restart_ice();
        call.read_pictures(12).await;
    }
    negotiating.abort();
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_is_made_good_for() {
    let hop = Arc::new(Hop::new());
    let call = call(&hop).await;
    call.read_pictures(5).await;
    let negotiating = keep_negotiating_heard(&call.a.pc, &call.b.pc, without_candidates);
    hop.cut();
    let cut = Instant::now();
    call.next_picture().await;
    call.read_pictures(10).await;
    println!("pictures again {:?} after the cut", cut.elapsed());
    negotiating.abort();
    call.close().await;
}

/// The driver of a connection waits for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_stops_nothing_but_its_stream() {
    let hop = Arc::new(Hop::new());
    let call = call(&hop).await;
    call.read_pictures(5).await;
    hop.stall(true);
    // Until the kernel takes no more, and far beyond: statistics, which the driver is asked for, come all the same.
    let stalled = Instant::now();
    while stalled.elapsed() < Duration::from_secs(3) {
        within("statistics", call.a.pc.get_stats())
            .await
            .expect("an open connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    hop.stall(false);
    call.next_picture().await;
    call.read_pictures(10).await;
    hop.stall(true);
    within("the end", call.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_shut_out_and_keep_nobody_else_out() {
    let (tell, mut told) = mpsc::channel(8);
    let hop = Arc::new(Hop::new());
    let strangers = tokio::spawn(async move {
        let there: SocketAddr = told.recv().await.expect("an address");
        let mut streams = Vec::new();
        for number in 0..200_u32 {
            let Ok(mut stream) = TcpStream::connect(there).await else {
                continue;
            };
            let said: &[u8] = match number % 4 {
                // Nothing.
                0 => &[],
                // Of another service.
                1 => b"GET / HTTP/1.1\r\n\r\n",
                // A frame that does not end.
                2 => &[0xFF, 0xFF, 1, 2, 3],
                // A check of nobody.
                _ => &[
                    0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
                    12,
                ],
            };
            // It may be shut already.
            let _ = stream.write_all(said).await;
            streams.push(stream);
        }
        streams
    });
    let contexts = [context(), listening()];
    let call = WatchedCall::described(configurations(), contexts, async |a, b| {
        let hop = hop.clone();
        trickle_heard(a, b, move |candidate| {
            if let Some(there) = passive(&candidate.candidate) {
                let _ = tell.try_send(there);
            }
            as_heard(candidate, hop.clone())
        });
        negotiate_heard(&a.pc, &b.pc, without_candidates).await;
    })
    .await;
    call.read_pictures(10).await;
    let streams = strangers.await.expect("all came");
    for mut stream in streams {
        // Shut, with or without a word.
        let read = within("the end", async {
            let mut bytes = [0; 64];
            loop {
                match stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        });
        read.await;
    }
    call.read_pictures(10).await;
    let refused = call.b.pc.diagnostics().connections_refused;
    assert!(refused >= 100, "{refused}");
    call.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_listen_tells_of_no_port() {
    let told = async |context: PeerContext| {
        let mut end = common::End::new(context).await;
        let channel = end.pc.create_data_channel("data", Default::default()).await;
        channel.expect("a channel");
        end.pc.set_local_description(None).await.expect("an offer");
        let mut lines = Vec::new();
        while let Some(Event::IceCandidate(Some(candidate))) =
            within("a candidate", end.candidates().recv()).await
        {
            lines.push(candidate.candidate);
        }
        assert_eq!(end.pc.ice_gathering_state(), RTCIceGatheringState::Complete);
        end.pc.close().await;
        let kinds = ["tcptype active", "tcptype passive", " udp "];
        kinds.map(|kind| lines.iter().any(|line| line.contains(kind)))
    };
    assert_eq!(told(context()).await, [true, false, true]);
    assert_eq!(told(listening()).await, [true, true, true]);
    let none = PeerContext {
        tcp: TcpCandidates::None,
        ..context()
    };
    assert_eq!(told(none).await, [false, false, true]);
    let hidden = PeerContext {
        hide_addresses: true,
        ..listening()
    };
    assert!(!told(hidden).await[1]);
}
