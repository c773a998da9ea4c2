//! One camera's picture or one microphone's sound.

use crate::configure::{self, Promise};
use crate::shape::Shape;
use crate::source::SourceShared;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::{
    AudioBuffer, AudioFrame, ConstrainableProperty, ContentHint, EventTarget, Frame, I420Buffer,
    MediaKind, MediaSource, MediaTime, MediaTrackCapabilities, MediaTrackConstraints,
    MediaTrackSettings, OverconstrainedError, Sink, SinkHandle, Subscription, VideoFrame,
    VideoResizeMode,
};
use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};

/// [`MediaStreamTrack.readyState`](https://w3c.github.io/mediacapture-main/#dom-mediastreamtrackstate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackState {
    /// It delivers, or will again.
    Live,
    /// It will never deliver again.
    Ended,
}

/// [Events on a track](https://w3c.github.io/mediacapture-main/#event-summary).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackEvent {
    /// The source is gone. Fires once, and never for the program's own
    /// [`stop`](MediaStreamTrack::stop).
    Ended,
    /// The source cannot deliver for now.
    Mute,
    /// The source delivers again.
    Unmute,
}

/// [`MediaStreamTrack`](https://w3c.github.io/mediacapture-main/#mediastreamtrack).
///
/// `clone()` gives another handle to the same track, as a second variable does in JavaScript;
/// [`clone_track`](MediaStreamTrack::clone_track) is the W3C's `clone()`. Dropping the last handle
/// of a live track stops it.
#[derive(Clone)]
pub struct MediaStreamTrack(Arc<TrackShared>);

pub(crate) struct TrackShared {
    id: String,
    source: Arc<SourceShared>,
    this: Weak<TrackShared>,
    enabled: AtomicBool,
    muted: AtomicBool,
    ended: AtomicBool,
    events: EventTarget<TrackEvent>,
    sinks: Mutex<Sinks>,
    next_sink: AtomicU64,
    content_hint: Mutex<ContentHint>,
    configured: Mutex<Configured>,
    /// What it makes of the source's pictures; nothing if it shows them as they are.
    shape: Mutex<Option<Shape>>,
    /// What a disabled track shows, in the size of the last frame.
    blank: Mutex<Blank>,
}

#[derive(Default)]
struct Sinks {
    /// Copy on write, so that a sink may detach itself while it is called.
    list: Arc<SinkList>,
    /// Whether they were told of the end.
    ended: bool,
}

type SinkList = Vec<(u64, Arc<dyn Sink>)>;

/// What was asked of a track, and what was selected for it.
#[derive(Clone, Default)]
struct Configured {
    constraints: MediaTrackConstraints,
    /// `None` while it follows its source.
    settings: Option<MediaTrackSettings>,
}

#[derive(Default)]
struct Blank {
    video: Option<Arc<I420Buffer>>,
    audio: Option<Arc<AudioBuffer>>,
    /// Size and time of the last picture that sinks were given.
    last: Option<((u32, u32), MediaTime)>,
}

impl MediaStreamTrack {
    /// A track that is live if `live` is, and the source is not spent.
    pub(crate) fn of(source: &Arc<SourceShared>, enabled: bool, live: bool) -> Self {
        Self::configured(source, enabled, live, Configured::default())
    }

    fn configured(
        source: &Arc<SourceShared>,
        enabled: bool,
        live: bool,
        configured: Configured,
    ) -> Self {
        let track = Arc::new_cyclic(|this| TrackShared {
            id: uuid::Uuid::new_v4().to_string(),
            source: source.clone(),
            this: this.clone(),
            enabled: AtomicBool::new(enabled),
            muted: AtomicBool::new(source.muted.load(Ordering::Acquire)),
            ended: AtomicBool::new(false),
            events: EventTarget::new(),
            sinks: Mutex::default(),
            next_sink: AtomicU64::new(0),
            content_hint: Mutex::default(),
            shape: Mutex::new(configured.settings.as_ref().and_then(Shape::of)),
            configured: Mutex::new(configured),
            blank: Mutex::default(),
        });
        // An ended one does not even touch its source: the device could light up for it.
        if live && source.attach(&track.this) {
            // It may have been muted in between.
            track.follow_mute();
        } else {
            track.ended.store(true, Ordering::Release);
            track.sinks.lock().ended = true;
        }
        MediaStreamTrack(track)
    }

