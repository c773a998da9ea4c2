//! What threads share, under a scheduler that tries out thousands of ways in which they can interleave.
//! `cargo nextest run -p duet-media --features shuttle --test shuttle`

use duet_media::{
    Frame, I420Buffer, MediaKind, MediaSource, MediaStream, MediaStreamTrack, MediaTime,
    MediaTrackCapabilities, MediaTrackSettings, Sink, SourceControl, TrackEvent, TrackState,
    VideoFrame,
};
use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use shuttle::thread;
use std::sync::Arc;

const SCHEDULES: usize = 5_000;

/// What a device was told.
#[derive(Default)]
struct Log {
    stops: AtomicU32,
    demanded: AtomicBool,
    told: AtomicU32,
    /// Two calls at once, or the same thing twice.
    wrong: AtomicBool,
    busy: AtomicBool,
}

struct Device(Arc<Log>);

impl SourceControl for Device {
    fn stop(&self) {
        self.0.stops.fetch_add(1, Ordering::SeqCst);
    }

    fn demand(&self, wanted: bool) {
        let log = &self.0;
        if log.busy.swap(true, Ordering::SeqCst) {
            log.wrong.store(true, Ordering::SeqCst);
        }
        log.told.fetch_add(1, Ordering::SeqCst);
        if log.demanded.swap(wanted, Ordering::SeqCst) == wanted {
            log.wrong.store(true, Ordering::SeqCst);
        }
        log.busy.store(false, Ordering::SeqCst);
    }
}

fn camera() -> (MediaSource, Arc<Log>) {
    let log = Arc::new(Log::default());
    log.demanded.store(true, Ordering::SeqCst);
    let (settings, nothing) = (
        MediaTrackSettings::default(),
        MediaTrackCapabilities::default(),
    );
    let device = Device(log.clone());
    (
        MediaSource::new(MediaKind::Video, "camera", settings, nothing, device),
        log,
    )
}

fn at_once<const N: usize>(work: [Box<dyn FnOnce() + Send>; N]) {
    let threads = work.map(thread::spawn);
    for thread in threads {
        assert!(thread.join().is_ok());
    }
}

fn flows(track: &MediaStreamTrack) -> bool {
    track.enabled() && !track.muted() && track.ready_state() == TrackState::Live
}

#[test]
fn the_last_word_on_the_demand_is_true() {
    shuttle::check_random(
        || {
            let (source, log) = camera();
            let (a, b) = (source.create_track(), source.create_track());
            let (x, y, z) = (a.clone(), b.clone(), source.clone());
            at_once([
                Box::new(move || {
                    x.set_enabled(false);
                    x.set_enabled(true);
                    x.set_enabled(false);
                }),
                Box::new(move || y.set_enabled(false)),
                Box::new(move || {
                    z.set_muted(true);
                    z.set_muted(false);
                    drop(z.create_track());
                }),
            ]);
            assert!(!log.wrong.load(Ordering::SeqCst));
            let wanted = flows(&a) || flows(&b);
            assert_eq!(log.demanded.load(Ordering::SeqCst), wanted);
            b.set_enabled(true);
            assert!(log.demanded.load(Ordering::SeqCst));
            assert_eq!(log.stops.load(Ordering::SeqCst), 0);
        },
        SCHEDULES,
    );
}

#[test]
fn two_who_switch_at_once_are_both_seen() {
    for enabled in [false, true] {
        shuttle::check_random(
            move || {
                let (source, log) = camera();
                let (a, b) = (source.create_track(), source.create_track());
                b.set_enabled(enabled);
                let (x, y) = (a.clone(), b.clone());
                at_once([
                    Box::new(move || x.set_enabled(false)),
                    Box::new(move || y.set_enabled(!enabled)),
                ]);
                assert!(!log.wrong.load(Ordering::SeqCst));
                assert_eq!(log.demanded.load(Ordering::SeqCst), flows(&a) || flows(&b));
            },
            SCHEDULES,
        );
    }
}

#[test]
fn a_source_stops_once_however_its_tracks_go() {
    shuttle::check_random(
        || {
            let (source, log) = camera();
            let (a, b) = (source.create_track(), source.create_track());
            let (x, y, clone) = (a.clone(), b.clone(), b.clone());
            at_once([
                Box::new(move || x.stop()),
                Box::new(move || {
                    let late = clone.clone_track();
                    late.stop();
                    late.stop();
                }),
                Box::new(move || y.stop()),
            ]);
            assert_eq!(a.ready_state(), TrackState::Ended);
            assert_eq!(b.ready_state(), TrackState::Ended);
            assert!(!source.is_wanted());
            assert_eq!(log.stops.load(Ordering::SeqCst), 1);
            assert_eq!(source.create_track().ready_state(), TrackState::Ended);
        },
        SCHEDULES,
    );
}

