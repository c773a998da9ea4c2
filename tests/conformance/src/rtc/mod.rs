//! The page's `RTCPeerConnection`s and their parts, by numbers that the glue knows them by.
//!
//! They live on a runtime of their own. What the specification does at once is done at once: the
//! engine's thread waits for it. What takes its time is a request; it is settled together with the
//! connection's state after it and with the events that it brought, in one task, since a script must
//! not see the one before the other. All other events come as tasks that carry the state they tell of.

mod channel;
mod connection;
mod inbox;
mod numbered;
mod parts;
mod transport;

use crate::agenda::{Agenda, Answer, Task, tell};
use crate::door::{Thrown, parse};
use crate::registry::Registry;
use connection::Connection;
use duet_media::Clock;
use duet_peer::{
    NetworkPolicy, PeerContext, RTCCertificate, RTCConfiguration, RTCDTMFSender, RTCDataChannel,
    RTCDtlsTransport, RTCError, RTCErrorDetail, RTCIceCandidate, RTCIceTransport,
    RTCKeygenAlgorithm, RTCPeerConnection, RTCRtpTransceiver, RTCSctpTransport,
};
use inbox::Inbox;
use numbered::Numbered;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What a page has of WebRTC.
pub(crate) struct Rtc {
    clock: Arc<dyn Clock>,
    world: Outside,
    /// From the first connection on.
    runtime: Option<Runtime>,
    context: Option<PeerContext>,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
}

/// What events of a connection need, on whichever thread they come. All but the inbox is its page's.
#[derive(Clone)]
pub(crate) struct Outside {
    registry: Registry,
    inbox: Arc<Inbox>,
    transceivers: Arc<Numbered<RTCRtpTransceiver>>,
    channels: Arc<Numbered<RTCDataChannel>>,
    certificates: Arc<Numbered<RTCCertificate>>,
    dtls: Arc<Numbered<RTCDtlsTransport>>,
    ice: Arc<Numbered<RTCIceTransport>>,
    sctp: Arc<Numbered<RTCSctpTransport>>,
    dtmf: Arc<Numbered<RTCDTMFSender>>,
}

/// So long the last connections' tasks may take to end with their page.
const FAREWELL: Duration = Duration::from_secs(1);

impl Rtc {
    pub(crate) fn new(clock: Arc<dyn Clock>, registry: Registry, sender: Sender<Task>) -> Self {
        Rtc {
            clock,
            world: Outside {
                registry,
                inbox: Arc::new(Inbox::new(sender)),
                transceivers: Arc::default(),
                channels: Arc::default(),
                certificates: Arc::default(),
                dtls: Arc::default(),
                ice: Arc::default(),
                sctp: Arc::default(),
                dtmf: Arc::default(),
            },
            runtime: None,
            context: None,
            connections: HashMap::new(),
            next_connection: 0,
        }
    }

    /// Does what the glue asks for.
    pub(crate) fn operate(
        &mut self,
        operation: &str,
        argument: Value,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        match operation {
            "new" => {
                let made = self.make_connection(argument, agenda)?;
                agenda.listen(true);
                return Ok(made);
            }
            "parseCandidate" => {
                let candidate = RTCIceCandidate::new(parse(argument)?)?;
                return Ok(transport::describe_candidate(&candidate));
            }
            "capabilities" => return parts::capabilities(&argument),
            "generateCertificate" => return self.generate_certificate(&argument, agenda),
            _ => {}
        }
        let Some(runtime) = &self.runtime else {
            return Err(Thrown::type_error("there is no connection yet"));
        };
        if let Some(operation) = operation.strip_prefix("channel.") {
            return self
                .world
                .operate_channel(operation, &argument, runtime.handle());
        }
        if let Some(operation) = operation.strip_prefix("transceiver.") {
            return self
                .world
                .operate_transceiver(operation, &argument, runtime.handle());
        }
        if let Some(operation) = operation.strip_prefix("transport.") {
            return self.world.operate_transport(operation, &argument);
        }
        let number = argument["connection"].as_u64().unwrap_or(0);
        let found = self.connections.get(&number);
        let connection = found.ok_or_else(|| Thrown::type_error("no such connection"))?;
        let done = connection.operate(operation, &argument, runtime.handle(), agenda)?;
        if operation == "close" {
            self.connections.remove(&number);
            agenda.listen(!self.connections.is_empty());
        }
        Ok(done)
    }

    /// One thread does the connections' work, so that what is queued on it keeps its order.
    fn runtime(&mut self) -> Result<&Runtime, Thrown> {
        if self.runtime.is_none() {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let built = builder.worker_threads(1).enable_all().build();
            self.runtime = Some(built.map_err(Thrown::type_error)?);
        }
        let runtime = self.runtime.as_ref();
        runtime.ok_or_else(|| Thrown::type_error("there is no runtime"))
    }

