//! Speaks the protocol as a native endpoint does: joins a room and answers whoever calls, though
//! with a description that no call can be made with.
//!
//! ```text
//! cargo run -p duet-signaling --example answer -- http://127.0.0.1:8080 demo
//! ```

use std::error::Error;

use duet_signaling::{
    ClientMessage, ConnectOptions, PROTOCOL_VERSION, ServerMessage, SignalingClient,
};
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url: Url = arguments
        .next()
        .as_deref()
        .unwrap_or("http://127.0.0.1:8080")
        .parse()?;
    let room = arguments.next().unwrap_or_else(|| "demo".into());

    let (sender, mut receiver) = SignalingClient::connect(&url, ConnectOptions::default()).await?;
    let name = Some("Echo".into());
    sender
        .send(ClientMessage::Join {
            version: PROTOCOL_VERSION,
            room,
            name,
            resume_token: None,
        })
        .await?;
    loop {
        match receiver.recv().await? {
            ServerMessage::Joined { id, peers, .. } => {
                println!("in the room as {id}, with {} others", peers.len());
            }
            ServerMessage::PeerJoined { peer } => {
                println!("{} came; it will make an offer", peer.id);
            }
            ServerMessage::Offer { from, sdp } => {
                println!("{from} offers:\n{sdp}");
                sender
                    .send(ClientMessage::Answer {
                        to: from,
                        sdp: "v=0\r\n".into(),
                    })
                    .await?;
            }
            ServerMessage::Error { code, message, .. } => println!("refused ({code:?}): {message}"),
            other => println!("{other:?}"),
        }
    }
}
