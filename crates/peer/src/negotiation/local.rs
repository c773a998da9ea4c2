//! [`setLocalDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setlocaldescription).

use super::{Described, wrong_state};
use crate::peer_connection::Shared;
use crate::{
    PeerConnectionEvent, RTCError, RTCIceGatheringState, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSdpType, RTCSessionDescription, RTCSignalingState,
    sdp,
};

const NOT_MADE_HERE: &str = "the description is not what this connection made last";

impl Shared {
    /// Candidates are about to be found, for the first time or anew.
    fn begin_gathering(&self, generation: &str) {
        let gathering = RTCIceGatheringState::Gathering;
        if !self.negotiation.lock().gather_for(generation) {
            return;
        }
        self.states.lock().ice_gathering = gathering;
        self.post(PeerConnectionEvent::IceGatheringStateChange(gathering));
        self.post_unusable_servers();
    }

    pub(super) async fn set_local(
        &self,
        description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
        let handed = {
            let negotiation = self.negotiation.lock();
            let (allowed, handed) = match description.sdp_type {
                RTCSdpType::Rollback => (negotiation.can_roll_back(), None),
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
            let made = handed
                .as_ref()
                .is_some_and(|handed| handed.shown == description.sdp);
            let wrong = || wrong_state("local", &description, negotiation.state);
            if description.sdp_type == RTCSdpType::Pranswer && !allowed {
                return Err(wrong());
            }
            if description.sdp_type != RTCSdpType::Rollback && !made {
                return Err(RTCError::modification(NOT_MADE_HERE));
            }
            if !allowed {
                return Err(wrong());
            }
            handed
        };
        if description.sdp_type == RTCSdpType::Rollback {
            return self.roll_back().await;
        }
        let handed = handed.ok_or_else(|| RTCError::modification(NOT_MADE_HERE))?;
        let session = sdp::parse(&description.sdp)?;
        let can_be_had = session.can_be_had();
        let (again, offer_told) = {
            let negotiation = self.negotiation.lock();
            let pending = negotiation.pending_local.as_ref();
            // The substrate goes by its transceivers, not by the text that it was told: another offer
            // over the same transport is the same to it.
            let again = pending.is_some_and(|pending| {
                pending.told
                    && pending.session.ice_ufrag == session.ice_ufrag
                    && pending.session.has_data() == session.has_data()
            });
            let offer = negotiation.pending_remote.as_ref();
            (again, offer.is_some_and(|offer| offer.told))
        };
        // A provisional answer stays here: the substrate begins with the last one, once and for all.
        let told = match description.sdp_type {
            RTCSdpType::Offer => can_be_had,
            RTCSdpType::Answer => can_be_had && offer_told,
            _ => false,
        };
        let known = RTCSessionDescription::new(description.sdp_type, handed.known.clone());
        if told && !again {
            // The substrate wants the old one taken back first.
            self.forget_local().await?;
            self.begin_gathering(&session.ice_ufrag);
            let known = known.to_substrate()?;
            self.substrate.set_local_description(known).await?;
        }

        for shown in &handed.sections {
            shown.transceiver.set_mid(Some(&shown.mid));
            shown.transceiver.0.state.lock().described = Some(shown.presented.direction);
            for stream in shown.transceiver.0.sender.sent() {
                self.path.set_mid(stream.ssrc, &shown.mid);
            }
        }
        let described = Described {
            description: description.clone(),
            session,
            sections: handed.sections.clone(),
            added: Vec::new(),
            told,
        };
        let ours = described.session.clone();
        self.offer_data(&ours);
        let state = {
            let mut negotiation = self.negotiation.lock();
            match description.sdp_type {
                RTCSdpType::Offer => {
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
                    if told {
                        negotiation.serves_dtls.get_or_insert(false);
                    }
                    negotiation.note_credentials();
                    RTCSignalingState::Stable
                }
            }
        };
        if description.sdp_type != RTCSdpType::Offer {
            let (theirs, client) = {
                let negotiation = self.negotiation.lock();
                let theirs = negotiation.in_effect().1.map(|d| d.session.clone());
                (
                    theirs.unwrap_or_default(),
                    negotiation.serves_dtls != Some(true),
                )
            };
            self.agree(description.sdp_type, (&ours, &theirs), false, client);
            self.note_generation();
        }
        for shown in &handed.sections {
            let (transceiver, direction) = (&shown.transceiver, shown.presented.direction);
            if description.sdp_type == RTCSdpType::Offer {
                // The encoder may start: its first picture will be there when the answer is.
                if direction.sends() && !transceiver.stopping() {
                    transceiver.0.sender.set_live(true);
                }
            } else {
                self.settle(transceiver, direction);
            }
        }
        self.set_state(state);
        Ok(())
    }

    /// Takes back what the substrate knows of our pending offer.
    pub(super) async fn forget_local(&self) -> Result<(), RTCError> {
        let told = {
            let negotiation = self.negotiation.lock();
            negotiation
                .pending_local
                .as_ref()
                .is_some_and(|described| described.told)
        };
        if !told {
            return Ok(());
        }
        let rollback = RTCSessionDescription::new(RTCSdpType::Rollback, "").to_substrate()?;
        Ok(self.substrate.set_local_description(rollback).await?)
    }

    /// A direction is agreed on.
    pub(super) fn settle(&self, transceiver: &RTCRtpTransceiver, direction: Direction) {
        if direction == Direction::Stopped {
            transceiver.halt();
        }
        let mut state = transceiver.0.state.lock();
        state.current_direction = Some(direction);
        state.has_sent |= direction.sends();
        // It may have been stopped since it was described.
        let live = direction.sends() && state.direction != Direction::Stopped;
        drop(state);
        transceiver.0.sender.set_live(live);
        self.path.renew_estimate();
    }
}
