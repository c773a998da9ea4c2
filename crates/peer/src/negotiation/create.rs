//! Descriptions of ours: made, and shown as the program and the other side are to see them.

use super::{Described, Handed, Shown};
use crate::peer_connection::Shared;
use crate::sdp::{self, Presented};
use crate::{
    RTCError, RTCRtpTransceiver, RTCRtpTransceiverDirection as Direction, RTCSdpType,
    RTCSessionDescription, RTCSignalingState,
};

impl Shared {
    pub(super) fn is_asked(&self) -> bool {
        let state = self.negotiation.lock().state;
        matches!(
            state,
            RTCSignalingState::HaveRemoteOffer | RTCSignalingState::HaveLocalPranswer
        )
    }

    pub(super) async fn create_offer(
        &self,
        restart: bool,
    ) -> Result<RTCSessionDescription, RTCError> {
        let restart = {
            let negotiation = self.negotiation.lock();
            if !matches!(
                negotiation.state,
                RTCSignalingState::Stable | RTCSignalingState::HaveLocalOffer
            ) {
                let message = format!("no offer can be made in {}", negotiation.state);
                return Err(RTCError::state(message));
            }
            restart || !negotiation.replaced.is_empty()
        };
        let mut offered = Vec::new();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            self.attach_sender(&transceiver).await?;
            let direction = transceiver.direction();
            let known = direction.to_substrate();
            transceiver.0.substrate.set_direction(known).await?;
            offered.push((transceiver, direction));
        }
        let options = rtc::peer_connection::configuration::RTCOfferOptions {
            ice_restart: restart,
        };
        let offer = self.substrate.create_offer(Some(options)).await?;
        let mut sections = Vec::new();
        for (transceiver, direction) in offered {
            if let Some(mid) = transceiver.0.substrate.mid().await? {
                sections.push(Shown::new(transceiver, mid, direction));
            }
        }
        let shown = show(&offer.sdp, &sections);
        self.negotiation.lock().last_offer = Some(Handed {
            shown: shown.clone(),
            known: offer.sdp,
            sections,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Offer, shown))
    }

    pub(super) async fn create_answer(&self) -> Result<RTCSessionDescription, RTCError> {
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
            sections.push(Shown::new(transceiver, section.mid.clone(), direction));
        }
        let answer = self.substrate.create_answer(None).await?;
        let shown = show(&answer.sdp, &sections);
        let shown = self.negotiation.lock().in_its_role(shown);
        self.negotiation.lock().last_answer = Some(Handed {
            shown: shown.clone(),
            known: answer.sdp,
            sections,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Answer, shown))
    }

    fn is_remote_offer(&self, described: &Described) -> bool {
        described.description.sdp_type == RTCSdpType::Offer
    }

    /// A transceiver that the other side's offer made gets its sender when it is first described, so
    /// that a rollback before that removes it whole.
    async fn attach_sender(&self, transceiver: &RTCRtpTransceiver) -> Result<(), RTCError> {
        if transceiver.0.state.lock().attached {
            return Ok(());
        }
        // The substrate gives it to its first transceiver of that kind without one: the same.
        let track = crate::substrate::local_track(&transceiver.0.sender);
        let sender = self.substrate.add_track(track).await?;
        debug_assert_eq!(usize::from(sender.id()), transceiver.0.id);
        transceiver.0.state.lock().attached = true;
        Ok(())
    }

    /// From here on a rollback keeps every transceiver: the program has begun to use one that the
    /// other side's offer made, or adds one of its own, whose place in the substrate must not change.
    pub(crate) async fn keep_offered(&self) -> Result<(), RTCError> {
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            self.attach_sender(&transceiver).await?;
        }
        Ok(())
    }
}

impl Shown {
    fn new(transceiver: RTCRtpTransceiver, mid: String, direction: Direction) -> Self {
        let sender = &transceiver.0.sender;
        let presented = Presented {
            direction,
            streams: sender.streams(),
            track_id: sender.0.track_id.clone(),
        };
        Shown {
            transceiver,
            mid,
            presented,
        }
    }
}

/// The substrate's description as the program and the other side are to see it.
pub(super) fn show(known: &str, sections: &[Shown]) -> String {
    sdp::present(known, |mid| {
        let shown = sections.iter().find(|shown| shown.mid == mid)?;
        Some(shown.presented.clone())
    })
}
