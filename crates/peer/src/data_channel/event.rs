//! What a channel is, carries and tells.

use crate::RTCError;
use bytes::Bytes;

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

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataChannelMessage {
    /// A string.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl DataChannelMessage {
    /// Its size in bytes, a string's in UTF-8.
    pub(super) fn size(&self) -> usize {
        match self {
            DataChannelMessage::Text(text) => text.len(),
            DataChannelMessage::Binary(bytes) => bytes.len(),
        }
    }
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
    /// No more than the low threshold waits to be acknowledged, and more did.
    BufferedAmountLow,
    /// It is being closed.
    Closing,
    /// It is closed.
    Close,
}
