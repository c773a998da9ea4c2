//! How a connection is set up, and changed.

use super::Shared;
use crate::{
    PeerConnectionEvent, RTCCertificate, RTCConfiguration, RTCError, RTCKeygenAlgorithm,
    RTCPeerConnection, RTCPeerConnectionIceErrorEvent,
};
use std::time::Duration;

impl RTCPeerConnection {
    /// [`getConfiguration`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-getconfiguration).
    pub fn get_configuration(&self) -> RTCConfiguration {
        self.0.configuration.lock().clone()
    }

    /// [`setConfiguration`](https://w3c.github.io/webrtc-pc/#dom-rtcpeerconnection-setconfiguration):
    /// servers and policy are those of the next gathering. It never waits.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed, `InvalidModificationError` for a change of
    /// what stays as it is, and those of [`new`](Self::new).
    pub async fn set_configuration(&self, next: RTCConfiguration) -> Result<(), RTCError> {
        self.0.check_open()?;
        let gathers = self.0.negotiation.lock().has_local();
        let known = {
            let mut configuration = self.0.configuration.lock();
            configuration.check_change(&next, gathers)?;
            self.0.tcp.set_policy(next.ice_transport_policy);
            let certificates = std::mem::take(&mut configuration.certificates);
            *configuration = RTCConfiguration {
                certificates,
                ..next
            };
            // The substrate has its certificate, and compares.
            let without = RTCConfiguration {
                certificates: Vec::new(),
                ..configuration.clone()
            };
            without.to_substrate(&self.0.relays)
        };
        let shared = self.0.clone();
        tokio::spawn(async move { shared.configure(known).await });
        Ok(())
    }

    /// [`generateCertificate`](https://w3c.github.io/webrtc-pc/#dom-peerconnection-generatecertificate):
    /// see [`RTCCertificate::generate`].
    ///
    /// # Errors
    /// `OperationError` if the key cannot be made.
    pub async fn generate_certificate(
        algorithm: RTCKeygenAlgorithm,
        life: Option<Duration>,
    ) -> Result<RTCCertificate, RTCError> {
        let made = tokio::task::spawn_blocking(move || RTCCertificate::generate(algorithm, life));
        let made = made.await;
        made.map_err(|error| RTCError::operation(format!("certificate: {error}")))?
    }
}

impl Shared {
    /// Candidates are being gathered: tells which servers give none.
    pub(crate) fn post_unusable_servers(&self) {
        for (url, why) in self.configuration.lock().unusable_servers() {
            self.post(PeerConnectionEvent::IceCandidateError(
                RTCPeerConnectionIceErrorEvent {
                    address: None,
                    port: None,
                    url,
                    error_code: crate::relay::UNREACHABLE,
                    error_text: why.to_owned(),
                },
            ));
        }
    }

    async fn configure(&self, known: webrtc::peer_connection::RTCConfiguration) {
        // A step that is under way gathers with what was there when it was asked for.
        let _turn = self.any_turn().await;
        if self.is_closed() {
            return;
        }
        if let Err(error) = self.substrate.set_configuration(known).await {
            tracing::warn!(%error, "the configuration was not taken over");
        }
    }
}
