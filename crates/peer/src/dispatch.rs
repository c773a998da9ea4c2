//! A connection's two tasks: one tells the program what happened, one divides up the bandwidth.

use crate::ice_candidate::{is_passive, without_base};
use crate::interceptor::{Estimate, MediaPath, Route};
use crate::peer_connection::Shared;
use crate::{
    PeerConnectionEvent, PeerContext, RTCIceConnectionState, RTCIceGatheringState,
    RTCIceTransportPolicy, RTCRtpSender,
};
use duet_media::{EventTarget, MediaKind};
use duet_session::{AudioPath, FecPath, RateAllocator, RateConfig, RateInput};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use webrtc::data_channel::DataChannel;

/// On a round trip up to this, pictures need not be spread out over their interval.
const SHORT_PATH: Duration = Duration::from_millis(10);
/// The DTLS handshake took one round trip at least, and mostly two: done within this, the path is short.
const SHORT_HANDSHAKE: Duration = Duration::from_millis(20);

/// So long the two may take to agree on keys once a way is found. What is not done by then never will
/// be: the certificate is not the one that was announced, say.
const HANDSHAKE: Duration = Duration::from_secs(8);

/// What the event task takes.
pub(crate) enum Item {
    Event(PeerConnectionEvent),
    Channel(Arc<dyn DataChannel>),
    /// Another way is in use.
    Way,
    /// Packets of a track began to come, or the source said goodbye.
    Flow(Arc<Route>),
    /// Somebody waits until all before it is told.
    Told(oneshot::Sender<()>),
}

/// Queues for the event task. The queue is only ever full when a handler blocks; then the event is
/// lost, and logged.
pub(crate) fn post(queue: &mpsc::Sender<Item>, item: Item) {
    if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(item) {
        tracing::warn!("an event handler blocks: an event is lost");
    }
}

/// Tells the program, away from the substrate's driver.
pub(crate) struct Dispatcher {
    items: mpsc::Receiver<Item>,
    events: Arc<EventTarget<PeerConnectionEvent>>,
    peer: Weak<Shared>,
    /// When the handshake is given up.
    patience: Option<Instant>,
    /// What was found while the description that it belongs to was being set.
    held: VecDeque<Item>,
}

impl Dispatcher {
    pub(crate) fn new(
        items: mpsc::Receiver<Item>,
        events: Arc<EventTarget<PeerConnectionEvent>>,
        peer: Weak<Shared>,
    ) -> Self {
        Dispatcher {
            items,
            events,
            peer,
            patience: None,
            held: VecDeque::new(),
        }
    }

