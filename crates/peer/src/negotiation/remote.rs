//! [`setRemoteDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setremotedescription).

use super::{Described, wrong_state};
use crate::peer_connection::Shared;
use crate::sdp::{self, Session};
use crate::{
    RTCError, RTCErrorKind, RTCRtpEncodingParameters, RTCRtpTransceiverDirection as Direction,
    RTCSdpType, RTCSessionDescription, RTCSignalingState,
};

impl Shared {
    pub(super) async fn set_remote(
        &self,
        description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
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
            sections: Vec::new(),
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
                    negotiation.note_credentials();
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
        // The program is told the state first, and of the tracks then.
        self.announce(state);
        self.follow_remote(&session);
        self.conclude(state);
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
}
