//! The inputs of every kind behind one face.

use super::{MediaDeviceInfo, MediaDeviceKind};
use crate::GetUserMediaError;
use crate::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
#[cfg(feature = "hardware")]
use crate::{
    camera::{self, CameraDevice},
    microphone,
    sound::{self, Direction, SoundDevice},
};
use duet_media::{Clock, MediaKind, MediaStreamTrack, MediaTrackCapabilities, MediaTrackSettings};
use std::sync::Arc;

/// Something that can be captured.
#[derive(Debug, Clone)]
pub(super) enum Device {
    SyntheticCamera,
    SyntheticMicrophone,
    #[cfg(feature = "hardware")]
    Camera(CameraDevice),
    #[cfg(feature = "hardware")]
    Microphone(SoundDevice),
}

/// The machine's inputs of a kind, the default first.
#[cfg(feature = "hardware")]
pub(super) fn inputs(kind: MediaKind) -> Vec<Device> {
    match kind {
        MediaKind::Audio => {
            let found = sound::list(Direction::Input).into_iter();
            found.map(Device::Microphone).collect()
        }
        MediaKind::Video => camera::list().into_iter().map(Device::Camera).collect(),
    }
}

/// Without hardware there are none.
#[cfg(not(feature = "hardware"))]
pub(super) fn inputs(_kind: MediaKind) -> Vec<Device> {
    Vec::new()
}

/// The machine's outputs, the default first.
#[cfg(feature = "hardware")]
pub(super) fn outputs() -> Vec<MediaDeviceInfo> {
    let found = sound::list(Direction::Output).into_iter();
    let outputs = found.map(|device| MediaDeviceInfo {
        group_id: device.id.clone(),
        device_id: device.id,
        kind: MediaDeviceKind::AudioOutput,
        label: device.label,
        capabilities: MediaTrackCapabilities::default(),
    });
    outputs.collect()
}

/// Without hardware there are none.
#[cfg(not(feature = "hardware"))]
pub(super) fn outputs() -> Vec<MediaDeviceInfo> {
    Vec::new()
}

impl Device {
    pub(super) fn synthetic(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Device::SyntheticMicrophone,
            MediaKind::Video => Device::SyntheticCamera,
        }
    }

    pub(super) fn info(&self) -> MediaDeviceInfo {
        let (device_id, group_id, label) = match self {
            Device::SyntheticCamera => (
                SyntheticCamera::DEVICE_ID,
                SyntheticCamera::GROUP_ID,
                SyntheticCamera::LABEL,
            ),
            Device::SyntheticMicrophone => (
                SyntheticMicrophone::DEVICE_ID,
                SyntheticCamera::GROUP_ID,
                SyntheticMicrophone::LABEL,
            ),
            #[cfg(feature = "hardware")]
            Device::Camera(device) => (&*device.id, &*device.id, &*device.label),
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => (&*device.id, &*device.id, &*device.label),
        };
        MediaDeviceInfo {
            device_id: device_id.into(),
            kind: self.kind(),
            label: label.into(),
            group_id: group_id.into(),
            capabilities: self.capabilities(),
        }
    }

    fn kind(&self) -> MediaDeviceKind {
        match self {
            Device::SyntheticCamera => MediaDeviceKind::VideoInput,
            Device::SyntheticMicrophone => MediaDeviceKind::AudioInput,
            #[cfg(feature = "hardware")]
            Device::Camera(_) => MediaDeviceKind::VideoInput,
            #[cfg(feature = "hardware")]
            Device::Microphone(_) => MediaDeviceKind::AudioInput,
        }
    }

    fn capabilities(&self) -> MediaTrackCapabilities {
        match self {
            Device::SyntheticCamera => SyntheticCamera::capabilities(),
            Device::SyntheticMicrophone => SyntheticMicrophone::capabilities(),
            #[cfg(feature = "hardware")]
            Device::Camera(device) => camera::capabilities(&device.modes().unwrap_or_default()),
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => {
                microphone::capabilities(device.channels, Some(&device.id))
            }
        }
    }

    /// What it can be set to, as a list.
    pub(super) fn modes(&self) -> Result<Vec<MediaTrackSettings>, GetUserMediaError> {
        match self {
            Device::SyntheticCamera => Ok(vec![SyntheticCameraConfig::default().settings()]),
            Device::SyntheticMicrophone => {
                Ok(vec![SyntheticMicrophoneConfig::default().settings()])
            }
            #[cfg(feature = "hardware")]
            Device::Camera(device) => device.modes(),
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => Ok(vec![microphone::settings(
                device.channels,
                Some(&device.id),
            )]),
        }
    }

    /// Within what the modes can be changed at will.
    pub(super) fn free(&self) -> MediaTrackCapabilities {
        match self {
            Device::SyntheticCamera | Device::SyntheticMicrophone => self.capabilities(),
            #[cfg(feature = "hardware")]
            Device::Camera(_) | Device::Microphone(_) => MediaTrackCapabilities::default(),
        }
    }

    /// Opens it so that it delivers `native`.
    pub(super) fn open(
        self,
        native: &MediaTrackSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        Ok(match self {
            Device::SyntheticCamera => {
                SyntheticCamera::start(SyntheticCameraConfig::default().with(native), clock)
            }
            Device::SyntheticMicrophone => {
                SyntheticMicrophone::start(SyntheticMicrophoneConfig::default().with(native), clock)
            }
            #[cfg(feature = "hardware")]
            Device::Camera(device) => device.open(native, clock)?,
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => microphone::open(Some(&device.id), clock)?,
        })
    }
}
