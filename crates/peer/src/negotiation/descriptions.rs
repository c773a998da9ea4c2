//! Descriptions in effect, as the program sees them: with the candidates that came since.

use super::{Described, Negotiation};
use crate::sdp;
use crate::transport::RTCIceParameters;
use crate::{RTCIceCandidate, RTCIceCandidateInit, RTCPeerConnection, RTCSessionDescription};

/// Candidates of this side, as they were found.
#[derive(Default)]
pub(super) struct Gathered {
    /// Each with its generation.
    candidates: Vec<(String, String)>,
    complete: bool,
    /// What is being gathered for.
    generation: String,
}

/// Candidates of this side that are remembered; the substrate finds one for each address and server.
const MAX_GATHERED: usize = 1_024;

impl RTCPeerConnection {
    /// [`localDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-localdescription),
    /// with the candidates found so far. It never waits.
    pub async fn local_description(&self) -> Option<RTCSessionDescription> {
        let negotiation = self.0.negotiation.lock();
        negotiation.in_effect().0.map(|d| negotiation.local_text(d))
    }

    /// [`currentLocalDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-currentlocaldescription).
    pub fn current_local_description(&self) -> Option<RTCSessionDescription> {
        let negotiation = self.0.negotiation.lock();
        negotiation
            .local
            .as_ref()
            .map(|d| negotiation.local_text(d))
    }

    /// [`pendingLocalDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-pendinglocaldescription).
    pub fn pending_local_description(&self) -> Option<RTCSessionDescription> {
        let negotiation = self.0.negotiation.lock();
        negotiation
            .pending_local
            .as_ref()
            .map(|d| negotiation.local_text(d))
    }

    /// [`remoteDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-remotedescription),
    /// with the candidates added so far.
    pub fn remote_description(&self) -> Option<RTCSessionDescription> {
        let negotiation = self.0.negotiation.lock();
        negotiation.in_effect().1.map(Described::text)
    }

    /// [`currentRemoteDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-currentremotedescription).
    pub fn current_remote_description(&self) -> Option<RTCSessionDescription> {
        self.0
            .negotiation
            .lock()
            .remote
            .as_ref()
            .map(Described::text)
    }

    /// [`pendingRemoteDescription`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-pendingremotedescription).
    pub fn pending_remote_description(&self) -> Option<RTCSessionDescription> {
        self.0
            .negotiation
            .lock()
            .pending_remote
            .as_ref()
            .map(Described::text)
    }

    /// [`canTrickleIceCandidates`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-cantrickleicecandidates):
    /// whether the other side takes candidates one by one; `None` before it described itself.
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        let negotiation = self.0.negotiation.lock();
        negotiation
            .in_effect()
            .1
            .map(|described| described.session.trickles)
    }
}

impl Described {
    /// A description of the other side, with what was added.
    fn text(&self) -> RTCSessionDescription {
        let sdp = sdp::with_lines(&self.description.sdp, |at| {
            self.added.get(at).cloned().unwrap_or_default()
        });
        RTCSessionDescription::new(self.description.sdp_type, sdp)
    }

    /// Notes a candidate of the other side, or with an empty one that there will be no more, for a
    /// section or for all.
    pub(super) fn add(&mut self, section: Option<usize>, ufrag: Option<&str>, candidate: &str) {
        self.added.resize(self.session.sections.len(), Vec::new());
        let line = match candidate {
            "" => "a=end-of-candidates".to_owned(),
            candidate => format!("a={candidate}"),
        };
        for (at, lines) in self.added.iter_mut().enumerate() {
            let of = &self.session.sections[at];
            let meant = section.is_none_or(|section| section == at)
                && ufrag.is_none_or(|ufrag| ufrag == of.ice_ufrag);
            if meant && !lines.contains(&line) {
                lines.push(line.clone());
            }
        }
    }
}

