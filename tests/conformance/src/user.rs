//! Who sits before a page: the answers to its prompts, and what else its instructions ask of a person.

use duet_devices::{MediaDeviceInfo, MediaDevices, Permission, PermissionState, Permissions};
use duet_media::MediaKind;
use serde::Deserialize;

/// What a person does with a page. By default: has granted everything, and the page knows the devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct User {
    /// What is denied at the prompt.
    pub deny: Vec<Device>,
    /// What is revoked, one after the other, each as soon as the page is quiet.
    pub revoke: Vec<Device>,
    /// Whether the page has to capture before it learns what devices there are.
    pub first_visit: bool,
}

/// A kind of device, as permissions have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Cameras.
    Camera,
    /// Microphones.
    Microphone,
}

impl Device {
    fn kind(self) -> MediaKind {
        match self {
            Device::Camera => MediaKind::Video,
            Device::Microphone => MediaKind::Audio,
        }
    }

    /// The feature of that name, if it is one of ours.
    pub(crate) fn of_feature(name: &str) -> Option<Self> {
        match name {
            "camera" => Some(Device::Camera),
            "microphone" => Some(Device::Microphone),
            _ => None,
        }
    }
}

impl User {
    /// What is done when nothing else happens.
    pub(crate) fn doings(&self) -> impl Iterator<Item = Doing> + use<> {
        self.revoke.clone().into_iter().map(Doing::Revoke)
    }

    /// The devices as this person and the page's headers let it have them.
    pub(crate) fn guard(&self, devices: MediaDevices, forbidden: Vec<Device>) -> MediaDevices {
        if self.deny.is_empty() && forbidden.is_empty() && !self.first_visit {
            return devices;
        }
        devices.with_permissions(Answers {
            denied: self.deny.clone(),
            forbidden,
        })
    }
}

/// Something that a person does unasked.
pub(crate) enum Doing {
    /// Takes a permission back.
    Revoke(Device),
}

impl Doing {
    pub(crate) fn act(&self, devices: &MediaDevices) {
        match self {
            Doing::Revoke(device) => devices.revoke(device.kind()),
        }
    }
}

struct Answers {
    denied: Vec<Device>,
    forbidden: Vec<Device>,
}

impl Permissions for Answers {
    fn allows(&self, kind: MediaKind) -> bool {
        self.forbidden.iter().all(|device| device.kind() != kind)
    }

    /// What is not denied was granted on an earlier visit; what is will be, at the prompt.
    fn state(&self, kind: MediaKind) -> PermissionState {
        if self.denied.iter().any(|device| device.kind() == kind) {
            PermissionState::Prompt
        } else {
            PermissionState::Granted
        }
    }

    fn request(&self, _kind: MediaKind, _candidates: &[MediaDeviceInfo]) -> Permission {
        Permission::Denied
    }
}
