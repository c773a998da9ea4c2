//! What of a sender's pictures gives way to the path, and what statistics say of it.

use crate::RTCRtpEncodingParameters;
use crate::pipeline::OutboundVideoStats;
use duet_media::{MediaStreamTrack, MediaTime};
use duet_session::{
    Degradation, DegradationPreference, PictureShape, PictureSource, QualityLimitation,
};

pub(super) struct Quality {
    degradation: Degradation,
    shape: PictureShape,
    limitation: QualityLimitation,
}

impl Default for Quality {
    fn default() -> Self {
        Quality {
            degradation: Degradation::default(),
            shape: PictureShape::FULL,
            limitation: QualityLimitation::default(),
        }
    }
}

impl Quality {
    /// Decides anew for so many bits a second. Without a preference of the program the track's hint says
    /// what gives way. True if the pictures get another shape.
    pub(super) fn update(
        &mut self,
        preference: Option<DegradationPreference>,
        bits_per_second: u32,
        track: &MediaStreamTrack,
        encoding: &RTCRtpEncodingParameters,
        made: &OutboundVideoStats,
        now: MediaTime,
    ) -> bool {
        let hinted = || DegradationPreference::of_hint(track.content_hint());
        let preference = preference.unwrap_or_else(hinted);
        let source = source(track, encoding, made);
        let bits = u64::from(bits_per_second);
        let shape = self.degradation.update(preference, source, bits, now);
        let before = std::mem::replace(&mut self.shape, shape);
        self.limitation
            .watch_encoder(made.frames_encoded, made.frames_overwritten, now);
        let less = self.degradation.is_degraded() || made.layers_left_out > 0;
        self.limitation.set(less, now);
        if before.scale != shape.scale {
            self.limitation.resized();
        }
        before != shape
    }

    /// One of several encodings: what the path does not carry is not sent at all.
    pub(super) fn note(&mut self, limited: bool, made: &OutboundVideoStats, now: MediaTime) {
        self.limitation
            .watch_encoder(made.frames_encoded, made.frames_overwritten, now);
        self.limitation.set(limited, now);
    }

    pub(super) fn shape(&self) -> PictureShape {
        self.shape
    }

    pub(super) fn limitation(&self) -> &QualityLimitation {
        &self.limitation
    }
}

/// The pictures that the program wants to be sent.
fn source(
    track: &MediaStreamTrack,
    encoding: &RTCRtpEncodingParameters,
    made: &OutboundVideoStats,
) -> PictureSource {
    let pixels = f64::from(made.source_width) * f64::from(made.source_height);
    let scale = encoding.scale_resolution_down_by;
    let frame_rate = track.get_settings().frame_rate.unwrap_or(30.0);
    let most = encoding.max_framerate.unwrap_or(f64::INFINITY);
    PictureSource {
        pixels: (pixels / (scale * scale)) as u64,
        frame_rate: frame_rate.min(most),
    }
}
