//! The machine's microphones, by cpal.
//!
//! The device's callback only copies samples into a ring and wakes the microphone's own thread, which
//! brings them to 48 kHz and 10 ms and publishes them. Nothing is allocated or locked in the callback.
//!
//! A device that is pulled out ends its tracks. A sound server that is started anew does not: its device is
//! opened again as soon as it is back, and what was said meanwhile is not heard.

use crate::GetUserMediaError;
use crate::group::group_of;
#[cfg(target_os = "linux")]
use crate::monitor::DeviceMonitor;
use crate::resample::{Reframer, SAMPLE_RATE};
use crate::sound::{
    Choice, Direction, Found, GLANCE, RESTART, find, is_fatal, open_error, with_sample_type,
};
use crate::worker::Ending;
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{Device, FromSample, InputCallbackInfo, SizedSample, Stream, StreamConfig};
use duet_media::{
    Clock, MediaKind, MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities,
    MediaTrackSettings, Range, SourceControl,
};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a device may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the microphone of that id, or the default one. The track ends when the device is lost.
pub(crate) fn open(
    device_id: Option<&str>,
    clock: Arc<dyn Clock>,
) -> Result<MediaStreamTrack, GetUserMediaError> {
    let id = device_id.map(str::to_owned);
    let (opened, result) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("microphone".into())
        .spawn(move || run(id.as_deref(), &clock, &opened))
        .map_err(|e| GetUserMediaError::Abort(format!("no thread for the microphone: {e}")))?;
    result.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let seconds = PATIENCE.as_secs();
        Err(GetUserMediaError::NotReadable(format!(
            "the microphone did not open within {seconds} s"
        )))
    })
}

/// cpal's streams stay on the thread that made them.
fn run(
    id: Option<&str>,
    clock: &Arc<dyn Clock>,
    opened: &SyncSender<Result<MediaStreamTrack, GetUserMediaError>>,
) {
    let shared = Arc::new(Shared::default());
    let opened_first = Capture::open(id, clock, &shared);
    let mut capture = match opened_first {
        Ok(capture) => capture,
        // Nobody waits any more if this fails.
        Err(error) => return drop(opened.send(Err(error))),
    };
    let source = Ending(capture.source(&shared));
    if opened.send(Ok(source.0.create_track())).is_err() {
        return;
    }
    #[cfg(target_os = "linux")]
    let _watch = capture.watch(&shared);
    let id = capture.id.clone();
    while capture.run(&source.0, &shared, clock) == End::Lost {
        let until = Instant::now() + RESTART;
        let again = loop {
            if shared.stopped.load(Ordering::Acquire) || !capture.found.has_lost_its_server() {
                return;
            }
            match Capture::open(id.as_deref(), clock, &shared) {
                Ok(again) => break again,
                Err(error) if Instant::now() > until => {
                    tracing::debug!(%error, "the sound server did not bring the microphone back");
                    return;
                }
                Err(_) => std::thread::park_timeout(GLANCE),
            }
        };
        capture = again;
    }
}

/// Why nothing is captured any more.
#[derive(PartialEq, Eq)]
enum End {
    Stopped,
    Lost,
}

/// A device that is open.
struct Capture {
    found: Found,
    name: String,
    id: Option<String>,
    reframer: Reframer,
    consumers: Consumers,
    /// Of the device.
    channels: usize,
    lost: Arc<AtomicBool>,
    _stream: Stream,
}

impl Capture {
    fn open(
        id: Option<&str>,
        clock: &Arc<dyn Clock>,
        shared: &Arc<Shared>,
    ) -> Result<Self, GetUserMediaError> {
        let found = find(Direction::Input, id)?;
        let (device, choice) = (&found.device, &found.choice);
        let name = device.to_string();
        let reframer = Reframer::new(choice.config.sample_rate, choice.config.channels)
            .map_err(|e| GetUserMediaError::NotReadable(format!("{name}: {e}")))?;
        let lost = Arc::new(AtomicBool::new(false));
        let (stream, consumers) = build(device, choice, clock, shared, &lost)
            .map_err(|error| open_error(&name, &error))?;
        stream.play().map_err(|error| open_error(&name, &error))?;
        Ok(Capture {
            id: device.id().ok().map(|id| id.to_string()),
            channels: usize::from(choice.config.channels),
            found,
            name,
            reframer,
            consumers,
            lost,
            _stream: stream,
        })
    }

