//! The algorithms in scenarios; `oracle` holds them against a second reading of the specification.

mod oracle;

use super::*;
use crate::{EchoCancellation, MediaTrackCapabilities, MediaTrackSettings, Range, VideoResizeMode};

fn mode(width: u32, height: u32, frame_rate: f64) -> MediaTrackSettings {
    MediaTrackSettings {
        width: Some(width),
        height: Some(height),
        frame_rate: Some(frame_rate),
        device_id: Some("cam".into()),
        ..Default::default()
    }
}

fn select(
    modes: &[MediaTrackSettings],
    constraints: impl Into<MediaTrackConstraints>,
) -> Result<MediaTrackSettings, OverconstrainedError> {
    let (kind, constraints) = (MediaKind::Video, constraints.into());
    let all = candidates(
        kind,
        modes,
        &MediaTrackCapabilities::default(),
        &constraints,
    );
    let selected = select_settings(kind, &all, &constraints, &default_settings(kind))?;
    Ok(all[selected.index].settings.clone())
}

fn size(settings: &MediaTrackSettings) -> (u32, u32, f64) {
    let rate = settings.frame_rate.unwrap();
    (settings.width.unwrap(), settings.height.unwrap(), rate)
}

fn of(basic: MediaTrackConstraintSet) -> MediaTrackConstraints {
    basic.into()
}

fn camera() -> [MediaTrackSettings; 4] {
    [
        mode(320, 240, 30.0),
        mode(640, 480, 30.0),
        mode(1280, 720, 30.0),
        mode(1920, 1080, 15.0),
    ]
}

#[test]
fn nothing_asked_gives_what_browsers_give() {
    let chosen = select(&camera(), MediaTrackConstraints::default()).unwrap();
    assert_eq!(size(&chosen), (640, 480, 30.0));
    assert_eq!(chosen.resize_mode, Some(VideoResizeMode::None));
    let chosen = select(&[mode(1280, 720, 60.0)], MediaTrackConstraints::default()).unwrap();
    assert_eq!(size(&chosen), (1280, 720, 60.0), "nobody asked to crop");
}

#[test]
fn a_native_mode_comes_before_a_made_one() {
    let hd = MediaTrackConstraintSet {
        width: Some(1280.into()),
        height: Some(720.into()),
        ..Default::default()
    };
    let chosen = select(&camera(), of(hd)).unwrap();
    assert_eq!(size(&chosen), (1280, 720, 30.0));
    assert_eq!(chosen.resize_mode, Some(VideoResizeMode::None));
}

#[test]
fn a_size_between_modes_is_made_without_cropping() {
    let width = |constraint| MediaTrackConstraintSet {
        width: Some(constraint),
        ..Default::default()
    };
    let chosen = select(
        &[mode(1280, 720, 30.0)],
        of(width(ConstrainULong::exact(500))),
    )
    .unwrap();
    assert_eq!(size(&chosen), (500, 281, 30.0));
    assert_eq!(chosen.resize_mode, Some(VideoResizeMode::CropAndScale));
    let native_only = MediaTrackConstraintSet {
        resize_mode: Some(ConstrainDOMString::exact("none")),
        ..width(500.into())
    };
    assert_eq!(
        size(&select(&camera(), of(native_only)).unwrap()),
        (640, 480, 30.0)
    );
    let error = select(&camera(), of(width(ConstrainULong::min(4_000)))).unwrap_err();
    assert_eq!(error.constraint, "width");
}

#[test]
fn a_ratio_is_met_to_its_tenth_decimal() {
    let ratio = |ratio: f64| {
        of(MediaTrackConstraintSet {
            aspect_ratio: Some(ConstrainDouble::exact(ratio)),
            ..Default::default()
        })
    };
    assert_eq!(
        size(&select(&[mode(640, 480, 30.0)], ratio(16.0 / 9.0)).unwrap()),
        (640, 360, 30.0)
    );
    assert_eq!(
        size(&select(&[mode(1280, 720, 30.0)], ratio(4.0 / 3.0)).unwrap()),
        (960, 720, 30.0)
    );
    assert_eq!(
        size(&select(&camera(), ratio(4.0 / 3.0)).unwrap()),
        (640, 480, 30.0)
    );
}

#[test]
fn frames_are_left_out_where_a_lower_rate_is_asked_for() {
    let slow = MediaTrackConstraintSet {
        frame_rate: Some(ConstrainDouble::max(12.5)),
        ..Default::default()
    };
    let chosen = select(&camera(), of(slow)).unwrap();
    assert_eq!(size(&chosen), (640, 480, 12.5));
    assert_eq!(chosen.resize_mode, Some(VideoResizeMode::CropAndScale));
}

#[test]
fn advanced_sets_are_met_in_order_as_a_whole_or_not_at_all() {
    let advanced = |width: u32, frame_rate: f64| MediaTrackConstraintSet {
        width: Some(width.into()),
        frame_rate: Some(ConstrainDouble::min(frame_rate)),
        ..Default::default()
    };
    let constraints = MediaTrackConstraints {
        basic: MediaTrackConstraintSet::default(),
        advanced: vec![
            advanced(1920, 30.0),
            advanced(1280, 30.0),
            advanced(320, 1.0),
        ],
    };
    assert_eq!(
        size(&select(&camera(), constraints).unwrap()),
        (1280, 720, 30.0)
    );
}

