//! Offers and answers: [JSEP](https://www.rfc-editor.org/rfc/rfc9429) as webrtc-pc wants it, over a
//! substrate that keeps descriptions of its own.
//!
//! Directions are the W3C's: what the program prefers is never changed by what the other side says;
//! each description says what both allow. What a remote description adds and takes away becomes
//! events on connection, streams and tracks here.

use crate::peer_connection::Shared;
use crate::sdp::{self, Presented, Section, Session};
use crate::{
    PeerConnectionEvent, RTCError, RTCErrorKind, RTCIceCandidateInit, RTCOfferOptions,
    RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSdpType, RTCSessionDescription, RTCSignalingState,
    RTCTrackEvent,
};
use duet_media::MediaStream;
use webrtc::peer_connection as substrate;

/// Candidates that are taken from the other side in one generation. What is above is refused: each
/// makes this machine send checks to an address of the other side's choice.
const MAX_CANDIDATES: usize = 100;

/// How far negotiation has come.
pub(crate) struct Negotiation {
    pub(crate) state: RTCSignalingState,
    local: Option<Described>,
    pending_local: Option<Described>,
    remote: Option<Described>,
    pending_remote: Option<Described>,
    /// What was handed out last, and what the substrate calls it.
    last_offer: Option<Handed>,
    last_answer: Option<Handed>,
    pub(crate) wants_data: bool,
    restart: bool,
    needed: bool,
    candidates: usize,
    we_offered: bool,
    /// Whether this side is the server of the DTLS handshake: settled by the first answer, for good
    /// ([RFC 8842, section 5.5](https://www.rfc-editor.org/rfc/rfc8842#section-5.5)).
    serves_dtls: Option<bool>,
}

/// A description that is in effect.
#[derive(Clone)]
struct Described {
    description: RTCSessionDescription,
    session: Session,
}

/// A description of ours: as the program sees it, and as the substrate knows it.
#[derive(Clone)]
struct Handed {
    shown: String,
    known: String,
    /// Of each transceiver: its section's id and direction.
    sections: Vec<(RTCRtpTransceiver, String, Direction)>,
    restart: bool,
}

impl Default for Negotiation {
    fn default() -> Self {
        Negotiation {
            state: RTCSignalingState::Stable,
            local: None,
            pending_local: None,
            remote: None,
            pending_remote: None,
            last_offer: None,
            last_answer: None,
            wants_data: false,
            restart: false,
            needed: false,
            candidates: 0,
            we_offered: false,
            serves_dtls: None,
        }
    }
}

impl Negotiation {
    fn in_effect(&self) -> (Option<&Described>, Option<&Described>) {
        (
            self.pending_local.as_ref().or(self.local.as_ref()),
            self.pending_remote.as_ref().or(self.remote.as_ref()),
        )
    }

    /// The substrate answers `active` always; browsers refuse that of a side that was the server.
    fn in_its_role(&self, answer: String) -> String {
        if self.serves_dtls == Some(true) {
            answer.replace("a=setup:active", "a=setup:passive")
        } else {
            answer
        }
    }

    /// The id of the section whose transport all share.
    pub(crate) fn first_mid(&self) -> Option<String> {
        let described = self.in_effect().0.or(self.in_effect().1)?;
        described.session.sections.first().map(|s| s.mid.clone())
    }
}

impl RTCPeerConnection {
    /// [`createOffer`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-createoffer).
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn create_offer(
        &self,
        options: RTCOfferOptions,
    ) -> Result<RTCSessionDescription, RTCError> {
        let _turn = self.0.turn().await?;
        self.0.create_offer(options.ice_restart).await
    }

    /// [`createAnswer`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-createanswer).
    ///
    /// # Errors
    /// `InvalidStateError` if there is no offer to answer.
    pub async fn create_answer(&self) -> Result<RTCSessionDescription, RTCError> {
        let _turn = self.0.turn().await?;
        self.0.create_answer().await
    }

