//! [`MediaDevices`]: what devices there are, and tracks of them.

mod device;

use crate::{GetUserMediaError, SourceSpec, file};
use device::Device;
use duet_media::constraints::{Candidate, candidates, default_settings, select_settings};
use duet_media::{
    Clock, ConstrainableProperty, MediaKind, MediaStream, MediaStreamConstraints, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackConstraints, OverconstrainedError,
};
use std::fmt;
use std::sync::Arc;

/// [`MediaDeviceKind`](https://w3c.github.io/mediacapture-main/#dom-mediadevicekind).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaDeviceKind {
    /// A microphone.
    AudioInput,
    /// A camera.
    VideoInput,
    /// A speaker.
    AudioOutput,
}

impl MediaDeviceKind {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            MediaDeviceKind::AudioInput => "audioinput",
            MediaDeviceKind::VideoInput => "videoinput",
            MediaDeviceKind::AudioOutput => "audiooutput",
        }
    }
}

/// [`MediaDeviceInfo`](https://w3c.github.io/mediacapture-main/#device-info).
#[derive(Clone, Debug, PartialEq)]
pub struct MediaDeviceInfo {
    /// The same in every run, for as long as the device stays where it is plugged in.
    pub device_id: String,
    /// What it is.
    pub kind: MediaDeviceKind,
    /// Its name, for a person.
    pub label: String,
    /// What devices of one piece of hardware share, as far as the system tells.
    pub group_id: String,
    /// What an input can be set to
    /// ([`InputDeviceInfo.getCapabilities()`](https://w3c.github.io/mediacapture-main/#dom-inputdeviceinfo-getcapabilities));
    /// nothing for an output, or where the device is too busy to tell.
    pub capabilities: MediaTrackCapabilities,
}

/// [`MediaDevices`](https://w3c.github.io/mediacapture-main/#mediadevices): the machine's cameras,
/// microphones and speakers.
///
/// There is no page here that a user must be guarded from, so labels and ids are there from the start,
/// and permission is the operating system's business.
#[derive(Clone)]
pub struct MediaDevices {
    clock: Arc<dyn Clock>,
    synthetic: bool,
}

impl MediaDevices {
    /// The machine's devices. Capture times are `clock`'s.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MediaDevices {
            clock,
            synthetic: false,
        }
    }

    /// With the synthetic pair as devices like the others, after them.
    #[must_use]
    pub fn with_synthetic(mut self) -> Self {
        self.synthetic = true;
        self
    }

    /// [`enumerateDevices()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-enumeratedevices):
    /// microphones, cameras, speakers, of each the default first. Blocks for as long as the system
    /// takes.
    pub fn enumerate_devices(&self) -> Vec<MediaDeviceInfo> {
        let inputs = [MediaKind::Audio, MediaKind::Video];
        let inputs = inputs.into_iter().flat_map(|kind| self.inputs(kind));
        let mut all: Vec<_> = inputs.map(|device| device.info()).collect();
        all.extend(device::outputs());
        all
    }

    /// [`getUserMedia()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getusermedia): a
    /// stream with the best fitting track of each kind that is asked for. Blocks for as long as the
    /// devices take to open, up to seconds: not for an async task's thread.
    ///
    /// # Errors
    /// All of [`GetUserMediaError`]; nothing is left open.
    pub fn get_user_media(
        &self,
        constraints: &MediaStreamConstraints,
    ) -> Result<MediaStream, GetUserMediaError> {
        let kinds = [
            (MediaKind::Audio, &constraints.audio),
            (MediaKind::Video, &constraints.video),
        ];
        let kinds = kinds
            .into_iter()
            .filter_map(|(kind, constraints)| Some((kind, constraints.as_ref()?)));
        let mut tracks = Vec::new();
        for (kind, constraints) in kinds {
            let constraints = constraints.clone().for_kind(kind);
            tracks.push(self.open_best(kind, self.inputs(kind), &constraints)?);
        }
        if tracks.is_empty() {
            let reason = "neither audio nor video is asked for";
            return Err(GetUserMediaError::Type(reason.into()));
        }
        Ok(MediaStream::from_tracks(tracks))
    }

    /// A track of the camera that `spec` names, as `constraints` want it; none for
    /// [`SourceSpec::None`]. Blocks like [`MediaDevices::get_user_media`].
    ///
    /// # Errors
    /// As [`MediaDevices::get_user_media`]; [`GetUserMediaError::NotFound`] if there is no camera at
    /// all, which for [`SourceSpec::Default`] the caller may take for a reason to go on without.
    pub fn open_video(
        &self,
        spec: &SourceSpec,
        constraints: &MediaTrackConstraints,
    ) -> Result<Option<MediaStreamTrack>, GetUserMediaError> {
        self.open(MediaKind::Video, spec, constraints)
    }

    /// A track of the microphone that `spec` names; see [`MediaDevices::open_video`].
    ///
    /// # Errors
    /// As [`MediaDevices::open_video`].
    pub fn open_audio(
        &self,
        spec: &SourceSpec,
        constraints: &MediaTrackConstraints,
    ) -> Result<Option<MediaStreamTrack>, GetUserMediaError> {
        self.open(MediaKind::Audio, spec, constraints)
    }

    fn open(
        &self,
        kind: MediaKind,
        spec: &SourceSpec,
        constraints: &MediaTrackConstraints,
    ) -> Result<Option<MediaStreamTrack>, GetUserMediaError> {
        let constraints = &constraints.clone().for_kind(kind);
        let devices = match spec {
            SourceSpec::None => return Ok(None),
            SourceSpec::File(path) => {
                let clock = self.clock.clone();
                let track = match kind {
                    MediaKind::Audio => file::open_audio(path, clock)?,
                    MediaKind::Video => file::open_video(path, clock)?,
                };
                return constrained(track, constraints).map(Some);
            }
            SourceSpec::Default => self.inputs(kind),
            SourceSpec::Synthetic => vec![Device::synthetic(kind)],
            SourceSpec::Device(id) => {
                let (named, others): (Vec<_>, Vec<_>) = device::inputs(kind)
                    .into_iter()
                    .chain([Device::synthetic(kind)])
                    .partition(|device| device.info().device_id == *id);
                if named.is_empty() {
                    return Err(unknown_device(kind, id, &others));
                }
                named
            }
        };
        self.open_best(kind, devices, constraints).map(Some)
    }

    fn inputs(&self, kind: MediaKind) -> Vec<Device> {
        let mut devices = device::inputs(kind);
        if self.synthetic {
            devices.push(Device::synthetic(kind));
        }
        devices
    }

    /// Opens the first of the devices that fit the constraints best.
    fn open_best(
        &self,
        kind: MediaKind,
        devices: Vec<Device>,
        constraints: &MediaTrackConstraints,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let forbidden = ConstrainableProperty::BackgroundBlur;
        if constraints.basic.required().any(|p| p == forbidden) {
            let reason = format!("{forbidden} cannot be required, only wished for");
            return Err(GetUserMediaError::Type(reason));
        }
        if devices.is_empty() {
            let what = name_of(kind);
            let reason = format!("there is no {what} on this machine");
            return Err(GetUserMediaError::NotFound(reason));
        }
        let (device, candidate) = choose(kind, devices, constraints)?;
        let track = device.open(&candidate.native, self.clock.clone())?;
        constrained(track, constraints)
    }
}

