//! Streams that are sent: cut into packets, numbered, counted, reported on.

mod departures;
mod reports;
mod sound;

pub(crate) use sound::Redundancy;

use super::fec::{Protection, RepairStream, Repaired};
use super::pacer::Pacer;
use crate::Diagnostics;
use bytes::Bytes;
use departures::Departures;
use duet_media::{MediaKind, MediaTime};
use duet_session::{
    ClockRate, FecPath, FecPolicy, KeyFrameGate, NtpTime, RtpClock, TemporalLayer, Vp8Packetizer,
};
use parking_lot::Mutex;
pub(crate) use reports::RemoteReport;
use reports::Reports;
use rtc::interceptor::{Packet, StreamInfo};
use rtc::rtcp;
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use sound::Sound;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// RTP payload that fits one packet on any path: 1,200 bytes of datagram less SRTP's tag and the
/// headers. A repair packet may have up to 44 more, within the 1,280 that IPv6 promises.
const MAX_PAYLOAD: usize = 1_150;
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The section's id goes along until the other side has shown that it knows the stream.
const MID_PACKETS: u64 = 100;
/// Of a call with every stream that may be: a report, a request and a goodbye for each.
const MAX_WAITING_RTCP: usize = 256;
/// So many are put into one datagram: a sender report takes 28 bytes.
const RTCP_TOGETHER: usize = 16;
/// On a short path pictures leave at this rate at least, in bits a second.
const SHORT_PATH_RATE: f64 = 40e6;

/// What the other side asks of a sender.
pub(crate) trait Feedbacks: Send + Sync + 'static {
    /// It cannot go on without a key frame. Called on the driver: take note and return.
    fn key_frame_wanted(&self);
}

/// What was sent of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OutboundCounters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) frames: u64,
    pub(crate) huge_frames: u64,
    /// From being cut and numbered to leaving, summed over the packets.
    pub(crate) send_delay: Duration,
    /// Whether it was agreed on.
    pub(crate) agreed: bool,
    pub(crate) nacks: u64,
    pub(crate) retransmitted_packets: u64,
    pub(crate) retransmitted_bytes: u64,
    pub(crate) plis: u64,
    pub(crate) firs: u64,
    pub(crate) payload_type: u8,
    pub(crate) rtx_ssrc: Option<u32>,
    pub(crate) repaired: Repaired,
}

struct Binding {
    payload_type: u8,
    mid_extension: Option<u8>,
    rid_extension: Option<u8>,
    repaired_rid_extension: Option<u8>,
    /// Where the transport numbers its packets.
    number_extension: Option<u8>,
    repairs: Option<RepairStream>,
}

struct Stream {
    kind: MediaKind,
    feedback: Arc<dyn Feedbacks>,
    binding: Option<Binding>,
    mid: Bytes,
    /// Of one of several encodings ([RFC 8852](https://www.rfc-editor.org/rfc/rfc8852)).
    rid: Bytes,
    clock: RtpClock,
    packetizer: Vp8Packetizer,
    sound: Sound,
    first_sequence_number: u16,
    next_sequence_number: u16,
    departures: Departures,
    /// Packets that were numbered.
    made: u64,
    /// The number of the last key frame's first packet.
    key_frame: Option<u16>,
    counters: OutboundCounters,
    reports: Reports,
    protection: Protection,
    /// When a key frame was asked for, unless that was joined to one asked for before.
    key_frame_asked: Option<MediaTime>,
    next_report: Option<Instant>,
    said_goodbye: bool,
}

pub(crate) struct Outgoing {
    streams: HashMap<u32, Stream>,
    pacer: Pacer,
    fec: FecPolicy,
    /// RTCP that waits to leave; the newest is lost when it is full. Nothing takes it out once the
    /// driver has ended, and a program may go on asking for key frames.
    rtcp: VecDeque<Box<dyn rtcp::Packet>>,
    /// What the other side said that could not be so.
    pub(super) odd: Diagnostics,
}

