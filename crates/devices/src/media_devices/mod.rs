//! [`MediaDevices`]: what devices there are, and tracks of them.

pub(crate) mod choice;
mod device;
#[cfg(all(feature = "hardware", target_os = "linux"))]
mod display_media;
mod lease;
mod permission;
mod user_media;

#[cfg(all(feature = "hardware", target_os = "linux"))]
pub use display_media::{CursorCaptureConstraint, DisplayMediaStreamOptions};
pub use permission::{Permission, PermissionState, Permissions};
pub use user_media::UserMediaRequest;

#[cfg(all(feature = "hardware", target_os = "linux"))]
use crate::monitor::DeviceMonitor;
use crate::sync::Mutex;
use crate::{GetUserMediaError, SourceSpec, file};
use device::Device;
use duet_media::{
    Clock, ConstrainableProperty, EventTarget, MediaKind, MediaSource, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackConstraints, MediaTrackSettings, Subscription,
    WeakMediaSource,
};
use permission::{Allowed, Exposed};
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

    /// What an input's tracks carry; nothing for an output.
    pub fn media_kind(self) -> Option<MediaKind> {
        match self {
            MediaDeviceKind::AudioInput => Some(MediaKind::Audio),
            MediaDeviceKind::VideoInput => Some(MediaKind::Video),
            MediaDeviceKind::AudioOutput => None,
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

/// [`DeviceChangeEvent`](https://w3c.github.io/mediacapture-main/#devicechangeevent).
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceChangeEvent {
    /// The devices that there are now, as [`MediaDevices::enumerate_devices`] lists them.
    pub devices: Vec<MediaDeviceInfo>,
}

/// [`MediaDevices`](https://w3c.github.io/mediacapture-main/#mediadevices): the machine's cameras,
/// microphones and speakers.
///
/// By default everything is allowed and labels and ids are there from the start: there is no page that
/// a user must be guarded from, and the operating system has a word of its own. A program that has a
/// user to ask [answers for them](MediaDevices::with_permissions).
///
/// A device is opened once, however many streams it is in: `clone()` and repeated calls share it.
#[derive(Clone)]
pub struct MediaDevices {
    clock: Arc<dyn Clock>,
    hardware: bool,
    synthetic: bool,
    permissions: Arc<dyn Permissions>,
    /// Whether nothing is told of devices before there was a capture.
    guarded: bool,
    shared: Arc<Shared>,
    /// Devices that a test plugs in before all others.
    #[cfg(test)]
    test: Vec<Device>,
}

struct Shared {
    state: Mutex<State>,
    /// Held while a device is opened, so that two who want the same one open it once. No tracks are
    /// ended meanwhile: a program that hears of it may open devices.
    opening: Arc<Mutex<()>>,
    events: EventTarget<DeviceChangeEvent>,
    /// Runs once somebody listens.
    #[cfg(all(feature = "hardware", target_os = "linux"))]
    monitor: Mutex<Option<DeviceMonitor>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    exposed: Exposed,
    sources: Vec<OpenDevice>,
    /// What the program was last told of, to see whether there is news. Nothing until somebody listens.
    last_told: Option<Vec<MediaDeviceInfo>>,
}

/// A device that may still be open.
struct OpenDevice {
    kind: MediaKind,
    id: String,
    source: WeakMediaSource,
}

impl MediaDevices {
    /// The machine's devices. Capture times are `clock`'s.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        MediaDevices {
            clock,
            hardware: true,
            synthetic: false,
            permissions: Arc::new(Allowed),
            guarded: false,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                opening: Arc::default(),
                events: EventTarget::new(),
                #[cfg(all(feature = "hardware", target_os = "linux"))]
                monitor: Mutex::default(),
            }),
            #[cfg(test)]
            test: Vec::new(),
        }
    }

    /// With the synthetic pair as devices like the others, after them.
    #[must_use]
    pub fn with_synthetic(mut self) -> Self {
        self.synthetic = true;
        self
    }

    /// Without the machine's own devices, for whoever wants the same devices everywhere.
    #[must_use]
    pub fn without_hardware(mut self) -> Self {
        self.hardware = false;
        self
    }

    /// With somebody who answers for the user. As in a page, nothing but the kinds of devices is then
    /// told before the first capture: one of each, without ids and labels.
    #[must_use]
    pub fn with_permissions(mut self, permissions: impl Permissions) -> Self {
        self.permissions = Arc::new(permissions);
        self.guarded = true;
        self
    }

    /// [`enumerateDevices()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-enumeratedevices):
    /// microphones, cameras, speakers, of each the default first. Blocks for as long as the system
    /// takes. Nothing once they are closed.
    pub fn enumerate_devices(&self) -> Vec<MediaDeviceInfo> {
        if self.shared.state.lock().closed {
            return Vec::new();
        }
        let mut all = Vec::new();
        for kind in [MediaKind::Audio, MediaKind::Video] {
            if !self.permissions.allows(kind) {
                continue;
            }
            let inputs = self.inputs(kind).into_iter();
            if self.is_exposed(kind) {
                all.extend(inputs.map(|device| self.info(&device)));
            } else {
                all.extend(inputs.take(1).map(|device| device.anonymous()));
            }
        }
        // Outputs are told of where the microphones are:
        // https://w3c.github.io/mediacapture-output/#privacy-obtaining-consent
        if self.hardware && self.is_exposed(MediaKind::Audio) {
            all.extend(device::outputs());
        }
        all
    }

    /// Calls `handler` for each change of what [`MediaDevices::enumerate_devices`] lists, until the
    /// subscription is dropped: the event
    /// [`devicechange`](https://w3c.github.io/mediacapture-main/#event-mediadevices-devicechange). On Linux
    /// a device that is plugged in or out fires it, some 100 ms later and on a thread of its own; elsewhere
    /// [`MediaDevices::check_for_changes`] does.
    pub fn subscribe(
        &self,
        handler: impl Fn(&DeviceChangeEvent) + Send + Sync + 'static,
    ) -> Subscription {
        let subscription = self.shared.events.subscribe(handler);
        let now = self.enumerate_devices();
        self.shared.state.lock().last_told.get_or_insert(now);
        self.watch();
        subscription
    }

    /// Hears of changes from the system from now on.
    #[cfg(all(feature = "hardware", target_os = "linux"))]
    fn watch(&self) {
        let mut monitor = self.shared.monitor.lock();
        if monitor.is_some() || !self.hardware {
            return;
        }
        let (clock, permissions) = (self.clock.clone(), self.permissions.clone());
        let (synthetic, guarded) = (self.synthetic, self.guarded);
        #[cfg(test)]
        let test = self.test.clone();
        let shared = Arc::downgrade(&self.shared);
        let started = DeviceMonitor::start(move || {
            // Whoever listened may be gone by now.
            if let Some(shared) = shared.upgrade() {
                let devices = MediaDevices {
                    clock: clock.clone(),
                    hardware: true,
                    synthetic,
                    permissions: permissions.clone(),
                    guarded,
                    shared,
                    #[cfg(test)]
                    test: test.clone(),
                };
                devices.check_for_changes();
            }
        });
        match started {
            Ok(started) => *monitor = Some(started),
            Err(error) => tracing::warn!(%error, "nobody will tell of devices that come and go"),
        }
    }

    #[cfg(not(all(feature = "hardware", target_os = "linux")))]
    fn watch(&self) {}

    /// The [device change notification steps](https://w3c.github.io/mediacapture-main/#dfn-device-change-notification-steps):
    /// looks whether there is news of devices, and tells those who subscribed. For whoever hears of it
    /// from the system. Blocks for as long as the system takes.
    pub fn check_for_changes(&self) {
        let devices = self.enumerate_devices();
        let mut state = self.shared.state.lock();
        let Some(last) = &mut state.last_told else {
            return;
        };
        // A camera that is in use may not tell what it can do; it is the same camera.
        let identity = |device: &MediaDeviceInfo| MediaDeviceInfo {
            capabilities: MediaTrackCapabilities::default(),
            ..device.clone()
        };
        if last.iter().map(identity).eq(devices.iter().map(identity)) {
            return;
        }
        last.clone_from(&devices);
        drop(state);
        self.shared.events.dispatch(&DeviceChangeEvent { devices });
    }

    /// [`getSupportedConstraints()`](https://w3c.github.io/mediacapture-main/#dom-mediadevices-getsupportedconstraints):
    /// the properties that can be constrained. Of others constraints do not count, required or not.
    pub fn get_supported_constraints() -> &'static [ConstrainableProperty] {
        ConstrainableProperty::SUPPORTED
    }

    /// Takes back the permission for all devices of a kind: their tracks end and fire `ended`, and
    /// nothing is told of them any more until the next capture, where a program is
    /// [answered](MediaDevices::with_permissions) at all.
    pub fn revoke(&self, kind: MediaKind) {
        self.shared.state.lock().exposed.set(kind, false);
        for source in self.open_sources(Some(kind)) {
            source.revoke();
        }
        self.note_exposure();
    }

    /// What is told of devices changed, and no device did: that is no news.
    fn note_exposure(&self) {
        if self.guarded && self.shared.state.lock().last_told.is_some() {
            let now = self.enumerate_devices();
            self.shared.state.lock().last_told = Some(now);
        }
    }

    /// What happens when a page is left: all tracks of these devices are stopped, which fires nothing,
    /// and nothing can be captured with them any more.
    pub fn close(&self) {
        self.shared.state.lock().closed = true;
        // Whoever is opening a device now would come too late with it.
        drop(self.shared.opening.lock());
        for source in self.open_sources(None) {
            source.stop();
        }
    }

    /// A track of the camera or the screen that `spec` names, as `constraints` want it; none for
    /// [`SourceSpec::None`]. Blocks like [`MediaDevices::get_user_media`].
    ///
    /// # Errors
    /// As [`MediaDevices::get_user_media`]; [`GetUserMediaError::NotFound`] if there is no camera at
    /// all, which for [`SourceSpec::Default`] the caller may take for a reason to go on without. For a
    /// screen or a window as `get_display_media`.
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
        choice::check(constraints)?;
        let devices = match spec {
            SourceSpec::None => return Ok(None),
            SourceSpec::File(path) | SourceSpec::FileOnce(path) => {
                let (clock, repeat) = (self.clock.clone(), spec.repeat());
                let track = match kind {
                    MediaKind::Audio => file::open_audio(path, clock, repeat)?,
                    MediaKind::Video => file::open_video(path, clock, repeat)?,
                };
                return choice::constrained(track, constraints).map(Some);
            }
            SourceSpec::Screen(_) | SourceSpec::Window(_) => {
                if kind == MediaKind::Audio {
                    let reason = "a screen is a picture; sound comes from somewhere else";
                    return Err(GetUserMediaError::Type(reason.into()));
                }
                return self.open_display(spec, constraints).map(Some);
            }
            SourceSpec::Default => self.inputs(kind),
            SourceSpec::Synthetic => vec![Device::synthetic(kind)],
            SourceSpec::Device(id) => {
                let (named, others): (Vec<_>, Vec<_>) = device::inputs(kind)
                    .into_iter()
                    .chain([Device::synthetic(kind)])
                    .partition(|device| device.id() == id);
                if named.is_empty() {
                    return Err(unknown_device(kind, id, &others));
                }
                named
            }
        };
        let request = user_media::DeviceRequest::new(self, kind, devices, constraints)?;
        request.run().map(Some)
    }

    #[cfg(not(all(feature = "hardware", target_os = "linux")))]
    fn open_display(
        &self,
        spec: &SourceSpec,
        _constraints: &MediaTrackConstraints,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let reason = format!("{spec}: screens are captured under X11 only, and not in this build");
        Err(GetUserMediaError::NotFound(reason))
    }

    fn inputs(&self, kind: MediaKind) -> Vec<Device> {
        let mut devices = match self.hardware {
            true => device::inputs(kind),
            false => Vec::new(),
        };
        #[cfg(test)]
        devices.splice(
            ..0,
            self.test.iter().filter(|d| d.media_kind() == kind).cloned(),
        );
        if self.synthetic {
            devices.push(Device::synthetic(kind));
        }
        devices
    }

    /// Whether devices of a kind are told of by id and label.
    fn is_exposed(&self, kind: MediaKind) -> bool {
        let said = || self.shared.state.lock().exposed.get(kind);
        !self.guarded || said() || !self.open_sources(Some(kind)).is_empty()
    }

    /// [Set the device information exposure](https://w3c.github.io/mediacapture-main/#set-device-information-exposure):
    /// there is a capture of `kind`. The other kind comes with it where it was granted before.
    fn expose(&self, kind: MediaKind) {
        let other = match kind {
            MediaKind::Audio => MediaKind::Video,
            MediaKind::Video => MediaKind::Audio,
        };
        let extended = self.permissions.state(other) == PermissionState::Granted;
        let mut state = self.shared.state.lock();
        state.exposed.set(kind, true);
        if extended {
            state.exposed.set(other, true);
        }
        drop(state);
        self.note_exposure();
    }

    /// The sources of devices that have live tracks, of one kind or of all.
    fn open_sources(&self, kind: Option<MediaKind>) -> Vec<MediaSource> {
        let mut state = self.shared.state.lock();
        let open = |device: &OpenDevice| device.source.upgrade().filter(MediaSource::is_wanted);
        state.sources.retain(|device| open(device).is_some());
        let devices = state.sources.iter();
        let wanted = devices.filter(|device| kind.is_none_or(|kind| device.kind == kind));
        wanted.filter_map(open).collect()
    }

    /// The source of that device, if it is open.
    fn open_source(&self, device: &Device) -> Option<MediaSource> {
        let (kind, id) = (device.media_kind(), device.id());
        let state = self.shared.state.lock();
        let mut devices = state.sources.iter();
        let open = devices.rfind(|open| open.kind == kind && open.id == id)?;
        open.source.upgrade().filter(MediaSource::is_wanted)
    }

    /// What is told of a device. One that is open is not asked once more.
    fn info(&self, device: &Device) -> MediaDeviceInfo {
        match self.open_source(device) {
            Some(source) => device.info_with(source.capabilities().with_crop_and_scale()),
            None => device.info(),
        }
    }

    /// What a device can be set to, as a list. One that is open is not asked once more.
    fn modes(&self, device: &Device) -> Result<Vec<MediaTrackSettings>, GetUserMediaError> {
        let open = self.open_source(device).map(|source| source.modes());
        match open.filter(|modes| !modes.is_empty()) {
            Some(modes) => Ok(modes),
            None => device.modes(),
        }
    }

    /// A new track of the device, which is opened as `native` says unless it is open already.
    fn track_of(
        &self,
        device: &Device,
        native: &MediaTrackSettings,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let _one_at_a_time = self.shared.opening.lock();
        if self.shared.state.lock().closed {
            return Err(closed());
        }
        if let Some(source) = self.open_source(device) {
            let track = source.create_track();
            if track.ready_state() == duet_media::TrackState::Live {
                return Ok(track);
            }
        }
        let (clock, opening) = (self.clock.clone(), self.shared.opening.clone());
        let source = lease::open(device, native, clock, opening)?;
        let track = source.create_track();
        if track.ready_state() == duet_media::TrackState::Ended {
            let reason = format!("{} was lost as it was opened", source.label());
            return Err(GetUserMediaError::NotReadable(reason));
        }
        self.shared.state.lock().sources.push(OpenDevice {
            kind: device.media_kind(),
            id: device.id().into(),
            source: source.downgrade(),
        });
        Ok(track)
    }
}

impl fmt::Debug for MediaDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaDevices")
            .field("synthetic", &self.synthetic)
            .finish_non_exhaustive()
    }
}

fn closed() -> GetUserMediaError {
    GetUserMediaError::InvalidState("these devices were closed; make new ones".into())
}

fn name_of(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Audio => "microphone",
        MediaKind::Video => "camera",
    }
}

fn unknown_device(kind: MediaKind, id: &str, others: &[Device]) -> GetUserMediaError {
    let others: Vec<_> = others.iter().map(Device::id).collect();
    GetUserMediaError::NotFound(format!(
        "there is no {} with the id \"{id}\"; there are: {}",
        name_of(kind),
        others.join(", ")
    ))
}

#[cfg(test)]
mod tests;
