//! The connection to one other member of the room.

use crate::statistics::{bytes_received, snapshot};
use duet_media::{MediaKind, MediaStream, MediaTime};
use duet_peer::{
    PeerConnectionEvent, PeerContext, RTCConfiguration, RTCError, RTCIceCandidateInit,
    RTCPeerConnection, RTCPeerConnectionState, RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
    RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use duet_session::{
    ConnectionState, ConnectionWatch, NegotiationRefused, Negotiator, NegotiatorAction,
    NegotiatorInput, RecoveryAction, RecoveryConfig, SdpKind, SignalingState,
};
use duet_signaling::{ClientMessage, IceCandidate, PeerId, PeerInfo};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// An event of a link's connection, with the link that it is of.
pub(super) type LinkEvent = (u64, PeerConnectionEvent);

/// One peer connection, its negotiation and its watch.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) peer: PeerInfo,
    pub(super) connection: RTCPeerConnection,
    pub(super) state: RTCPeerConnectionState,
    /// Whether the peer's id still means something to the server. Without it nothing can be signaled,
    /// while media goes on.
    pub(super) reachable: bool,
    /// Offers of ours that the other side could not take, since a description of theirs was taken last.
    rejected: u32,
    was_connected: bool,
    negotiator: Negotiator<String, RTCIceCandidateInit>,
    watch: ConnectionWatch,
    forwarder: JoinHandle<()>,
    /// The fingerprint of the other side's certificate, once it is known.
    fingerprint: Option<String>,
    /// Local candidates that were found before there was a description to send them after.
    sent_description: bool,
    waiting_candidates: Vec<IceCandidate>,
    /// The server says that the peer is gone: when to look again, and what had been received.
    probation: Option<(MediaTime, u64)>,
}

/// How long a peer that the server holds for gone is listened for.
const PROBATION: Duration = Duration::from_millis(1_500);
/// Offers in a row that may be rejected: what was refused so often is refused for good.
const MAX_REJECTED: u32 = 3;
/// Bytes that may still be under way from one who is gone: a few packets, and its last report.
const STRAGGLERS: u64 = 4_000;

/// An answer came from somebody else than this connection was with.
#[derive(Debug)]
pub(super) struct Stranger;

impl Link {
    /// A connection that sends the tracks of `stream`.
    pub(super) async fn new(
        id: u64,
        peer: PeerInfo,
        configuration: RTCConfiguration,
        context: &PeerContext,
        stream: &MediaStream,
        events: mpsc::Sender<LinkEvent>,
    ) -> Result<Link, RTCError> {
        let connection = RTCPeerConnection::new(configuration, context.clone()).await?;
        let mut from = connection.events();
        let forwarder = tokio::spawn(async move {
            while let Some(event) = from.recv().await {
                if events.send((id, event)).await.is_err() {
                    return;
                }
            }
        });
        for track in stream.get_tracks() {
            connection.add_track(&track, &[stream]).await?;
        }
        Ok(Link {
            id,
            negotiator: Negotiator::new(peer.polite),
            watch: ConnectionWatch::new(RecoveryConfig::default(), RandomState::new().hash_one(id)),
            peer,
            connection,
            state: RTCPeerConnectionState::New,
            reachable: true,
            rejected: 0,
            was_connected: false,
            forwarder,
            fingerprint: None,
            sent_description: false,
            waiting_candidates: Vec::new(),
            probation: None,
        })
    }

    /// What to call the other side.
    pub(super) fn name(&self) -> &str {
        self.peer.name.as_deref().unwrap_or("the other side")
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state == RTCPeerConnectionState::Connected
    }

    /// Whether a description is of the side that this connection is with.
    pub(super) fn is_with(&self, sdp: &str) -> bool {
        self.fingerprint.is_some() && self.fingerprint == fingerprint(sdp)
    }

    /// Whether a description is of another side than this connection is with already.
    pub(super) fn is_strange(&self, sdp: &str) -> bool {
        self.fingerprint.is_some() && self.fingerprint != fingerprint(sdp)
    }

    /// The peer has another id now; what was under way with the old one is void.
    pub(super) async fn rebind(&mut self, peer: PeerInfo, now: MediaTime) {
        if self.connection.signaling_state() == RTCSignalingState::HaveLocalOffer {
            let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
            if let Err(error) = self.connection.set_local_description(Some(rollback)).await {
                tracing::warn!("an offer that nobody got cannot be taken back: {error}");
            }
        }
        self.negotiator = Negotiator::new(peer.polite);
        self.peer = peer;
        self.reachable = true;
        self.watch.on_signaling(true, now);
    }

