//! Ten thousand times the life of a track leaves nothing behind.

use duet_media::channels::{merge_channels, mix_channels, split_channels};
use duet_media::process::{MediaStreamTrackGenerator, MediaStreamTrackProcessor};
use duet_media::{
    Frame, MediaKind, MediaSource, MediaStream, MediaTrackCapabilities, MediaTrackSettings, Sink,
    SourceControl,
};
use std::sync::Arc;

/// What everything that may be left behind holds.
struct Token(#[allow(dead_code, reason = "held for its count")] Arc<()>);

impl SourceControl for Token {}

impl Sink for Token {
    fn accept(&self, _frame: &Frame) {}
}

fn source(kind: MediaKind, token: &Arc<()>) -> MediaSource {
    let settings = MediaTrackSettings {
        channel_count: Some(2),
        ..Default::default()
    };
    let nothing = MediaTrackCapabilities::default();
    MediaSource::new(kind, "device", settings, nothing, Token(token.clone()))
}

#[test]
fn streams_and_tracks() {
    let token = Arc::new(());
    let kept = source(MediaKind::Video, &token);
    let forever = kept.create_track();
    let stream = MediaStream::new();
    for n in 0..10_000 {
        let track = kept.create_track();
        let clone = track.clone_track();
        stream.add_track(track.clone());
        stream.add_track(clone.clone());
        let other = stream.clone_stream();
        let held = token.clone();
        let _subscriptions = (
            clone.subscribe(move |_| drop(held.clone())),
            clone.add_sink(Arc::new(Token(token.clone()))),
        );
        stream.remove_track(&track);
        stream.remove_track(&clone);
        if n % 2 == 0 {
            track.stop();
            other.get_tracks().iter().for_each(|track| track.stop());
        }
    }
    assert!(stream.get_tracks().is_empty());
    assert!(kept.is_wanted());
    drop(forever);
    assert!(!kept.is_wanted());
    drop(kept);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn what_is_made_from_tracks() {
    let token = Arc::new(());
    for n in 0..10_000 {
        let sources = [
            source(MediaKind::Audio, &token),
            source(MediaKind::Audio, &token),
        ];
        let tracks = sources.each_ref().map(MediaSource::create_track);
        let split = split_channels(&tracks[0]);
        let merged = merge_channels(&split);
        let both = merge_channels(&tracks);
        let mixed = both.as_ref().and_then(|track| mix_channels(track, 1));
        let read = mixed
            .as_ref()
            .map(|track| MediaStreamTrackProcessor::new(track, 2));
        let generator = MediaStreamTrackGenerator::new(MediaKind::Audio, "made");
        let made = generator.track();
        match n % 3 {
            0 => sources.iter().for_each(MediaSource::end),
            1 => tracks.iter().for_each(|track| track.stop()),
            _ => {}
        }
        drop((read, merged, generator));
        drop((made, mixed, both, split));
    }
    assert_eq!(Arc::strong_count(&token), 1);
}