impl fmt::Debug for MediaDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaDevices")
            .field("synthetic", &self.synthetic)
            .finish_non_exhaustive()
    }
}

/// The device at the least fitness distance, the first of several, and how it would be set.
fn choose(
    kind: MediaKind,
    devices: Vec<Device>,
    constraints: &MediaTrackConstraints,
) -> Result<(Device, Candidate), GetUserMediaError> {
    let defaults = default_settings(kind);
    let mut best: Option<(f64, Device, Candidate)> = None;
    let mut everything = Vec::new();
    let mut unreadable = None;
    for device in devices {
        let modes = match device.modes() {
            Ok(modes) => modes,
            Err(error) => {
                unreadable.get_or_insert(error);
                continue;
            }
        };
        let mut all = candidates(kind, &modes, &device.free(), constraints);
        match select_settings(kind, &all, constraints, &defaults) {
            Ok(selected) => {
                let distance = selected.fitness_distance;
                if best.as_ref().is_none_or(|(least, ..)| distance < *least) {
                    best = Some((distance, device, all.swap_remove(selected.index)));
                }
            }
            Err(_) => everything.append(&mut all),
        }
    }
    match (best, unreadable) {
        (Some((_, device, candidate)), _) => Ok((device, candidate)),
        (None, Some(error)) if everything.is_empty() => Err(error),
        (None, _) => match select_settings(kind, &everything, constraints, &defaults) {
            Err(error) => Err(overconstrained(error)),
            // Each device refused, so that they cannot suit together.
            Ok(_) => Err(GetUserMediaError::Abort("no device could be chosen".into())),
        },
    }
}

/// The track, once it has the constraints; else it is stopped.
fn constrained(
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

fn name_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "microphone",
        MediaKind::Video => "camera",
    }
}

fn unknown_device(kind: MediaKind, id: &str, others: &[Device]) -> GetUserMediaError {
    let others: Vec<_> = others.iter().map(|other| other.info().device_id).collect();
    GetUserMediaError::NotFound(format!(
        "there is no {} with the id \"{id}\"; there are: {}",
        name_of(kind),
        others.join(", ")
    ))
}

#[cfg(test)]
mod tests;
