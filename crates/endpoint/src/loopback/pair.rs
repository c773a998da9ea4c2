//! Two connections that signal each other directly.

use crate::failure::Failure;
use crate::ways::Ways;
use duet_media::{MediaStream, MediaStreamTrack};
use duet_peer::{PeerConnectionEvent, PeerContext, RTCError, RTCPeerConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A sender and a receiver in a call with each other.
pub(crate) struct Pair {
    pub(crate) sender: RTCPeerConnection,
    pub(crate) receiver: RTCPeerConnection,
    tracks: mpsc::Receiver<MediaStreamTrack>,
    carriers: [JoinHandle<()>; 2],
}

/// Remote tracks that wait to be taken: more than a stream of one call has.
const TRACKS: usize = 16;

impl Pair {
    /// Negotiates a call that sends `stream`.
    pub(crate) async fn connect(
        context: &PeerContext,
        ways: &Ways,
        stream: &MediaStream,
    ) -> Result<Pair, Failure> {
        let failed = |error: RTCError| Failure::failed(format_args!("cannot call: {error}"));
        let new = || RTCPeerConnection::new(ways.configuration(&[]), context.clone());
        let sender = new().await.map_err(failed)?;
        let receiver = new().await.map_err(failed)?;
        let (found, tracks) = mpsc::channel(TRACKS);
        let carriers = [
            carry(&sender, &receiver, found.clone()),
            carry(&receiver, &sender, found),
        ];
        let pair = Pair {
            sender,
            receiver,
            tracks,
            carriers,
        };
        pair.negotiate(stream).await.map_err(failed)?;
        Ok(pair)
    }

    async fn negotiate(&self, stream: &MediaStream) -> Result<(), RTCError> {
        for track in stream.get_tracks() {
            self.sender.add_track(&track, &[stream]).await?;
        }
        for (from, to) in [
            (&self.sender, &self.receiver),
            (&self.receiver, &self.sender),
        ] {
            from.set_local_description(None).await?;
            if let Some(description) = from.local_description().await {
                to.set_remote_description(description).await?;
            }
        }
        Ok(())
    }

    /// The next track that the receiver is told of; waits for ever when there is none.
    pub(crate) async fn next_track(&mut self) -> MediaStreamTrack {
        match self.tracks.recv().await {
            Some(track) => track,
            None => std::future::pending().await,
        }
    }

    /// Ends both connections.
    pub(crate) async fn close(self) {
        self.sender.close().await;
        self.receiver.close().await;
        for carrier in self.carriers {
            carrier.abort();
            let _ = carrier.await;
        }
    }
}

/// Carries one side's candidates to the other, and tells of the tracks that it is sent.
fn carry(
    from: &RTCPeerConnection,
    to: &RTCPeerConnection,
    tracks: mpsc::Sender<MediaStreamTrack>,
) -> JoinHandle<()> {
    let mut events = from.events();
    let to = to.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                PeerConnectionEvent::IceCandidate(candidate) => {
                    if let Err(error) = to.add_ice_candidate(candidate).await {
                        tracing::debug!("a candidate of our own is refused: {error}");
                    }
                }
                // Nobody takes it once the pair is closed.
                PeerConnectionEvent::Track(event) => drop(tracks.send(event.track).await),
                PeerConnectionEvent::IceCandidateError(error) => {
                    let (code, text) = (error.error_code, error.error_text);
                    tracing::warn!("{}: {text} ({code})", error.url);
                }
                _ => {}
            }
        }
    })
}
