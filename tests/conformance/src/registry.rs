//! The tracks and streams that a page knows, and what it was told of them last.
//!
//! Known on every thread: what brings a new track must listen to it before anything can happen to it.

use crate::agenda::{Task, tell};
use crate::door::Thrown;
use duet_media::{MediaStream, MediaStreamTrack, StreamEvent, Subscription, TrackEvent};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tracks and streams by their ids. Clones are the same registry.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Mutex<Objects>>);

struct Objects {
    sender: Sender<Task>,
    tracks: HashMap<String, Known>,
    streams: HashMap<String, (MediaStream, Subscription)>,
}

struct Known {
    track: MediaStreamTrack,
    /// As the last event said: a script sees it change when it hears of it.
    muted: bool,
    _subscription: Subscription,
}

impl Registry {
    pub(crate) fn new(sender: Sender<Task>) -> Self {
        Registry(Arc::new(Mutex::new(Objects {
            sender,
            tracks: HashMap::new(),
            streams: HashMap::new(),
        })))
    }

    pub(crate) fn track(&self, id: &Value) -> Result<MediaStreamTrack, Thrown> {
        let objects = self.objects();
        let found = id.as_str().and_then(|id| objects.tracks.get(id));
        let known = found.ok_or_else(|| Thrown::type_error(format!("no track {id}")))?;
        Ok(known.track.clone())
    }

    pub(crate) fn stream(&self, id: &Value) -> Result<MediaStream, Thrown> {
        let objects = self.objects();
        let found = id.as_str().and_then(|id| objects.streams.get(id));
        let (stream, _) = found.ok_or_else(|| Thrown::type_error(format!("no stream {id}")))?;
        Ok(stream.clone())
    }

    /// Whether the page has been told that the track is muted.
    pub(crate) fn muted(&self, track: &MediaStreamTrack) -> bool {
        let objects = self.objects();
        let known = objects.tracks.get(track.id());
        known.map_or_else(|| track.muted(), |known| known.muted)
    }

    /// The page is being told of an event on a track.
    pub(crate) fn told(&self, id: &str, event: &str) {
        if let Some(known) = self.objects().tracks.get_mut(id) {
            match event {
                "mute" => known.muted = true,
                "unmute" => known.muted = false,
                _ => {}
            }
        }
    }

    /// The id of a track that the page sees, perhaps for the first time.
    pub(crate) fn meet_track(&self, track: MediaStreamTrack) -> String {
        let mut objects = self.objects();
        let sender = objects.sender.clone();
        let id = track.id().to_string();
        objects.tracks.entry(id.clone()).or_insert_with_key(|id| {
            let id = id.clone();
            let subscription = track.subscribe(move |event| {
                let name = match event {
                    TrackEvent::Ended => "ended",
                    TrackEvent::Mute => "mute",
                    TrackEvent::Unmute => "unmute",
                };
                tell(&sender, Task::Track(id.clone(), name));
            });
            Known {
                muted: track.muted(),
                track,
                _subscription: subscription,
            }
        });
        id
    }

    /// The id of a stream that the page sees, perhaps for the first time.
    pub(crate) fn meet_stream(&self, stream: MediaStream) -> String {
        let mut objects = self.objects();
        let sender = objects.sender.clone();
        let id = stream.id().to_string();
        objects.streams.entry(id.clone()).or_insert_with_key(|id| {
            let id = id.clone();
            let subscription = stream.subscribe(move |event| {
                let (name, track) = match event {
                    StreamEvent::AddTrack(track) => ("addtrack", track),
                    StreamEvent::RemoveTrack(track) => ("removetrack", track),
                };
                tell(&sender, Task::Stream(id.clone(), name, track.clone()));
            });
            (stream, subscription)
        });
        id
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        // Nothing is left half done by a panic in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
