//! One encoder for each (track, settings), however many connections it is sent through.

use super::audio_hub::{AudioSendSettings, OutboundAudio, Sound};
use super::outbox::Outbox;
use super::scaled::ScaledSources;
use super::stats::OutboundVideoStats;
use super::subscription::{Group, Hub, Kind, Member, Subscription};
use super::tiers::{Placement, Reach, TIERS};
use super::video_encoder::{VideoEncoding, Viewer};
use super::worker::Workers;
use duet_codec::{
    CodecError, EncodedLayer, EncodedVideo, VideoCodec, VideoEncoder, VideoEncoderConfig,
};
use duet_media::{Clock, MediaKind, MediaStreamTrack};
use duet_session::LayerChoice;
use std::sync::Arc;

/// One encoded picture; its bytes are shared by all viewers.
pub type OutboundFrame = EncodedVideo;

/// Makes an encoder of pictures; see [`EncoderHub::with_video_encoders`].
pub type MakeVideoEncoder =
    Arc<dyn Fn(&VideoEncoderConfig) -> Result<Box<dyn VideoEncoder>, CodecError> + Send + Sync>;

/// How a video track is to be encoded. Subscriptions with equal settings share an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoSendSettings {
    /// [`scaleResolutionDownBy`](https://www.w3.org/TR/webrtc/#dom-rtcrtpencodingparameters-scaleresolutiondownby):
    /// 1 or more; less is taken as 1.
    pub scale_resolution_down_by: f64,
    /// [`maxFramerate`](https://www.w3.org/TR/webrtc/#dom-rtcrtpencodingparameters-maxframerate):
    /// frames a second, above 0.
    pub max_frame_rate: Option<f64>,
    /// Layers of pictures, 1 to 3, of which viewers on worse paths get fewer
    /// ([`scalabilityMode`](https://www.w3.org/TR/webrtc-svc/#dom-rtcrtpencodingparameters-scalabilitymode)
    /// L1T1, L1T2 and L1T3); what is beyond is taken as the nearest.
    pub temporal_layers: u8,
}

impl VideoSendSettings {
    /// What share of an encoder's bits the layers up to each take.
    fn layer_shares(&self) -> &'static [f64] {
        EncodedLayer::shares(self.temporal_layers)
    }
}

impl Default for VideoSendSettings {
    fn default() -> Self {
        VideoSendSettings {
            scale_resolution_down_by: 1.0,
            max_frame_rate: None,
            temporal_layers: 1,
        }
    }
}

/// Where encoders are shared. Cheap to clone; all clones are the same hub. One for each process, or
/// for each set of connections that send the same tracks.
///
/// An encoder of video aims at the least target of those who watch it. A viewer whose target falls
/// below half of the best one's gets a picture of its own tier, so that it spoils nobody else's; no
/// more than three encoders of one (track, settings) run at once. Who takes nothing yet holds nobody
/// to anything.
///
/// With temporal layers an encoder aims at what its better viewers' paths carry, and the others get the
/// layers that theirs do; a tier of its own is only for who does not carry the lowest one.
#[derive(Clone)]
pub struct EncoderHub {
    video: Hub<Pictures>,
    audio: Hub<Sound>,
}

impl EncoderHub {
    /// A hub without encoders. `clock` is that of the tracks' capture times.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        // What every peer must speak, and all that there is as yet.
        Self::with_video_encoders(clock, Arc::new(|config| VideoCodec::Vp8.encoder(config)))
    }

    /// Like [`EncoderHub::new`], with other encoders than libvpx: a machine's own, or one that only
    /// looks. They make VP8, or no peer understands it. `make` is called on an encoder's thread.
    pub fn with_video_encoders(clock: Arc<dyn Clock>, make: MakeVideoEncoder) -> Self {
        Self::on(Workers::Threads, clock, make)
    }

    /// Like [`EncoderHub::with_video_encoders`], with encoders that run where `workers` says.
    pub fn on(workers: Workers, clock: Arc<dyn Clock>, make: MakeVideoEncoder) -> Self {
        EncoderHub {
            video: Hub::new((clock.clone(), make, workers, ScaledSources::default())),
            audio: Hub::new((clock, workers)),
        }
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
        let viewer = Viewer::new(target_bitrate);
        OutboundVideo(Subscription::new(
            self.video.clone(),
            track,
            settings,
            viewer,
        ))
    }

    /// A listener to `track`, which may still be to come.
    pub fn subscribe_audio(
        &self,
        track: Option<&MediaStreamTrack>,
        settings: AudioSendSettings,
    ) -> OutboundAudio {
        OutboundAudio::new(self.audio.clone(), track, settings)
    }

    /// How many video encoders run.
    pub fn video_encoders(&self) -> usize {
        self.video.encoders()
    }

    /// How many audio encoders run.
    pub fn audio_encoders(&self) -> usize {
        self.audio.encoders()
    }
}