impl Outgoing {
    pub(crate) fn new(bits_per_second: f64) -> Self {
        Outgoing {
            streams: HashMap::new(),
            // Nothing is known of the path yet, and everybody waits for the first picture.
            pacer: Pacer::new(SHORT_PATH_RATE.max(bits_per_second)),
            fec: FecPolicy::new(),
            rtcp: VecDeque::new(),
            odd: Diagnostics::default(),
        }
    }

    pub(crate) fn push_rtcp(&mut self, packet: Box<dyn rtcp::Packet>) {
        if self.rtcp.len() < MAX_WAITING_RTCP {
            self.rtcp.push_back(packet);
        }
    }

    pub(crate) fn forget_rtcp(&mut self) {
        self.rtcp.clear();
    }

    pub(crate) fn add(&mut self, ssrc: u32, kind: MediaKind, feedback: Arc<dyn Feedbacks>) {
        let rate = match kind {
            MediaKind::Audio => ClockRate::OPUS,
            MediaKind::Video => ClockRate::VIDEO,
        };
        // Half of the space, so that the first wrap does not come before the first report.
        let first_sequence_number = rand::random::<u16>() >> 1;
        let stream = Stream {
            kind,
            feedback,
            binding: None,
            mid: Bytes::new(),
            rid: Bytes::new(),
            clock: RtpClock::new(rate, rand::random()),
            packetizer: Vp8Packetizer::new(MAX_PAYLOAD, rand::random()),
            sound: Sound::default(),
            first_sequence_number,
            next_sequence_number: first_sequence_number,
            departures: Departures::default(),
            made: 0,
            key_frame: None,
            counters: OutboundCounters::default(),
            reports: Reports::default(),
            protection: Protection::default(),
            key_frame_asked: None,
            next_report: None,
            said_goodbye: false,
        };
        self.streams.insert(ssrc, stream);
    }

    /// Forgets a stream for good, and with it who hears of key-frame requests.
    pub(crate) fn remove(&mut self, ssrc: u32) {
        self.pacer.drop_video(ssrc);
        self.streams.remove(&ssrc);
    }

