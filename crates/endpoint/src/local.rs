//! What this end captures.

use crate::args::{Loopback, MediaArgs, Picture};
use crate::failure::Failure;
use crate::tell::Tell;
use duet_devices::{GetUserMediaError, MediaDevices, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{MediaStream, MediaStreamTrack, MediaTrackConstraintSet, MediaTrackConstraints};

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
        tell: &Tell,
    ) -> Result<Self, Failure> {
        let named = |spec: &SourceSpec| !matches!(spec, SourceSpec::Default | SourceSpec::None);
        Self::open_sources(
            &options.camera,
            &options.microphone,
            &options.picture,
            devices,
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
            devices,
            |spec, error| Err(refuse(spec, &error)),
        )
    }

    fn open_sources(
        camera: &SourceSpec,
        microphone: &SourceSpec,
        picture: &Picture,
        devices: &MediaDevices,
        on_error: impl Fn(&SourceSpec, GetUserMediaError) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut tracks: Vec<MediaStreamTrack> = Vec::new();
        match devices.open_audio(microphone, &MediaTrackConstraints::default()) {
            Ok(track) => tracks.extend(track),
            Err(error) => on_error(microphone, error)?,
        }
        match devices.open_video(camera, &wanted(picture)) {
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

/// A file or device that was asked for by name and is not there was a wrong word; one that is there
/// and cannot be read has failed.
fn refuse(spec: &SourceSpec, error: &GetUserMediaError) -> Failure {
    let message = format_args!("{spec}: {error}");
    match error {
        GetUserMediaError::NotFound(_)
        | GetUserMediaError::Type(_)
        | GetUserMediaError::Overconstrained { .. } => Failure::usage(message),
        GetUserMediaError::NotReadable(_) if matches!(spec, SourceSpec::File(_)) => {
            Failure::usage(message)
        }
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
