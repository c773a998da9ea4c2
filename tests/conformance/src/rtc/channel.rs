//! Data channels. Bytes go through the door as strings of the characters U+0000 to U+00FF.

use super::Outside;
use super::parts::Numbered;
use crate::agenda::{Task, tell};
use crate::door::{Thrown, parse};
use duet_media::Subscription;
use duet_peer::{DataChannelEvent as Event, DataChannelMessage as Message, RTCDataChannel};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use tokio::runtime::Handle;

/// The channels that a page knows.
#[derive(Default)]
pub(crate) struct Channels {
    known: Numbered<RTCDataChannel>,
    subscriptions: Mutex<Vec<Subscription>>,
}

impl Channels {
    pub(crate) fn clear(&self) {
        let mut subscriptions = self.subscriptions.lock();
        let subscriptions = subscriptions.as_mut().map(|s| std::mem::take(&mut **s));
        drop(subscriptions);
        self.known.clear();
    }
}

impl Outside {
    /// A channel as the glue is told of it; from the first time on its events are told, too.
    pub(crate) fn meet_channel(&self, channel: &RTCDataChannel) -> Value {
        let (number, new) = self.channels.known.number(channel);
        if new {
            let sender = self.sender.clone();
            let subscription = channel.subscribe(move |event| {
                let (name, data) = match event {
                    Event::Open => ("open", Value::Null),
                    Event::Message(Message::Text(text)) => ("message", json!({ "text": text })),
                    Event::Message(Message::Binary(bytes)) => {
                        ("message", json!({ "bytes": to_characters(bytes) }))
                    }
                    Event::Error => ("error", Value::Null),
                    Event::BufferedAmountLow => ("bufferedamountlow", Value::Null),
                    Event::Closing => ("closing", Value::Null),
                    Event::Close => ("close", Value::Null),
                };
                let told = json!({
                    "task": "channelEvent", "channel": number, "event": name, "data": data,
                });
                tell(&sender, Task::Told(told));
            });
            let subscriptions = self.channels.subscriptions.lock();
            let mut subscriptions = subscriptions.unwrap_or_else(PoisonError::into_inner);
            subscriptions.push(subscription);
        }
        json!({
            "channel": number,
            "label": channel.label(),
            "protocol": channel.protocol(),
            "id": channel.id(),
            "readyState": channel.ready_state().as_str(),
        })
    }

    pub(crate) fn operate_channel(
        &self,
        operation: &str,
        argument: &Value,
        runtime: &Handle,
    ) -> Result<Value, Thrown> {
        let channel = self.channels.known.find(&argument["channel"])?;
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

fn to_characters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// What is no byte was none in the glue either.
fn to_bytes(characters: &str) -> Vec<u8> {
    let bytes = characters.chars().map(|c| u8::try_from(c).unwrap_or(0));
    bytes.collect()
}
