//! Streams that are received: retransmissions unwrapped, losses made up for, duplicates dropped, gaps noted,
//! each packet handed to its receiver.

use super::fec::{Recovery, Repairs};
use super::nack::NackTracker;
use super::route::{Receive, Route};
use crate::Diagnostics;
use crate::pipeline::RtpPacket;
use crate::sources::{Contributing, Heard};
use bytes::Bytes;
use duet_media::MediaTime;
use duet_session::vp8_payload::is_key_frame;
use duet_session::{DuplicateFilter, NtpTime, Reception, Vp8Descriptor};
use parking_lot::Mutex;
use rtc::interceptor::StreamInfo;
use rtc::rtcp;
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::shared::marshal::MarshalSize;
use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A peer may not make us remember more streams than this.
const MAX_STREAMS: usize = 64;

/// The other side hears so often what came of its streams.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// And for the first time so soon: it waits to know the round trip.
const FIRST_REPORT: Duration = Duration::from_millis(200);
/// So many streams fit one report.
const MAX_BLOCKS: usize = 31;

/// How a packet came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Own,
    /// Because it was asked for.
    Again,
    /// It did not: repair packets made it.
    Made,
}

/// A packet for its receiver.
pub(super) struct Delivery {
    pub(super) route: Arc<Route>,
    pub(super) packet: RtpPacket,
    /// It never came: repair packets made it.
    pub(super) made: bool,
}

/// What was received of a stream, retransmissions included.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InboundCounters {
    pub(crate) ssrc: u32,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) retransmitted_packets: u64,
    pub(crate) retransmitted_bytes: u64,
    /// Unknown payload types, and retransmissions of nothing.
    pub(crate) discarded: u64,
    pub(crate) nacks: u64,
    pub(crate) last_packet: Option<MediaTime>,
    /// Of the last packet that is to be played.
    pub(crate) payload_type: u8,
    /// Of the stream's own packets, by their numbers.
    pub(crate) lost: i64,
    /// Seconds.
    pub(crate) jitter: f64,
    pub(crate) remote_packets: u32,
    pub(crate) remote_bytes: u32,
    pub(crate) remote_time: Option<(u64, MediaTime)>,
    pub(crate) reports: u64,
    pub(crate) repairs: Repairs,
}

struct Stream {
    route: Arc<Route>,
    payload_type: u8,
    nack: bool,
    filter: DuplicateFilter,
    tracker: NackTracker,
    reception: Reception,
    /// From its first repair packet on.
    recovery: Option<Recovery>,
    contributing: Contributing,
    rtp_timestamp: u32,
    counters: InboundCounters,
}

#[derive(Default)]
pub(crate) struct Incoming {
    routes: Vec<Arc<Route>>,
    streams: HashMap<u32, Stream>,
    /// What the substrate found out about each SSRC when its first packet came.
    bindings: HashMap<u32, Binding>,
    /// SSRC of retransmissions: whose they are, and of which payload type.
    rtx: HashMap<u32, u32>,
    /// SSRC of repair packets: whose they are.
    fec: HashMap<u32, u32>,
    /// What came and could not be so.
    pub(super) odd: Diagnostics,
    sender_ssrc: u32,
    next_report: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Binding {
    payload_type: u8,
    clock_rate: u32,
    nack: bool,
    /// Where the transport's number is.
    number_extension: Option<u8>,
}

impl Incoming {
    pub(crate) fn set_routes(&mut self, routes: Vec<Arc<Route>>) {
        // A stream stays where it is for as long as its route does.
        self.streams
            .retain(|_, stream| routes.iter().any(|route| Arc::ptr_eq(route, &stream.route)));
        self.routes = routes;
        if self.sender_ssrc == 0 {
            self.sender_ssrc = rand::random();
        }
    }

    pub(crate) fn bind(&mut self, info: &StreamInfo) {
        if !self.bindings.contains_key(&info.ssrc) && self.bindings.len() >= MAX_STREAMS {
            self.forget_stalest();
        }
        if let (Some(rtx), Some(_)) = (info.ssrc_rtx, info.payload_type_rtx) {
            self.rtx.insert(rtx, info.ssrc);
        }
        if let (Some(fec), Some(_)) = (info.ssrc_fec, info.payload_type_fec) {
            self.fec.insert(fec, info.ssrc);
        }
        let mut extensions = info.rtp_header_extensions.iter();
        let number = extensions.find(|extension| extension.uri == crate::substrate::TWCC_URI);
        let nack = info
            .rtcp_feedback
            .iter()
            .any(|f| f.typ == "nack" && f.parameter.is_empty());
        let binding = Binding {
            payload_type: info.payload_type,
            clock_rate: info.clock_rate,
            nack,
            number_extension: number.and_then(|number| u8::try_from(number.id).ok()),
        };
        self.bindings.insert(info.ssrc, binding);
    }

