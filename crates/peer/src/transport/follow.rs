//! The transports go along with what the substrate says of its own.

use super::ice::transport_state;
use super::{
    RTCDtlsTransportState, RTCIceCandidatePair, RTCIceTransportEvent, RTCSctpTransport,
    RTCSctpTransportState,
};
use crate::peer_connection::Shared;
use crate::{
    PeerConnectionEvent, RTCError, RTCErrorDetail, RTCIceCandidate, RTCIceCandidateInit,
    RTCIceConnectionState, RTCPeerConnectionState,
};
use std::sync::Arc;
use webrtc::peer_connection::transport as substrate;

impl Shared {
    /// The connection's event `event` is about to be told: the transports' own come first.
    pub(crate) async fn follow_transports(&self, event: &PeerConnectionEvent) {
        let ice = self.dtls.ice_transport();
        match event {
            PeerConnectionEvent::IceGatheringStateChange(state) => {
                ice.tell(&RTCIceTransportEvent::GatheringStateChange(*state));
            }
            PeerConnectionEvent::IceConnectionStateChange(state) => {
                let event = RTCIceTransportEvent::StateChange(transport_state(*state));
                ice.tell(&event);
                if *state == RTCIceConnectionState::Connected {
                    self.dtls.advance(RTCDtlsTransportState::Connecting, None);
                }
            }
            PeerConnectionEvent::ConnectionStateChange(RTCPeerConnectionState::Connected) => {
                if let Some(dtls) = self.substrate_dtls().await
                    && let Ok(certificates) = dtls.get_remote_certificates().await
                {
                    let certificates = certificates.into_iter().map(Into::into);
                    self.dtls.set_certificates(certificates.collect());
                }
                self.dtls.advance(RTCDtlsTransportState::Connected, None);
            }
            PeerConnectionEvent::ConnectionStateChange(RTCPeerConnectionState::Failed) => {
                let found = self.states.lock().ice_connection != RTCIceConnectionState::Failed;
                // Without a way there is no handshake that could have failed.
                let state = RTCDtlsTransportState::Failed;
                if found && self.dtls.state() != state {
                    let detail = RTCErrorDetail::DtlsFailure {
                        received_alert: None,
                        sent_alert: None,
                    };
                    let error = RTCError::detailed(detail, "no keys could be agreed on");
                    self.dtls
                        .advance(RTCDtlsTransportState::Failed, Some(error));
                }
            }
            _ => {}
        }
    }

    /// Another pair of addresses is in use.
    pub(crate) async fn follow_pair(&self) {
        let Some(dtls) = self.substrate_dtls().await else {
            return;
        };
        if let Ok(Some(pair)) = dtls.ice_transport().get_selected_candidate_pair().await
            && let (Some(local), Some(remote)) =
                (self.candidate(pair.local()), self.candidate(pair.remote()))
        {
            let ice = self.dtls.ice_transport();
            ice.select(RTCIceCandidatePair { local, remote });
        }
    }

    fn candidate(
        &self,
        known: &rtc::peer_connection::transport::RTCIceCandidate,
    ) -> Option<RTCIceCandidate> {
        let mut candidate = known.to_json().ok()?.candidate;
        if !candidate.starts_with("candidate:") {
            candidate.insert_str(0, "candidate:");
        }
        let init = RTCIceCandidateInit {
            candidate,
            sdp_mid: self.negotiation.lock().first_mid(),
            sdp_mline_index: Some(0),
            username_fragment: None,
        };
        RTCIceCandidate::new(init).ok()
    }

    async fn substrate_dtls(&self) -> Option<Arc<dyn substrate::DtlsTransport>> {
        if let Some(sctp) = self.substrate.sctp().await {
            return Some(sctp.transport());
        }
        let transceivers = self.transceivers.lock().clone();
        for transceiver in transceivers {
            let Some(known) = transceiver.known() else {
                continue;
            };
            if let Ok(Some(sender)) = known.transceiver.sender().await
                && let Ok(Some(dtls)) = sender.transport().await
            {
                return Some(dtls);
            }
            // Who only receives has no sender.
            if let Ok(Some(receiver)) = known.transceiver.receiver().await
                && let Ok(Some(dtls)) = receiver.transport().await
            {
                return Some(dtls);
            }
        }
        None
    }

    /// The SCTP transport, once one is agreed on.
    pub(crate) fn sctp(&self) -> Option<RTCSctpTransport> {
        self.sctp.lock().clone()
    }

    /// Makes the SCTP transport what the substrate's is. False if it is gone.
    pub(crate) async fn follow_sctp(&self) -> bool {
        let (Some(ours), Some(known)) = (self.sctp(), self.substrate.sctp().await) else {
            return !self.is_closed();
        };
        use rtc::peer_connection::transport::{
            RTCDtlsTransportState as KnownDtls, RTCSctpTransportState as Known,
        };
        let dtls = known.transport().state().await;
        let gone = matches!(dtls, Ok(KnownDtls::Closed | KnownDtls::Failed));
        if gone {
            self.dtls.advance(RTCDtlsTransportState::Closed, None);
        }
        let state = known.state().await;
        if gone || matches!(state, Ok(Known::Closed) | Err(_)) {
            ours.advance(RTCSctpTransportState::Closed);
            return false;
        }
        if matches!(state, Ok(Known::Connected)) {
            if let Ok(Some(channels)) = known.max_channels().await {
                ours.set_max_channels(channels);
            }
            ours.advance(RTCSctpTransportState::Connected);
        }
        true
    }
}
