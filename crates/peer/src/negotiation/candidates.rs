//! Candidates of the other side.

use crate::peer_connection::Shared;
use crate::{RTCError, RTCErrorKind, RTCIceCandidateInit, RTCPeerConnection, sdp};
use webrtc::peer_connection as substrate;

/// Candidates that are taken from the other side in one generation. What is above is refused: each
/// makes this machine send checks to an address of the other side's choice.
const MAX_CANDIDATES: usize = 100;

impl RTCPeerConnection {
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
}

impl Shared {
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
}
