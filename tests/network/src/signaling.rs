//! Signaling that is never late and never lost, and at each end a program that does what every one
//! does: [perfect negotiation](https://w3c.github.io/webrtc-pc/#perfect-negotiation-example).

use duet_peer::{
    PeerConnectionEvent, RTCError, RTCIceCandidateInit, RTCPeerConnection, RTCSdpType,
    RTCSessionDescription, RTCSignalingState,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Messages under way; more than any exchange has.
const CAPACITY: usize = 1_024;

enum Message {
    Description(RTCSessionDescription),
    Candidate(Option<RTCIceCandidateInit>),
}

/// Between two, until it is dropped.
pub(crate) struct Signaling {
    tasks: Vec<JoinHandle<()>>,
    may_offer: watch::Sender<bool>,
    offers: Arc<AtomicU32>,
}

impl Signaling {
    /// The first of the two offers at once; both answer `negotiationneeded` once they
    /// [may](Self::let_negotiate).
    pub(crate) fn between(caller: &RTCPeerConnection, called: &RTCPeerConnection) -> Self {
        let (may_offer, _) = watch::channel(false);
        let offers = Arc::new(AtomicU32::new(0));
        let (to_caller, from_called) = mpsc::channel(CAPACITY);
        let (to_called, from_caller) = mpsc::channel(CAPACITY);
        let program = |connection: &RTCPeerConnection, polite, outbox, inbox| {
            let program = Program {
                events: connection.events(),
                connection: connection.clone(),
                polite,
                outbox,
                inbox,
                may_offer: may_offer.subscribe(),
                offers: offers.clone(),
            };
            tokio::spawn(program.run())
        };
        let tasks = vec![
            program(caller, false, to_called, from_called),
            program(called, true, to_caller, from_caller),
        ];
        Signaling {
            tasks,
            may_offer,
            offers,
        }
    }

    /// Whether either may offer.
    pub(crate) fn let_negotiate(&self, they_may: bool) {
        self.may_offer.send_replace(they_may);
    }

    /// Offers so far, of both.
    pub(crate) fn offers(&self) -> u32 {
        self.offers.load(Ordering::Relaxed)
    }
}

impl Drop for Signaling {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Program {
    connection: RTCPeerConnection,
    polite: bool,
    events: mpsc::Receiver<PeerConnectionEvent>,
    outbox: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
    may_offer: watch::Receiver<bool>,
    offers: Arc<AtomicU32>,
}

impl Program {
    async fn run(mut self) {
        if !self.polite {
            self.offer().await;
        }
        loop {
            tokio::select! {
                biased;
                message = self.inbox.recv() => match message {
                    Some(Message::Description(description)) => {
                        let taken = self.take(description).await;
                        taken.expect("a description of the other side");
                    }
                    Some(Message::Candidate(candidate)) => {
                        // It may be of a generation that is over, or of an offer that was ignored.
                        let _ = self.connection.add_ice_candidate(candidate).await;
                    }
                    None => return,
                },
                event = self.events.recv() => match event {
                    Some(PeerConnectionEvent::NegotiationNeeded) if *self.may_offer.borrow() => {
                        self.offer().await;
                    }
                    Some(PeerConnectionEvent::IceCandidate(candidate)) => {
                        self.send(Message::Candidate(candidate)).await;
                    }
                    Some(_) => {}
                    None => return,
                },
                Ok(()) = self.may_offer.changed() => {
                    // It was said before, to nobody.
                    if *self.may_offer.borrow() && self.connection.negotiation_needed() {
                        self.offer().await;
                    }
                }
            }
        }
    }

    async fn send(&self, message: Message) {
        // Nobody is left to hear it once the call is over.
        let _ = self.outbox.send(message).await;
    }

    async fn send_local(&self) {
        if let Some(description) = self.connection.local_description().await {
            self.send(Message::Description(description)).await;
        }
    }

    async fn offer(&self) {
        let offered = self.connection.set_local_description(None).await;
        offered.expect("an offer");
        self.offers.fetch_add(1, Ordering::Relaxed);
        self.send_local().await;
    }

    async fn take(&self, description: RTCSessionDescription) -> Result<(), RTCError> {
        let is_offer = description.sdp_type == RTCSdpType::Offer;
        let collides = self.connection.signaling_state() != RTCSignalingState::Stable;
        if is_offer && collides && !self.polite {
            return Ok(());
        }
        self.connection.set_remote_description(description).await?;
        if is_offer {
            self.connection.set_local_description(None).await?;
            self.send_local().await;
        }
        Ok(())
    }
}
