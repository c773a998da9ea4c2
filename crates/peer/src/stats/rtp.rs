//! Streams that are sent and received, their codecs and sources.

use super::{Report, seconds, unix_ms};
use crate::interceptor::{InboundCounters, OutboundCounters, Receive, RemoteReport};
use crate::pipeline::OutboundVideoStats;
use crate::sender::{Outbound, SentEncoding};
use crate::{RTCRtpCodecParameters, RTCRtpSender, RTCRtpTransceiver};
use duet_media::{MediaKind, MediaTime};
use duet_session::{LimitationReason, QualityLimitation};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// From 1900 to 1970.
const NTP_EPOCH: Duration = Duration::from_secs(2_208_988_800);

impl Report<'_> {
    /// A codec of those agreed on; both sides may have settings of their own.
    fn add_codec(&mut self, agreed: &[RTCRtpCodecParameters], payload_type: u8) -> Option<String> {
        let codec = agreed
            .iter()
            .find(|codec| codec.payload_type == payload_type)?;
        let settings = codec.codec.sdp_fmtp_line.as_deref();
        let id = match settings {
            Some(settings) => format!("codec-{payload_type}-{settings}"),
            None => format!("codec-{payload_type}"),
        };
        if !self.list.iter().any(|stats| stats.id == id) {
            self.add(
                "codec",
                id.clone(),
                json!({
                    "payloadType": payload_type, "mimeType": codec.codec.mime_type,
                    "clockRate": codec.codec.clock_rate, "channels": codec.codec.channels,
                    "sdpFmtpLine": settings, "transportId": "transport",
                }),
            );
        }
        Some(id)
    }

    pub(super) fn add_outbound(&mut self, transceiver: &RTCRtpTransceiver) {
        let sender = &transceiver.0.sender;
        self.add_source(sender);
        for (at, encoding) in sender.sent_encodings().iter().enumerate() {
            self.add_outbound_stream(transceiver, at, encoding);
        }
    }

    fn add_outbound_stream(
        &mut self,
        transceiver: &RTCRtpTransceiver,
        at: usize,
        encoding: &SentEncoding,
    ) {
        let sender = &transceiver.0.sender;
        let (stream, kind) = (&encoding.stream, sender.kind());
        let ssrc = stream.ssrc;
        let Some(sent) = self.peer.path.outbound_counters(ssrc) else {
            return;
        };
        if !sent.agreed {
            return;
        }
        let codec = self.add_codec(&sender.agreed_codecs(), sent.payload_type);
        let id = format!("outbound-{ssrc}");
        let source = sender.track().map(|_| format!("source-{}", sender.0.ssrc));
        let remote = self.peer.path.remote_report(ssrc);
        self.add(
            "outbound-rtp",
            id.clone(),
            json!({
                "ssrc": ssrc, "kind": kind.as_str(), "mid": transceiver.mid(),
                "transportId": "transport", "codecId": codec, "mediaSourceId": source,
                "rtxSsrc": sent.rtx_ssrc,
                "remoteId": remote.map(|_| format!("remote-inbound-{ssrc}")),
                // With what makes up for losses, as the other side counts it.
                "packetsSent": sent.packets + sent.retransmitted_packets + sent.repaired.packets,
                "bytesSent": sent.bytes + sent.retransmitted_bytes + sent.repaired.bytes,
                "headerBytesSent": sent.header_bytes, "active": encoding.active, "rid": encoding.rid,
                "encodingIndex": (kind == MediaKind::Video).then_some(at),
                "totalPacketSendDelay": seconds(sent.send_delay),
                "nackCount": sent.nacks, "retransmittedPacketsSent": sent.retransmitted_packets,
                "retransmittedBytesSent": sent.retransmitted_bytes,
            }),
        );
        match &stream.outbound {
            Outbound::Video(video) => {
                self.merge(video_out_members(&video.stats(), &sent));
                self.merge(json!({ "scalabilityMode": encoding.scalability_mode }));
                self.merge(self.limitation_members(&encoding.limitation));
            }
            Outbound::Audio(audio) => {
                let made = audio.stats();
                self.merge(json!({ "targetBitrate": made.target_bitrate }));
            }
        }
        if let Some(remote) = remote {
            self.add_remote_inbound(kind, ssrc, codec.as_deref(), &remote);
        }
    }

    fn limitation_members(&self, limitation: &QualityLimitation) -> Value {
        let spent = limitation.durations(self.peer.path.now());
        let reasons = LimitationReason::ALL.into_iter().zip(spent);
        let durations: Map<String, Value> = reasons
            .map(|(reason, spent)| (reason.as_str().to_owned(), json!(seconds(spent))))
            .collect();
        json!({
            "qualityLimitationReason": limitation.reason().as_str(),
            "qualityLimitationDurations": durations,
            "qualityLimitationResolutionChanges": limitation.resolution_changes(),
        })
    }

    fn add_remote_inbound(
        &mut self,
        kind: MediaKind,
        ssrc: u32,
        codec: Option<&str>,
        remote: &RemoteReport,
    ) {
        let trips = remote.round_trips;
        self.add(
            "remote-inbound-rtp",
            format!("remote-inbound-{ssrc}"),
            json!({
                "ssrc": ssrc, "kind": kind.as_str(), "transportId": "transport",
                "codecId": codec, "localId": format!("outbound-{ssrc}"),
                "packetsReceived": remote.packets_received,
                "packetsLost": remote.packets_lost, "fractionLost": remote.fraction_lost,
                "jitter": remote.jitter,
                "roundTripTime": remote.round_trip.map(seconds),
                "totalRoundTripTime": seconds(remote.total_round_trip),
                "roundTripTimeMeasurements": trips,
            }),
        );
        self.date_last(remote.arrival);
    }

    /// The last one was true at `time`.
    fn date_last(&mut self, time: MediaTime) {
        let timestamp = unix_ms(self.peer, time);
        if let Some(last) = self.list.last_mut() {
            last.timestamp = timestamp;
        }
    }

    pub(super) fn add_inbound(&mut self, transceiver: &RTCRtpTransceiver) {
        let receiver = &transceiver.0.receiver;
        let Some(route) = receiver.current_route() else {
            return;
        };
        // What the pipeline counts belongs to the track: to its latest source, where the other side
        // has changed its own.
        let streams = self.peer.path.inbound_counters(&route);
        for (at, stream) in streams.into_iter().enumerate() {
            let codec = self.add_inbound_stream(transceiver, &stream);
            if at == 0 {
                let (made, shown) = match receiver.receive() {
                    Receive::Video(video) => {
                        let got = video.stats();
                        let repairs = stream.repairs;
                        self.merge(json!({
                            "fecSsrc": repairs.ssrc, "fecBytesReceived": repairs.bytes,
                            "fecPacketsReceived": repairs.counters.received,
                            "fecPacketsDiscarded": repairs.counters.discarded,
                        }));
                        (video_members(&got), got.shown)
                    }
                    Receive::Audio(audio) => {
                        let got = audio.stats();
                        (audio_members(&got), got.shown)
                    }
                };
                self.merge(made);
                let playout = shown.map(|shown| self.playout_timestamp(shown));
                self.merge(json!({ "estimatedPlayoutTimestamp": playout }));
            }
            self.add_remote_outbound(transceiver.0.kind, &stream, codec.as_deref());
        }
    }

    /// What is shown now, by the sender's clock, in milliseconds since 1900.
    fn playout_timestamp(&self, (captured, at): (Duration, MediaTime)) -> f64 {
        let since = self.peer.path.now().saturating_since(at);
        seconds(captured.saturating_add(since) + NTP_EPOCH) * 1e3
    }

    /// What a sender's track shows or says.
    fn add_source(&mut self, sender: &RTCRtpSender) {
        let Some(track) = sender.track() else {
            return;
        };
        let id = format!("source-{}", sender.0.ssrc);
        let members = match sender.outbound() {
            Outbound::Audio(audio) => {
                let made = audio.stats();
                json!({
                    "kind": "audio", "trackIdentifier": track.id(),
                    "audioLevel": made.audio_level,
                    "totalAudioEnergy": made.total_audio_energy,
                    "totalSamplesDuration": seconds(made.total_samples_duration),
                })
            }
            Outbound::Video(video) => {
                let (settings, made) = (track.get_settings(), video.stats());
                // Counted while somebody encodes it; before, what the source says of itself.
                let counted = (made.source_frames > 0).then_some(made.source_frames_per_second);
                json!({
                    "kind": "video", "trackIdentifier": track.id(),
                    "width": settings.width, "height": settings.height,
                    "frames": made.source_frames,
                    "framesPerSecond": counted.or(settings.frame_rate),
                })
            }
        };
        self.add("media-source", id, members);
    }

    fn add_inbound_stream(
        &mut self,
        transceiver: &RTCRtpTransceiver,
        got: &InboundCounters,
    ) -> Option<String> {
        let kind = transceiver.0.kind;
        let agreed = transceiver.0.receiver.get_parameters().codecs;
        let codec = self.add_codec(&agreed, got.payload_type);
        let last = got.last_packet.map(|time| unix_ms(self.peer, time));
        let remote = got
            .remote_time
            .map(|_| format!("remote-outbound-{}", got.ssrc));
        self.add(
            "inbound-rtp",
            format!("inbound-{}", got.ssrc),
            json!({
                "ssrc": got.ssrc, "rtxSsrc": got.rtx_ssrc,
                "kind": kind.as_str(), "mid": transceiver.mid(),
                "transportId": "transport", "codecId": codec, "remoteId": remote,
                "trackIdentifier": transceiver.0.receiver.track().id(),
                "packetsReceived": got.packets, "bytesReceived": got.bytes,
                "headerBytesReceived": got.header_bytes, "packetsLost": got.lost,
                "jitter": got.jitter, "nackCount": got.nacks,
                "retransmittedPacketsReceived": got.retransmitted_packets,
                "retransmittedBytesReceived": got.retransmitted_bytes,
                "packetsDuplicated": got.duplicates,
                "lastPacketReceivedTimestamp": last,
            }),
        );
        codec
    }

    fn add_remote_outbound(&mut self, kind: MediaKind, got: &InboundCounters, codec: Option<&str>) {
        let Some((ntp, arrival)) = got.remote_time else {
            return;
        };
        let sent = duet_session::NtpTime(ntp).to_unix();
        self.add(
            "remote-outbound-rtp",
            format!("remote-outbound-{}", got.ssrc),
            json!({
                "ssrc": got.ssrc, "kind": kind.as_str(), "transportId": "transport",
                "codecId": codec, "localId": format!("inbound-{}", got.ssrc),
                "packetsSent": got.remote_packets, "bytesSent": got.remote_bytes,
                "remoteTimestamp": seconds(sent) * 1e3, "reportsSent": got.reports,
            }),
        );
        self.date_last(arrival);
    }
}

