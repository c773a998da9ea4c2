//! What a track is, and what it could be.

use crate::constraints::{BooleanOrString, keeps_shape};

/// [`MediaTrackSettings`](https://w3c.github.io/mediacapture-main/#dom-mediatracksettings): what a
/// track delivers now. A property that does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaTrackSettings {
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Frames a second.
    pub frame_rate: Option<f64>,
    /// Where the camera looks.
    pub facing_mode: Option<VideoFacingMode>,
    /// How the size and frame rate come about.
    pub resize_mode: Option<VideoResizeMode>,
    /// Samples a second, in Hz.
    pub sample_rate: Option<u32>,
    /// Bits a sample, as the device takes them.
    pub sample_size: Option<u32>,
    /// Whether, or which, played sound is taken out of the recorded.
    pub echo_cancellation: Option<EchoCancellation>,
    /// Whether loudness is evened out.
    pub auto_gain_control: Option<bool>,
    /// Whether noise is taken out.
    pub noise_suppression: Option<bool>,
    /// From the sound to its samples, in seconds.
    pub latency: Option<f64>,
    /// Channels.
    pub channel_count: Option<u32>,
    /// The device, by an id that is stable across runs.
    pub device_id: Option<String>,
    /// What devices of one piece of hardware share.
    pub group_id: Option<String>,
    /// Whether the background is blurred.
    pub background_blur: Option<bool>,
    /// Of a screen: what part of it this is.
    pub display_surface: Option<DisplayCaptureSurfaceType>,
    /// Of a screen: whether it is shown as it would be if nothing lay over it.
    pub logical_surface: Option<bool>,
    /// Of a screen: whether the pointer is in the picture.
    pub cursor: Option<CursorCaptureConstraint>,
}

impl MediaTrackSettings {
    /// Width over height, rounded to ten decimals.
    pub fn aspect_ratio(&self) -> Option<f64> {
        match (self.width, self.height) {
            (Some(width), Some(height)) if height > 0 => {
                Some(round_ratio(f64::from(width) / f64::from(height)))
            }
            _ => None,
        }
    }
}

impl MediaTrackSettings {
    /// Of a microphone that leaves sound as it is: neither echo nor noise is taken out, and loudness is
    /// not evened out.
    pub fn unprocessed_sound() -> Self {
        MediaTrackSettings {
            echo_cancellation: Some(EchoCancellation::Off),
            auto_gain_control: Some(false),
            noise_suppression: Some(false),
            ..Default::default()
        }
    }
}

/// An aspect ratio as the specification has it: with ten decimals.
pub(crate) fn round_ratio(ratio: f64) -> f64 {
    (ratio * 1e10).round() / 1e10
}

/// [`VideoFacingModeEnum`](https://w3c.github.io/mediacapture-main/#dom-videofacingmodeenum): where a
/// camera looks, as its user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoFacingMode {
    /// At the user.
    User,
    /// Away from the user.
    Environment,
    /// To the user's left.
    Left,
    /// To the user's right.
    Right,
}

impl VideoFacingMode {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            VideoFacingMode::User => "user",
            VideoFacingMode::Environment => "environment",
            VideoFacingMode::Left => "left",
            VideoFacingMode::Right => "right",
        }
    }
}

/// [`VideoResizeModeEnum`](https://w3c.github.io/mediacapture-main/#dom-videoresizemodeenum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoResizeMode {
    /// As the camera delivers it.
    None,
    /// Cropped, made smaller, or with frames left out, by us. Never made larger.
    CropAndScale,
}

impl VideoResizeMode {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            VideoResizeMode::None => "none",
            VideoResizeMode::CropAndScale => "crop-and-scale",
        }
    }
}

/// [`DisplayCaptureSurfaceType`](https://w3c.github.io/mediacapture-screen-share/#dom-displaycapturesurfacetype),
/// but for "browser", which is for browsers to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DisplayCaptureSurfaceType {
    /// All that a monitor shows.
    Monitor,
    /// One window, whatever lies over it.
    Window,
}

impl DisplayCaptureSurfaceType {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            DisplayCaptureSurfaceType::Monitor => "monitor",
            DisplayCaptureSurfaceType::Window => "window",
        }
    }
}

/// [`CursorCaptureConstraint`](https://w3c.github.io/mediacapture-screen-share/#dom-cursorcaptureconstraint):
/// whether the pointer is in the picture. "motion" is not supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CursorCaptureConstraint {
    /// Not.
    Never,
    /// Where it is over the surface.
    #[default]
    Always,
}

