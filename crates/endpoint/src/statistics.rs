//! What the program reads from a connection's statistics.

use duet_peer::RTCPeerConnection;
use serde_json::Value;

/// A connection's statistics as
/// [`RTCStatsReport`](https://www.w3.org/TR/webrtc/#rtcstatsreport-object) has them, in a list.
pub(crate) async fn snapshot(connection: &RTCPeerConnection) -> Value {
    // A connection that is closed has none.
    let report = connection.get_stats().await.ok();
    report
        .and_then(|report| serde_json::to_value(report).ok())
        .unwrap_or_default()
}

/// Bytes of media that came in so far.
pub(crate) fn bytes_received(report: &Value) -> u64 {
    inbound(report)
        .filter_map(|stats| stats["bytesReceived"].as_u64())
        .sum()
}

/// The share of the sound that was made up for what did not arrive.
pub(crate) fn concealed_ratio(report: &Value) -> f64 {
    let sum = |member: &str| -> f64 {
        inbound(report)
            .filter(|stats| stats["kind"] == "audio")
            .filter_map(|stats| stats[member].as_f64())
            .sum()
    };
    match sum("totalSamplesReceived") {
        0.0 => 0.0,
        total => sum("concealedSamples") / total,
    }
}

fn inbound(report: &Value) -> impl Iterator<Item = &Value> {
    report
        .as_array()
        .into_iter()
        .flatten()
        .filter(|stats| stats["type"] == "inbound-rtp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_taken_from_the_inbound_streams() {
        let report = json!([
            { "type": "inbound-rtp", "kind": "audio", "bytesReceived": 100,
                   "concealedSamples": 480, "totalSamplesReceived": 4_800 },
            { "type": "inbound-rtp", "kind": "video", "bytesReceived": 900 },
            { "type": "outbound-rtp", "kind": "video", "bytesSent": 7 },
        ]);
        assert_eq!(bytes_received(&report), 1_000);
        assert_eq!(concealed_ratio(&report), 0.1);
        assert_eq!(concealed_ratio(&Value::Null), 0.0);
    }
}
