//! Who is heard and seen in a stream: the sources of its packets, for the last ten seconds.

use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// [So long](https://w3c.github.io/webrtc-pc/#dom-rtcrtpreceiver-getcontributingsources) a source is
/// known after its last packet.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Mixed sources of one stream; the one that was silent for longest is forgotten first.
const MAX_CONTRIBUTING: usize = 64;

/// [`RTCRtpContributingSource`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpcontributingsource), or
/// [`RTCRtpSynchronizationSource`](https://w3c.github.io/webrtc-pc/#dom-rtcrtpsynchronizationsource).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RTCRtpSource {
    /// When its last packet came, in milliseconds since the Unix epoch.
    pub timestamp: f64,
    /// The SSRC, or one of the CSRCs.
    pub source: u32,
    /// How loud it is now, 0 to 1, where that is known.
    pub audio_level: Option<f64>,
    /// The RTP time stamp of its last packet.
    pub rtp_timestamp: u32,
}

/// When a source's last packet came, and its RTP time stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) source: u32,
    pub(crate) arrival: MediaTime,
    pub(crate) rtp_timestamp: u32,
}

impl Heard {
    pub(crate) fn is_recent(&self, now: MediaTime) -> bool {
        now.nanos_since(self.arrival) <= REMEMBERED.as_nanos() as i64
    }
}

/// The mixed sources of a stream, the latest last.
#[derive(Default)]
pub(crate) struct Contributing(VecDeque<Heard>);

impl Contributing {
    /// A packet came.
    pub(crate) fn note(&mut self, sources: &[u32], rtp_timestamp: u32, arrival: MediaTime) {
        for source in sources {
            self.0.retain(|heard| heard.source != *source);
            if self.0.len() == MAX_CONTRIBUTING {
                self.0.pop_front();
            }
            self.0.push_back(Heard {
                source: *source,
                arrival,
                rtp_timestamp,
            });
        }
    }

    /// Those of the last ten seconds, the latest first.
    pub(crate) fn recent(&self, now: MediaTime) -> Vec<Heard> {
        let latest = self.0.iter().rev();
        latest
            .filter(|heard| heard.is_recent(now))
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_known_for_ten_seconds() {
        let at = |seconds: i64| MediaTime::from_nanos(seconds * 1_000_000_000);
        let mut mixed = Contributing::default();
        mixed.note(&[1, 2], 100, at(0));
        mixed.note(&[2], 200, at(6));
        let of = |mixed: &Contributing, now| -> Vec<(u32, u32)> {
            let recent = mixed.recent(now);
            recent
                .iter()
                .map(|heard| (heard.source, heard.rtp_timestamp))
                .collect()
        };
        assert_eq!(of(&mixed, at(10)), [(2, 200), (1, 100)]);
        assert_eq!(of(&mixed, at(11)), [(2, 200)]);
        assert_eq!(of(&mixed, at(17)), []);
        let many: Vec<u32> = (0..200).collect();
        mixed.note(&many, 300, at(20));
        assert_eq!(mixed.recent(at(20)).len(), MAX_CONTRIBUTING);
        assert_eq!(mixed.recent(at(20))[0].source, 199);
    }
}