fn video_out_members(made: &OutboundVideoStats, sent: &OutboundCounters) -> Value {
    let known = |length: u32| (length > 0).then_some(length);
    json!({
        "pliCount": sent.plis, "firCount": sent.firs, "framesSent": sent.frames,
        "hugeFramesSent": sent.huge_frames,
        "framesEncoded": made.frames_encoded, "keyFramesEncoded": made.key_frames_encoded,
        "totalEncodeTime": seconds(made.total_encode_time), "qpSum": made.qp_sum,
        "totalEncodedBytesTarget": made.encoded_bytes_target,
        "frameWidth": known(made.frame_width), "frameHeight": known(made.frame_height),
        "framesPerSecond": made.frames_per_second, "targetBitrate": made.target_bitrate,
    })
}

fn video_members(got: &crate::pipeline::InboundVideoStats) -> Value {
    let known = |length: u32| (length > 0).then_some(length);
    json!({
        "framesReceived": got.frames_received, "framesDecoded": got.frames_decoded,
        "framesDropped": got.frames_dropped, "keyFramesDecoded": got.key_frames_decoded,
        "framesRendered": got.frames_rendered,
        "framesAssembledFromMultiplePackets": got.frames_assembled_from_multiple_packets,
        "totalAssemblyTime": seconds(got.total_assembly_time), "qpSum": got.qp_sum,
        // Key frames are asked for by PLI, never by FIR.
        "pliCount": got.key_frame_requests, "firCount": 0,
        "packetsDiscarded": got.packets_discarded,
        "freezeCount": got.freeze_count,
        "totalFreezesDuration": seconds(got.total_freezes_duration),
        "pauseCount": got.pause_count,
        "totalPausesDuration": seconds(got.total_pauses_duration),
        "totalDecodeTime": seconds(got.total_decode_time),
        "jitterBufferDelay": seconds(got.jitter_buffer_delay),
        "jitterBufferTargetDelay": seconds(got.jitter_buffer_target_delay),
        "jitterBufferMinimumDelay": seconds(got.jitter_buffer_minimum_delay),
        "jitterBufferEmittedCount": got.jitter_buffer_emitted_count,
        "totalProcessingDelay": seconds(got.total_processing_delay),
        "totalInterFrameDelay": seconds(got.total_inter_frame_delay),
        "totalSquaredInterFrameDelay": got.total_squared_inter_frame_delay,
        "frameWidth": known(got.frame_width), "frameHeight": known(got.frame_height),
        "framesPerSecond": got.frames_per_second,
    })
}

fn audio_members(got: &crate::pipeline::InboundAudioStats) -> Value {
    json!({
        "packetsDiscarded": got.packets_discarded,
        "fecPacketsReceived": got.fec_packets_received,
        // Decoded the moment that it leaves the buffer.
        "totalProcessingDelay": seconds(got.jitter_buffer_delay),
        "totalSamplesReceived": got.total_samples_received,
        "concealedSamples": got.concealed_samples,
        "silentConcealedSamples": got.silent_concealed_samples,
        "concealmentEvents": got.concealment_events,
        "insertedSamplesForDeceleration": got.inserted_samples_for_deceleration,
        "removedSamplesForAcceleration": got.removed_samples_for_acceleration,
        "jitterBufferDelay": seconds(got.jitter_buffer_delay),
        "jitterBufferTargetDelay": seconds(got.jitter_buffer_target_delay),
        "jitterBufferMinimumDelay": seconds(got.jitter_buffer_minimum_delay),
        "jitterBufferEmittedCount": got.jitter_buffer_emitted_count,
        "audioLevel": got.audio_level, "totalAudioEnergy": got.total_audio_energy,
        "totalSamplesDuration": seconds(got.total_samples_duration),
    })
}