/// One sender's view of an encoded track: dropping it ends the subscription, and the encoder ends
/// with its last one. Share it by `Arc`; one task at a time takes frames.
pub struct OutboundVideo(Subscription<Pictures>);

impl OutboundVideo {
    /// The next frame, starting with a key frame after each change of track or size. Waits while there
    /// is no track, or it has ended or stands still. `None` once [`close`](Self::close) was
    /// called.
    ///
    /// Nothing is encoded before the first call: make it when the connection can carry frames.
    pub async fn next(&self) -> Option<OutboundFrame> {
        self.0.next().await
    }

    /// The viewer needs a key frame (PLI, FIR). One serves all that ask at about the same time.
    pub fn request_key_frame(&self) {
        self.0.client.request_key_frame();
    }

    /// What was made and not taken yet is of no use any more: it goes, and a key frame is asked for.
    pub fn start_afresh(&self) {
        self.0.client.outbox.start_afresh();
        self.request_key_frame();
    }

    /// What this viewer's path carries, in bits a second.
    pub fn set_target_bitrate(&self, bits_per_second: u32) {
        self.0.client.set_target(bits_per_second);
        self.0.changed();
    }

    /// Shows another track, or none, through the same queue
    /// ([`replaceTrack`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-replacetrack)). No track is
    /// stopped by it. A track of the other kind is taken as none.
    pub fn retarget(&self, track: Option<&MediaStreamTrack>) {
        self.0.retarget(track);
    }

    /// Encodes with other settings from the next picture on (`setParameters`).
    pub fn set_settings(&self, settings: VideoSendSettings) {
        self.0.set_settings(settings);
    }

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {
        self.0.close();
    }

    /// Its counters so far.
    pub fn stats(&self) -> OutboundVideoStats {
        let encoder = self.0.client.encoder_counters();
        let outbox = self.0.client.outbox.counters();
        OutboundVideoStats {
            frames_encoded: encoder.encoded,
            key_frames_encoded: encoder.key_frames,
            total_encode_time: encoder.encode_time,
            frames_skipped: encoder.skipped,
            frames_overwritten: encoder.overwritten,
            frames_sent: outbox.taken,
            frames_dropped: outbox.dropped,
            frames_left_out: outbox.left_out,
            layers_left_out: self.0.client.layers_left_out(),
            frame_width: encoder.width,
            frame_height: encoder.height,
            source_width: encoder.source_width,
            source_height: encoder.source_height,
            frames_per_second: encoder.frame_rate,
            target_bitrate: encoder.target_bitrate,
            qp_sum: encoder.qp_sum,
            encoded_bytes_target: encoder.bytes_target,
            source_frames: encoder.source_frames,
            source_frames_per_second: encoder.source_frame_rate,
        }
    }
}

/// A group of viewers has an encoder for each tier in which there is somebody.
struct Pictures;

/// Where a viewer is.
#[derive(Default)]
struct Seat {
    /// `None` until it takes something.
    placement: Option<Placement>,
    /// The tier whose encoder it watches.
    watches: Option<usize>,
    /// Which of that encoder's layers it gets; `None` until it takes something.
    layers: Option<LayerChoice>,
}

type Tiers = [Option<VideoEncoding>; TIERS];

impl Kind for Pictures {
    const KIND: MediaKind = MediaKind::Video;
    type Client = Viewer;
    type Item = OutboundFrame;
    type Settings = VideoSendSettings;
    type Key = (u64, Option<u64>, u8);
    type Encoders = Tiers;
    type Seat = Seat;
    type Context = (Arc<dyn Clock>, MakeVideoEncoder, Workers, ScaledSources);

