//! One connection: its operations, its events, its state as a script sees it.

use super::parts::media_kind;
use super::transport::describe_candidate;
use super::{Outside, error_json, plain};
use crate::agenda::{Agenda, Answer, Task, tell};
use crate::door::{Thrown, parse};
use duet_media::{MediaStream, Subscription};
use duet_peer::{
    PeerConnectionEvent as Event, RTCDataChannelInit, RTCError, RTCIceCandidate,
    RTCIceCandidateInit, RTCOfferOptions, RTCPeerConnection, RTCRtpEncodingParameters,
    RTCRtpTransceiverDirection, RTCRtpTransceiverInit, RTCSessionDescription,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::task::{Context, Poll, Waker};
use tokio::runtime::Handle;

pub(crate) struct Connection {
    peer: RTCPeerConnection,
    outside: Outside,
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
        let from = outside.clone();
        let subscription = peer.subscribe(move |event| {
            let mut told = from.describe_event(event);
            told["task"] = "peerEvent".into();
            told["connection"] = number.into();
            from.inbox.put(told);
        });
        Connection {
            peer,
            outside,
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
                let work = async move { Ok(described(&peer.create_offer(options).await?)) };
                self.in_turn(false, work, runtime, agenda)
            }
            "createAnswer" => {
                let work = async move { Ok(described(&peer.create_answer().await?)) };
                self.in_turn(false, work, runtime, agenda)
            }
            "setLocalDescription" => {
                let description: Option<RTCSessionDescription> = parse(input)?;
                let work = async move {
                    peer.set_local_description(description).await?;
                    Ok(Value::Null)
                };
                self.in_turn(true, work, runtime, agenda)
            }
            "setRemoteDescription" => {
                let description: RTCSessionDescription = parse(input)?;
                let work = async move {
                    peer.set_remote_description(description).await?;
                    Ok(Value::Null)
                };
                self.in_turn(true, work, runtime, agenda)
            }
            "addIceCandidate" => {
                let candidate: Option<RTCIceCandidateInit> = parse(input)?;
                let work = async move {
                    peer.add_ice_candidate(candidate).await?;
                    Ok(Value::Null)
                };
                self.in_turn(false, work, runtime, agenda)
            }
            "getStats" => {
                let work = async move { plain(peer.get_stats().await?) };
                self.in_parallel(work, runtime, agenda)?
            }
            "trackStats" => {
                let track = self.outside.registry.track(&input)?;
                let work = async move { plain(peer.get_stats_of(&track).await?) };
                self.in_parallel(work, runtime, agenda)?
            }
            "senderStats" => {
                let sender = self.outside.transceivers.find(&input)?.sender();
                let work = async move { plain(sender.get_stats().await?) };
                self.in_parallel(work, runtime, agenda)?
            }
            "receiverStats" => {
                let receiver = self.outside.transceivers.find(&input)?.receiver();
                let work = async move { plain(receiver.get_stats().await?) };
                self.in_parallel(work, runtime, agenda)?
            }
            "getConfiguration" => self
                .outside
                .describe_configuration(&peer.get_configuration())?,
            "setConfiguration" => {
                let configuration = self.outside.configuration(input)?;
                runtime.block_on(peer.set_configuration(configuration))?;
                Value::Null
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
                self.outside.describe_transceiver(&transceiver)
            }
            "addTransceiver" => {
                let init: TransceiverInit = parse(input["init"].clone())?;
                let init = RTCRtpTransceiverInit {
                    direction: init.direction,
                    streams: self.outside.streams(&init.streams)?,
                    send_encodings: init.send_encodings,
                };
                let made = match media_kind(&input["kind"]) {
                    Some(kind) => runtime.block_on(peer.add_transceiver(kind, init))?,
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
                let label = input["label"].as_str().unwrap_or_default().to_owned();
                let outside = self.outside.clone();
                // Where its events are made, so that none is before its first.
                let made = runtime.spawn(async move {
                    let made = peer.create_data_channel(&label, init).await?;
                    Ok::<_, RTCError>(outside.meet_channel(&made))
                });
                runtime.block_on(made).map_err(Thrown::type_error)??
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
    /// What is refused at once is told at once.
    fn in_turn(
        &self,
        describes: bool,
        work: impl Future<Output = Result<Value, RTCError>> + Send + 'static,
        runtime: &Handle,
        agenda: &mut Agenda,
    ) -> Value {
        let mut work = Box::pin(work);
        let inbox = self.outside.inbox.clone();
        if describes {
            inbox.hold();
        }
        let begun = {
            let _inside = runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        if let Poll::Ready(Err(error)) = begun {
            inbox.let_go();
            return json!({ "refused": error_json(&error) });
        }
        let request = agenda.start_request();
        let (outside, peer) = (self.outside.clone(), self.peer.clone());
        runtime.spawn(async move {
            let done = match begun {
                Poll::Ready(done) => done,
                Poll::Pending => work.await,
            };
            // As it is now: candidates that are found from here on have events of their own.
            let state = describe(&peer, &outside).await;
            peer.told().await;
            inbox.release(request, done, &state);
        });
        json!({ "request": request })
    }

    /// What is no step of that chain. It, too, is refused at once if it is.
    fn in_parallel(
        &self,
        work: impl Future<Output = Result<Value, Thrown>> + Send + 'static,
        runtime: &Handle,
        agenda: &mut Agenda,
    ) -> Result<Value, Thrown> {
        let mut work = Box::pin(work);
        let begun = {
            let _inside = runtime.enter();
            work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        let begun = match begun {
            Poll::Ready(Err(refused)) => return Err(refused),
            begun => begun,
        };
        let (request, sender) = (agenda.start_request(), agenda.sender());
        runtime.spawn(async move {
            let done = match begun {
                Poll::Ready(done) => done,
                Poll::Pending => work.await,
            };
            tell(&sender, Task::Settled(request, done.map(Answer::Json)));
        });
        Ok(request.into())
    }
}

fn described(description: &RTCSessionDescription) -> Value {
    json!({ "type": description.sdp_type, "sdp": description.sdp })
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
        "currentLocalDescription": peer.current_local_description(),
        "pendingLocalDescription": peer.pending_local_description(),
        "remoteDescription": peer.remote_description(),
        "currentRemoteDescription": peer.current_remote_description(),
        "pendingRemoteDescription": peer.pending_remote_description(),
        "canTrickleIceCandidates": peer.can_trickle_ice_candidates(),
        "transceivers": transceivers,
        "sctp": peer.sctp().map(|sctp| outside.meet_sctp(&sctp)),
    })
}

impl Outside {
    fn describe_event(&self, event: &Event) -> Value {
        match event {
            Event::NegotiationNeeded => json!({ "event": "negotiationneeded" }),
            Event::IceCandidate(candidate) => {
                let candidate = candidate.clone().map(RTCIceCandidate::new);
                // One of ours has a section.
                let candidate = candidate.and_then(Result::ok);
                let candidate = candidate.map(|candidate| describe_candidate(&candidate));
                json!({ "event": "icecandidate", "candidate": candidate })
            }
            Event::IceCandidateError(error) => json!({
                "event": "icecandidateerror",
                "fields": {
                    "address": error.address,
                    "port": error.port,
                    "url": error.url,
                    "errorCode": error.error_code,
                    "errorText": error.error_text,
                },
            }),
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
