//! [ApplyConstraints](https://w3c.github.io/mediacapture-main/#dfn-applyconstraints) on a track whose
//! source may have other tracks.
//!
//! A track that was never constrained follows its source. One that was keeps what was selected for
//! it: the source is only set to what every constrained track can still be served from, and each
//! track makes its own picture of that.

use crate::constraints::{Candidate, candidates, default_settings, select_settings};
use crate::source::SourceShared;
use crate::{
    ConstrainableProperty, MediaKind, MediaTrackCapabilities, MediaTrackConstraints,
    MediaTrackSettings, OverconstrainedError, ReconfigureError, VideoResizeMode,
};

/// Sets the source, and returns what the track is to deliver from now on; `None` if it goes on
/// following its source. `others` are the settings of the source's other constrained tracks. On an
/// error nothing has changed.
pub(crate) fn apply(
    source: &SourceShared,
    others: &[MediaTrackSettings],
    constraints: &MediaTrackConstraints,
) -> Result<Option<MediaTrackSettings>, OverconstrainedError> {
    let current = source.settings();
    if is_uncontrolled(source) {
        return uncontrolled(source.kind, &current, constraints).map(|()| None);
    }
    let choose = |modes: &[MediaTrackSettings], free: &MediaTrackCapabilities| {
        let mut candidates = candidates(source.kind, modes, free, constraints);
        candidates.retain(|c| others.iter().all(|other| serves(&c.native, other)));
        let defaults = default_settings(source.kind);
        let selected = select_settings(source.kind, &candidates, constraints, &defaults)?;
        Ok(candidates.swap_remove(selected.index))
    };
    let fixed = MediaTrackCapabilities::default();
    let modes: Vec<_> = source
        .modes()
        .into_iter()
        .map(|mode| of_device(mode, &current))
        .collect();
    let chosen: Candidate = if modes.is_empty() {
        choose(std::slice::from_ref(&current), &source.capabilities)?
    } else {
        choose(&modes, &fixed)?
    };
    let wanted = native_settings(&chosen.native);
    if wanted == native_settings(&current) {
        return Ok(Some(chosen.settings));
    }
    match source.control.reconfigure(&wanted) {
        Ok(reached) => {
            let reached = of_device(reached, &current);
            if native_settings(&reached) == wanted {
                source.set_settings(reached);
                return Ok(Some(chosen.settings));
            }
            // Something near: good enough, or back.
            match choose(std::slice::from_ref(&reached), &fixed) {
                Ok(chosen) => {
                    source.set_settings(reached);
                    Ok(Some(chosen.settings))
                }
                Err(error) => {
                    let old = source.control.reconfigure(&native_settings(&current));
                    source.set_settings(of_device(old.unwrap_or(reached), &current));
                    Err(error)
                }
            }
        }
        // It stays as it is: good enough, or not.
        Err(refusal) => match choose(std::slice::from_ref(&current), &fixed) {
            Ok(chosen) => Ok(Some(chosen.settings)),
            Err(error) => Err(match refusal {
                ReconfigureError::Fixed => error,
                ReconfigureError::Refused(_) => OverconstrainedError {
                    message: format!("{refusal}; {error}"),
                    ..error
                },
            }),
        },
    }
}

/// Whether the source is on the far side of a connection: it has no capabilities.
pub(crate) fn is_uncontrolled(source: &SourceShared) -> bool {
    source.kind == MediaKind::Video && source.capabilities == MediaTrackCapabilities::default()
}

/// A [remote track](https://www.w3.org/TR/webrtc/#dom-mediastreamtrack) has the picture that is sent
/// to it.
fn uncontrolled(
    kind: MediaKind,
    current: &MediaTrackSettings,
    constraints: &MediaTrackConstraints,
) -> Result<(), OverconstrainedError> {
    let ours_to_choose = |property: &ConstrainableProperty| {
        !matches!(
            property,
            ConstrainableProperty::Width
                | ConstrainableProperty::Height
                | ConstrainableProperty::AspectRatio
                | ConstrainableProperty::FrameRate
        )
    };
    if let Some(property) = constraints.basic.properties().find(|p| !ours_to_choose(p)) {
        return Err(OverconstrainedError {
            constraint: property.name().into(),
            message: format!("the {property} of a remote track is for its sender to choose"),
        });
    }
    let only = [Candidate::from(current.clone())];
    select_settings(kind, &only, constraints, &default_settings(kind)).map(|_| ())
}

/// Whether a track that was promised `other` gets it from a source that is set to `native`.
fn serves(native: &MediaTrackSettings, other: &MediaTrackSettings) -> bool {
    fn enough<T: PartialOrd>(native: Option<T>, other: Option<T>, same: bool) -> bool {
        match (native, other) {
            (Some(native), Some(other)) if same => native == other,
            (Some(native), Some(other)) => native >= other,
            _ => true,
        }
    }
    let same = other.resize_mode != Some(VideoResizeMode::CropAndScale);
    enough(native.width, other.width, same)
        && enough(native.height, other.height, same)
        && enough(native.frame_rate, other.frame_rate, same)
        && enough(native.sample_rate, other.sample_rate, true)
        && enough(native.channel_count, other.channel_count, true)
}

/// Settings of the source, complete with what the device is.
fn of_device(mode: MediaTrackSettings, device: &MediaTrackSettings) -> MediaTrackSettings {
    MediaTrackSettings {
        facing_mode: mode.facing_mode.or(device.facing_mode),
        device_id: mode.device_id.or_else(|| device.device_id.clone()),
        group_id: mode.group_id.or_else(|| device.group_id.clone()),
        ..mode
    }
}

/// What a source knows of settings: resizing is the tracks' business.
fn native_settings(settings: &MediaTrackSettings) -> MediaTrackSettings {
    MediaTrackSettings {
        resize_mode: None,
        ..settings.clone()
    }
}