    /// Makes room for another stream: goes without the one that has been silent for longest. In a
    /// long call sources change, and the other side need not say so.
    fn forget_stalest(&mut self) {
        let last_packet = |ssrc: &u32| {
            let primary = self.rtx.get(ssrc).or(self.fec.get(ssrc)).unwrap_or(ssrc);
            self.streams.get(primary)?.counters.last_packet
        };
        if let Some(stalest) = self.bindings.keys().copied().min_by_key(last_packet) {
            self.unbind(stalest);
        }
    }

    pub(crate) fn unbind(&mut self, ssrc: u32) {
        self.bindings.remove(&ssrc);
        self.streams.remove(&ssrc);
        for others in [&mut self.rtx, &mut self.fec] {
            others.retain(|other, primary| *other != ssrc && *primary != ssrc);
        }
    }

    /// A packet from the wire. Returns what is new and somebody's: itself, and what it makes up for.
    pub(crate) fn on_rtp(
        &mut self,
        packet: rtp::Packet,
        now: Instant,
        arrival: MediaTime,
    ) -> Vec<Delivery> {
        let ssrc = packet.header.ssrc;
        if let Some(primary) = self.fec.get(&ssrc).copied() {
            return self.on_repair(primary, &packet, now, arrival);
        }
        let retransmitted = self.rtx.get(&ssrc).copied();
        let known = retransmitted.is_some() || self.streams.contains_key(&ssrc);
        if !known && self.adopt(&packet.header, now).is_none() {
            return Vec::new();
        }
        let Some(stream) = self.streams.get_mut(&retransmitted.unwrap_or(ssrc)) else {
            return Vec::new();
        };
        stream.count(&packet);
        let original = match retransmitted {
            Some(primary) => stream.unwrapped(primary, packet),
            None => {
                let before = stream.reception.oddities();
                let (number, timestamp) = (packet.header.sequence_number, packet.header.timestamp);
                stream.reception.on_packet(number, timestamp, arrival);
                let odd = stream.reception.oddities();
                self.odd.sequence_restarts += odd.restarts - before.restarts;
                self.odd.timestamp_jumps += odd.jumps - before.jumps;
                self.odd.clock_misfits += odd.misfits - before.misfits;
                Some(packet)
            }
        };
        let Some(packet) = original else {
            return Vec::new();
        };
        let how = match retransmitted {
            Some(_) => Way::Again,
            None => Way::Own,
        };
        let made = match &mut stream.recovery {
            Some(recovery) => recovery.on_packet(&packet, how == Way::Again),
            None => Vec::new(),
        };
        let mut new: Vec<_> = stream
            .accept(packet, how, now, arrival)
            .into_iter()
            .collect();
        let made = made
            .into_iter()
            .filter_map(|made| stream.accept(made, Way::Made, now, arrival));
        new.extend(made);
        new
    }

    /// A repair packet of the stream `primary`.
    fn on_repair(
        &mut self,
        primary: u32,
        packet: &rtp::Packet,
        now: Instant,
        arrival: MediaTime,
    ) -> Vec<Delivery> {
        let number = self.bindings.get(&primary).and_then(|b| b.number_extension);
        let Some(stream) = self.streams.get_mut(&primary) else {
            return Vec::new();
        };
        stream.count(packet);
        stream.counters.repairs.bytes += packet.payload.len() as u64;
        let begin = || Recovery::new(primary, number, now);
        let recovery = stream.recovery.get_or_insert_with(begin);
        let made = recovery.on_repair(&packet.payload, now).into_iter();
        made.filter_map(|made| stream.accept(made, Way::Made, now, arrival))
            .collect()
    }

