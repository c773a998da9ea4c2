//! Where frames come from.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::track::TrackShared;
use crate::{Frame, MediaKind, MediaStreamTrack, MediaTrackCapabilities, MediaTrackSettings};
use std::fmt;
use std::sync::{Arc, Weak};

/// Why a source could not take on other settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigureError {
    /// The source has one way of working only. Choose another device, or live with it.
    #[error("this source cannot change its settings")]
    Fixed,
    /// The device refused, in its own words. The old settings still hold.
    #[error("the device refused the settings: {0}")]
    Refused(String),
}

/// What a source's owner does on the tracks' behalf.
pub trait SourceControl: Send + Sync + 'static {
    /// The last track was stopped: let the device go. Called once, on the thread that stopped it.
    fn stop(&self) {}

    /// Whether any live track lets content through, when that changes: none does while all are muted,
    /// disabled or ended, and a device should then be
    /// [let go within three seconds](https://w3c.github.io/mediacapture-main/#life-cycle), and be had
    /// again when one does. Called on the thread that brought it about, one call at a time; it must
    /// not enable, mute or end tracks of this source.
    fn demand(&self, _wanted: bool) {}

    /// Take on other settings; returns those that were reached. Called on the thread of whoever
    /// applies constraints, and never twice at a time; it may block for as long as the device takes.
    fn reconfigure(
        &self,
        _wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        Err(ReconfigureError::Fixed)
    }
}

impl SourceControl for () {}

/// For what a device's owner and its thread share.
impl<T: SourceControl + ?Sized> SourceControl for Arc<T> {
    fn stop(&self) {
        (**self).stop();
    }

    fn demand(&self, wanted: bool) {
        (**self).demand(wanted);
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        (**self).reconfigure(wanted)
    }
}

/// The producer's end of one or more tracks:
/// [a source](https://w3c.github.io/mediacapture-main/#the-model-sources-sinks-constraints-and-settings).
///
/// Cheap to clone; all clones are the same source. It does not keep its tracks alive: when the last
/// live track is stopped or dropped, [`SourceControl::stop`] is called and the source is spent.
#[derive(Clone)]
pub struct MediaSource(Arc<SourceShared>);

/// A source that is not kept alive by this; see [`MediaSource::downgrade`].
#[derive(Clone)]
pub struct WeakMediaSource(Weak<SourceShared>);

impl WeakMediaSource {
    /// The source, if anybody still has it.
    pub fn upgrade(&self) -> Option<MediaSource> {
        self.0.upgrade().map(MediaSource)
    }
}

pub(crate) struct SourceShared {
    pub(crate) kind: MediaKind,
    pub(crate) label: String,
    pub(crate) muted: AtomicBool,
    pub(crate) control: Box<dyn SourceControl>,
    /// Held while a track's constraints are applied, so that they are applied one after the other.
    pub(crate) configuring: Mutex<()>,
    modes: Mutex<Vec<MediaTrackSettings>>,
    capabilities: Mutex<MediaTrackCapabilities>,
    settings: Mutex<MediaTrackSettings>,
    tracks: Mutex<Tracks>,
    /// What the control was last told of the demand. Held while it is told.
    demanded: Mutex<bool>,
}

#[derive(Default)]
struct Tracks {
    /// Copy on write: publishing iterates a snapshot, so that a sink may stop tracks.
    list: Arc<Vec<Weak<TrackShared>>>,
    live: usize,
    /// Whether there will be no more tracks.
    closed: bool,
    /// Whether the control was told to stop, or is not to be.
    stopped: bool,
}