    fn key(settings: &VideoSendSettings) -> Self::Key {
        let frame_rate = settings.max_frame_rate.map(f64::to_bits);
        (
            settings.scale_resolution_down_by.to_bits(),
            frame_rate,
            settings.temporal_layers,
        )
    }

    fn outbox(viewer: &Viewer) -> &Outbox<OutboundFrame> {
        &viewer.outbox
    }

    fn settle(group: &mut Group<Self>, (clock, make, workers, sources): &Self::Context) {
        let Group {
            track,
            settings,
            members,
            encoders: tiers,
        } = group;
        let now = clock.now();
        let watching = members.iter().filter(|member| member.active);
        let best = watching.map(|member| member.client.target()).max();
        let best = best.unwrap_or(0);
        let shares = settings.layer_shares();
        let reach = Reach::of(shares);
        for member in members.iter_mut().filter(|member| member.active) {
            let (target, before) = (member.client.target(), member.seat.tier());
            member.seat.placement = Some(match member.seat.placement {
                Some(placement) => placement.review(target, best, reach, now),
                None => Placement::new(target, best, reach),
            });
            if member.seat.tier() != before {
                member.seat.layers = None;
            }
        }
        for (tier, encoding) in tiers.iter_mut().enumerate() {
            let targets = |active| {
                let of_tier = members.iter().filter(move |m| m.seat.tier() == tier);
                let of_tier = of_tier.filter(move |m| m.active == active);
                of_tier.map(|m| m.client.target())
            };
            // Made ready for those who take nothing yet, if there are no others.
            let aim = aim(targets(true), shares).or_else(|| aim(targets(false), shares));
            let Some(target) = aim else {
                continue;
            };
            for member in members
                .iter_mut()
                .filter(|m| m.active && m.seat.tier() == tier)
            {
                let rate = member.client.target();
                let choice = match member.seat.layers {
                    Some(choice) => choice.review(rate, target, shares, now),
                    None => LayerChoice::new(rate, target, shares),
                };
                member.seat.layers = Some(choice);
                member
                    .client
                    .set_highest_layer(choice.highest(), shares.len());
            }
            match encoding {
                Some(encoding) => encoding.set_target_bitrate(target),
                None => {
                    let (clock, make) = (clock.clone(), make.clone());
                    let sizes = sources.of(track.id());
                    let started = VideoEncoding::start(
                        track, settings, target, &sizes, clock, make, *workers,
                    );
                    *encoding = started
                        .inspect_err(|error| tracing::error!(%error, "no thread for an encoder"))
                        .ok();
                }
            }
        }
        for member in members.iter_mut().filter(|member| member.active) {
            let tier = member.seat.tier();
            if member.seat.watches != Some(tier) {
                Self::detach(tiers, member);
                member.seat.watches = tiers[tier].as_ref().map(|encoding| {
                    encoding.attach(&member.client);
                    tier
                });
            }
        }
        for (tier, encoding) in tiers.iter_mut().enumerate() {
            if !members.iter().any(|member| member.seat.tier() == tier) {
                *encoding = None;
            }
        }
    }

    fn detach(tiers: &Tiers, member: &Member<Self>) {
        let encoding = member.seat.watches.and_then(|tier| tiers[tier].as_ref());
        if let Some(encoding) = encoding {
            encoding.detach(&member.client);
        }
    }

    fn take_on(tiers: &Tiers, settings: &VideoSendSettings) -> bool {
        for encoding in tiers.iter().flatten() {
            encoding.set_settings(settings);
        }
        true
    }

    fn running(tiers: &Tiers) -> usize {
        tiers.iter().flatten().count()
    }
}

/// A viewer that carries less than so much of what the best one does gets fewer layers, rather than all
/// a poorer picture.
const LAYERED: f64 = 0.9;

/// What an encoder aims at for viewers with such targets.
fn aim(targets: impl Iterator<Item = u32> + Clone, shares: &[f64]) -> Option<u32> {
    let best = targets.clone().max()?;
    let layered = shares.len() > 1;
    let all = |target: &u32| !layered || f64::from(*target) >= f64::from(best) * LAYERED;
    targets.filter(all).min()
}

impl Seat {
    /// Who has no place yet waits at the best.
    fn tier(&self) -> usize {
        self.placement.map_or(0, |placement| placement.tier)
    }
}