    fn source(&self, shared: &Arc<Shared>) -> MediaSource {
        let channels = self.reframer.channels();
        MediaSource::new(
            MediaKind::Audio,
            self.name.clone(),
            settings(channels, self.id.as_deref()),
            capabilities(channels, self.id.as_deref()),
            Control {
                shared: shared.clone(),
                thread: std::thread::current(),
            },
        )
    }
}

/// What a microphone delivers, whatever the device.
pub(crate) fn settings(channels: u16, device_id: Option<&str>) -> MediaTrackSettings {
    MediaTrackSettings {
        sample_rate: Some(SAMPLE_RATE),
        channel_count: Some(channels.into()),
        device_id: device_id.map(str::to_owned),
        group_id: device_id.map(group_of),
        ..MediaTrackSettings::unprocessed_sound()
    }
}

/// There is but one way to set it.
pub(crate) fn capabilities(channels: u16, device_id: Option<&str>) -> MediaTrackCapabilities {
    let only = |value| {
        Some(Range {
            min: value,
            max: value,
        })
    };
    MediaTrackCapabilities {
        sample_rate: only(SAMPLE_RATE),
        channel_count: only(channels.into()),
        device_id: device_id.map(str::to_owned),
        group_id: device_id.map(group_of),
        ..MediaTrackCapabilities::unprocessed_sound()
    }
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    /// Devices may have come or gone.
    changed: AtomicBool,
    /// Callbacks whose sound was lost because the ring was full.
    overruns: AtomicU64,
}

struct Control {
    shared: Arc<Shared>,
    thread: Thread,
}

impl SourceControl for Control {
    fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// What one callback delivered.
struct Chunk {
    /// Samples of all channels together.
    len: usize,
    /// When the first was captured.
    time: MediaTime,
}

/// From the callback to the thread. Capacity: half a second; a callback that finds no room loses its
/// sound as a whole, which is counted. Samples are pushed before the chunk that tells of them.
struct Producers {
    samples: Producer<f32>,
    chunks: Producer<Chunk>,
}

struct Consumers {
    samples: Consumer<f32>,
    chunks: Consumer<Chunk>,
}

/// Callbacks that half a second is cut into, at most.
const MAX_CHUNKS: usize = 512;

fn rings(config: &StreamConfig) -> (Producers, Consumers) {
    let half_second = config.sample_rate as usize / 2 * usize::from(config.channels);
    let samples = RingBuffer::new(half_second);
    let chunks = RingBuffer::new(MAX_CHUNKS);
    (
        Producers {
            samples: samples.0,
            chunks: chunks.0,
        },
        Consumers {
            samples: samples.1,
            chunks: chunks.1,
        },
    )
}

fn build(
    device: &Device,
    choice: &Choice,
    clock: &Arc<dyn Clock>,
    shared: &Arc<Shared>,
    lost: &Arc<AtomicBool>,
) -> Result<(Stream, Consumers), cpal::Error> {
    let mut built = Err(cpal::ErrorKind::UnsupportedConfig.into());
    for config in choice.attempts() {
        let (producers, consumers) = rings(&config);
        let (clock, shared, lost) = (clock.clone(), shared.clone(), lost.clone());
        let stream = with_sample_type!(
            choice.format,
            build_typed(device, config, producers, clock, shared, lost)
        );
        built = stream.map(|stream| (stream, consumers));
        if built.is_ok() {
            break;
        }
    }
    built
}

fn build_typed<T: SizedSample>(
    device: &Device,
    config: StreamConfig,
    mut producers: Producers,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    lost: Arc<AtomicBool>,
) -> Result<Stream, cpal::Error>
where
    f32: FromSample<T>,
{
    let thread = std::thread::current();
    let per_second = u64::from(config.sample_rate) * u64::from(config.channels);
    let callback = {
        let thread = thread.clone();
        move |data: &[T], info: &InputCallbackInfo| {
            let now = clock.now();
            let length = data.len() as u64 * 1_000_000_000 / per_second.max(1);
            let time = now - delay(info).unwrap_or(Duration::from_nanos(length));
            if !producers.push(data, time) {
                shared.overruns.fetch_add(1, Ordering::Relaxed);
            }
            thread.unpark();
        }
    };
    let on_error = move |error: cpal::Error| {
        if is_fatal(&error) {
            lost.store(true, Ordering::Release);
            thread.unpark();
        }
    };
    device.build_input_stream(config, callback, on_error, Some(PATIENCE / 2))
}

/// How long ago the sound was captured, where the system says something that makes sense.
fn delay(info: &InputCallbackInfo) -> Option<Duration> {
    let times = info.timestamp();
    let delay = times.callback.checked_duration_since(times.capture)?;
    (!delay.is_zero() && delay < Duration::from_secs(1)).then_some(delay)
}

impl Producers {
    /// False if there was no room.
    fn push<T: SizedSample>(&mut self, data: &[T], time: MediaTime) -> bool
    where
        f32: FromSample<T>,
    {
        if self.chunks.is_full() {
            return false;
        }
        let Ok(room) = self.samples.write_chunk_uninit(data.len()) else {
            return false;
        };
        let len = room.fill_from_iter(data.iter().map(|sample| sample.to_sample::<f32>()));
        self.chunks.push(Chunk { len, time }).is_ok()
    }
}

impl Capture {
    /// What arrives this soon after the first sound may have been lying about for long: the monitor
    /// of a speaker begins with a backlog.
    const FLUSH: Duration = Duration::from_millis(60);
    /// Silence of the callback, not of the room, after which the device is taken to be gone.
    const SILENCE: Duration = Duration::from_secs(5);

