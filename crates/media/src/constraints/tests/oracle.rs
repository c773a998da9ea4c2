//! The specification read anew, field by field: nothing is shared with what is tested but the types.
//! Random constraints on random settings must come to the same end.

use super::mode;
use crate::constraints::*;
use crate::{EchoCancellation, MediaTrackCapabilities, MediaTrackSettings, VideoFacingMode};
use proptest::prelude::*;

fn number(c: &ConstrainDouble, advanced: bool, actual: Option<f64>, applies: bool) -> f64 {
    let (min, max, exact, ideal) = match c {
        ConstrainNumber::Bare(v) if advanced => (None, None, Some(*v), None),
        ConstrainNumber::Bare(v) => (None, None, None, Some(*v)),
        ConstrainNumber::Range(r) => (r.min, r.max, r.exact, r.ideal),
        ConstrainNumber::Present(_) => unreachable!("not generated"),
    };
    if (min, max, exact, ideal) == (None, None, None, None) {
        return 0.0;
    }
    let required = min.is_some() || max.is_some() || exact.is_some();
    let Some(a) = actual else {
        return if required {
            f64::INFINITY
        } else if applies {
            1.0
        } else {
            0.0
        };
    };
    if min.is_some_and(|m| a < m) || max.is_some_and(|m| a > m) || exact.is_some_and(|e| a != e) {
        return f64::INFINITY;
    }
    match ideal {
        Some(i) if applies && a != i => (a - i).abs() / a.max(i),
        _ => 0.0,
    }
}

fn choice<T: PartialEq + Clone>(
    c: &ConstrainChoice<T>,
    advanced: bool,
    actual: Option<&T>,
    applies: bool,
) -> f64 {
    let (exact, ideal) = match c {
        ConstrainChoice::Bare(v) if advanced => (v.clone(), vec![]),
        ConstrainChoice::Bare(v) => (vec![], v.clone()),
        ConstrainChoice::Parameters { exact, ideal } => (exact.clone(), ideal.clone()),
    };
    if exact.is_empty() && ideal.is_empty() {
        return 0.0;
    }
    if !exact.is_empty() && !actual.is_some_and(|a| exact.contains(a)) {
        return f64::INFINITY;
    }
    match actual {
        _ if !applies => 0.0,
        None => 1.0,
        Some(a) => f64::from(!ideal.is_empty() && !ideal.contains(a)),
    }
}

fn wide(c: ConstrainULong) -> ConstrainDouble {
    match c {
        ConstrainNumber::Bare(v) => ConstrainNumber::Bare(v.into()),
        ConstrainNumber::Present(v) => ConstrainNumber::Present(v),
        ConstrainNumber::Range(r) => ConstrainNumber::Range(ConstrainRange {
            min: r.min.map(f64::from),
            max: r.max.map(f64::from),
            exact: r.exact.map(f64::from),
            ideal: r.ideal.map(f64::from),
        }),
    }
}

