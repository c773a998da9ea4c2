//! The properties that can be constrained, and where their values are.

use super::constrain::BooleanOrString;
use crate::{EchoCancellation, MediaKind, MediaTrackSettings};
use std::fmt;

/// A [constrainable property](https://w3c.github.io/mediacapture-main/#constrainable-properties).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "MediaTrackConstraintSet's fields say it")]
pub enum ConstrainableProperty {
    Width,
    Height,
    AspectRatio,
    FrameRate,
    FacingMode,
    ResizeMode,
    SampleRate,
    SampleSize,
    EchoCancellation,
    AutoGainControl,
    NoiseSuppression,
    Latency,
    ChannelCount,
    DeviceId,
    GroupId,
    BackgroundBlur,
}

use ConstrainableProperty as P;

impl ConstrainableProperty {
    /// All of them, in the order of the specification.
    pub const ALL: &[ConstrainableProperty] = &[
        P::Width,
        P::Height,
        P::AspectRatio,
        P::FrameRate,
        P::FacingMode,
        P::ResizeMode,
        P::SampleRate,
        P::SampleSize,
        P::EchoCancellation,
        P::AutoGainControl,
        P::NoiseSuppression,
        P::Latency,
        P::ChannelCount,
        P::DeviceId,
        P::GroupId,
        P::BackgroundBlur,
    ];

    /// Those that are supported:
    /// [`getSupportedConstraints()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getsupportedconstraints).
    /// Nothing here blurs a background.
    pub const SUPPORTED: &[ConstrainableProperty] = {
        let [supported @ .., P::BackgroundBlur] = Self::ALL else {
            unreachable!()
        };
        supported
    };

    /// The W3C's name.
    pub fn name(self) -> &'static str {
        match self {
            P::Width => "width",
            P::Height => "height",
            P::AspectRatio => "aspectRatio",
            P::FrameRate => "frameRate",
            P::FacingMode => "facingMode",
            P::ResizeMode => "resizeMode",
            P::SampleRate => "sampleRate",
            P::SampleSize => "sampleSize",
            P::EchoCancellation => "echoCancellation",
            P::AutoGainControl => "autoGainControl",
            P::NoiseSuppression => "noiseSuppression",
            P::Latency => "latency",
            P::ChannelCount => "channelCount",
            P::DeviceId => "deviceId",
            P::GroupId => "groupId",
            P::BackgroundBlur => "backgroundBlur",
        }
    }

    /// Whether tracks of `kind` have it.
    pub fn applies_to(self, kind: MediaKind) -> bool {
        match self {
            P::DeviceId | P::GroupId => true,
            P::Width
            | P::Height
            | P::AspectRatio
            | P::FrameRate
            | P::FacingMode
            | P::ResizeMode
            | P::BackgroundBlur => kind == MediaKind::Video,
            P::SampleRate
            | P::SampleSize
            | P::EchoCancellation
            | P::AutoGainControl
            | P::NoiseSuppression
            | P::Latency
            | P::ChannelCount => kind == MediaKind::Audio,
        }
    }

    /// Whether constraints of it count. Of those that are not supported none does, required or not.
    pub fn is_supported(self) -> bool {
        self != P::BackgroundBlur
    }

    /// Whether `getUserMedia` may be asked to
    /// [require it](https://w3c.github.io/mediacapture-main/#dfn-allowed-required-constraints-for-device-selection);
    /// for the others that is a `TypeError`.
    pub fn may_be_required_for_device_selection(self) -> bool {
        self != P::BackgroundBlur
    }

    /// What it is in `settings`; `None` if it is not among them.
    pub(super) fn of(self, settings: &MediaTrackSettings) -> Option<Value<'_>> {
        let number = |value: Option<u32>| value.map(|v| Value::Number(v.into()));
        let text = |value: &'static str| Value::Text(value);
        match self {
            P::Width => number(settings.width),
            P::Height => number(settings.height),
            P::AspectRatio => settings.aspect_ratio().map(Value::Number),
            P::FrameRate => settings.frame_rate.map(Value::Number),
            P::FacingMode => settings.facing_mode.map(|mode| text(mode.as_str())),
            P::ResizeMode => settings.resize_mode.map(|mode| text(mode.as_str())),
            P::SampleRate => number(settings.sample_rate),
            P::SampleSize => number(settings.sample_size),
            P::EchoCancellation => settings.echo_cancellation.map(|mode| match mode {
                EchoCancellation::Off => Value::Flag(false),
                EchoCancellation::On => Value::Flag(true),
                EchoCancellation::All => Value::Text("all"),
                EchoCancellation::RemoteOnly => Value::Text("remote-only"),
            }),
            P::AutoGainControl => settings.auto_gain_control.map(Value::Flag),
            P::NoiseSuppression => settings.noise_suppression.map(Value::Flag),
            P::Latency => settings.latency.map(Value::Number),
            P::ChannelCount => number(settings.channel_count),
            P::DeviceId => settings.device_id.as_deref().map(Value::Text),
            P::GroupId => settings.group_id.as_deref().map(Value::Text),
            P::BackgroundBlur => settings.background_blur.map(Value::Flag),
        }
    }
}

impl fmt::Display for ConstrainableProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value of any property.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Number(f64),
    Text(&'a str),
    Flag(bool),
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a bool> for Value<'a> {
    fn from(value: &'a bool) -> Self {
        Value::Flag(*value)
    }
}

impl<'a> From<&'a BooleanOrString> for Value<'a> {
    fn from(value: &'a BooleanOrString) -> Self {
        match value {
            BooleanOrString::Boolean(value) => Value::Flag(*value),
            BooleanOrString::String(value) => Value::Text(value),
        }
    }
}
