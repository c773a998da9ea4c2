//! Who answers for the user: <https://www.w3.org/TR/permissions/>.

use super::MediaDeviceInfo;
use duet_media::MediaKind;

/// [`PermissionState`](https://www.w3.org/TR/permissions/#dom-permissionstate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PermissionState {
    /// The devices may be used; nobody needs to be asked.
    Granted,
    /// Somebody must be asked.
    Prompt,
    /// The devices may not be used; nobody need be asked.
    Denied,
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Any of the devices; the one that fits best is taken.
    Granted,
    /// Just the device of that id, which is among the candidates.
    GrantedFor(String),
    /// None.
    Denied,
}

/// How a program answers for its user, about each [kind](MediaKind) of device.
///
/// Methods are called on the thread that asks for media, and not one after the other if several do.
pub trait Permissions: Send + Sync + 'static {
    /// Whether the program may use such devices at all
    /// ([allowed to use](https://html.spec.whatwg.org/#allowed-to-use)). If not, it is as if there were
    /// none, and asking for one is a `NotAllowedError`.
    fn allows(&self, _kind: MediaKind) -> bool {
        true
    }

    /// What was decided before. Asks nobody, and does not block.
    fn state(&self, kind: MediaKind) -> PermissionState;

    /// Asks whether the program may use one of `candidates`, the best first, and may block for as long
    /// as the answer takes.
    fn request(&self, kind: MediaKind, candidates: &[MediaDeviceInfo]) -> Permission;
}

/// Where nobody sits before a screen: everything is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed;

impl Permissions for Allowed {
    fn state(&self, _kind: MediaKind) -> PermissionState {
        PermissionState::Granted
    }

    fn request(&self, _kind: MediaKind, _candidates: &[MediaDeviceInfo]) -> Permission {
        Permission::Granted
    }
}

/// [Device information exposure](https://w3c.github.io/mediacapture-main/#device-information-exposure).
#[derive(Clone, Copy, Default)]
pub(super) struct Exposed {
    cameras: bool,
    microphones: bool,
}

impl Exposed {
    pub(super) fn get(self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.microphones,
            MediaKind::Video => self.cameras,
        }
    }

    pub(super) fn set(&mut self, kind: MediaKind, exposed: bool) {
        match kind {
            MediaKind::Audio => self.microphones = exposed,
            MediaKind::Video => self.cameras = exposed,
        }
    }
}
