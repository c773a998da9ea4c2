//! Streams that are sent and received, their codecs and sources.

use super::{Report, seconds, unix_ms};
use crate::interceptor::{InboundCounters, Receive};
use crate::sender::Outbound;
use crate::{RTCRtpCodecParameters, RTCRtpSender, RTCRtpTransceiver};
use duet_media::MediaKind;
use serde_json::{Value, json};

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
        let (ssrc, kind) = (sender.0.ssrc, sender.kind());
        self.add_source(sender);
        let Some(sent) = self.peer.path.outbound_counters(ssrc) else {
            return;
        };
        if sent.packets == 0 {
            return;
        }
        let codec = self.add_codec(&sender.agreed_codecs(), sent.payload_type);
        let id = format!("outbound-{ssrc}");
        let source = sender.track().map(|_| format!("source-{ssrc}"));
        let remote = self.peer.path.remote_report(ssrc);
        let members = json!({
            "ssrc": ssrc, "kind": kind.as_str(), "mid": transceiver.mid(),
            "transportId": "transport", "codecId": codec, "mediaSourceId": source,
            "rtxSsrc": sent.rtx_ssrc,
            "remoteId": remote.map(|_| format!("remote-inbound-{ssrc}")),
            "packetsSent": sent.packets, "bytesSent": sent.bytes,
            "headerBytesSent": sent.header_bytes, "active": sender.is_sending(),
            "nackCount": sent.nacks, "retransmittedPacketsSent": sent.retransmitted_packets,
            "retransmittedBytesSent": sent.retransmitted_bytes,
        });
        self.add("outbound-rtp", id.clone(), members);
        match sender.outbound() {
            Outbound::Video(video) => {
                let made = video.stats();
                self.merge(json!({
                    "pliCount": sent.plis, "firCount": sent.firs, "framesSent": sent.frames,
                    "framesEncoded": made.frames_encoded,
                    "keyFramesEncoded": made.key_frames_encoded,
                    "totalEncodeTime": seconds(made.total_encode_time),
                    "frameWidth": made.frame_width, "frameHeight": made.frame_height,
                    "framesPerSecond": made.frames_per_second,
                    "targetBitrate": made.target_bitrate,
                }));
            }
            Outbound::Audio(audio) => {
                let made = audio.stats();
                self.merge(json!({ "targetBitrate": made.target_bitrate }));
            }
        }
        if let Some(remote) = remote {
            let trips = remote.round_trips;
            let timestamp = unix_ms(self.peer, remote.arrival);
            self.add(
                "remote-inbound-rtp",
                format!("remote-inbound-{ssrc}"),
                json!({
                    "ssrc": ssrc, "kind": kind.as_str(), "transportId": "transport",
                    "codecId": codec, "localId": id,
                    "packetsLost": remote.packets_lost, "fractionLost": remote.fraction_lost,
                    "jitter": remote.jitter,
                    "roundTripTime": remote.round_trip.map(seconds),
                    "totalRoundTripTime": (trips > 0).then(|| seconds(remote.total_round_trip)),
                    "roundTripTimeMeasurements": trips,
                }),
            );
            if let Some(last) = self.list.last_mut() {
                last.timestamp = timestamp;
            }
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
            self.add_inbound_stream(transceiver, &stream);
            if at == 0 {
                let made = match receiver.receive() {
                    Receive::Video(video) => video_members(&video.stats()),
                    Receive::Audio(audio) => audio_members(&audio.stats()),
                };
                self.merge(made);
            }
            self.add_remote_outbound(transceiver.0.kind, &stream);
        }
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
            Outbound::Video(_) => {
                let settings = track.get_settings();
                json!({
                    "kind": "video", "trackIdentifier": track.id(),
                    "width": settings.width, "height": settings.height,
                    "framesPerSecond": settings.frame_rate,
                })
            }
        };
        self.add("media-source", id, members);
    }

    fn add_inbound_stream(&mut self, transceiver: &RTCRtpTransceiver, got: &InboundCounters) {
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
                "ssrc": got.ssrc, "kind": kind.as_str(), "mid": transceiver.mid(),
                "transportId": "transport", "codecId": codec, "remoteId": remote,
                "trackIdentifier": transceiver.0.receiver.track().id(),
                "packetsReceived": got.packets, "bytesReceived": got.bytes,
                "headerBytesReceived": got.header_bytes, "packetsLost": got.lost(),
                "jitter": got.jitter, "nackCount": got.nacks,
                "retransmittedPacketsReceived": got.retransmitted_packets,
                "retransmittedBytesReceived": got.retransmitted_bytes,
                "packetsDuplicated": got.duplicates,
                "lastPacketReceivedTimestamp": last,
            }),
        );
    }

    fn add_remote_outbound(&mut self, kind: MediaKind, got: &InboundCounters) {
        let Some((ntp, arrival)) = got.remote_time else {
            return;
        };
        let sent = duet_session::NtpTime(ntp).to_unix();
        self.add(
            "remote-outbound-rtp",
            format!("remote-outbound-{}", got.ssrc),
            json!({
                "ssrc": got.ssrc, "kind": kind.as_str(), "transportId": "transport",
                "localId": format!("inbound-{}", got.ssrc),
                "packetsSent": got.remote_packets, "bytesSent": got.remote_bytes,
                "remoteTimestamp": seconds(sent) * 1e3, "reportsSent": got.reports,
            }),
        );
        let timestamp = unix_ms(self.peer, arrival);
        if let Some(last) = self.list.last_mut() {
            last.timestamp = timestamp;
        }
    }
}

fn video_members(got: &crate::pipeline::InboundVideoStats) -> Value {
    json!({
        "framesReceived": got.frames_received, "framesDecoded": got.frames_decoded,
        "framesDropped": got.frames_dropped, "keyFramesDecoded": got.key_frames_decoded,
        "pliCount": got.key_frame_requests, "packetsDiscarded": got.packets_discarded,
        "freezeCount": got.freeze_count,
        "totalFreezesDuration": seconds(got.total_freezes_duration),
        "totalDecodeTime": seconds(got.total_decode_time),
        "jitterBufferDelay": seconds(got.jitter_buffer_delay),
        "jitterBufferEmittedCount": got.jitter_buffer_emitted_count,
        "totalProcessingDelay": seconds(got.total_processing_delay),
        "totalInterFrameDelay": seconds(got.total_inter_frame_delay),
        "totalSquaredInterFrameDelay": got.total_squared_inter_frame_delay,
        "frameWidth": got.frame_width, "frameHeight": got.frame_height,
        "framesPerSecond": got.frames_per_second,
    })
}

fn audio_members(got: &crate::pipeline::InboundAudioStats) -> Value {
    json!({
        "packetsDiscarded": got.packets_discarded,
        "totalSamplesReceived": got.total_samples_received,
        "concealedSamples": got.concealed_samples,
        "silentConcealedSamples": got.silent_concealed_samples,
        "concealmentEvents": got.concealment_events,
        "insertedSamplesForDeceleration": got.inserted_samples_for_deceleration,
        "removedSamplesForAcceleration": got.removed_samples_for_acceleration,
        "jitterBufferDelay": seconds(got.jitter_buffer_delay),
        "jitterBufferEmittedCount": got.jitter_buffer_emitted_count,
        "audioLevel": got.audio_level, "totalAudioEnergy": got.total_audio_energy,
        "totalSamplesDuration": seconds(got.total_samples_duration),
    })
}
