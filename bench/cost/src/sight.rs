//! A picture's way from the camera's memory to the encoder's input.
//!
//! Three things happen at each thirtieth of a second on the thread that stands for the camera's: one
//! copy of a picture's bytes (the floor), the conversion into a picture that is there already, and the
//! way itself: conversion into a pooled picture, track, sinks. Each has driver's memory of its own, which
//! is larger than the processor's caches, as it is when a camera has written it.
//!
//! Copies are counted, not believed: a conversion is one, and where the encoder or a sink is shown other
//! memory than the conversion wrote, that is another. A camera that compresses is measured too; its
//! pictures are decoded before they are converted, which is no part of the promise. What libjpeg-turbo
//! takes from C's allocator and gives back is not counted.

use crate::look::{Seen, place};
use crate::raw::{Converter, Format, I420_LEN, SIZE, delivered};
use crate::steady::{Allocated, Steady};
use crate::{Faults, cpu};
use duet::media::{
    Clock, Frame, FrameQueue, I420Buffer, MediaKind, MediaSource, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackSettings, MonotonicClock, Pool, VideoFrame,
};
use duet::peer::pipeline::{EncoderHub, OutboundVideo, VideoSendSettings};
use futures::executor::block_on;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 30);
/// Pictures before it counts: pools fill, queues take on their size.
const WARM_UP: u64 = 45;
/// How long a picture is waited for at the other end. It is there long before, but on a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pictures that a camera's pool keeps; see `devices/camera.rs`.
const POOLED: usize = 6;
const BITRATE: u32 = 2_000_000;

pub(crate) fn run(seconds: u32) -> Faults {
    let measured = u64::from(seconds) * 30;
    let mut faults = Faults::new();
    println!(
        "a {}x{} picture from the camera's memory to the encoder's input, 30 a second",
        SIZE.0, SIZE.1
    );
    println!("  processor time in microseconds a picture, {measured} pictures");
    println!(
        "  format consumers |  memcpy convert |  camera encoder   whole (x memcpy) | copies allocations bytes | captures encodings"
    );
    for format in [Format::Nv12, Format::Yuyv, Format::Mjpeg] {
        for consumers in [1, 2] {
            let outcome = way(format, consumers, None, measured);
            outcome.print(format, consumers);
            faults.extend(outcome.faults(format, consumers));
        }
    }
    println!(
        "  the same with libvpx at {BITRATE} bit/s: what encoding costs, and what two viewers add"
    );
    println!(
        "  format viewers | camera encoder (us) | allocations bytes a picture | encodings encoders"
    );
    let clock = Arc::new(MonotonicClock::new());
    for viewers in [1, 2] {
        let hub = EncoderHub::new(clock.clone());
        let outcome = way(Format::Nv12, viewers, Some(hub), measured);
        outcome.print_real(viewers);
    }
    faults
}

/// What was measured.
struct Outcome {
    /// Pictures that count.
    measured: u64,
    memcpy: Duration,
    convert: Duration,
    camera: Duration,
    encoder: Duration,
    allocated: Allocated,
    /// Conversions, and pictures that were seen elsewhere than the conversion put them.
    copies: u64,
    captures: u64,
    encodings: u64,
    encoders: u64,
    /// What each sink beside the encoder's got.
    sunk: u64,
}

