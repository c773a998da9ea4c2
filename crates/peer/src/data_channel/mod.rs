//! Messages beside the media.

mod backlog;
mod event;
mod ids;
mod inbox;
mod init;
mod pump;
mod send;

pub use event::{DataChannelEvent, DataChannelMessage, RTCDataChannelState};
pub(crate) use ids::ChannelIds;
pub use init::RTCDataChannelInit;
pub(crate) use send::MAX_BUFFERED_BYTES;

use crate::peer_connection::Shared;
use crate::{RTCError, RTCErrorDetail};
use duet_media::Subscription;
use inbox::Inbox;
use parking_lot::Mutex;
use pump::Pump;
use send::LastWords;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use webrtc::data_channel::DataChannel;

/// What went over a channel.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) messages_sent: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) messages_received: u64,
    pub(crate) bytes_received: u64,
}

/// [`RTCDataChannel`](https://www.w3.org/TR/webrtc/#rtcdatachannel). Clones are the same channel.
#[derive(Clone)]
pub struct RTCDataChannel(
    Arc<ChannelShared>,
    #[expect(dead_code, reason = "it is there to be dropped")] Hold,
);

/// Dropped after what it stands beside: whoever waits for the program then sees whether it still can ask.
#[derive(Clone)]
struct Hold(Arc<Inbox>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.look_again();
    }
}

struct ChannelShared {
    label: String,
    init: RTCDataChannelInit,
    /// Its SCTP stream, once that is agreed on.
    id: Mutex<Option<u16>>,
    /// What stands for it in the substrate: made after it, but before it is described.
    substrate: OnceLock<Arc<dyn DataChannel>>,
    peer: Weak<Shared>,
    state: watch::Sender<RTCDataChannelState>,
    was_open: AtomicBool,
    /// Something was handed over to be sent.
    sends: AtomicBool,
    counters: Mutex<Counters>,
    low_threshold: Mutex<u32>,
    inbox: Arc<Inbox>,
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
        let inbox = Arc::new(Inbox::new());
        let hold = Hold(inbox.clone());
        let shared = ChannelShared {
            label: label.to_owned(),
            init,
            id: Mutex::new(id),
            substrate: OnceLock::new(),
            peer,
            state: watch::Sender::new(RTCDataChannelState::Connecting),
            was_open: AtomicBool::new(false),
            sends: AtomicBool::new(false),
            counters: Mutex::default(),
            low_threshold: Mutex::new(0),
            inbox,
            task: Mutex::default(),
        };
        RTCDataChannel(Arc::new(shared), hold)
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
            self.0.inbox.tell(DataChannelEvent::Open);
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
        *self.0.state.borrow()
    }

    /// Calls `handler` for each event until the subscription is dropped, on a task of the channel: while it
    /// does not return, no further message is taken.
    ///
    /// What happened before the first handler is told to it first, in its order: that the channel opened,
    /// the messages that nobody has received from [`messages`](Self::messages), that it closed. So a channel
    /// that comes out of a queue of events has lost nothing. Each event that is no message waits once.
    pub fn subscribe(
        &self,
        handler: impl Fn(&DataChannelEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.inbox.subscribe(handler)
    }

    /// The messages, in a queue of 256 and of 1 MiB; one that is larger goes alone. The first receiver has
    /// all of them from the channel's beginning, a later one those from now on, and the one before it ends.
    /// It ends with the channel, when all is read.
    ///
    /// While nobody has asked, as many messages wait. When the queue is full, no more are taken and the other
    /// side is slowed down: on all channels of the connection, since they share one SCTP association. Not
    /// if the program has handlers ([`subscribe`](Self::subscribe)): they have every message, and when the
    /// queue is full before anybody has asked, nothing waits any more. Nor if the program has let go of the
    /// channel. Who wants no messages drops the receiver.
    pub fn messages(&self) -> mpsc::Receiver<DataChannelMessage> {
        self.0.inbox.messages()
    }

    /// Waits until messages can be sent; false if it closes first.
    pub async fn opened(&self) -> bool {
        let mut state = self.0.state.subscribe();
        let decided = state.wait_for(|state| *state != RTCDataChannelState::Connecting);
        decided
            .await
            .is_ok_and(|state| *state == RTCDataChannelState::Open)
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.0.counters.lock()
    }

    /// Closes it, here and over there, when the other side has acknowledged what was sent; it is closing
    /// until then, and nothing is received any more. Nothing happens if it is closed.
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
            Some(substrate) if substrate.outstanding_bytes().await.unwrap_or(0) > 0 => {
                let last = LastWords {
                    substrate: substrate.clone(),
                    state: self.0.state.subscribe(),
                };
                tokio::spawn(last.run());
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
        let forward = self.state.send_if_modified(|state| {
            let forward = to > *state;
            if forward {
                *state = to;
            }
            forward
        });
        if forward && to == RTCDataChannelState::Open {
            self.was_open.store(true, Ordering::Release);
            if let Some(peer) = self.peer.upgrade() {
                peer.channels_opened.fetch_add(1, Ordering::Relaxed);
            }
        }
        forward
    }

    /// Whether the program sends on it, or has.
    fn has_sent(&self) -> bool {
        self.sends.load(Ordering::Acquire)
    }

    /// It is closed, by a fault or not.
    fn finish(&self, fault: Option<RTCError>) {
        if !self.advance(RTCDataChannelState::Closed) {
            return;
        }
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
            self.inbox.tell(DataChannelEvent::Error(error));
        }
        self.inbox.tell(DataChannelEvent::Close);
        self.inbox.end();
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
