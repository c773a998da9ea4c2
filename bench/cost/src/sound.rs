//! Sound's way from what a microphone's callback left in its ring to the encoder's input, and on through
//! Opus. What the callback itself does is a copy into a ring without a lock; `devices/microphone.rs` has
//! it.

use crate::steady::{Allocated, Steady};
use crate::{Faults, cpu};
use duet::devices::resample::Reframer;
use duet::media::{
    Clock, FrameQueue, MediaKind, MediaSource, MediaTrackCapabilities, MediaTrackSettings,
    MonotonicClock,
};
use duet::peer::pipeline::{AudioSendSettings, EncoderHub};
use futures::executor::block_on;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);
const WARM_UP: u32 = 200;

pub(crate) fn run(seconds: u32) -> Faults {
    let measured = seconds * 100;
    let mut faults = Faults::new();
    println!("sound from the microphone's ring to the encoder's input, 10 ms at a time");
    for (rate, channels) in [(48_000, 1), (44_100, 2)] {
        let (allocated, used) = way(rate, channels, false, measured);
        println!(
            "  {rate} Hz, {channels} channels: {:.1} us, {:.2} allocations each 10 ms",
            cpu::each(used, u64::from(measured)),
            allocated.times as f64 / f64::from(measured),
        );
        if allocated.times > 0 {
            faults.push(format!(
                "sound at {rate} Hz: {} allocations in {measured} stretches",
                allocated.times
            ));
        }
    }
    let (allocated, used) = way(48_000, 1, true, measured);
    println!(
        "  and through Opus to two connections: {:.1} us on the microphone's thread, {:.2} allocations each 10 ms",
        cpu::each(used, u64::from(measured)),
        allocated.times as f64 / f64::from(measured),
    );
    faults
}

fn way(rate: u32, channels: u16, encodes: bool, measured: u32) -> (Allocated, Duration) {
    let clock = Arc::new(MonotonicClock::new());
    let nothing = MediaTrackCapabilities::default();
    let settings = MediaTrackSettings::default();
    let source = MediaSource::new(MediaKind::Audio, "microphone", settings, nothing, ());
    let track = source.create_track();
    let hub = EncoderHub::new(clock.clone());
    let listeners: Vec<_> = (0..if encodes { 2 } else { 0 })
        .map(|_| Arc::new(hub.subscribe_audio(Some(&track), AudioSendSettings::default())))
        .collect();
    let listening: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let listener = listener.clone();
            thread::spawn(move || while block_on(listener.next()).is_some() {})
        })
        .collect();
    let queue = Arc::new(FrameQueue::new(4));
    let sink = (!encodes).then(|| track.add_sink(queue.clone()));

    let len = rate as usize / 100 * usize::from(channels);
    let chunk: Vec<f32> = (0..len).map(|n| (n as f32 * 0.05).sin() * 0.3).collect();
    let mut allocated = Allocated { times: 0, bytes: 0 };
    let mut used = Duration::ZERO;
    if let Ok(mut reframer) = Reframer::new(rate, channels) {
        let mut steady = Steady::begin();
        let started = Instant::now();
        for n in 0..WARM_UP + measured {
            thread::sleep((started + INTERVAL * n).saturating_duration_since(Instant::now()));
            if n == WARM_UP {
                steady = Steady::begin();
                used = Duration::ZERO;
            }
            let before = cpu::of_this_thread();
            reframer.push(&chunk, clock.now(), |frame| source.publish(&frame.into()));
            used += cpu::of_this_thread() - before;
            while queue.try_pop().is_some() {}
        }
        allocated = steady.end();
    }
    drop(sink);
    listeners.iter().for_each(|listener| listener.close());
    for thread in listening {
        // It does nothing that could panic.
        let _ = thread.join();
    }
    (allocated, used)
}
