//! Tracks that belong together.

use crate::sync::Mutex;
use crate::{EventTarget, MediaKind, MediaStreamTrack, Subscription, TrackState};
use std::fmt;
use std::sync::Arc;

/// [Events on a stream](https://w3c.github.io/mediacapture-main/#event-mediastream-addtrack). They
/// tell of changes that come from elsewhere; what the program does itself fires nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The other side added a track.
    AddTrack(MediaStreamTrack),
    /// The other side removed a track.
    RemoveTrack(MediaStreamTrack),
}

/// [`MediaStream`](https://w3c.github.io/mediacapture-main/#mediastream): tracks that belong together
/// and are played in step.
///
/// `clone()` gives another handle to the same stream; [`clone_stream`](MediaStream::clone_stream) is
/// the W3C's `clone()`.
#[derive(Clone)]
pub struct MediaStream(Arc<StreamShared>);

struct StreamShared {
    id: String,
    tracks: Mutex<Vec<MediaStreamTrack>>,
    events: EventTarget<StreamEvent>,
}

impl MediaStream {
    /// An empty stream.
    pub fn new() -> Self {
        Self::from_tracks([])
    }

    /// A stream of the given tracks, each once. They are shared, not cloned; ended ones are kept.
    pub fn from_tracks(tracks: impl IntoIterator<Item = MediaStreamTrack>) -> Self {
        Self::with_id(uuid::Uuid::new_v4().to_string(), tracks)
    }

    /// A stream of another stream's tracks, as they are now; they are shared, not cloned.
    pub fn from_stream(stream: &MediaStream) -> Self {
        Self::from_tracks(stream.get_tracks())
    }

    /// A stream with an id that somebody else chose, as a remote stream has it (`a=msid`).
    pub fn with_id(
        id: impl Into<String>,
        tracks: impl IntoIterator<Item = MediaStreamTrack>,
    ) -> Self {
        let stream = MediaStream(Arc::new(StreamShared {
            id: id.into(),
            tracks: Mutex::default(),
            events: EventTarget::new(),
        }));
        tracks.into_iter().for_each(|track| stream.add_track(track));
        stream
    }

    /// A UUID, or what the other side chose.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Whether any track has not ended.
    pub fn active(&self) -> bool {
        let tracks = self.0.tracks.lock();
        tracks.iter().any(|t| t.ready_state() == TrackState::Live)
    }

    /// All tracks, as they are now.
    pub fn get_tracks(&self) -> Vec<MediaStreamTrack> {
        self.0.tracks.lock().clone()
    }

    /// The audio tracks, as they are now.
    pub fn get_audio_tracks(&self) -> Vec<MediaStreamTrack> {
        self.of_kind(MediaKind::Audio)
    }

    /// The video tracks, as they are now.
    pub fn get_video_tracks(&self) -> Vec<MediaStreamTrack> {
        self.of_kind(MediaKind::Video)
    }

    /// The track of that id.
    pub fn get_track_by_id(&self, id: &str) -> Option<MediaStreamTrack> {
        self.0.tracks.lock().iter().find(|t| t.id() == id).cloned()
    }

    /// Adds a track; nothing happens if it is there already.
    pub fn add_track(&self, track: MediaStreamTrack) {
        self.insert(track);
    }

    /// Removes a track; nothing happens if it is not there. It is not stopped.
    pub fn remove_track(&self, track: &MediaStreamTrack) {
        self.take(track);
    }

    /// The W3C's `clone()`: a new stream with clones of all tracks, all with ids of their own.
    #[must_use]
    pub fn clone_stream(&self) -> MediaStream {
        Self::from_tracks(self.get_tracks().iter().map(MediaStreamTrack::clone_track))
    }