/// Name and distance of each constraint of the set, in the specification's order.
fn parts(
    kind: MediaKind,
    set: &MediaTrackConstraintSet,
    advanced: bool,
    s: &MediaTrackSettings,
) -> Vec<(&'static str, f64)> {
    let (v, a) = (kind == MediaKind::Video, kind == MediaKind::Audio);
    let mut parts = Vec::new();
    let mut put = |name, distance: Option<f64>| parts.extend(distance.map(|d| (name, d)));
    put(
        "width",
        set.width
            .map(|c| number(&wide(c), advanced, s.width.map(f64::from), v)),
    );
    put(
        "height",
        set.height
            .map(|c| number(&wide(c), advanced, s.height.map(f64::from), v)),
    );
    put(
        "frameRate",
        set.frame_rate
            .map(|c| number(&c, advanced, s.frame_rate, v)),
    );
    let facing = s.facing_mode.map(|mode| mode.as_str().to_string());
    put(
        "facingMode",
        set.facing_mode
            .as_ref()
            .map(|c| choice(c, advanced, facing.as_ref(), v)),
    );
    put(
        "sampleRate",
        set.sample_rate
            .map(|c| number(&wide(c), advanced, s.sample_rate.map(f64::from), a)),
    );
    let echo = s.echo_cancellation.map(|mode| match mode {
        EchoCancellation::Off => BooleanOrString::Boolean(false),
        EchoCancellation::On => BooleanOrString::Boolean(true),
        EchoCancellation::All => BooleanOrString::String("all".into()),
        EchoCancellation::RemoteOnly => BooleanOrString::String("remote-only".into()),
    });
    put(
        "echoCancellation",
        set.echo_cancellation
            .as_ref()
            .map(|c| choice(c, advanced, echo.as_ref(), a)),
    );
    put(
        "autoGainControl",
        set.auto_gain_control
            .as_ref()
            .map(|c| choice(c, advanced, s.auto_gain_control.as_ref(), a)),
    );
    put(
        "channelCount",
        set.channel_count
            .map(|c| number(&wide(c), advanced, s.channel_count.map(f64::from), a)),
    );
    put(
        "deviceId",
        set.device_id
            .as_ref()
            .map(|c| choice(c, advanced, s.device_id.as_ref(), true)),
    );
    parts
}

fn distance_of(
    kind: MediaKind,
    set: &MediaTrackConstraintSet,
    advanced: bool,
    s: &MediaTrackSettings,
) -> f64 {
    parts(kind, set, advanced, s).iter().map(|(_, d)| d).sum()
}

/// All candidates that may be selected, or all names that may be blamed.
fn allowed(
    kind: MediaKind,
    all: &[Candidate],
    c: &MediaTrackConstraints,
) -> Result<Vec<usize>, Vec<&'static str>> {
    let basic = |i: &usize| distance_of(kind, &c.basic, false, &all[*i].settings);
    let mut left: Vec<usize> = (0..all.len()).filter(|i| basic(i).is_finite()).collect();
    if left.is_empty() {
        let named = parts(kind, &c.basic, false, &MediaTrackSettings::default());
        let blamed: Vec<_> = named
            .iter()
            .map(|(name, _)| *name)
            .filter(|name| {
                all.iter().all(|s| {
                    parts(kind, &c.basic, false, &s.settings)
                        .iter()
                        .any(|(n, d)| n == name && d.is_infinite())
                })
            })
            .collect();
        return Err(if all.is_empty() || blamed.is_empty() {
            [vec![""], blamed].concat()
        } else {
            blamed
        });
    }
    for set in &c.advanced {
        let kept: Vec<usize> = left
            .iter()
            .copied()
            .filter(|i| distance_of(kind, set, true, &all[*i].settings).is_finite())
            .collect();
        if !kept.is_empty() {
            left = kept;
        }
    }
    let least = left.iter().map(basic).fold(f64::INFINITY, f64::min);
    Ok(left
        .into_iter()
        .filter(|i| (basic(i) - least).abs() < 1e-9)
        .collect())
}

fn numbers(values: &'static [u32]) -> impl Strategy<Value = ConstrainULong> {
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
    ]
}

