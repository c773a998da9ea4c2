//! One audio encoder for each (track, settings), however many connections it is sent through.

use super::audio_encoder::{AudioEncoding, Listener};
use super::outbox::Outbox;
use super::stats::OutboundAudioStats;
use super::subscription::{Group, Hub, Kind, Member, Subscription};
use super::worker::Workers;
use bytes::Bytes;
use duet_media::{Clock, MediaKind, MediaStreamTrack, MediaTime};
use std::sync::Arc;
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

impl AudioSendSettings {
    /// Bits a second that a listener begins with: speech is clear at it, and music good in stereo.
    const fn default_bitrate(&self) -> u32 {
        if self.channels == 1 { 32_000 } else { 64_000 }
    }

    fn in_range(self) -> Self {
        let usual = [10, 20, 40, 60].map(Duration::from_millis);
        let packet_time = match self.packet_time {
            time if usual.contains(&time) => time,
            _ => Duration::from_millis(20),
        };
        AudioSendSettings {
            channels: self.channels.clamp(1, 2),
            packet_time,
            ..self
        }
    }
}

/// One Opus packet; its bytes are shared by all listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundPacket {
    /// The packet.
    pub data: Bytes,
    /// When its first sample was captured, as the source measured it: it jitters. A gap in the
    /// capture is a gap here.
    pub capture_time: MediaTime,
    /// How long it sounds.
    pub duration: Duration,
    /// Whether it is the first, or the first after silence that was not sent or after a gap: the RTP
    /// marker bit.
    pub starts_talk_spurt: bool,
}

/// One sender's view of an encoded track: dropping it ends the subscription, and the encoder ends
/// with its last one. Share it by `Arc`; one task at a time takes packets.
pub struct OutboundAudio(Subscription<Sound>);

impl OutboundAudio {
    pub(super) fn new(
        hub: Hub<Sound>,
        track: Option<&MediaStreamTrack>,
        settings: AudioSendSettings,
    ) -> Self {
        let settings = settings.in_range();
        let listener = Listener::new(settings.default_bitrate());
        OutboundAudio(Subscription::new(hub, track, settings, listener))
    }

    /// The next packet. Waits while there is no track, or it has ended. `None` once
    /// [`close`](Self::close) was called.
    ///
    /// Nothing is encoded before the first call: make it when the connection can carry packets.
    pub async fn next(&self) -> Option<OutboundPacket> {
        self.0.next().await
    }

    /// What this listener's path carries, in bits a second, 6,000 to 510,000; the least of all
    /// listeners' counts.
    pub fn set_target_bitrate(&self, bits_per_second: u32) {
        let bits_per_second = bits_per_second.clamp(6_000, 510_000);
        self.0.client.set_target(bits_per_second);
        self.0.changed();
    }

    /// Packets in a hundred that this listener loses; the greatest of all listeners' counts.
    pub fn set_expected_loss(&self, percent: u8) {
        self.0.client.set_expected_loss(percent);
        self.0.changed();
    }

    /// Sends another track, or none, through the same queue. No track is stopped by it. A track of
    /// the other kind is taken as none.
    pub fn retarget(&self, track: Option<&MediaStreamTrack>) {
        self.0.retarget(track);
    }

    /// Encodes with other settings from the next packet on.
    pub fn set_settings(&self, settings: AudioSendSettings) {
        self.0.set_settings(settings.in_range());
    }

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {
        self.0.close();
    }

    /// Its counters so far.
    pub fn stats(&self) -> OutboundAudioStats {
        let encoder = self.0.client.encoder_counters();
        let outbox = self.0.client.outbox.counters();
        OutboundAudioStats {
            packets_encoded: encoder.encoded,
            packets_sent: outbox.taken,
            packets_dropped: outbox.dropped,
            frames_overwritten: encoder.overwritten,
            total_encode_time: encoder.encode_time,
            target_bitrate: encoder.bitrate,
            audio_level: encoder.level,
            total_audio_energy: encoder.energy,
            total_samples_duration: encoder.duration,
        }
    }
}

/// A group of listeners has one encoder.
pub(super) struct Sound;

impl Kind for Sound {
    const KIND: MediaKind = MediaKind::Audio;
    type Client = Listener;
    type Item = OutboundPacket;
    type Settings = AudioSendSettings;
    type Key = AudioSendSettings;
    type Encoders = Option<AudioEncoding>;
    /// Whether it is served.
    type Seat = bool;
    /// Of capture times, and where encoders run.
    type Context = (Arc<dyn Clock>, Workers);

    fn key(settings: &AudioSendSettings) -> AudioSendSettings {
        *settings
    }

    fn outbox(listener: &Listener) -> &Outbox<OutboundPacket> {
        &listener.outbox
    }

    fn settle(group: &mut Group<Self>, (clock, workers): &Self::Context) {
        let least = |active| {
            let members = group.members.iter().filter(move |m| m.active == active);
            members.map(|member| member.client.target()).min()
        };
        // Made ready for those who take nothing yet, if there are no others.
        let Some(bitrate) = least(true).or_else(|| least(false)) else {
            return;
        };
        if group.encoders.is_none() {
            let (track, settings) = (&group.track, &group.settings);
            let started = AudioEncoding::start(track, settings, bitrate, clock.clone(), *workers)
                .inspect_err(|error| tracing::error!(%error, "no thread for an encoder"));
            group.encoders = started.ok();
        }
        let Some(encoding) = &group.encoders else {
            return;
        };
        let mut loss = 0;
        for member in group.members.iter_mut().filter(|member| member.active) {
            loss = loss.max(member.client.expected_loss());
            if !std::mem::replace(&mut member.seat, true) {
                encoding.attach(&member.client);
            }
        }
        encoding.set_target(bitrate, loss);
    }

    fn detach(encoding: &Option<AudioEncoding>, member: &Member<Self>) {
        if let (true, Some(encoding)) = (member.seat, encoding) {
            encoding.detach(&member.client);
        }
    }

    fn take_on(encoding: &Option<AudioEncoding>, settings: &AudioSendSettings) -> bool {
        encoding
            .as_ref()
            .is_some_and(|encoding| encoding.take_on(settings))
    }

    fn running(encoding: &Option<AudioEncoding>) -> usize {
        usize::from(encoding.is_some())
    }
}
