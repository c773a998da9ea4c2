//! One connection: its operations, its events, its state as a script sees it.

use super::Outside;
use super::inbox::Inbox;
use crate::agenda::{Agenda, Answer, Task, tell};
use crate::door::{Thrown, parse};
use duet_media::{MediaKind, MediaStream, Subscription};
use duet_peer::{
    PeerConnectionEvent as Event, RTCDataChannelInit, RTCIceCandidateInit, RTCOfferOptions,
    RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
    RTCSessionDescription,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

pub(crate) struct Connection {
    peer: RTCPeerConnection,
    outside: Outside,
    inbox: Arc<Inbox>,
    _subscription: Subscription,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TransceiverInit {
    direction: RTCRtpTransceiverDirection,
    streams: Value,
    send_encodings: Vec<RTCRtpEncodingParameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ChannelInit {
    ordered: bool,
    max_packet_life_time: Option<u16>,
    max_retransmits: Option<u16>,
    protocol: String,
    negotiated: bool,
    id: Option<u16>,
}

impl Default for ChannelInit {
    fn default() -> Self {
        ChannelInit {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: None,
        }
    }
}

impl Connection {
    pub(crate) fn new(number: u64, peer: RTCPeerConnection, outside: Outside) -> Self {
        let inbox = Arc::new(Inbox::new(outside.clone()));
        let (to, from) = (inbox.clone(), outside.clone());
        let subscription = peer.subscribe(move |event| {
            let mut told = from.describe_event(event);
            told["task"] = "peerEvent".into();
            told["connection"] = number.into();
            to.put(told);
        });
        Connection {
            peer,
            outside,
            inbox,
            _subscription: subscription,
        }
    }

    /// What a script sees of it, but for what it changes itself.
    pub(crate) async fn describe(&self) -> Value {
        describe(&self.peer, &self.outside).await
    }

    pub(crate) fn operate(
        &self,
        operation: &str,
        argument: &Value,
        runtime: &Handle,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        let peer = self.peer.clone();
        let input = argument["argument"].clone();
        Ok(match operation {
            "createOffer" => {
                let options = RTCOfferOptions {
                    ice_restart: input["iceRestart"].as_bool().unwrap_or(false),
                };
                let work = async move { described(peer.create_offer(options).await?) };
                self.in_turn(work, runtime, agenda)?
            }
            "createAnswer" => {
                let work = async move { described(peer.create_answer().await?) };
                self.in_turn(work, runtime, agenda)?
            }
            "setLocalDescription" => {
                let description: Option<RTCSessionDescription> = parse(input)?;
                let work = async move {
                    peer.set_local_description(description).await?;
                    Ok(Value::Null)
                };
                self.in_turn(work, runtime, agenda)?
            }
            "setRemoteDescription" => {
                let description: RTCSessionDescription = parse(input)?;
                let work = async move {
                    peer.set_remote_description(description).await?;
                    Ok(Value::Null)
                };
                self.in_turn(work, runtime, agenda)?
            }
            "addIceCandidate" => {
                let candidate: Option<RTCIceCandidateInit> = parse(input)?;
                let work = async move {
                    peer.add_ice_candidate(candidate).await?;
                    Ok(Value::Null)
                };
                self.in_turn(work, runtime, agenda)?
            }
            "getStats" => {
                let work = async move {
                    let report = peer.get_stats().await?;
                    serde_json::to_value(report).map_err(Thrown::type_error)
                };
                self.in_parallel(work, runtime, agenda)
            }
            "describe" => runtime.block_on(self.describe()),
            "addTrack" => {
                let track = self.outside.registry.track(&input["track"])?;
                let streams = self.outside.streams(&input["streams"])?;
                let streams: Vec<&MediaStream> = streams.iter().collect();
                let sender = runtime.block_on(peer.add_track(&track, &streams))?;
                let transceivers = peer.get_transceivers();
                let of = transceivers.iter().find(|t| t.sender() == sender);
                of.map(|transceiver| self.outside.describe_transceiver(transceiver))
                    .ok_or_else(|| Thrown::type_error("the sender has no transceiver"))?
            }
            "removeTrack" => {
                let transceiver = self.outside.transceivers.find(&input)?;
                peer.remove_track(&transceiver.sender())?;
                Value::Null
            }
            "addTransceiver" => {
                let init: TransceiverInit = parse(input["init"].clone())?;
                let init = RTCRtpTransceiverInit {
                    direction: init.direction,
                    streams: self.outside.streams(&init.streams)?,
                    send_encodings: init.send_encodings,
                };
                let made = match input["kind"].as_str() {
                    Some(kind) => {
                        let kind = match kind {
                            "audio" => MediaKind::Audio,
                            _ => MediaKind::Video,
                        };
                        runtime.block_on(peer.add_transceiver(kind, init))?
                    }
                    None => {
                        let track = self.outside.registry.track(&input["track"])?;
                        runtime.block_on(peer.add_transceiver_with_track(&track, init))?
                    }
                };
                self.outside.describe_transceiver(&made)
            }
            "createDataChannel" => {
                let init: ChannelInit = parse(input["init"].clone())?;
                let init = RTCDataChannelInit {
                    ordered: init.ordered,
                    max_packet_life_time: init.max_packet_life_time,
                    max_retransmits: init.max_retransmits,
                    protocol: init.protocol,
                    negotiated_id: init.id.filter(|_| init.negotiated),
                };
                let label = input["label"].as_str().unwrap_or_default();
                let made = runtime.block_on(peer.create_data_channel(label, init))?;
                self.outside.meet_channel(&made)
            }
            "restartIce" => {
                let _inside = runtime.enter();
                peer.restart_ice();
                Value::Null
            }
            "close" => {
                runtime.block_on(peer.close());
                Value::Null
            }
            _ => return Err(Thrown::type_error(format!("rtc.{operation}?"))),
        })
    }

    /// A step of the connection's chain of operations; the glue sees to it that there is one at a time.
    /// What is refused at once is thrown at once.
    fn in_turn(
        &self,
        work: impl Future<Output = Result<Value, Thrown>> + Send + 'static,
        runtime: &Handle,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        let mut work = Box::pin(work);
        self.inbox.hold();
        let begun = {
            let _inside = runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        if let Poll::Ready(Err(thrown)) = begun {
            self.inbox.let_go();
            return Err(thrown);
        }
        let request = agenda.start_request();
        let (inbox, outside, peer) = (self.inbox.clone(), self.outside.clone(), self.peer.clone());
        runtime.spawn(async move {
            let done = match begun {
                Poll::Ready(done) => done,
                Poll::Pending => work.await,
            };
            // The events that it brought were queued for a task of the same thread.
            for _ in 0..EVENTS_PASS {
                tokio::task::yield_now().await;
            }
            let state = describe(&peer, &outside).await;
            inbox.release(request, done, state);
        });
        Ok(request.into())
    }

    fn in_parallel(
        &self,
        work: impl Future<Output = Result<Value, Thrown>> + Send + 'static,
        runtime: &Handle,
        agenda: &mut Agenda,
    ) -> Value {
        let (request, sender) = (agenda.start_request(), agenda.sender());
        runtime.spawn(async move {
            let done = work.await.map(Answer::Json);
            tell(&sender, Task::Settled(request, done));
        });
        request.into()
    }
}

/// So often a step gives way to the task that tells of events.
const EVENTS_PASS: usize = 4;

fn described(description: RTCSessionDescription) -> Result<Value, Thrown> {
    serde_json::to_value(description).map_err(Thrown::type_error)
}

async fn describe(peer: &RTCPeerConnection, outside: &Outside) -> Value {
    let transceivers = peer.get_transceivers();
    let transceivers = transceivers.iter().map(|t| outside.describe_transceiver(t));
    let transceivers: Vec<Value> = transceivers.collect();
    json!({
        "signalingState": peer.signaling_state().as_str(),
        "iceGatheringState": peer.ice_gathering_state().as_str(),
        "iceConnectionState": peer.ice_connection_state().as_str(),
        "connectionState": peer.connection_state().as_str(),
        "localDescription": peer.local_description().await,
        "remoteDescription": peer.remote_description(),
        "transceivers": transceivers,
    })
}

impl Outside {
    fn describe_event(&self, event: &Event) -> Value {
        match event {
            Event::NegotiationNeeded => json!({ "event": "negotiationneeded" }),
            Event::IceCandidate(candidate) => {
                json!({ "event": "icecandidate", "candidate": candidate })
            }
            Event::SignalingStateChange(state) => {
                json!({ "event": "signalingstatechange", "state": state.as_str() })
            }
            Event::IceConnectionStateChange(state) => {
                json!({ "event": "iceconnectionstatechange", "state": state.as_str() })
            }
            Event::IceGatheringStateChange(state) => {
                json!({ "event": "icegatheringstatechange", "state": state.as_str() })
            }
            Event::ConnectionStateChange(state) => {
                json!({ "event": "connectionstatechange", "state": state.as_str() })
            }
            Event::Track(track) => {
                let streams = track.streams.iter();
                let streams = streams.map(|stream| self.registry.meet_stream(stream.clone()));
                json!({
                    "event": "track",
                    "transceiver": self.describe_transceiver(&track.transceiver),
                    "streams": streams.collect::<Vec<_>>(),
                })
            }
            Event::DataChannel(channel) => {
                json!({ "event": "datachannel", "channel": self.meet_channel(channel) })
            }
        }
    }
}
