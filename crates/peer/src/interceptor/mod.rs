//! The media path of one connection, as links of the substrate's chain.
//!
//! From the wire inwards: a guard that believes what is said of the transport's numbers only as far as it can
//! be so, congestion control's history, transport-wide numbers, the memory for
//! retransmissions, the recorder of arrivals, and last a [`MediaLink`] of ours. There packets
//! enter and leave: a frame's packets are cut and queued by the sender's own task, and wake the
//! driver once; what comes in is unwrapped, filtered and handed to its receiver at once. No packet
//! takes the substrate's own way through tracks and channels.
//!
//! It deliberately knows no encoder, decoder or negotiation: only streams, by SSRC.

mod estimate;
mod fec;
mod guard;
mod incoming;
mod nack;
mod outgoing;
mod pacer;
mod retransmissions;
mod route;
mod with_repairs;

pub(crate) use estimate::Estimate;
pub(crate) use incoming::InboundCounters;
pub(crate) use outgoing::{Feedbacks, OutboundCounters, Redundancy, RemoteReport};
pub(crate) use route::{Receive, Route};

use crate::pipeline::Workers;
use crate::source_gate::SourceGate;
use crate::sources::{Heard, RTCRtpSource};
use crate::{Diagnostics, PeerContext};
use duet_media::{Clock, MediaKind, MediaTime};
use duet_session::{FecPath, TemporalLayer};
use estimate::{Estimator, SharedEstimate};
use guard::Guard;
use incoming::{Delivery, Incoming};
use outgoing::Outgoing;
use parking_lot::Mutex;
use retransmissions::RetransmissionCounter;
use rtc::interceptor::{
    CongestionControlBuilder, Interceptor, NackResponderBuilder, Packet, Registry, Slot,
    StreamInfo, TaggedPacket, TwccReceiverBuilder, TwccSenderBuilder,
};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use with_repairs::WithRepairs;

/// Retransmissions can be had for so many packets back: about a second at full rate.
const SENT_PACKETS_KEPT: u16 = 1_024;
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

/// One connection's media path: what its tasks and its link in the chain share.
pub(crate) struct MediaPath {
    clock: Arc<dyn Clock>,
    workers: Workers,
    out: Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
    estimate: SharedEstimate,
    /// What comes in at the sockets.
    gate: Arc<SourceGate>,
    /// What of it was odd, where nobody else counts.
    odd: Mutex<Diagnostics>,
    #[cfg(feature = "adversary")]
    pub(crate) adversary: crate::adversary::Adversary,
    /// Keys are agreed on: packets can leave.
    ready: AtomicBool,
    /// The agent has a pair of addresses in use, or none yet.
    way: AtomicBool,
    /// The other side consents to be sent to.
    consent: AtomicBool,
    /// Wakes the substrate's driver.
    wake: Arc<Notify>,
    /// Wakes the senders' tasks: the path is ready, or has room.
    senders: Notify,
    /// Wakes whoever divides up the bandwidth: the estimate may have changed.
    estimated: Notify,
}

impl MediaPath {
    /// A path, and the chain that carries it. `wake` wakes the driver.
    pub(crate) fn new(context: &PeerContext, wake: Arc<Notify>) -> (Arc<MediaPath>, Registry) {
        let (start_bitrate, max_bitrate) = (context.start_bitrate, context.max_bitrate);
        let estimator = Estimator::new(f64::from(start_bitrate), f64::from(max_bitrate));
        let path = Arc::new(MediaPath {
            clock: context.clock.clone(),
            workers: context.workers,
            out: Mutex::new(Outgoing::new(f64::from(start_bitrate))),
            incoming: Mutex::new(Incoming::default()),
            estimate: estimator.shared(),
            gate: Arc::default(),
            odd: Mutex::default(),
            #[cfg(feature = "adversary")]
            adversary: Default::default(),
            ready: AtomicBool::new(false),
            way: AtomicBool::new(true),
            consent: AtomicBool::new(true),
            wake,
            senders: Notify::new(),
            estimated: Notify::new(),
        });
        // Arrivals are recorded before retransmissions are unwrapped and losses made up for: they tell of the path, not of
        // what was recovered.
        let chain = Registry::new()
            .with(Slot::Custom(500), Guard::new(path.clone()))
            .with(
                Slot::CongestionControl,
                WithRepairs(CongestionControlBuilder::new(estimator).build()),
            )
            .with(
                Slot::TwccSender,
                WithRepairs(TwccSenderBuilder::new().build()),
            )
            .with(
                Slot::Custom(3_000),
                RetransmissionCounter::new(path.clone()),
            )
            .with(
                Slot::NackResponder,
                NackResponderBuilder::new()
                    .with_size(SENT_PACKETS_KEPT)
                    .build(),
            )
            .with(
                Slot::Custom(5_000),
                TwccReceiverBuilder::new()
                    .with_interval(FEEDBACK_INTERVAL)
                    .build(),
            )
            .with(Slot::Custom(20_000), MediaLink::new(path.clone()));
        (path, chain)
    }

