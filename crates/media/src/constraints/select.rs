//! [SelectSettings](https://w3c.github.io/mediacapture-main/#dfn-selectsettings).

use super::constrain::Bare;
use super::fitness::Demands;
use super::{Candidate, MediaTrackConstraintSet, MediaTrackConstraints, OverconstrainedError};
use crate::{EchoCancellation, MediaKind, MediaTrackSettings, VideoResizeMode};

/// What [`select_settings`] chose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selected {
    /// Its place among the candidates.
    pub index: usize,
    /// Its fitness distance from the basic constraints. `getUserMedia` compares devices by it.
    pub fitness_distance: f64,
}

/// Chooses the candidate that fits best: of those that meet the basic constraints, narrowed by each
/// advanced set that any of them meets, one at the smallest distance. Between equals a picture that
/// shows all that the camera sees comes first, then what is nearest to `defaults`
/// ([`default_settings`] are the specification's), then what is listed first.
///
/// # Errors
/// [`OverconstrainedError`] if no candidate meets the basic constraints.
pub fn select_settings(
    kind: MediaKind,
    candidates: &[Candidate],
    constraints: &MediaTrackConstraints,
    defaults: &MediaTrackSettings,
) -> Result<Selected, OverconstrainedError> {
    let basic = Demands::new(kind, &constraints.basic, Bare::Ideal);
    let mut left: Vec<(usize, f64)> = candidates
        .iter()
        .map(|candidate| basic.distance(&candidate.settings))
        .enumerate()
        .filter(|(_, distance)| distance.is_finite())
        .collect();
    if left.is_empty() {
        return Err(overconstrained(&basic, candidates));
    }
    for set in &constraints.advanced {
        let set = Demands::new(kind, set, Bare::Exact);
        let met = |(index, _): &(usize, f64)| set.met_by(&candidates[*index].settings);
        if left.iter().any(met) {
            left.retain(met);
        }
    }
    let least = left
        .iter()
        .fold(f64::INFINITY, |least, (_, distance)| least.min(*distance));
    let usual = as_ideals(defaults);
    let usual = Demands::new(kind, &usual, Bare::Ideal);
    let (index, fitness_distance) = left
        .into_iter()
        .filter(|(_, distance)| *distance == least)
        .min_by(|(a, _), (b, _)| {
            let (a, b) = (&candidates[*a], &candidates[*b]);
            let by_default = usual
                .distance(&a.settings)
                .total_cmp(&usual.distance(&b.settings));
            a.is_cropped().cmp(&b.is_cropped()).then(by_default)
        })
        .ok_or_else(|| overconstrained(&basic, candidates))?;
    Ok(Selected {
        index,
        fitness_distance,
    })
}

/// What browsers choose where nothing else decides: 640x480, 30 frames a second, not resized, echo
/// cancellation on.
pub fn default_settings(kind: MediaKind) -> MediaTrackSettings {
    match kind {
        MediaKind::Video => MediaTrackSettings {
            width: Some(640),
            height: Some(480),
            frame_rate: Some(30.0),
            resize_mode: Some(VideoResizeMode::None),
            ..Default::default()
        },
        MediaKind::Audio => MediaTrackSettings {
            echo_cancellation: Some(EchoCancellation::On),
            ..Default::default()
        },
    }
}

fn as_ideals(settings: &MediaTrackSettings) -> MediaTrackConstraintSet {
    let text = |value: Option<&str>| value.map(Into::into);
    MediaTrackConstraintSet {
        width: settings.width.map(Into::into),
        height: settings.height.map(Into::into),
        frame_rate: settings.frame_rate.map(Into::into),
        facing_mode: text(settings.facing_mode.map(|mode| mode.as_str())),
        resize_mode: text(settings.resize_mode.map(|mode| mode.as_str())),
        sample_rate: settings.sample_rate.map(Into::into),
        sample_size: settings.sample_size.map(Into::into),
        echo_cancellation: settings
            .echo_cancellation
            .map(|mode| mode.to_value().into()),
        auto_gain_control: settings.auto_gain_control.map(Into::into),
        noise_suppression: settings.noise_suppression.map(Into::into),
        latency: settings.latency.map(Into::into),
        channel_count: settings.channel_count.map(Into::into),
        device_id: text(settings.device_id.as_deref()),
        group_id: text(settings.group_id.as_deref()),
        background_blur: settings.background_blur.map(Into::into),
        // It follows from width and height.
        aspect_ratio: None,
    }
}

fn overconstrained(basic: &Demands<'_>, candidates: &[Candidate]) -> OverconstrainedError {
    match basic.never_met(candidates) {
        Some(property) => OverconstrainedError {
            constraint: property.name().into(),
            message: format!("nothing meets the required constraint on {property}"),
        },
        None => OverconstrainedError {
            constraint: String::new(),
            message: "nothing meets all required constraints together".into(),
        },
    }
}
