//! [`getUserMedia()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getusermedia), step by
//! step.

use super::choice::{self, Suitable};
use super::device::Device;
use super::{MediaDevices, Permission, PermissionState, closed, name_of};
use crate::GetUserMediaError;
use duet_media::{
    MediaKind, MediaStream, MediaStreamConstraints, MediaStreamTrack, MediaTrackConstraints,
};
use std::fmt;

/// A call of `getUserMedia` that was in order so far; see [`MediaDevices::request_user_media`].
pub struct UserMediaRequest {
    devices: MediaDevices,
    wanted: Vec<(MediaKind, MediaTrackConstraints)>,
}

impl MediaDevices {
    /// [`getUserMedia()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getusermedia): a
    /// stream with the best fitting track of each kind that is asked for. Blocks for as long as the
    /// devices take to open, up to seconds, and as the user takes to answer where one is asked: not
    /// for an async task's thread.
    ///
    /// # Errors
    /// All of [`GetUserMediaError`]; nothing is left open.
    pub fn get_user_media(
        &self,
        constraints: &MediaStreamConstraints,
    ) -> Result<MediaStream, GetUserMediaError> {
        self.request_user_media(constraints)?.run()
    }

    /// The first half of [`MediaDevices::get_user_media`], up to where a page would go on in parallel.
    /// Does not block.
    ///
    /// # Errors
    /// [`GetUserMediaError::Type`] if neither kind is asked for, or a value that is no finite number, [`GetUserMediaError::InvalidState`]
    /// after [`MediaDevices::close`], [`GetUserMediaError::NotAllowed`] if a kind may not be used at
    /// all.
    pub fn request_user_media(
        &self,
        constraints: &MediaStreamConstraints,
    ) -> Result<UserMediaRequest, GetUserMediaError> {
        let kinds = [
            (MediaKind::Audio, &constraints.audio),
            (MediaKind::Video, &constraints.video),
        ];
        let wanted: Vec<_> = kinds
            .into_iter()
            .filter_map(|(kind, constraints)| Some((kind, constraints.clone()?.for_kind(kind))))
            .collect();
        if wanted.is_empty() {
            let reason = "neither audio nor video is asked for";
            return Err(GetUserMediaError::Type(reason.into()));
        }
        for (_, constraints) in &wanted {
            choice::check(constraints)?;
        }
        if self.shared.state.lock().closed {
            return Err(closed());
        }
        match wanted
            .iter()
            .find(|(kind, _)| !self.permissions.allows(*kind))
        {
            Some((kind, _)) => Err(not_allowed(*kind)),
            None => Ok(UserMediaRequest {
                devices: self.clone(),
                wanted,
            }),
        }
    }

    /// `getUserMedia` as it was in 2012, with callbacks. Exactly one of them is called, once, on a
    /// thread of its own.
    pub fn get_user_media_with(
        &self,
        constraints: &MediaStreamConstraints,
        on_success: impl FnOnce(MediaStream) + Send + 'static,
        on_error: impl FnOnce(GetUserMediaError) + Send + 'static,
    ) {
        let request = self.request_user_media(constraints);
        std::thread::spawn(move || match request.and_then(UserMediaRequest::run) {
            Ok(stream) => on_success(stream),
            Err(error) => on_error(error),
        });
    }

    /// Hides from a program what it could learn of devices that it is not allowed to use.
    fn hide(&self, error: GetUserMediaError, kinds: &[MediaKind]) -> GetUserMediaError {
        let denied = kinds
            .iter()
            .find(|kind| self.permissions.state(**kind) == PermissionState::Denied);
        let specific = matches!(
            error,
            GetUserMediaError::NotFound(_) | GetUserMediaError::Overconstrained { .. }
        );
        if let (true, Some(kind)) = (specific, denied) {
            return not_allowed(*kind);
        }
        let exposed = [MediaKind::Audio, MediaKind::Video]
            .into_iter()
            .any(|kind| self.is_exposed(kind));
        match error {
            GetUserMediaError::Overconstrained { .. } if !exposed => {
                GetUserMediaError::Overconstrained {
                    constraint: String::new(),
                    message: "no device meets the constraints".into(),
                }
            }
            error => error,
        }
    }
}

impl UserMediaRequest {
    /// The second half of [`MediaDevices::get_user_media`]. Blocks like it.
    ///
    /// # Errors
    /// As [`MediaDevices::get_user_media`].
    pub fn run(self) -> Result<MediaStream, GetUserMediaError> {
        let devices = &self.devices;
        let kinds: Vec<_> = self.wanted.iter().map(|(kind, _)| *kind).collect();
        self.tracks()
            .map(MediaStream::from_tracks)
            .map_err(|error| devices.hide(error, &kinds))
    }

