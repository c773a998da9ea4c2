//! The machine's speakers, by cpal.
//!
//! A speaker pulls: its own thread asks an [`AudioOutput`] for 10 ms whenever the device has used some
//! up, a little ahead of time, and the device's callback only copies from a ring. Nothing is allocated
//! or locked in the callback.
//!
//! A speaker that is pulled out is lost. Where it was the default one, and where a sound server was started
//! anew, the speaker goes on with the default device of then, or with its own as soon as it is back.

use crate::resample::{Converter, FRAME_LEN, SAMPLE_RATE};
use crate::sound::{
    Choice, DEFAULT_OUTPUT, Direction, Found, GLANCE, RESTART, find, is_fatal, open_error,
    with_sample_type,
};
use crate::voice;
use crate::{AudioOutput, GetUserMediaError};
use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{Device, FromSample, OutputCallbackInfo, SizedSample, Stream, StreamConfig};
use duet_media::{AudioBuffer, Clock, MediaTime};
use rtrb::{Consumer, Producer, RingBuffer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long a device may take to open.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open speaker; it falls silent when this is dropped.
#[derive(Debug)]
pub struct Speaker {
    shared: Arc<Shared>,
    thread: Thread,
    label: String,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    lost: AtomicBool,
    underruns: AtomicU64,
    /// Between the callback and the ear, in nanoseconds.
    device_delay: AtomicU64,
    /// The most samples that a callback has asked for.
    largest_request: AtomicUsize,
    /// From being asked for to being heard, in nanoseconds.
    latency: AtomicU64,
}

impl Speaker {
    /// Opens the speaker of that id, or the default one, and plays what `output` gives it.
    ///
    /// # Errors
    /// [`GetUserMediaError::NotFound`], [`GetUserMediaError::NotReadable`],
    /// [`GetUserMediaError::NotAllowed`] or [`GetUserMediaError::Abort`].
    pub fn open(
        device_id: Option<&str>,
        output: impl AudioOutput,
        clock: Arc<dyn Clock>,
    ) -> Result<Speaker, GetUserMediaError> {
        let id = device_id.map(str::to_owned);
        let (opened, result) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("speaker".into())
            .spawn(move || run(id.as_deref(), output, clock, &opened))
            .map_err(|e| GetUserMediaError::Abort(format!("no thread for the speaker: {e}")))?;
        result.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let seconds = PATIENCE.as_secs();
            Err(GetUserMediaError::NotReadable(format!(
                "the speaker did not open within {seconds} s"
            )))
        })
    }

    /// The device's name.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How often the device wanted sound before it was there, and played silence.
    pub fn underruns(&self) -> u64 {
        self.shared.underruns.load(Ordering::Relaxed)
    }

    /// From being asked for to being heard, as far as the system tells.
    pub fn latency(&self) -> Duration {
        Duration::from_nanos(self.shared.latency.load(Ordering::Relaxed))
    }

    /// Whether the device is gone for good: nothing is played any more. Open another.
    pub fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// cpal's streams stay on the thread that made them.
fn run(
    id: Option<&str>,
    output: impl AudioOutput,
    clock: Arc<dyn Clock>,
    opened: &SyncSender<Result<Speaker, GetUserMediaError>>,
) {
    let shared = Arc::new(Shared::default());
    let mut playback = match Playback::open(id, &shared) {
        Ok(playback) => playback,
        // Nobody waits any more if this fails.
        Err(error) => return drop(opened.send(Err(error))),
    };
    let speaker = Speaker {
        shared: shared.clone(),
        thread: std::thread::current(),
        label: playback.found.device.to_string(),
    };
    if opened.send(Ok(speaker)).is_err() {
        return;
    }
    let mut output = Output {
        output,
        shared: shared.clone(),
        clock,
        playback: voice::Playback::new(),
    };
    while playback.run(&mut output) == End::Lost {
        match playback.again(id, &shared) {
            Some(again) => playback = again,
            None => return shared.lost.store(true, Ordering::Release),
        }
    }
}

/// Why nothing is played any more.
#[derive(PartialEq, Eq)]
enum End {
    Stopped,
    Lost,
}