    /// The next thing to tell: candidates wait for their description.
    async fn next(&mut self) -> Option<Item> {
        loop {
            let setting = self
                .peer
                .upgrade()
                .is_some_and(|peer| peer.is_setting_local());
            if !setting && let Some(held) = self.held.pop_front() {
                return Some(held);
            }
            let item = self.items.recv().await?;
            let setting = self
                .peer
                .upgrade()
                .is_some_and(|peer| peer.is_setting_local());
            match item {
                Item::Event(
                    PeerConnectionEvent::IceCandidate(_)
                    | PeerConnectionEvent::IceGatheringStateChange(RTCIceGatheringState::Complete),
                ) if setting => self.held.push_back(item),
                item => return Some(item),
            }
        }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let patience = self.patience;
            let impatient = async {
                match patience {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let item = tokio::select! {
                item = self.next() => item,
                () = impatient => {
                    self.patience = None;
                    self.give_up().await;
                    continue;
                }
            };
            let Some(item) = item else {
                return;
            };
            match item {
                Item::Event(PeerConnectionEvent::IceCandidate(Some(mut candidate))) => {
                    // All media share the first section's transport.
                    let peer = self.peer.upgrade();
                    if let Some(peer) = peer {
                        let Some(told) = peer.as_told(&candidate.candidate) else {
                            continue;
                        };
                        let mut negotiation = peer.negotiation.lock();
                        candidate.sdp_mid = negotiation.first_mid();
                        candidate.candidate = told;
                        negotiation.note_local_candidate(&candidate);
                    }
                    let event = PeerConnectionEvent::IceCandidate(Some(candidate));
                    self.events.dispatch(&event);
                }
                Item::Event(PeerConnectionEvent::NegotiationNeeded) => {
                    // While a step of negotiation runs or waits, the last one looks again.
                    let due = self.peer.upgrade().is_some_and(|peer| {
                        !peer.operations.is_busy() || !peer.operations.look_again()
                    } && peer.still_needs_negotiation());
                    if due {
                        self.events
                            .dispatch(&PeerConnectionEvent::NegotiationNeeded);
                    }
                }
                Item::Event(event) => {
                    if let PeerConnectionEvent::IceCandidate(None) = event
                        && let Some(peer) = self.peer.upgrade()
                    {
                        peer.negotiation.lock().note_end_of_candidates();
                    }
                    if let PeerConnectionEvent::IceConnectionStateChange(state) = event {
                        let found = state == RTCIceConnectionState::Connected;
                        self.patience = found.then(|| Instant::now() + HANDSHAKE);
                    }
                    if let Some(peer) = self.peer.upgrade() {
                        peer.follow_transports(&event).await;
                    }
                    self.events.dispatch(&event);
                }
                Item::Flow(route) => route.follow_flow(),
                Item::Way => {
                    if let Some(peer) = self.peer.upgrade() {
                        peer.follow_pair().await;
                    }
                }
                // Gone: whoever waited was dropped.
                Item::Told(waiting) => drop(waiting.send(())),
                Item::Channel(channel) => {
                    if let Some(peer) = self.peer.upgrade() {
                        peer.take_channel(channel).await;
                    }
                }
            }
        }
    }

    /// A way was found, and no keys were agreed on.
    async fn give_up(&self) {
        let Some(peer) = self.peer.upgrade() else {
            return;
        };
        if peer.path.is_ready() {
            return;
        }
        let changes = peer.states.lock().set_without_keys();
        for event in changes.events() {
            peer.follow_transports(&event).await;
            self.events.dispatch(&event);
        }
    }
}

impl Shared {
    /// A candidate's line without what nobody may learn; `None` if nothing of it may be told.
    fn as_told(&self, line: &str) -> Option<String> {
        let hidden = self.context.hide_addresses || !self.tcp.listens();
        if hidden && is_passive(line) {
            return None;
        }
        if self.context.hide_addresses {
            return self.names.hide(line);
        }
        let policy = self.configuration.lock().ice_transport_policy;
        Some(match policy {
            RTCIceTransportPolicy::Relay => without_base(line),
            RTCIceTransportPolicy::All => line.to_owned(),
        })
    }
}

/// Divides what the path carries among the senders, sound first.
pub(crate) struct Divider {
    path: Arc<MediaPath>,
    peer: Weak<Shared>,
    max_bitrate: f64,
    allocator: RateAllocator,
    /// Until the first receiver report tells the round trip: whether the handshake was that of a short path.
    short_handshake: bool,
    /// How often what was under way became of no use, so far.
    overloads: u64,
    /// What copies of sound take, in bits a second.
    copies_bps: u64,
}

impl Divider {
    pub(crate) fn new(path: Arc<MediaPath>, context: &PeerContext, peer: Weak<Shared>) -> Self {
        Divider {
            path,
            peer,
            max_bitrate: f64::from(context.max_bitrate),
            allocator: RateAllocator::new(RateConfig::default()),
            short_handshake: false,
            overloads: 0,
            copies_bps: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        self.path.ready().await;
        let ready_at = Instant::now();
        loop {
            let Some(peer) = self.peer.upgrade() else {
                return;
            };
            let ice_connected_at = peer.states.lock().ice_connected_at;
            self.short_handshake =
                ice_connected_at.is_some_and(|at| ready_at.duration_since(at) <= SHORT_HANDSHAKE);
            let senders: Vec<RTCRtpSender> = {
                let transceivers = peer.transceivers.lock();
                let senders = transceivers.iter().map(|t| t.0.sender.clone());
                senders.filter(RTCRtpSender::is_sending).collect()
            };
            drop(peer);
            self.divide(&senders);
            drop(senders);
            self.path.estimated().await;
        }
    }

    fn divide(&mut self, senders: &[RTCRtpSender]) {
        let estimate = self.path.estimate();
        let mut target = match estimate.told {
            // Without reports of arrivals the other side's word is all there is.
            Some(told) if !estimate.reported => told,
            Some(told) => estimate.target.min(told),
            None => estimate.target,
        };
        target = target.min(self.max_bitrate);
        let of_kind = |kind| senders.iter().filter(move |sender| sender.kind() == kind);
        let videos = of_kind(MediaKind::Video).count();
        let audios = of_kind(MediaKind::Audio).count();
        let wishes = of_kind(MediaKind::Video).map(|s| s.max_bitrate());
        let wished = wishes
            .map(|max| max.map_or(u64::from(u32::MAX), u64::from))
            .sum::<u64>();
        let max = self.max_bitrate as u64;
        let usual = RateConfig::default();
        // Each picture has its least; what a program wishes below that, its sender sees to.
        let video_min_bps = usual.video_min_bps * videos.max(1) as u64;
        self.allocator.set_config(RateConfig {
            video_min_bps,
            video_max_bps: wished.clamp(video_min_bps, max.max(video_min_bps)),
            ..usual
        });
        let input = RateInput {
            estimate_bps: target as u64,
            acknowledged_bps: None,
            loss: estimate.loss,
            audio: audios > 0,
            video: videos > 0,
            audio_copies_bps: self.copies_bps,
        };
        let shares = self.allocator.update(input);
        let copies = of_kind(MediaKind::Audio).map(|sender| {
            sender.allot_sound(AudioPath {
                estimate_bps: target as u64 / audios.max(1) as u64,
                share_bps: shares.audio_bps / audios.max(1) as u64,
                loss: self.loss_of(sender, &estimate),
            })
        });
        // Pictures make room for them from the next time on, which is a tenth of a second away.
        self.copies_bps = copies.sum();
        let round_trip = self.path.round_trip();
        let losses = of_kind(MediaKind::Video).map(|sender| self.loss_of(sender, &estimate));
        self.path.protect(FecPath {
            loss: losses.fold(0.0, f64::max),
            round_trip,
        });
        for sender in of_kind(MediaKind::Video) {
            let share = shares.video_bps / videos.max(1) as u64;
            // What protects a picture is of its own bits.
            let streams = sender.sent_encodings().into_iter();
            let repairs = self.path.repair_share(streams.map(|one| one.stream.ssrc));
            sender.allot((share as f64 / (1.0 + repairs)) as u64);
        }
        if std::mem::replace(&mut self.overloads, estimate.overloads) != estimate.overloads {
            // What waits would come late, and what was lost would be asked for again and again.
            for sender in of_kind(MediaKind::Video) {
                sender.start_afresh();
            }
        }
        let short = match round_trip {
            Some(round_trip) => round_trip <= SHORT_PATH,
            None => self.short_handshake,
        };
        let pace = estimate.pace * (target / estimate.target.max(1.0)).min(1.0);
        self.path.set_pace(pace, short);
    }

    /// Share of a sender's packets that are lost: by what the other side reports of all packets, or of its
    /// own.
    fn loss_of(&self, sender: &RTCRtpSender, estimate: &Estimate) -> f64 {
        if estimate.reported {
            return estimate.loss;
        }
        let report = self.path.remote_report(sender.0.ssrc);
        report.map_or(0.0, |report| report.fraction_lost)
    }
}
