//! Messages beside the media.

use crate::{RTCError, RTCErrorKind};
use bytes::{Bytes, BytesMut};
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent as SubstrateEvent};

/// What may wait to be sent on one channel; more is refused
/// ([16 MiB, as in browsers](https://www.w3.org/TR/webrtc/#dom-rtcdatachannel-send)).
pub(crate) const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// Messages of the other side that wait for [`RTCDataChannel::messages`]'s receiver. When that many
/// wait no more are taken from the wire, and the other side is slowed down.
const MAX_WAITING_MESSAGES: usize = 256;

/// [`RTCDataChannelState`](https://www.w3.org/TR/webrtc/#dom-rtcdatachannelstate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RTCDataChannelState {
    /// The other side does not know of it yet.
    Connecting,
    /// Messages flow.
    Open,
    /// It is being closed.
    Closing,
    /// It is closed.
    Closed,
}

/// [`RTCDataChannelInit`](https://www.w3.org/TR/webrtc/#dom-rtcdatachannelinit).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCDataChannelInit {
    /// Whether messages arrive in the order in which they were sent.
    pub ordered: bool,
    /// Milliseconds after which a message is given up.
    pub max_packet_life_time: Option<u16>,
    /// Retransmissions after which a message is given up.
    pub max_retransmits: Option<u16>,
    /// What is spoken on it.
    pub protocol: String,
    /// Agreed on beforehand under this id, 0 to 65,534: both sides create it.
    pub negotiated_id: Option<u16>,
}

impl RTCDataChannelState {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            RTCDataChannelState::Connecting => "connecting",
            RTCDataChannelState::Open => "open",
            RTCDataChannelState::Closing => "closing",
            RTCDataChannelState::Closed => "closed",
        }
    }
}

/// What went over a channel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

