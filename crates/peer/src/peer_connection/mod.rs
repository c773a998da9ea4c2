//! The connection itself: its making, its parts, its states and events, its end. Negotiation is in
//! [`negotiation`](crate::negotiation).

mod channels;
mod configuration;
mod transceivers;

use crate::data_channel::{ChannelIds, MAX_BUFFERED_BYTES};
use crate::dispatch::{Dispatcher, Divider, Item, post};
use crate::interceptor::{MediaPath, Route};
use crate::names::Names;
use crate::negotiation::Negotiation;
use crate::operations::Operations;
use crate::pipeline::SyncGroup;
use crate::recovery::{Offered, PathWatch, Recovery};
use crate::relay::Relays;
use crate::runtime::PeerRuntime;
use crate::states::States;
use crate::substrate::{Handler, media_engine, setting_engine};
use crate::tcp::{IceTcp, TcpCandidates};
use crate::{
    Diagnostics, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCDataChannel,
    RTCDtlsTransport, RTCError, RTCIceConnectionState, RTCIceGatheringState, RTCIceTransport,
    RTCIceTransportPolicy, RTCPeerConnectionState, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCSctpTransport, RTCSignalingState,
};
use duet_media::{EventTarget, MediaStream, Subscription};
use parking_lot::Mutex;
use rtc::ice::mdns::MulticastDnsMode;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use webrtc::peer_connection as substrate;

/// Events that wait for the program. It has a task of its own that does nothing else, so this is
/// only ever filled by a handler that blocks; what is above is lost, and logged.
const MAX_WAITING_EVENTS: usize = 1_024;

/// [`RTCOfferOptions`](https://www.w3.org/TR/webrtc/#dom-rtcofferoptions).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RTCOfferOptions {
    /// Look for a way anew.
    pub ice_restart: bool,
}