/// A device that is open.
struct Playback {
    stream: Stream,
    /// After the stream, so that nobody else plays over the same connection meanwhile.
    found: Found,
    /// 10 ms at 48 kHz.
    buffer: AudioBuffer,
    converter: Option<Converter>,
    /// At the device's rate.
    converted: Vec<f32>,
    ring: Producer<f32>,
    lost: Arc<AtomicBool>,
}

impl Playback {
    fn open(id: Option<&str>, shared: &Arc<Shared>) -> Result<Self, GetUserMediaError> {
        let found = find(Direction::Output, id)?;
        let (device, config) = (&found.device, &found.choice.config);
        let name = device.to_string();
        let channels = config.channels.min(2);
        let converter = match config.sample_rate {
            SAMPLE_RATE => None,
            rate => {
                let converter = Converter::new(SAMPLE_RATE, rate, usize::from(channels));
                let refused =
                    || GetUserMediaError::NotReadable(format!("{name}: no way to {rate} Hz"));
                Some(converter.ok_or_else(refused)?)
            }
        };
        let lost = Arc::new(AtomicBool::new(false));
        shared.largest_request.store(0, Ordering::Relaxed);
        let (stream, ring) = build(device, &found.choice, shared, &lost)
            .map_err(|error| open_error(&name, &error))?;
        Ok(Playback {
            buffer: AudioBuffer::new(SAMPLE_RATE, channels, FRAME_LEN),
            found,
            stream,
            converter,
            converted: Vec::new(),
            ring,
            lost,
        })
    }

    /// The device that takes this one's place, which was lost. `None` if there is none.
    fn again(&self, id: Option<&str>, shared: &Arc<Shared>) -> Option<Self> {
        let until = Instant::now() + RESTART;
        loop {
            if shared.stopped.load(Ordering::Acquire) {
                return None;
            }
            // A default device that is gone has a successor; one with a name has none but itself, after
            // its server.
            let restarts = self.found.has_lost_its_server();
            if !restarts && id.is_some_and(|id| id != DEFAULT_OUTPUT) {
                return None;
            }
            match Self::open(id, shared) {
                // Meanwhile nobody takes a card from under the server that is about to want it.
                Ok(again) if !restarts || again.found.is_of_a_server() => return Some(again),
                Err(_) if !restarts => return None,
                _ if Instant::now() > until => return None,
                _ => std::thread::park_timeout(GLANCE),
            }
        }
    }
}

fn build(
    device: &Device,
    choice: &Choice,
    shared: &Arc<Shared>,
    lost: &Arc<AtomicBool>,
) -> Result<(Stream, Producer<f32>), cpal::Error> {
    let mut built = Err(cpal::ErrorKind::UnsupportedConfig.into());
    for config in choice.attempts() {
        // Half a second. It is filled to a few callbacks only; what does not fit is lost, which the
        // worker never lets happen.
        let half_second = config.sample_rate as usize / 2 * usize::from(config.channels);
        let (producer, consumer) = RingBuffer::new(half_second);
        let (shared, lost) = (shared.clone(), lost.clone());
        let stream = with_sample_type!(
            choice.format,
            build_typed(device, config, consumer, shared, lost)
        );
        built = stream.map(|stream| (stream, producer));
        if built.is_ok() {
            break;
        }
    }
    built
}

