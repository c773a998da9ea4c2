//! [`RTCIceTransport`].

use crate::events::w3c_enum;
use crate::peer_connection::Shared;
use crate::states::States;
use crate::{RTCIceCandidate, RTCIceComponent, RTCIceConnectionState, RTCIceGatheringState};
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};

w3c_enum! {
    /// [`RTCIceRole`](https://w3c.github.io/webrtc-pc/#dom-rtcicerole).
    RTCIceRole {
        /// Not agreed on.
        Unknown = "unknown",
        /// This side picks the pair.
        Controlling = "controlling",
        /// The other side does.
        Controlled = "controlled",
    }
}

w3c_enum! {
    /// [`RTCIceTransportState`](https://w3c.github.io/webrtc-pc/#dom-rtcicetransportstate).
    RTCIceTransportState {
        /// Not begun.
        New = "new",
        /// Pairs of addresses are tried.
        Checking = "checking",
        /// One works.
        Connected = "connected",
        /// The best was found.
        Completed = "completed",
        /// The other side has not been heard for a while.
        Disconnected = "disconnected",
        /// None works.
        Failed = "failed",
        /// Closed.
        Closed = "closed",
    }
}

/// [`RTCIceCandidatePair`](https://w3c.github.io/webrtc-pc/#rtcicecandidatepair).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCIceCandidatePair {
    /// Of this side.
    pub local: RTCIceCandidate,
    /// Of the other side.
    pub remote: RTCIceCandidate,
}

/// [`RTCIceParameters`](https://w3c.github.io/webrtc-pc/#rtciceparameters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCIceParameters {
    /// The user's name of one generation.
    pub username_fragment: String,
    /// Its password.
    pub password: String,
}

/// Events of an ICE transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RTCIceTransportEvent {
    /// The state is another one.
    StateChange(RTCIceTransportState),
    /// The gathering state is another one.
    GatheringStateChange(RTCIceGatheringState),
    /// Another pair of addresses is used.
    SelectedCandidatePairChange(Box<RTCIceCandidatePair>),
}

/// [`RTCIceTransport`](https://w3c.github.io/webrtc-pc/#rtcicetransport). Clones are the same
/// transport.
#[derive(Clone)]
pub struct RTCIceTransport(Arc<IceShared>);

struct IceShared {
    peer: Weak<Shared>,
    states: Arc<Mutex<States>>,
    inner: Mutex<Inner>,
    events: EventTarget<RTCIceTransportEvent>,
}

struct Inner {
    role: RTCIceRole,
    selected: Option<RTCIceCandidatePair>,
}

impl RTCIceTransport {
    pub(crate) fn new(peer: Weak<Shared>, states: Arc<Mutex<States>>) -> Self {
        RTCIceTransport(Arc::new(IceShared {
            peer,
            states,
            inner: Mutex::new(Inner {
                role: RTCIceRole::Unknown,
                selected: None,
            }),
            events: EventTarget::new(),
        }))
    }

    /// Who picks the pair of addresses.
    pub fn role(&self) -> RTCIceRole {
        self.0.inner.lock().role
    }

    /// Always `rtp`: RTCP goes along.
    pub fn component(&self) -> RTCIceComponent {
        RTCIceComponent::Rtp
    }

    /// How far it is.
    pub fn state(&self) -> RTCIceTransportState {
        if self.0.peer.upgrade().is_none_or(|peer| peer.is_closed()) {
            return RTCIceTransportState::Closed;
        }
        transport_state(self.0.states.lock().ice_connection)
    }

    /// Whether addresses are being found.
    pub fn gathering_state(&self) -> RTCIceGatheringState {
        self.0.states.lock().ice_gathering
    }

    /// This side's candidates of the standing generation, so far.
    pub fn get_local_candidates(&self) -> Vec<RTCIceCandidate> {
        let peer = self.0.peer.upgrade();
        peer.map(|peer| peer.negotiation.lock().candidates(true))
            .unwrap_or_default()
    }

    /// The other side's candidates of the standing generation, so far.
    pub fn get_remote_candidates(&self) -> Vec<RTCIceCandidate> {
        let peer = self.0.peer.upgrade();
        peer.map(|peer| peer.negotiation.lock().candidates(false))
            .unwrap_or_default()
    }

    /// The addresses in use, once there are.
    pub fn get_selected_candidate_pair(&self) -> Option<RTCIceCandidatePair> {
        self.0.inner.lock().selected.clone()
    }

    /// What this side checks with, once it is described.
    pub fn get_local_parameters(&self) -> Option<RTCIceParameters> {
        self.0
            .peer
            .upgrade()?
            .negotiation
            .lock()
            .ice_parameters(true)
    }

    /// What the other side checks with, once it is described.
    pub fn get_remote_parameters(&self) -> Option<RTCIceParameters> {
        self.0
            .peer
            .upgrade()?
            .negotiation
            .lock()
            .ice_parameters(false)
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(
        &self,
        handler: impl Fn(&RTCIceTransportEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    pub(crate) fn set_role(&self, role: RTCIceRole) {
        let mut inner = self.0.inner.lock();
        if inner.role == RTCIceRole::Unknown {
            inner.role = role;
        }
    }

    pub(crate) fn select(&self, pair: RTCIceCandidatePair) {
        let before = self.0.inner.lock().selected.replace(pair.clone());
        if before.as_ref() != Some(&pair) {
            let event = RTCIceTransportEvent::SelectedCandidatePairChange(Box::new(pair));
            self.0.events.dispatch(&event);
        }
    }

    pub(crate) fn tell(&self, event: &RTCIceTransportEvent) {
        self.0.events.dispatch(event);
    }
}

pub(crate) fn transport_state(state: RTCIceConnectionState) -> RTCIceTransportState {
    match state {
        RTCIceConnectionState::New => RTCIceTransportState::New,
        RTCIceConnectionState::Checking => RTCIceTransportState::Checking,
        RTCIceConnectionState::Connected => RTCIceTransportState::Connected,
        RTCIceConnectionState::Completed => RTCIceTransportState::Completed,
        RTCIceConnectionState::Disconnected => RTCIceTransportState::Disconnected,
        RTCIceConnectionState::Failed => RTCIceTransportState::Failed,
        RTCIceConnectionState::Closed => RTCIceTransportState::Closed,
    }
}

impl PartialEq for RTCIceTransport {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCIceTransport {}

impl fmt::Debug for RTCIceTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCIceTransport")
            .field("state", &self.state())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}
