//! What the substrate tells of a channel, as the program is to hear it.

use super::{ChannelShared, DataChannelEvent, DataChannelMessage, RTCDataChannelState, lost};
use std::sync::{Arc, Weak};
use std::time::Duration;
use webrtc::data_channel::{
    DataChannel, DataChannelEvent as SubstrateEvent, RTCDataChannelMessage,
    RTCDataChannelState as KnownState,
};

/// What the substrate's driver needs at most to hand over a message that it has.
const DELIVERY: Duration = Duration::from_secs(1);

/// Reads a channel's events.
pub(super) struct Pump {
    pub(super) channel: Weak<ChannelShared>,
    pub(super) substrate: Arc<dyn DataChannel>,
}

impl Pump {
    pub(super) async fn run(self) {
        self.look_whether_open().await;
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
                    channel.inbox.tell(DataChannelEvent::Error(lost()));
                }
                // The handshake's own messages are none of the program's.
                Some(SubstrateEvent::OnBufferedAmountLow) if channel.has_sent() => {
                    channel.inbox.tell(DataChannelEvent::BufferedAmountLow);
                }
                Some(SubstrateEvent::OnClosing) => closing(&channel),
                Some(SubstrateEvent::OnClose) => {
                    self.take_last_words(&channel).await;
                    return self.close(&channel).await;
                }
                None => return self.close(&channel).await,
                Some(_) => {}
            }
        }
    }

    /// One that is negotiated when the association is there already is open at once, and the substrate
    /// never says so.
    async fn look_whether_open(&self) {
        let Some(channel) = self.channel.upgrade() else {
            return;
        };
        let negotiated = channel.init.negotiated_id.is_some();
        if negotiated && matches!(self.substrate.ready_state().await, Ok(KnownState::Open)) {
            self.open(&channel).await;
        }
    }

    /// The substrate says it again after a renegotiation.
    async fn open(&self, channel: &ChannelShared) {
        let connecting = *channel.state.borrow() == RTCDataChannelState::Connecting;
        if !connecting {
            return;
        }
        if channel.init.negotiated_id.is_some() {
            // The substrate has its SCTP stream only when its driver runs the next time. Until then the other
            // side's reset (RFC 8831, section 6.7) would be confirmed, and nobody would hear of it. This wakes
            // the driver and lets it run. It fails if the channel is gone: the next event tells so.
            let threshold = *channel.low_threshold.lock();
            let _ = self
                .substrate
                .set_buffered_amount_low_threshold(threshold)
                .await;
            tokio::task::yield_now().await;
        }
        if let Some(peer) = channel.peer.upgrade() {
            if let Some(id) = peer.stream_of(self.substrate.id()).await {
                *channel.id.lock() = Some(id);
            }
            peer.follow_sctp().await;
        }
        if channel.advance(RTCDataChannelState::Open) {
            channel.inbox.tell(DataChannelEvent::Open);
        }
    }

    /// The substrate tells of a close before the messages that came with it: those go first.
    async fn take_last_words(&self, channel: &Arc<ChannelShared>) {
        let Some(peer) = channel.peer.upgrade() else {
            return;
        };
        let came = peer.messages_of(self.substrate.id()).await.unwrap_or(0);
        let open = || *channel.state.borrow() < RTCDataChannelState::Closing;
        while open() && channel.counters.lock().messages_received < came {
            let event = tokio::time::timeout(DELIVERY, self.substrate.poll()).await;
            match event {
                Ok(Some(SubstrateEvent::OnMessage(message))) => {
                    self.open(channel).await;
                    receive(channel, message).await;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Whoever did not ask for it hears why: the other side closed it, or is gone.
    async fn close(&self, channel: &ChannelShared) {
        let asked = *channel.state.borrow() >= RTCDataChannelState::Closing;
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
        channel.inbox.tell(DataChannelEvent::Closing);
    }
}

async fn receive(channel: &Arc<ChannelShared>, message: RTCDataChannelMessage) {
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
    // The connection has one hold on it, and this task another.
    let let_go = || Arc::strong_count(channel) <= 2;
    let mut state = channel.state.subscribe();
    tokio::select! {
        biased;
        // https://w3c.github.io/webrtc-pc/#receiving-messages-on-a-data-channel: only while it is open.
        _ = state.wait_for(|state| *state >= RTCDataChannelState::Closing) => {}
        () = channel.inbox.deliver(message, let_go) => {}
    }
}