    /// Calls `handler` for each event until the subscription is dropped.
    pub fn subscribe(
        &self,
        handler: impl Fn(&StreamEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    /// Adds a track on the other side's behalf, and fires
    /// [`addtrack`](https://w3c.github.io/mediacapture-main/#event-mediastream-addtrack) if it is new.
    pub fn add_track_from_elsewhere(&self, track: MediaStreamTrack) {
        if self.insert(track.clone()) {
            self.0.events.dispatch(&StreamEvent::AddTrack(track));
        }
    }

    /// Removes a track on the other side's behalf, and fires
    /// [`removetrack`](https://w3c.github.io/mediacapture-main/#event-mediastream-removetrack) if it
    /// was there.
    pub fn remove_track_from_elsewhere(&self, track: &MediaStreamTrack) {
        if let Some(track) = self.take(track) {
            self.0.events.dispatch(&StreamEvent::RemoveTrack(track));
        }
    }

    fn of_kind(&self, kind: MediaKind) -> Vec<MediaStreamTrack> {
        let tracks = self.0.tracks.lock();
        tracks
            .iter()
            .filter(|t| t.kind() == kind)
            .cloned()
            .collect()
    }

    fn insert(&self, track: MediaStreamTrack) -> bool {
        let mut tracks = self.0.tracks.lock();
        let new = !tracks.contains(&track);
        if new {
            tracks.push(track);
        }
        new
    }

    fn take(&self, track: &MediaStreamTrack) -> Option<MediaStreamTrack> {
        let mut tracks = self.0.tracks.lock();
        let at = tracks.iter().position(|other| other == track)?;
        Some(tracks.remove(at))
    }
}

impl Default for MediaStream {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for MediaStream {
    /// Whether both handles are of the same stream.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for MediaStream {}

impl fmt::Debug for MediaStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaStream")
            .field("id", &self.id())
            .field("tracks", &self.get_tracks())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaSource, MediaTrackCapabilities, MediaTrackSettings};

    fn track(kind: MediaKind) -> MediaStreamTrack {
        let settings = MediaTrackSettings::default();
        MediaSource::new(
            kind,
            "test",
            settings,
            MediaTrackCapabilities::default(),
            (),
        )
        .create_track()
    }

    #[test]
    fn duplicates_and_strangers_change_nothing() {
        let (audio, video) = (track(MediaKind::Audio), track(MediaKind::Video));
        let stream = MediaStream::from_tracks([audio.clone(), audio.clone()]);
        stream.remove_track(&video);
        assert_eq!(stream.get_tracks(), std::slice::from_ref(&audio));
        stream.add_track(video.clone());
        assert_eq!(stream.get_video_tracks(), std::slice::from_ref(&video));
        assert_eq!(stream.get_track_by_id(video.id()), Some(video));
    }

    #[test]
    fn a_stream_is_active_while_a_track_is_live() {
        let track = track(MediaKind::Audio);
        let stream = MediaStream::from_tracks([track.clone()]);
        assert!(stream.active());
        track.stop();
        assert!(!stream.active());
        assert!(!MediaStream::new().active());
    }

    #[test]
    fn a_clone_has_ids_of_its_own() {
        let stream = MediaStream::from_tracks([track(MediaKind::Audio)]);
        let clone = stream.clone_stream();
        assert_ne!(stream.id(), clone.id());
        assert_ne!(stream.get_tracks()[0].id(), clone.get_tracks()[0].id());
    }

    #[test]
    fn only_changes_from_elsewhere_fire() {
        let stream = MediaStream::new();
        let (ours, theirs) = (track(MediaKind::Audio), track(MediaKind::Video));
        let log = Arc::new(Mutex::new(Vec::new()));
        let _subscription = stream.subscribe({
            let log = log.clone();
            move |event| log.lock().push(event.clone())
        });
        stream.add_track(ours.clone());
        stream.remove_track(&ours);
        stream.add_track_from_elsewhere(theirs.clone());
        stream.add_track_from_elsewhere(theirs.clone());
        stream.remove_track_from_elsewhere(&theirs);
        assert_eq!(
            *log.lock(),
            [
                StreamEvent::AddTrack(theirs.clone()),
                StreamEvent::RemoveTrack(theirs)
            ]
        );
    }
}