    pub(crate) fn set_mid(&mut self, ssrc: u32, mid: &str) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.mid = Bytes::copy_from_slice(mid.as_bytes());
        }
    }

    pub(crate) fn set_rid(&mut self, ssrc: u32, rid: &str) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.rid = Bytes::copy_from_slice(rid.as_bytes());
        }
    }

    pub(crate) fn bind(&mut self, info: &StreamInfo) {
        let Some(stream) = self.streams.get_mut(&info.ssrc) else {
            return;
        };
        let extension = |uri| {
            let mut extensions = info.rtp_header_extensions.iter();
            let extension = extensions.find(|extension| extension.uri == uri)?;
            u8::try_from(extension.id).ok()
        };
        let repairs = info.ssrc_fec.zip(info.payload_type_fec);
        stream.binding = Some(Binding {
            payload_type: info.payload_type,
            mid_extension: extension(crate::sdp::MID_URI),
            rid_extension: extension(crate::sdp::RID_URI),
            repaired_rid_extension: extension(crate::sdp::REPAIRED_RID_URI),
            number_extension: extension(crate::substrate::TWCC_URI),
            repairs: repairs.map(|(ssrc, payload_type)| RepairStream { ssrc, payload_type }),
        });
        stream.counters.agreed = true;
        stream.counters.payload_type = info.payload_type;
        stream.counters.rtx_ssrc = info.payload_type_rtx.and(info.ssrc_rtx);
    }

    pub(crate) fn unbind(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.binding = None;
        }
    }

    /// What of a stream has not left never will. Its numbers are given again: what was never sent is not
    /// to be missed.
    pub(crate) fn discard(&mut self, ssrc: u32) {
        self.pacer.drop_video(ssrc);
        let video = self.streams.get_mut(&ssrc);
        if let Some(stream) = video.filter(|stream| stream.kind == MediaKind::Video) {
            stream.protection.forget();
            if let Some(first) = stream.departures.take_back() {
                stream.next_sequence_number = first;
            }
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.pacer.has_room()
    }

    /// Packets leave at `bits_per_second`. On a short path a picture need not be spread out.
    pub(crate) fn set_pace(&mut self, bits_per_second: f64, short_path: bool) {
        let floor = if short_path { SHORT_PATH_RATE } else { 0.0 };
        self.pacer.set_rate(bits_per_second.max(floor));
    }

    /// How pictures that leave from now on are protected.
    pub(super) fn protect(&mut self, path: FecPath, now: MediaTime) {
        self.fec.update(path, now);
    }

    /// Bytes of repair packets for a byte of some streams' pictures, of late.
    pub(super) fn repair_share(&self, ssrcs: impl Iterator<Item = u32>) -> f64 {
        let streams = ssrcs.filter_map(|ssrc| self.streams.get(&ssrc));
        let of_each = streams.filter_map(|stream| stream.protection.average());
        let (pictures, repairs) = of_each.fold((0.0, 0.0), |(pictures, repairs), (more, its)| {
            (pictures + more, repairs + its)
        });
        repairs / f64::max(pictures, 1.0)
    }

    pub(crate) fn send_picture(
        &mut self,
        ssrc: u32,
        time: MediaTime,
        layer: Option<TemporalLayer>,
        data: &[u8],
    ) -> bool {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return false;
        };
        if stream.binding.is_none() {
            return false;
        }
        if is_key_frame(data) {
            stream.key_frame = Some(stream.next_sequence_number);
        }
        let timestamp = stream.clock.stamp(time);
        let payloads = stream.packetizer.packetize(data, layer);
        let last = payloads.len().saturating_sub(1);
        for (at, payload) in payloads.into_iter().enumerate() {
            if let Some(packet) = stream.packet(ssrc, timestamp, at == last, payload) {
                self.pacer.push_video(packet);
            }
        }
        true
    }

    /// A stream's time stamp at `time`.
    pub(crate) fn timestamp(&self, ssrc: u32, time: MediaTime) -> Option<u32> {
        Some(self.streams.get(&ssrc)?.clock.timestamp_at(time))
    }

    /// The next packet that may leave at `now`: reports first, then sound, then pictures.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Packet> {
        if !self.rtcp.is_empty() {
            let some = self.rtcp.len().min(RTCP_TOGETHER);
            return Some(Packet::Rtcp(self.rtcp.drain(..some).collect()));
        }
        let packet = self.pacer.pop(now)?;
        if let Some(stream) = self.streams.get_mut(&packet.header.ssrc) {
            // The first report at once: the other side needs it to play sound and picture in step.
            stream.next_report.get_or_insert(now);
            let binding = stream.binding.as_ref();
            let number = binding.and_then(|binding| binding.number_extension);
            let (kind, counters) = (stream.kind, &mut stream.counters);
            stream
                .departures
                .left(&packet, kind, number.is_some(), now, counters);
            if let Some(repair) = binding.and_then(|binding| binding.repairs) {
                let first_of_key = stream.key_frame == Some(packet.header.sequence_number);
                let protection = &mut stream.protection;
                let repairs = protection.left(&packet, first_of_key, number, &self.fec, repair);
                for packet in repairs {
                    counters.repaired.packets += 1;
                    counters.repaired.bytes += packet.payload.len() as u64;
                    self.pacer.push_repair(packet);
                }
            }
        }
        Some(Packet::Rtp(packet))
    }

    /// Makes the sender reports that are due.
    pub(crate) fn make_reports(
        &mut self,
        now: Instant,
        time: MediaTime,
        unix: impl Fn(MediaTime) -> Duration,
    ) {
        let mut reports: Vec<Box<dyn rtcp::Packet>> = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            if stream.next_report.is_none_or(|due| due > now) {
                continue;
            }
            stream.next_report = Some(now + REPORT_INTERVAL);
            let ntp = NtpTime::from_unix(unix(time));
            stream.reports.sent(ntp);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "both counts wrap on the wire"
            )]
            let report = SenderReport {
                ssrc: *ssrc,
                ntp_time: ntp.0,
                rtp_time: stream.clock.timestamp_at(time),
                packet_count: stream.counters.packets as u32,
                octet_count: stream.counters.bytes as u32,
                ..Default::default()
            };
            reports.push(Box::new(report));
        }
        reports
            .into_iter()
            .for_each(|report| self.push_rtcp(report));
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        let reports = self.streams.values().filter_map(|s| s.next_report);
        reports.chain(self.pacer.next_due()).min()
    }

    /// Whether a packet is of a picture before the last key frame: whoever asks for it gets on without.
    pub(super) fn is_superseded(&self, ssrc: u32, number: u16) -> bool {
        let stream = self.streams.get(&ssrc);
        let key_frame = stream.and_then(|stream| stream.key_frame);
        // By half of the numbers' circle: what is before.
        key_frame.is_some_and(|first| first.wrapping_sub(number).wrapping_sub(1) < 1 << 15)
    }

    /// A packet of the memory for retransmissions is about to leave: until the other side knows whose
    /// they are, it says so.
    pub(super) fn mark_retransmission(&self, packet: &mut rtp::Packet) {
        let of = |stream: &&Stream| stream.counters.rtx_ssrc == Some(packet.header.ssrc);
        let Some(stream) = self.streams.values().find(of) else {
            return;
        };
        let Some(binding) = stream.binding.as_ref().filter(|_| !stream.rid.is_empty()) else {
            return;
        };
        let header = &mut packet.header;
        // The original's marks; what the transport adds comes later.
        header.extensions.clear();
        (header.extension, header.extensions_padding) = (false, 0);
        if stream.counters.retransmitted_packets < MID_PACKETS {
            let marks = [
                (binding.mid_extension, &stream.mid),
                (binding.repaired_rid_extension, &stream.rid),
            ];
            for (id, mark) in marks {
                if let Some(id) = id.filter(|_| !mark.is_empty()) {
                    // Fails only for an id that no extension can have.
                    let _ = header.set_extension(id, mark.clone());
                }
            }
        }
    }

    /// A packet of the memory for retransmissions leaves.
    pub(super) fn count_retransmission(&mut self, packet: &rtp::Packet, now: Instant) {
        self.pacer.spend(packet.payload.len(), now);
        let ssrc = packet.header.ssrc;
        let of = |stream: &&mut Stream| stream.counters.rtx_ssrc == Some(ssrc);
        if let Some(stream) = self.streams.values_mut().find(of) {
            stream.counters.retransmitted_packets += 1;
            // With the number of the original packet.
            stream.counters.retransmitted_bytes += packet.payload.len() as u64;
        }
    }

    pub(crate) fn goodbye(&mut self) {
        let mut sources = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            if stream.made > 0 && !stream.said_goodbye {
                stream.said_goodbye = true;
                stream.next_report = None;
                sources.push(*ssrc);
            }
        }
        // 31 fit one packet.
        for sources in sources.chunks(31) {
            self.push_rtcp(Box::new(Goodbye {
                sources: sources.to_vec(),
                reason: Bytes::new(),
            }));
        }
    }

    pub(crate) fn counters(&self, ssrc: u32) -> Option<OutboundCounters> {
        Some(self.streams.get(&ssrc)?.counters)
    }

    pub(crate) fn remote_report(&self, ssrc: u32) -> Option<RemoteReport> {
        self.streams.get(&ssrc)?.reports.last()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let reports = self.streams.values().filter_map(|s| s.reports.last());
        reports.filter_map(|report| report.round_trip).min()
    }

    fn on_reception(&mut self, block: &ReceptionReport, ntp: NtpTime, arrival: MediaTime) {
        let Some(stream) = self.streams.get_mut(&block.ssrc) else {
            return;
        };
        let numbers = reports::Numbers {
            first: stream.first_sequence_number,
            made: stream.made,
            left: stream.counters.packets,
        };
        let rate = stream.clock.rate();
        let believed = stream.reports.heard(block, numbers, rate, ntp, arrival);
        self.odd.reports_disbelieved += u64::from(!believed);
    }
}

