//! Which device suits best, and how it would be set.

use super::device::Device;
use crate::GetUserMediaError;
use duet_media::constraints::{Candidate, candidates, default_settings, select_settings};
use duet_media::{
    MediaKind, MediaStreamTrack, MediaTrackConstraints, MediaTrackSettings, OverconstrainedError,
};

/// A device that can meet the constraints, and how it would be set to.
#[derive(Debug)]
pub(super) struct Suitable {
    pub(super) device: Device,
    pub(super) candidate: Candidate,
}

/// The devices that can meet the constraints, the one at the least fitness distance first; of equals
/// the one that is listed first. `modes` are what a device can be set to.
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
    let mut found: Vec<(f64, Suitable)> = Vec::new();
    let mut everything = Vec::new();
    let mut unreadable = None;
    for device in devices {
        let modes = match modes(&device) {
            Ok(modes) => modes,
            Err(error) => {
                unreadable.get_or_insert(error);
                continue;
            }
        };
        let mut all = candidates(kind, &modes, &device.free(), constraints);
        match select_settings(kind, &all, constraints, &defaults) {
            Ok(selected) => {
                let candidate = all.swap_remove(selected.index);
                found.push((selected.fitness_distance, Suitable { device, candidate }));
            }
            Err(_) => everything.append(&mut all),
        }
    }
    if !found.is_empty() {
        found.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        return Ok(found.into_iter().map(|(_, suitable)| suitable).collect());
    }
    match unreadable {
        Some(error) if everything.is_empty() => Err(error),
        _ => match select_settings(kind, &everything, constraints, &defaults) {
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

fn overconstrained(error: OverconstrainedError) -> GetUserMediaError {
    GetUserMediaError::Overconstrained {
        constraint: error.constraint,
        message: error.message,
    }
}