impl Default for RTCDataChannelInit {
    fn default() -> Self {
        RTCDataChannelInit {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated_id: None,
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChannelMessage {
    /// A string.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

/// [Events of a channel](https://www.w3.org/TR/webrtc/#event-summary).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChannelEvent {
    /// Messages can be sent.
    Open,
    /// A message came.
    Message(DataChannelMessage),
    /// Something failed; the channel closes.
    Error,
    /// Less waits to be sent than the low threshold.
    BufferedAmountLow,
    /// It is being closed.
    Closing,
    /// It is closed.
    Close,
}

/// [`RTCDataChannel`](https://www.w3.org/TR/webrtc/#rtcdatachannel). Clones are the same channel.
#[derive(Clone)]
pub struct RTCDataChannel(Arc<ChannelShared>);

struct ChannelShared {
    id: usize,
    label: String,
    protocol: String,
    substrate: Arc<dyn DataChannel>,
    state: Arc<Mutex<RTCDataChannelState>>,
    counters: Arc<Mutex<Counters>>,
    events: Arc<EventTarget<DataChannelEvent>>,
    messages: Arc<Mutex<Option<mpsc::Sender<DataChannelMessage>>>>,
    task: JoinHandle<()>,
}

impl RTCDataChannel {
    /// Takes over a channel of the substrate; its events are read by a task, until it closes.
    pub(crate) async fn new(substrate: Arc<dyn DataChannel>) -> Result<Self, RTCError> {
        let label = substrate.label().await?;
        let protocol = substrate.protocol().await?;
        let state = Arc::new(Mutex::new(RTCDataChannelState::Connecting));
        let counters = Arc::new(Mutex::new(Counters::default()));
        let events = Arc::new(EventTarget::new());
        let messages = Arc::new(Mutex::new(None));
        let pump = Pump {
            substrate: substrate.clone(),
            state: state.clone(),
            counters: counters.clone(),
            events: events.clone(),
            messages: messages.clone(),
        };
        Ok(RTCDataChannel(Arc::new(ChannelShared {
            id: substrate.id(),
            label,
            protocol,
            substrate,
            state,
            counters,
            events,
            messages,
            task: tokio::spawn(pump.run()),
        })))
    }

    /// What it was called by who opened it.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// What is spoken on it.
    pub fn protocol(&self) -> &str {
        &self.0.protocol
    }

    /// Whether messages flow.
    pub fn ready_state(&self) -> RTCDataChannelState {
        *self.0.state.lock()
    }

    /// Calls `handler` for each event until the subscription is dropped. It runs on the channel's
    /// task: while it does not return, no further message is taken.
    pub fn subscribe(
        &self,
        handler: impl Fn(&DataChannelEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    /// The messages from now on, in a queue of 256: when it is full, the other side is slowed down.
    /// One receiver: the last to ask has it.
    pub fn messages(&self) -> mpsc::Receiver<DataChannelMessage> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_MESSAGES);
        *self.0.messages.lock() = Some(sender);
        receiver
    }

    /// Waits until messages can be sent; false if it closes first.
    pub async fn opened(&self) -> bool {
        let (tx, mut rx) = mpsc::channel(1);
        let _subscription = self.subscribe(move |event| {
            if !matches!(event, DataChannelEvent::Message(_)) {
                // Full: there is a wake-up already.
                let _ = tx.try_send(());
            }
        });
        loop {
            match self.ready_state() {
                RTCDataChannelState::Open => return true,
                RTCDataChannelState::Connecting => {}
                RTCDataChannelState::Closing | RTCDataChannelState::Closed => return false,
            }
            if rx.recv().await.is_none() {
                return false;
            }
        }
    }

    /// Sends a string.
    ///
    /// # Errors
    /// `InvalidStateError` if it is not open, `OperationError` if too much waits already.
    pub async fn send_text(&self, text: &str) -> Result<(), RTCError> {
        self.check_send(text.len()).await?;
        self.0.substrate.send_text(text).await?;
        self.count_sent(text.len());
        Ok(())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send(&self, data: &[u8]) -> Result<(), RTCError> {
        self.check_send(data.len()).await?;
        self.0.substrate.send(BytesMut::from(data)).await?;
        self.count_sent(data.len());
        Ok(())
    }

    fn count_sent(&self, bytes: usize) {
        let mut counters = self.0.counters.lock();
        counters.messages_sent += 1;
        counters.bytes_sent += bytes as u64;
    }

    /// The id of its SCTP stream, or of this side's choice before there is one.
    pub fn id(&self) -> usize {
        self.0.id
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.0.counters.lock()
    }

    async fn check_send(&self, bytes: usize) -> Result<(), RTCError> {
        if self.ready_state() != RTCDataChannelState::Open {
            return Err(RTCError::state("the data channel is not open"));
        }
        if self.buffered_amount().await + bytes > MAX_BUFFERED_BYTES {
            return Err(RTCError::operation(
                "too much waits to be sent on the data channel",
            ));
        }
        Ok(())
    }

    /// Bytes that wait to be sent or acknowledged.
    pub async fn buffered_amount(&self) -> usize {
        self.0.substrate.outstanding_bytes().await.unwrap_or(0)
    }

    /// Below how many waiting bytes [`DataChannelEvent::BufferedAmountLow`] fires.
    pub async fn set_buffered_amount_low_threshold(&self, bytes: u32) -> Result<(), RTCError> {
        Ok(self
            .0
            .substrate
            .set_buffered_amount_low_threshold(bytes)
            .await?)
    }

    /// Closes it, here and over there. Nothing happens if it is closed.
    pub async fn close(&self) -> Result<(), RTCError> {
        if !advance(&self.0.state, RTCDataChannelState::Closing) {
            return Ok(());
        }
        Ok(self.0.substrate.close().await?)
    }

    /// The connection is gone.
    pub(crate) fn abandon(&self) {
        self.0.task.abort();
        let before = std::mem::replace(&mut *self.0.state.lock(), RTCDataChannelState::Closed);
        self.0.messages.lock().take();
        if before != RTCDataChannelState::Closed {
            self.0.events.dispatch(&DataChannelEvent::Close);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ready_state() == RTCDataChannelState::Closed
    }
}

impl Drop for ChannelShared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PartialEq for RTCDataChannel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCDataChannel {}

impl fmt::Debug for RTCDataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCDataChannel")
            .field("label", &self.0.label)
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

/// Reads a channel's events.
struct Pump {
    substrate: Arc<dyn DataChannel>,
    state: Arc<Mutex<RTCDataChannelState>>,
    counters: Arc<Mutex<Counters>>,
    events: Arc<EventTarget<DataChannelEvent>>,
    messages: Arc<Mutex<Option<mpsc::Sender<DataChannelMessage>>>>,
}

impl Pump {
    async fn run(self) {
        while let Some(event) = self.substrate.poll().await {
            let event = match event {
                // The substrate says it again after a renegotiation.
                SubstrateEvent::OnOpen if self.advance(RTCDataChannelState::Open) => {
                    DataChannelEvent::Open
                }
                SubstrateEvent::OnMessage(message) => {
                    // Browsers may send before our own handshake is acknowledged.
                    if self.advance(RTCDataChannelState::Open) {
                        self.events.dispatch(&DataChannelEvent::Open);
                    }
                    {
                        let mut counters = self.counters.lock();
                        counters.messages_received += 1;
                        counters.bytes_received += message.data.len() as u64;
                    }
                    let message = if message.is_string {
                        let text = String::from_utf8_lossy(&message.data).into_owned();
                        DataChannelMessage::Text(text)
                    } else {
                        DataChannelMessage::Binary(message.data.freeze())
                    };
                    let queue = self.messages.lock().clone();
                    if let Some(queue) = queue {
                        // Closed: nobody reads there any more.
                        let _ = queue.send(message.clone()).await;
                    }
                    DataChannelEvent::Message(message)
                }
                SubstrateEvent::OnError => DataChannelEvent::Error,
                SubstrateEvent::OnClosing if self.advance(RTCDataChannelState::Closing) => {
                    DataChannelEvent::Closing
                }
                SubstrateEvent::OnClose => break,
                SubstrateEvent::OnBufferedAmountLow => DataChannelEvent::BufferedAmountLow,
                _ => continue,
            };
            self.events.dispatch(&event);
        }
        if self.advance(RTCDataChannelState::Closed) {
            self.messages.lock().take();
            self.events.dispatch(&DataChannelEvent::Close);
        }
    }

    fn advance(&self, to: RTCDataChannelState) -> bool {
        advance(&self.state, to)
    }
}

/// Moves the state forward; false if it is there or further already.
fn advance(state: &Mutex<RTCDataChannelState>, to: RTCDataChannelState) -> bool {
    let rank = |state| match state {
        RTCDataChannelState::Connecting => 0,
        RTCDataChannelState::Open => 1,
        RTCDataChannelState::Closing => 2,
        RTCDataChannelState::Closed => 3,
    };
    let mut state = state.lock();
    let forward = rank(to) > rank(*state);
    if forward {
        *state = to;
    }
    forward
}

impl RTCDataChannelInit {
    pub(crate) fn to_substrate(
        &self,
        label: &str,
    ) -> Result<webrtc::data_channel::RTCDataChannelInit, RTCError> {
        let refuse = |why: &str| Err(RTCError::new(RTCErrorKind::Type, why));
        if label.len() > 65_535 || self.protocol.len() > 65_535 {
            return refuse("a data channel's label and protocol have at most 65,535 bytes");
        }
        if self.max_packet_life_time.is_some() && self.max_retransmits.is_some() {
            return refuse("maxPacketLifeTime and maxRetransmits exclude one another");
        }
        if self.negotiated_id == Some(65_535) {
            return refuse("a data channel's id is at most 65,534");
        }
        Ok(webrtc::data_channel::RTCDataChannelInit {
            ordered: self.ordered,
            max_packet_life_time: self.max_packet_life_time,
            max_retransmits: self.max_retransmits,
            protocol: self.protocol.clone(),
            negotiated: self.negotiated_id,
        })
    }
}
