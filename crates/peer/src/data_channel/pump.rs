//! What the substrate tells of a channel, as the program is to hear it.

use super::{ChannelShared, DataChannelEvent, DataChannelMessage, RTCDataChannelState, lost};
use std::sync::{Arc, Weak};
use webrtc::data_channel::{
    DataChannel, DataChannelEvent as SubstrateEvent, RTCDataChannelMessage,
};

/// Reads a channel's events.
pub(super) struct Pump {
    pub(super) channel: Weak<ChannelShared>,
    pub(super) substrate: Arc<dyn DataChannel>,
}

impl Pump {
    pub(super) async fn run(self) {
        loop {
            let event = self.substrate.poll().await;
            let Some(channel) = self.channel.upgrade() else {
                return;
            };
            match event {
                Some(SubstrateEvent::OnOpen) => self.open(&channel).await,
                Some(SubstrateEvent::OnMessage(message)) => {
                    // Browsers may send before our own handshake is acknowledged.
                    self.open(&channel).await;
                    receive(&channel, message).await;
                }
                Some(SubstrateEvent::OnError) => {
                    channel.events.dispatch(&DataChannelEvent::Error(lost()));
                }
                Some(SubstrateEvent::OnBufferedAmountLow) => {
                    channel
                        .events
                        .dispatch(&DataChannelEvent::BufferedAmountLow);
                }
                Some(SubstrateEvent::OnClosing) => closing(&channel),
                Some(SubstrateEvent::OnClose) | None => return self.close(&channel).await,
                Some(_) => {}
            }
        }
    }

    /// The substrate says it again after a renegotiation.
    async fn open(&self, channel: &ChannelShared) {
        let connecting = *channel.state.lock() == RTCDataChannelState::Connecting;
        if !connecting {
            return;
        }
        if let Some(peer) = channel.peer.upgrade() {
            if let Some(id) = peer.stream_of(self.substrate.id()).await {
                *channel.id.lock() = Some(id);
            }
            peer.follow_sctp().await;
        }
        if channel.advance(RTCDataChannelState::Open) {
            channel.events.dispatch(&DataChannelEvent::Open);
        }
    }

    /// Whoever did not ask for it hears why: the other side closed it, or is gone.
    async fn close(&self, channel: &ChannelShared) {
        let asked = *channel.state.lock() >= RTCDataChannelState::Closing;
        let gone = match channel.peer.upgrade() {
            Some(peer) if !asked => !peer.follow_sctp().await,
            _ => false,
        };
        if gone {
            channel.finish(Some(lost()));
        } else {
            closing(channel);
            channel.finish(None);
        }
    }
}

fn closing(channel: &ChannelShared) {
    if channel.advance(RTCDataChannelState::Closing) {
        channel.events.dispatch(&DataChannelEvent::Closing);
    }
}

async fn receive(channel: &ChannelShared, message: RTCDataChannelMessage) {
    {
        let mut counters = channel.counters.lock();
        counters.messages_received += 1;
        counters.bytes_received += message.data.len() as u64;
    }
    let message = if message.is_string {
        DataChannelMessage::Text(String::from_utf8_lossy(&message.data).into_owned())
    } else {
        DataChannelMessage::Binary(message.data.freeze())
    };
    let queue = channel.messages.lock().clone();
    if let Some(queue) = queue {
        // Closed: nobody reads there any more.
        let _ = queue.send(message.clone()).await;
    }
    channel.events.dispatch(&DataChannelEvent::Message(message));
}
