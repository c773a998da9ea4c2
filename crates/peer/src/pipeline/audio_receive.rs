//! RTP packets to a remote audio track.

use super::stats::InboundAudioStats;
use super::{RtpPacket, SyncGroup};
use duet_media::{
    Clock, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings,
};
use std::sync::Arc;

/// What an inbound track is made with.
pub struct InboundAudioConfig {
    /// The receiver's clock: of arrival times and of the track's frames.
    pub clock: Arc<dyn Clock>,
    /// The remote track's label.
    pub label: String,
}

/// The receiving end of one remote audio track. Dropping it ends the track and its thread.
pub struct InboundAudio {
    source: MediaSource,
}

impl InboundAudio {
    /// A receiver, and the track that it feeds. The track is muted until
    /// [`set_muted`](Self::set_muted) says otherwise. The thread starts with the first packet.
    pub fn new(config: InboundAudioConfig) -> (InboundAudio, MediaStreamTrack) {
        let source = MediaSource::new(
            MediaKind::Audio,
            config.label,
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
            (),
        );
        source.set_muted(true);
        let track = source.create_track();
        (InboundAudio { source }, track)
    }

    /// A packet of this track that arrived at `arrival`. Never blocks.
    pub fn push(&self, _packet: RtpPacket, _arrival: MediaTime) {}

    /// A [sender report](https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1) that arrived at
    /// `arrival`: its NTP timestamp (seconds since 1900 in 32.32 bits) and its RTP timestamp.
    pub fn on_sender_report(&self, _ntp: u64, _rtp: u32, _arrival: MediaTime) {}

    /// Plays it in step with the others of `group`; with none from now on if there is no group.
    pub fn set_sync_group(&self, _group: Option<&SyncGroup>) {}

    /// Mutes or unmutes the track, which fires its events.
    pub fn set_muted(&self, muted: bool) {
        self.source.set_muted(muted);
    }

    /// Ends the track, which fires `ended`, and the thread.
    pub fn end(&self) {
        self.source.end();
    }

    /// Its counters so far.
    pub fn stats(&self) -> InboundAudioStats {
        InboundAudioStats::default()
    }
}