    fn tracks(&self) -> Result<Vec<MediaStreamTrack>, GetUserMediaError> {
        let mut requests = Vec::new();
        for (kind, constraints) in &self.wanted {
            let inputs = self.devices.inputs(*kind);
            requests.push(DeviceRequest::new(
                &self.devices,
                *kind,
                inputs,
                constraints,
            )?);
        }
        for request in &mut requests {
            request.ask()?;
        }
        // Only now: who is refused one kind learns nothing of the other.
        for (kind, _) in &self.wanted {
            self.devices.expose(*kind);
        }
        let mut tracks = Tracks(Vec::new());
        for request in requests {
            tracks.0.push(request.open()?);
        }
        Ok(std::mem::take(&mut tracks.0))
    }
}

/// Tracks that are stopped unless they are taken: others may still have their sources open.
struct Tracks(Vec<MediaStreamTrack>);

impl Drop for Tracks {
    fn drop(&mut self) {
        self.0.iter().for_each(MediaStreamTrack::stop);
    }
}

/// One kind's part of a request.
pub(super) struct DeviceRequest<'a> {
    devices: &'a MediaDevices,
    kind: MediaKind,
    constraints: &'a MediaTrackConstraints,
    /// The best first.
    suitable: Vec<Suitable>,
}

impl<'a> DeviceRequest<'a> {
    /// Finds the devices that suit.
    ///
    /// # Errors
    /// [`GetUserMediaError::Type`], [`GetUserMediaError::NotFound`],
    /// [`GetUserMediaError::Overconstrained`], [`GetUserMediaError::NotAllowed`], or why no device can
    /// be read.
    pub(super) fn new(
        devices: &'a MediaDevices,
        kind: MediaKind,
        inputs: Vec<Device>,
        constraints: &'a MediaTrackConstraints,
    ) -> Result<Self, GetUserMediaError> {
        if inputs.is_empty() {
            let what = name_of(kind);
            let reason = format!("there is no {what} on this machine");
            return Err(GetUserMediaError::NotFound(reason));
        }
        let mut required = constraints.basic.required();
        if let Some(forbidden) = required.find(|p| !p.may_be_required_for_device_selection()) {
            let reason = format!("{forbidden} cannot be required, only wished for");
            return Err(GetUserMediaError::Type(reason));
        }
        let mut suitable =
            choice::suitable(kind, inputs, constraints, |device| devices.modes(device))?;
        if devices.permissions.state(kind) == PermissionState::Denied {
            // What a live track has was allowed, and is for as long as it lives.
            suitable.retain(|suitable| devices.open_source(&suitable.device).is_some());
        }
        if suitable.is_empty() {
            return Err(not_allowed(kind));
        }
        Ok(DeviceRequest {
            devices,
            kind,
            constraints,
            suitable,
        })
    }

    /// Asks whoever answers for the user, if there is need to.
    fn ask(&mut self) -> Result<(), GetUserMediaError> {
        let devices = self.devices;
        let granted = devices.permissions.state(self.kind) == PermissionState::Granted;
        let best_is_open = self
            .suitable
            .first()
            .is_some_and(|best| devices.open_source(&best.device).is_some());
        if !granted && !best_is_open {
            let infos: Vec<_> = self
                .suitable
                .iter()
                .map(|s| devices.info(&s.device))
                .collect();
            match devices.permissions.request(self.kind, &infos) {
                Permission::Granted => {}
                Permission::GrantedFor(id) => {
                    self.suitable.retain(|s| s.device.id() == id);
                }
                Permission::Denied => self.suitable.clear(),
            }
            if self.suitable.is_empty() {
                return Err(not_allowed(self.kind));
            }
        }
        Ok(())
    }

    /// Opens the first of the devices that can be opened, and constrains its track.
    fn open(self) -> Result<MediaStreamTrack, GetUserMediaError> {
        let mut failure = None;
        for Suitable { device, candidate } in &self.suitable {
            match self.devices.track_of(device, &candidate.native) {
                Ok(track) => return choice::constrained(track, self.constraints),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| GetUserMediaError::Abort("no device was left".into())))
    }

    /// All of it, for one kind alone.
    pub(super) fn run(mut self) -> Result<MediaStreamTrack, GetUserMediaError> {
        self.ask()?;
        self.devices.expose(self.kind);
        self.open()
    }
}

impl fmt::Debug for UserMediaRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserMediaRequest")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

fn not_allowed(kind: MediaKind) -> GetUserMediaError {
    let what = name_of(kind);
    GetUserMediaError::NotAllowed(format!("the use of a {what} was not allowed"))
}