    /// The peer's id means nothing any more.
    pub(super) fn unreachable(&mut self, now: MediaTime) {
        self.reachable = false;
        self.watch.on_signaling(false, now);
    }

    /// Asks for sound and picture also where this side sends none: what the other side has then fits into the
    /// first offer.
    pub(super) async fn receive_every_kind(&self) -> Result<(), RTCError> {
        for kind in [MediaKind::Audio, MediaKind::Video] {
            let offered = self.connection.get_transceivers();
            if offered.iter().all(|transceiver| transceiver.kind() != kind) {
                let init = RTCRtpTransceiverInit {
                    direction: RTCRtpTransceiverDirection::RecvOnly,
                    ..RTCRtpTransceiverInit::default()
                };
                self.connection.add_transceiver(kind, init).await?;
            }
        }
        Ok(())
    }

    /// Makes an offer as soon as one may be made.
    pub(super) fn want_offer(&mut self) {
        self.negotiator.handle(NegotiatorInput::NegotiationNeeded);
    }

    /// Whether this side may offer whenever there is something to negotiate: from the first connection
    /// on, and unless the other side can take none of it.
    pub(super) fn may_offer(&self) -> bool {
        self.was_connected && self.rejected < MAX_REJECTED
    }

    /// The other side could not take our offer. Says whether another is made.
    pub(super) fn on_reject(&mut self) -> bool {
        if self.negotiator.signaling_state() != SignalingState::HaveLocalOffer {
            // Of an offer that was taken back meanwhile.
            return true;
        }
        self.negotiator.handle(NegotiatorInput::OfferLapsed);
        self.rejected += 1;
        let again = self.rejected < MAX_REJECTED;
        if again {
            self.want_offer();
        }
        again
    }

    /// Takes in a description of the other side.
    pub(super) fn on_description(&mut self, kind: SdpKind, sdp: String) -> Result<(), Stranger> {
        if kind == SdpKind::Answer && self.is_strange(&sdp) {
            return Err(Stranger);
        }
        self.negotiator.handle(NegotiatorInput::RemoteDescription {
            kind,
            description: sdp,
        });
        Ok(())
    }

    /// Takes in a candidate of the other side.
    pub(super) fn on_candidate(&mut self, candidate: IceCandidate) {
        self.negotiator
            .handle(NegotiatorInput::RemoteCandidate(RTCIceCandidateInit {
                candidate: candidate.candidate,
                sdp_mid: candidate.sdp_mid,
                sdp_mline_index: candidate.sdp_m_line_index,
                username_fragment: candidate.username_fragment,
            }));
    }

    /// A candidate of ours, as a message; `None` while it has to wait for its description.
    pub(super) fn candidate_message(
        &mut self,
        candidate: Option<RTCIceCandidateInit>,
    ) -> Option<ClientMessage> {
        let candidate = candidate.unwrap_or_default();
        let candidate = IceCandidate {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_m_line_index: candidate.sdp_mline_index,
            username_fragment: candidate.username_fragment,
        };
        if !self.sent_description {
            self.waiting_candidates.push(candidate);
            return None;
        }
        Some(self.to_peer(candidate))
    }

    /// The server says that the peer is gone: unless it is heard within a while, it is.
    pub(super) async fn put_on_probation(&mut self, now: MediaTime) {
        self.probation = Some((
            now + PROBATION,
            bytes_received(&snapshot(&self.connection).await),
        ));
    }

    /// Whether a peer on probation has not been heard since, or its connection broke as well.
    pub(super) async fn has_fallen_silent(&mut self, now: MediaTime) -> bool {
        let Some((until, before)) = self.probation else {
            return false;
        };
        if self.reachable {
            self.probation = None;
            return false;
        }
        if !self.is_connected() {
            return true;
        }
        if now < until {
            return false;
        }
        let received = bytes_received(&snapshot(&self.connection).await);
        self.probation = Some((now + PROBATION, received));
        received <= before + STRAGGLERS
    }

