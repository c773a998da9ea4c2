//! Messages beside the media.

mod ids;
mod init;
mod pump;

pub(crate) use ids::ChannelIds;
pub use init::RTCDataChannelInit;

use crate::peer_connection::Shared;
use crate::{RTCError, RTCErrorDetail};
use bytes::{Bytes, BytesMut};
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use pump::Pump;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use webrtc::data_channel::DataChannel;

/// What may wait to be sent on one channel; more is refused
/// ([16 MiB, as in browsers](https://www.w3.org/TR/webrtc/#dom-rtcdatachannel-send)).
pub(crate) const MAX_BUFFERED_BYTES: usize = 16 << 20;
/// Messages of the other side that wait for [`RTCDataChannel::messages`]'s receiver. When that many
/// wait no more are taken from the wire, and the other side is slowed down.
const MAX_WAITING_MESSAGES: usize = 256;

/// [`RTCDataChannelState`](https://www.w3.org/TR/webrtc/#dom-rtcdatachannelstate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    Error(RTCError),
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
    label: String,
    init: RTCDataChannelInit,
    /// Its SCTP stream, once that is agreed on.
    id: Mutex<Option<u16>>,
    /// What stands for it in the substrate: made after it, but before it is described.
    substrate: OnceLock<Arc<dyn DataChannel>>,
    peer: Weak<Shared>,
    state: Mutex<RTCDataChannelState>,
    was_open: AtomicBool,
    counters: Mutex<Counters>,
    low_threshold: Mutex<u32>,
    events: EventTarget<DataChannelEvent>,
    messages: Mutex<Option<mpsc::Sender<DataChannelMessage>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl RTCDataChannel {
    /// A channel that only this side knows of yet.
    pub(crate) fn new(
        label: &str,
        init: RTCDataChannelInit,
        id: Option<u16>,
        peer: Weak<Shared>,
    ) -> Self {
        RTCDataChannel(Arc::new(ChannelShared {
            label: label.to_owned(),
            init,
            id: Mutex::new(id),
            substrate: OnceLock::new(),
            peer,
            state: Mutex::new(RTCDataChannelState::Connecting),
            was_open: AtomicBool::new(false),
            counters: Mutex::default(),
            low_threshold: Mutex::new(0),
            events: EventTarget::new(),
            messages: Mutex::default(),
            task: Mutex::default(),
        }))
    }

    /// One that the other side opened.
    pub(crate) async fn incoming(
        substrate: Arc<dyn DataChannel>,
        id: Option<u16>,
        peer: Weak<Shared>,
    ) -> Result<Self, RTCError> {
        let label = substrate.label().await?;
        let init = RTCDataChannelInit {
            ordered: substrate.ordered().await?,
            max_packet_life_time: substrate.max_packet_life_time().await?,
            max_retransmits: substrate.max_retransmits().await?,
            protocol: substrate.protocol().await?,
            negotiated_id: None,
        };
        let channel = RTCDataChannel::new(&label, init, id, peer);
        let _ = channel.0.substrate.set(substrate);
        // It is; the program hears so after it has heard of it.
        channel.0.advance(RTCDataChannelState::Open);
        Ok(channel)
    }

    /// Makes it known to the substrate.
    pub(crate) async fn attach(&self, peer: &Shared) -> Result<(), RTCError> {
        if self.0.substrate.get().is_some() || self.is_closed() {
            return Ok(());
        }
        let init = self.0.init.to_substrate();
        let made = peer
            .substrate
            .create_data_channel(&self.0.label, Some(init))
            .await?;
        let threshold = *self.0.low_threshold.lock();
        if threshold > 0 {
            made.set_buffered_amount_low_threshold(threshold).await?;
        }
        let _ = self.0.substrate.set(made);
        self.listen();
        Ok(())
    }

    /// The program has heard of a channel of the other side's: it is open.
    pub(crate) fn announce(&self) {
        // It may have been closed when it was heard of.
        if self.ready_state() == RTCDataChannelState::Open {
            self.0.events.dispatch(&DataChannelEvent::Open);
        }
        self.listen();
    }

    /// Reads the substrate's events with a task, until it closes.
    fn listen(&self) {
        let Some(substrate) = self.0.substrate.get() else {
            return;
        };
        let pump = Pump {
            channel: Arc::downgrade(&self.0),
            substrate: substrate.clone(),
        };
        *self.0.task.lock() = Some(tokio::spawn(pump.run()));
    }

    /// What it was called by who opened it.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// What is spoken on it.
    pub fn protocol(&self) -> &str {
        &self.0.init.protocol
    }

    /// Whether messages arrive in the order in which they were sent.
    pub fn ordered(&self) -> bool {
        self.0.init.ordered
    }

    /// Milliseconds after which a message is given up.
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.0.init.max_packet_life_time
    }

    /// Retransmissions after which a message is given up.
    pub fn max_retransmits(&self) -> Option<u16> {
        self.0.init.max_retransmits
    }

    /// Whether both sides agreed on it beforehand.
    pub fn negotiated(&self) -> bool {
        self.0.init.negotiated_id.is_some()
    }

    /// The id of its SCTP stream; `None` until it is agreed on.
    pub fn id(&self) -> Option<u16> {
        *self.0.id.lock()
    }

    pub(crate) fn set_id(&self, id: u16) {
        *self.0.id.lock() = Some(id);
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
    /// `InvalidStateError` if it is not open, `TypeError` for more than
    /// [`RTCSctpTransport::max_message_size`](crate::RTCSctpTransport::max_message_size),
    /// `OperationError` if too much waits already.
    pub async fn send_text(&self, text: &str) -> Result<(), RTCError> {
        self.check_send(text.len()).await?;
        self.open_substrate()?.send_text(text).await?;
        self.count_sent(text.len());
        Ok(())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub async fn send(&self, data: &[u8]) -> Result<(), RTCError> {
        self.check_send(data.len()).await?;
        self.open_substrate()?.send(BytesMut::from(data)).await?;
        self.count_sent(data.len());
        Ok(())
    }

    fn count_sent(&self, bytes: usize) {
        let mut counters = self.0.counters.lock();
        counters.messages_sent += 1;
        counters.bytes_sent += bytes as u64;
    }

    fn open_substrate(&self) -> Result<&Arc<dyn DataChannel>, RTCError> {
        let open = self.0.substrate.get();
        open.ok_or_else(|| RTCError::state("the data channel is not open"))
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.0.counters.lock()
    }

    async fn check_send(&self, bytes: usize) -> Result<(), RTCError> {
        if self.ready_state() != RTCDataChannelState::Open {
            return Err(RTCError::state("the data channel is not open"));
        }
        let limit = self.0.peer.upgrade().and_then(|peer| peer.sctp());
        let limit = limit.map_or(f64::INFINITY, |sctp| sctp.max_message_size());
        if bytes as f64 > limit {
            let message = format!("a message of {bytes} bytes, at most {limit}");
            return Err(RTCError::type_error(message));
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
        match self.0.substrate.get() {
            Some(substrate) => substrate.outstanding_bytes().await.unwrap_or(0),
            None => 0,
        }
    }

    /// [`bufferedAmountLowThreshold`](https://w3c.github.io/webrtc-pc/#dom-datachannel-bufferedamountlowthreshold).
    pub fn buffered_amount_low_threshold(&self) -> u32 {
        *self.0.low_threshold.lock()
    }

    /// Down to how many waiting bytes [`DataChannelEvent::BufferedAmountLow`] fires.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn set_buffered_amount_low_threshold(&self, bytes: u32) -> Result<(), RTCError> {
        *self.0.low_threshold.lock() = bytes;
        if let Some(substrate) = self.0.substrate.get() {
            substrate.set_buffered_amount_low_threshold(bytes).await?;
        }
        Ok(())
    }

    /// Closes it, here and over there. Nothing happens if it is closed.
    ///
    /// # Errors
    /// `OperationError` if the other side could not be told.
    pub async fn close(&self) -> Result<(), RTCError> {
        let before = self.ready_state();
        if !self.0.advance(RTCDataChannelState::Closing) {
            return Ok(());
        }
        match self.0.substrate.get() {
            // Nobody else knows of it, and nobody needs to.
            _ if before == RTCDataChannelState::Connecting => {
                if let Some(substrate) = self.0.substrate.get() {
                    // It may not be on its way yet.
                    let _ = substrate.close().await;
                }
                self.0.finish(None);
                Ok(())
            }
            Some(substrate) => Ok(substrate.close().await?),
            None => Ok(()),
        }
    }

    /// The connection was closed by this side.
    pub(crate) fn abandon(&self) {
        if let Some(task) = self.0.task.lock().take() {
            task.abort();
        }
        self.0.finish(None);
    }

    /// It cannot be had.
    pub(crate) fn fail(&self, error: RTCError) {
        self.0.finish(Some(error));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.ready_state() == RTCDataChannelState::Closed
    }
}

impl ChannelShared {
    /// Moves the state forward; false if it is there or further already.
    fn advance(&self, to: RTCDataChannelState) -> bool {
        let forward = advance(&self.state, to);
        if forward && to == RTCDataChannelState::Open {
            self.was_open.store(true, Ordering::Release);
            if let Some(peer) = self.peer.upgrade() {
                peer.channels_opened.fetch_add(1, Ordering::Relaxed);
            }
        }
        forward
    }

    /// It is closed, by a fault or not.
    fn finish(&self, fault: Option<RTCError>) {
        if !self.advance(RTCDataChannelState::Closed) {
            return;
        }
        self.messages.lock().take();
        let id = *self.id.lock();
        if let Some(peer) = self.peer.upgrade() {
            if let Some(id) = id {
                peer.channel_ids.lock().release(id);
            }
            if self.was_open.load(Ordering::Acquire) {
                peer.channels_closed.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(error) = fault {
            self.events.dispatch(&DataChannelEvent::Error(error));
        }
        self.events.dispatch(&DataChannelEvent::Close);
    }
}

/// The other side, or the path to it, is gone.
pub(crate) fn lost() -> RTCError {
    let detail = RTCErrorDetail::SctpFailure { cause_code: None };
    RTCError::detailed(detail, "the other side ended the association")
}

impl Drop for ChannelShared {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().take() {
            task.abort();
        }
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

/// Moves the state forward; false if it is there or further already.
fn advance(state: &Mutex<RTCDataChannelState>, to: RTCDataChannelState) -> bool {
    let mut state = state.lock();
    let forward = to > *state;
    if forward {
        *state = to;
    }
    forward
}
