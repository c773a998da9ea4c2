//! What is sent over a channel, and what waits for it.

use super::{RTCDataChannel, RTCDataChannelState};
use crate::RTCError;
use bytes::BytesMut;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use webrtc::data_channel::DataChannel;

/// What may wait to be sent on one channel; more is refused
/// ([16 MiB, as in browsers](https://www.w3.org/TR/webrtc/#dom-rtcdatachannel-send)).
pub(crate) const MAX_BUFFERED_BYTES: usize = 16 << 20;

impl RTCDataChannel {
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
        // Before it is: the acknowledgement may be told before the sending is counted.
        self.0.sends.store(true, Ordering::Release);
        Ok(())
    }

    /// Bytes that were handed over to be sent and that the other side has not acknowledged yet.
    ///
    /// It is never less than
    /// [`bufferedAmount`](https://w3c.github.io/webrtc-pc/#dom-rtcdatachannel-bufferedamount), which leaves
    /// out what is on its way: how much of a message SCTP has sent is not known here. So
    /// [`BufferedAmountLow`](crate::DataChannelEvent::BufferedAmountLow) comes a round trip later than in a
    /// browser, and who keeps some bytes waiting to fill the path keeps a round trip's worth more. 0 once the
    /// channel is closed.
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

    /// Down to how many waiting bytes [`BufferedAmountLow`](crate::DataChannelEvent::BufferedAmountLow) fires.
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
}

/// How often a channel that is closing looks whether all is acknowledged: only the passing of the program's
/// own threshold is told.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A channel that closes when what was sent on it has arrived
/// ([webrtc-pc](https://w3c.github.io/webrtc-pc/#data-transport-closing-procedure): first all pending messages
/// are sent). The substrate would drop what it has not packed yet.
pub(super) struct LastWords {
    pub(super) substrate: Arc<dyn DataChannel>,
    pub(super) state: watch::Receiver<RTCDataChannelState>,
}

impl LastWords {
    pub(super) async fn run(mut self) {
        let acknowledged = async {
            while self.substrate.outstanding_bytes().await.unwrap_or(0) > 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            // It fails if the channel is gone, and that is told where it is found.
            let _ = self.substrate.close().await;
        };
        tokio::select! {
            // The connection is closed or lost, or nobody has the channel any more.
            _ = self.state.wait_for(|state| *state == RTCDataChannelState::Closed) => {}
            () = acknowledged => {}
        }
    }
}