impl MediaSource {
    /// A source named `label` that delivers frames of `kind` with `settings`.
    pub fn new(
        kind: MediaKind,
        label: impl Into<String>,
        settings: MediaTrackSettings,
        capabilities: MediaTrackCapabilities,
        control: impl SourceControl,
    ) -> Self {
        MediaSource(Arc::new(SourceShared {
            kind,
            label: label.into(),
            muted: AtomicBool::new(false),
            control: Box::new(control),
            configuring: Mutex::default(),
            modes: Mutex::default(),
            capabilities: Mutex::new(capabilities),
            settings: Mutex::new(settings),
            tracks: Mutex::default(),
            demanded: Mutex::new(true),
        }))
    }

    pub(crate) fn of(shared: Arc<SourceShared>) -> Self {
        MediaSource(shared)
    }

    pub(crate) fn shared(&self) -> Arc<SourceShared> {
        self.0.clone()
    }

    /// A handle that does not keep the source alive.
    pub fn downgrade(&self) -> WeakMediaSource {
        WeakMediaSource(Arc::downgrade(&self.0))
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.0.kind
    }

    /// The device's name.
    pub fn label(&self) -> &str {
        &self.0.label
    }

    /// What it can be set to.
    pub fn capabilities(&self) -> MediaTrackCapabilities {
        self.0.capabilities()
    }

    /// Notes what it can be set to from now on, as a window does that changes its size. To be called
    /// before [`MediaSource::set_settings`].
    pub fn set_capabilities(&self, capabilities: MediaTrackCapabilities) {
        *self.0.capabilities.lock() = capabilities;
    }

    /// A new live track of this source. Once the source is spent the track is ended from the start.
    pub fn create_track(&self) -> MediaStreamTrack {
        MediaStreamTrack::of(&self.0, true, true)
    }

    /// Hands a frame to every live track. A frame of the other kind is ignored.
    pub fn publish(&self, frame: &Frame) {
        if frame.kind() != self.0.kind {
            debug_assert!(
                false,
                "a {} frame on a {} source",
                frame.kind(),
                self.0.kind
            );
            return;
        }
        for track in self.0.snapshot() {
            track.deliver(frame);
        }
    }

    /// The device is gone or the peer took the track away: every track ends and fires
    /// [`TrackEvent::Ended`](crate::TrackEvent::Ended). The control is not told.
    pub fn end(&self) {
        {
            let mut tracks = self.0.tracks.lock();
            (tracks.closed, tracks.stopped) = (true, true);
        }
        for track in self.0.snapshot() {
            track.end(true);
        }
    }

    /// The permission was taken back: every track ends and fires
    /// [`TrackEvent::Ended`](crate::TrackEvent::Ended), and the control is told to let the device go.
    /// See the
    /// [device permission revocation algorithm](https://w3c.github.io/mediacapture-main/#dfn-device-permission-revocation-algorithm).
    pub fn revoke(&self) {
        self.0.close(true);
    }

    /// Everything that used it is gone: every track ends, which fires nothing, and the control is told
    /// to let the device go.
    pub fn stop(&self) {
        self.0.close(false);
    }

    /// Sets the device itself, past all tracks; for whoever stands between a device and its tracks.
    ///
    /// # Errors
    /// [`ReconfigureError`], and the old settings hold.
    pub fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let _in_order = self.0.configuring.lock();
        let reached = self.0.control.reconfigure(wanted)?;
        self.0.set_settings(reached.clone());
        Ok(reached)
    }

    /// The source cannot deliver for now, or can again; tracks fire `mute` and `unmute`.
    pub fn set_muted(&self, muted: bool) {
        if self.0.muted.swap(muted, Ordering::AcqRel) != muted {
            for track in self.0.snapshot() {
                track.follow_mute();
            }
            self.0.demand_changed();
        }
    }

    /// Whether [`MediaSource::set_muted`] has muted it.
    pub fn is_muted(&self) -> bool {
        self.0.muted.load(Ordering::Acquire)
    }

    /// What it delivers now.
    pub fn settings(&self) -> MediaTrackSettings {
        self.0.settings()
    }

    /// Notes what it delivers from now on. Settings of constrained tracks are chosen anew, in the way
    /// of [`MediaStreamTrack::apply_constraints`]; a track whose constraints cannot be met any more has
    /// what the source delivers, for as long as that is so.
    pub fn set_settings(&self, settings: MediaTrackSettings) {
        self.0.set_settings(settings);
        for track in self.0.snapshot() {
            track.choose_anew();
        }
    }

    /// Names the modes that the source can be set to, as a camera has them: it is only ever
    /// reconfigured to one of these. Without any it is taken to be free within its capabilities.
    pub fn set_modes(&self, modes: Vec<MediaTrackSettings>) {
        *self.0.modes.lock() = modes;
    }

    /// The modes that were named, if any were.
    pub fn modes(&self) -> Vec<MediaTrackSettings> {
        self.0.modes()
    }

    /// Whether any live track is left.
    pub fn is_wanted(&self) -> bool {
        self.0.tracks.lock().live > 0
    }
}

