//! A camera that does as it is told, and keeps count.

use super::*;
use crate::sync::thread;
use duet_media::{ReconfigureError, SourceControl};

#[derive(Clone, Debug)]
pub(crate) struct TestCamera {
    pub(crate) id: &'static str,
    width: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    refusal: Option<GetUserMediaError>,
    /// Another one than at first.
    width: Option<u32>,
    /// Whether it can be set to any width.
    settable: bool,
    /// Whether it goes as soon as it was opened.
    fleeting: bool,
    opened: u32,
    stopped: u32,
    /// What is open now: nothing, or one of those that were opened, by number.
    open: Option<u32>,
    /// What it really delivers.
    set_to: Option<u32>,
    /// Whether somebody opened it who had it open already.
    clash: bool,
    /// The last that was opened.
    number: Option<u32>,
    source: Option<WeakMediaSource>,
}

impl TestCamera {
    pub(crate) fn new(id: &'static str, width: u32) -> Self {
        let state = Arc::default();
        TestCamera { id, width, state }
    }

    pub(super) fn refusing(self, refusal: GetUserMediaError) -> Self {
        self.refuse(refusal);
        self
    }

    pub(super) fn fleeting(self) -> Self {
        self.state.lock().fleeting = true;
        self
    }

    pub(super) fn refuse(&self, refusal: GetUserMediaError) {
        self.state.lock().refusal = Some(refusal);
    }

    /// The next time it is opened it is so wide.
    pub(super) fn comes_back(&self, width: u32) {
        self.state.lock().width = Some(width);
    }

    pub(crate) fn settings(&self) -> MediaTrackSettings {
        self.settings_at(self.width)
    }

    fn settings_at(&self, width: u32) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(width),
            height: Some(width / 4 * 3),
            frame_rate: Some(30.0),
            device_id: Some(self.id.into()),
            group_id: Some(self.id.into()),
            ..Default::default()
        }
    }

    pub(crate) fn open(
        &self,
        native: &MediaTrackSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let mut state = self.state.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        state.clash |= state.open.is_some();
        state.opened += 1;
        let number = state.opened;
        state.open = Some(number);
        let width = match state.settable {
            true => native.width.unwrap_or(self.width),
            false => state.width.unwrap_or(self.width),
        };
        state.set_to = Some(width);
        drop(state);
        // It takes its time.
        thread::yield_now();
        let source = MediaSource::new(
            MediaKind::Video,
            self.id,
            self.settings_at(width),
            SyntheticCamera::capabilities(),
            Control {
                camera: self.clone(),
                number,
                _clock: clock,
            },
        );
        let track = source.create_track();
        let mut state = self.state.lock();
        (state.number, state.source) = (Some(number), Some(source.downgrade()));
        let fleeting = state.fleeting;
        drop(state);
        if fleeting {
            self.lose();
        }
        Ok(track)
    }

    /// The one that was opened last is pulled out.
    pub(super) fn lose(&self) {
        let mut state = self.state.lock();
        let source = state.source.clone();
        state.open = state.open.filter(|open| Some(*open) != state.number);
        drop(state);
        if let Some(source) = source.and_then(|source| source.upgrade()) {
            source.end();
        }
    }

    pub(super) fn source(&self) -> Option<MediaSource> {
        self.state.lock().source.as_ref()?.upgrade()
    }

    /// How often it was opened, and how often it was let go.
    pub(super) fn counts(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.opened, state.stopped)
    }
}

/// What only `interleaved` asks.
#[cfg(feature = "shuttle")]
impl TestCamera {
    pub(super) fn settable(self) -> Self {
        self.state.lock().settable = true;
        self
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open.is_some()
    }

    pub(super) fn set_to(&self) -> Option<u32> {
        self.state.lock().set_to
    }

    pub(super) fn clash(&self) -> bool {
        self.state.lock().clash
    }
}

struct Control {
    camera: TestCamera,
    number: u32,
    /// Held for as long as it is open, as devices do.
    _clock: Arc<dyn Clock>,
}

impl SourceControl for Control {
    fn stop(&self) {
        let mut state = self.camera.state.lock();
        state.stopped += 1;
        state.open = state.open.filter(|open| *open != self.number);
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let mut state = self.camera.state.lock();
        if !state.settable {
            return Err(ReconfigureError::Fixed);
        }
        if state.open != Some(self.number) {
            return Err(ReconfigureError::Refused("it is closed".into()));
        }
        state.set_to = wanted.width;
        Ok(self
            .camera
            .settings_at(wanted.width.unwrap_or(self.camera.width)))
    }
}

pub(super) fn machine<const N: usize>(cameras: [&TestCamera; N]) -> MediaDevices {
    let mut devices = MediaDevices::new(Arc::new(MonotonicClock::new())).without_hardware();
    devices.test = cameras.map(|camera| Device::Test(camera.clone())).to_vec();
    devices
}

pub(super) fn ask(
    devices: &MediaDevices,
    width: u32,
) -> Result<MediaStreamTrack, GetUserMediaError> {
    let set = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::ideal(width)),
        ..Default::default()
    };
    let (audio, video) = (None, Some(set.into()));
    let stream = devices.get_user_media(&MediaStreamConstraints { audio, video })?;
    Ok(stream.get_video_tracks().remove(0))
}
