//! [`setRemoteDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setremotedescription).

use super::{Described, wrong_state};
use crate::peer_connection::Shared;
use crate::sdp::{self, Section, Session};
use crate::transceiver::Known;
use crate::{
    RTCError, RTCErrorKind, RTCRtpEncodingParameters, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use duet_media::MediaKind;

impl Shared {
    pub(super) async fn set_remote(
        &self,
        mut description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
        let state = self.negotiation.lock().state;
        use RTCSignalingState as State;
        let allowed = match description.sdp_type {
            RTCSdpType::Rollback => self.negotiation.lock().can_roll_back(),
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
            return self.roll_back().await;
        }
        let is_offer = description.sdp_type == RTCSdpType::Offer;
        if is_offer && state == State::HaveLocalOffer {
            // Ours is taken back whatever is wrong with theirs.
            self.roll_back_local().await?;
        }
        if description.sdp.len() <= sdp::MAX_BYTES && description.sdp.ends_with('\n') {
            description.sdp = sdp::with_mids(&description.sdp, |at| self.mid_at(at, is_offer));
        }
        let session = match sdp::parse(&description.sdp) {
            Ok(session) => session,
            Err(error) => {
                let state = self.negotiation.lock().state;
                self.conclude(state);
                return Err(error);
            }
        };
        if !is_offer {
            self.check_answers(&session)?;
        }
        if is_offer {
            if state == State::HaveRemoteOffer {
                self.roll_back_remote().await?;
            }
            self.offer_data(&session);
            self.pair(&session);
        }
        // The substrate hears of an offer when it is answered, and of an answer when it is the last:
        // what it knows of either cannot be taken back as long as the transport is not made.
        let told = description.sdp_type == RTCSdpType::Answer && session.can_be_had();
        if told {
            let known = sdp::for_substrate(&description.sdp, &session, false, |_| false);
            let known = RTCSessionDescription::new(description.sdp_type, known).to_substrate();
            let known = known.map_err(|error| RTCError::sdp(1, error.message))?;
            self.substrate.set_remote_description(known).await?;
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
            sections: Vec::new(),
            added: Vec::new(),
            told,
        };
        let (state, answered) = {
            let mut negotiation = self.negotiation.lock();
            if new_generation {
                negotiation.taken = 0;
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
                    if told {
                        negotiation.serves_dtls.get_or_insert(client_is_there);
                    }
                    negotiation.note_credentials();
                    (State::Stable, true)
                }
            }
        };
        if answered {
            let (ours, client) = {
                let negotiation = self.negotiation.lock();
                let ours = negotiation.in_effect().0.map(|d| d.session.clone());
                let serves = negotiation.serves_dtls;
                let serves = serves.unwrap_or(description.sdp.contains("a=setup:active"));
                (ours.unwrap_or_default(), !serves)
            };
            self.agree(description.sdp_type, (&ours, &session), true, client);
            self.note_generation();
            for section in &session.sections {
                if let Some(transceiver) = self.find_transceiver(&section.mid) {
                    let described = transceiver.0.state.lock().described;
                    let described = described.unwrap_or(Direction::Inactive);
                    let agreed = section.direction.reversed().and(described);
                    self.settle(
                        &transceiver,
                        if !section.can_be_had() {
                            Direction::Stopped
                        } else {
                            agreed
                        },
                    );
                }
            }
        }
        // The program is told the state first, and of the tracks then.
        self.announce(state);
        self.follow_remote(&session);
        self.conclude(state);
        Ok(())
    }

    /// Finds or makes the transceivers that an offer's sections belong to
    /// ([RFC 9429, section 5.10](https://www.rfc-editor.org/rfc/rfc9429#section-5.10)).
    fn pair(&self, session: &Session) {
        for section in &session.sections {
            let Some(kind) = section.kind else {
                continue;
            };
            let proposed = RTCRtpEncodingParameters::proposed(&section.taken_encodings, kind);
            if let Some(ours) = self.find_transceiver(&section.mid) {
                self.propose_encodings(&ours, proposed);
                continue;
            }
            let ours = self.free_for(kind, section.direction);
            let ours = match ours.filter(|_| !section.rejected) {
                Some(ours) => {
                    self.propose_encodings(&ours, proposed);
                    ours
                }
                None => {
                    let encodings = match proposed.is_empty() {
                        true => vec![RTCRtpEncodingParameters::default()],
                        false => proposed,
                    };
                    let sender = self.make_sender(kind, encodings);
                    let made = self.adopt(kind, sender, Direction::RecvOnly);
                    made.0.state.lock().created_by_remote = true;
                    made
                }
            };
            ours.set_mid(Some(&section.mid));
        }
    }

    /// The other side asks for several encodings of a transceiver that has one and was not described yet:
    /// the substrate gives a sender its streams once.
    fn propose_encodings(
        &self,
        transceiver: &RTCRtpTransceiver,
        proposed: Vec<RTCRtpEncodingParameters>,
    ) {
        let attached = transceiver.known().is_some_and(|known| known.has_sender);
        if !attached && !proposed.is_empty() {
            let (encoders, start) = (&self.context.encoders, self.context.start_bitrate);
            let sender = &transceiver.0.sender;
            sender.propose_encodings(proposed, encoders, start);
        }
    }

    /// What the section at a place is called already.
    fn mid_at(&self, at: usize, is_offer: bool) -> Option<String> {
        let negotiation = self.negotiation.lock();
        let described = match is_offer {
            true => negotiation.remote.as_ref(),
            false => negotiation.in_effect().0,
        };
        Some(described?.session.sections.get(at)?.mid.clone())
    }

    /// A transceiver of `add_track` for a section that the other side receives on.
    fn free_for(&self, kind: MediaKind, offered: Direction) -> Option<RTCRtpTransceiver> {
        let transceivers = self.transceivers.lock();
        let is_free = |transceiver: &&RTCRtpTransceiver| {
            let state = transceiver.0.state.lock();
            transceiver.0.kind == kind
                && offered.receives()
                && state.by_add_track
                && state.mid.is_none()
                && state.direction != Direction::Stopped
        };
        transceivers.iter().find(is_free).cloned()
    }

    /// Tells the substrate of the pending offer, which is about to be answered.
    pub(super) async fn tell_offer(&self) -> Result<(), RTCError> {
        let (text, session, added) = {
            let negotiation = self.negotiation.lock();
            match &negotiation.pending_remote {
                Some(offer) if !offer.told && offer.session.can_be_had() => {
                    let added = offer.added.clone();
                    (offer.description.sdp.clone(), offer.session.clone(), added)
                }
                _ => return Ok(()),
            }
        };
        let transceivers = self.transceivers.lock().clone();
        self.clear_provisional(&session).await?;
        for transceiver in &transceivers {
            let mid = transceiver.mid();
            let section = mid.as_deref().and_then(|mid| session.section(mid));
            let paired = section.is_some_and(Section::can_be_had);
            let created = transceiver.0.state.lock().created_by_remote;
            if paired && !created {
                self.attach(transceiver).await?;
            }
            if let Some(known) = transceiver.known()
                && known.transceiver.mid().await?.is_none()
            {
                // The substrate gives a section to the first of its kind that sends and receives, and
                // takes none that does neither.
                let direction = match paired {
                    true => Direction::SendRecv,
                    false => Direction::Inactive,
                };
                known
                    .transceiver
                    .set_direction(direction.to_substrate())
                    .await?;
            }
        }
        let knows = |mid: &str| {
            let ours = transceivers
                .iter()
                .find(|t| t.mid().as_deref() == Some(mid));
            ours.is_some_and(|ours| ours.known().is_some())
        };
        let known = sdp::for_substrate(&text, &session, true, knows);
        let known = RTCSessionDescription::new(RTCSdpType::Offer, known).to_substrate();
        let known = known.map_err(|error| RTCError::sdp(1, error.message))?;
        if let Err(error) = self.substrate.set_remote_description(known).await {
            let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "");
            // It may have failed before it changed anything.
            let _ = self
                .substrate
                .set_remote_description(rollback.to_substrate()?)
                .await;
            return Err(error.into());
        }
        if let Some(offer) = &mut self.negotiation.lock().pending_remote {
            offer.told = true;
        }
        self.link().await?;
        for (section, lines) in session.sections.iter().zip(added) {
            for line in lines.iter().filter(|_| session.shares_transport(section)) {
                if let Some(candidate) = line.strip_prefix("a=candidate:") {
                    self.give_candidate(candidate).await?;
                }
            }
        }
        Ok(())
    }

    /// An offer of ours that was made and not set has given its transceivers ids in the substrate,
    /// which this offer may have for others: it is set there and taken back.
    async fn clear_provisional(&self, session: &Session) -> Result<(), RTCError> {
        let transceivers = self.transceivers.lock().clone();
        let mut taken = false;
        for transceiver in transceivers.iter().filter(|t| t.mid().is_none()) {
            if let Some(known) = transceiver.known()
                && let Some(mid) = known.transceiver.mid().await?
            {
                taken |= session.section(&mid).is_some();
            }
        }
        let made = self
            .negotiation
            .lock()
            .last_offer
            .as_ref()
            .map(|made| made.known.clone());
        if let Some(made) = made.filter(|_| taken) {
            let offer = RTCSessionDescription::new(RTCSdpType::Offer, made).to_substrate()?;
            self.substrate.set_local_description(offer).await?;
            let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
            self.substrate.set_local_description(rollback).await?;
        }
        Ok(())
    }

    /// Finds the transceivers that the substrate made for an offer's sections.
    async fn link(&self) -> Result<(), RTCError> {
        let mut made = self.substrate.get_transceivers().await;
        made.sort_unstable_by_key(|transceiver| transceiver.id());
        for transceiver in made {
            let Some(mid) = transceiver.mid().await? else {
                continue;
            };
            if let Some(ours) = self.find_transceiver(&mid) {
                let mut state = ours.0.state.lock();
                state.known.get_or_insert(Known {
                    transceiver,
                    has_sender: false,
                });
            }
        }
        Ok(())
    }

    /// An answer has the sections of our offer, in its order, and says who begins the handshake.
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
        let pairs = offer.session.sections.iter().zip(&answer.sections);
        let mut pairs = pairs.filter(|(_, answered)| !answered.rejected);
        if pairs.any(|(offered, answered)| {
            offered.kind != answered.kind || offered.is_data != answered.is_data
        }) {
            let message = "the answer's media sections are of other kinds than the offer's";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        Ok(())
    }
}
