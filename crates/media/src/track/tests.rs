use super::*;
use crate::{FrameQueue, MediaSource, MediaTime, SourceControl};
use std::sync::atomic::AtomicU32;

struct CountStops(Arc<AtomicU32>);
impl SourceControl for CountStops {
    fn stop(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn source(kind: MediaKind) -> (MediaSource, Arc<AtomicU32>) {
    let stops = Arc::new(AtomicU32::new(0));
    let control = CountStops(stops.clone());
    let none = MediaTrackSettings::default();
    (
        MediaSource::new(
            kind,
            "test",
            none,
            MediaTrackCapabilities::default(),
            control,
        ),
        stops,
    )
}

fn grey() -> Frame {
    let mut buffer = I420Buffer::new(4, 4);
    buffer.as_bytes_mut().fill(100);
    VideoFrame::new(Arc::new(buffer), MediaTime::from_millis(7)).into()
}

fn luma(frame: Option<Frame>) -> Option<u8> {
    match frame? {
        Frame::Video(frame) => Some(frame.buffer.y()[0]),
        Frame::Audio(_) => None,
    }
}

#[test]
fn the_source_stops_with_its_last_track_and_once() {
    let (source, stops) = source(MediaKind::Video);
    let first = source.create_track();
    let second = first.clone_track();
    first.stop();
    first.stop();
    assert_eq!(stops.load(Ordering::SeqCst), 0);
    drop(second);
    assert_eq!(stops.load(Ordering::SeqCst), 1);
    assert_eq!(source.create_track().ready_state(), TrackState::Ended);
    assert_eq!(stops.load(Ordering::SeqCst), 1);
}

#[test]
fn a_disabled_track_shows_black_and_its_clone_does_not_follow() {
    let (source, _) = source(MediaKind::Video);
    let (track, clone) = (source.create_track(), source.create_track());
    let (seen, seen_by_clone) = (
        Arc::new(FrameQueue::latest()),
        Arc::new(FrameQueue::latest()),
    );
    let _sinks = (
        track.add_sink(seen.clone()),
        clone.add_sink(seen_by_clone.clone()),
    );
    track.set_enabled(false);
    source.publish(&grey());
    assert_eq!(luma(seen.try_pop()), Some(16));
    assert_eq!(luma(seen_by_clone.try_pop()), Some(100));
    track.set_enabled(true);
    source.publish(&grey());
    assert_eq!(luma(seen.try_pop()), Some(100));
}

#[test]
fn a_lost_source_ends_its_tracks_with_one_event_and_a_stop_with_none() {
    let (source, stops) = source(MediaKind::Audio);
    let (kept, stopped) = (source.create_track(), source.create_track());
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = |name: &'static str| {
        let events = events.clone();
        move |event: &TrackEvent| events.lock().push((name, *event))
    };
    let _subscriptions = (
        kept.subscribe(log("kept")),
        stopped.subscribe(log("stopped")),
    );
    stopped.stop();
    source.set_muted(true);
    source.set_muted(true);
    source.set_muted(false);
    source.end();
    source.end();
    assert_eq!(
        *events.lock(),
        [
            ("kept", TrackEvent::Mute),
            ("kept", TrackEvent::Unmute),
            ("kept", TrackEvent::Ended)
        ]
    );
    assert_eq!(stops.load(Ordering::SeqCst), 0, "the device went by itself");
}

#[test]
fn a_detached_sink_gets_nothing_and_a_late_one_hears_of_the_end() {
    let (source, _) = source(MediaKind::Video);
    let track = source.create_track();
    let queue = Arc::new(FrameQueue::latest());
    drop(track.add_sink(queue.clone()));
    source.publish(&grey());
    assert!(queue.try_pop().is_none());
    track.stop();
    let _sink = track.add_sink(queue.clone());
    assert!(queue.is_ended());
}

#[test]
fn a_hint_fits_its_kind_and_goes_along_with_a_clone() {
    let (source, _) = source(MediaKind::Video);
    let track = source.create_track();
    assert_eq!(track.content_hint(), ContentHint::None);
    track.set_content_hint(ContentHint::Text);
    track.set_content_hint(ContentHint::Music);
    assert_eq!(track.content_hint(), ContentHint::Text);
    assert_eq!(track.clone_track().content_hint(), ContentHint::Text);
    track.set_content_hint(ContentHint::None);
    assert_eq!(track.content_hint(), ContentHint::None);
}