impl Stream {
    fn packet(
        &mut self,
        ssrc: u32,
        timestamp: u32,
        marker: bool,
        payload: Bytes,
    ) -> Option<rtp::Packet> {
        let binding = self.binding.as_ref()?;
        let mut header = rtp::Header {
            version: 2,
            marker,
            payload_type: binding.payload_type,
            sequence_number: self.next_sequence_number,
            timestamp,
            ssrc,
            ..Default::default()
        };
        self.next_sequence_number = self.next_sequence_number.wrapping_add(1);
        let marks = [
            (binding.mid_extension, &self.mid),
            (binding.rid_extension, &self.rid),
        ];
        for (id, mark) in marks {
            if let Some(id) = id.filter(|_| !mark.is_empty() && self.made < MID_PACKETS) {
                // Fails only for an id that no extension can have.
                let _ = header.set_extension(id, mark.clone());
            }
        }
        self.made += 1;
        let now = tokio::time::Instant::now().into_std();
        self.departures.queued(header.sequence_number, now);
        self.said_goodbye = false;
        Some(rtp::Packet { header, payload })
    }
}

/// By the [frame's header](https://www.rfc-editor.org/rfc/rfc6386#section-9.1).
fn is_key_frame(vp8: &[u8]) -> bool {
    vp8.first().is_some_and(|first| first & 1 == 0)
}

