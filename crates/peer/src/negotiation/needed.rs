//! Whether there is something to negotiate.

use super::{Negotiation, Shown};
use crate::peer_connection::Shared;
use crate::{
    PeerConnectionEvent, RTCPeerConnection, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSignalingState,
};

impl RTCPeerConnection {
    /// Whether there is something to negotiate, and the state allows it
    /// ([`[[NegotiationNeeded]]`](https://w3c.github.io/webrtc-pc/#dfn-negotiationneeded)).
    pub fn negotiation_needed(&self) -> bool {
        !self.0.is_closed() && self.0.still_needs_negotiation()
    }
}

impl Shared {
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

    /// The last step of negotiation ended while the event waited.
    pub(crate) fn post_negotiation_needed(&self) {
        if !self.is_closed() && self.still_needs_negotiation() {
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
    if !negotiation.replaced.is_empty() {
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
        let local = negotiation.local.as_ref();
        let shown = local.and_then(|d| d.sections.iter().find(|s| s.transceiver == *transceiver));
        let regrouped = |shown: &Shown| {
            let streams = transceiver.0.sender.streams();
            state.direction.sends()
                && shown.presented.direction.sends()
                && shown.presented.streams != streams
        };
        match (state.described, state.offered) {
            _ if state.mid.is_none() => true,
            _ if shown.is_some_and(regrouped) => true,
            (Some(described), Some(offered)) if negotiation.we_offered => {
                described != state.direction && offered != state.direction
            }
            (Some(described), Some(offered)) => described != state.direction.and(offered),
            _ => true,
        }
    })
}
