//! `duet call` with another end, and with servers, that do not do what a Duet would: played here by hand
//! over the protocol.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use duet::signaling::{
    ClientMessage, ConnectOptions, PeerId, Server, ServerConfig, ServerMessage, SignalingClient,
    SignalingReceiver, SignalingSender,
};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::Url;

const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} does not come"))
}

/// A server that serves until the test ends.
async fn server() -> (Url, JoinHandle<()>) {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let url = server.url().parse().unwrap();
    let running = tokio::spawn(async { server.run_until(std::future::pending()).await.unwrap() });
    (url, running)
}

/// The program, and what it says.
struct Endpoint {
    said: Lines<BufReader<ChildStderr>>,
    /// Ended with this.
    _child: Child,
}

impl Endpoint {
    fn start(server: &Url) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_duet"))
            .args([
                "call",
                "demo",
                "--server",
                server.as_str(),
                "--name",
                "Duet",
            ])
            .args(["--camera", "none", "--microphone", "synthetic"])
            .args(["--speaker", "none"])
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Endpoint {
            said: BufReader::new(child.stderr.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn says(&mut self, words: &str) {
        soon(words, async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                if line.contains(words) {
                    return;
                }
            }
            panic!("the program ended without {words:?}");
        })
        .await;
    }
}

/// The other end, by hand.
struct Peer {
    sender: SignalingSender,
    receiver: SignalingReceiver,
}

impl Peer {
    /// A seat in the room, and who was there.
    async fn join(server: &Url) -> (Self, Vec<PeerId>) {
        let options = ConnectOptions::default();
        let (sender, mut receiver) = SignalingClient::connect(server, options).await.unwrap();
        let join = ClientMessage::Join {
            version: 1,
            room: "demo".into(),
            name: Some("Odd".into()),
            resume_token: None,
        };
        sender.send(join).await.unwrap();
        let ServerMessage::Joined { peers, .. } = receiver.recv().await.unwrap() else {
            panic!("no seat");
        };
        let peers = peers.into_iter().map(|peer| peer.id).collect();
        (Peer { sender, receiver }, peers)
    }

    async fn say(&self, message: ClientMessage) {
        self.sender.send(message).await.unwrap();
    }

    /// The next message that is no candidate.
    async fn hear(&mut self) -> ServerMessage {
        loop {
            match soon("a message", self.receiver.recv()).await.unwrap() {
                ServerMessage::Candidate { .. } => {}
                other => return other,
            }
        }
    }
}

#[tokio::test]
async fn an_end_that_rejects_every_offer_is_offered_three_times_and_no_more() {
    let (url, _server) = server().await;
    let (mut odd, _) = Peer::join(&url).await;
    let mut endpoint = Endpoint::start(&url);
    let ServerMessage::PeerJoined { peer } = odd.hear().await else {
        panic!("nobody came");
    };
    for _ in 0..3 {
        assert!(matches!(odd.hear().await, ServerMessage::Offer { .. }));
        odd.say(ClientMessage::Reject {
            to: peer.id.clone(),
        })
        .await;
    }
    endpoint.says("Odd can take no offer of ours").await;
    // Nothing was said since: this is the answer to a new call of ours.
    odd.say(offer(&peer.id)).await;
    assert_eq!(odd.hear().await, ServerMessage::Reject { from: peer.id });
}

#[tokio::test]
async fn who_hangs_up_and_stays_can_call_again() {
    let (url, _server) = server().await;
    let mut endpoint = Endpoint::start(&url);
    endpoint.says("nobody else").await;
    let (mut odd, peers) = Peer::join(&url).await;
    let duet = peers[0].clone();
    for _ in 0..2 {
        odd.say(offer(&duet)).await;
        let from = duet.clone();
        assert_eq!(odd.hear().await, ServerMessage::Reject { from });
        odd.say(ClientMessage::Bye { to: duet.clone() }).await;
        endpoint.says("Odd left").await;
    }
}

/// An offer that no connection takes.
fn offer(to: &PeerId) -> ClientMessage {
    ClientMessage::Offer {
        to: to.clone(),
        sdp: "v=0\r\nnonsense\r\n".into(),
    }
}
