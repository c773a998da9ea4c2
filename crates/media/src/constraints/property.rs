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
    DisplaySurface,
    LogicalSurface,
    Cursor,
    BackgroundBlur,
}

use ConstrainableProperty as P;

impl ConstrainableProperty {
    /// All of them, in the order of the specifications.
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
        P::DisplaySurface,
        P::LogicalSurface,
        P::Cursor,
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
            P::DisplaySurface => "displaySurface",
            P::LogicalSurface => "logicalSurface",
            P::Cursor => "cursor",
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
            | P::DisplaySurface
            | P::LogicalSurface
            | P::Cursor
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

    /// Whether constraints of it count. Of those that are not supported none does, required or not; and
    /// `displaySurface` is a hint for whoever chooses, and
    /// [ignored for all other purposes](https://w3c.github.io/mediacapture-screen-share/#dfn-displaysurface).
    pub(super) fn counts(self) -> bool {
        !matches!(self, P::BackgroundBlur | P::DisplaySurface)
    }

    /// Whether tracks of
    /// [a screen or a window](https://w3c.github.io/mediacapture-screen-share/#constrainable-properties-for-captured-display-surfaces)
    /// have it.
    pub fn applies_to_displays(self) -> bool {
        matches!(
            self,
            P::Width
                | P::Height
                | P::AspectRatio
                | P::FrameRate
                | P::ResizeMode
                | P::DisplaySurface
                | P::LogicalSurface
                | P::Cursor
        )
    }

    /// Whether `getUserMedia` may be asked to
    /// [require it](https://w3c.github.io/mediacapture-main/#dfn-allowed-required-constraints-for-device-selection);
    /// for the others that is a `TypeError`.
    pub fn may_be_required_for_device_selection(self) -> bool {
        !matches!(
            self,
            P::BackgroundBlur | P::DisplaySurface | P::LogicalSurface | P::Cursor
        )
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
            P::DisplaySurface => settings.display_surface.map(|kind| text(kind.as_str())),
            P::LogicalSurface => settings.logical_surface.map(Value::Flag),
            P::Cursor => settings.cursor.map(|cursor| text(cursor.as_str())),
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
