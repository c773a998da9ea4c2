//! What media and data go over: DTLS, ICE and SCTP.

use super::{Outside, error_json, to_characters};
use crate::door::Thrown;
use duet_peer::{
    RTCDtlsTransport, RTCDtlsTransportEvent as DtlsEvent, RTCIceCandidate, RTCIceParameters,
    RTCIceTransport, RTCIceTransportEvent as IceEvent, RTCSctpTransport,
    RTCSctpTransportEvent as SctpEvent,
};
use serde_json::{Value, json};

impl Outside {
    /// A DTLS transport as the glue is told of it; from the first time on its events are told, too.
    pub(crate) fn meet_dtls(&self, transport: &RTCDtlsTransport) -> Value {
        let number = self.dtls.meet(transport, |number| {
            let outside = self.clone();
            transport.subscribe(move |event| {
                let told = match event {
                    DtlsEvent::StateChange(state) => json!({
                        "event": "statechange", "state": state.as_str(),
                    }),
                    DtlsEvent::Error(error) => json!({
                        "event": "error", "error": error_json(error),
                    }),
                };
                outside.tell_of_transport("dtls", number, told);
            })
        });
        json!({
            "dtls": number,
            "state": transport.state().as_str(),
            "ice": self.meet_ice(&transport.ice_transport()),
        })
    }

    fn meet_ice(&self, transport: &RTCIceTransport) -> Value {
        let number = self.ice.meet(transport, |number| {
            let outside = self.clone();
            transport.subscribe(move |event| {
                let told = match event {
                    IceEvent::StateChange(state) => json!({
                        "event": "statechange", "state": state.as_str(),
                    }),
                    IceEvent::GatheringStateChange(state) => json!({
                        "event": "gatheringstatechange", "gatheringState": state.as_str(),
                    }),
                    IceEvent::SelectedCandidatePairChange(_) => json!({
                        "event": "selectedcandidatepairchange",
                    }),
                };
                outside.tell_of_transport("ice", number, told);
            })
        });
        json!({
            "ice": number,
            "state": transport.state().as_str(),
            "gatheringState": transport.gathering_state().as_str(),
        })
    }

    pub(crate) fn meet_sctp(&self, transport: &RTCSctpTransport) -> Value {
        let number = self.sctp.meet(transport, |number| {
            let outside = self.clone();
            transport.subscribe(move |event| {
                let SctpEvent::StateChange(state) = event;
                let told = json!({ "event": "statechange", "state": state.as_str() });
                outside.tell_of_transport("sctp", number, told);
            })
        });
        json!({
            "sctp": number,
            "state": transport.state().as_str(),
            "transport": self.meet_dtls(&transport.transport()),
        })
    }

    fn tell_of_transport(&self, kind: &str, number: usize, mut told: Value) {
        told["task"] = "transportEvent".into();
        told["kind"] = kind.into();
        told["number"] = number.into();
        self.inbox.put(told);
    }

    pub(crate) fn operate_transport(
        &self,
        operation: &str,
        argument: &Value,
    ) -> Result<Value, Thrown> {
        let number = &argument["number"];
        if let Some(operation) = operation.strip_prefix("sctp.") {
            let transport = self.sctp.find(number)?;
            return Ok(match operation {
                // Without bounds it is no number of JSON.
                "maxMessageSize" => json!(transport.max_message_size()),
                "maxChannels" => json!(transport.max_channels()),
                _ => return Err(Thrown::type_error(format!("sctp.{operation}?"))),
            });
        }
        if operation == "dtls.remoteCertificates" {
            let certificates = self.dtls.find(number)?.get_remote_certificates();
            return Ok(certificates.iter().map(|der| to_characters(der)).collect());
        }
        let transport = self.ice.find(number)?;
        let candidates = |list: Vec<RTCIceCandidate>| list.iter().map(describe_candidate).collect();
        Ok(match operation {
            "ice.role" => transport.role().as_str().into(),
            "ice.component" => transport.component().as_str().into(),
            "ice.localCandidates" => candidates(transport.get_local_candidates()),
            "ice.remoteCandidates" => candidates(transport.get_remote_candidates()),
            "ice.selectedPair" => match transport.get_selected_candidate_pair() {
                Some(pair) => json!({
                    "local": describe_candidate(&pair.local),
                    "remote": describe_candidate(&pair.remote),
                }),
                None => Value::Null,
            },
            "ice.localParameters" => parameters(transport.get_local_parameters()),
            "ice.remoteParameters" => parameters(transport.get_remote_parameters()),
            _ => return Err(Thrown::type_error(format!("{operation}?"))),
        })
    }
}

fn parameters(parameters: Option<RTCIceParameters>) -> Value {
    match parameters {
        Some(of) => json!({ "usernameFragment": of.username_fragment, "password": of.password }),
        None => Value::Null,
    }
}

/// A candidate with what its line says.
pub(crate) fn describe_candidate(candidate: &RTCIceCandidate) -> Value {
    let init = candidate.to_init();
    json!({
        "init": {
            "candidate": init.candidate,
            "sdpMid": init.sdp_mid,
            "sdpMLineIndex": init.sdp_mline_index,
            "usernameFragment": init.username_fragment,
        },
        "parsed": {
            "foundation": candidate.foundation,
            "component": candidate.component.map(|component| component.as_str()),
            "priority": candidate.priority,
            "address": candidate.address,
            "protocol": candidate.protocol.map(|protocol| protocol.as_str()),
            "port": candidate.port,
            "type": candidate.candidate_type.map(|of| of.as_str()),
            "tcpType": candidate.tcp_type.map(|of| of.as_str()),
            "relatedAddress": candidate.related_address,
            "relatedPort": candidate.related_port,
            "usernameFragment": candidate.username_fragment,
        },
    })
}