#[test]
fn an_end_is_told_once_to_everybody_and_a_stop_to_nobody() {
    struct Ends(Arc<AtomicU32>);
    impl Sink for Ends {
        fn accept(&self, _frame: &Frame) {}
        fn ended(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    shuttle::check_random(
        || {
            let (source, log) = camera();
            let track = source.create_track();
            let events = Arc::new(AtomicU32::new(0));
            let _subscription = track.subscribe({
                let events = events.clone();
                move |event| {
                    if *event == TrackEvent::Ended {
                        events.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
            let told = Arc::new(AtomicU32::new(0));
            let (x, y, z, sink) = (track.clone(), track.clone(), source.clone(), told.clone());
            at_once([
                Box::new(move || x.stop()),
                Box::new(move || z.end()),
                Box::new(move || drop(y.add_sink(Arc::new(Ends(sink))))),
            ]);
            let late = track.add_sink(Arc::new(Ends(told.clone())));
            assert!((1..=2).contains(&told.load(Ordering::SeqCst)));
            drop(late);
            let events = events.load(Ordering::SeqCst);
            let stops = log.stops.load(Ordering::SeqCst);
            assert!(
                events <= 1 && events + stops <= 1,
                "{events} events, {stops} stops"
            );
        },
        SCHEDULES,
    );
}

#[test]
fn a_stream_holds_each_track_once_and_frames_go_on_meanwhile() {
    shuttle::check_random(
        || {
            let (source, _log) = camera();
            let track = source.create_track();
            let stream = MediaStream::new();
            let (a, b, c) = (stream.clone(), stream.clone(), track.clone());
            let (x, y) = (track.clone(), track.clone());
            at_once([
                Box::new(move || a.add_track(x)),
                Box::new(move || {
                    b.add_track(y);
                    assert_eq!(b.get_tracks().len(), 1);
                }),
                Box::new(move || {
                    let picture = Arc::new(I420Buffer::new(2, 2));
                    source.publish(&VideoFrame::new(picture, MediaTime::ZERO).into());
                    c.stop();
                }),
            ]);
            assert_eq!(stream.get_tracks(), [track]);
            assert!(!stream.active());
        },
        SCHEDULES,
    );
}

#[test]
fn what_is_revoked_is_not_outlived_by_a_clone() {
    shuttle::check_random(
        || {
            let (source, log) = camera();
            let track = source.create_track();
            let (x, z) = (track.clone(), source.clone());
            let clone = Arc::new(shuttle::sync::Mutex::new(None));
            let made = clone.clone();
            at_once([
                Box::new(move || {
                    let late = x.clone_track();
                    *made.lock().unwrap() = Some(late);
                }),
                Box::new(move || z.revoke()),
            ]);
            let clone = clone.lock().unwrap().take().unwrap();
            assert_eq!(track.ready_state(), TrackState::Ended);
            assert_eq!(clone.ready_state(), TrackState::Ended);
            assert_eq!(log.stops.load(Ordering::SeqCst), 1);
            assert!(!source.is_wanted());
        },
        SCHEDULES,
    );
}

#[test]
fn a_track_is_muted_in_the_end_as_its_source_is() {
    shuttle::check_random(
        || {
            let (source, _log) = camera();
            let track = source.create_track();
            let (x, y, z) = (source.clone(), source.clone(), track.clone());
            let clone = Arc::new(shuttle::sync::Mutex::new(None));
            let made = clone.clone();
            at_once([
                Box::new(move || {
                    x.set_muted(true);
                    x.set_muted(false);
                }),
                Box::new(move || y.set_muted(true)),
                Box::new(move || *made.lock().unwrap() = Some(z.clone_track())),
            ]);
            let clone = clone.lock().unwrap().take().unwrap();
            assert_eq!(track.muted(), source.is_muted());
            assert_eq!(clone.muted(), source.is_muted());
        },
        SCHEDULES,
    );
}

/// A sink that is taken away while a frame is on its way may get it, but hears nothing after it was told
/// of the end, and nothing twice.
#[test]
fn a_sink_is_taken_away_while_frames_and_the_end_come() {
    #[derive(Default)]
    struct Ear {
        frames: AtomicU32,
        ends: AtomicU32,
    }
    impl Sink for Ear {
        fn accept(&self, _frame: &Frame) {
            self.frames.fetch_add(1, Ordering::SeqCst);
        }
        fn ended(&self) {
            self.ends.fetch_add(1, Ordering::SeqCst);
        }
    }
    shuttle::check_random(
        || {
            let (source, _log) = camera();
            let track = source.create_track();
            let (gone, stays) = (Arc::new(Ear::default()), Arc::new(Ear::default()));
            let handle = track.add_sink(gone.clone());
            let _stays = track.add_sink(stays.clone());
            let (x, z) = (track.clone(), source.clone());
            at_once([
                Box::new(move || drop(handle)),
                Box::new(move || {
                    let picture = Arc::new(I420Buffer::new(2, 2));
                    source.publish(&VideoFrame::new(picture, MediaTime::ZERO).into());
                }),
                Box::new(move || {
                    x.set_enabled(false);
                    z.end();
                }),
            ]);
            let count = |n: &AtomicU32| n.load(Ordering::SeqCst);
            assert!(count(&gone.frames) <= 1 && count(&gone.ends) <= 1);
            assert!(count(&stays.frames) <= 1);
            assert_eq!(count(&stays.ends), 1);
        },
        SCHEDULES,
    );
}
