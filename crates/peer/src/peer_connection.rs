//! The connection itself: its making, its parts, its states and events, its end. Negotiation is in
//! [`negotiation`](crate::negotiation).

use crate::data_channel::MAX_BUFFERED_BYTES;
use crate::dispatch::{Dispatcher, Divider, Item, States, post};
use crate::interceptor::{MediaPath, Receive};
use crate::negotiation::Negotiation;
use crate::pipeline::SyncGroup;
use crate::runtime::PeerRuntime;
use crate::substrate::{Handler, local_track, media_engine, setting_engine};
use crate::transceiver::{TransceiverShared, TransceiverState};
use crate::{
    PeerConnectionEvent, PeerContext, RTCConfiguration, RTCDataChannel, RTCDataChannelInit,
    RTCError, RTCErrorKind, RTCIceConnectionState, RTCIceGatheringState, RTCPeerConnectionState,
    RTCRtpEncodingParameters, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver,
    RTCRtpTransceiverDirection as Direction, RTCRtpTransceiverInit, RTCSignalingState,
};
use duet_media::{EventTarget, MediaKind, MediaStream, MediaStreamTrack, Subscription};
use parking_lot::Mutex;
use rtc::ice::mdns::MulticastDnsMode;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use webrtc::peer_connection as substrate;
use webrtc::rtp_transceiver::RtpTransceiver;

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
    /// One negotiation step at a time: the W3C's
    /// [operations chain](https://www.w3.org/TR/webrtc/#dfn-operations-chain).
    pub(crate) operations: tokio::sync::Mutex<()>,
    pub(crate) negotiation: Mutex<Negotiation>,
    pub(crate) transceivers: Mutex<Vec<RTCRtpTransceiver>>,
    pub(crate) remote_streams: Mutex<HashMap<String, (MediaStream, SyncGroup)>>,
    channels: Mutex<Vec<RTCDataChannel>>,
    states: Arc<Mutex<States>>,
    queue: mpsc::Sender<Item>,
    events: Arc<EventTarget<PeerConnectionEvent>>,
    closed: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl RTCPeerConnection {
    /// A connection that waits for tracks, channels or an offer.
    ///
    /// # Errors
    /// `SyntaxError`, `InvalidAccessError` or `NotSupportedError` for an ICE server that cannot be
    /// used; `OperationError` if no socket could be opened.
    pub async fn new(
        configuration: RTCConfiguration,
        context: PeerContext,
    ) -> Result<RTCPeerConnection, RTCError> {
        let configuration = configuration.to_substrate()?;
        let wake = Arc::new(Notify::new());
        let (queue, items) = mpsc::channel(MAX_WAITING_EVENTS);
        let states = Arc::new(Mutex::new(States::default()));
        let handler = Arc::new(Handler::new(queue.clone(), states.clone()));
        // Without multicast there is no mDNS; that is no reason to have no call.
        let modes: &[MulticastDnsMode] = if context.mdns {
            &[MulticastDnsMode::QueryOnly, MulticastDnsMode::Disabled]
        } else {
            &[MulticastDnsMode::Disabled]
        };
        let mut built = Err(RTCError::operation("no socket could be opened"));
        for mode in modes {
            let (path, chain) = MediaPath::new(
                context.clock.clone(),
                wake.clone(),
                context.start_bitrate,
                context.max_bitrate,
            );
            let builder = substrate::PeerConnectionBuilder::new()
                .with_configuration(configuration.clone())
                .with_media_engine(media_engine()?)
                .with_setting_engine(setting_engine(*mode))
                .with_interceptor_registry(chain)
                .with_runtime(Arc::new(PeerRuntime::new(wake.clone())))
                .with_handler(handler.clone())
                .with_data_channel_send_buffer_limit(MAX_BUFFERED_BYTES)
                .with_udp_addrs(vec![context.network.clone()]);
            built = match builder.build().await {
                Ok(substrate) => {
                    let substrate: Arc<dyn substrate::PeerConnection> = Arc::new(substrate);
                    Ok((substrate, path))
                }
                Err(error) => Err(RTCError::operation(error.to_string())),
            };
            if built.is_ok() {
                break;
            }
        }
        let (substrate, path) = built?;
        let events = Arc::new(EventTarget::new());
        let shared = Arc::new_cyclic(|this| Shared {
            context,
            path,
            substrate,
            this: this.clone(),
            operations: tokio::sync::Mutex::default(),
            negotiation: Mutex::default(),
            transceivers: Mutex::default(),
            remote_streams: Mutex::default(),
            channels: Mutex::default(),
            states,
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
        *shared.tasks.lock() = vec![tokio::spawn(dispatcher.run()), tokio::spawn(divider.run())];
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

    /// [`addTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtrack): sends `track`, as
    /// a part of `streams`, from the next negotiation on.
    ///
    /// # Errors
    /// `InvalidAccessError` if it is being sent already.
    pub async fn add_track(
        &self,
        track: &MediaStreamTrack,
        streams: &[&MediaStream],
    ) -> Result<RTCRtpSender, RTCError> {
        let _turn = self.0.turn().await?;
        let transceivers = self.get_transceivers();
        let senders = || transceivers.iter().map(|t| &t.0.sender);
        if senders().any(|sender| sender.track().as_ref() == Some(track)) {
            let message = "the track is being sent already";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        }
        let streams: Vec<MediaStream> = streams.iter().map(|s| (*s).clone()).collect();
        let free = transceivers.iter().find(|transceiver| {
            let state = transceiver.0.state.lock();
            transceiver.0.kind == track.kind()
                && transceiver.0.sender.track().is_none()
                && !state.has_sent
                && state.direction != Direction::Stopped
        });
        let transceiver = match free {
            Some(free) => {
                let mut state = free.0.state.lock();
                state.direction = Direction::of(true, state.direction.receives());
                drop(state);
                free.clone()
            }
            None => {
                let init = RTCRtpTransceiverInit::default();
                self.0.make_transceiver(track.kind(), &init).await?
            }
        };
        transceiver.0.sender.set_streams(&streams);
        transceiver.0.sender.replace_track(Some(track))?;
        self.0.update_negotiation_needed();
        Ok(transceiver.sender())
    }

    /// [`removeTrack`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-removetrack): sends
    /// nothing through `sender` any more. Its track goes on.
    ///
    /// # Errors
    /// `InvalidAccessError` for another connection's sender.
    pub fn remove_track(&self, sender: &RTCRtpSender) -> Result<(), RTCError> {
        self.0.check_open()?;
        let transceivers = self.0.transceivers.lock().clone();
        let Some(transceiver) = transceivers.iter().find(|t| t.0.sender == *sender) else {
            let message = "the sender belongs to another connection";
            return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
        };
        if sender.track().is_none() {
            return Ok(());
        }
        sender.replace_track(None)?;
        {
            let mut state = transceiver.0.state.lock();
            if state.direction != Direction::Stopped {
                state.direction = Direction::of(false, state.direction.receives());
            }
        }
        self.0.update_negotiation_needed();
        Ok(())
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// track.
    ///
    /// # Errors
    /// `TypeError` or `RangeError` for encodings that cannot be had.
    pub async fn add_transceiver_with_track(
        &self,
        track: &MediaStreamTrack,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        let transceiver = self.add_transceiver(track.kind(), init).await?;
        transceiver.0.sender.replace_track(Some(track))?;
        Ok(transceiver)
    }

    /// [`addTransceiver`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-addtransceiver) for a
    /// kind.
    ///
    /// # Errors
    /// `TypeError` or `RangeError` for encodings that cannot be had.
    pub async fn add_transceiver(
        &self,
        kind: MediaKind,
        init: RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        let _turn = self.0.turn().await?;
        let transceiver = self.0.make_transceiver(kind, &init).await?;
        transceiver.0.sender.set_streams(&init.streams);
        self.0.update_negotiation_needed();
        Ok(transceiver)
    }

    /// All senders of transceivers that are not stopped.
    pub fn get_senders(&self) -> Vec<RTCRtpSender> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::sender)
            .collect()
    }

    /// All receivers of transceivers that are not stopped.
    pub fn get_receivers(&self) -> Vec<RTCRtpReceiver> {
        self.get_transceivers()
            .iter()
            .map(RTCRtpTransceiver::receiver)
            .collect()
    }

    /// All transceivers that are not stopped.
    pub fn get_transceivers(&self) -> Vec<RTCRtpTransceiver> {
        let transceivers = self.0.transceivers.lock();
        transceivers
            .iter()
            .filter(|t| !t.stopped())
            .cloned()
            .collect()
    }

    /// [`createDataChannel`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-createdatachannel).
    ///
    /// # Errors
    /// `TypeError` for settings that exclude one another.
    pub async fn create_data_channel(
        &self,
        label: &str,
        init: RTCDataChannelInit,
    ) -> Result<RTCDataChannel, RTCError> {
        let _turn = self.0.turn().await?;
        let init = init.to_substrate(label)?;
        let channel = self
            .0
            .substrate
            .create_data_channel(label, Some(init))
            .await?;
        let channel = RTCDataChannel::new(channel).await?;
        self.0.keep_channel(channel.clone());
        self.0.negotiation.lock().wants_data = true;
        self.0.update_negotiation_needed();
        Ok(channel)
    }

    /// [`close`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-close): says goodbye and leaves
    /// nothing running. No local track is stopped; remote ones end.
    pub async fn close(&self) {
        self.0.close().await;
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

    /// Waits for its turn in the chain of operations.
    pub(crate) async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, RTCError> {
        let turn = self.operations.lock().await;
        self.check_open()?;
        Ok(turn)
    }

    /// Notes that the connection failed; false if it is known.
    pub(crate) fn fail(&self) -> bool {
        let failed = RTCPeerConnectionState::Failed;
        std::mem::replace(&mut self.states.lock().connection, failed) != failed
    }

    pub(crate) fn post(&self, event: PeerConnectionEvent) {
        post(&self.queue, Item::Event(event));
    }

    pub(crate) fn on_flow(&self) -> impl Fn(Arc<Receive>, bool) + Send + Sync + 'static {
        let queue = self.queue.clone();
        move |receive, flows| post(&queue, Item::Flow(receive, flows))
    }

    pub(crate) fn keep_channel(&self, channel: RTCDataChannel) {
        let mut channels = self.channels.lock();
        channels.retain(|channel| !channel.is_closed());
        channels.push(channel);
    }

    pub(crate) fn find_transceiver(&self, mid: &str) -> Option<RTCRtpTransceiver> {
        let transceivers = self.transceivers.lock();
        let has_mid = |t: &&RTCRtpTransceiver| t.0.state.lock().mid.as_deref() == Some(mid);
        transceivers.iter().find(has_mid).cloned()
    }

    /// A transceiver, here and in the substrate, with a sender that stays the same for its life.
    async fn make_transceiver(
        &self,
        kind: MediaKind,
        init: &RTCRtpTransceiverInit,
    ) -> Result<RTCRtpTransceiver, RTCError> {
        if init.direction == Direction::Stopped {
            let message = "a transceiver cannot begin stopped";
            return Err(RTCError::new(RTCErrorKind::Type, message));
        }
        let encoding = match init.send_encodings.as_slice() {
            [] => RTCRtpEncodingParameters::default(),
            [one] => *one,
            _ => {
                let message = "one encoding per sender: simulcast is not there yet";
                return Err(RTCError::new(RTCErrorKind::NotSupported, message));
            }
        };
        encoding.check()?;
        let sender = self.make_sender(kind, encoding);
        let track = local_track(&sender);
        let substrate = self.substrate.add_transceiver_from_track(track, None).await;
        let substrate = match substrate {
            Ok(substrate) => substrate,
            Err(error) => {
                sender.close().await;
                return Err(error.into());
            }
        };
        Ok(self.adopt(substrate, kind, sender, init.direction, true))
    }

    pub(crate) fn make_sender(
        &self,
        kind: MediaKind,
        encoding: RTCRtpEncodingParameters,
    ) -> RTCRtpSender {
        let (encoders, start) = (&self.context.encoders, self.context.start_bitrate);
        RTCRtpSender::new(kind, &self.path, encoders, start, encoding)
    }

    pub(crate) fn adopt(
        &self,
        substrate: Arc<dyn RtpTransceiver>,
        kind: MediaKind,
        sender: RTCRtpSender,
        direction: Direction,
        attached: bool,
    ) -> RTCRtpTransceiver {
        let transceiver = RTCRtpTransceiver(Arc::new(TransceiverShared {
            id: substrate.id(),
            kind,
            substrate,
            sender,
            receiver: RTCRtpReceiver::new(kind, &self.path),
            peer: self.this.clone(),
            state: Mutex::new(TransceiverState {
                mid: None,
                direction,
                current_direction: None,
                fired_direction: None,
                described: None,
                offered: None,
                has_sent: false,
                attached,
                created_by_remote: !attached,
            }),
        }));
        self.transceivers.lock().push(transceiver.clone());
        transceiver
    }

    /// Where the substrate's report on candidates and transports is had.
    pub(crate) fn channels(&self) -> Vec<RTCDataChannel> {
        self.channels.lock().clone()
    }

    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.path.goodbye();
        let _turn = self.operations.lock().await;
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
        let channels = std::mem::take(&mut *self.channels.lock());
        channels.iter().for_each(RTCDataChannel::abandon);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        let own = tokio::task::try_id();
        for task in tasks {
            task.abort();
            // A handler may close its own connection: it cannot wait for itself.
            if Some(task.id()) != own {
                let _ = task.await;
            }
        }
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
