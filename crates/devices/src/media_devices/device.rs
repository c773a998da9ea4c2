//! The inputs of every kind behind one face.

use super::{MediaDeviceInfo, MediaDeviceKind};
use crate::GetUserMediaError;
#[cfg(feature = "hardware")]
use crate::group::group_of;
use crate::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
#[cfg(feature = "hardware")]
use crate::{
    camera::{self, CameraDevice},
    microphone,
    sound::{self, Direction, SoundDevice},
    voice,
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
    /// A camera that a test has in hand.
    #[cfg(test)]
    Test(super::tests::TestCamera),
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

/// The machine's outputs, the default first: once as the default, whichever that is, and once as itself.
#[cfg(feature = "hardware")]
pub(super) fn outputs() -> Vec<MediaDeviceInfo> {
    let found = sound::list(Direction::Output).into_iter();
    let outputs = found.map(|device| MediaDeviceInfo {
        group_id: group_of(&device.id),
        device_id: device.id,
        kind: MediaDeviceKind::AudioOutput,
        label: device.label,
        capabilities: MediaTrackCapabilities::default(),
    });
    let mut outputs: Vec<_> = outputs.collect();
    if let Some(first) = outputs.first() {
        let default = MediaDeviceInfo {
            device_id: sound::DEFAULT_OUTPUT.into(),
            label: format!("Default: {}", first.label),
            ..first.clone()
        };
        outputs.insert(0, default);
    }
    outputs
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

    /// Its id, its group and its name.
    fn identity(&self) -> (&str, String, &str) {
        match self {
            Device::SyntheticCamera => (
                SyntheticCamera::DEVICE_ID,
                SyntheticCamera::GROUP_ID.to_owned(),
                SyntheticCamera::LABEL,
            ),
            Device::SyntheticMicrophone => (
                SyntheticMicrophone::DEVICE_ID,
                SyntheticCamera::GROUP_ID.to_owned(),
                SyntheticMicrophone::LABEL,
            ),
            #[cfg(feature = "hardware")]
            Device::Camera(device) => (&device.id, group_of(&device.id), &device.label),
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => (&device.id, group_of(&device.id), &device.label),
            #[cfg(test)]
            Device::Test(camera) => (camera.id, camera.id.to_owned(), camera.id),
        }
    }

    pub(super) fn id(&self) -> &str {
        self.identity().0
    }

    pub(super) fn info(&self) -> MediaDeviceInfo {
        self.info_with(self.capabilities())
    }

    /// The same with capabilities that are known, so that the device need not be asked.
    pub(super) fn info_with(&self, capabilities: MediaTrackCapabilities) -> MediaDeviceInfo {
        let (device_id, group_id, label) = self.identity();
        MediaDeviceInfo {
            device_id: device_id.into(),
            kind: self.kind(),
            label: label.into(),
            group_id,
            capabilities,
        }
    }

    /// What is told of it before there was a capture.
    pub(super) fn anonymous(&self) -> MediaDeviceInfo {
        MediaDeviceInfo {
            device_id: String::new(),
            kind: self.kind(),
            label: String::new(),
            group_id: String::new(),
            capabilities: MediaTrackCapabilities::default(),
        }
    }

    pub(super) fn media_kind(&self) -> MediaKind {
        match self.kind() {
            MediaDeviceKind::VideoInput => MediaKind::Video,
            MediaDeviceKind::AudioInput | MediaDeviceKind::AudioOutput => MediaKind::Audio,
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
            #[cfg(test)]
            Device::Test(_) => MediaDeviceKind::VideoInput,
        }
    }

    fn capabilities(&self) -> MediaTrackCapabilities {
        self.native_capabilities().with_crop_and_scale()
    }

    fn native_capabilities(&self) -> MediaTrackCapabilities {
        match self {
            Device::SyntheticCamera => SyntheticCamera::capabilities(),
            Device::SyntheticMicrophone => SyntheticMicrophone::capabilities(),
            #[cfg(feature = "hardware")]
            Device::Camera(device) => camera::capabilities(&device.modes().unwrap_or_default()),
            #[cfg(feature = "hardware")]
            Device::Microphone(device) => {
                voice::capabilities(microphone::capabilities(device.channels, Some(&device.id)))
            }
            #[cfg(test)]
            Device::Test(_) => SyntheticCamera::capabilities(),
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
            Device::Microphone(device) => {
                let native = microphone::settings(device.channels, Some(&device.id));
                Ok(vec![voice::usual(native)])
            }
            #[cfg(test)]
            Device::Test(camera) => Ok(vec![camera.settings()]),
        }
    }

    /// Within what the modes can be changed at will.
    pub(super) fn free(&self) -> MediaTrackCapabilities {
        match self {
            Device::SyntheticCamera | Device::SyntheticMicrophone => self.native_capabilities(),
            #[cfg(feature = "hardware")]
            Device::Microphone(_) => self.native_capabilities(),
            #[cfg(feature = "hardware")]
            Device::Camera(_) => MediaTrackCapabilities::default(),
            #[cfg(test)]
            Device::Test(_) => MediaTrackCapabilities::default(),
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
            Device::Microphone(device) => {
                voice::treated(microphone::open(Some(&device.id), clock)?, native)
            }
            #[cfg(test)]
            Device::Test(camera) => camera.open(native, clock)?,
        })
    }
}