    /// A UUID.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Audio or video.
    pub fn kind(&self) -> MediaKind {
        self.0.source.kind
    }

    /// The device's name.
    pub fn label(&self) -> &str {
        &self.0.source.label
    }

    /// Whether the program lets content through; else sinks get black or silence.
    pub fn enabled(&self) -> bool {
        self.0.enabled.load(Ordering::Acquire)
    }

    /// Lets content through, or not.
    pub fn set_enabled(&self, enabled: bool) {
        if self.0.enabled.swap(enabled, Ordering::AcqRel) != enabled {
            self.0.source.demand_changed();
        }
    }

    /// [`contentHint`](https://w3c.github.io/mst-content-hint/#dom-mediastreamtrack-contenthint): what it
    /// is for.
    pub fn content_hint(&self) -> ContentHint {
        *self.0.content_hint.lock()
    }

    /// Says what it is for. What cannot be said of its kind changes nothing.
    pub fn set_content_hint(&self, hint: ContentHint) {
        if hint.suits(self.kind()) {
            *self.0.content_hint.lock() = hint;
        }
    }

    /// Where its content comes from, together with all other tracks of that source.
    pub fn source(&self) -> MediaSource {
        MediaSource::of(self.0.source.clone())
    }

    /// A handle that does not keep the track alive.
    pub(crate) fn downgrade(&self) -> Weak<TrackShared> {
        self.0.this.clone()
    }

    pub(crate) fn upgrade(track: &Weak<TrackShared>) -> Option<Self> {
        track.upgrade().map(MediaStreamTrack)
    }

    /// Whether the source cannot deliver for now.
    pub fn muted(&self) -> bool {
        self.0.muted.load(Ordering::Acquire)
    }

    /// Whether it can still deliver.
    pub fn ready_state(&self) -> TrackState {
        if self.0.ended.load(Ordering::Acquire) {
            TrackState::Ended
        } else {
            TrackState::Live
        }
    }

    /// Ends the track for good; fires nothing. The source stops with its last track.
    pub fn stop(&self) {
        self.0.end(false);
    }

    /// The W3C's `clone()`: a new track of the same source with an id of its own, enabled,
    /// constrained and meant like this one. The clone of an ended track is ended.
    #[must_use]
    pub fn clone_track(&self) -> MediaStreamTrack {
        // The steps of the specification say nothing of `enabled`, a note beside them does, and browsers
        // copy it: what a person has switched off does not come back by way of a clone.
        let configured = self.0.configured.lock().clone();
        let live = self.ready_state() == TrackState::Live;
        let clone = Self::configured(&self.0.source, self.enabled(), live, configured);
        clone.set_content_hint(self.content_hint());
        clone
    }

    /// What it delivers now. An ended track remembers only which device it was, and where it looked.
    pub fn get_settings(&self) -> MediaTrackSettings {
        let source = &self.0.source;
        let selected = self.0.configured.lock().settings.clone();
        let mut settings = selected.unwrap_or_else(|| source.settings());
        if self.ready_state() == TrackState::Ended {
            return MediaTrackSettings {
                device_id: settings.device_id,
                group_id: settings.group_id,
                facing_mode: settings.facing_mode,
                ..Default::default()
            };
        }
        if self.kind() == MediaKind::Video && !configure::is_uncontrolled(source) {
            settings.resize_mode.get_or_insert(VideoResizeMode::None);
        }
        settings
    }

    /// What it could deliver. Every local picture can be made smaller and slower, whatever the source
    /// can do. Nothing of a remote track is for us to choose.
    pub fn get_capabilities(&self) -> MediaTrackCapabilities {
        self.0.source.capabilities().with_crop_and_scale()
    }