    /// Finds out whose a new SSRC is.
    fn adopt(&mut self, header: &rtp::Header, now: Instant) -> Option<()> {
        let binding = self.bindings.get(&header.ssrc).copied();
        let by_ssrc = self
            .routes
            .iter()
            .find(|route| route.ssrcs.contains(&header.ssrc));
        let by_mid = || {
            self.routes.iter().find(|route| {
                let mid = route.mid_extension.and_then(|id| header.get_extension(id));
                mid.is_some_and(|mid| mid.as_ref() == route.mid.as_bytes())
            })
        };
        let (Some(binding), Some(route)) = (binding, by_ssrc.or_else(by_mid)) else {
            self.odd.packets_of_strangers += 1;
            return None;
        };
        let rtx = self.rtx.iter().find(|(_, of)| **of == header.ssrc);
        let rtx_ssrc = rtx.map(|(rtx, _)| *rtx);
        let fec = self.fec.iter().find(|(_, of)| **of == header.ssrc);
        let repairs = Repairs {
            ssrc: fec.map(|(fec, _)| *fec),
            ..Default::default()
        };
        let stream = Stream {
            route: route.clone(),
            payload_type: binding.payload_type,
            nack: binding.nack,
            filter: DuplicateFilter::new(),
            tracker: NackTracker::default(),
            reception: Reception::new(binding.clock_rate),
            recovery: None,
            contributing: Contributing::default(),
            rtp_timestamp: header.timestamp,
            counters: InboundCounters {
                ssrc: header.ssrc,
                payload_type: binding.payload_type,
                rtx_ssrc,
                repairs,
                ..Default::default()
            },
        };
        self.next_report.get_or_insert(now + FIRST_REPORT);
        let before = route.media_ssrc.swap(header.ssrc, Ordering::AcqRel);
        self.odd.source_changes += u64::from(before != 0 && before != header.ssrc);
        self.streams.insert(header.ssrc, stream);
        Some(())
    }

    /// Requests for what is missing and due.
    pub(crate) fn due_nacks(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
    ) -> Vec<Box<dyn rtcp::Packet>> {
        let mut requests: Vec<Box<dyn rtcp::Packet>> = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            if stream.tracker.next_due().is_none_or(|due| due > now) {
                continue;
            }
            let numbers = stream.tracker.due(now, rtt);
            if !numbers.is_empty() {
                if let Receive::Video(video) = &*stream.route.receive {
                    // So long does a retransmission take: not to be given up before.
                    video.set_round_trip_time(stream.tracker.answer_time(rtt));
                }
                stream.counters.nacks += 1;
                requests.push(Box::new(TransportLayerNack {
                    sender_ssrc: self.sender_ssrc,
                    media_ssrc: *ssrc,
                    nacks: nack_pairs_from_sequence_numbers(&numbers),
                }));
            }
        }
        requests
    }

    /// What came of the other side's streams, once it is to be told.
    pub(crate) fn due_reports(
        &mut self,
        now: Instant,
        time: MediaTime,
    ) -> Vec<Box<dyn rtcp::Packet>> {
        if self.next_report.is_none_or(|due| due > now) {
            return Vec::new();
        }
        // Nobody is reported on when all streams are gone; the next one begins again.
        self.next_report = (!self.streams.is_empty()).then_some(now + REPORT_INTERVAL);
        let blocks = self.streams.iter_mut().map(|(ssrc, stream)| {
            let block = stream.reception.report(time);
            ReceptionReport {
                ssrc: *ssrc,
                fraction_lost: block.fraction_lost,
                // 24 bits, signed.
                total_lost: block.lost.cast_unsigned() & 0x00FF_FFFF,
                last_sequence_number: block.highest,
                jitter: block.jitter,
                last_sender_report: block.last_sender_report,
                delay: block.delay,
            }
        });
        let blocks: Vec<ReceptionReport> = blocks.collect();
        let report = |blocks: &[ReceptionReport]| -> Box<dyn rtcp::Packet> {
            Box::new(ReceiverReport {
                ssrc: self.sender_ssrc,
                reports: blocks.to_vec(),
                ..Default::default()
            })
        };
        blocks.chunks(MAX_BLOCKS).map(report).collect()
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let streams = self.streams.values();
        let gaps = streams.filter_map(|stream| stream.tracker.next_due());
        gaps.chain(self.next_report).min()
    }

    /// The sources of a route's packets, mixed ones or the streams themselves, the latest first.
    pub(crate) fn heard(&self, route: &Arc<Route>, mixed: bool, now: MediaTime) -> Vec<Heard> {
        let streams = self
            .streams
            .iter()
            .filter(|(_, s)| Arc::ptr_eq(&s.route, route));
        let mut heard: Vec<Heard> = if mixed {
            streams
                .flat_map(|(_, stream)| stream.contributing.recent(now))
                .collect()
        } else {
            let heard = streams.filter_map(|(ssrc, stream)| {
                Some(Heard {
                    source: *ssrc,
                    arrival: stream.counters.last_packet?,
                    rtp_timestamp: stream.rtp_timestamp,
                })
            });
            heard.filter(|heard| heard.is_recent(now)).collect()
        };
        heard.sort_by_key(|heard| std::cmp::Reverse(heard.arrival));
        heard
    }

