//! Two `RTCPeerConnection`s in one process: a picture, a sound and a message go from one to the other. What is
//! handed over here by a function call is signaled over a network elsewhere.
//!
//! `cargo run --release -p duet --example connect`

use duet::devices::MediaDevices;
use duet::media::process::MediaStreamTrackProcessor;
use duet::media::{Frame, MediaStreamConstraints, MonotonicClock};
use duet::peer::{
    NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCDataChannelInit,
    RTCError, RTCPeerConnection,
};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone())
        .without_hardware()
        .with_synthetic();
    let stream = devices.get_user_media(&MediaStreamConstraints {
        audio: Some(Default::default()),
        video: Some(Default::default()),
    })?;

    let context = PeerContext {
        network: NetworkPolicy::LoopbackOnly,
        ..PeerContext::new(clock)
    };
    let caller = RTCPeerConnection::new(RTCConfiguration::default(), context.clone()).await?;
    let callee = RTCPeerConnection::new(RTCConfiguration::default(), context).await?;
    let (from_caller, from_callee) = (caller.events(), callee.events());
    let mut events = callee.events();

    for track in stream.get_tracks() {
        caller.add_track(&track, &[&stream]).await?;
    }
    let chat = caller
        .create_data_channel("chat", RTCDataChannelInit::default())
        .await?;
    negotiate(&caller, &callee).await?;
    trickle(from_caller, callee.clone());
    trickle(from_callee, caller.clone());
    if chat.opened().await {
        chat.send_text("hello").await?;
    }

    // A picture, a sound and a message.
    let mut wanted = stream.get_tracks().len() + 1;
    while wanted > 0 {
        match events.recv().await.ok_or("the connection is gone")? {
            PeerConnectionEvent::Track(event) => {
                let frames = MediaStreamTrackProcessor::new(&event.track, 2);
                match frames.read().await.ok_or("the track has ended")? {
                    Frame::Video(picture) => {
                        println!("a picture of {}x{}", picture.width(), picture.height());
                    }
                    Frame::Audio(_) => println!("a sound"),
                }
                wanted -= 1;
            }
            PeerConnectionEvent::DataChannel(channel) => {
                // What came before this waits here.
                let message = channel.messages().recv().await;
                println!("{:?}", message.ok_or("the channel has closed")?);
                wanted -= 1;
            }
            PeerConnectionEvent::ConnectionStateChange(state) => println!("{}", state.as_str()),
            _ => {}
        }
    }
    caller.close().await;
    callee.close().await;
    Ok(())
}

/// Hands one connection's candidates to the other, which must have its description by now.
fn trickle(mut events: mpsc::Receiver<PeerConnectionEvent>, to: RTCPeerConnection) {
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let PeerConnectionEvent::IceCandidate(candidate) = event
                && let Err(error) = to.add_ice_candidate(candidate).await
            {
                eprintln!("a candidate was refused: {error}");
            }
        }
    });
}

async fn negotiate(caller: &RTCPeerConnection, callee: &RTCPeerConnection) -> Result<(), RTCError> {
    caller.set_local_description(None).await?;
    if let Some(offer) = caller.local_description().await {
        callee.set_remote_description(offer).await?;
    }
    callee.set_local_description(None).await?;
    if let Some(answer) = callee.local_description().await {
        caller.set_remote_description(answer).await?;
    }
    Ok(())
}
