//! Descriptions of ours: made, and shown as the program and the other side are to see them.

use super::descriptions::empty_description;
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
        self.attach_channels().await;
        let revision = self.revision();
        let mut offered = Vec::new();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            let direction = transceiver.direction();
            if direction == Direction::Stopped && transceiver.known().is_none() {
                // It ended before anybody heard of it.
                continue;
            }
            self.attach(&transceiver).await?;
            let Some(known) = transceiver.known() else {
                continue;
            };
            known
                .transceiver
                .set_direction(direction.to_substrate())
                .await?;
            offered.push((transceiver, known, direction));
        }
        let options = rtc::peer_connection::configuration::RTCOfferOptions {
            ice_restart: restart,
        };
        let offer = self.substrate.create_offer(Some(options)).await?;
        let mut sections = Vec::new();
        for (transceiver, known, direction) in offered {
            if let Some(mid) = known.transceiver.mid().await? {
                let rids = transceiver.0.sender.rids();
                let rids = if rids.len() > 1 { rids } else { Vec::new() };
                sections.push(Shown::new(transceiver, mid, direction, rids));
            }
        }
        // What was described stays where it was, also what the substrate never heard of.
        let before = self
            .negotiation
            .lock()
            .local
            .as_ref()
            .map(|d| d.description.sdp.clone());
        let shown = show(&offer.sdp, &sections);
        let shown = before
            .iter()
            .fold(shown, |shown, before| sdp::arrange(&shown, before));
        self.negotiation.lock().last_offer = Some(Handed {
            shown: shown.clone(),
            known: offer.sdp,
            sections,
            revision,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Offer, shown))
    }

    pub(super) async fn create_answer(&self) -> Result<RTCSessionDescription, RTCError> {
        let (offered, offer) = match &self.negotiation.lock().pending_remote {
            Some(offer) if self.is_remote_offer(offer) => {
                (offer.session.clone(), offer.description.sdp.clone())
            }
            _ => return Err(RTCError::state("there is no offer to answer")),
        };
        let revision = self.revision();
        let told = offered.can_be_had();
        if told {
            self.tell_offer().await?;
            self.attach_channels().await;
        }
        let mut sections = Vec::new();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            let Some(section) = transceiver.mid().and_then(|mid| offered.section(&mid)) else {
                continue;
            };
            let direction = match transceiver.direction() {
                _ if !section.can_be_had() => Direction::Stopped,
                Direction::Stopped => Direction::Stopped,
                preferred => preferred.and(section.direction.reversed()),
            };
            if let Some(known) = transceiver.known() {
                self.attach(&transceiver).await?;
                let direction = direction.to_substrate();
                known.transceiver.set_direction(direction).await?;
            }
            let asked = |rid: &String| section.taken_encodings.iter().any(|one| one.rid == *rid);
            let rids = transceiver.0.sender.rids().into_iter().filter(asked);
            let (mid, rids) = (section.mid.clone(), rids.collect());
            sections.push(Shown::new(transceiver, mid, direction, rids));
        }
        let known = match told {
            true => self.substrate.create_answer(None).await?.sdp,
            false => empty_description(),
        };
        let shown = sdp::arrange(&show(&known, &sections), &offer);
        let shown = self.negotiation.lock().in_its_role(shown);
        self.negotiation.lock().last_answer = Some(Handed {
            shown: shown.clone(),
            known,
            sections,
            revision,
        });
        Ok(RTCSessionDescription::new(RTCSdpType::Answer, shown))
    }

    fn is_remote_offer(&self, described: &Described) -> bool {
        described.description.sdp_type == RTCSdpType::Offer
    }

    /// The offer or answer that was made last, if it still says all there is to say; else a new one.
    pub(super) async fn implied(
        &self,
        wanted: RTCSessionDescription,
    ) -> Result<RTCSessionDescription, RTCError> {
        let (asked, revision) = (self.is_asked(), self.revision());
        let fresh = |handed: &Option<Handed>| {
            let fresh = handed.as_ref().filter(|handed| handed.revision == revision);
            fresh.map(|handed| handed.shown.clone())
        };
        let sdp = match wanted.sdp_type {
            RTCSdpType::Rollback => String::new(),
            RTCSdpType::Offer => {
                let last = fresh(&self.negotiation.lock().last_offer);
                match last {
                    Some(last) => last,
                    None => self.create_offer(false).await?.sdp,
                }
            }
            RTCSdpType::Answer | RTCSdpType::Pranswer => {
                let last = fresh(&self.negotiation.lock().last_answer).filter(|_| asked);
                match last {
                    Some(last) => last,
                    None => self.create_answer().await?.sdp,
                }
            }
        };
        Ok(RTCSessionDescription::new(wanted.sdp_type, sdp))
    }
}

impl Shown {
    fn new(
        transceiver: RTCRtpTransceiver,
        mid: String,
        direction: Direction,
        rids: Vec<String>,
    ) -> Self {
        let sender = &transceiver.0.sender;
        let presented = Presented {
            direction,
            codecs: transceiver.0.state.lock().codecs.clone(),
            streams: sender.streams(),
            track_id: sender.0.track_id.clone(),
            rids,
        };
        Shown {
            transceiver,
            mid,
            presented,
        }
    }
}

/// The substrate's description as the program and the other side are to see it.
fn show(known: &str, sections: &[Shown]) -> String {
    sdp::present(known, |mid| {
        let shown = sections.iter().find(|shown| shown.mid == mid)?;
        Some(shown.presented.clone())
    })
}
