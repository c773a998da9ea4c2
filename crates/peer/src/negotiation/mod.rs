//! Offers and answers: [JSEP](https://www.rfc-editor.org/rfc/rfc9429) as webrtc-pc wants it, over a
//! substrate that keeps descriptions of its own.
//!
//! Directions are the W3C's: what the program prefers is never changed by what the other side says;
//! each description says what both allow. What a remote description adds and takes away becomes
//! events on connection, streams and tracks here.

mod agreed;
mod candidates;
mod create;
mod descriptions;
mod local;
mod needed;
mod remote;
mod rollback;
#[cfg(test)]
mod tests;
mod tracks;

use crate::peer_connection::Shared;
use crate::sdp::{Presented, Session};
use crate::{
    PeerConnectionEvent, RTCError, RTCOfferOptions, RTCPeerConnection, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSdpType, RTCSessionDescription, RTCSignalingState,
};
use descriptions::Gathered;
use std::sync::atomic::Ordering;

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
    /// User-name fragments that are to be replaced, of both sides: those in effect when a restart was
    /// asked for, so three at most
    /// ([`[[LocalIceCredentialsToReplace]]`](https://www.w3.org/TR/webrtc/#dfn-localicecredentialstoreplace)).
    replaced: Vec<String>,
    needed: bool,
    /// Candidates that were taken from the other side in its generation.
    taken: usize,
    gathered: Gathered,
    we_offered: bool,
    /// Whether this side is the server of the DTLS handshake: settled by the first answer, for good
    /// ([RFC 8842, section 5.5](https://www.rfc-editor.org/rfc/rfc8842#section-5.5)).
    serves_dtls: Option<bool>,
    /// The user-name fragments agreed on.
    generation: [Option<String>; 2],
}

/// A description that is in effect.
#[derive(Clone)]
struct Described {
    description: RTCSessionDescription,
    session: Session,
    /// Of ours: how its sections stand in it, whatever was made since.
    sections: Vec<Shown>,
    /// Of the other side: for each section, the lines of candidates that came since.
    added: Vec<Vec<String>>,
    /// The substrate knows it. It cannot have one without a section, which needs no transport.
    told: bool,
}

/// How a transceiver stands in a description of ours.
#[derive(Clone)]
struct Shown {
    transceiver: RTCRtpTransceiver,
    mid: String,
    presented: Presented,
}

/// A description of ours: as the program sees it, and as the substrate knows it.
#[derive(Clone)]
struct Handed {
    shown: String,
    known: String,
    sections: Vec<Shown>,
    /// Whether it still says all there is to say: see [`Shared::revision`].
    revision: u64,
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
            replaced: Vec::new(),
            needed: false,
            taken: 0,
            gathered: Gathered::default(),
            we_offered: false,
            serves_dtls: None,
            generation: [None, None],
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

    fn remote_in_effect(&mut self) -> Option<&mut Described> {
        self.pending_remote.as_mut().or(self.remote.as_mut())
    }

    fn wish_for_restart(&mut self) {
        let in_effect = [&self.local, &self.pending_local, &self.remote];
        let ufrags = in_effect.into_iter().flatten();
        let ufrags = ufrags.map(|described| described.session.ice_ufrag.clone());
        self.replaced = ufrags.filter(|ufrag| !ufrag.is_empty()).collect();
    }

    /// The wish for a restart is met once both sides have agreed on other credentials, whoever asked
    /// first. Until then it outlives every rollback. Ours alone are no sign: the substrate keeps those
    /// of an offer that was taken back.
    fn note_credentials(&mut self) {
        let mut agreed = [&self.local, &self.remote].into_iter().flatten();
        if !agreed.any(|described| self.replaced.contains(&described.session.ice_ufrag)) {
            self.replaced.clear();
        }
    }

    /// Whether the credentials agreed on are others than those before.
    fn is_other_generation(&mut self) -> bool {
        let agreed = [&self.local, &self.remote];
        let agreed = agreed.map(|described| {
            let described = described.as_ref();
            described.map(|described| described.session.ice_ufrag.clone())
        });
        std::mem::replace(&mut self.generation, agreed.clone()) != agreed
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
    /// With `None`, or without a text, the offer or answer that is due is set; it is made if there is
    /// none, or if it would say something else by now.
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
            Some(description) if !description.sdp.is_empty() => description,
            Some(description) => self.0.implied(description).await?,
            None => {
                let due = if self.0.is_asked() {
                    RTCSdpType::Answer
                } else {
                    RTCSdpType::Offer
                };
                self.0.implied(RTCSessionDescription::new(due, "")).await?
            }
        };
        self.0.setting_local.store(true, Ordering::Release);
        let set = self.0.set_local(description).await;
        self.0.setting_local.store(false, Ordering::Release);
        set?;
        self.0.connect_to_passive().await?;
        // Who waited for this has heard of all that came of it.
        self.0.told().await;
        Ok(())
    }

    /// [`setRemoteDescription`](https://www.w3.org/TR/webrtc/#dom-peerconnection-setremotedescription).
    /// An offer that comes while ours is pending takes ours back first.
    ///
    /// # Errors
    /// `OperationError` with [`SdpSyntaxError`](crate::RTCErrorDetail::SdpSyntaxError) for what is no
    /// description, `InvalidAccessError` for one that could not be trusted or does not fit our offer,
    /// `InvalidStateError` if it does not fit the signaling state.
    pub async fn set_remote_description(
        &self,
        description: RTCSessionDescription,
    ) -> Result<(), RTCError> {
        let _turn = self.0.turn().await?;
        self.0.set_remote(description).await?;
        self.0.connect_to_passive().await?;
        self.0.told().await;
        Ok(())
    }

    /// [`restartIce`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-restartice): the next offer
    /// looks for a way anew. A connection that lost its way asks for it by itself.
    pub fn restart_ice(&self) {
        self.0.restart_ice();
    }
}

impl Shared {
    pub(crate) fn restart_ice(&self) {
        if self.is_closed() {
            return;
        }
        self.negotiation.lock().wish_for_restart();
        self.something_changed();
    }

    /// A description settled the credentials.
    fn note_generation(&self) {
        let fresh = self.negotiation.lock().is_other_generation();
        if fresh {
            self.recovery.on_restart(self.dtls.ice_transport().role());
        }
    }

    fn set_state(&self, state: RTCSignalingState) {
        self.announce(state);
        self.conclude(state);
    }

    /// Takes on a state, and tells the program.
    fn announce(&self, state: RTCSignalingState) {
        // What was made before may not be what is to be said now.
        self.revision_passed();
        let before = std::mem::replace(&mut self.negotiation.lock().state, state);
        if before != state {
            self.post(PeerConnectionEvent::SignalingStateChange(state));
        }
    }

    /// Transceivers that ended before anybody heard of them end for good; nothing is negotiated.
    fn end_undescribed(&self) {
        for transceiver in self.transceivers.lock().iter() {
            let mut state = transceiver.0.state.lock();
            if state.direction == Direction::Stopped && state.mid.is_none() {
                state.current_direction = Some(Direction::Stopped);
            }
        }
    }

    /// Looks whether there is more to negotiate, once all that the description says is done.
    fn conclude(&self, state: RTCSignalingState) {
        if state == RTCSignalingState::Stable {
            self.negotiation.lock().needed = false;
            self.end_undescribed();
            self.update_negotiation_needed();
        }
    }
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