    /// The clock of all times here.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// Where what it receives is decoded.
    pub(crate) fn workers(&self) -> Workers {
        self.workers
    }

    /// What guards its sockets.
    pub(crate) fn gate(&self) -> Arc<SourceGate> {
        self.gate.clone()
    }

    /// What was odd so far.
    pub(crate) fn diagnostics(&self) -> Diagnostics {
        let mut odd = Diagnostics {
            datagrams_discarded: self.gate.discarded(),
            sources_refused: self.gate.refused(),
            ..*self.odd.lock()
        };
        odd += self.out.lock().odd;
        odd += self.incoming.lock().odd;
        odd
    }

    /// The path's clock, now.
    pub(crate) fn now(&self) -> MediaTime {
        self.clock.now()
    }

    /// Whether packets can leave.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Waits until packets can leave.
    pub(crate) async fn ready(&self) {
        loop {
            let woken = self.senders.notified();
            if self.is_ready() {
                return;
            }
            woken.await;
        }
    }

    /// Waits until there is room for another picture, or it would lead nowhere.
    pub(crate) async fn room(&self) {
        loop {
            let woken = self.senders.notified();
            if !self.is_open() || self.out.lock().has_room() {
                return;
            }
            woken.await;
        }
    }

    /// Whether there is a way, and the other side consents to be sent to.
    pub(crate) fn is_open(&self) -> bool {
        self.way.load(Ordering::Acquire) && self.consent.load(Ordering::Acquire)
    }

    /// Waits until there is.
    pub(crate) async fn opened(&self) {
        loop {
            let woken = self.senders.notified();
            if self.is_open() {
                return;
            }
            woken.await;
        }
    }

    /// Whether there is a way.
    pub(crate) fn set_way(&self, way: bool) {
        if self.way.swap(way, Ordering::AcqRel) != way {
            self.open_or_close();
        }
    }

    /// Whether the other side consents to be sent to.
    pub(crate) fn set_consent(&self, consent: bool) {
        if self.consent.swap(consent, Ordering::AcqRel) != consent {
            self.open_or_close();
        }
    }

    fn open_or_close(&self) {
        // What waited tells of the way that was.
        self.out.lock().forget_rtcp();
        self.senders.notify_waiters();
        self.wake.notify_one();
    }

    /// Queues an encoded picture of `ssrc`. Lost if the stream is not negotiated.
    pub(crate) fn send_picture(
        &self,
        ssrc: u32,
        capture_time: MediaTime,
        layer: Option<TemporalLayer>,
        data: &[u8],
    ) -> bool {
        let mut out = self.out.lock();
        let sent = out.send_picture(ssrc, capture_time, layer, data);
        drop(out);
        self.wake.notify_one();
        sent
    }

    /// Queues an encoded packet of sound that lasts `samples` ticks of 48 kHz.
    pub(crate) fn send_sound(
        &self,
        ssrc: u32,
        capture_time: MediaTime,
        samples: u32,
        marker: bool,
        data: bytes::Bytes,
    ) -> bool {
        let mut out = self.out.lock();
        let sent = out.send_sound(ssrc, capture_time, samples, marker, data);
        drop(out);
        self.wake.notify_one();
        sent
    }

    /// How much of a stream of sound is sent again beside what follows it.
    pub(crate) fn set_redundancy(&self, ssrc: u32, redundancy: Option<Redundancy>) {
        self.out.lock().set_redundancy(ssrc, redundancy);
    }

