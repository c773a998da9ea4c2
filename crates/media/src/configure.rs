//! [ApplyConstraints](https://w3c.github.io/mediacapture-main/#dfn-applyconstraints) on a track whose
//! source may have other tracks.
//!
//! A track that was never constrained follows its source. One that was keeps what was selected for
//! it: the source is only set to what every constrained track can still be served from, and each
//! track makes its own picture of that.

use crate::constraints::{
    Candidate, Fit, default_settings, each_candidate, keeps_shape, select_from, select_settings,
};
use crate::source::SourceShared;
use crate::{
    ConstrainableProperty, MediaKind, MediaTrackCapabilities, MediaTrackConstraints,
    MediaTrackSettings, OverconstrainedError, ReconfigureError, VideoResizeMode,
};

/// What a track was promised when its constraints were applied.
pub(crate) struct Promise {
    constraints: MediaTrackConstraints,
    settings: MediaTrackSettings,
    fit: Option<Fit>,
}

impl Promise {
    pub(crate) fn new(
        kind: MediaKind,
        constraints: MediaTrackConstraints,
        settings: MediaTrackSettings,
    ) -> Self {
        let fit = Fit::of(kind, &settings, &constraints);
        Promise {
            constraints,
            settings,
            fit,
        }
    }

    /// Whether it can be kept by a source that is set to `native`: to the letter, or by other settings
    /// that suit the constraints as well.
    fn can_be_kept(&self, source: &SourceShared, native: &MediaTrackSettings) -> bool {
        serves(native, &self.settings)
            || self.fit.as_ref().is_some_and(|promised| {
                let other = from_native(source, native, &self.constraints);
                other.is_ok_and(|(_, fit)| fit.compare(promised).is_ge())
            })
    }
}