    /// The connection is in another state.
    pub(super) fn on_state(&mut self, state: RTCPeerConnectionState, now: MediaTime) {
        self.state = state;
        self.was_connected |= self.is_connected();
        let state = match state {
            RTCPeerConnectionState::New => ConnectionState::New,
            RTCPeerConnectionState::Connecting => ConnectionState::Connecting,
            RTCPeerConnectionState::Connected => ConnectionState::Connected,
            RTCPeerConnectionState::Disconnected => ConnectionState::Disconnected,
            RTCPeerConnectionState::Failed => ConnectionState::Failed,
            RTCPeerConnectionState::Closed => ConnectionState::Closed,
        };
        self.watch.on_connection_state(state, now);
    }

    /// What recovery asks for now.
    pub(super) fn poll_recovery(&mut self, now: MediaTime) -> Option<RecoveryAction> {
        self.watch.poll(now)
    }

    /// When to ask again.
    pub(super) fn next_timeout(&self) -> Option<MediaTime> {
        let probation = self.probation.map(|(until, _)| until);
        [self.watch.next_timeout(), probation]
            .into_iter()
            .flatten()
            .min()
    }

    /// Restarts ICE: the offer that carries it is made by the next [`Link::drive`].
    pub(super) fn restart_ice(&mut self) {
        self.connection.restart_ice();
        // An offer still open by now will not be answered, and would keep this one from being made.
        self.negotiator.handle(NegotiatorInput::OfferLapsed);
        self.want_offer();
    }

    /// Does what the negotiation asks for, until it asks for nothing. Returns what is to be sent.
    pub(super) async fn drive(&mut self) -> Vec<ClientMessage> {
        let mut messages = Vec::new();
        while let Some(action) = self.negotiator.poll() {
            let is_operation = !matches!(
                action,
                NegotiatorAction::AddCandidate { .. } | NegotiatorAction::Refuse(_)
            );
            match self.perform(action, &mut messages).await {
                Ok(input) if is_operation => self.negotiator.handle(input),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("negotiation with {}: {error}", self.name());
                    if is_operation {
                        self.negotiator.handle(NegotiatorInput::Failed);
                    }
                }
            }
        }
        messages
    }

    async fn perform(
        &mut self,
        action: NegotiatorAction<String, RTCIceCandidateInit>,
        messages: &mut Vec<ClientMessage>,
    ) -> Result<NegotiatorInput<String, RTCIceCandidateInit>, RTCError> {
        match action {
            // The connection knows what their negotiation left to do, and says so by its event once it
            // is stable.
            NegotiatorAction::MakeOffer {
                after_rollback: true,
            } => return Ok(NegotiatorInput::NotNeeded),
            NegotiatorAction::MakeOffer { .. } | NegotiatorAction::MakeAnswer => {
                self.connection.set_local_description(None).await?;
                self.send_local_description(messages).await;
            }
            NegotiatorAction::Rollback => {
                let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
                self.connection
                    .set_local_description(Some(rollback))
                    .await?;
            }
            NegotiatorAction::SetRemote { kind, description } => {
                let found = fingerprint(&description);
                let sdp_type = match kind {
                    SdpKind::Offer => RTCSdpType::Offer,
                    SdpKind::Answer => RTCSdpType::Answer,
                };
                let description = RTCSessionDescription::new(sdp_type, description);
                self.connection.set_remote_description(description).await?;
                self.fingerprint = found;
                self.rejected = 0;
            }
            NegotiatorAction::AddCandidate { candidate, lenient } => {
                let added = self.connection.add_ice_candidate(Some(candidate)).await;
                if !lenient {
                    added?;
                }
            }
            NegotiatorAction::Refuse(NegotiationRefused::GlareIgnored) => {
                tracing::debug!("both offered at once; {} gives way", self.name());
            }
            NegotiatorAction::Refuse(refused) => {
                tracing::warn!("{} is out of order: {refused}", self.name());
                if refused == NegotiationRefused::OfferFailed {
                    let to = self.peer.id.clone();
                    messages.push(ClientMessage::Reject { to });
                }
            }
        }
        Ok(NegotiatorInput::Done)
    }

    async fn send_local_description(&mut self, messages: &mut Vec<ClientMessage>) {
        let Some(local) = self.connection.local_description().await else {
            return;
        };
        let to = self.peer.id.clone();
        messages.push(match local.sdp_type {
            RTCSdpType::Answer => ClientMessage::Answer { to, sdp: local.sdp },
            _ => ClientMessage::Offer { to, sdp: local.sdp },
        });
        self.sent_description = true;
        for candidate in std::mem::take(&mut self.waiting_candidates) {
            let message = self.to_peer(candidate);
            messages.push(message);
        }
    }

    fn to_peer(&self, candidate: IceCandidate) -> ClientMessage {
        ClientMessage::Candidate {
            to: self.peer.id.clone(),
            candidate,
        }
    }

    /// Ends the connection. Local tracks go on.
    pub(super) async fn close(self) {
        self.connection.close().await;
        self.forwarder.abort();
        // What is left of it may not tell anything any more.
        let _ = self.forwarder.await;
    }

    pub(super) fn peer_id(&self) -> &PeerId {
        &self.peer.id
    }
}

