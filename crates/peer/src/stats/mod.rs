//! [webrtc-stats](https://www.w3.org/TR/webrtc-stats/), counted where it happens.
//!
//! Media figures come from the media path and the pipeline, reports of the other side from its RTCP,
//! candidates and transport from the substrate. What nobody measures is left out, never zero.

mod rtp;
mod transport;

use crate::peer_connection::Shared;
use crate::{RTCError, RTCErrorKind, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender};
use duet_media::{MediaKind, MediaStreamTrack, MediaTime};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::Duration;
use webrtc::peer_connection::StatsSelector;

/// One [`RTCStats`](https://www.w3.org/TR/webrtc/#dom-rtcstats) dictionary. Serializes to what a
/// browser's would.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RTCStats {
    /// Milliseconds since the Unix epoch.
    pub timestamp: f64,
    /// `outbound-rtp`, `inbound-rtp`, `remote-inbound-rtp`, `remote-outbound-rtp`, `media-source`,
    /// `codec`, `candidate-pair`, `local-candidate`, `remote-candidate`, `transport`, `certificate`,
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

impl RTCStatsReport {
    /// Those of `roots`, and all that they name, and so on
    /// ([stats selection](https://w3c.github.io/webrtc-pc/#dfn-stats-selection-algorithm)).
    fn select(mut self, roots: &[String]) -> Self {
        let mut wanted: HashSet<String> = roots.iter().cloned().collect();
        let mut open: Vec<String> = roots.to_vec();
        while let Some(id) = open.pop() {
            let named = self.get(&id).map(|stats| &stats.members);
            let named = named.into_iter().flatten().filter_map(|(name, value)| {
                let id = value.as_str().filter(|_| name.ends_with("Id"))?;
                self.get(id).map(|stats| stats.id.clone())
            });
            let fresh: Vec<String> = named.filter(|id| !wanted.contains(id)).collect();
            wanted.extend(fresh.iter().cloned());
            open.extend(fresh);
        }
        self.0.retain(|stats| wanted.contains(&stats.id));
        self
    }

    /// Ids of the streams that are sent, or received, through a stream of packets.
    fn streams(&self, direction: &str, ssrcs: &[u32]) -> Vec<String> {
        let of = |stats: &&RTCStats| {
            let ssrc = stats.number("ssrc");
            stats.kind == direction && ssrcs.iter().any(|one| ssrc == Some(f64::from(*one)))
        };
        self.0
            .iter()
            .filter(of)
            .map(|stats| stats.id.clone())
            .collect()
    }
}

impl RTCPeerConnection {
    /// [`getStats`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-getstats) of all.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn get_stats(&self) -> Result<RTCStatsReport, RTCError> {
        self.0.check_open()?;
        Ok(self.0.report().await)
    }

    /// [`getStats`](https://www.w3.org/TR/webrtc/#dom-rtcpeerconnection-getstats) of what is sent or
    /// received of `track`.
    ///
    /// # Errors
    /// `InvalidAccessError` if it is not one sender's or one receiver's, `InvalidStateError` if the
    /// connection is closed.
    pub async fn get_stats_of(&self, track: &MediaStreamTrack) -> Result<RTCStatsReport, RTCError> {
        let transceivers = self.get_transceivers();
        let senders = transceivers.iter().map(|t| &t.0.sender);
        let senders: Vec<_> = senders
            .filter(|s| s.track().as_ref() == Some(track))
            .collect();
        let receivers = transceivers.iter().map(|t| &t.0.receiver);
        let receivers: Vec<_> = receivers.filter(|r| r.track() == *track).collect();
        match (senders.as_slice(), receivers.as_slice()) {
            ([sender], []) => sender.get_stats().await,
            ([], [receiver]) => receiver.get_stats().await,
            _ => {
                let message = "the track is not that of one sender or receiver";
                Err(RTCError::new(RTCErrorKind::InvalidAccess, message))
            }
        }
    }
}

impl RTCRtpSender {
    /// [`getStats`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsender-getstats): what it sends, and all
    /// that belongs to it.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn get_stats(&self) -> Result<RTCStatsReport, RTCError> {
        let peer = self.0.peer.upgrade().filter(|peer| !peer.is_closed());
        let report = peer.ok_or_else(RTCError::closed)?.report().await;
        let sent = self.sent();
        let ssrcs: Vec<u32> = sent.iter().map(|stream| stream.ssrc).collect();
        let mut roots = report.streams("outbound-rtp", &ssrcs);
        let source = format!("source-{}", self.0.ssrc);
        roots.extend(report.get(&source).map(|stats| stats.id.clone()));
        Ok(report.select(&roots))
    }
}

impl RTCRtpReceiver {
    /// [`getStats`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getstats): what it receives, and
    /// all that belongs to it.
    ///
    /// # Errors
    /// `InvalidStateError` if the connection is closed.
    pub async fn get_stats(&self) -> Result<RTCStatsReport, RTCError> {
        let peer = self.peer().filter(|peer| !peer.is_closed());
        let peer = peer.ok_or_else(RTCError::closed)?;
        let report = peer.report().await;
        let route = self.current_route();
        let streams = route.map(|route| peer.path.inbound_counters(&route));
        let ssrcs: Vec<u32> = streams.iter().flatten().map(|stream| stream.ssrc).collect();
        let roots = report.streams("inbound-rtp", &ssrcs);
        Ok(report.select(&roots))
    }
}

impl Shared {
    async fn report(&self) -> RTCStatsReport {
        let mut report = Report::new(self);
        report.add_connection();
        let transceivers = self.transceivers.lock().clone();
        for transceiver in &transceivers {
            report.add_outbound(transceiver);
            report.add_inbound(transceiver);
        }
        let now = tokio::time::Instant::now().into_std();
        let substrate = self.substrate.get_stats(now, StatsSelector::None).await;
        substrate
            .iter()
            .for_each(|entry| report.add_transport(entry));
        if let Some(id) = report.found_candidate() {
            // The pair may be newer than what we were told.
            self.follow_pair().await;
            report.add_found_candidate(id);
        }
        for channel in self.channels() {
            let buffered = channel.buffered_amount().await;
            report.add_channel(&channel, buffered);
        }
        RTCStatsReport(report.list)
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
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn unix_ms(peer: &Shared, time: MediaTime) -> f64 {
    seconds(peer.context.clock.unix_time(time)) * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_selected_comes_with_all_that_it_names() {
        let stats = |kind, id: &str, members: Value| RTCStats {
            timestamp: 0.0,
            kind,
            id: id.to_owned(),
            members: members.as_object().cloned().unwrap_or_default(),
        };
        let report = RTCStatsReport(vec![
            stats(
                "outbound-rtp",
                "o",
                json!({ "ssrc": 5, "codecId": "c", "transportId": "t" }),
            ),
            stats(
                "outbound-rtp",
                "other",
                json!({ "ssrc": 6, "transportId": "t" }),
            ),
            stats(
                "transport",
                "t",
                json!({ "selectedCandidatePairId": "p", "iceState": "c" }),
            ),
            stats(
                "candidate-pair",
                "p",
                json!({ "transportId": "t", "localCandidateId": "gone" }),
            ),
            stats("codec", "c", json!({ "transportId": "t" })),
            stats("peer-connection", "pc", json!({})),
        ]);
        let roots = report.streams("outbound-rtp", &[5]);
        let picked = report.select(&roots);
        let ids: Vec<&str> = picked.iter().map(|stats| stats.id.as_str()).collect();
        assert_eq!(ids, ["o", "t", "p", "c"]);
    }
}