impl fmt::Debug for MediaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSource")
            .field("kind", &self.kind())
            .field("label", &self.label())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakMediaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.upgrade() {
            Some(source) => source.fmt(f),
            None => f.write_str("(gone)"),
        }
    }
}

impl SourceShared {
    pub(crate) fn settings(&self) -> MediaTrackSettings {
        self.settings.lock().clone()
    }

    pub(crate) fn modes(&self) -> Vec<MediaTrackSettings> {
        self.modes.lock().clone()
    }

    pub(crate) fn capabilities(&self) -> MediaTrackCapabilities {
        self.capabilities.lock().clone()
    }

    /// Ends all tracks, and lets no new one begin meanwhile: a clone that is being made must not
    /// outlive them.
    fn close(&self, fire: bool) {
        let idle = {
            let mut tracks = self.tracks.lock();
            tracks.closed = true;
            let idle = tracks.live == 0 && !tracks.stopped;
            tracks.stopped |= idle;
            idle
        };
        for track in self.snapshot() {
            track.end(fire);
        }
        if idle {
            self.control.stop();
        }
    }

    pub(crate) fn set_settings(&self, settings: MediaTrackSettings) {
        *self.settings.lock() = settings;
    }

    /// Adds a track; false if the source is spent.
    pub(crate) fn attach(&self, track: &Weak<TrackShared>) -> bool {
        let mut tracks = self.tracks.lock();
        if tracks.closed || tracks.stopped {
            return false;
        }
        Arc::make_mut(&mut tracks.list).push(track.clone());
        tracks.live += 1;
        drop(tracks);
        self.demand_changed();
        true
    }

    /// Removes a live track that ended; the last one stops the source.
    pub(crate) fn detach(&self, track: &Weak<TrackShared>) {
        let stop = {
            let mut tracks = self.tracks.lock();
            let before = tracks.list.len();
            Arc::make_mut(&mut tracks.list).retain(|other| !other.ptr_eq(track));
            if tracks.list.len() == before {
                return;
            }
            tracks.live -= 1;
            let last = tracks.live == 0 && !tracks.stopped;
            tracks.stopped |= last;
            last
        };
        if stop {
            self.control.stop();
        } else {
            self.demand_changed();
        }
    }

    /// Tells the control if the demand is another than it was told.
    pub(crate) fn demand_changed(&self) {
        // Dropped last: a track that is dropped here for good comes back to this very method.
        let tracks: Vec<_>;
        let mut demanded = self.demanded.lock();
        tracks = self.snapshot().collect();
        let wanted = tracks.iter().any(|track| track.flows());
        if *demanded != wanted && tracks.iter().any(|track| track.is_live()) {
            *demanded = wanted;
            self.control.demand(wanted);
        }
        drop(demanded);
    }

    /// The live tracks.
    pub(crate) fn snapshot(&self) -> impl Iterator<Item = Arc<TrackShared>> + use<> {
        let list = self.tracks.lock().list.clone();
        (0..list.len()).filter_map(move |at| list[at].upgrade())
    }
}