    fn generate_certificate(
        &mut self,
        argument: &Value,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        let algorithm = match argument["algorithm"].as_str() {
            Some("ECDSA P-256") => RTCKeygenAlgorithm::EcdsaP256,
            Some("Ed25519") => RTCKeygenAlgorithm::Ed25519,
            _ => return Err(Thrown::not_supported("keys of that kind cannot be made")),
        };
        let life = argument["life"].as_u64().map(Duration::from_millis);
        let certificates = self.world.certificates.clone();
        let work = RTCPeerConnection::generate_certificate(algorithm, life);
        let (request, sender) = (agenda.start_request(), agenda.sender());
        self.runtime()?.spawn(async move {
            let made = work.await.map_err(Thrown::from).map(|made| {
                let fingerprints = made.get_fingerprints();
                let fingerprints = fingerprints.iter().map(|fingerprint| {
                    json!({ "algorithm": fingerprint.algorithm, "value": fingerprint.value })
                });
                Answer::Json(json!({
                    "certificate": certificates.number(&made),
                    "expires": made.expires(),
                    "fingerprints": fingerprints.collect::<Vec<_>>(),
                }))
            });
            tell(&sender, Task::Settled(request, made));
        });
        Ok(request.into())
    }

    fn make_connection(&mut self, argument: Value, agenda: &Agenda) -> Result<Value, Thrown> {
        let configuration = self.world.configuration(argument)?;
        self.runtime()?;
        let Some(runtime) = &self.runtime else {
            return Err(Thrown::type_error("there is no runtime"));
        };
        let context = self.context.get_or_insert_with(|| PeerContext {
            network: NetworkPolicy::LoopbackOnly,
            mdns: false,
            ..PeerContext::new(self.clock.clone())
        });
        let made = runtime.block_on(RTCPeerConnection::new(configuration, context.clone()))?;
        self.next_connection += 1;
        let number = self.next_connection;
        let world = Outside {
            inbox: Arc::new(Inbox::new(agenda.sender())),
            ..self.world.clone()
        };
        let connection = Connection::new(number, made, world);
        let state = runtime.block_on(connection.describe());
        self.connections.insert(number, connection);
        Ok(json!({ "connection": number, "state": state }))
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        {
            // Connections say goodbye on it.
            let _inside = runtime.enter();
            self.connections.clear();
            self.context = None;
            self.world.transceivers.clear();
            self.world.channels.clear();
            self.world.dtls.clear();
            self.world.ice.clear();
            self.world.sctp.clear();
            self.world.dtmf.clear();
        }
        runtime.shutdown_timeout(FAREWELL);
    }
}

impl Outside {
    fn configuration(&self, argument: Value) -> Result<RTCConfiguration, Thrown> {
        let certificates: Vec<Value> = parse(argument["certificates"].clone())?;
        let certificates = certificates
            .iter()
            .map(|number| self.certificates.find(number));
        let certificates = certificates.collect::<Result<_, _>>()?;
        Ok(RTCConfiguration {
            certificates,
            ..parse(argument)?
        })
    }

    fn describe_configuration(&self, configuration: &RTCConfiguration) -> Result<Value, Thrown> {
        let certificates = configuration.certificates.iter();
        let certificates = certificates.map(|of| self.certificates.number(of));
        let certificates: Vec<_> = certificates.collect();
        let mut told = plain(configuration)?;
        told["certificates"] = certificates.into();
        Ok(told)
    }
}

/// A request's end, with all that a script learns by it.
fn settled(request: u64, done: Result<Value, RTCError>, state: &Value, events: &[Value]) -> Task {
    let mut settlement = json!({ "state": state, "events": events });
    match done {
        Ok(value) => settlement["value"] = value,
        Err(error) => settlement["error"] = error_json(&error),
    }
    Task::Settled(request, Ok(Answer::Json(settlement)))
}

/// A dictionary as JSON has it.
fn plain(dictionary: impl Serialize) -> Result<Value, Thrown> {
    serde_json::to_value(dictionary).map_err(Thrown::type_error)
}

/// An error with what the W3C's `RTCError` has more than others.
fn error_json(error: &RTCError) -> Value {
    let mut told = json!({ "name": error.kind.as_str(), "message": error.message });
    if let Some(detail) = error.detail {
        told["detail"] = json!({ "errorDetail": detail.as_str() });
        let told = &mut told["detail"];
        match detail {
            RTCErrorDetail::DtlsFailure {
                received_alert,
                sent_alert,
            } => {
                told["receivedAlert"] = json!(received_alert);
                told["sentAlert"] = json!(sent_alert);
            }
            RTCErrorDetail::SctpFailure { cause_code } => {
                told["sctpCauseCode"] = json!(cause_code);
            }
            RTCErrorDetail::SdpSyntaxError { line } => told["sdpLineNumber"] = json!(line),
            RTCErrorDetail::DataChannelFailure | RTCErrorDetail::FingerprintFailure => {}
        }
    }
    told
}

/// Bytes as the characters U+0000 to U+00FF, as they go through the door.
fn to_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What is no byte was none in the glue either.
fn to_bytes(characters: &str) -> Vec<u8> {
    let bytes = characters.chars().map(|c| u8::try_from(c).unwrap_or(0));
    bytes.collect()
}

impl Thrown {
    fn not_supported(message: &str) -> Self {
        Thrown {
            name: "NotSupportedError",
            message: message.into(),
            constraint: None,
        }
    }
}

impl From<RTCError> for Thrown {
    fn from(error: RTCError) -> Self {
        Thrown {
            name: error.kind.as_str(),
            message: error.message,
            constraint: None,
        }
    }
}