    /// [`setLocalDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setlocaldescription).
    /// With `None` the offer or answer that is due is made and set.
    ///
    /// # Errors
    /// `InvalidStateError` if it does not fit the signaling state, `InvalidModificationError` if it
    /// is not what this connection made last.
    pub async fn set_local_description(
        &self,
        description: Option<RTCSessionDescription>,
    ) -> Result<(), RTCError> {
        let _turn = self.0.turn().await?;
        let description = match description {
            Some(description) => description,
            None if self.0.is_asked() => self.0.create_answer().await?,
            None => self.0.create_offer(false).await?,
        };
        self.0.set_local(description).await
    }

    /// [`setRemoteDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setremotedescription).
    /// An offer that comes while ours is pending takes ours back first.
    ///
    /// # Errors
    /// `SyntaxError` for what is no description, `InvalidAccessError` for one that could not be
    /// trusted or does not fit our offer, `InvalidStateError` if it does not fit the signaling state.
    pub async fn set_remote_description(
        &self,
        description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
        let _turn = self.0.turn().await?;
        self.0.set_remote(description).await
    }

    /// [`localDescription`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-localdescription),
    /// with the candidates found so far.
    pub async fn local_description(&self) -> Option<RTCSessionDescription> {
        let (shown, sections) = {
            let negotiation = self.0.negotiation.lock();
            let shown = negotiation.in_effect().0?.description.clone();
            let handed = match shown.sdp_type {
                RTCSdpType::Offer => negotiation.last_offer.as_ref(),
                _ => negotiation.last_answer.as_ref(),
            };
            (shown, handed?.sections.clone())
        };
        let known = self.0.substrate.local_description().await?;
        Some(RTCSessionDescription::new(
            shown.sdp_type,
            self.0
                .negotiation
                .lock()
                .in_its_role(show(&known.sdp, &sections)),
        ))
    }

    /// [`remoteDescription`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-remotedescription).
    pub fn remote_description(&self) -> Option<RTCSessionDescription> {
        let negotiation = self.0.negotiation.lock();
        negotiation.in_effect().1.map(|d| d.description.clone())
    }

    /// [`addIceCandidate`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addicecandidate).
    /// `None`, and an empty candidate, mean that there will be no more.
    ///
    /// # Errors
    /// `InvalidStateError` without a remote description, `TypeError` for a candidate of no section,
    /// `OperationError` for one that does not parse, is of another generation, or one too many.
    pub async fn add_ice_candidate(
        &self,
        candidate: Option<RTCIceCandidateInit>,
    ) -> Result<(), RTCError> {
        let _turn = self.0.turn().await?;
        let Some(init) = candidate.filter(|init| !init.candidate.is_empty()) else {
            return Ok(());
        };
        if init.sdp_mid.is_none() && init.sdp_mline_index.is_none() {
            let message = "a candidate wants an sdpMid or an sdpMLineIndex";
            return Err(RTCError::new(RTCErrorKind::Type, message));
        }
        self.0.check_candidate(&init)?;
        let body = init.candidate.trim();
        let body = body.strip_prefix("candidate:").unwrap_or(body);
        let candidate = substrate::RTCIceCandidateInit {
            candidate: body.to_owned(),
            sdp_mid: init.sdp_mid,
            sdp_mline_index: init.sdp_mline_index,
            username_fragment: init.username_fragment,
            ..Default::default()
        };
        self.0.substrate.add_ice_candidate(candidate).await?;
        self.0.path.wake();
        Ok(())
    }

    /// [`restartIce`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-restartice): the next offer
    /// looks for a way anew. Media goes on meanwhile.
    pub fn restart_ice(&self) {
        if self.0.is_closed() {
            return;
        }
        self.0.negotiation.lock().restart = true;
        self.0.update_negotiation_needed();
    }
}

impl Shared {
    fn is_asked(&self) -> bool {
        let state = self.negotiation.lock().state;
        matches!(
            state,
            RTCSignalingState::HaveRemoteOffer | RTCSignalingState::HaveLocalPranswer
        )
    }