fn doubles(values: &'static [u32]) -> impl Strategy<Value = ConstrainDouble> {
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

fn sets() -> impl Strategy<Value = MediaTrackConstraintSet> {
    let names = |list: &[&str]| list.iter().map(|s| (*s).to_string()).collect::<Vec<_>>();
    let echo: Vec<BooleanOrString> =
        vec![true.into(), false.into(), "all".into(), "nonsense".into()];
    let rare = |p: f64| prop::option::weighted(p, Just(()));
    let video = (
        numbers(SIZES),
        numbers(SIZES),
        doubles(RATES),
        choices(names(&["user", "left", "up"])),
    );
    let audio = (
        numbers(&[8_000, 48_000]),
        choices(echo),
        choices(vec![true, false]),
        numbers(&[1, 2, 6]),
    );
    let which = (
        rare(0.4),
        rare(0.4),
        rare(0.4),
        rare(0.2),
        rare(0.2),
        rare(0.2),
        rare(0.2),
        rare(0.2),
        rare(0.2),
    );
    (video, audio, choices(names(&["a", "b", "c"])), which).prop_map(|(v, a, d, w)| {
        MediaTrackConstraintSet {
            width: w.0.map(|()| v.0),
            height: w.1.map(|()| v.1),
            frame_rate: w.2.map(|()| v.2),
            facing_mode: w.3.map(|()| v.3),
            sample_rate: w.4.map(|()| a.0),
            echo_cancellation: w.5.map(|()| a.1),
            auto_gain_control: w.6.map(|()| a.2),
            channel_count: w.7.map(|()| a.3),
            device_id: w.8.map(|()| d),
            ..Default::default()
        }
    })
}

fn settings() -> impl Strategy<Value = Candidate> {
    let one = |values: &'static [u32]| prop::option::weighted(0.9, prop::sample::select(values));
    let facing = prop::option::of(prop::sample::select(vec![
        VideoFacingMode::User,
        VideoFacingMode::Left,
    ]));
    let echo = prop::option::of(prop::sample::select(vec![
        EchoCancellation::On,
        EchoCancellation::Off,
        EchoCancellation::All,
    ]));
    let audio = (
        one(&[8_000, 48_000]),
        one(&[1, 2]),
        echo,
        prop::option::of(any::<bool>()),
    );
    let device = prop::option::weighted(0.9, prop::sample::select(vec!["a", "b"]));
    (one(SIZES), one(SIZES), one(RATES), facing, audio, device).prop_map(|(w, h, r, f, a, d)| {
        MediaTrackSettings {
            width: w,
            height: h,
            frame_rate: r.map(f64::from),
            facing_mode: f,
            sample_rate: a.0,
            channel_count: a.1,
            echo_cancellation: a.2,
            auto_gain_control: a.3,
            device_id: d.map(Into::into),
            ..Default::default()
        }
        .into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn selection_is_what_the_specification_says(
        audio in any::<bool>(),
        all in prop::collection::vec(settings(), 0..12),
        basic in sets(),
        advanced in prop::collection::vec(sets(), 0..4),
    ) {
        let kind = if audio { MediaKind::Audio } else { MediaKind::Video };
        let constraints = MediaTrackConstraints { basic, advanced };
        let got = select_settings(kind, &all, &constraints, &default_settings(kind));
        match (got, allowed(kind, &all, &constraints)) {
            (Ok(selected), Ok(allowed)) => {
                prop_assert!(allowed.contains(&selected.index), "{selected:?} is not of {allowed:?}");
                let distance = distance_of(kind, &constraints.basic, false, &all[selected.index].settings);
                prop_assert!((distance - selected.fitness_distance).abs() < 1e-9);
            }
            (Err(error), Err(blamed)) => {
                prop_assert!(blamed.contains(&error.constraint.as_str()), "{error:?}, not {blamed:?}");
            }
            (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of all sizes that a picture of 48x36 can be cropped and scaled to, the candidates hold one that
    /// fits as well as any.
    #[test]
    fn the_best_of_all_sizes_is_among_the_candidates(
        width in prop::option::of(numbers(&[1, 7, 20, 33, 48, 60])),
        height in prop::option::of(numbers(&[1, 5, 12, 27, 36, 50])),
        ratio in prop::option::of(prop::sample::select(vec![1.0, 4.0 / 3.0, 16.0 / 9.0, 0.75])),
        required in any::<bool>(),
    ) {
        let aspect_ratio = ratio.map(|r| if required { ConstrainDouble::exact(r) } else { r.into() });
        let basic = MediaTrackConstraintSet { width, height, aspect_ratio, ..Default::default() };
        let distance = |settings: &MediaTrackSettings| fitness_distance(MediaKind::Video, settings, &basic);
        let sizes = (1..=48).flat_map(|w| (1..=36).map(move |h| mode(w, h, 30.0)));
        let best = sizes.map(|settings| distance(&settings)).fold(f64::INFINITY, f64::min);
        let modes = [mode(48, 36, 30.0)];
        let all = candidates(MediaKind::Video, &modes, &MediaTrackCapabilities::default(), &basic.clone().into());
        let found = all.iter().map(|c| distance(&c.settings)).fold(f64::INFINITY, f64::min);
        prop_assert!(found <= best + 0.01, "{found} where {best} is possible");
        for candidate in &all {
            prop_assert!(candidate.settings.width <= Some(48) && candidate.settings.height <= Some(36));
        }
    }
}

/// Which advanced sets count, in their order, of all that could be chosen from.
fn counting(kind: MediaKind, all: &[Candidate], c: &MediaTrackConstraints) -> Vec<bool> {
    let meets =
        |set, advanced, i: usize| distance_of(kind, set, advanced, &all[i].settings).is_finite();
    let mut left: Vec<usize> = (0..all.len())
        .filter(|i| meets(&c.basic, false, *i))
        .collect();
    let sets = c.advanced.iter();
    sets.map(|set| {
        let kept: Vec<usize> = left
            .iter()
            .copied()
            .filter(|i| meets(set, true, *i))
            .collect();
        let counts = !kept.is_empty();
        if counts {
            left = kept;
        }
        counts
    })
    .collect()
}

fn pictures() -> impl Strategy<Value = MediaTrackConstraintSet> {
    let sides: &[u32] = &[1, 7, 12, 18, 20, 24, 30];
    let some = |p: f64| prop::option::weighted(p, numbers(sides));
    let rate = prop::option::weighted(0.4, doubles(&[5, 10, 15, 30, 60]));
    (some(0.6), some(0.6), rate).prop_map(|(width, height, frame_rate)| MediaTrackConstraintSet {
        width,
        height,
        frame_rate,
        ..Default::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What is chosen from the candidates is as good as what would be chosen from every size and rate
    /// that a camera of 24x18 at 30 a second can be brought to, advanced sets and all.
    #[test]
    fn a_choice_from_the_candidates_is_as_good_as_one_from_everything(
        basic in pictures(),
        advanced in prop::collection::vec(pictures(), 0..3),
    ) {
        let kind = MediaKind::Video;
        let constraints = MediaTrackConstraints { basic, advanced };
        let sizes = (1..=24).flat_map(|w| (1..=18).map(move |h| (w, h)));
        let everything: Vec<Candidate> = sizes
            .flat_map(|(w, h)| [1.0, 5.0, 10.0, 15.0, 30.0].map(|rate| mode(w, h, rate).into()))
            .collect();
        let nothing = MediaTrackCapabilities::default();
        let ours = candidates(kind, &[mode(24, 18, 30.0)], &nothing, &constraints);
        let got = select_settings(kind, &ours, &constraints, &default_settings(kind));
        match (got, allowed(kind, &everything, &constraints)) {
            (Ok(selected), Ok(best)) => {
                let chosen = &ours[selected.index].settings;
                let count = counting(kind, &everything, &constraints);
                for (set, counts) in constraints.advanced.iter().zip(count) {
                    let met = distance_of(kind, set, true, chosen).is_finite();
                    prop_assert!(met || !counts, "{chosen:?} fails {set:?}");
                }
                let best = distance_of(kind, &constraints.basic, false, &everything[best[0]].settings);
                let ours = selected.fitness_distance;
                prop_assert!(ours <= best + 1e-9, "{ours} where {best} is possible: {chosen:?}");
            }
            (Err(_), Err(_)) => {}
            (got, best) => prop_assert!(false, "{got:?} instead of {best:?}"),
        }
    }
}