fn build_typed<T: SizedSample + FromSample<f32>>(
    device: &Device,
    config: StreamConfig,
    mut ring: Consumer<f32>,
    shared: Arc<Shared>,
    lost: Arc<AtomicBool>,
) -> Result<Stream, cpal::Error> {
    let thread = std::thread::current();
    let callback = {
        let thread = thread.clone();
        move |data: &mut [T], info: &OutputCallbackInfo| {
            let times = info.timestamp();
            let delay = times.playback.saturating_duration_since(times.callback);
            let delay = delay.min(Duration::from_secs(1)).as_nanos() as u64;
            shared.device_delay.store(delay, Ordering::Relaxed);
            shared
                .largest_request
                .fetch_max(data.len(), Ordering::Relaxed);
            if !fill(data, &mut ring) {
                shared.underruns.fetch_add(1, Ordering::Relaxed);
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
    device.build_output_stream(config, callback, on_error, Some(PATIENCE / 2))
}

/// Fills the device's buffer, with silence where nothing is left. False if there was too little.
fn fill<T: SizedSample + FromSample<f32>>(data: &mut [T], ring: &mut Consumer<f32>) -> bool {
    let count = ring.slots().min(data.len());
    let (sound, silence) = data.split_at_mut(count);
    if let Ok(chunk) = ring.read_chunk(count) {
        for (to, from) in sound.iter_mut().zip(chunk) {
            *to = T::from_sample(from);
        }
    }
    silence.fill(T::EQUILIBRIUM);
    silence.is_empty()
}

/// What is played, whichever device plays it.
struct Output<O> {
    output: O,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// For microphones that hear it, too.
    playback: voice::Playback,
}

impl Playback {
    /// The least that is held ready for the device.
    const AHEAD: Duration = Duration::from_millis(20);
    /// Silence of the callback after which the device is taken to be gone.
    const SILENCE: Duration = Duration::from_secs(5);

    /// Plays until nobody listens or the device is gone.
    fn run(&mut self, output: &mut Output<impl AudioOutput>) -> End {
        self.top_up(output);
        if self.stream.play().is_err() {
            return End::Lost;
        }
        let mut alive = (output.clock.now(), 0);
        loop {
            if output.shared.stopped.load(Ordering::Acquire) {
                return End::Stopped;
            }
            if self.lost.load(Ordering::Acquire) {
                return End::Lost;
            }
            std::thread::park_timeout(Duration::from_millis(500));
            let now = output.clock.now();
            let filled = self.filled();
            self.top_up(output);
            if filled != alive.1 {
                alive = (now, filled);
            } else if now.saturating_since(alive.0) > Self::SILENCE {
                return End::Lost;
            }
        }
    }

    /// Samples that the device has not taken yet.
    fn filled(&self) -> usize {
        self.ring.buffer().capacity() - self.ring.slots()
    }

    fn top_up(&mut self, output: &mut Output<impl AudioOutput>) {
        let config = &self.found.choice.config;
        let channels = usize::from(config.channels);
        let per_second = config.sample_rate as usize * channels;
        let shared = &output.shared;
        let ahead = (Self::AHEAD.as_millis() as usize * per_second / 1000)
            .max(2 * shared.largest_request.load(Ordering::Relaxed))
            .min(self.ring.buffer().capacity() / 2);
        while self.filled() < ahead && !shared.stopped.load(Ordering::Acquire) {
            let queued = self.filled() as u64 * 1_000_000_000 / per_second.max(1) as u64;
            let latency = queued + shared.device_delay.load(Ordering::Relaxed);
            shared.latency.store(latency, Ordering::Relaxed);
            let heard: MediaTime = output.clock.now() + Duration::from_nanos(latency);
            output.output.play(&mut self.buffer, heard);
            output.playback.plays(&self.buffer);
            self.push(channels);
        }
    }

    /// Brings the buffer to the device's rate and channels and into the ring.
    fn push(&mut self, channels: usize) {
        let own = usize::from(self.buffer.channels().max(1));
        self.converted.clear();
        match &mut self.converter {
            Some(converter) => converter.convert(self.buffer.samples(), &mut self.converted),
            None => self.converted.extend_from_slice(self.buffer.samples()),
        }
        let frames = self.converted.chunks_exact(own);
        let silent = channels.saturating_sub(own);
        let samples = frames.flat_map(|frame| {
            let rest = std::iter::repeat_n(&0.0f32, silent);
            frame.iter().chain(rest).copied()
        });
        let count = self.converted.len() / own * channels;
        if let Ok(room) = self.ring.write_chunk_uninit(count) {
            room.fill_from_iter(samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_gets_what_there_is_and_silence_for_the_rest() {
        let (mut producer, mut consumer) = RingBuffer::new(8);
        for n in 0..3 {
            producer.push(0.25 * n as f32).unwrap();
        }
        let mut data = [7i16; 2];
        assert!(fill(&mut data, &mut consumer));
        assert_eq!(data, [0, 8_192]);
        let mut data = [7i16; 3];
        assert!(!fill(&mut data, &mut consumer));
        assert_eq!(data, [16_384, 0, 0]);
    }
}