    async fn create_offer(&self, restart: bool) -> Result<RTCSessionDescription, RTCError> {
        let restart = restart || self.negotiation.lock().restart;
        let transceivers = self.transceivers.lock().clone();
        for transceiver in &transceivers {
            self.attach_sender(transceiver).await?;
            let direction = transceiver.direction().to_substrate();
            transceiver.0.substrate.set_direction(direction).await?;
        }
        let options = rtc::peer_connection::configuration::RTCOfferOptions {
            ice_restart: restart,
        };
        let offer = self.substrate.create_offer(Some(options)).await?;
        let mut sections = Vec::new();
        for transceiver in transceivers {
            if let Some(mid) = transceiver.0.substrate.mid().await? {
                let direction = transceiver.direction();
                sections.push((transceiver, mid, direction));
            }
        }
        let shown = show(&offer.sdp, &sections);
        self.negotiation.lock().last_offer = Some(Handed {
            shown: shown.clone(),
            known: offer.sdp,
            sections,
            restart,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Offer, shown))
    }

    async fn create_answer(&self) -> Result<RTCSessionDescription, RTCError> {
        let offered = match &self.negotiation.lock().pending_remote {
            Some(offer) if self.is_remote_offer(offer) => offer.session.clone(),
            _ => return Err(RTCError::state("there is no offer to answer")),
        };
        let mut sections = Vec::new();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            self.attach_sender(&transceiver).await?;
            let Some(section) = transceiver.mid().and_then(|mid| offered.section(&mid)) else {
                continue;
            };
            let direction = match transceiver.direction() {
                _ if section.rejected => Direction::Stopped,
                Direction::Stopped => Direction::Stopped,
                preferred => preferred.and(section.direction.reversed()),
            };
            let known = direction.to_substrate();
            transceiver.0.substrate.set_direction(known).await?;
            sections.push((transceiver, section.mid.clone(), direction));
        }
        let answer = self.substrate.create_answer(None).await?;
        let shown = show(&answer.sdp, &sections);
        let shown = self.negotiation.lock().in_its_role(shown);
        self.negotiation.lock().last_answer = Some(Handed {
            shown: shown.clone(),
            known: answer.sdp,
            sections,
            restart: false,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Answer, shown))
    }

    fn is_remote_offer(&self, described: &Described) -> bool {
        described.description.sdp_type == RTCSdpType::Offer
    }

    /// A transceiver that the other side's offer made gets its sender when it is first described, so
    /// that a rollback before that removes it whole.
    async fn attach_sender(&self, transceiver: &RTCRtpTransceiver) -> Result<(), RTCError> {
        if std::mem::replace(&mut transceiver.0.state.lock().attached, true) {
            return Ok(());
        }
        // The substrate gives it to its first transceiver of that kind without one: the same.
        let track = crate::substrate::local_track(&transceiver.0.sender);
        let sender = self.substrate.add_track(track).await?;
        debug_assert_eq!(usize::from(sender.id()), transceiver.0.id);
        Ok(())
    }

    async fn set_local(&self, mut description: RTCSessionDescription) -> Result<(), RTCError> {
        let handed = {
            let negotiation = self.negotiation.lock();
            let (allowed, handed) = match description.sdp_type {
                RTCSdpType::Rollback => {
                    (negotiation.state == RTCSignalingState::HaveLocalOffer, None)
                }
                RTCSdpType::Offer => (
                    matches!(
                        negotiation.state,
                        RTCSignalingState::Stable | RTCSignalingState::HaveLocalOffer
                    ),
                    negotiation.last_offer.clone(),
                ),
                RTCSdpType::Answer | RTCSdpType::Pranswer => (
                    matches!(
                        negotiation.state,
                        RTCSignalingState::HaveRemoteOffer | RTCSignalingState::HaveLocalPranswer
                    ),
                    negotiation.last_answer.clone(),
                ),
            };
            if !allowed {
                return Err(wrong_state("local", &description, negotiation.state));
            }
            handed
        };
        if description.sdp_type == RTCSdpType::Rollback {
            return self.roll_back_local().await;
        }
        let handed = match handed {
            Some(handed) if description.sdp.is_empty() || description.sdp == handed.shown => handed,
            _ => {
                let message = "the description is not what this connection made last";
                return Err(RTCError::new(RTCErrorKind::InvalidModification, message));
            }
        };
        description.sdp = handed.shown.clone();
        let session = sdp::parse(&description.sdp)?;
        let known = RTCSessionDescription::new(description.sdp_type, handed.known.clone());
        let known = known.to_substrate()?;
        if self.negotiation.lock().state == RTCSignalingState::HaveLocalOffer
            && description.sdp_type == RTCSdpType::Offer
        {
            // The substrate wants the old one taken back first.
            let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
            self.substrate.set_local_description(rollback).await?;
        }
        self.substrate.set_local_description(known).await?;

        for (transceiver, mid, direction) in &handed.sections {
            let mut state = transceiver.0.state.lock();
            state.mid = Some(mid.clone());
            state.described = Some(*direction);
            drop(state);
            self.path.set_mid(transceiver.0.sender.0.ssrc, mid);
        }
        let described = Described {
            description: description.clone(),
            session,
        };
        let state = {
            let mut negotiation = self.negotiation.lock();
            match description.sdp_type {
                RTCSdpType::Offer => {
                    negotiation.restart &= !handed.restart;
                    negotiation.pending_local = Some(described);
                    RTCSignalingState::HaveLocalOffer
                }
                RTCSdpType::Pranswer => {
                    negotiation.pending_local = Some(described);
                    RTCSignalingState::HaveLocalPranswer
                }
                _ => {
                    negotiation.pending_local = None;
                    negotiation.local = Some(described);
                    negotiation.remote = negotiation.pending_remote.take();
                    negotiation.we_offered = false;
                    negotiation.serves_dtls.get_or_insert(false);
                    RTCSignalingState::Stable
                }
            }
        };
        for (transceiver, _, direction) in &handed.sections {
            if description.sdp_type == RTCSdpType::Offer {
                // The encoder may start: its first picture will be there when the answer is.
                if direction.sends() {
                    transceiver.0.sender.set_live(true);
                }
            } else {
                self.settle(transceiver, *direction);
            }
        }
        self.set_state(state);
        Ok(())
    }

    /// A direction is agreed on.
    fn settle(&self, transceiver: &RTCRtpTransceiver, direction: Direction) {
        let mut state = transceiver.0.state.lock();
        state.current_direction = Some(direction);
        state.has_sent |= direction.sends();
        drop(state);
        transceiver.0.sender.set_live(direction.sends());
        self.path.renew_estimate();
    }

    async fn roll_back_local(&self) -> Result<(), RTCError> {
        let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
        self.substrate.set_local_description(rollback).await?;
        self.negotiation.lock().pending_local = None;
        self.forget_pending();
        self.set_state(RTCSignalingState::Stable);
        Ok(())
    }

    async fn roll_back_remote(&self) -> Result<(), RTCError> {
        let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
        self.substrate.set_remote_description(rollback).await?;
        self.negotiation.lock().pending_remote = None;
        let dropped = {
            let mut transceivers = self.transceivers.lock();
            let of_offer = |t: &RTCRtpTransceiver| {
                let state = t.0.state.lock();
                state.created_by_remote && !state.attached
            };
            let dropped: Vec<_> = transceivers
                .iter()
                .filter(|t| of_offer(t))
                .cloned()
                .collect();
            transceivers.retain(|t| !dropped.contains(t));
            dropped
        };
        for transceiver in &dropped {
            self.take_away(transceiver);
            transceiver.0.receiver.end();
            transceiver.0.sender.close().await;
        }
        self.forget_pending();
        let remote = self.negotiation.lock().remote.clone();
        if let Some(remote) = remote {
            self.follow_remote(&remote.session);
        }
        self.set_state(RTCSignalingState::Stable);
        Ok(())
    }

    /// Sections that only the description that was taken back knew are nobody's again.
    fn forget_pending(&self) {
        let local = self.negotiation.lock().local.clone();
        for transceiver in self.transceivers.lock().iter() {
            let live = {
                let mut state = transceiver.0.state.lock();
                let section = state
                    .mid
                    .as_deref()
                    .and_then(|mid| local.as_ref()?.session.section(mid));
                state.described = section.map(|section| section.direction);
                if section.is_none() {
                    state.mid = None;
                    state.current_direction = None;
                }
                state.current_direction.is_some_and(Direction::sends)
            };
            transceiver.0.sender.set_live(live);
        }
    }

    async fn set_remote(&self, description: RTCSessionDescription) -> Result<(), RTCError> {
        let state = self.negotiation.lock().state;
        use RTCSignalingState as State;
        let allowed = match description.sdp_type {
            RTCSdpType::Rollback => state == State::HaveRemoteOffer,
            RTCSdpType::Offer => matches!(
                state,
                State::Stable | State::HaveRemoteOffer | State::HaveLocalOffer
            ),
            RTCSdpType::Answer | RTCSdpType::Pranswer => {
                matches!(state, State::HaveLocalOffer | State::HaveRemotePranswer)
            }
        };
        if !allowed {
            return Err(wrong_state("remote", &description, state));
        }
        if description.sdp_type == RTCSdpType::Rollback {
            return self.roll_back_remote().await;
        }
        let session = sdp::parse(&description.sdp)?;
        let is_offer = description.sdp_type == RTCSdpType::Offer;
        if !is_offer {
            self.check_answers(&session)?;
        }
        // An inactive section would be stopped for good by the substrate; to it the other side
        // merely sends nothing. What is answered is what the program is told.
        let known = sdp::with_directions(&description.sdp, |mid| {
            let section = session.section(mid)?;
            let silent = is_offer && (section.rejected || section.direction == Direction::Inactive);
            silent.then_some(Direction::RecvOnly)
        });
        let known = RTCSessionDescription::new(description.sdp_type, known).to_substrate();
        let known = known.map_err(|error| RTCError::syntax(error.message))?;
        if is_offer {
            match state {
                State::HaveLocalOffer => self.roll_back_local().await?,
                State::HaveRemoteOffer => self.roll_back_remote().await?,
                _ => {}
            }
        }
        if let Err(error) = self.substrate.set_remote_description(known).await {
            if is_offer {
                let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
                // It may have failed before it changed anything.
                let _ = self
                    .substrate
                    .set_remote_description(rollback.to_substrate()?)
                    .await;
            }
            return Err(error.into());
        }
        if is_offer {
            self.adopt_offered(&session).await?;
        }
        let new_generation = {
            let negotiation = self.negotiation.lock();
            let before = negotiation
                .in_effect()
                .1
                .map(|d| d.session.ice_ufrag.clone());
            before.as_deref() != Some(session.ice_ufrag.as_str())
        };
        let described = Described {
            description: description.clone(),
            session: session.clone(),
        };
        let (state, answered) = {
            let mut negotiation = self.negotiation.lock();
            if new_generation {
                negotiation.candidates = 0;
            }
            match description.sdp_type {
                RTCSdpType::Offer => {
                    negotiation.pending_remote = Some(described);
                    (State::HaveRemoteOffer, false)
                }
                RTCSdpType::Pranswer => {
                    negotiation.pending_remote = Some(described);
                    (State::HaveRemotePranswer, true)
                }
                _ => {
                    negotiation.pending_remote = None;
                    negotiation.remote = Some(described);
                    negotiation.local = negotiation.pending_local.take();
                    negotiation.we_offered = true;
                    let client_is_there = description.sdp.contains("a=setup:active");
                    negotiation.serves_dtls.get_or_insert(client_is_there);
                    (State::Stable, true)
                }
            }
        };
        if answered {
            for section in &session.sections {
                if let Some(transceiver) = self.find_transceiver(&section.mid) {
                    let described = transceiver.0.state.lock().described;
                    let described = described.unwrap_or(Direction::Inactive);
                    let agreed = section.direction.reversed().and(described);
                    self.settle(
                        &transceiver,
                        if section.rejected {
                            Direction::Stopped
                        } else {
                            agreed
                        },
                    );
                }
            }
        }
        self.follow_remote(&session);
        self.set_state(state);
        Ok(())
    }

    /// Finds or makes the transceivers that an offer's sections belong to.
    async fn adopt_offered(&self, session: &Session) -> Result<(), RTCError> {
        let mut known = self.substrate.get_transceivers().await;
        known.sort_unstable_by_key(|transceiver| transceiver.id());
        for substrate in known {
            let Some(mid) = substrate.mid().await? else {
                continue;
            };
            let ours = self
                .transceivers
                .lock()
                .iter()
                .find(|t| t.0.id == substrate.id())
                .cloned();
            let transceiver = match ours {
                Some(ours) => ours,
                None => {
                    let Some(kind) = session.section(&mid).and_then(|section| section.kind) else {
                        continue;
                    };
                    let sender = self.make_sender(kind, RTCRtpEncodingParameters::default());
                    self.adopt(substrate, kind, sender, Direction::RecvOnly, false)
                }
            };
            transceiver.0.state.lock().mid = Some(mid);
        }
        Ok(())
    }

    /// Makes tracks and streams what the other side says that they are.
    fn follow_remote(&self, session: &Session) {
        let mut routes = Vec::new();
        for section in &session.sections {
            let Some(transceiver) = self.find_transceiver(&section.mid) else {
                continue;
            };
            if section.rejected {
                self.take_away(&transceiver);
                transceiver.stop();
                continue;
            }
            let direction = section.direction.reversed();
            let fired = {
                let mut state = transceiver.0.state.lock();
                state.offered = Some(direction);
                // What we do not want to receive is not there for the program.
                let direction = match state.direction {
                    Direction::Stopped => Direction::Inactive,
                    _ => direction,
                };
                state
                    .fired_direction
                    .replace(direction)
                    .is_some_and(Direction::receives)
            };
            if let Some(opus) = section.opus {
                transceiver.0.sender.set_opus(opus);
            }
            if direction.receives() {
                let streams = self.associate(&transceiver, section);
                routes.push(transceiver.0.receiver.route(section, self.on_flow()));
                if !fired {
                    self.post(PeerConnectionEvent::Track(RTCTrackEvent {
                        track: transceiver.0.receiver.track(),
                        streams,
                        receiver: transceiver.receiver(),
                        transceiver,
                    }));
                }
            } else if fired {
                self.take_away(&transceiver);
            }
        }
        self.path.set_routes(routes);
    }

    /// Puts a remote track into the streams that its section names, and out of all others.
    fn associate(&self, transceiver: &RTCRtpTransceiver, section: &Section) -> Vec<MediaStream> {
        let receiver = &transceiver.0.receiver;
        let track = receiver.track();
        let mut known = self.remote_streams.lock();
        let wanted: Vec<_> = section
            .streams
            .iter()
            .map(|id| {
                let entry = known.entry(id.clone()).or_insert_with(|| {
                    (
                        MediaStream::with_id(id.clone(), []),
                        crate::pipeline::SyncGroup::new(),
                    )
                });
                entry.clone()
            })
            .collect();
        drop(known);
        let streams: Vec<MediaStream> = wanted.iter().map(|(stream, _)| stream.clone()).collect();
        for stream in receiver
            .streams()
            .iter()
            .filter(|stream| !streams.contains(stream))
        {
            stream.remove_track_from_elsewhere(&track);
        }
        for stream in &streams {
            stream.add_track_from_elsewhere(track.clone());
        }
        receiver.set_streams(streams.clone(), wanted.first().map(|(_, group)| group));
        self.forget_empty_streams();
        streams
    }

    /// The other side will send a track no more: it is muted and leaves its streams.
    fn take_away(&self, transceiver: &RTCRtpTransceiver) {
        let receiver = &transceiver.0.receiver;
        let track = receiver.track();
        for stream in receiver.streams() {
            stream.remove_track_from_elsewhere(&track);
        }
        receiver.set_streams(Vec::new(), None);
        receiver.mute();
        self.forget_empty_streams();
    }

    fn forget_empty_streams(&self) {
        let mut known = self.remote_streams.lock();
        known.retain(|_, (stream, _)| !stream.get_tracks().is_empty());
    }

    /// An answer has the sections of our offer, in its order.
    fn check_answers(&self, answer: &Session) -> Result<(), RTCError> {
        let negotiation = self.negotiation.lock();
        let Some(offer) = &negotiation.pending_local else {
            return Err(RTCError::state("there is no offer of ours"));
        };
        let offered = offer.session.sections.iter().map(|section| &section.mid);
        if !offered.eq(answer.sections.iter().map(|section| &section.mid)) {
            let message = "the answer's media sections are not those of the offer";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        Ok(())
    }

    fn check_candidate(&self, init: &RTCIceCandidateInit) -> Result<(), RTCError> {
        let mut negotiation = self.negotiation.lock();
        let Some(remote) = negotiation.in_effect().1 else {
            return Err(RTCError::state("there is no remote description yet"));
        };
        let known = match (&init.sdp_mid, init.sdp_mline_index) {
            (Some(mid), _) => remote.session.section(mid).is_some(),
            (None, Some(index)) => usize::from(index) < remote.session.sections.len(),
            (None, None) => false,
        };
        if !known {
            return Err(RTCError::operation("the candidate is of no media section"));
        }
        let generation = init.username_fragment.as_ref();
        if generation.is_some_and(|ufrag| !ufrag.is_empty() && *ufrag != remote.session.ice_ufrag) {
            return Err(RTCError::operation(
                "the candidate is of another generation",
            ));
        }
        sdp::check_candidate(&init.candidate)?;
        if negotiation.candidates >= MAX_CANDIDATES {
            let message = format!("more than {MAX_CANDIDATES} candidates");
            return Err(RTCError::operation(message));
        }
        negotiation.candidates += 1;
        Ok(())
    }

    fn set_state(&self, state: RTCSignalingState) {
        let before = std::mem::replace(&mut self.negotiation.lock().state, state);
        if before != state {
            self.post(PeerConnectionEvent::SignalingStateChange(state));
        }
        if state == RTCSignalingState::Stable {
            self.negotiation.lock().needed = false;
            self.update_negotiation_needed();
        }
    }

    /// [Updates the negotiation-needed flag](https://www.w3.org/TR/webrtc/#dfn-update-the-negotiation-needed-flag).
    pub(crate) fn update_negotiation_needed(&self) {
        let transceivers = self.transceivers.lock().clone();
        let mut negotiation = self.negotiation.lock();
        if self.is_closed() || negotiation.state != RTCSignalingState::Stable {
            return;
        }
        let needed = is_needed(&negotiation, &transceivers);
        let before = std::mem::replace(&mut negotiation.needed, needed);
        drop(negotiation);
        if needed && !before {
            self.post(PeerConnectionEvent::NegotiationNeeded);
        }
    }

    /// Whether it still is, when the event's turn has come.
    pub(crate) fn still_needs_negotiation(&self) -> bool {
        let negotiation = self.negotiation.lock();
        negotiation.needed && negotiation.state == RTCSignalingState::Stable
    }
}

