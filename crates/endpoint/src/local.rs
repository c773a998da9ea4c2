//! What this end captures.

use crate::args::{Loopback, MediaArgs, Picture};
use crate::failure::Failure;
use crate::tell::Tell;
use duet_devices::{GetUserMediaError, MediaDevices, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    Clock, MediaKind, MediaStream, MediaStreamTrack, MediaTrackConstraintSet, MediaTrackConstraints,
};
use duet_recorder::player;
use std::path::Path;
use std::sync::Arc;

/// A stream of this end's camera and microphone.
pub(crate) struct LocalMedia {
    stream: MediaStream,
    camera_is_synthetic: bool,
    microphone_is_synthetic: bool,
}

impl LocalMedia {
    /// For a call. It goes on with what there is, unless a device was asked for by name.
    pub(crate) fn open(
        options: &MediaArgs,
        devices: &MediaDevices,
        clock: Arc<dyn Clock>,
        tell: &Tell,
    ) -> Result<Self, Failure> {
        let named = |spec: &SourceSpec| !matches!(spec, SourceSpec::Default | SourceSpec::None);
        Self::open_sources(
            &options.camera,
            &options.microphone,
            &options.picture,
            &mut Inputs::new(devices, clock),
            |spec, error| {
                if named(spec) {
                    return Err(refuse(spec, &error));
                }
                tell.warn(format_args!("{error}; going on without"));
                Ok(())
            },
        )
    }

    /// For a loopback, which needs what it was told to judge.
    pub(crate) fn open_loopback(
        options: &Loopback,
        devices: &MediaDevices,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Failure> {
        let none = SourceSpec::None;
        if options.camera == none && options.microphone == none {
            return Err(Failure::usage(
                "with neither camera nor microphone there is nothing to judge",
            ));
        }
        Self::open_sources(
            &options.camera,
            &options.microphone,
            &options.picture,
            &mut Inputs::new(devices, clock),
            |spec, error| Err(refuse(spec, &error)),
        )
    }

    fn open_sources(
        camera: &SourceSpec,
        microphone: &SourceSpec,
        picture: &Picture,
        inputs: &mut Inputs<'_>,
        on_error: impl Fn(&SourceSpec, GetUserMediaError) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut tracks: Vec<MediaStreamTrack> = Vec::new();
        match inputs.open(
            MediaKind::Audio,
            microphone,
            &MediaTrackConstraints::default(),
        ) {
            Ok(track) => tracks.extend(track),
            Err(error) => on_error(microphone, error)?,
        }
        match inputs.open(MediaKind::Video, camera, &wanted(picture)) {
            Ok(track) => tracks.extend(track),
            Err(error) => on_error(camera, error)?,
        }
        Ok(LocalMedia {
            stream: MediaStream::from_tracks(tracks),
            camera_is_synthetic: *camera == SourceSpec::Synthetic,
            microphone_is_synthetic: *microphone == SourceSpec::Synthetic,
        })
    }

    pub(crate) fn stream(&self) -> &MediaStream {
        &self.stream
    }

    pub(crate) fn camera_is_synthetic(&self) -> bool {
        self.camera_is_synthetic
    }

    pub(crate) fn microphone_is_synthetic(&self) -> bool {
        self.microphone_is_synthetic
    }
}

/// Where tracks come from: devices, and files that need a codec.
struct Inputs<'a> {
    devices: &'a MediaDevices,
    clock: Arc<dyn Clock>,
    /// Played already: picture and sound of one file are in step.
    films: Vec<(SourceSpec, MediaStream)>,
}

impl<'a> Inputs<'a> {
    fn new(devices: &'a MediaDevices, clock: Arc<dyn Clock>) -> Self {
        Inputs {
            devices,
            clock,
            films: Vec::new(),
        }
    }

