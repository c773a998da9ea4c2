//! [webrtc-stats](https://www.w3.org/TR/webrtc-stats/), counted where it happens.
//!
//! Media figures come from the media path and the pipeline, reports of the other side from its RTCP,
//! candidates and transport from the substrate. What nobody measures is left out, never zero.

use crate::interceptor::{InboundCounters, Receive};
use crate::peer_connection::Shared;
use crate::sender::Outbound;
use crate::{RTCError, RTCPeerConnection, RTCRtpTransceiver};
use duet_media::{MediaKind, MediaTime};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::Duration;
use webrtc::peer_connection::{RTCStatsReportEntry as Entry, StatsSelector};

/// One [`RTCStats`](https://www.w3.org/TR/webrtc/#dom-rtcstats) dictionary. Serializes to what a
/// browser's would.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RTCStats {
    /// Milliseconds since the Unix epoch.
    pub timestamp: f64,
    /// `outbound-rtp`, `inbound-rtp`, `remote-inbound-rtp`, `remote-outbound-rtp`, `media-source`,
    /// `codec`, `candidate-pair`, `local-candidate`, `remote-candidate`, `transport`,
    /// `data-channel` or `peer-connection`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The same for the same thing in every report.
    pub id: String,
    /// The members by their W3C names.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl RTCStats {
    /// A member that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.members.get(name)?.as_f64()
    }

    /// A member that is a string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }
}

/// [`RTCStatsReport`](https://www.w3.org/TR/webrtc/#rtcstatsreport-object): serializes to a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RTCStatsReport(Vec<RTCStats>);

impl RTCStatsReport {
    /// All dictionaries.
    pub fn iter(&self) -> impl Iterator<Item = &RTCStats> {
        self.0.iter()
    }

    /// Those of a type.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a RTCStats> {
        self.0.iter().filter(move |stats| stats.kind == kind)
    }

    /// The one of a type and, for RTP streams, `audio` or `video`.
    pub fn rtp(&self, kind: &str, media: MediaKind) -> Option<&RTCStats> {
        let mut all = self.0.iter().filter(|stats| stats.kind == kind);
        all.find(|stats| stats.text("kind") == Some(media.as_str()))
    }

    /// The one with that id.
    pub fn get(&self, id: &str) -> Option<&RTCStats> {
        self.0.iter().find(|stats| stats.id == id)
    }
}

impl RTCPeerConnection {
    /// [`getStats`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-getstats).
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn get_stats(&self) -> Result<RTCStatsReport, RTCError> {
        self.0.check_open()?;
        let mut report = Report::new(&self.0);
        let transceivers = self.0.transceivers.lock().clone();
        for transceiver in &transceivers {
            report.add_outbound(transceiver);
            report.add_inbound(transceiver);
        }
        let now = std::time::Instant::now();
        let substrate = self.0.substrate.get_stats(now, StatsSelector::None).await;
        substrate
            .iter()
            .for_each(|entry| report.add_transport(entry));
        for channel in self.0.channels() {
            let buffered = channel.buffered_amount().await;
            report.add_channel(&channel, buffered);
        }
        Ok(RTCStatsReport(report.list))
    }
}

/// Puts a report together.
struct Report<'a> {
    peer: &'a Shared,
    timestamp: f64,
    list: Vec<RTCStats>,
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

impl<'a> Report<'a> {
    fn new(peer: &'a Shared) -> Self {
        let now = peer.path.now();
        Report {
            peer,
            timestamp: unix_ms(peer, now),
            list: Vec::new(),
        }
    }

    fn add(&mut self, kind: &'static str, id: String, members: Value) {
        let Value::Object(mut members) = members else {
            return;
        };
        members.retain(|_, value| !value.is_null());
        self.list.push(RTCStats {
            timestamp: self.timestamp,
            kind,
            id,
            members,
        });
    }

    fn merge(&mut self, more: Value) {
        if let (Some(last), Value::Object(more)) = (self.list.last_mut(), more) {
            let known = more.into_iter().filter(|(_, value)| !value.is_null());
            last.members.extend(known);
        }
    }

    fn add_codec(&mut self, kind: MediaKind, payload_type: u8) -> String {
        let id = format!("codec-{payload_type}");
        if !self.list.iter().any(|stats| stats.id == id) {
            let members = match kind {
                MediaKind::Audio => json!({
                    "payloadType": payload_type, "mimeType": "audio/opus",
                    "clockRate": 48_000, "channels": 2, "transportId": "transport",
                }),
                MediaKind::Video => json!({
                    "payloadType": payload_type, "mimeType": "video/VP8",
                    "clockRate": 90_000, "transportId": "transport",
                }),
            };
            self.add("codec", id.clone(), members);
        }
        id
    }