    /// What was last asked of it with success.
    pub fn get_constraints(&self) -> MediaTrackConstraints {
        self.0.configured.lock().constraints.clone()
    }

    /// The properties that can be constrained; in a browser `MediaDevices` tells.
    pub fn get_supported_constraints() -> &'static [ConstrainableProperty] {
        ConstrainableProperty::SUPPORTED
    }

    /// [`applyConstraints()`](https://w3c.github.io/mediacapture-main/#dom-mediastreamtrack-applyconstraints):
    /// replaces what is asked of the track. The source is set anew where that helps and no other
    /// track suffers; a picture that is still too large or a rate too high is cut to fit for this track
    /// alone. Blocks for as long as the device takes. On an ended track nothing happens.
    ///
    /// # Errors
    /// [`OverconstrainedError`] if a required constraint cannot be met; the old constraints and
    /// settings stay.
    pub fn apply_constraints(
        &self,
        constraints: MediaTrackConstraints,
    ) -> Result<(), OverconstrainedError> {
        if self.ready_state() == TrackState::Ended {
            return Ok(());
        }
        let source = &self.0.source;
        let _in_order = source.configuring.lock();
        let tracks: Vec<_> = source
            .snapshot()
            .filter(|other| !std::ptr::eq(Arc::as_ptr(other), Arc::as_ptr(&self.0)))
            .collect();
        let promised = |track: &Arc<TrackShared>| {
            let configured = track.configured.lock().clone();
            let settings = configured.settings?;
            Some(Promise::new(source.kind, configured.constraints, settings))
        };
        let others: Vec<_> = tracks.iter().filter_map(promised).collect();
        // Whoever will get a smaller picture of a larger one makes ready for it before it comes.
        let prepared = Mutex::new(Vec::new());
        let prepare = |native: &MediaTrackSettings| {
            let ready = |track: &Arc<TrackShared>| Some((track.clone(), track.prepare(native)?));
            prepared.lock().extend(tracks.iter().filter_map(ready));
        };
        let applied = configure::apply(source, &others, &constraints, &prepare);
        let mut settings = applied.inspect_err(|_| {
            let prepared = std::mem::take(&mut *prepared.lock());
            for (track, before) in prepared {
                track.configure(before);
            }
        })?;
        let made = |s: &MediaTrackSettings| s.resize_mode == Some(VideoResizeMode::CropAndScale);
        if constraints == MediaTrackConstraints::default() && !settings.as_ref().is_some_and(made) {
            // It asks for nothing, and so it stands in nobody's way.
            settings = None;
        }
        self.0.configure(Configured {
            constraints,
            settings,
        });
        for track in tracks.iter().chain([&self.0]) {
            track.keep_promise();
        }
        Ok(())
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(&self, handler: impl Fn(&TrackEvent) + Send + Sync + 'static) -> Subscription {
        self.0.events.subscribe(handler)
    }

    /// Gives the track's frames to `sink` until the handle is dropped. A sink of an ended track is
    /// told of the end at once.
    pub fn add_sink(&self, sink: Arc<dyn Sink>) -> SinkHandle {
        let id = self.0.next_sink.fetch_add(1, Ordering::Relaxed);
        let late = sink.clone();
        let ended = {
            let mut sinks = self.0.sinks.lock();
            Arc::make_mut(&mut sinks.list).push((id, sink));
            sinks.ended
        };
        if ended {
            late.ended();
        }
        let weak = self.0.this.clone();
        SinkHandle::new(Subscription::new(move || {
            if let Some(track) = weak.upgrade() {
                let mut sinks = track.sinks.lock();
                let old = sinks.list.clone();
                Arc::make_mut(&mut sinks.list).retain(|(other, _)| *other != id);
                drop(sinks);
                drop(old);
            }
        }))
    }
}

impl PartialEq for MediaStreamTrack {
    /// Whether both handles are of the same track.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MediaStreamTrack {}

impl fmt::Debug for MediaStreamTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStreamTrack")
            .field("kind", &self.kind())
            .field("label", &self.label())
            .field("id", &self.id())
            .field("ready_state", &self.ready_state())
            .finish()
    }
}

