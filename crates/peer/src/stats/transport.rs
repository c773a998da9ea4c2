//! What carries the streams: candidates, the transport and its certificates, data channels.

use super::{Report, seconds, some};
use crate::RTCIceTcpCandidateType;
use rtc::peer_connection::transport::RTCIceTcpCandidateType as TcpType;
use serde_json::json;
use webrtc::peer_connection::RTCStatsReportEntry as Entry;

/// Before the agent's own id of a candidate, in the ids of statistics.
const LOCAL: &str = "RTCLocalIceCandidate_";
const REMOTE: &str = "RTCRemoteIceCandidate_";

impl Report<'_> {
    pub(super) fn add_transport(&mut self, entry: &Entry) {
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
                        "localCandidateId": format!("{LOCAL}{}", pair.local_candidate_id),
                        "remoteCandidateId": format!("{REMOTE}{}", pair.remote_candidate_id),
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
                    "iceRole": self.peer.dtls.ice_transport().role().as_str(),
                    "iceState": self.peer.dtls.ice_transport().state().as_str(),
                    "dtlsState": self.peer.dtls.state().as_str(),
                    "dtlsRole": transport.dtls_role,
                    "localCertificateId": certificate(&transport.local_certificate_id),
                    "remoteCertificateId": certificate(&transport.remote_certificate_id),
                    "tlsVersion": tls_version(&transport.tls_version),
                    "dtlsCipher": some(&transport.dtls_cipher),
                    "srtpCipher": some(&transport.srtp_cipher),
                    "selectedCandidatePairId": some(&transport.selected_candidate_pair_id),
                    "selectedCandidatePairChanges": transport.selected_candidate_pair_changes,
                }),
            ),
            Entry::Certificate(shown) => {
                let id = certificate(&shown.stats.id);
                self.add(
                    "certificate",
                    id.unwrap_or_default(),
                    json!({
                        "fingerprint": shown.fingerprint.to_uppercase(),
                        "fingerprintAlgorithm": shown.fingerprint_algorithm,
                        "base64Certificate": base64(&shown.base64_certificate),
                    }),
                );
            }
            _ => {}
        }
    }

    /// The connection itself.
    pub(super) fn add_connection(&mut self) {
        let (opened, closed) = self.peer.channels_seen();
        self.add(
            "peer-connection",
            "peer-connection".to_owned(),
            json!({ "dataChannelsOpened": opened, "dataChannelsClosed": closed }),
        );
    }

    fn add_candidate(
        &mut self,
        kind: &'static str,
        candidate: &rtc::statistics::stats::ice_candidate::RTCIceCandidateStats,
    ) {
        let tcp_type = match candidate.tcp_type {
            TcpType::Active => Some(RTCIceTcpCandidateType::Active),
            TcpType::Passive => Some(RTCIceTcpCandidateType::Passive),
            TcpType::SimultaneousOpen => Some(RTCIceTcpCandidateType::So),
            _ => None,
        };
        let passive = tcp_type == Some(RTCIceTcpCandidateType::Passive);
        if passive && kind == "local-candidate" && !self.peer.tcp.listens() {
            // The substrate believes in it; nobody was told of it.
            return;
        }
        // The substrate knows relays by names of ours.
        let relay = self.peer.relays.server(&candidate.url);
        let url = relay.as_ref().map(|relay| relay.url.as_str());
        self.add(
            kind,
            candidate.stats.id.clone(),
            json!({
                "transportId": "transport", "address": candidate.address,
                "port": candidate.port, "protocol": candidate.protocol,
                "candidateType": candidate.candidate_type,
                "tcpType": tcp_type.map(|kind| kind.as_str()),
                "foundation": some(&candidate.foundation),
                "url": url.or_else(|| some(&candidate.url)),
                "relayProtocol": relay.as_ref().map(|relay| relay.transport.as_str()),
                "usernameFragment": some(&candidate.username_fragment),
            }),
        );
    }

    /// The other side's candidate in use may have been found by its checks alone: then the substrate's list
    /// does not have it, and this is its id.
    pub(super) fn found_candidate(&self) -> Option<String> {
        let transport = self.list.iter().find(|stats| stats.kind == "transport")?;
        let selected = transport.text("selectedCandidatePairId")?;
        let pair = self.list.iter().find(|stats| stats.id == selected)?;
        let id = pair.text("remoteCandidateId")?;
        let listed = self.list.iter().any(|stats| stats.id == id);
        (!listed).then(|| id.to_owned())
    }

    /// Adds it.
    pub(super) fn add_found_candidate(&mut self, id: String) {
        let Some(pair) = self.peer.dtls.ice_transport().get_selected_candidate_pair() else {
            return;
        };
        let remote = pair.remote;
        self.add(
            "remote-candidate",
            id,
            json!({
                "transportId": "transport", "address": remote.address, "port": remote.port,
                "protocol": remote.protocol.map(|protocol| protocol.as_str()),
                "candidateType": remote.candidate_type.map(|kind| kind.as_str()),
                "priority": remote.priority, "foundation": remote.foundation,
            }),
        );
    }

    pub(super) fn add_channel(&mut self, channel: &crate::RTCDataChannel, buffered: usize) {
        let nth = self
            .list
            .iter()
            .filter(|stats| stats.kind == "data-channel")
            .count();
        let id = match channel.id() {
            Some(stream) => format!("channel-{stream}"),
            None => format!("channel-waiting-{nth}"),
        };
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

/// A version of DTLS [in four digits](https://www.w3.org/TR/webrtc-stats/#dom-rtctransportstats-tlsversion), by
/// what the substrate calls it.
fn tls_version(known: &str) -> Option<&'static str> {
    match known {
        "DTLS 1.2" => Some("FEFD"),
        _ => None,
    }
}

/// The id of a certificate, by what the substrate calls it: some of its ids are bare fingerprints.
fn certificate(known: &str) -> Option<String> {
    let name = known.trim_start_matches("remote-certificate-");
    let whose = if name == known { "local" } else { "remote" };
    some(name).map(|name| format!("certificate-{whose}-{}", name.get(..8).unwrap_or(name)))
}

/// [RFC 4648, section 4](https://www.rfc-editor.org/rfc/rfc4648#section-4), of octets in hexadecimal:
/// so the substrate has them. `None` for what is not.
fn base64(hex: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let octets = (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok());
    let octets = octets.collect::<Option<Vec<u8>>>()?;
    let mut out = String::with_capacity(octets.len() * 4 / 3 + 4);
    for three in octets.chunks(3) {
        let bits = three
            .iter()
            .fold(0u32, |bits, octet| bits << 8 | u32::from(*octet));
        let bits = bits << (8 * (3 - three.len()));
        for at in 0..4 {
            match at <= three.len() {
                true => out.push(char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63])),
                false => out.push('='),
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_written_in_base64() {
        // RFC 4648, section 10.
        for (hex, text) in [
            ("", ""),
            ("66", "Zg=="),
            ("666f", "Zm8="),
            ("666f6f", "Zm9v"),
            ("666f6f62", "Zm9vYg=="),
        ] {
            assert_eq!(base64(hex).as_deref(), Some(text));
        }
        assert_eq!((base64("6"), base64("xx")), (None, None));
    }

    #[test]
    fn certificates_have_ids_of_their_own() {
        assert_eq!(
            certificate("AA:BB:CC:DD").as_deref(),
            Some("certificate-local-AA:BB:CC")
        );
        assert_eq!(
            certificate("remote-certificate-aa:bb:cc").as_deref(),
            Some("certificate-remote-aa:bb:cc")
        );
        assert_eq!(certificate(""), None);
    }
}
