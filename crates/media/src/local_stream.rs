//! The pieces of 2012: what the first
//! [drafts](https://www.w3.org/TR/2012/WD-mediacapture-streams-20120628/) had, in terms of what became of
//! it.

use crate::{MediaKind, MediaStream, MediaStreamTrack};
use std::ops::Deref;

/// `LocalMediaStream`: a stream of this machine's devices, which is stopped as a whole. It is a
/// [`MediaStream`] in all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMediaStream(MediaStream);

impl LocalMediaStream {
    /// Stops every track that is in the stream now. Today's way is to
    /// [stop](MediaStreamTrack::stop) the tracks one by one.
    pub fn stop(&self) {
        self.0.get_tracks().iter().for_each(MediaStreamTrack::stop);
    }

    /// `label`, which became [`MediaStream::id`].
    pub fn label(&self) -> &str {
        self.0.id()
    }

    /// `audioTracks`.
    pub fn audio_tracks(&self) -> MediaStreamTrackList {
        MediaStreamTrackList::new(self, MediaKind::Audio)
    }

    /// `videoTracks`.
    pub fn video_tracks(&self) -> MediaStreamTrackList {
        MediaStreamTrackList::new(self, MediaKind::Video)
    }
}

impl From<MediaStream> for LocalMediaStream {
    fn from(stream: MediaStream) -> Self {
        LocalMediaStream(stream)
    }
}

impl Deref for LocalMediaStream {
    type Target = MediaStream;

    fn deref(&self) -> &MediaStream {
        &self.0
    }
}

/// `MediaStreamTrackList`: a stream's tracks of one kind. It is live: it shows what the stream has at
/// the time, and adding and removing changes the stream.
#[derive(Clone, Debug)]
pub struct MediaStreamTrackList {
    stream: MediaStream,
    kind: MediaKind,
}

impl MediaStreamTrackList {
    fn new(stream: &MediaStream, kind: MediaKind) -> Self {
        let stream = stream.clone();
        MediaStreamTrackList { stream, kind }
    }

    /// `length`.
    pub fn len(&self) -> usize {
        self.tracks().len()
    }

    /// Whether there is no track of the kind.
    pub fn is_empty(&self) -> bool {
        self.tracks().is_empty()
    }

    /// `list[index]`.
    pub fn get(&self, index: usize) -> Option<MediaStreamTrack> {
        self.tracks().into_iter().nth(index)
    }

    /// `add(track)`. False, and nothing happens, if it is of the other kind.
    pub fn add(&self, track: MediaStreamTrack) -> bool {
        let ours = track.kind() == self.kind;
        if ours {
            self.stream.add_track(track);
        }
        ours
    }

    /// `remove(track)`. Nothing happens if it is not there.
    pub fn remove(&self, track: &MediaStreamTrack) {
        if track.kind() == self.kind {
            self.stream.remove_track(track);
        }
    }

    /// The tracks, as they are now.
    pub fn tracks(&self) -> Vec<MediaStreamTrack> {
        match self.kind {
            MediaKind::Audio => self.stream.get_audio_tracks(),
            MediaKind::Video => self.stream.get_video_tracks(),
        }
    }
}

impl IntoIterator for &MediaStreamTrackList {
    type Item = MediaStreamTrack;
    type IntoIter = std::vec::IntoIter<MediaStreamTrack>;

    fn into_iter(self) -> Self::IntoIter {
        self.tracks().into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MediaSource, MediaTrackCapabilities, MediaTrackSettings, TrackState};

    fn track(kind: MediaKind) -> MediaStreamTrack {
        let (settings, nothing) = (
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
        );
        MediaSource::new(kind, "device", settings, nothing, ()).create_track()
    }

    #[test]
    fn a_page_of_2012_finds_its_stream() {
        let (audio, video) = (track(MediaKind::Audio), track(MediaKind::Video));
        let stream = LocalMediaStream::from(MediaStream::from_tracks([audio.clone()]));
        let list = stream.video_tracks();
        assert!(list.is_empty() && !list.add(audio.clone()) && list.add(video.clone()));
        assert_eq!(
            (list.len(), list.get(0), list.get(1)),
            (1, Some(video.clone()), None)
        );
        assert_eq!(stream.get_tracks().len(), 2, "the stream itself has it");
        assert_eq!(stream.label(), stream.id());
        list.remove(&audio);
        assert_eq!(stream.audio_tracks().len(), 1);
        stream.stop();
        assert!(!stream.active());
        assert_eq!(video.ready_state(), TrackState::Ended);
        list.remove(&video);
        assert_eq!((&list).into_iter().count(), 0);
    }
}