    fn add_outbound(&mut self, transceiver: &RTCRtpTransceiver) {
        let sender = &transceiver.0.sender;
        let (ssrc, kind) = (sender.0.ssrc, sender.kind());
        let Some(sent) = self.peer.path.outbound_counters(ssrc) else {
            return;
        };
        if sent.packets == 0 {
            return;
        }
        let codec = self.add_codec(kind, sent.payload_type);
        let (id, source) = (format!("outbound-{ssrc}"), format!("source-{ssrc}"));
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
                self.add(
                    "media-source",
                    source.clone(),
                    json!({
                        "kind": "audio",
                        "trackIdentifier": sender.track().map(|t| t.id().to_owned()),
                        "audioLevel": made.audio_level,
                        "totalAudioEnergy": made.total_audio_energy,
                        "totalSamplesDuration": seconds(made.total_samples_duration),
                    }),
                );
            }
        }
        if kind == MediaKind::Video
            && let Some(track) = sender.track()
        {
            let settings = track.get_settings();
            self.add(
                "media-source",
                source,
                json!({
                    "kind": "video", "trackIdentifier": track.id(),
                    "width": settings.width, "height": settings.height,
                    "framesPerSecond": settings.frame_rate,
                }),
            );
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

    fn add_inbound(&mut self, transceiver: &RTCRtpTransceiver) {
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

    fn add_inbound_stream(&mut self, transceiver: &RTCRtpTransceiver, got: &InboundCounters) {
        let kind = transceiver.0.kind;
        let codec = self.add_codec(kind, got.payload_type);
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

    fn add_transport(&mut self, entry: &Entry) {
        let estimate = self.peer.path.estimate();
        match entry {
            Entry::IceCandidatePair(pair) => {
                let sent = pair.current_round_trip_time;
                let round_trip = self.peer.path.round_trip().map(seconds);
                self.add(
                    "candidate-pair",
                    pair.stats.id.clone(),
                    json!({
                        "transportId": "transport",
                        "localCandidateId": pair.local_candidate_id,
                        "remoteCandidateId": pair.remote_candidate_id,
                        "state": pair.state, "nominated": pair.nominated,
                        "packetsSent": pair.packets_sent,
                        "packetsReceived": pair.packets_received,
                        "bytesSent": pair.bytes_sent, "bytesReceived": pair.bytes_received,
                        "requestsSent": pair.requests_sent,
                        "responsesReceived": pair.responses_received,
                        "totalRoundTripTime": pair.total_round_trip_time,
                        "currentRoundTripTime":
                            if sent > 0.0 { Some(sent) } else { round_trip },
                        "availableOutgoingBitrate":
                            estimate.reported.then_some(estimate.target),
                    }),
                );
            }
            Entry::LocalCandidate(candidate) => {
                self.add_candidate("local-candidate", candidate);
            }
            Entry::RemoteCandidate(candidate) => {
                self.add_candidate("remote-candidate", candidate);
            }
            Entry::Transport(transport) => self.add(
                "transport",
                "transport".to_owned(),
                json!({
                    "packetsSent": transport.packets_sent,
                    "packetsReceived": transport.packets_received,
                    "bytesSent": transport.bytes_sent,
                    "bytesReceived": transport.bytes_received,
                    "iceRole": transport.ice_role, "iceState": transport.ice_state,
                    "dtlsState": transport.dtls_state, "dtlsRole": transport.dtls_role,
                    "tlsVersion": some(&transport.tls_version),
                    "dtlsCipher": some(&transport.dtls_cipher),
                    "srtpCipher": some(&transport.srtp_cipher),
                    "selectedCandidatePairId": some(&transport.selected_candidate_pair_id),
                    "selectedCandidatePairChanges": transport.selected_candidate_pair_changes,
                }),
            ),
            _ => {}
        }
    }

    fn add_candidate(
        &mut self,
        kind: &'static str,
        candidate: &rtc::statistics::stats::ice_candidate::RTCIceCandidateStats,
    ) {
        self.add(
            kind,
            candidate.stats.id.clone(),
            json!({
                "transportId": "transport", "address": candidate.address,
                "port": candidate.port, "protocol": candidate.protocol,
                "candidateType": candidate.candidate_type,
                "foundation": some(&candidate.foundation),
                "usernameFragment": some(&candidate.username_fragment),
            }),
        );
    }

    fn add_channel(&mut self, channel: &crate::RTCDataChannel, buffered: usize) {
        let id = format!(
            "channel-{}",
            self.list
                .iter()
                .filter(|s| s.kind == "data-channel")
                .count()
        );
        let counted = channel.counters();
        self.add(
            "data-channel",
            id,
            json!({
                "label": channel.label(), "protocol": channel.protocol(),
                "dataChannelIdentifier": channel.id(),
                "state": channel.ready_state().as_str(), "bufferedAmount": buffered,
                "messagesSent": counted.messages_sent, "bytesSent": counted.bytes_sent,
                "messagesReceived": counted.messages_received,
                "bytesReceived": counted.bytes_received,
            }),
        );
    }
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn unix_ms(peer: &Shared, time: MediaTime) -> f64 {
    seconds(peer.context.clock.unix_time(time)) * 1e3
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
        "jitterBufferDelay": got.jitter_buffer_delay,
        "jitterBufferEmittedCount": got.jitter_buffer_emitted_count,
        "audioLevel": got.audio_level, "totalAudioEnergy": got.total_audio_energy,
        "totalSamplesDuration": seconds(got.total_samples_duration),
    })
}