/// Sets the source, and returns what the track is to deliver from now on; `None` if it goes on
/// following its source. `others` are what the source's other constrained tracks were promised; they
/// are told by `prepare` what the source will be set to. On an error nothing has changed.
pub(crate) fn apply(
    source: &SourceShared,
    others: &[Promise],
    constraints: &MediaTrackConstraints,
    prepare: &dyn Fn(&MediaTrackSettings),
) -> Result<Option<MediaTrackSettings>, OverconstrainedError> {
    if let Some((property, value)) = constraints.not_finite() {
        return Err(OverconstrainedError {
            constraint: property.name().into(),
            message: format!("{property} was given as {value}, which is no finite number"),
        });
    }
    let current = source.settings();
    if is_uncontrolled(source) {
        return uncontrolled(source.kind, &current, constraints).map(|()| None);
    }
    let choose = |modes: &[MediaTrackSettings], free: &MediaTrackCapabilities| {
        // Many candidates come from the same mode.
        let mut judged: Vec<(MediaTrackSettings, bool)> = Vec::new();
        let mut suits_others = |native: &MediaTrackSettings| {
            if let Some((_, suits)) = judged.iter().rev().find(|(known, _)| known == native) {
                return *suits;
            }
            let suits = others.iter().all(|o| o.can_be_kept(source, native));
            judged.push((native.clone(), suits));
            suits
        };
        let defaults = default_settings(source.kind);
        let selected = select_from(source.kind, constraints, &defaults, |offer| {
            each_candidate(source.kind, modes, free, constraints, &mut |candidate| {
                if others.is_empty() || suits_others(&candidate.native) {
                    offer(candidate);
                }
            });
        })?;
        Ok(selected.candidate)
    };
    let capabilities = source.capabilities();
    let fixed = fixed(&capabilities);
    let modes_and_cursor = MediaTrackCapabilities {
        cursor: capabilities.cursor.clone(),
        ..fixed.clone()
    };
    let modes: Vec<_> = source
        .modes()
        .into_iter()
        .map(|mode| of_device(mode, &current))
        .collect();
    let chosen: Candidate = if modes.is_empty() {
        let most = MediaTrackSettings {
            width: current.width.or(capabilities.width.map(|range| range.max)),
            height: current
                .height
                .or(capabilities.height.map(|range| range.max)),
            frame_rate: current
                .frame_rate
                .or(capabilities.frame_rate.map(|range| range.max)),
            ..current.clone()
        };
        choose(std::slice::from_ref(&most), &capabilities)?
    } else {
        choose(&modes, &modes_and_cursor)?
    };
    let wanted = native_settings(&chosen.native);
    if source.kind == MediaKind::Video && current.width.is_none() {
        // There was no picture yet. What is possible is promised, and made of the first one.
        return Ok(None);
    }
    if wanted == native_settings(&current) {
        return Ok(Some(chosen.settings));
    }
    prepare(&wanted);
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

/// What a constrained track is to deliver of a source that is set as it is; `None` if it has to follow
/// it, since the constraints cannot be met.
pub(crate) fn served(
    source: &SourceShared,
    constraints: &MediaTrackConstraints,
) -> Option<MediaTrackSettings> {
    if is_uncontrolled(source) {
        return None;
    }
    let chosen = from_native(source, &source.settings(), constraints);
    chosen.ok().map(|(settings, _)| settings)
}

/// What suits the constraints best of what can be made of a source that is set to `native`.
pub(crate) fn from_native(
    source: &SourceShared,
    native: &MediaTrackSettings,
    constraints: &MediaTrackConstraints,
) -> Result<(MediaTrackSettings, Fit), OverconstrainedError> {
    let (kind, modes) = (source.kind, std::slice::from_ref(native));
    let fixed = fixed(&source.capabilities());
    let selected = select_from(kind, constraints, &default_settings(kind), |offer| {
        each_candidate(kind, modes, &fixed, constraints, offer);
    })?;
    Ok((selected.candidate.settings, selected.fit))
}

/// Of the capabilities, what is left where the source stays as it is set.
fn fixed(capabilities: &MediaTrackCapabilities) -> MediaTrackCapabilities {
    MediaTrackCapabilities {
        aspect_ratio: capabilities
            .aspect_ratio
            .filter(|_| keeps_shape(capabilities)),
        ..Default::default()
    }
}

/// Whether the source is on the far side of a connection: it has no capabilities.
pub(crate) fn is_uncontrolled(source: &SourceShared) -> bool {
    source.kind == MediaKind::Video && source.capabilities() == MediaTrackCapabilities::default()
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
pub(crate) fn serves(native: &MediaTrackSettings, other: &MediaTrackSettings) -> bool {
    fn enough<T: PartialOrd>(native: Option<T>, other: Option<T>, same: bool) -> bool {
        match (native, other) {
            (Some(native), Some(other)) if same => native == other,
            (Some(native), Some(other)) => native >= other,
            _ => true,
        }
    }
    fn same<T: PartialEq>(native: Option<T>, other: Option<T>) -> bool {
        native
            .zip(other)
            .is_none_or(|(native, other)| native == other)
    }
    let as_it_is = other.resize_mode != Some(VideoResizeMode::CropAndScale);
    enough(native.width, other.width, as_it_is)
        && enough(native.height, other.height, as_it_is)
        && enough(native.frame_rate, other.frame_rate, as_it_is)
        && same(native.facing_mode, other.facing_mode)
        && same(native.background_blur, other.background_blur)
        && same(native.cursor, other.cursor)
        && same(native.sample_rate, other.sample_rate)
        && same(native.sample_size, other.sample_size)
        && same(native.channel_count, other.channel_count)
        && same(native.latency, other.latency)
        && same(native.echo_cancellation, other.echo_cancellation)
        && same(native.auto_gain_control, other.auto_gain_control)
        && same(native.noise_suppression, other.noise_suppression)
}

/// Settings of the source, complete with what the device is.
fn of_device(mode: MediaTrackSettings, device: &MediaTrackSettings) -> MediaTrackSettings {
    MediaTrackSettings {
        facing_mode: mode.facing_mode.or(device.facing_mode),
        display_surface: mode.display_surface.or(device.display_surface),
        logical_surface: mode.logical_surface.or(device.logical_surface),
        cursor: mode.cursor.or(device.cursor),
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

#[cfg(test)]
mod tests;
