//! Ten thousand times the life of a track leaves nothing behind: nobody who is held, no memory, no
//! thread.

use duet_media::channels::{merge_channels, mix_channels, split_channels};
use duet_media::process::{MediaStreamTrackGenerator, MediaStreamTrackProcessor};
use duet_media::{
    Frame, FrameQueue, I420Buffer, MediaKind, MediaSource, MediaStream, MediaTime,
    MediaTrackCapabilities, MediaTrackSettings, Sink, SourceControl, VideoFrame,
};
use parking_lot::{Mutex, MutexGuard};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CYCLES: usize = 10_000;
/// After so many everything that is kept for use again is there.
const SETTLED: usize = 100;
/// What a test harness may take meanwhile, in bytes: less than two for each cycle.
const SLACK: isize = 16 * 1_024;

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

/// Does it ten thousand times, alone in the process, and looks at what is left.
fn cycle(token: &Arc<()>, mut once: impl FnMut(usize)) {
    let _alone = alone();
    let (mut held, mut before, mut threads) = (0, 0, 0);
    for n in 0..CYCLES {
        if n == SETTLED {
            (held, before, threads) = (Arc::strong_count(token), in_use(), running());
        }
        once(n);
    }
    assert_eq!(Arc::strong_count(token), held, "somebody is still held");
    let grown = in_use() - before;
    assert!(grown <= SLACK, "{grown} bytes were left behind");
    assert!(running() <= threads, "threads were left behind");
}

/// The tests of this process, one after the other: they count what all of it does.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// Bytes that are allocated.
fn in_use() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Threads that run, where the system tells.
fn running() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn picture(number: usize) -> Frame {
    let time = MediaTime::from_millis(number as i64 * 33);
    VideoFrame::new(Arc::new(I420Buffer::new(32, 18)), time).into()
}

#[test]
fn streams() {
    let token = Arc::new(());
    let kept = source(MediaKind::Video, &token);
    let forever = kept.create_track();
    let stream = MediaStream::new();
    cycle(&token, |n| {
        let track = kept.create_track();
        let clone = track.clone_track();
        let held = token.clone();
        let subscription = stream.subscribe(move |_| drop(held.clone()));
        stream.add_track(track.clone());
        stream.add_track_from_elsewhere(clone.clone());
        let other = stream.clone_stream();
        let third = MediaStream::from_stream(&other);
        stream.remove_track(&track);
        stream.remove_track_from_elsewhere(&clone);
        if n % 2 == 0 {
            third.get_tracks().iter().for_each(|track| track.stop());
        }
        drop(subscription);
        assert!(stream.get_tracks().is_empty());
    });
    assert!(kept.is_wanted());
    drop(forever);
    assert!(!kept.is_wanted(), "a track was left behind");
    drop(kept);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn tracks_and_their_sinks() {
    let token = Arc::new(());
    let kept = source(MediaKind::Video, &token);
    let forever = kept.create_track();
    let queue = Arc::new(FrameQueue::new(2));
    let _sink = forever.add_sink(queue.clone());
    cycle(&token, |n| {
        let track = kept.create_track();
        let clone = track.clone_track();
        let held = token.clone();
        let subscription = clone.subscribe(move |_| drop(held.clone()));
        // One sink goes before its track, the other stays until its track has gone.
        let early = track.add_sink(Arc::new(Token(token.clone())));
        let late = clone.add_sink(Arc::new(Token(token.clone())));
        let reader = Arc::new(FrameQueue::latest());
        let read = clone.add_sink(reader.clone());
        clone.set_enabled(n % 3 > 0);
        kept.publish(&picture(n));
        assert!(reader.try_pop().is_some() && queue.try_pop().is_some());
        drop(early);
        match n % 3 {
            0 => track.stop(),
            1 => clone.stop(),
            _ => {}
        }
        drop((track, clone));
        drop((late, read, subscription));
    });
    assert!(kept.is_wanted());
}

#[test]
fn sources() {
    let token = Arc::new(());
    cycle(&token, |n| {
        let source = source(MediaKind::Video, &token);
        let track = source.create_track();
        let clone = track.clone_track();
        let held = token.clone();
        let subscription = track.subscribe(move |_| drop(held.clone()));
        let sink = clone.add_sink(Arc::new(Token(token.clone())));
        source.set_muted(true);
        source.publish(&picture(n));
        source.set_muted(false);
        match n % 5 {
            0 => source.end(),
            1 => source.revoke(),
            2 => source.stop(),
            3 => {
                track.stop();
                clone.stop();
            }
            // They go with their last handle.
            _ => {}
        }
        let late = source.create_track();
        drop((source, late, track));
        drop((clone, sink, subscription));
    });
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn what_is_made_from_tracks() {
    let token = Arc::new(());
    cycle(&token, |n| {
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
    });
    assert_eq!(Arc::strong_count(&token), 1);
}