    /// SSRCs that a route is received by, the latest first.
    pub(crate) fn counters(&self, route: &Arc<Route>) -> Vec<InboundCounters> {
        let of_route = self
            .streams
            .values()
            .filter(|s| Arc::ptr_eq(&s.route, route));
        let mut counters: Vec<_> = of_route.map(Stream::counters).collect();
        counters.sort_unstable_by_key(|c| std::cmp::Reverse(c.last_packet));
        counters
    }
}

/// Pictures are VP8 and nothing else is asked for again.
fn begins_key_frame(payload: &Bytes) -> bool {
    Vp8Descriptor::parse(payload.clone())
        .is_ok_and(|(descriptor, part)| descriptor.is_frame_start() && is_key_frame(&part))
}

impl Stream {
    /// Counts a packet from the wire, its own, sent again or of repair.
    fn count(&mut self, packet: &rtp::Packet) {
        self.counters.packets += 1;
        self.counters.bytes += packet.payload.len() as u64;
        self.counters.header_bytes += packet.header.marshal_size() as u64;
    }

    /// The packet that a retransmission carries; a probe of nothing but padding carries none.
    fn unwrapped(&mut self, primary: u32, packet: rtp::Packet) -> Option<rtp::Packet> {
        let rtp::Packet {
            mut header,
            payload,
        } = packet;
        let number = payload.get(..2).map(|n| u16::from_be_bytes([n[0], n[1]]))?;
        self.counters.retransmitted_packets += 1;
        self.counters.retransmitted_bytes += payload.len() as u64;
        header.ssrc = primary;
        header.payload_type = self.payload_type;
        header.sequence_number = number;
        let payload = payload.slice(2..);
        Some(rtp::Packet { header, payload })
    }

    /// A packet of the stream, by whichever way it came.
    fn accept(
        &mut self,
        packet: rtp::Packet,
        how: Way,
        now: Instant,
        arrival: MediaTime,
    ) -> Option<Delivery> {
        let rtp::Packet { header, payload } = packet;
        let (number, payload_type) = (header.sequence_number, header.payload_type);
        if !self.route.plays(payload_type, self.payload_type) {
            // Telephone keys, say: not ours to play, but not missing either.
            self.counters.discarded += 1;
            self.filter.insert(number);
            return None;
        }
        if !self.filter.insert(number) {
            self.counters.duplicates += 1;
            return None;
        }
        if self.nack {
            let repaired = self.recovery.as_ref().is_some_and(|r| r.flows(now));
            self.tracker.set_repaired(repaired);
            self.tracker.on_packet(number, how == Way::Again, now);
            if self.tracker.next_due().is_some() && begins_key_frame(&payload) {
                self.tracker.forget_before(number);
            }
        }
        self.counters.last_packet = Some(arrival);
        self.counters.payload_type = payload_type;
        self.rtp_timestamp = header.timestamp;
        self.contributing
            .note(&header.csrc, header.timestamp, arrival);
        let packet = RtpPacket {
            payload_type,
            sequence_number: number,
            timestamp: header.timestamp,
            marker: header.marker,
            ssrc: header.ssrc,
            payload,
        };
        Some(Delivery {
            route: self.route.clone(),
            packet,
            made: how == Way::Made,
        })
    }

    fn counters(&self) -> InboundCounters {
        InboundCounters {
            lost: self.reception.lost(),
            jitter: self.reception.jitter(),
            repairs: Repairs {
                counters: self
                    .recovery
                    .as_ref()
                    .map(Recovery::counters)
                    .unwrap_or_default(),
                ..self.counters.repairs
            },
            ..self.counters
        }
    }
}

/// What the other side says of its streams.
pub(super) fn on_report(incoming: &Mutex<Incoming>, packet: &dyn Any, arrival: MediaTime) {
    if let Some(report) = packet.downcast_ref::<SenderReport>() {
        let receive = {
            let mut incoming = incoming.lock();
            let Some(stream) = incoming.streams.get_mut(&report.ssrc) else {
                return;
            };
            stream.counters.remote_packets = report.packet_count;
            stream.counters.remote_bytes = report.octet_count;
            stream.counters.remote_time = Some((report.ntp_time, arrival));
            stream.counters.reports += 1;
            let ntp = NtpTime(report.ntp_time);
            stream.reception.on_sender_report(ntp, arrival);
            stream.route.receive.clone()
        };
        receive.on_sender_report(report.ntp_time, report.rtp_time);
    } else if let Some(goodbye) = packet.downcast_ref::<Goodbye>() {
        for ssrc in &goodbye.sources {
            let route = incoming.lock().streams.get(ssrc).map(|s| s.route.clone());
            if let Some(route) = route {
                route.dry_up();
            }
        }
    }
}

#[cfg(test)]
mod tests;