    /// Queues a packet of a telephone key.
    pub(crate) fn send_event(
        &self,
        ssrc: u32,
        payload_type: u8,
        timestamp: u32,
        marker: bool,
        data: bytes::Bytes,
    ) {
        let mut out = self.out.lock();
        out.send_event(ssrc, payload_type, timestamp, marker, data);
        drop(out);
        self.wake.notify_one();
    }

    /// The RTP time stamp of a stream now.
    pub(crate) fn timestamp(&self, ssrc: u32) -> Option<u32> {
        self.out.lock().timestamp(ssrc, self.now())
    }

    /// Has the driver look again at what is due.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Queues RTCP of ours.
    pub(crate) fn send_rtcp(&self, packet: Box<dyn rtcp::Packet>) {
        self.out.lock().push_rtcp(packet);
        self.wake.notify_one();
    }

    /// Makes an outgoing stream known; `feedback` hears of key-frame requests.
    pub(crate) fn add_sender(&self, ssrc: u32, kind: MediaKind, feedback: Arc<dyn Feedbacks>) {
        self.out.lock().add(ssrc, kind, feedback);
    }

    /// Forgets an outgoing stream for good.
    pub(crate) fn remove_sender(&self, ssrc: u32) {
        self.out.lock().remove(ssrc);
        self.senders.notify_waiters();
    }

    /// What the section of this stream is called.
    pub(crate) fn set_mid(&self, ssrc: u32, mid: &str) {
        self.out.lock().set_mid(ssrc, mid);
    }

    /// What the encoding of this stream is called; nothing of an only one.
    pub(crate) fn set_rid(&self, ssrc: u32, rid: &str) {
        self.out.lock().set_rid(ssrc, rid);
    }

    /// Forgets what of `ssrc` has not left.
    pub(crate) fn discard(&self, ssrc: u32) {
        self.out.lock().discard(ssrc);
        self.senders.notify_waiters();
    }

    /// Says goodbye for every stream that was sent ([RFC 3550](https://www.rfc-editor.org/rfc/rfc3550#section-6.6)).
    pub(crate) fn goodbye(&self) {
        self.out.lock().goodbye();
        self.wake.notify_one();
    }

    /// Whose packets go where, from now on.
    pub(crate) fn set_routes(&self, routes: Vec<Arc<Route>>) {
        self.gate
            .name(routes.iter().flat_map(|route| route.ssrcs.iter().copied()));
        self.incoming.lock().set_routes(routes);
    }

    /// Waits for news of the path's bandwidth.
    pub(crate) async fn estimated(&self) {
        self.estimated.notified().await;
    }

    /// The bandwidth is to be divided up anew.
    pub(crate) fn renew_estimate(&self) {
        self.estimated.notify_one();
    }

    pub(crate) fn estimate(&self) -> Estimate {
        *self.estimate.lock()
    }

    /// What packets may leave at; `short_path`: the round trip is that of a local network.
    pub(crate) fn set_pace(&self, bits_per_second: f64, short_path: bool) {
        self.out.lock().set_pace(bits_per_second, short_path);
    }

    /// How pictures of now on are protected.
    pub(crate) fn protect(&self, path: FecPath) {
        let now = self.now();
        self.out.lock().protect(path, now);
    }

    /// Bytes of repair packets for a byte of some streams' pictures, of late.
    pub(crate) fn repair_share(&self, ssrcs: impl Iterator<Item = u32>) -> f64 {
        self.out.lock().repair_share(ssrcs)
    }

    pub(crate) fn outbound_counters(&self, ssrc: u32) -> Option<OutboundCounters> {
        self.out.lock().counters(ssrc)
    }

    /// The last report of the other side on `ssrc`.
    pub(crate) fn remote_report(&self, ssrc: u32) -> Option<RemoteReport> {
        self.out.lock().remote_report(ssrc)
    }

    pub(crate) fn inbound_counters(&self, route: &Arc<Route>) -> Vec<InboundCounters> {
        self.incoming.lock().counters(route)
    }

    /// Who was heard or seen on a route lately; `level`: how loud it is now.
    pub(crate) fn sources(
        &self,
        route: &Arc<Route>,
        mixed: bool,
        level: Option<f64>,
    ) -> Vec<RTCRtpSource> {
        let heard = self.incoming.lock().heard(route, mixed, self.now());
        let source = |heard: Heard| RTCRtpSource {
            timestamp: self.clock.unix_time(heard.arrival).as_secs_f64() * 1e3,
            source: heard.source,
            // The mixer did not say how loud each is.
            audio_level: level.filter(|_| !mixed),
            rtp_timestamp: heard.rtp_timestamp,
        };
        heard.into_iter().map(source).collect()
    }

