//! [`setLocalDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setlocaldescription).

use super::{Described, wrong_state};
use crate::peer_connection::Shared;
use crate::{
    RTCError, RTCErrorKind, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction, RTCSdpType,
    RTCSessionDescription, RTCSignalingState, sdp,
};

impl Shared {
    pub(super) async fn set_local(
        &self,
        mut description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
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

        for shown in &handed.sections {
            let mut state = shown.transceiver.0.state.lock();
            state.mid = Some(shown.mid.clone());
            state.described = Some(shown.presented.direction);
            drop(state);
            let ssrc = shown.transceiver.0.sender.0.ssrc;
            self.path.set_mid(ssrc, &shown.mid);
        }
        let described = Described {
            description: description.clone(),
            session,
            sections: handed.sections.clone(),
        };
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
                    negotiation.serves_dtls.get_or_insert(false);
                    negotiation.note_credentials();
                    RTCSignalingState::Stable
                }
            }
        };
        for shown in &handed.sections {
            let (transceiver, direction) = (&shown.transceiver, shown.presented.direction);
            if description.sdp_type == RTCSdpType::Offer {
                // The encoder may start: its first picture will be there when the answer is.
                if direction.sends() && !transceiver.stopped() {
                    transceiver.0.sender.set_live(true);
                }
            } else {
                self.settle(transceiver, direction);
            }
        }
        self.set_state(state);
        Ok(())
    }

    /// A direction is agreed on.
    pub(super) fn settle(&self, transceiver: &RTCRtpTransceiver, direction: Direction) {
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
