//! Data channels. Bytes go through the door as strings of the characters U+0000 to U+00FF.

use super::{Outside, error_json, to_bytes, to_characters};
use crate::door::{Thrown, parse};
use duet_peer::{DataChannelEvent as Event, DataChannelMessage as Message, RTCDataChannel};
use serde_json::{Value, json};
use tokio::runtime::Handle;

impl Outside {
    /// A channel as the glue is told of it; from the first time on its events are told, too.
    pub(crate) fn meet_channel(&self, channel: &RTCDataChannel) -> Value {
        let number = self.channels.meet(channel, |number| {
            let inbox = self.inbox.clone();
            channel.subscribe(move |event| {
                let (name, data) = match event {
                    Event::Open => ("open", Value::Null),
                    Event::Message(Message::Text(text)) => ("message", json!({ "text": text })),
                    Event::Message(Message::Binary(bytes)) => {
                        ("message", json!({ "bytes": to_characters(bytes) }))
                    }
                    Event::Error(error) => ("error", error_json(error)),
                    Event::BufferedAmountLow => ("bufferedamountlow", Value::Null),
                    Event::Closing => ("closing", Value::Null),
                    Event::Close => ("close", Value::Null),
                };
                let told = json!({
                    "task": "channelEvent", "channel": number, "event": name, "data": data,
                });
                inbox.pass(told);
            })
        });
        json!({
            "channel": number,
            "label": channel.label(),
            "protocol": channel.protocol(),
            "ordered": channel.ordered(),
            "maxPacketLifeTime": channel.max_packet_life_time(),
            "maxRetransmits": channel.max_retransmits(),
            "negotiated": channel.negotiated(),
            "readyState": channel.ready_state().as_str(),
        })
    }

    pub(crate) fn operate_channel(
        &self,
        operation: &str,
        argument: &Value,
        runtime: &Handle,
    ) -> Result<Value, Thrown> {
        let channel = self.channels.find(&argument["channel"])?;
        let argument = &argument["argument"];
        let text = || argument.as_str().unwrap_or_default();
        Ok(match operation {
            "sendText" => {
                runtime.block_on(channel.send_text(text()))?;
                Value::Null
            }
            "send" => {
                runtime.block_on(channel.send(&to_bytes(text())))?;
                Value::Null
            }
            "close" => {
                runtime.block_on(channel.close())?;
                Value::Null
            }
            "bufferedAmount" => runtime.block_on(channel.buffered_amount()).into(),
            "setBufferedAmountLowThreshold" => {
                let bytes = parse(argument.clone())?;
                runtime.block_on(channel.set_buffered_amount_low_threshold(bytes))?;
                Value::Null
            }
            "id" => channel.id().into(),
            _ => return Err(Thrown::type_error(format!("channel.{operation}?"))),
        })
    }
}