    /// Hears from the sound server of devices that go.
    #[cfg(target_os = "linux")]
    fn watch(&self, shared: &Arc<Shared>) -> Option<DeviceMonitor> {
        if !self.found.is_of_a_server() {
            return None;
        }
        let (shared, thread) = (shared.clone(), std::thread::current());
        let monitor = DeviceMonitor::start(move || {
            shared.changed.store(true, Ordering::Release);
            thread.unpark();
        });
        monitor.ok()
    }

    /// Whether the device was pulled out, and another one is heard in its place.
    fn is_unplugged(&self, shared: &Shared) -> bool {
        #[cfg(target_os = "linux")]
        if shared.changed.swap(false, Ordering::AcqRel) {
            return self.found.is_unplugged();
        }
        let _ = shared;
        false
    }

    /// Publishes what it captures, until nobody wants it or the device is gone.
    fn run(&mut self, source: &MediaSource, shared: &Shared, clock: &Arc<dyn Clock>) -> End {
        let mut samples = Vec::new();
        let mut first = None;
        let mut last = clock.now();
        loop {
            std::thread::park_timeout(Duration::from_millis(500));
            if shared.stopped.load(Ordering::Acquire) {
                return End::Stopped;
            }
            if self.is_unplugged(shared) {
                return End::Lost;
            }
            let lost = self.lost.load(Ordering::Acquire);
            while let Ok(chunk) = self.consumers.chunks.pop() {
                last = clock.now();
                let Ok(filled) = self.consumers.samples.read_chunk(chunk.len) else {
                    continue;
                };
                samples.clear();
                samples.extend(filled);
                let since = last.saturating_since(*first.get_or_insert(last));
                if since < Self::FLUSH {
                    continue;
                }
                let whole = samples.len() / self.channels * self.channels;
                self.reframer.push(&samples[..whole], chunk.time, |frame| {
                    source.publish(&frame.into());
                });
            }
            if lost || clock.now().saturating_since(last) > Self::SILENCE {
                return End::Lost;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_loses_a_callback_as_a_whole() {
        let config = StreamConfig {
            channels: 1,
            sample_rate: 1_000,
            buffer_size: cpal::BufferSize::Default,
        };
        let (mut producers, mut consumers) = rings(&config);
        assert!(producers.push(&[i16::MAX; 400], MediaTime::from_millis(1)));
        assert!(!producers.push(&[0i16; 101], MediaTime::from_millis(2)));
        assert!(producers.push(&[0i16; 100], MediaTime::from_millis(3)));
        let chunk = consumers.chunks.pop().unwrap();
        assert_eq!((chunk.len, chunk.time), (400, MediaTime::from_millis(1)));
        let samples: Vec<f32> = consumers
            .samples
            .read_chunk(400)
            .unwrap()
            .into_iter()
            .collect();
        assert!(samples.iter().all(|s| *s > 0.99));
        assert_eq!(consumers.chunks.pop().unwrap().len, 100);
        assert!(consumers.chunks.pop().is_err());
    }
}
