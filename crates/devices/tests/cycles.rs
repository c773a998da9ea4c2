//! Ten thousand times a camera and a microphone that have threads of their own: no thread and no memory
//! is left behind.

use duet_devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
use duet_media::{FrameQueue, MediaStream, MonotonicClock, TrackState};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CYCLES: usize = 10_000;
/// After so many everything that is kept for use again is there.
const SETTLED: usize = 500;
/// Threads that may be on their way out at once.
const PARTING: usize = 64;
/// In bytes: some seven for each cycle.
const SLACK: isize = 64 * 1_024;
const PATIENCE: Duration = Duration::from_secs(30);

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Bytes that are allocated.
fn in_use() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// A thread that was told to end tells nobody when it has: it is looked for.
fn until_at_most(most: usize) {
    let since = Instant::now();
    while threads() > most {
        assert!(since.elapsed() < PATIENCE, "{} threads are left", threads());
        std::thread::yield_now();
    }
}

#[test]
fn cameras_and_microphones() {
    let clock = Arc::new(MonotonicClock::new());
    let config = SyntheticCameraConfig {
        width: 40,
        height: 18,
        ..Default::default()
    };
    let sound = SyntheticMicrophoneConfig::default();
    let idle = threads();
    let mut before = 0;
    for n in 0..CYCLES {
        if n == SETTLED {
            until_at_most(idle);
            before = in_use();
        }
        let stream = MediaStream::from_tracks([
            SyntheticCamera::start(config, clock.clone()),
            SyntheticMicrophone::start(sound, clock.clone()),
        ]);
        let clone = stream.clone_stream();
        let queue = Arc::new(FrameQueue::latest());
        let sinks: Vec<_> = clone
            .get_tracks()
            .iter()
            .map(|track| track.add_sink(queue.clone()))
            .collect();
        if n % 100 == 0 {
            assert!(queue.pop_timeout(PATIENCE).is_some(), "it delivers");
        }
        for track in stream.get_tracks() {
            track.stop();
            stream.remove_track(&track);
        }
        let tracks = clone.get_tracks();
        assert!(tracks.iter().all(|t| t.ready_state() == TrackState::Live));
        // Stopped, or just forgotten.
        if n % 2 == 0 {
            tracks.iter().for_each(|track| track.stop());
        }
        drop((tracks, clone, sinks));
        until_at_most(idle + PARTING);
    }
    until_at_most(idle);
    let grown = in_use() - before;
    assert!(grown <= SLACK, "{grown} bytes were left behind");
}