fn way(format: Format, consumers: u32, real: Option<EncoderHub>, measured: u64) -> Outcome {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let raws = delivered(format, 12);
    let seen = Arc::new(Seen::default());
    let is_real = real.is_some();
    let hub = real.unwrap_or_else(|| EncoderHub::with_video_encoders(clock.clone(), seen.maker()));
    let settings = MediaTrackSettings {
        width: Some(SIZE.0),
        height: Some(SIZE.1),
        frame_rate: Some(30.0),
        ..Default::default()
    };
    let nothing = MediaTrackCapabilities::default();
    let source = MediaSource::new(MediaKind::Video, "camera", settings, nothing, ());
    let track = source.create_track();
    let viewers: Vec<_> = (0..consumers)
        .map(|_| Viewing::start(&hub, &track))
        .collect();
    let sinking = (consumers > 1).then(|| Sinking::start(&track));

    let mut converters = [Converter::new(format), Converter::new(format)];
    let pool = Pool::<I420Buffer>::new(POOLED);
    let mut flat: Vec<Vec<u8>> = (0..POOLED).map(|_| vec![1; I420_LEN]).collect();
    let mut apart: Vec<I420Buffer> = (0..POOLED)
        .map(|_| I420Buffer::new(SIZE.0, SIZE.1))
        .collect();
    let from: Vec<Vec<u8>> = (0..POOLED).map(|n| vec![n as u8; I420_LEN]).collect();

    let mut outcome = Outcome {
        measured,
        memcpy: Duration::ZERO,
        convert: Duration::ZERO,
        camera: Duration::ZERO,
        encoder: Duration::ZERO,
        allocated: Allocated { times: 0, bytes: 0 },
        copies: 0,
        captures: 0,
        encodings: 0,
        encoders: 0,
        sunk: 0,
    };
    let mut steady = Steady::begin();
    let mut before = (Duration::ZERO, 0, 0);
    let encoder_used = |seen: &Seen| match is_real {
        true => cpu::of_threads("video-encoder"),
        false => seen.used(),
    };
    let encoded = |seen: &Seen, viewers: &[Viewing]| match is_real {
        true => viewers[0].outbound.stats().frames_encoded,
        false => seen.count.load(Ordering::Acquire),
    };
    let started = Instant::now();
    for n in 0..WARM_UP + measured {
        thread::sleep((started + INTERVAL * n as u32).saturating_duration_since(Instant::now()));
        if n == WARM_UP {
            let sunk = sinking.as_ref().map_or(0, Sinking::count);
            before = (encoder_used(&seen), encoded(&seen, &viewers), sunk);
            steady = Steady::begin();
        }
        let at = n as usize;
        let t0 = cpu::of_this_thread();
        black_box(&mut flat[at % POOLED]).copy_from_slice(black_box(&from[at % POOLED]));
        let t1 = cpu::of_this_thread();
        let alone = converters[0].convert(&raws[at * 2 % 12], &mut apart[at % POOLED]);
        let t2 = cpu::of_this_thread();
        let mut written = 0;
        let way = pool.try_fill(|to| {
            let converted = converters[1].convert(&raws[(at * 2 + 1) % 12], to);
            written = place(to);
            converted
        });
        let Ok(picture) = way else { continue };
        source.publish(&VideoFrame::new(picture, clock.now()).into());
        let t3 = cpu::of_this_thread();
        assert!(alone.is_ok(), "what was made here is converted: {alone:?}");
        if is_real {
            // The processor is libvpx's for a while.
            thread::sleep(Duration::from_millis(12));
        } else {
            let shown = n + 1;
            wait_until(|| {
                let sunk = sinking.as_ref().is_none_or(|sink| sink.count() >= shown);
                sunk && seen.count.load(Ordering::Acquire) >= shown
            });
        }
        if n < WARM_UP {
            continue;
        }
        outcome.memcpy += t1 - t0;
        outcome.convert += t2 - t1;
        outcome.camera += t3 - t2;
        outcome.captures += 1;
        outcome.copies += format.passes();
        let elsewhere = |place: usize| u64::from(place != written);
        if !is_real {
            outcome.copies += elsewhere(seen.place());
        }
        if let Some(sinking) = &sinking {
            outcome.copies += elsewhere(sinking.place());
        }
    }
    outcome.allocated = steady.end();
    outcome.encoder = encoder_used(&seen) - before.0;
    outcome.encodings = encoded(&seen, &viewers) - before.1;
    outcome.sunk = sinking.as_ref().map_or(0, Sinking::count) - before.2;
    outcome.encoders = match is_real {
        true => hub.video_encoders() as u64,
        false => seen.encoders.load(Ordering::Acquire),
    };
    outcome
}

/// Waits until everybody has seen a picture, so that a busy machine loses none.
fn wait_until(shown: impl Fn() -> bool) {
    let started = Instant::now();
    while !shown() && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
}

