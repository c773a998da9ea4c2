//! Which device suits best, and how it would be set.

use super::device::Device;
use crate::GetUserMediaError;
use duet_media::constraints::{Candidate, Fit, default_settings, each_candidate, select_from};
use duet_media::{
    MediaKind, MediaStreamTrack, MediaTrackConstraints, MediaTrackSettings, OverconstrainedError,
};

/// A device that can meet the constraints, and how it would be set to.
#[derive(Debug)]
pub(super) struct Suitable {
    pub(super) device: Device,
    pub(super) candidate: Candidate,
}

/// The devices that can meet the constraints, the one that suits best first: by the advanced sets that it
/// meets, then by its fitness distance; of equals the one that is listed first. `modes` are what a device
/// can be set to.
///
/// # Errors
/// If there is none: why the first one cannot be read, if none can; else the constraint that none
/// meets.
pub(super) fn suitable(
    kind: MediaKind,
    devices: Vec<Device>,
    constraints: &MediaTrackConstraints,
    modes: impl Fn(&Device) -> Result<Vec<MediaTrackSettings>, GetUserMediaError>,
) -> Result<Vec<Suitable>, GetUserMediaError> {
    let defaults = default_settings(kind);
    let mut found: Vec<(Fit, Suitable)> = Vec::new();
    let mut unsuitable = Vec::new();
    let mut unreadable = None;
    for device in devices {
        let modes = match modes(&device) {
            Ok(modes) => modes,
            Err(error) => {
                unreadable.get_or_insert(error);
                continue;
            }
        };
        let free = device.free();
        let selected = select_from(kind, constraints, &defaults, |offer| {
            each_candidate(kind, &modes, &free, constraints, offer);
        });
        match selected {
            Ok(selected) => {
                let candidate = selected.candidate;
                found.push((selected.fit, Suitable { device, candidate }));
            }
            Err(_) => unsuitable.push((modes, free)),
        }
    }
    if !found.is_empty() {
        found.sort_by(|(a, _), (b, _)| b.compare(a));
        return Ok(found.into_iter().map(|(_, suitable)| suitable).collect());
    }
    match unreadable {
        Some(error) if unsuitable.is_empty() => Err(error),
        _ => match select_from(kind, constraints, &defaults, |offer| {
            for (modes, free) in &unsuitable {
                each_candidate(kind, modes, free, constraints, offer);
            }
        }) {
            Err(error) => Err(overconstrained(error)),
            // Each device refused, so that they cannot suit together.
            Ok(_) => Err(GetUserMediaError::Abort("no device could be chosen".into())),
        },
    }
}

/// The track, once it has the constraints; else it is stopped.
pub(crate) fn constrained(
    track: MediaStreamTrack,
    constraints: &MediaTrackConstraints,
) -> Result<MediaStreamTrack, GetUserMediaError> {
    match track.apply_constraints(constraints.clone()) {
        Ok(()) => Ok(track),
        Err(error) => {
            track.stop();
            Err(overconstrained(error))
        }
    }
}

/// # Errors
/// [`GetUserMediaError::Type`] for what a script could not even pass on.
pub(super) fn check(constraints: &MediaTrackConstraints) -> Result<(), GetUserMediaError> {
    match constraints.not_finite() {
        None => Ok(()),
        Some((property, value)) => Err(GetUserMediaError::Type(format!(
            "{property} was given as {value}, which is no finite number"
        ))),
    }
}

fn overconstrained(error: OverconstrainedError) -> GetUserMediaError {
    GetUserMediaError::Overconstrained {
        constraint: error.constraint,
        message: error.message,
    }
}