    fn open(
        &mut self,
        kind: MediaKind,
        spec: &SourceSpec,
        constraints: &MediaTrackConstraints,
    ) -> Result<Option<MediaStreamTrack>, GetUserMediaError> {
        if let Some(path) = spec.file()
            && player::is_coded(path)?
        {
            return self.open_film(kind, spec, path, constraints).map(Some);
        }
        match kind {
            MediaKind::Audio => self.devices.open_audio(spec, constraints),
            MediaKind::Video => self.devices.open_video(spec, constraints),
        }
    }

    fn open_film(
        &mut self,
        kind: MediaKind,
        spec: &SourceSpec,
        path: &Path,
        constraints: &MediaTrackConstraints,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let played = self.films.iter().find(|(other, _)| other == spec);
        let film = match played {
            Some((_, film)) => film.clone(),
            None => {
                let film = player::play(path, self.clock.clone(), spec.repeat())?;
                self.films.push((spec.clone(), film.clone()));
                film
            }
        };
        let mut tracks = film.get_tracks().into_iter();
        let track = tracks.find(|track| track.kind() == kind).ok_or_else(|| {
            GetUserMediaError::NotReadable(format!("there is no {kind} in {}", path.display()))
        })?;
        let fits = track.apply_constraints(constraints.clone());
        fits.map_err(|error| GetUserMediaError::Overconstrained {
            constraint: error.constraint,
            message: error.message,
        })?;
        Ok(track)
    }
}

/// A file or device that was asked for by name and is not there was a wrong word; one that is there
/// and cannot be read has failed.
fn refuse(spec: &SourceSpec, error: &GetUserMediaError) -> Failure {
    let message = format_args!("{spec}: {error}");
    match error {
        GetUserMediaError::NotFound(_)
        | GetUserMediaError::Type(_)
        | GetUserMediaError::Overconstrained { .. } => Failure::usage(message),
        GetUserMediaError::NotReadable(_) if spec.file().is_some() => Failure::usage(message),
        _ => Failure::failed(message),
    }
}

fn wanted(picture: &Picture) -> MediaTrackConstraints {
    let (width, height) = picture.size;
    MediaTrackConstraints {
        basic: MediaTrackConstraintSet {
            width: Some(ConstrainNumber::ideal(width)),
            height: Some(ConstrainNumber::ideal(height)),
            frame_rate: Some(ConstrainNumber::ideal(picture.frame_rate.into())),
            ..MediaTrackConstraintSet::default()
        },
        advanced: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitCode;

    #[test]
    fn each_refusal_has_its_name_its_sentence_and_its_status() {
        let device = SourceSpec::Device("v4l:front".into());
        let file = SourceSpec::File("/clip.y4m".into());
        let busy = "Front: Device or resource busy".to_owned();
        let too_much = GetUserMediaError::Overconstrained {
            constraint: "width".into(),
            message: "nothing is as wide".into(),
        };
        for (spec, error, status, sentence) in [
            (
                &device,
                GetUserMediaError::NotReadable(busy),
                1,
                "device:v4l:front: NotReadableError: Front: Device or resource busy",
            ),
            (
                &device,
                GetUserMediaError::NotAllowed("Front: Permission denied".into()),
                1,
                "device:v4l:front: NotAllowedError: Front: Permission denied",
            ),
            (
                &device,
                GetUserMediaError::NotFound("there is no such camera".into()),
                2,
                "device:v4l:front: NotFoundError: there is no such camera",
            ),
            (
                &device,
                too_much,
                2,
                "device:v4l:front: OverconstrainedError: nothing is as wide",
            ),
            (
                &file,
                GetUserMediaError::NotReadable("it is no Y4M file".into()),
                2,
                "file:/clip.y4m: NotReadableError: it is no Y4M file",
            ),
        ] {
            let failure = refuse(spec, &error);
            assert_eq!(failure.to_string(), sentence);
            assert_eq!(failure.exit_code(), ExitCode::from(status), "{sentence}");
        }
    }
}
