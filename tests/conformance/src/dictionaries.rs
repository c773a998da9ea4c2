//! The specification's dictionaries, between JSON and our types.

use duet_devices::MediaDeviceInfo;
use duet_media::constraints::{
    BooleanOrString, ConstrainChoice, ConstrainNumber, ConstrainRange, MediaTrackConstraintSet,
};
use duet_media::{
    ConstrainableProperty, EchoCancellation, MediaKind, MediaStreamConstraints,
    MediaTrackCapabilities, MediaTrackConstraints, MediaTrackSettings, Range,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `MediaStreamConstraints`, converted from what a script passed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConstraints {
    audio: Wanted,
    video: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Wanted {
    AtAll(bool),
    With(Box<TrackConstraints>),
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted::AtAll(false)
    }
}

/// `MediaTrackConstraints`.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct TrackConstraints {
    #[serde(flatten)]
    basic: ConstraintSet,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    advanced: Vec<ConstraintSet>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Number<T> {
    Bare(T),
    Range(NumberRange<T>),
}

#[derive(Debug, Deserialize, Serialize)]
struct NumberRange<T> {
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    min: Option<T>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    max: Option<T>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    exact: Option<T>,
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    ideal: Option<T>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Choice<T> {
    Bare(OneOrMore<T>),
    Parameters {
        #[serde(default = "none", skip_serializing_if = "Option::is_none")]
        exact: Option<OneOrMore<T>>,
        #[serde(default = "none", skip_serializing_if = "Option::is_none")]
        ideal: Option<OneOrMore<T>>,
    },
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Flag {
    Boolean(bool),
    String(String),
}

fn none<T>() -> Option<T> {
    None
}

/// Declares the set beside ours, whose fields have the same names.
macro_rules! constraint_set {
    ($($field:ident: $type:ty,)*) => {
        #[derive(Debug, Default, Deserialize, Serialize)]
        #[serde(rename_all = "camelCase", default)]
        struct ConstraintSet {
            $(#[serde(skip_serializing_if = "Option::is_none")] $field: Option<$type>,)*
        }

        impl From<ConstraintSet> for MediaTrackConstraintSet {
            fn from(set: ConstraintSet) -> Self {
                MediaTrackConstraintSet { $($field: set.$field.map(Into::into),)* }
            }
        }

        impl From<MediaTrackConstraintSet> for ConstraintSet {
            fn from(set: MediaTrackConstraintSet) -> Self {
                ConstraintSet { $($field: set.$field.map(Into::into),)* }
            }
        }
    };
}

constraint_set! {
    width: Number<u32>,
    height: Number<u32>,
    aspect_ratio: Number<f64>,
    frame_rate: Number<f64>,
    facing_mode: Choice<String>,
    resize_mode: Choice<String>,
    sample_rate: Number<u32>,
    sample_size: Number<u32>,
    echo_cancellation: Choice<Flag>,
    auto_gain_control: Choice<bool>,
    noise_suppression: Choice<bool>,
    latency: Number<f64>,
    channel_count: Number<u32>,
    device_id: Choice<String>,
    group_id: Choice<String>,
    display_surface: Choice<String>,
    logical_surface: Choice<bool>,
    cursor: Choice<String>,
    background_blur: Choice<bool>,
}

impl<T> From<Number<T>> for ConstrainNumber<T> {
    fn from(number: Number<T>) -> Self {
        match number {
            Number::Bare(value) => ConstrainNumber::Bare(value),
            Number::Range(NumberRange {
                min,
                max,
                exact,
                ideal,
            }) => ConstrainNumber::Range(ConstrainRange {
                min,
                max,
                exact,
                ideal,
            }),
        }
    }
}

impl<T> From<ConstrainNumber<T>> for Number<T> {
    fn from(number: ConstrainNumber<T>) -> Self {
        match number {
            ConstrainNumber::Bare(value) => Number::Bare(value),
            ConstrainNumber::Range(ConstrainRange {
                min,
                max,
                exact,
                ideal,
            }) => Number::Range(NumberRange {
                min,
                max,
                exact,
                ideal,
            }),
            // The door lets none in.
            ConstrainNumber::Present(_) => Number::Range(NumberRange {
                min: None,
                max: None,
                exact: None,
                ideal: None,
            }),
        }
    }
}

impl<T> OneOrMore<T> {
    fn list<U: From<T>>(self) -> Vec<U> {
        match self {
            OneOrMore::One(value) => vec![value.into()],
            OneOrMore::More(values) => values.into_iter().map(Into::into).collect(),
        }
    }

    fn of<U: Into<T>>(list: Vec<U>) -> Self {
        let mut list: Vec<T> = list.into_iter().map(Into::into).collect();
        match (list.len(), list.pop()) {
            (1, Some(value)) => OneOrMore::One(value),
            (_, last) => {
                list.extend(last);
                OneOrMore::More(list)
            }
        }
    }
}

impl<T, U: From<T>> From<Choice<T>> for ConstrainChoice<U> {
    fn from(choice: Choice<T>) -> Self {
        let list = |values: Option<OneOrMore<T>>| values.map(OneOrMore::list).unwrap_or_default();
        match choice {
            Choice::Bare(values) => ConstrainChoice::Bare(values.list()),
            Choice::Parameters { exact, ideal } => ConstrainChoice::Parameters {
                exact: list(exact),
                ideal: list(ideal),
            },
        }
    }
}

impl<T, U: Into<T>> From<ConstrainChoice<U>> for Choice<T> {
    fn from(choice: ConstrainChoice<U>) -> Self {
        let some = |list: Vec<U>| (!list.is_empty()).then(|| OneOrMore::of(list));
        match choice {
            ConstrainChoice::Bare(list) => Choice::Bare(OneOrMore::of(list)),
            ConstrainChoice::Parameters { exact, ideal } => Choice::Parameters {
                exact: some(exact),
                ideal: some(ideal),
            },
        }
    }
}

impl From<Flag> for BooleanOrString {
    fn from(flag: Flag) -> Self {
        match flag {
            Flag::Boolean(value) => BooleanOrString::Boolean(value),
            Flag::String(value) => BooleanOrString::String(value),
        }
    }
}

impl From<BooleanOrString> for Flag {
    fn from(value: BooleanOrString) -> Self {
        match value {
            BooleanOrString::Boolean(value) => Flag::Boolean(value),
            BooleanOrString::String(value) => Flag::String(value),
        }
    }
}

impl From<TrackConstraints> for MediaTrackConstraints {
    fn from(constraints: TrackConstraints) -> Self {
        MediaTrackConstraints {
            basic: constraints.basic.into(),
            advanced: constraints.advanced.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<MediaTrackConstraints> for TrackConstraints {
    fn from(constraints: MediaTrackConstraints) -> Self {
        TrackConstraints {
            basic: constraints.basic.into(),
            advanced: constraints.advanced.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<StreamConstraints> for MediaStreamConstraints {
    fn from(constraints: StreamConstraints) -> Self {
        let wanted = |wanted| match wanted {
            Wanted::AtAll(wanted) => wanted.then(MediaTrackConstraints::default),
            Wanted::With(constraints) => Some((*constraints).into()),
        };
        MediaStreamConstraints {
            audio: wanted(constraints.audio),
            video: wanted(constraints.video),
        }
    }
}

/// `MediaTrackSettings`: what is there.
pub(crate) fn settings(settings: &MediaTrackSettings) -> Value {
    let s = settings;
    present([
        ("width", s.width.map(Into::into)),
        ("height", s.height.map(Into::into)),
        ("aspectRatio", s.aspect_ratio().map(Into::into)),
        ("frameRate", s.frame_rate.map(Into::into)),
        ("facingMode", s.facing_mode.map(|mode| mode.as_str().into())),
        ("resizeMode", s.resize_mode.map(|mode| mode.as_str().into())),
        ("sampleRate", s.sample_rate.map(Into::into)),
        ("sampleSize", s.sample_size.map(Into::into)),
        ("echoCancellation", s.echo_cancellation.map(echo)),
        ("autoGainControl", s.auto_gain_control.map(Into::into)),
        ("noiseSuppression", s.noise_suppression.map(Into::into)),
        ("latency", s.latency.map(Into::into)),
        ("channelCount", s.channel_count.map(Into::into)),
        ("deviceId", s.device_id.clone().map(Into::into)),
        ("groupId", s.group_id.clone().map(Into::into)),
        (
            "displaySurface",
            s.display_surface.map(|kind| kind.as_str().into()),
        ),
        ("logicalSurface", s.logical_surface.map(Into::into)),
        ("cursor", s.cursor.map(|cursor| cursor.as_str().into())),
        ("backgroundBlur", s.background_blur.map(Into::into)),
    ])
}

/// `MediaTrackCapabilities`: what is there. A camera's list of facing modes is there though it may be
/// empty: which way it looks is a property that it has, whether known or not.
pub(crate) fn capabilities(kind: MediaKind, capabilities: &MediaTrackCapabilities) -> Value {
    let c = capabilities;
    let a_camera = kind == MediaKind::Video && c.device_id.is_some();
    let names = |names: Vec<&'static str>| (!names.is_empty()).then(|| json!(names));
    let facing: Vec<_> = c.facing_mode.iter().map(|mode| mode.as_str()).collect();
    let resize: Vec<_> = c.resize_mode.iter().map(|mode| mode.as_str()).collect();
    let echoes: Vec<_> = c.echo_cancellation.iter().map(|mode| echo(*mode)).collect();
    let flags = |flags: &[bool]| (!flags.is_empty()).then(|| json!(flags));
    present([
        ("width", c.width.map(range)),
        ("height", c.height.map(range)),
        ("aspectRatio", c.aspect_ratio.map(range)),
        ("frameRate", c.frame_rate.map(range)),
        (
            "facingMode",
            if a_camera {
                Some(json!(facing))
            } else {
                names(facing)
            },
        ),
        ("resizeMode", names(resize)),
        ("sampleRate", c.sample_rate.map(range)),
        ("sampleSize", c.sample_size.map(range)),
        (
            "echoCancellation",
            (!echoes.is_empty()).then(|| json!(echoes)),
        ),
        ("autoGainControl", flags(&c.auto_gain_control)),
        ("noiseSuppression", flags(&c.noise_suppression)),
        ("latency", c.latency.map(range)),
        ("channelCount", c.channel_count.map(range)),
        ("deviceId", c.device_id.clone().map(Into::into)),
        ("groupId", c.group_id.clone().map(Into::into)),
        (
            "displaySurface",
            c.display_surface.map(|kind| kind.as_str().into()),
        ),
        ("logicalSurface", c.logical_surface.map(Into::into)),
        (
            "cursor",
            names(c.cursor.iter().map(|c| c.as_str()).collect()),
        ),
        ("backgroundBlur", flags(&c.background_blur)),
    ])
}

/// `MediaTrackSupportedConstraints`.
pub(crate) fn supported(properties: &[ConstrainableProperty]) -> Value {
    let names = properties
        .iter()
        .map(|p| (p.name().to_string(), true.into()));
    Value::Object(names.collect::<Map<_, _>>())
}

/// `MediaDeviceInfo`, with its capabilities beside it.
pub(crate) fn device(info: &MediaDeviceInfo) -> Value {
    let capabilities = match info.kind.media_kind() {
        Some(kind) => capabilities(kind, &info.capabilities),
        None => json!({}),
    };
    json!({
        "deviceId": info.device_id,
        "kind": info.kind.as_str(),
        "label": info.label,
        "groupId": info.group_id,
        "capabilities": capabilities,
    })
}

fn echo(mode: EchoCancellation) -> Value {
    match mode {
        EchoCancellation::Off => false.into(),
        EchoCancellation::On => true.into(),
        EchoCancellation::All => "all".into(),
        EchoCancellation::RemoteOnly => "remote-only".into(),
    }
}

fn range<T: Serialize + Copy>(range: Range<T>) -> Value {
    json!({ "min": range.min, "max": range.max })
}

fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_string(), value?)));
    Value::Object(there.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_constraint_comes_back_as_it_went() {
        for text in [
            r#"{}"#,
            r#"{"width":640,"frameRate":{"min":1.5,"ideal":30.0}}"#,
            r#"{"facingMode":"user","deviceId":["a","b"],"groupId":{"exact":"g","ideal":["h","i"]}}"#,
            r#"{"echoCancellation":"all","autoGainControl":{"exact":true},"noiseSuppression":false}"#,
            r#"{"echoCancellation":{"ideal":[true,"remote-only"]}}"#,
            r#"{"height":{"max":480},"advanced":[{"width":{"exact":1}},{"latency":0.5}]}"#,
        ] {
            let constraints: TrackConstraints = serde_json::from_str(text).unwrap();
            let ours = MediaTrackConstraints::from(constraints);
            let back = serde_json::to_value(TrackConstraints::from(ours)).unwrap();
            assert_eq!(back, serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_kind_is_wanted_by_true_or_by_constraints() {
        let parse = |text: &str| {
            let constraints: StreamConstraints = serde_json::from_str(text).unwrap();
            let ours = MediaStreamConstraints::from(constraints);
            (ours.audio.is_some(), ours.video.is_some())
        };
        assert_eq!(parse("{}"), (false, false));
        assert_eq!(parse(r#"{"audio":true,"video":false}"#), (true, false));
        assert_eq!(parse(r#"{"video":{}}"#), (false, true));
    }
}