/// [`RTCPeerConnection`](https://www.w3.org/TR/webrtc/#rtcpeerconnection-interface). Clones are the
/// same connection; dropping the last one closes it.
///
/// Every error leaves the connection as it was.
#[derive(Clone)]
pub struct RTCPeerConnection(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) context: PeerContext,
    pub(crate) path: Arc<MediaPath>,
    pub(crate) substrate: Arc<dyn substrate::PeerConnection>,
    pub(crate) this: Weak<Shared>,
    pub(crate) operations: Operations,
    pub(crate) configuration: Mutex<RTCConfiguration>,
    /// The canonical name of all that is sent.
    pub(crate) cname: String,
    /// The id of the stream of remote tracks that are of none by name.
    pub(crate) nameless_stream: String,
    pub(crate) dtls: RTCDtlsTransport,
    pub(crate) sctp: Mutex<Option<RTCSctpTransport>>,
    pub(crate) channel_ids: Mutex<ChannelIds>,
    /// Data channels that were open, and of those the ones that are closed.
    pub(crate) channels_opened: AtomicU32,
    pub(crate) channels_closed: AtomicU32,
    /// A local description is being set: its candidates are told after it.
    pub(crate) setting_local: AtomicBool,
    /// Held by whoever makes channels known to the substrate.
    attaching: tokio::sync::Mutex<()>,
    revision: AtomicU64,
    pub(crate) negotiation: Mutex<Negotiation>,
    pub(crate) transceivers: Mutex<Vec<RTCRtpTransceiver>>,
    pub(crate) remote_streams: Mutex<HashMap<String, (MediaStream, SyncGroup)>>,
    channels: Mutex<Vec<RTCDataChannel>>,
    pub(crate) states: Arc<Mutex<States>>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) relays: Arc<Relays>,
    pub(crate) tcp: Arc<IceTcp>,
    /// In the place of the machine's addresses.
    pub(crate) names: Names,
    queue: mpsc::Sender<Item>,
    events: Arc<EventTarget<PeerConnectionEvent>>,
    closed: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RTCPeerConnection {
    /// A connection that waits for tracks, channels or an offer.
    ///
    /// # Errors
    /// `SyntaxError` or `InvalidAccessError` for an ICE server that is none, `InvalidAccessError` for a
    /// certificate that has expired, `OperationError` if no socket could be opened.
    pub async fn new(
        configuration: RTCConfiguration,
        context: PeerContext,
    ) -> Result<RTCPeerConnection, RTCError> {
        configuration.check()?;
        let wake = Arc::new(Notify::new());
        let (queue, items) = mpsc::channel(MAX_WAITING_EVENTS);
        let states = Arc::new(Mutex::new(States::default()));
        let recovery = Arc::new(Recovery::new(context.clock.clone()));
        let roots = context.turn_roots.clone();
        let hides = context.hide_addresses;
        let relays = Arc::new(Relays::new(roots, hides, queue.clone(), recovery.clone()));
        let known = configuration.to_substrate(&relays);
        let relay_only = configuration.ice_transport_policy == RTCIceTransportPolicy::Relay;
        let offered = Offered::new(context.network.clone(), context.interfaces.clone());
        // Without multicast there is no mDNS; that is no reason to have no call.
        let modes: &[MulticastDnsMode] = if context.mdns {
            &[MulticastDnsMode::QueryOnly, MulticastDnsMode::Disabled]
        } else {
            &[MulticastDnsMode::Disabled]
        };
        let mut built = Err(RTCError::operation("no socket could be opened"));
        for mode in modes {
            let (path, chain) = MediaPath::new(&context, wake.clone());
            let handler = Handler::new(
                queue.clone(),
                states.clone(),
                path.clone(),
                recovery.clone(),
            );
            // Whose sockets are not the machine's has no streams of it either.
            let kinds = match context.sockets {
                Some(_) => TcpCandidates::None,
                None => context.tcp,
            };
            let streams = kinds != TcpCandidates::None;
            let tcp = IceTcp::new(
                offered.clone(),
                kinds,
                context.clock.clone(),
                recovery.clone(),
                path.gate(),
            );
            tcp.set_policy(configuration.ice_transport_policy);
            let builder = substrate::PeerConnectionBuilder::new()
                .with_configuration(known.clone())
                .with_media_engine(media_engine()?)
                .with_setting_engine(setting_engine(*mode, relay_only))
                .with_interceptor_registry(chain)
                .with_runtime(Arc::new(PeerRuntime::new(
                    wake.clone(),
                    relays.clone(),
                    context.sockets.clone(),
                    context.clock.clone(),
                    recovery.consent(),
                    path.gate(),
                    tcp.clone(),
                )))
                .with_handler(Arc::new(handler))
                .with_data_channel_send_buffer_limit(MAX_BUFFERED_BYTES)
                .with_udp_addrs(vec![offered.clone()])
                .with_tcp_addrs(streams.then(|| offered.for_streams()).into_iter().collect());
            built = match builder.build().await {
                Ok(substrate) => {
                    let substrate: Arc<dyn substrate::PeerConnection> = Arc::new(substrate);
                    Ok((substrate, path, tcp))
                }
                Err(error) => Err(RTCError::operation(error.to_string())),
            };
            if built.is_ok() {
                break;
            }
        }
        let (substrate, path, tcp) = built?;
        let events = Arc::new(EventTarget::new());
        let shared = Arc::new_cyclic(|this| Shared {
            context,
            path,
            substrate,
            this: this.clone(),
            operations: Operations::default(),
            configuration: Mutex::new(configuration),
            cname: format!("{:016x}", rand::random::<u64>()),
            nameless_stream: format!("{:032x}", rand::random::<u128>()),
            dtls: RTCDtlsTransport::new(RTCIceTransport::new(this.clone(), states.clone())),
            sctp: Mutex::default(),
            channel_ids: Mutex::default(),
            setting_local: AtomicBool::new(false),
            channels_opened: AtomicU32::new(0),
            channels_closed: AtomicU32::new(0),
            attaching: tokio::sync::Mutex::default(),
            revision: AtomicU64::new(0),
            negotiation: Mutex::default(),
            transceivers: Mutex::default(),
            remote_streams: Mutex::default(),
            channels: Mutex::default(),
            states,
            recovery: recovery.clone(),
            relays,
            tcp,
            names: Names::default(),
            queue,
            events: events.clone(),
            closed: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let dispatcher = Dispatcher::new(items, events, Arc::downgrade(&shared));
        let divider = Divider::new(
            shared.path.clone(),
            &shared.context,
            Arc::downgrade(&shared),
        );
        let watch = PathWatch::new(Arc::downgrade(&shared), recovery, offered);
        *shared.tasks.lock() = vec![
            tokio::spawn(dispatcher.run()),
            tokio::spawn(divider.run()),
            tokio::spawn(watch.run()),
        ];
        Ok(RTCPeerConnection(shared))
    }

    /// Calls `handler` for each event until the subscription is dropped. It runs on a task of the
    /// connection; events wait while it does not return.
    pub fn subscribe(
        &self,
        handler: impl Fn(&PeerConnectionEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    /// The events from now on, in a queue of 1,024: what does not fit is lost, and logged.
    pub fn events(&self) -> mpsc::Receiver<PeerConnectionEvent> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_EVENTS);
        let subscription = self.subscribe(move |event| {
            if let Err(mpsc::error::TrySendError::Full(event)) = sender.try_send(event.clone()) {
                tracing::warn!(?event, "nobody takes the connection's events");
            }
        });
        subscription.forever();
        receiver
    }

    /// [`signalingState`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-signalingstate).
    pub fn signaling_state(&self) -> RTCSignalingState {
        if self.0.is_closed() {
            return RTCSignalingState::Closed;
        }
        self.0.negotiation.lock().state
    }

    /// [`connectionState`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-connectionstate).
    pub fn connection_state(&self) -> RTCPeerConnectionState {
        if self.0.is_closed() {
            return RTCPeerConnectionState::Closed;
        }
        self.0.states.lock().connection
    }

    /// [`iceConnectionState`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-iceconnectionstate).
    pub fn ice_connection_state(&self) -> RTCIceConnectionState {
        if self.0.is_closed() {
            return RTCIceConnectionState::Closed;
        }
        self.0.states.lock().ice_connection
    }

    /// [`iceGatheringState`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-icegatheringstate).
    pub fn ice_gathering_state(&self) -> RTCIceGatheringState {
        self.0.states.lock().ice_gathering
    }

    /// What came from the network and was not taken at its word.
    pub fn diagnostics(&self) -> Diagnostics {
        Diagnostics {
            connections_refused: self.0.tcp.refused(),
            ..self.0.path.diagnostics()
        }
    }

    /// Waits until every event that happened so far has been given to the subscribers. Not to be
    /// waited for in one of them.
    pub async fn told(&self) {
        self.0.told().await;
    }

    /// [`close`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-close): says goodbye and leaves
    /// nothing running. No local track is stopped; remote ones end. It goes on to the end even if the
    /// future is dropped.
    pub async fn close(&self) {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.0.dtls.close();
        if let Some(sctp) = self.0.sctp() {
            sctp.close();
        }
        let transceivers = self.0.transceivers.lock().clone();
        for transceiver in transceivers {
            transceiver.halt();
            transceiver.0.state.lock().current_direction = Some(Direction::Stopped);
        }
        let (shared, own) = (self.0.clone(), tokio::task::try_id());
        // It cannot fail but by a panic, and that is in the log.
        let _ = tokio::spawn(async move { shared.finish(own).await }).await;
    }
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn check_open(&self) -> Result<(), RTCError> {
        if self.is_closed() {
            return Err(RTCError::closed());
        }
        Ok(())
    }

    pub(crate) fn post(&self, event: PeerConnectionEvent) {
        post(&self.queue, Item::Event(event));
    }

    pub(crate) fn on_flow(&self) -> impl Fn(Arc<Route>) + Send + Sync + 'static {
        let queue = self.queue.clone();
        move |route| post(&queue, Item::Flow(route))
    }

    /// Tells the program at once. On the event task only.
    pub(crate) fn tell(&self, event: &PeerConnectionEvent) {
        self.events.dispatch(event);
    }

    /// Something changed that an offer or an answer may say.
    pub(crate) fn something_changed(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
        self.update_negotiation_needed();
    }

    /// A step of negotiation is done: what was offered or answered before is no longer what is due.
    pub(crate) fn revision_passed(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn is_setting_local(&self) -> bool {
        self.setting_local.load(Ordering::Acquire)
    }

    /// Counts what an offer or an answer may say.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// Waits until all events so far are told.
    pub(crate) async fn told(&self) {
        let (waiting, told) = oneshot::channel();
        post(&self.queue, Item::Told(waiting));
        // Fails if the connection is closed: nothing is told any more.
        let _ = told.await;
    }

    /// The end. `caller` is the task that wants it.
    async fn finish(&self, caller: Option<tokio::task::Id>) {
        self.path.goodbye();
        let _turn = self.any_turn().await;
        let transceivers = std::mem::take(&mut *self.transceivers.lock());
        for transceiver in &transceivers {
            transceiver.0.sender.close().await;
        }
        // A failure to say goodbye is none of the program's business.
        let _ = self.substrate.close().await;
        self.path.set_routes(Vec::new());
        for transceiver in &transceivers {
            transceiver.0.receiver.end();
        }
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            task.abort();
            // A handler may close its own connection: it cannot wait for itself.
            if Some(task.id()) != caller {
                let _ = task.await;
            }
        }
        // Now that nobody adds one any more.
        let channels = std::mem::take(&mut *self.channels.lock());
        channels.iter().for_each(RTCDataChannel::abandon);
        self.events
            .dispatch(&PeerConnectionEvent::SignalingStateChange(
                RTCSignalingState::Closed,
            ));
        let closed = PeerConnectionEvent::ConnectionStateChange(RTCPeerConnectionState::Closed);
        self.events.dispatch(&closed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        self.channels
            .lock()
            .iter()
            .for_each(RTCDataChannel::abandon);
        self.path.goodbye();
        // Whoever still holds a part of it sees that it is over.
        let transceivers = std::mem::take(&mut *self.transceivers.lock());
        for transceiver in &transceivers {
            transceiver.0.sender.end();
            transceiver.0.receiver.end();
        }
        // The substrate's driver would run on.
        if !self.is_closed()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let substrate = self.substrate.clone();
            runtime.spawn(async move {
                let _ = substrate.close().await;
            });
        }
    }
}

impl PartialEq for RTCPeerConnection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCPeerConnection {}

impl fmt::Debug for RTCPeerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCPeerConnection")
            .field("signaling_state", &self.signaling_state())
            .field("connection_state", &self.connection_state())
            .field("transceivers", &self.get_transceivers())
            .finish_non_exhaustive()
    }
}