impl Negotiation {
    fn local_text(&self, described: &Described) -> RTCSessionDescription {
        let first = described
            .session
            .sections
            .iter()
            .position(|section| !section.rejected);
        let sdp = &described.description.sdp;
        let of_generation = |(ufrag, _): &&(String, String)| *ufrag == described.session.ice_ufrag;
        let sdp = sdp::with_lines(sdp, |at| {
            if Some(at) != first {
                return Vec::new();
            }
            let found = self.gathered.candidates.iter().filter(of_generation);
            let lines = found.map(|(_, candidate)| format!("a={candidate}"));
            let end = self
                .gathered
                .complete
                .then(|| "a=end-of-candidates".to_owned());
            let lines = lines.chain(end);
            lines
                .filter(|line| !sdp.contains(&format!("{line}\r\n")))
                .collect()
        });
        RTCSessionDescription::new(described.description.sdp_type, sdp)
    }

    /// Candidates are about to be gathered for a generation; false if they have been.
    pub(super) fn gather_for(&mut self, generation: &str) -> bool {
        let fresh = self.gathered.generation != generation;
        if fresh {
            generation.clone_into(&mut self.gathered.generation);
            self.gathered.complete = false;
        }
        fresh
    }

    pub(crate) fn has_local(&self) -> bool {
        self.in_effect().0.is_some()
    }

    /// A candidate was found.
    pub(crate) fn note_local_candidate(&mut self, candidate: &RTCIceCandidateInit) {
        let of_line = crate::ice_candidate::username_fragment(&candidate.candidate);
        let generation = of_line.map_or_else(|| self.gathered.generation.clone(), str::to_owned);
        if self.gathered.candidates.len() < MAX_GATHERED {
            let found = (generation, candidate.candidate.clone());
            self.gathered.candidates.push(found);
        }
        self.gathered.complete = false;
    }

    pub(crate) fn note_end_of_candidates(&mut self) {
        self.gathered.complete = true;
        // What belongs to no description any more is not looked for again.
        let current: Vec<String> = [&self.local, &self.pending_local]
            .into_iter()
            .flatten()
            .map(|described| described.session.ice_ufrag.clone())
            .collect();
        let candidates = &mut self.gathered.candidates;
        candidates.retain(|(ufrag, _)| current.contains(ufrag));
    }

    /// Candidates of the standing generation, of this side or of the other.
    pub(crate) fn candidates(&self, local: bool) -> Vec<RTCIceCandidate> {
        let (ours, theirs) = self.in_effect();
        let read = |candidate: &str, mid: &str, ufrag: &str| {
            RTCIceCandidate::new(RTCIceCandidateInit {
                candidate: candidate.to_owned(),
                sdp_mid: Some(mid.to_owned()),
                sdp_mline_index: None,
                username_fragment: Some(ufrag.to_owned()),
            })
            .ok()
        };
        if local {
            let (Some(ours), mid) = (ours, self.first_mid().unwrap_or_default()) else {
                return Vec::new();
            };
            let ufrag = &ours.session.ice_ufrag;
            let found = self
                .gathered
                .candidates
                .iter()
                .filter(|(of, _)| of == ufrag);
            return found
                .filter_map(|(_, line)| read(line, &mid, ufrag))
                .collect();
        }
        let Some(theirs) = theirs else {
            return Vec::new();
        };
        let mut candidates = Vec::new();
        for (at, section) in theirs.session.sections.iter().enumerate() {
            let told = section
                .candidates
                .iter()
                .map(|line| format!("candidate:{line}"));
            let added = theirs.added.get(at).into_iter().flatten();
            let added = added.filter_map(|line| line.strip_prefix("a=").map(str::to_owned));
            let all = told
                .chain(added)
                .filter(|line| line.starts_with("candidate:"));
            candidates.extend(all.filter_map(|line| read(&line, &section.mid, &section.ice_ufrag)));
        }
        candidates
    }

    pub(crate) fn ice_parameters(&self, local: bool) -> Option<RTCIceParameters> {
        let (ours, theirs) = self.in_effect();
        let session = &if local { ours } else { theirs }?.session;
        (!session.ice_ufrag.is_empty()).then(|| RTCIceParameters {
            username_fragment: session.ice_ufrag.clone(),
            password: session.ice_pwd.clone(),
        })
    }
}

/// The head of a description that has no transport.
pub(super) fn empty_description() -> String {
    let session: u64 = rand::random::<u64>() >> 1;
    format!("v=0\r\no=- {session} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")
}
