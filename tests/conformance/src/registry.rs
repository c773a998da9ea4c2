//! The tracks and streams that a page knows, and what it was told of them last.
//!
//! Each has a handle, `7 <its id>`: a stream of the other end has the id of the one that was sent, and both
//! may be here. Known on every thread: what brings a new track must listen to it before anything can
//! happen to it.

use crate::agenda::{Task, tell};
use crate::door::Thrown;
use duet_media::{MediaStream, MediaStreamTrack, StreamEvent, Subscription, TrackEvent};
use serde_json::Value;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tracks and streams by their handles. Clones are the same registry.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Mutex<Objects>>);

struct Objects {
    sender: Sender<Task>,
    tracks: Vec<Known>,
    streams: Vec<(MediaStream, Subscription)>,
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
            tracks: Vec::new(),
            streams: Vec::new(),
        })))
    }

    pub(crate) fn track(&self, handle: &Value) -> Result<MediaStreamTrack, Thrown> {
        let objects = self.objects();
        let known = number(handle.as_str()).and_then(|at| objects.tracks.get(at));
        let known = known.ok_or_else(|| Thrown::type_error(format!("no track {handle}")))?;
        Ok(known.track.clone())
    }

    pub(crate) fn stream(&self, handle: &Value) -> Result<MediaStream, Thrown> {
        let objects = self.objects();
        let known = number(handle.as_str()).and_then(|at| objects.streams.get(at));
        let known = known.ok_or_else(|| Thrown::type_error(format!("no stream {handle}")))?;
        Ok(known.0.clone())
    }

    /// Whether the page has been told that the track is muted.
    pub(crate) fn muted(&self, track: &MediaStreamTrack) -> bool {
        let objects = self.objects();
        let known = objects.tracks.iter().find(|known| known.track == *track);
        known.map_or_else(|| track.muted(), |known| known.muted)
    }

    /// The page is being told of an event on a track.
    pub(crate) fn told(&self, handle: &str, event: &str) {
        let mut objects = self.objects();
        if let Some(known) = number(Some(handle)).and_then(|at| objects.tracks.get_mut(at)) {
            match event {
                "mute" => known.muted = true,
                "unmute" => known.muted = false,
                _ => {}
            }
        }
    }

    /// The handle of a track that the page sees, perhaps for the first time.
    pub(crate) fn meet_track(&self, track: MediaStreamTrack) -> String {
        let mut objects = self.objects();
        let known = objects.tracks.iter().position(|known| known.track == track);
        let handle = handle(known.unwrap_or(objects.tracks.len()), track.id());
        if known.is_none() {
            let (sender, to) = (objects.sender.clone(), handle.clone());
            let subscription = track.subscribe(move |event| {
                let name = match event {
                    TrackEvent::Ended => "ended",
                    TrackEvent::Mute => "mute",
                    TrackEvent::Unmute => "unmute",
                };
                tell(&sender, Task::Track(to.clone(), name));
            });
            objects.tracks.push(Known {
                muted: track.muted(),
                track,
                _subscription: subscription,
            });
        }
        handle
    }

    /// The handle of a stream that the page sees, perhaps for the first time.
    pub(crate) fn meet_stream(&self, stream: MediaStream) -> String {
        let mut objects = self.objects();
        let known = objects.streams.iter().position(|known| known.0 == stream);
        let handle = handle(known.unwrap_or(objects.streams.len()), stream.id());
        if known.is_none() {
            let (sender, to) = (objects.sender.clone(), handle.clone());
            let subscription = stream.subscribe(move |event| {
                let (name, track) = match event {
                    StreamEvent::AddTrack(track) => ("addtrack", track),
                    StreamEvent::RemoveTrack(track) => ("removetrack", track),
                };
                tell(&sender, Task::Stream(to.clone(), name, track.clone()));
            });
            objects.streams.push((stream, subscription));
        }
        handle
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        // Nothing is left half done by a panic in here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn handle(number: usize, id: &str) -> String {
    format!("{number} {id}")
}

fn number(handle: Option<&str>) -> Option<usize> {
    handle?.split_once(' ')?.0.parse().ok()
}
