//! Tracks to Opus packets, shared like pictures.

use super::stats::OutboundAudioStats;
use bytes::Bytes;
use duet_media::{MediaStreamTrack, MediaTime};
use std::time::Duration;

/// How an audio track is to be encoded. Subscriptions with equal settings share an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioSendSettings {
    /// 1 or 2; whatever the track has is mixed to it.
    pub channels: u16,
    /// Sound in each packet: 10, 20, 40 or 60 ms; anything else is taken as 20.
    pub packet_time: Duration,
    /// Whether packets carry a coarse copy of their predecessor (`useinbandfec=1`).
    pub fec: bool,
    /// Whether silence is sent as next to nothing (`usedtx=1`).
    pub dtx: bool,
}

impl Default for AudioSendSettings {
    fn default() -> Self {
        AudioSendSettings {
            channels: 1,
            packet_time: Duration::from_millis(20),
            fec: true,
            dtx: false,
        }
    }
}

/// One Opus packet; its bytes are shared by all listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundPacket {
    /// The packet.
    pub data: Bytes,
    /// When its first sample was captured. A gap in the capture is a gap here.
    pub capture_time: MediaTime,
    /// How long it sounds.
    pub duration: Duration,
    /// Whether it is the first after silence that was not sent, or after a gap: the RTP marker bit.
    pub starts_talk_spurt: bool,
}

/// One sender's view of an encoded track: dropping it ends the subscription, and the encoder ends
/// with its last one. Share it by `Arc`; one task at a time takes packets.
pub struct OutboundAudio {}

impl OutboundAudio {
    pub(super) fn new(_track: Option<&MediaStreamTrack>, _settings: AudioSendSettings) -> Self {
        OutboundAudio {}
    }

    /// The next packet. Waits while there is no track, or it has ended. `None` once
    /// [`close`](Self::close) was called.
    pub async fn next(&self) -> Option<OutboundPacket> {
        std::future::pending().await
    }

    /// What this listener's path carries, in bits a second; the least of all listeners' counts.
    pub fn set_target_bitrate(&self, _bits_per_second: u32) {}

    /// Packets in a hundred that this listener loses; the greatest of all listeners' counts.
    pub fn set_expected_loss(&self, _percent: u8) {}

    /// Sends another track, or none, through the same queue. No track is stopped by it. A track of
    /// the other kind is taken as none.
    pub fn retarget(&self, _track: Option<&MediaStreamTrack>) {}

    /// Encodes with other settings from the next packet on.
    pub fn set_settings(&self, _settings: AudioSendSettings) {}

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {}

    /// Its counters so far.
    pub fn stats(&self) -> OutboundAudioStats {
        OutboundAudioStats::default()
    }
}