/// The DTLS fingerprint of a description, in one spelling.
fn fingerprint(sdp: &str) -> Option<String> {
    let value = sdp
        .lines()
        .find_map(|line| line.strip_prefix("a=fingerprint:"))?;
    Some(value.trim().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_devices::synthetic::{SyntheticCamera, SyntheticCameraConfig};
    use duet_media::MonotonicClock;
    use duet_peer::NetworkPolicy;
    use std::sync::Arc;

    /// Nobody takes its events: what is looked at here is what it says.
    async fn link(polite: bool) -> Link {
        let clock = Arc::new(MonotonicClock::new());
        let camera = SyntheticCamera::start(SyntheticCameraConfig::default(), clock.clone());
        let mut context = PeerContext::new(clock);
        context.network = NetworkPolicy::LoopbackOnly;
        context.mdns = false;
        let peer = PeerInfo {
            id: PeerId::new("peer"),
            name: None,
            polite,
        };
        let stream = MediaStream::from_tracks([camera]);
        let (events, _) = mpsc::channel(1);
        let configuration = RTCConfiguration::default();
        Link::new(0, peer, configuration, &context, &stream, events)
            .await
            .unwrap()
    }

    async fn said(link: &mut Link) -> Vec<&'static str> {
        let messages = link.drive().await;
        let kinds = messages.iter().map(|message| match message {
            ClientMessage::Offer { .. } => "offer",
            ClientMessage::Answer { .. } => "answer",
            ClientMessage::Reject { .. } => "reject",
            other => panic!("{other:?}"),
        });
        kinds.collect()
    }

    async fn offer_of(link: &mut Link) -> String {
        link.want_offer();
        match link.drive().await.remove(0) {
            ClientMessage::Offer { sdp, .. } => sdp,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_offer_that_cannot_be_taken_is_rejected_and_the_next_is_answered() {
        let (mut one, mut other) = (link(true).await, link(false).await);
        let nonsense = "v=0\r\nnonsense".to_owned();
        one.on_description(SdpKind::Offer, nonsense).unwrap();
        assert_eq!(said(&mut one).await, ["reject"]);
        let offer = offer_of(&mut other).await;
        one.on_description(SdpKind::Offer, offer).unwrap();
        assert_eq!(said(&mut one).await, ["answer"]);
        one.close().await;
        other.close().await;
    }

    #[tokio::test]
    async fn a_rejected_offer_is_taken_back_and_made_again_three_times_in_all() {
        let mut link = link(true).await;
        link.want_offer();
        for again in [true, true, false] {
            assert_eq!(said(&mut link).await, ["offer"]);
            assert_eq!(link.on_reject(), again);
        }
        assert_eq!(said(&mut link).await, [""; 0]);
        assert_eq!(link.connection.signaling_state(), RTCSignalingState::Stable);
        // A rejection of what was taken back already.
        assert!(link.on_reject());
        link.close().await;
    }

    #[tokio::test]
    async fn an_offer_that_gave_way_is_not_made_again_when_theirs_settled_it() {
        let (mut polite, mut impolite) = (link(true).await, link(false).await);
        offer_of(&mut polite).await;
        let theirs = offer_of(&mut impolite).await;
        polite.on_description(SdpKind::Offer, theirs).unwrap();
        assert_eq!(said(&mut polite).await, ["answer"]);
        polite.close().await;
        impolite.close().await;
    }

    #[test]
    fn fingerprints_compare_without_regard_to_case() {
        let one = "v=0\r\na=fingerprint:sha-256 AB:CD\r\nm=audio\r\n";
        let other = "v=0\r\nm=audio\r\na=fingerprint:SHA-256 ab:cd\r\n";
        assert_eq!(fingerprint(one), fingerprint(other));
        assert!(fingerprint(one).is_some());
        assert_eq!(fingerprint("v=0\r\n"), None);
    }
}