impl Outcome {
    fn print(&self, format: Format, consumers: u32) {
        let each = |time| cpu::each(time, self.measured);
        let whole = each(self.camera + self.encoder);
        println!(
            "  {:>6} {consumers:>9} | {:>7.0} {:>7.0} | {:>7.0} {:>7.0} {whole:>7.0} ({:>8.2}) | {:>6.2} {:>11.2} {:>5.0} | {:>8} {:>9}",
            format!("{format:?}"),
            each(self.memcpy),
            each(self.convert),
            each(self.camera),
            each(self.encoder),
            whole / each(self.memcpy).max(1e-9),
            self.copies as f64 / self.measured as f64,
            self.allocated.times as f64 / self.measured as f64,
            self.allocated.bytes as f64 / self.measured as f64,
            self.captures,
            self.encodings,
        );
    }

    fn print_real(&self, viewers: u32) {
        let each = |time| cpu::each(time, self.measured);
        println!(
            "  {:>6} {viewers:>7} | {:>6.0} {:>12.0} | {:>11.2} {:>15.0} | {:>9} {:>8}",
            "Nv12",
            each(self.camera),
            each(self.encoder),
            self.allocated.times as f64 / self.measured as f64,
            self.allocated.bytes as f64 / self.measured as f64,
            self.encodings,
            self.encoders,
        );
    }

    /// What must hold on any machine.
    fn faults(&self, format: Format, consumers: u32) -> Faults {
        let mut faults = Faults::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                faults.push(format!("{format:?} for {consumers}: {what}"));
            }
        };
        must(
            self.copies <= self.captures * format.passes(),
            format!("{} copies of {} pictures", self.copies, self.captures),
        );
        must(
            self.allocated.times == 0,
            format!(
                "{} allocations of {} bytes in all, with {} pictures",
                self.allocated.times, self.allocated.bytes, self.captures
            ),
        );
        must(
            self.captures == self.measured && self.encodings == self.measured && self.encoders == 1,
            format!(
                "{} pictures were encoded {} times by {} encoders",
                self.captures, self.encodings, self.encoders
            ),
        );
        must(
            consumers == 1 || self.sunk == self.measured,
            format!("the second sink got {} of {}", self.sunk, self.measured),
        );
        faults
    }
}

/// A connection that takes what an encoder makes.
struct Viewing {
    outbound: Arc<OutboundVideo>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Viewing {
    fn start(hub: &EncoderHub, track: &MediaStreamTrack) -> Self {
        let settings = VideoSendSettings::default();
        let outbound = Arc::new(hub.subscribe_video(Some(track), settings, BITRATE));
        let taken = outbound.clone();
        let thread = thread::spawn(move || while block_on(taken.next()).is_some() {});
        Viewing {
            outbound,
            thread: Some(thread),
        }
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.outbound.close();
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// A second sink of the track, on a thread of its own.
pub(crate) struct Sinking {
    queue: Arc<FrameQueue>,
    place: Arc<AtomicUsize>,
    count: Arc<AtomicU64>,
    _sink: duet::media::SinkHandle,
}

impl Sinking {
    pub(crate) fn start(track: &MediaStreamTrack) -> Self {
        let queue = Arc::new(FrameQueue::new(4));
        let place_of = Arc::new(AtomicUsize::new(0));
        let count = Arc::new(AtomicU64::new(0));
        let sink = track.add_sink(queue.clone());
        thread::spawn({
            let (queue, place_of, count) = (queue.clone(), place_of.clone(), count.clone());
            move || {
                while !queue.is_ended() {
                    if let Some(frame) = queue.pop_timeout(Duration::from_secs(1)) {
                        if let Frame::Video(picture) = &frame {
                            place_of.store(place(&picture.buffer), Ordering::Release);
                        }
                        count.fetch_add(1, Ordering::AcqRel);
                    }
                }
            }
        });
        Sinking {
            queue,
            place: place_of,
            count,
            _sink: sink,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    fn place(&self) -> usize {
        self.place.load(Ordering::Acquire)
    }
}

impl Drop for Sinking {
    fn drop(&mut self) {
        self.queue.close();
    }
}
