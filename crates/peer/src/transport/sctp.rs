//! [`RTCSctpTransport`].

use super::RTCDtlsTransport;
use crate::events::w3c_enum;
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// What this side can send at once, in bytes: as much as the substrate takes.
pub(crate) const CAN_SEND: u64 = 262_144;

w3c_enum! {
    /// [`RTCSctpTransportState`](https://w3c.github.io/webrtc-pc/#dom-rtcsctptransportstate).
    RTCSctpTransportState {
        /// The association is being made.
        Connecting = "connecting",
        /// Data channels can open.
        Connected = "connected",
        /// It ended.
        Closed = "closed",
    }
}

/// Events of an SCTP transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RTCSctpTransportEvent {
    /// The state is another one.
    StateChange(RTCSctpTransportState),
}

/// [`RTCSctpTransport`](https://w3c.github.io/webrtc-pc/#rtcsctptransport-interface). Clones are the
/// same transport.
#[derive(Clone)]
pub struct RTCSctpTransport(Arc<SctpShared>);

struct SctpShared {
    dtls: RTCDtlsTransport,
    inner: Mutex<Inner>,
    events: EventTarget<RTCSctpTransportEvent>,
}

struct Inner {
    state: RTCSctpTransportState,
    max_message_size: f64,
    max_channels: Option<u16>,
}

impl RTCSctpTransport {
    pub(crate) fn new(dtls: RTCDtlsTransport, remote: Option<u64>) -> Self {
        RTCSctpTransport(Arc::new(SctpShared {
            dtls,
            inner: Mutex::new(Inner {
                state: RTCSctpTransportState::Connecting,
                max_message_size: message_size(remote),
                max_channels: None,
            }),
            events: EventTarget::new(),
        }))
    }

    /// What it goes over.
    pub fn transport(&self) -> RTCDtlsTransport {
        self.0.dtls.clone()
    }

    /// How far it is.
    pub fn state(&self) -> RTCSctpTransportState {
        self.0.inner.lock().state
    }

    /// The largest message that can be sent, in bytes.
    pub fn max_message_size(&self) -> f64 {
        self.0.inner.lock().max_message_size
    }

    /// How many channels there can be at once; `None` before the association.
    pub fn max_channels(&self) -> Option<u16> {
        self.0.inner.lock().max_channels
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(
        &self,
        handler: impl Fn(&RTCSctpTransportEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    /// The other side takes messages of up to so many bytes; of any size with `None`.
    pub(crate) fn set_remote_size(&self, remote: Option<u64>) {
        self.0.inner.lock().max_message_size = message_size(remote);
    }

    pub(crate) fn set_max_channels(&self, channels: u16) {
        self.0.inner.lock().max_channels = Some(channels);
    }

    /// Moves on to `state`, never back.
    pub(crate) fn advance(&self, state: RTCSctpTransportState) {
        {
            let mut inner = self.0.inner.lock();
            let over = inner.state == RTCSctpTransportState::Closed;
            if inner.state == state || over || state == RTCSctpTransportState::Connecting {
                return;
            }
            inner.state = state;
        }
        let event = RTCSctpTransportEvent::StateChange(state);
        self.0.events.dispatch(&event);
    }

    /// The connection is closed: nobody is told.
    pub(crate) fn close(&self) {
        self.0.inner.lock().state = RTCSctpTransportState::Closed;
    }
}

/// [The smaller of what one side can send and the other receive](https://w3c.github.io/webrtc-pc/#dfn-update-the-data-max-message-size).
fn message_size(remote: Option<u64>) -> f64 {
    remote.unwrap_or(CAN_SEND).min(CAN_SEND) as f64
}

impl PartialEq for RTCSctpTransport {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCSctpTransport {}

impl fmt::Debug for RTCSctpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCSctpTransport")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