    /// The shortest round trip that receiver reports told of.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.out.lock().round_trip()
    }
}

/// The innermost link of the chain.
struct MediaLink {
    path: Arc<MediaPath>,
    passing: VecDeque<TaggedPacket>,
}

impl MediaLink {
    fn new(path: Arc<MediaPath>) -> Self {
        MediaLink {
            path,
            passing: VecDeque::new(),
        }
    }

    /// Congestion control, nearer to the wire, has read a report already. A peer that sends none may
    /// tell its own estimate (REMB).
    fn note_estimate(&self, packet: &dyn Any) {
        if let Some(remb) = packet.downcast_ref::<ReceiverEstimatedMaximumBitrate>() {
            self.path.estimate.lock().told = Some(f64::from(remb.bitrate));
        } else if !packet.is::<TransportLayerCc>() && !packet.is::<ReceiverReport>() {
            return;
        }
        self.path.estimated.notify_one();
    }

    /// The chain is not called before the handshake is done, so the first call says that it is.
    fn note_ready(&self) {
        if !self.path.ready.swap(true, Ordering::AcqRel) {
            self.path.senders.notify_waiters();
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for MediaLink {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        let arrival = self.path.now();
        match msg.message.packet {
            Packet::Rtp(packet) => {
                #[cfg(feature = "adversary")]
                let Some(packet) = self.path.adversary.overhear(packet) else {
                    return Ok(());
                };
                let received = self.path.incoming.lock().on_rtp(packet, msg.now, arrival);
                for Delivery {
                    route,
                    packet,
                    made,
                } in received
                {
                    route.deliver(packet, made, arrival);
                }
            }
            Packet::Rtcp(packets) => {
                for packet in packets {
                    let packet = packet.as_any();
                    self.note_estimate(packet);
                    incoming::on_report(&self.path.incoming, packet, arrival);
                    let ntp = self.path.clock.unix_time(arrival);
                    outgoing::on_feedback(&self.path.out, packet, ntp, arrival);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing goes on from here: what comes in has been handed over.
    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, msg: TaggedPacket) -> Result<(), Error> {
        self.passing.push_back(msg);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        if !self.path.is_open() {
            self.passing.clear();
            return None;
        }
        if let Some(passing) = self.passing.pop_front() {
            return Some(passing);
        }
        let now = tokio::time::Instant::now().into_std();
        #[cfg(feature = "adversary")]
        if let Some(forged) = self.path.adversary.forged() {
            return Some(TaggedPacket {
                now,
                transport: Default::default(),
                message: Packet::Rtp(forged).into(),
            });
        }
        let mut out = self.path.out.lock();
        let packet = out.pop(now);
        let has_room = packet.is_some() && out.has_room();
        drop(out);
        if has_room {
            self.path.senders.notify_waiters();
        }
        #[cfg(feature = "adversary")]
        let packet = packet.map(|mut packet| {
            if let Packet::Rtp(packet) = &mut packet {
                self.path.adversary.tamper(packet);
            }
            packet
        });
        Some(TaggedPacket {
            now,
            transport: Default::default(),
            message: packet?.into(),
        })
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.note_ready();
        let wanted = {
            let round_trip = self.path.round_trip();
            let mut incoming = self.path.incoming.lock();
            let mut wanted = incoming.due_nacks(now, round_trip);
            wanted.extend(incoming.due_reports(now, self.path.now()));
            wanted
        };
        let mut out = self.path.out.lock();
        wanted.into_iter().for_each(|packet| out.push_rtcp(packet));
        let clock = &self.path.clock;
        out.make_reports(now, clock.now(), |time| clock.unix_time(time));
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.note_ready();
        let nack = self.path.incoming.lock().next_due();
        let out = self.path.out.lock().next_due();
        match (nack, out) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Interceptor for MediaLink {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.path.out.lock().bind(info);
        self.path.senders.notify_waiters();
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.path.out.lock().unbind(info.ssrc);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        self.path.incoming.lock().bind(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.path.incoming.lock().unbind(info.ssrc);
    }
}

#[cfg(test)]
mod parsing;
