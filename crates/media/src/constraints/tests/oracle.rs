//! The specification read anew, field by field: nothing is shared with what is tested but the types.
//! Random constraints on random settings must come to the same end.

mod wishes;

use super::mode;
use crate::constraints::*;
use crate::{EchoCancellation, MediaTrackCapabilities, MediaTrackSettings, Range};
use proptest::prelude::*;
use wishes::{doubles, numbers, ratios, sets, settings};

fn number(c: &ConstrainDouble, advanced: bool, actual: Option<f64>, applies: bool) -> f64 {
    if let ConstrainNumber::Present(wanted) = c {
        return match (advanced && actual.is_some() != *wanted, applies) {
            (true, _) => f64::INFINITY,
            (false, true) => f64::from(actual.is_some() != *wanted),
            (false, false) => 0.0,
        };
    }
    let (min, max, exact, ideal) = match c {
        ConstrainNumber::Bare(v) if advanced => (None, None, Some(*v), None),
        ConstrainNumber::Bare(v) => (None, None, None, Some(*v)),
        ConstrainNumber::Range(r) => (r.min, r.max, r.exact, r.ideal),
        ConstrainNumber::Present(_) => unreachable!("just returned"),
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
        Some(i) if applies && a != i => (a - i).abs() / a.abs().max(i.abs()),
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

fn each(c: ConstrainDouble, f: impl Fn(f64) -> f64) -> ConstrainDouble {
    match c {
        ConstrainNumber::Bare(v) => ConstrainNumber::Bare(f(v)),
        ConstrainNumber::Present(v) => ConstrainNumber::Present(v),
        ConstrainNumber::Range(r) => ConstrainNumber::Range(ConstrainRange {
            min: r.min.map(&f),
            max: r.max.map(&f),
            exact: r.exact.map(&f),
            ideal: r.ideal.map(&f),
        }),
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
    let ten = |v: f64| (v * 1e10).round() / 1e10;
    let ratio = match (s.width, s.height) {
        (Some(w), Some(h)) if h > 0 => Some(ten(f64::from(w) / f64::from(h))),
        _ => None,
    };
    put(
        "aspectRatio",
        set.aspect_ratio
            .map(|c| number(&each(c, ten), advanced, ratio, v)),
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
    let resize = s.resize_mode.map(|mode| mode.as_str().to_string());
    put(
        "resizeMode",
        set.resize_mode
            .as_ref()
            .map(|c| choice(c, advanced, resize.as_ref(), v)),
    );
    put(
        "sampleRate",
        set.sample_rate
            .map(|c| number(&wide(c), advanced, s.sample_rate.map(f64::from), a)),
    );
    put(
        "sampleSize",
        set.sample_size
            .map(|c| number(&wide(c), advanced, s.sample_size.map(f64::from), a)),
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
        "noiseSuppression",
        set.noise_suppression
            .as_ref()
            .map(|c| choice(c, advanced, s.noise_suppression.as_ref(), a)),
    );
    put(
        "latency",
        set.latency.map(|c| number(&c, advanced, s.latency, a)),
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
    put(
        "groupId",
        set.group_id
            .as_ref()
            .map(|c| choice(c, advanced, s.group_id.as_ref(), true)),
    );
    put(
        "logicalSurface",
        set.logical_surface
            .as_ref()
            .map(|c| choice(c, advanced, s.logical_surface.as_ref(), v)),
    );
    let cursor = s.cursor.map(|cursor| cursor.as_str().to_string());
    put(
        "cursor",
        set.cursor
            .as_ref()
            .map(|c| choice(c, advanced, cursor.as_ref(), v)),
    );
    // displaySurface is a hint and backgroundBlur is not supported: neither counts.
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
                prop_assert!((distance - selected.fit.distance).abs() < 1e-9);
            }
            (Err(error), Err(blamed)) => {
                prop_assert!(blamed.contains(&error.constraint.as_str()), "{error:?}, not {blamed:?}");
            }
            (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Of all sizes that a picture of 48x36 can be cropped and scaled to, the candidates hold one that
    /// fits as well as any, to the pixel: what is left of the tolerance is the ratio's tenth decimal.
    #[test]
    fn the_best_of_all_sizes_is_among_the_candidates(
        width in prop::option::of(numbers(&[1, 7, 20, 33, 48, 60])),
        height in prop::option::of(numbers(&[1, 5, 12, 27, 36, 50])),
        aspect_ratio in prop::option::weighted(0.8, ratios()),
    ) {
        let basic = MediaTrackConstraintSet { width, height, aspect_ratio, ..Default::default() };
        let distance = |settings: &MediaTrackSettings| distance_of(MediaKind::Video, &basic, false, settings);
        let sizes = (1..=48).flat_map(|w| (1..=36).map(move |h| mode(w, h, 30.0)));
        let best = sizes.map(|settings| distance(&settings)).fold(f64::INFINITY, f64::min);
        let modes = [mode(48, 36, 30.0)];
        let all = candidates(MediaKind::Video, &modes, &MediaTrackCapabilities::default(), &basic.clone().into());
        let found = all.iter().map(|c| distance(&c.settings)).fold(f64::INFINITY, f64::min);
        prop_assert!(found <= best + 1e-9, "{found} where {best} is possible");
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
    let ratio = prop::option::weighted(0.4, ratios());
    (some(0.6), some(0.6), ratio, rate).prop_map(|(width, height, aspect_ratio, frame_rate)| {
        MediaTrackConstraintSet {
            width,
            height,
            aspect_ratio,
            frame_rate,
            ..Default::default()
        }
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
        free in any::<bool>(),
    ) {
        let kind = MediaKind::Video;
        let constraints = MediaTrackConstraints { basic, advanced };
        let sizes = (1..=24).flat_map(|w| (1..=18).map(move |h| (w, h)));
        let everything: Vec<Candidate> = sizes
            .flat_map(|(w, h)| [1.0, 5.0, 10.0, 15.0, 30.0].map(|rate| mode(w, h, rate).into()))
            .collect();
        let nothing = MediaTrackCapabilities::default();
        let free = if free {
            // Whatever it is set to now, it can be set to all of it.
            let sides = |max| Some(Range { min: 1, max });
            MediaTrackCapabilities { width: sides(24), height: sides(18), ..nothing }
        } else {
            nothing
        };
        let ours = candidates(kind, &[mode(24, 18, 30.0)], &free, &constraints);
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
                let ours = selected.fit.distance;
                prop_assert!(ours <= best + 1e-9, "{ours} where {best} is possible: {chosen:?}");
            }
            (Err(error), Err(blamed)) => {
                prop_assert!(blamed.contains(&error.constraint.as_str()), "{error:?}, not {blamed:?}");
            }
            (got, best) => prop_assert!(false, "{got:?} instead of {best:?}"),
        }
    }
}
