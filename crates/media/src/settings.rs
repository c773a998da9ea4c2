//! What a track is, and what it could be.

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
    /// Samples a second, in Hz.
    pub sample_rate: Option<u32>,
    /// Channels.
    pub channel_count: Option<u32>,
    /// The device, by an id that is stable across runs.
    pub device_id: Option<String>,
    /// What devices of one piece of hardware share.
    pub group_id: Option<String>,
}

impl MediaTrackSettings {
    /// Width over height.
    pub fn aspect_ratio(&self) -> Option<f64> {
        match (self.width, self.height) {
            (Some(width), Some(height)) if height > 0 => Some(f64::from(width) / f64::from(height)),
            _ => None,
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
/// what a track's source can be set to. A property that does not apply is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaTrackCapabilities {
    /// Width in pixels.
    pub width: Option<Range<u32>>,
    /// Height in pixels.
    pub height: Option<Range<u32>>,
    /// Frames a second.
    pub frame_rate: Option<Range<f64>>,
    /// Samples a second, in Hz.
    pub sample_rate: Option<Range<u32>>,
    /// Channels.
    pub channel_count: Option<Range<u32>>,
    /// The device.
    pub device_id: Option<String>,
    /// What devices of one piece of hardware share.
    pub group_id: Option<String>,
}
