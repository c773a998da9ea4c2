//! Random constraints and random settings.

use crate::constraints::*;
use crate::{
    CursorCaptureConstraint, EchoCancellation, MediaTrackSettings, VideoFacingMode, VideoResizeMode,
};
use proptest::prelude::*;

pub(super) fn numbers(values: &'static [u32]) -> impl Strategy<Value = ConstrainULong> {
    let one = || prop::option::of(prop::sample::select(values));
    prop_oneof![
        prop::sample::select(values).prop_map(ConstrainNumber::Bare),
        (one(), one(), one(), one()).prop_map(|(min, max, exact, ideal)| {
            ConstrainNumber::Range(ConstrainRange {
                min,
                max,
                exact,
                ideal,
            })
        }),
        prop::sample::select(values).prop_map(ConstrainNumber::ideal),
        prop::sample::select(values).prop_map(ConstrainNumber::min),
        prop::sample::select(values).prop_map(ConstrainNumber::max),
        any::<bool>().prop_map(ConstrainNumber::Present),
    ]
}

pub(super) fn ratios() -> impl Strategy<Value = ConstrainDouble> {
    const RATIOS: &[f64] = &[4.0 / 3.0, 16.0 / 9.0, 1.0, 1.5, 0.75, 0.47, 2.35];
    let one = || prop::sample::select(RATIOS);
    let maybe = || prop::option::of(one());
    prop_oneof![
        (maybe(), maybe(), maybe()).prop_map(|(min, max, ideal)| {
            let exact = None;
            ConstrainNumber::Range(ConstrainRange {
                min,
                max,
                exact,
                ideal,
            })
        }),
        one().prop_map(ConstrainNumber::Bare),
        one().prop_map(ConstrainNumber::exact),
        one().prop_map(ConstrainNumber::ideal),
        one().prop_map(ConstrainNumber::min),
        one().prop_map(ConstrainNumber::max),
    ]
}

pub(super) fn doubles(values: &'static [u32]) -> impl Strategy<Value = ConstrainDouble> {
    numbers(values).prop_map(|constraint| match constraint {
        ConstrainNumber::Bare(v) => ConstrainNumber::Bare(v.into()),
        ConstrainNumber::Present(v) => ConstrainNumber::Present(v),
        ConstrainNumber::Range(r) => ConstrainNumber::Range(ConstrainRange {
            min: r.min.map(f64::from),
            max: r.max.map(f64::from),
            exact: r.exact.map(f64::from),
            ideal: r.ideal.map(f64::from),
        }),
    })
}

fn choices<T: Clone + std::fmt::Debug + 'static>(
    values: Vec<T>,
) -> impl Strategy<Value = ConstrainChoice<T>> {
    let some = move || prop::collection::vec(prop::sample::select(values.clone()), 0..3);
    prop_oneof![
        some().prop_map(ConstrainChoice::Bare),
        (some(), some()).prop_map(|(exact, ideal)| ConstrainChoice::Parameters { exact, ideal }),
    ]
}

const SIZES: &[u32] = &[0, 240, 320, 480, 640, 720, 1280];
const RATES: &[u32] = &[1, 15, 30, 60];

/// Sets with terms for any of the properties, a few at a time.
pub(super) fn sets() -> impl Strategy<Value = MediaTrackConstraintSet> {
    fn rare<S: Strategy>(p: f64, of: S) -> impl Strategy<Value = Option<S::Value>> {
        prop::option::weighted(p, of)
    }
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_string()).collect::<Vec<_>>();
    let flags = || choices(vec![true, false]);
    let echo: Vec<BooleanOrString> =
        vec![true.into(), false.into(), "all".into(), "nonsense".into()];
    let video = (
        rare(0.4, numbers(SIZES)),
        rare(0.4, numbers(SIZES)),
        rare(0.15, ratios()),
        rare(0.4, doubles(RATES)),
        rare(0.2, choices(names(&["user", "left", "up"]))),
        rare(0.15, choices(names(&["none", "crop-and-scale", "stretch"]))),
        rare(0.1, choices(names(&["monitor", "browser"]))),
        rare(0.1, flags()),
        rare(0.1, choices(names(&["never", "always", "motion"]))),
        rare(0.1, flags()),
    );
    let audio = (
        rare(0.2, numbers(&[8_000, 48_000])),
        rare(0.15, numbers(&[16, 24])),
        rare(0.2, choices(echo)),
        rare(0.2, flags()),
        rare(0.15, flags()),
        rare(0.15, doubles(&[1, 2])),
        rare(0.2, numbers(&[1, 2, 6])),
    );
    let ids = (
        rare(0.2, choices(names(&["a", "b", "c"]))),
        rare(0.1, choices(names(&["a", "b", "c"]))),
    );
    (video, audio, ids).prop_map(|(v, a, i)| MediaTrackConstraintSet {
        width: v.0,
        height: v.1,
        aspect_ratio: v.2,
        frame_rate: v.3,
        facing_mode: v.4,
        resize_mode: v.5,
        display_surface: v.6,
        logical_surface: v.7,
        cursor: v.8,
        background_blur: v.9,
        sample_rate: a.0,
        sample_size: a.1,
        echo_cancellation: a.2,
        auto_gain_control: a.3,
        noise_suppression: a.4,
        latency: a.5,
        channel_count: a.6,
        device_id: i.0,
        group_id: i.1,
    })
}

pub(super) fn settings() -> impl Strategy<Value = Candidate> {
    let one = |values: &'static [u32]| prop::option::weighted(0.9, prop::sample::select(values));
    fn any_of<T: Clone + std::fmt::Debug + 'static>(
        values: Vec<T>,
    ) -> impl Strategy<Value = Option<T>> {
        prop::option::of(prop::sample::select(values))
    }
    let video = (
        one(SIZES),
        one(SIZES),
        one(RATES),
        any_of(vec![VideoFacingMode::User, VideoFacingMode::Left]),
        any_of(vec![VideoResizeMode::None, VideoResizeMode::CropAndScale]),
        any_of(vec![true, false]),
        any_of(vec![
            CursorCaptureConstraint::Always,
            CursorCaptureConstraint::Never,
        ]),
    );
    let audio = (
        one(&[8_000, 48_000]),
        one(&[16, 24]),
        one(&[1, 2]),
        any_of(vec![
            EchoCancellation::On,
            EchoCancellation::Off,
            EchoCancellation::All,
        ]),
        any_of(vec![true, false]),
        any_of(vec![true, false]),
        one(&[1, 2]),
    );
    let id = || prop::option::weighted(0.9, prop::sample::select(vec!["a", "b"]));
    (video, audio, id(), id()).prop_map(|(v, a, device, group)| {
        MediaTrackSettings {
            width: v.0,
            height: v.1,
            frame_rate: v.2.map(f64::from),
            facing_mode: v.3,
            resize_mode: v.4,
            logical_surface: v.5,
            cursor: v.6,
            sample_rate: a.0,
            sample_size: a.1,
            channel_count: a.2,
            echo_cancellation: a.3,
            auto_gain_control: a.4,
            noise_suppression: a.5,
            latency: a.6.map(f64::from),
            device_id: device.map(Into::into),
            group_id: group.map(Into::into),
            ..Default::default()
        }
        .into()
    })
}
