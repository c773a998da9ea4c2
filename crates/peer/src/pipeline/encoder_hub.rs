//! One encoder for each (track, settings), however many connections it is sent through.

use super::audio_hub::{AudioHub, AudioSendSettings, OutboundAudio};
use super::stats::OutboundVideoStats;
use super::tiers::{Placement, TIERS};
use super::video_encoder::{VideoEncoding, Viewer};
use duet_codec::EncodedVideo;
use duet_media::{Clock, MediaKind, MediaStreamTrack, MediaTime};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One encoded picture; its bytes are shared by all viewers.
pub type OutboundFrame = EncodedVideo;

/// How a video track is to be encoded. Subscriptions with equal settings share an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoSendSettings {
    /// [`scaleResolutionDownBy`](https://www.w3.org/TR/webrtc/#dom-rtcrtpencodingparameters-scaleresolutiondownby):
    /// 1 or more; less is taken as 1.
    pub scale_resolution_down_by: f64,
    /// [`maxFramerate`](https://www.w3.org/TR/webrtc/#dom-rtcrtpencodingparameters-maxframerate):
    /// frames a second, above 0.
    pub max_frame_rate: Option<f64>,
}

impl Default for VideoSendSettings {
    fn default() -> Self {
        VideoSendSettings {
            scale_resolution_down_by: 1.0,
            max_frame_rate: None,
        }
    }
}

/// Where encoders are shared. Cheap to clone; all clones are the same hub. One for each process, or
/// for each set of connections that send the same tracks.
///
/// An encoder of video aims at the least target of those who watch it. A viewer whose target falls
/// below half of the best one's gets a picture of its own tier, so that it spoils nobody else's; no
/// more than three encoders of one (track, settings) run at once.
#[derive(Clone)]
pub struct EncoderHub(Arc<HubShared>);

struct HubShared {
    clock: Arc<dyn Clock>,
    groups: Mutex<HashMap<GroupKey, Group>>,
    audio: AudioHub,
}

