//! One encoder for each (track, settings), however many connections it is sent through.

use super::audio_encoder::{AudioSendSettings, OutboundAudio};
use super::stats::OutboundVideoStats;
use duet_codec::EncodedVideo;
use duet_media::{Clock, MediaStreamTrack};
use std::sync::Arc;

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
#[derive(Clone)]
pub struct EncoderHub(Arc<HubShared>);

struct HubShared {
    clock: Arc<dyn Clock>,
}

impl EncoderHub {
    /// A hub without encoders. `clock` is that of the tracks' capture times.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        EncoderHub(Arc::new(HubShared { clock }))
    }

    /// A viewer of `track`, which may still be to come. `target_bitrate` in bits a second.
    pub fn subscribe_video(
        &self,
        track: Option<&MediaStreamTrack>,
        settings: VideoSendSettings,
        target_bitrate: u32,
    ) -> OutboundVideo {
        let _ = (&self.0.clock, track, settings, target_bitrate);
        OutboundVideo {}
    }

    /// A listener to `track`, which may still be to come.
    pub fn subscribe_audio(
        &self,
        track: Option<&MediaStreamTrack>,
        settings: AudioSendSettings,
    ) -> OutboundAudio {
        OutboundAudio::new(track, settings)
    }
}

/// One sender's view of an encoded track: dropping it ends the subscription, and the encoder ends
/// with its last one. Share it by `Arc`; one task at a time takes frames.
pub struct OutboundVideo {}

impl OutboundVideo {
    /// The next frame, starting with a key frame after each change of track or settings. Waits while
    /// there is no track, or it has ended or stands still. `None` once [`close`](Self::close) was called.
    pub async fn next(&self) -> Option<OutboundFrame> {
        std::future::pending().await
    }

    /// The viewer needs a key frame (PLI, FIR). One serves all that ask at about the same time.
    pub fn request_key_frame(&self) {}

    /// What this viewer's path carries, in bits a second.
    pub fn set_target_bitrate(&self, _bits_per_second: u32) {}

    /// Shows another track, or none, through the same queue
    /// ([`replaceTrack`](https://www.w3.org/TR/webrtc/#dom-rtcrtpsender-replacetrack)). No track is
    /// stopped by it. A track of the other kind is taken as none.
    pub fn retarget(&self, _track: Option<&MediaStreamTrack>) {}

    /// Encodes with other settings from the next picture on (`setParameters`).
    pub fn set_settings(&self, _settings: VideoSendSettings) {}

    /// Ends the subscription; `next` returns `None` from then on.
    pub fn close(&self) {}

    /// Its counters so far.
    pub fn stats(&self) -> OutboundVideoStats {
        OutboundVideoStats::default()
    }
}
