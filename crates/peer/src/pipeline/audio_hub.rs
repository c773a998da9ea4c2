//! One audio encoder for each (track, settings), however many connections it is sent through.

use super::audio_encoder::{AudioEncoding, Listener};
use super::stats::OutboundAudioStats;
use bytes::Bytes;
use duet_media::{MediaKind, MediaStreamTrack, MediaTime};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
pub struct OutboundAudio {
    hub: AudioHub,
    listener: Arc<Listener>,
    /// Whether anybody takes packets yet.
    active: AtomicBool,
    binding: Mutex<Binding>,
}

struct Binding {
    track: Option<MediaStreamTrack>,
    settings: AudioSendSettings,
}

impl OutboundAudio {
    pub(super) fn new(
        hub: AudioHub,
        track: Option<&MediaStreamTrack>,
        settings: AudioSendSettings,
    ) -> Self {
        let settings = settings.in_range();
        let outbound = OutboundAudio {
            hub,
            listener: Arc::new(Listener::new(settings.default_bitrate())),
            active: AtomicBool::new(false),
            binding: Mutex::new(Binding {
                track: None,
                settings,
            }),
        };
        outbound.retarget(track);
        outbound
    }

    /// The next packet. Waits while there is no track, or it has ended. `None` once
    /// [`close`](Self::close) was called.
    ///
    /// Nothing is encoded before the first call: make it when the connection can carry packets.
    pub async fn next(&self) -> Option<OutboundPacket> {
        std::future::poll_fn(|cx| {
            if !self.active.load(Ordering::Acquire) {
                self.activate();
            }
            self.listener.outbox.poll_next(cx)
        })
        .await
    }

    /// What this listener's path carries, in bits a second, 6,000 to 510,000; the least of all
    /// listeners' counts.
    pub fn set_target_bitrate(&self, bits_per_second: u32) {
        self.listener
            .set_target(bits_per_second.clamp(6_000, 510_000));
        self.hub.change(&self.binding.lock(), |_| ());
    }

    /// Packets in a hundred that this listener loses; the greatest of all listeners' counts.
    pub fn set_expected_loss(&self, percent: u8) {
        self.listener.set_expected_loss(percent);
        self.hub.change(&self.binding.lock(), |_| ());
    }

    /// Sends another track, or none, through the same queue. No track is stopped by it. A track of
    /// the other kind is taken as none.
    pub fn retarget(&self, track: Option<&MediaStreamTrack>) {
        let track = track.filter(|track| track.kind() == MediaKind::Audio);
        self.rebind(|binding| Binding {
            track: track.cloned(),
            settings: binding.settings,
        });
    }

    /// Encodes with other settings from the next packet on.
    pub fn set_settings(&self, settings: AudioSendSettings) {
        self.rebind(|binding| Binding {
            track: binding.track.clone(),
            settings: settings.in_range(),
        });
    }

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {
        self.listener.outbox.close();
        self.retarget(None);
    }

    /// Its counters so far.
    pub fn stats(&self) -> OutboundAudioStats {
        let encoder = self.listener.encoder_counters();
        let outbox = self.listener.outbox.counters();
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

    fn activate(&self) {
        // The lock first: who holds it reads `active`, and joins a group with it.
        let binding = self.binding.lock();
        if !self.active.swap(true, Ordering::AcqRel) {
            self.hub
                .change(&binding, |group| group.activate(&self.listener));
        }
    }

    fn rebind(&self, new: impl FnOnce(&Binding) -> Binding) {
        let mut binding = self.binding.lock();
        let mut new = new(&binding);
        if self.listener.outbox.is_closed() {
            new.track = None;
        }
        if (&new.track, new.settings) == (&binding.track, binding.settings) {
            return;
        }
        self.hub
            .change(&binding, |group| group.leave(&self.listener));
        let active = self.active.load(Ordering::Acquire);
        self.hub.join(&new, &self.listener, active);
        let old = std::mem::replace(&mut *binding, new);
        drop(binding);
        drop(old);
    }
}

impl Drop for OutboundAudio {
    fn drop(&mut self) {
        self.close();
    }
}

type GroupKey = (String, AudioSendSettings);

/// The audio half of the hub.
#[derive(Clone, Default)]
pub(super) struct AudioHub(Arc<Mutex<HashMap<GroupKey, Group>>>);

impl AudioHub {
    pub(super) fn encoders(&self) -> usize {
        let groups = self.0.lock();
        groups
            .values()
            .filter(|group| group.encoding.is_some())
            .count()
    }

    fn join(&self, binding: &Binding, listener: &Arc<Listener>, active: bool) {
        let Some(track) = &binding.track else { return };
        let mut groups = self.0.lock();
        let group = groups
            .entry(key(track, binding.settings))
            .or_insert_with(|| {
                let bitrate = listener.target();
                let encoding = AudioEncoding::start(track, &binding.settings, bitrate)
                    .inspect_err(|error| tracing::error!(%error, "no thread for an encoder"));
                Group {
                    _track: track.clone(),
                    members: Vec::new(),
                    encoding: encoding.ok(),
                }
            });
        group.members.push(Member {
            listener: listener.clone(),
            active: false,
        });
        if active {
            group.activate(listener);
        }
        group.settle();
    }

    /// Changes the group of `binding` and lets it settle; a group without members goes.
    fn change(&self, binding: &Binding, change: impl FnOnce(&mut Group)) {
        let Some(track) = &binding.track else { return };
        let key = key(track, binding.settings);
        let mut groups = self.0.lock();
        let Some(group) = groups.get_mut(&key) else {
            return;
        };
        change(group);
        group.settle();
        let gone = if group.members.is_empty() {
            groups.remove(&key)
        } else {
            None
        };
        drop(groups);
        // It may hold the last handle of a track, whose source's owner then does what it likes.
        drop(gone);
    }
}

fn key(track: &MediaStreamTrack, settings: AudioSendSettings) -> GroupKey {
    (track.id().to_owned(), settings)
}

/// The listeners of one (track, settings), and the encoder that serves them.
struct Group {
    _track: MediaStreamTrack,
    members: Vec<Member>,
    encoding: Option<AudioEncoding>,
}

struct Member {
    listener: Arc<Listener>,
    active: bool,
}

impl Group {
    fn activate(&mut self, listener: &Arc<Listener>) {
        for member in &mut self.members {
            if Arc::ptr_eq(&member.listener, listener) && !member.active {
                member.active = true;
                if let Some(encoding) = &self.encoding {
                    encoding.attach(listener);
                }
            }
        }
    }

    fn leave(&mut self, listener: &Arc<Listener>) {
        let is_it = |member: &Member| Arc::ptr_eq(&member.listener, listener);
        if let Some(at) = self.members.iter().position(is_it) {
            let member = self.members.swap_remove(at);
            if let (true, Some(encoding)) = (member.active, &self.encoding) {
                encoding.detach(&member.listener);
            }
        }
    }

    fn settle(&self) {
        let active = || self.members.iter().filter(|member| member.active);
        let bitrate = active().map(|member| member.listener.target()).min();
        let loss = active().map(|member| member.listener.expected_loss()).max();
        if let (Some(encoding), Some(bitrate), Some(loss)) = (&self.encoding, bitrate, loss) {
            encoding.set_target(bitrate, loss);
        }
    }
}
