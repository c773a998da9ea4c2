//! Transceivers with their senders and receivers.

use super::{Outside, plain};
use crate::door::{Thrown, parse};
use duet_media::{MediaKind, MediaStream};
use duet_peer::{
    RTCError, RTCRtpCodec, RTCRtpSendParameters, RTCRtpSender, RTCRtpSource, RTCRtpTransceiver,
};
use serde_json::{Value, json};
use tokio::runtime::Handle;

impl Outside {
    /// A transceiver as the glue is told of it.
    pub(crate) fn describe_transceiver(&self, transceiver: &RTCRtpTransceiver) -> Value {
        let (sender, receiver) = (transceiver.sender(), transceiver.receiver());
        let current = transceiver.current_direction();
        let number = self.transceivers.number(transceiver);
        if let Some(dtmf) = sender.dtmf() {
            self.dtmf.meet(&dtmf, |_| {
                let (inbox, from) = (self.inbox.clone(), sender.clone());
                dtmf.subscribe(move |event| {
                    let waits = from.dtmf().map(|dtmf| dtmf.tone_buffer());
                    inbox.pass(json!({
                        "task": "toneChange", "transceiver": number, "tone": event.tone,
                        "toneBuffer": waits,
                    }));
                })
            });
        }
        json!({
            "transceiver": number,
            "dtmf": sender.dtmf().is_some(),
            "mid": transceiver.mid(),
            "currentDirection": current.map(|direction| direction.to_string()),
            "sent": sender.track().map(|track| self.registry.meet_track(track)),
            "received": self.registry.meet_track(receiver.track()),
            "senderTransport": sender.transport().map(|of| self.meet_dtls(&of)),
            "receiverTransport": receiver.transport().map(|of| self.meet_dtls(&of)),
        })
    }

    pub(crate) fn streams(&self, ids: &Value) -> Result<Vec<MediaStream>, Thrown> {
        let ids: Vec<Value> = parse(ids.clone())?;
        ids.iter().map(|id| self.registry.stream(id)).collect()
    }

    pub(crate) fn operate_transceiver(
        &self,
        operation: &str,
        argument: &Value,
        runtime: &Handle,
    ) -> Result<Value, Thrown> {
        let transceiver = self.transceivers.find(&argument["transceiver"])?;
        let argument = argument["argument"].clone();
        let (sender, receiver) = (transceiver.sender(), transceiver.receiver());
        match operation {
            "direction" => return Ok(transceiver.direction().to_string().into()),
            "stopped" => return Ok(transceiver.stopped().into()),
            "setDirection" => transceiver.set_direction(parse(argument)?)?,
            "stop" => transceiver.stop()?,
            "setCodecPreferences" => {
                transceiver.set_codec_preferences(&parse::<Vec<RTCRtpCodec>>(argument)?)?;
            }
            "replaceTrack" => match &argument {
                Value::Null => sender.replace_track(None)?,
                id => sender.replace_track(Some(&self.registry.track(id)?))?,
            },
            "setStreams" => sender.set_streams(&self.streams(&argument)?)?,
            "canInsertDTMF" => return Ok(sender.can_insert_dtmf().into()),
            "insertDTMF" => {
                let number = |name: &str| argument[name].as_u64().unwrap_or(0);
                let tones = argument["tones"].as_str().unwrap_or_default();
                let [duration, gap] = ["duration", "gap"].map(|name| number(name) as u32);
                let tones = tones.to_owned();
                // On the thread that plays them, so that none is played yet.
                let inserted = runtime.spawn(async move {
                    sender.insert_dtmf(&tones, duration, gap)?;
                    Ok::<_, RTCError>(sender.dtmf().map(|dtmf| dtmf.tone_buffer()))
                });
                let waits = runtime.block_on(inserted).map_err(Thrown::type_error)??;
                return Ok(waits.into());
            }
            "sendParameters" => return plain(sender.get_parameters()),
            "setParameters" => sender.set_parameters(parse::<RTCRtpSendParameters>(argument)?)?,
            "receiveParameters" => return plain(receiver.get_parameters()),
            "contributingSources" => return Ok(sources(&receiver.get_contributing_sources())),
            "synchronizationSources" => {
                return Ok(sources(&receiver.get_synchronization_sources()));
            }
            _ => return Err(Thrown::type_error(format!("transceiver.{operation}?"))),
        }
        Ok(Value::Null)
    }
}

/// What can be sent and received of a kind; of what is no kind nothing.
pub(crate) fn capabilities(kind: &Value) -> Result<Value, Thrown> {
    match media_kind(kind) {
        Some(kind) => plain(RTCRtpSender::get_capabilities(kind)),
        None => Ok(Value::Null),
    }
}

pub(crate) fn media_kind(kind: &Value) -> Option<MediaKind> {
    match kind.as_str() {
        Some("audio") => Some(MediaKind::Audio),
        Some("video") => Some(MediaKind::Video),
        _ => None,
    }
}

fn sources(sources: &[RTCRtpSource]) -> Value {
    let sources = sources.iter().map(|source| {
        let mut told = json!({
            "timestamp": source.timestamp,
            "source": source.source,
            "rtpTimestamp": source.rtp_timestamp,
        });
        if let Some(level) = source.audio_level {
            told["audioLevel"] = level.into();
        }
        told
    });
    sources.collect()
}