impl CursorCaptureConstraint {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            CursorCaptureConstraint::Never => "never",
            CursorCaptureConstraint::Always => "always",
        }
    }
}

/// The values of `echoCancellation`: a boolean, or an
/// [`EchoCancellationModeEnum`](https://w3c.github.io/mediacapture-main/#dom-echocancellationmodeenum).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EchoCancellation {
    /// `false`: none.
    Off,
    /// `true`: what the device thinks best.
    On,
    /// All sound that the system plays.
    All,
    /// Sound that came over peer connections.
    RemoteOnly,
}

impl EchoCancellation {
    pub(crate) fn to_value(self) -> BooleanOrString {
        match self {
            EchoCancellation::Off => false.into(),
            EchoCancellation::On => true.into(),
            EchoCancellation::All => "all".into(),
            EchoCancellation::RemoteOnly => "remote-only".into(),
        }
    }
}

/// A range of values, both ends included:
/// [`ULongRange` and `DoubleRange`](https://w3c.github.io/mediacapture-main/#dom-ulongrange).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range<T> {
    /// The least value.
    pub min: T,
    /// The greatest value.
    pub max: T,
}

/// [`MediaTrackCapabilities`](https://w3c.github.io/mediacapture-main/#dom-mediatrackcapabilities):
/// what a track's source can be set to. A property that does not apply is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaTrackCapabilities {
    /// Width in pixels.
    pub width: Option<Range<u32>>,
    /// Height in pixels.
    pub height: Option<Range<u32>>,
    /// Width over height. Where there is but one (`min` is `max`), pictures are made smaller and never
    /// cropped, as those of a screen.
    pub aspect_ratio: Option<Range<f64>>,
    /// Frames a second.
    pub frame_rate: Option<Range<f64>>,
    /// Where the camera looks.
    pub facing_mode: Vec<VideoFacingMode>,
    /// How sizes and frame rates can come about.
    pub resize_mode: Vec<VideoResizeMode>,
    /// Samples a second, in Hz.
    pub sample_rate: Option<Range<u32>>,
    /// Bits a sample.
    pub sample_size: Option<Range<u32>>,
    /// Whether, or which, played sound can be taken out.
    pub echo_cancellation: Vec<EchoCancellation>,
    /// Whether loudness can be evened out, and left alone.
    pub auto_gain_control: Vec<bool>,
    /// Whether noise can be taken out, and left in.
    pub noise_suppression: Vec<bool>,
    /// From the sound to its samples, in seconds.
    pub latency: Option<Range<f64>>,
    /// Channels.
    pub channel_count: Option<Range<u32>>,
    /// The device.
    pub device_id: Option<String>,
    /// What devices of one piece of hardware share.
    pub group_id: Option<String>,
    /// Whether the background can be blurred, and left alone.
    pub background_blur: Vec<bool>,
    /// Of a screen: what part of it this is.
    pub display_surface: Option<DisplayCaptureSurfaceType>,
    /// Of a screen: whether it is shown as it would be if nothing lay over it.
    pub logical_surface: Option<bool>,
    /// Of a screen: whether the pointer can be in the picture, and left out.
    pub cursor: Vec<CursorCaptureConstraint>,
}

impl MediaTrackCapabilities {
    /// Of a microphone that can do nothing but leave sound as it is.
    pub fn unprocessed_sound() -> Self {
        MediaTrackCapabilities {
            echo_cancellation: vec![EchoCancellation::Off],
            auto_gain_control: vec![false],
            noise_suppression: vec![false],
            ..Default::default()
        }
    }

    /// With what every video track can do beyond its source: be made smaller, down to a pixel, and
    /// slower. Anything that has no size is left as it is.
    #[must_use]
    pub fn with_crop_and_scale(mut self) -> Self {
        let own_shape = keeps_shape(&self);
        if let (Some(width), Some(height)) = (&mut self.width, &mut self.height) {
            if own_shape {
                let ratio = f64::from(width.max) / f64::from(height.max.max(1));
                let least = |ratio: f64| (ratio.round() as u32).max(1);
                (width.min, height.min) = (least(ratio), least(1.0 / ratio));
            } else {
                (width.min, height.min) = (1, 1);
                self.aspect_ratio = Some(Range {
                    min: round_ratio(1.0 / f64::from(height.max.max(1))),
                    max: f64::from(width.max),
                });
            }
            self.resize_mode = vec![VideoResizeMode::None, VideoResizeMode::CropAndScale];
            if let Some(frame_rate) = &mut self.frame_rate {
                frame_rate.min = 0.0;
            }
        }
        self
    }
}
