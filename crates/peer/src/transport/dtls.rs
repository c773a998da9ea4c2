//! [`RTCDtlsTransport`].

use super::RTCIceTransport;
use crate::RTCError;
use crate::events::w3c_enum;
use bytes::Bytes;
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

w3c_enum! {
    /// [`RTCDtlsTransportState`](https://w3c.github.io/webrtc-pc/#dom-rtcdtlstransportstate).
    RTCDtlsTransportState {
        /// Not begun.
        New = "new",
        /// Keys are being agreed on.
        Connecting = "connecting",
        /// They are.
        Connected = "connected",
        /// It was closed, by this side or by the other.
        Closed = "closed",
        /// No keys could be agreed on.
        Failed = "failed",
    }
}

/// Events of a DTLS transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RTCDtlsTransportEvent {
    /// The state is another one.
    StateChange(RTCDtlsTransportState),
    /// The handshake failed.
    Error(RTCError),
}

/// [`RTCDtlsTransport`](https://w3c.github.io/webrtc-pc/#rtcdtlstransport-interface). Clones are the
/// same transport.
#[derive(Clone)]
pub struct RTCDtlsTransport(Arc<DtlsShared>);

struct DtlsShared {
    ice: RTCIceTransport,
    inner: Mutex<Inner>,
    events: EventTarget<RTCDtlsTransportEvent>,
}

struct Inner {
    state: RTCDtlsTransportState,
    certificates: Vec<Bytes>,
}

impl RTCDtlsTransport {
    pub(crate) fn new(ice: RTCIceTransport) -> Self {
        RTCDtlsTransport(Arc::new(DtlsShared {
            ice,
            inner: Mutex::new(Inner {
                state: RTCDtlsTransportState::New,
                certificates: Vec::new(),
            }),
            events: EventTarget::new(),
        }))
    }

    /// What it goes over.
    pub fn ice_transport(&self) -> RTCIceTransport {
        self.0.ice.clone()
    }

    /// How far it is.
    pub fn state(&self) -> RTCDtlsTransportState {
        self.0.inner.lock().state
    }

    /// The other side's certificates in DER, its own first; none before the handshake.
    pub fn get_remote_certificates(&self) -> Vec<Bytes> {
        self.0.inner.lock().certificates.clone()
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(
        &self,
        handler: impl Fn(&RTCDtlsTransportEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    pub(crate) fn set_certificates(&self, certificates: Vec<Bytes>) {
        self.0.inner.lock().certificates = certificates;
    }

    /// Moves on to `state`. What has ended stays as it is.
    pub(crate) fn advance(&self, state: RTCDtlsTransportState, error: Option<RTCError>) {
        {
            let mut inner = self.0.inner.lock();
            use RTCDtlsTransportState::{Closed, Connected, Connecting, Failed};
            let over = matches!(inner.state, Closed | Failed);
            let back = inner.state == Connected && state == Connecting;
            if inner.state == state || over || back {
                return;
            }
            inner.state = state;
        }
        if let Some(error) = error {
            self.0.events.dispatch(&RTCDtlsTransportEvent::Error(error));
        }
        let event = RTCDtlsTransportEvent::StateChange(state);
        self.0.events.dispatch(&event);
    }

    /// The connection is closed: nobody is told.
    pub(crate) fn close(&self) {
        self.0.inner.lock().state = RTCDtlsTransportState::Closed;
    }
}

impl PartialEq for RTCDtlsTransport {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCDtlsTransport {}

impl fmt::Debug for RTCDtlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCDtlsTransport")
            .field("state", &self.state())
            .field("ice", &self.0.ice)
            .finish_non_exhaustive()
    }
}