impl EncoderHub {
    /// A hub without encoders. `clock` is that of the tracks' capture times.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        EncoderHub(Arc::new(HubShared {
            clock,
            groups: Mutex::default(),
            audio: AudioHub::default(),
        }))
    }

    /// A viewer of `track`, which may still be to come. `target_bitrate` in bits a second.
    ///
    /// The encoder is made ready at once, and encodes from the first
    /// [`next`](OutboundVideo::next) on.
    pub fn subscribe_video(
        &self,
        track: Option<&MediaStreamTrack>,
        settings: VideoSendSettings,
        target_bitrate: u32,
    ) -> OutboundVideo {
        let outbound = OutboundVideo {
            hub: self.clone(),
            viewer: Arc::new(Viewer::new(target_bitrate)),
            active: AtomicBool::new(false),
            binding: Mutex::new(Binding {
                track: None,
                settings,
            }),
        };
        outbound.retarget(track);
        outbound
    }

    /// A listener to `track`, which may still be to come.
    pub fn subscribe_audio(
        &self,
        track: Option<&MediaStreamTrack>,
        settings: AudioSendSettings,
    ) -> OutboundAudio {
        OutboundAudio::new(self.0.audio.clone(), track, settings)
    }

    /// How many video encoders run.
    pub fn video_encoders(&self) -> usize {
        let groups = self.0.groups.lock();
        groups.values().map(Group::encoders).sum()
    }

    /// How many audio encoders run.
    pub fn audio_encoders(&self) -> usize {
        self.0.audio.encoders()
    }

    fn join(&self, binding: &Binding, viewer: &Arc<Viewer>, active: bool) {
        let Some(track) = &binding.track else { return };
        let now = self.0.clock.now();
        let mut groups = self.0.groups.lock();
        let group = groups
            .entry(GroupKey::of(track, &binding.settings))
            .or_insert_with(|| Group::new(track.clone(), binding.settings));
        group.join(viewer, active);
        group.settle(now, &self.0.clock);
    }

    fn leave(&self, binding: &Binding, viewer: &Arc<Viewer>) {
        self.change(binding, |group| group.leave(viewer));
    }

    /// Where the only viewer of a track wants other settings, its encoder takes them on and goes on.
    /// False if others watch, or if others have those settings already.
    fn rekey(&self, old: &Binding, new: &Binding) -> bool {
        let (Some(track), true) = (&old.track, old.track == new.track) else {
            return false;
        };
        let key = |binding: &Binding| GroupKey::of(track, &binding.settings);
        let mut groups = self.0.groups.lock();
        let alone = |group: &Group| group.members.len() == 1;
        if !groups.get(&key(old)).is_some_and(alone) || groups.contains_key(&key(new)) {
            return false;
        }
        let Some(mut group) = groups.remove(&key(old)) else {
            return false;
        };
        group.set_settings(new.settings);
        groups.insert(key(new), group);
        true
    }

    /// Changes the group of `binding` and lets it settle; a group without members goes.
    fn change(&self, binding: &Binding, change: impl FnOnce(&mut Group)) {
        let Some(track) = &binding.track else { return };
        let key = GroupKey::of(track, &binding.settings);
        let now = self.0.clock.now();
        let mut groups = self.0.groups.lock();
        let Some(group) = groups.get_mut(&key) else {
            return;
        };
        change(group);
        group.settle(now, &self.0.clock);
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

/// One sender's view of an encoded track: dropping it ends the subscription, and the encoder ends
/// with its last one. Share it by `Arc`; one task at a time takes frames.
pub struct OutboundVideo {
    hub: EncoderHub,
    viewer: Arc<Viewer>,
    /// Whether anybody takes frames yet.
    active: AtomicBool,
    binding: Mutex<Binding>,
}

struct Binding {
    track: Option<MediaStreamTrack>,
    settings: VideoSendSettings,
}

impl OutboundVideo {
    /// The next frame, starting with a key frame after each change of track or size. Waits while there
    /// is no track, or it has ended or stands still. `None` once [`close`](Self::close) was
    /// called.
    ///
    /// Nothing is encoded before the first call: make it when the connection can carry frames.
    pub async fn next(&self) -> Option<OutboundFrame> {
        std::future::poll_fn(|cx| {
            if !self.active.load(Ordering::Acquire) {
                self.activate();
            }
            self.viewer.outbox.poll_next(cx)
        })
        .await
    }

    /// The viewer needs a key frame (PLI, FIR). One serves all that ask at about the same time.
    pub fn request_key_frame(&self) {
        self.viewer.request_key_frame();
    }

    /// What this viewer's path carries, in bits a second.
    pub fn set_target_bitrate(&self, bits_per_second: u32) {
        self.viewer.set_target(bits_per_second);
        self.hub.change(&self.binding.lock(), |_| ());
    }

    /// Shows another track, or none, through the same queue
    /// ([`replaceTrack`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-replacetrack)). No track is
    /// stopped by it. A track of the other kind is taken as none.
    pub fn retarget(&self, track: Option<&MediaStreamTrack>) {
        let track = track.filter(|track| track.kind() == MediaKind::Video);
        self.rebind(|binding| Binding {
            track: track.cloned(),
            settings: binding.settings,
        });
    }

    /// Encodes with other settings from the next picture on (`setParameters`).
    pub fn set_settings(&self, settings: VideoSendSettings) {
        self.rebind(|binding| Binding {
            track: binding.track.clone(),
            settings,
        });
    }

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {
        self.viewer.outbox.close();
        self.retarget(None);
    }

    /// Its counters so far.
    pub fn stats(&self) -> OutboundVideoStats {
        let encoder = self.viewer.encoder_counters();
        let outbox = self.viewer.outbox.counters();
        OutboundVideoStats {
            frames_encoded: encoder.encoded,
            key_frames_encoded: encoder.key_frames,
            total_encode_time: encoder.encode_time,
            frames_skipped: encoder.skipped,
            frames_overwritten: encoder.overwritten,
            frames_sent: outbox.taken,
            frames_dropped: outbox.dropped,
            frame_width: encoder.width,
            frame_height: encoder.height,
            frames_per_second: encoder.frame_rate,
            target_bitrate: encoder.target_bitrate,
        }
    }

    fn activate(&self) {
        // The lock first: who holds it reads `active`, and joins a group with it.
        let binding = self.binding.lock();
        if !self.active.swap(true, Ordering::AcqRel) {
            self.hub
                .change(&binding, |group| group.activate(&self.viewer));
        }
    }

    fn rebind(&self, new: impl FnOnce(&Binding) -> Binding) {
        let mut binding = self.binding.lock();
        let mut new = new(&binding);
        if self.viewer.outbox.is_closed() {
            new.track = None;
        }
        if (&new.track, new.settings) == (&binding.track, binding.settings) {
            return;
        }
        if !self.hub.rekey(&binding, &new) {
            self.hub.leave(&binding, &self.viewer);
            let active = self.active.load(Ordering::Acquire);
            self.hub.join(&new, &self.viewer, active);
        }
        let old = std::mem::replace(&mut *binding, new);
        drop(binding);
        drop(old);
    }
}

impl Drop for OutboundVideo {
    fn drop(&mut self) {
        self.close();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    track: String,
    scale: u64,
    frame_rate: Option<u64>,
}

impl GroupKey {
    fn of(track: &MediaStreamTrack, settings: &VideoSendSettings) -> Self {
        GroupKey {
            track: track.id().to_owned(),
            scale: settings.scale_resolution_down_by.to_bits(),
            frame_rate: settings.max_frame_rate.map(f64::to_bits),
        }
    }
}

/// The viewers of one (track, settings), and the encoders that serve them.
struct Group {
    track: MediaStreamTrack,
    settings: VideoSendSettings,
    members: Vec<Member>,
    tiers: [Option<VideoEncoding>; TIERS],
}

struct Member {
    viewer: Arc<Viewer>,
    active: bool,
    /// `None` until it was first looked at.
    placement: Option<Placement>,
    /// The tier whose encoder it watches.
    watches: Option<usize>,
}

impl Group {
    fn new(track: MediaStreamTrack, settings: VideoSendSettings) -> Self {
        Group {
            track,
            settings,
            members: Vec::new(),
            tiers: Default::default(),
        }
    }

    fn set_settings(&mut self, settings: VideoSendSettings) {
        self.settings = settings;
        for encoding in self.tiers.iter().flatten() {
            encoding.set_settings(&settings);
        }
    }

    fn join(&mut self, viewer: &Arc<Viewer>, active: bool) {
        self.members.push(Member {
            viewer: viewer.clone(),
            active,
            placement: None,
            watches: None,
        });
    }

    fn leave(&mut self, viewer: &Arc<Viewer>) {
        let is_it = |member: &Member| Arc::ptr_eq(&member.viewer, viewer);
        if let Some(at) = self.members.iter().position(is_it) {
            let member = self.members.swap_remove(at);
            self.detach(&member.viewer, member.watches);
        }
    }

    fn activate(&mut self, viewer: &Arc<Viewer>) {
        for member in &mut self.members {
            member.active |= Arc::ptr_eq(&member.viewer, viewer);
        }
    }

    fn encoders(&self) -> usize {
        self.tiers.iter().flatten().count()
    }

    /// Puts every member where it belongs, and makes, feeds and ends encoders accordingly.
    fn settle(&mut self, now: MediaTime, clock: &Arc<dyn Clock>) {
        let targets = self.members.iter().map(|member| member.viewer.target());
        let best = targets.max().unwrap_or(0);
        for member in &mut self.members {
            let target = member.viewer.target();
            member.placement = Some(match member.placement {
                Some(placement) => placement.review(target, best, now),
                None => Placement::new(target, best),
            });
        }
        for tier in 0..TIERS {
            let of_tier = || self.members.iter().filter(move |m| m.tier() == tier);
            // Who takes nothing yet holds nobody back.
            let watching = of_tier()
                .filter(|m| m.active)
                .map(|m| m.viewer.target())
                .min();
            let Some(target) = watching.or(of_tier().map(|m| m.viewer.target()).min()) else {
                continue;
            };
            match &self.tiers[tier] {
                Some(encoding) => encoding.set_target_bitrate(target),
                None => {
                    let started =
                        VideoEncoding::start(&self.track, &self.settings, target, clock.clone());
                    match started {
                        Ok(encoding) => self.tiers[tier] = Some(encoding),
                        Err(error) => tracing::error!(%error, "no thread for an encoder"),
                    }
                }
            }
        }
        for at in 0..self.members.len() {
            let member = &self.members[at];
            let (tier, watches, viewer) = (member.tier(), member.watches, member.viewer.clone());
            if member.active && watches != Some(tier) {
                self.detach(&viewer, watches);
                let encoding = self.tiers[tier].as_ref();
                self.members[at].watches = encoding.map(|encoding| {
                    encoding.attach(&viewer);
                    tier
                });
            }
        }
        for tier in 0..TIERS {
            if !self.members.iter().any(|member| member.tier() == tier) {
                self.tiers[tier] = None;
            }
        }
    }

    fn detach(&self, viewer: &Arc<Viewer>, watches: Option<usize>) {
        let encoding = watches.and_then(|tier| self.tiers[tier].as_ref());
        if let Some(encoding) = encoding {
            encoding.detach(viewer);
        }
    }
}

impl Member {
    fn tier(&self) -> usize {
        self.placement.map_or(0, |placement| placement.tier)
    }
}