fn is_needed(negotiation: &Negotiation, transceivers: &[RTCRtpTransceiver]) -> bool {
    let has_data = negotiation
        .local
        .as_ref()
        .is_some_and(|d| d.session.has_data());
    if negotiation.restart && negotiation.local.is_some() {
        return true;
    }
    if negotiation.wants_data && !has_data {
        return true;
    }
    transceivers.iter().any(|transceiver| {
        let state = transceiver.0.state.lock();
        if state.direction == Direction::Stopped {
            return state.mid.is_some() && state.current_direction != Some(Direction::Stopped);
        }
        match (state.described, state.offered) {
            _ if state.mid.is_none() => true,
            (Some(described), Some(offered)) if negotiation.we_offered => {
                described != state.direction && offered != state.direction
            }
            (Some(described), Some(offered)) => described != state.direction.and(offered),
            _ => true,
        }
    })
}

/// The substrate's description as the program and the other side are to see it.
fn show(known: &str, sections: &[(RTCRtpTransceiver, String, Direction)]) -> String {
    sdp::present(known, |mid| {
        let (transceiver, _, direction) = sections.iter().find(|(_, m, _)| m == mid)?;
        let sender = &transceiver.0.sender;
        Some(Presented {
            direction: *direction,
            streams: sender.streams(),
            track_id: sender.0.track_id.clone(),
        })
    })
}

fn wrong_state(whose: &str, what: &RTCSessionDescription, state: RTCSignalingState) -> RTCError {
    let kind = match what.sdp_type {
        RTCSdpType::Offer => "offer",
        RTCSdpType::Pranswer => "provisional answer",
        RTCSdpType::Answer => "answer",
        RTCSdpType::Rollback => "rollback",
    };
    RTCError::state(format!(
        "a {whose} {kind} does not fit the signaling state {state}"
    ))
}