/// What the other side says of our streams. `unix`: the wall clock's reading at `arrival`.
pub(super) fn on_feedback(
    out: &Mutex<Outgoing>,
    packet: &dyn Any,
    unix: Duration,
    arrival: MediaTime,
) {
    let ntp = NtpTime::from_unix(unix);
    if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
        let mut out = out.lock();
        report
            .reports
            .iter()
            .for_each(|r| out.on_reception(r, ntp, arrival));
    } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
        let mut out = out.lock();
        report
            .reports
            .iter()
            .for_each(|r| out.on_reception(r, ntp, arrival));
    } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
        if let Some(stream) = out.lock().streams.get_mut(&nack.media_ssrc) {
            stream.counters.nacks += 1;
        }
    } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
        want_key_frame(out, pli.media_ssrc, arrival, |counters| counters.plis += 1);
    } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
        for entry in &fir.fir {
            want_key_frame(out, entry.ssrc, arrival, |counters| counters.firs += 1);
        }
    }
}

fn want_key_frame(
    out: &Mutex<Outgoing>,
    ssrc: u32,
    now: MediaTime,
    count: impl Fn(&mut OutboundCounters),
) {
    let feedback = {
        let mut out = out.lock();
        let Some(stream) = out.streams.get_mut(&ssrc) else {
            return;
        };
        count(&mut stream.counters);
        let asked = stream.key_frame_asked;
        let joined = asked.is_some_and(|at| now.saturating_since(at) < KeyFrameGate::MIN_INTERVAL);
        if !joined {
            stream.key_frame_asked = Some(now);
        }
        let feedback = (stream.kind == MediaKind::Video).then(|| stream.feedback.clone());
        out.odd.key_frame_requests_joined += u64::from(joined);
        feedback
    };
    if let Some(feedback) = feedback {
        feedback.key_frame_wanted();
    }
}

#[cfg(test)]
mod tests;