#[test]
fn the_error_names_a_constraint_only_if_it_alone_is_at_fault() {
    let none = |set: MediaTrackConstraintSet| {
        let set = MediaTrackConstraintSet {
            resize_mode: Some(ConstrainDOMString::exact("none")),
            ..set
        };
        select(&camera(), of(set)).unwrap_err().constraint
    };
    let both = MediaTrackConstraintSet {
        width: Some(ConstrainULong::exact(1920)),
        frame_rate: Some(ConstrainDouble::min(20.0)),
        ..Default::default()
    };
    assert_eq!(none(both), "");
    let device = MediaTrackConstraintSet {
        device_id: Some(ConstrainDOMString::exact("other")),
        ..Default::default()
    };
    assert_eq!(none(device), "deviceId");
    let facing = MediaTrackConstraintSet {
        facing_mode: Some(ConstrainDOMString::exact("user")),
        ..Default::default()
    };
    assert_eq!(
        none(facing),
        "facingMode",
        "what is unknown does not meet a requirement"
    );
}

#[test]
fn an_empty_list_is_no_constraint_and_any_of_a_list_will_do() {
    let device = |terms: ConstrainDOMString| {
        let set = MediaTrackConstraintSet {
            device_id: Some(terms),
            ..Default::default()
        };
        (set.required().count(), select(&camera(), of(set)).is_ok())
    };
    let exact = |list: &[&str]| ConstrainChoice::Parameters {
        exact: list.iter().map(|s| (*s).to_string()).collect(),
        ideal: Vec::new(),
    };
    assert_eq!(device(exact(&[])), (0, true));
    assert_eq!(device(exact(&["other", "cam"])), (1, true));
    assert_eq!(device(exact(&["other"])), (1, false));
    assert_eq!(device(ConstrainChoice::Bare(vec![])), (0, true));
}

#[test]
fn what_belongs_to_the_other_kind_is_dropped_for_a_device_and_required_of_a_track() {
    let audio = MediaTrackConstraintSet {
        sample_rate: Some(ConstrainULong::exact(48_000)),
        width: Some(ConstrainULong::exact(640)),
        ..Default::default()
    };
    let constraints = of(audio).for_kind(MediaKind::Audio);
    assert_eq!(constraints.basic.width, None);
    assert!(constraints.basic.sample_rate.is_some());
    let ideal = MediaTrackConstraintSet {
        width: Some(640.into()),
        ..Default::default()
    };
    let settings = MediaTrackSettings::default();
    assert_eq!(fitness_distance(MediaKind::Audio, &settings, &ideal), 0.0);
    assert_eq!(fitness_distance(MediaKind::Video, &settings, &ideal), 1.0);
}

#[test]
fn presence_can_be_asked_for_instead_of_a_value() {
    let present = |wanted| MediaTrackConstraintSet {
        latency: Some(ConstrainDouble::Present(wanted)),
        ..Default::default()
    };
    let with = MediaTrackSettings {
        latency: Some(0.01),
        ..Default::default()
    };
    let without = MediaTrackSettings::default();
    let distance = |set: &_, settings: &_| fitness_distance(MediaKind::Audio, settings, set);
    assert_eq!(distance(&present(true), &with), 0.0);
    assert_eq!(distance(&present(true), &without), 1.0);
    assert_eq!(distance(&present(false), &with), 1.0);
    assert_eq!(distance(&present(false), &without), 0.0);
}

#[test]
fn sound_is_chosen_from_ranges_and_lists() {
    let free = MediaTrackCapabilities {
        sample_rate: Some(Range {
            min: 8_000,
            max: 96_000,
        }),
        channel_count: Some(Range { min: 1, max: 2 }),
        echo_cancellation: vec![EchoCancellation::On, EchoCancellation::Off],
        ..Default::default()
    };
    let own = MediaTrackSettings {
        sample_rate: Some(48_000),
        channel_count: Some(2),
        echo_cancellation: Some(EchoCancellation::Off),
        ..Default::default()
    };
    let choose = |set: MediaTrackConstraintSet| {
        let (kind, set) = (MediaKind::Audio, of(set));
        let all = candidates(kind, std::slice::from_ref(&own), &free, &set);
        let selected = select_settings(kind, &all, &set, &default_settings(kind));
        selected.map(|selected| all[selected.index].settings.clone())
    };
    let usual = choose(MediaTrackConstraintSet::default()).unwrap();
    assert_eq!(usual.echo_cancellation, Some(EchoCancellation::On));
    assert_eq!(usual.sample_rate, Some(48_000));
    let asked = choose(MediaTrackConstraintSet {
        sample_rate: Some(ConstrainULong::exact(44_100)),
        channel_count: Some(6.into()),
        echo_cancellation: Some(false.into()),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(
        (asked.sample_rate, asked.channel_count),
        (Some(44_100), Some(2))
    );
    assert_eq!(asked.echo_cancellation, Some(EchoCancellation::Off));
    let error = choose(MediaTrackConstraintSet {
        echo_cancellation: Some(ConstrainBooleanOrDOMString::exact("all")),
        ..Default::default()
    });
    assert_eq!(error.unwrap_err().constraint, "echoCancellation");
}
