//! Candidates of the other side.

use crate::ice_candidate::is_passive;
use crate::peer_connection::Shared;
use crate::{RTCError, RTCIceCandidateInit, RTCPeerConnection, sdp};
use std::collections::BTreeSet;
use webrtc::peer_connection as substrate;

/// Candidates that are taken from the other side in one generation. What is above is refused: each
/// makes this machine send checks to an address of the other side's choice.
const MAX_CANDIDATES: usize = 100;

impl RTCPeerConnection {
    /// [`addIceCandidate`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-addicecandidate).
    /// `None`, and an empty candidate, mean that there will be no more.
    ///
    /// # Errors
    /// `InvalidStateError` without a remote description, `TypeError` for a candidate that names no
    /// section, `OperationError` for one of a section that is not there, that does not parse, is of
    /// another generation, or is one too many.
    pub async fn add_ice_candidate(
        &self,
        candidate: Option<RTCIceCandidateInit>,
    ) -> Result<(), RTCError> {
        let init = candidate.unwrap_or_default();
        let named = init.sdp_mid.is_some() || init.sdp_mline_index.is_some();
        if !init.candidate.is_empty() && !named {
            let message = "a candidate wants an sdpMid or an sdpMLineIndex";
            return Err(RTCError::type_error(message));
        }
        let _turn = self.0.turn().await?;
        let Some(candidate) = self.0.check_candidate(&init)? else {
            return Ok(());
        };
        self.0.give_candidate(&candidate).await
    }
}

impl Shared {
    /// Gives the transport a candidate, without `candidate:`.
    pub(super) async fn give_candidate(&self, candidate: &str) -> Result<(), RTCError> {
        let candidate = substrate::RTCIceCandidateInit {
            candidate: candidate.to_owned(),
            sdp_mline_index: Some(0),
            ..Default::default()
        };
        self.substrate.add_ice_candidate(candidate).await?;
        self.path.wake();
        Ok(())
    }

    /// Candidates of a description that wait for connections: the substrate checks them with the others, and connects
    /// to those alone that it is told of by themselves. Those that a connection leads to already are left out.
    pub(crate) async fn connect_to_passive(&self) -> Result<(), RTCError> {
        let passive: BTreeSet<String> = {
            let mut negotiation = self.negotiation.lock();
            let Some(remote) = negotiation.remote_in_effect().filter(|remote| remote.told) else {
                return Ok(());
            };
            let added = remote.added.iter().flatten().map(String::as_str);
            let lines = remote.description.sdp.lines().chain(added);
            let candidates = lines.filter_map(|line| line.strip_prefix("a=candidate:"));
            let passive = candidates.map(str::trim_end).filter(|it| is_passive(it));
            passive.map(str::to_owned).collect()
        };
        for candidate in passive {
            if !self.tcp.leads_to(&candidate) {
                self.give_candidate(&candidate).await?;
            }
        }
        Ok(())
    }

    /// Notes a candidate in the description that it belongs to. What is returned is for the transport.
    fn check_candidate(&self, init: &RTCIceCandidateInit) -> Result<Option<String>, RTCError> {
        let mut negotiation = self.negotiation.lock();
        let taken = negotiation.taken;
        let Some(remote) = negotiation.remote_in_effect() else {
            return Err(RTCError::state("there is no remote description yet"));
        };
        let sections = &remote.session.sections;
        let named = init.sdp_mid.is_some() || init.sdp_mline_index.is_some();
        let section = match (&init.sdp_mid, init.sdp_mline_index) {
            (Some(mid), _) => sections.iter().position(|section| section.mid == *mid),
            (None, Some(index)) => Some(usize::from(index)).filter(|at| *at < sections.len()),
            (None, None) => None,
        };
        if named && section.is_none() {
            return Err(RTCError::operation("the candidate is of no media section"));
        }
        let generation = init
            .username_fragment
            .as_deref()
            .filter(|ufrag| !ufrag.is_empty());
        let mut meant = sections
            .iter()
            .enumerate()
            .filter(|(at, _)| section.is_none_or(|section| section == *at));
        if generation.is_some_and(|ufrag| !meant.any(|(_, section)| section.ice_ufrag == ufrag)) {
            let message = "the candidate is of another generation";
            return Err(RTCError::operation(message));
        }
        if init.candidate.is_empty() {
            remote.add(section, generation, "");
            return Ok(None);
        }
        sdp::check_candidate(&init.candidate)?;
        if taken >= MAX_CANDIDATES {
            let message = format!("more than {MAX_CANDIDATES} candidates");
            return Err(RTCError::operation(message));
        }
        // RTCP goes along with RTP, and what is not bundled has no transport.
        let apart = section.is_some_and(|at| !remote.session.shares_transport(&sections[at]));
        let line = init.candidate.trim();
        let line = line.strip_prefix("candidate:").unwrap_or(line).to_owned();
        remote.add(section, generation, &format!("candidate:{line}"));
        // Others go along when the substrate hears of the description.
        let told = remote.told;
        negotiation.taken += 1;
        let rtp = line.split_ascii_whitespace().nth(1) == Some("1");
        Ok((told && rtp && !apart).then_some(line))
    }
}