impl TrackShared {
    pub(crate) fn is_live(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// Whether content gets through.
    pub(crate) fn flows(&self) -> bool {
        self.is_live()
            && self.enabled.load(Ordering::Acquire)
            && !self.muted.load(Ordering::Acquire)
    }

    pub(crate) fn deliver(&self, frame: &Frame) {
        if self.ended.load(Ordering::Acquire) {
            return;
        }
        let sinks = self.sinks.lock().list.clone();
        if sinks.is_empty() {
            return;
        }
        let silenced = !self.enabled.load(Ordering::Acquire) || self.muted.load(Ordering::Acquire);
        let Some(frame) = self.rendition(frame, silenced) else {
            return;
        };
        if let Frame::Video(picture) = &*frame {
            let size = (picture.width(), picture.height());
            self.blank.lock().last = Some((size, picture.capture_time));
        }
        for (_, sink) in sinks.iter() {
            sink.accept(&frame);
        }
    }

    /// What the track makes of a frame: left out, smaller, blank, or just what it is.
    fn rendition<'a>(&self, frame: &'a Frame, silenced: bool) -> Option<Cow<'a, Frame>> {
        let mut shape = self.shape.lock();
        match (frame, shape.as_mut()) {
            (Frame::Video(picture), Some(shape)) => {
                if !shape.admit(picture.capture_time) {
                    return None;
                }
                if silenced {
                    let size = shape.size((picture.width(), picture.height()));
                    return Some(Cow::Owned(self.black(size, picture.capture_time)));
                }
                Some(Cow::Owned(shape.scale(picture)?.into()))
            }
            (Frame::Video(picture), None) if silenced => {
                let size = (picture.width(), picture.height());
                Some(Cow::Owned(self.black(size, picture.capture_time)))
            }
            (Frame::Audio(sound), _) if silenced => Some(Cow::Owned(self.silence(sound))),
            _ => Some(Cow::Borrowed(frame)),
        }
    }

    fn configure(&self, configured: Configured) {
        let shape = configured.settings.as_ref().and_then(Shape::of);
        // Both at once, as far as anybody who asks for the settings can tell.
        let mut guard = self.configured.lock();
        *self.shape.lock() = shape;
        *guard = configured;
    }

    pub(crate) fn end(&self, fire: bool) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        self.source.detach(&self.this);
        let sinks = {
            let mut sinks = self.sinks.lock();
            sinks.ended = true;
            sinks.list.clone()
        };
        for (_, sink) in sinks.iter() {
            sink.ended();
        }
        if fire {
            self.events.dispatch(&TrackEvent::Ended);
        }
    }

    /// Black, made once for each size.
    fn black(&self, size: (u32, u32), capture_time: MediaTime) -> Frame {
        let mut blank = self.blank.lock();
        let buffer = match &blank.video {
            Some(b) if (b.width(), b.height()) == size => b.clone(),
            _ => Arc::new(I420Buffer::new(size.0, size.1)),
        };
        blank.video = Some(buffer.clone());
        VideoFrame::new(buffer, capture_time).into()
    }

    /// Silence in the shape of `frame`, made once for each shape.
    fn silence(&self, frame: &AudioFrame) -> Frame {
        let mut blank = self.blank.lock();
        let shape = |b: &AudioBuffer| (b.sample_rate(), b.channels(), b.frames());
        let wanted = shape(&frame.buffer);
        let buffer = match &blank.audio {
            Some(b) if shape(b) == wanted => b.clone(),
            _ => Arc::new(AudioBuffer::new(wanted.0, wanted.1, wanted.2)),
        };
        blank.audio = Some(buffer.clone());
        AudioFrame::new(buffer, frame.capture_time).into()
    }
}

impl Drop for TrackShared {
    fn drop(&mut self) {
        self.end(false);
    }
}

mod follow;
#[cfg(test)]
mod tests;
