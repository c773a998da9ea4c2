//! The synthetic microphone.

use super::marks::audio::{BEEP, BEEP_HZ, TONE, pattern_hz};
use crate::pacing::Stop;
use crate::worker;
use duet_media::{
    AudioBuffer, AudioFrame, Clock, MediaKind, MediaSource, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackSettings, Pool, Range, ReconfigureError, SourceControl,
};
use std::f64::consts::TAU;
use std::ops::Range as Span;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// How a [`SyntheticMicrophone`] works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticMicrophoneConfig {
    /// Channels, 1 or 2; both sound the same.
    pub channels: u16,
}

impl Default for SyntheticMicrophoneConfig {
    /// One channel.
    fn default() -> Self {
        SyntheticMicrophoneConfig { channels: 1 }
    }
}

impl SyntheticMicrophoneConfig {
    /// As near to `wanted` as can be.
    pub(crate) fn with(self, wanted: &MediaTrackSettings) -> Self {
        let channels = wanted.channel_count.unwrap_or(self.channels.into());
        SyntheticMicrophoneConfig {
            channels: channels.clamp(1, 2) as u16,
        }
    }

    pub(crate) fn settings(&self) -> MediaTrackSettings {
        MediaTrackSettings {
            sample_rate: Some(SAMPLE_RATE),
            channel_count: Some(self.channels.into()),
            device_id: Some(SyntheticMicrophone::DEVICE_ID.into()),
            group_id: Some(super::SyntheticCamera::GROUP_ID.into()),
            sample_size: Some(SAMPLE_SIZE),
            latency: Some(FRAME.as_secs_f64()),
            ..MediaTrackSettings::unprocessed_sound()
        }
    }
}

/// A microphone that hears a known melody at 48 kHz, one tone a second, and a beep at the start of
/// each second; [`marks::audio`](super::marks::audio) has the notes.
///
/// It works on a thread of its own by an absolute schedule. Frames are of 10 ms, begin at whole
/// hundredths of the wall clock's second, and are delivered when they are over, as a device does.
#[derive(Debug)]
pub struct SyntheticMicrophone;

impl SyntheticMicrophone {
    /// What its tracks have for a device id.
    pub const DEVICE_ID: &'static str = "synthetic-microphone";
    /// Its name.
    pub const LABEL: &'static str = "Synthetic microphone";

    /// Starts a microphone; it stops with its last track. The track is ended from the start if the
    /// system gives no thread.
    pub fn start(config: SyntheticMicrophoneConfig, clock: Arc<dyn Clock>) -> MediaStreamTrack {
        let control = Arc::new(Control {
            stop: Stop::default(),
            channels: AtomicU16::new(config.channels.clamp(1, 2)),
        });
        let source = MediaSource::new(
            MediaKind::Audio,
            Self::LABEL,
            control.settings(),
            Self::capabilities(),
            control.clone(),
        );
        let track = source.create_track();
        let worker = Worker {
            source: source.clone(),
            control,
            clock,
        };
        // Without a thread it has ended.
        let _ = worker::spawn("synth-mic", &source, move || worker.run());
        track
    }

    /// What it can be set to.
    pub fn capabilities() -> MediaTrackCapabilities {
        MediaTrackCapabilities {
            sample_rate: Some(Range {
                min: SAMPLE_RATE,
                max: SAMPLE_RATE,
            }),
            sample_size: Some(Range {
                min: SAMPLE_SIZE,
                max: SAMPLE_SIZE,
            }),
            latency: Some(Range {
                min: FRAME.as_secs_f64(),
                max: FRAME.as_secs_f64(),
            }),
            channel_count: Some(Range { min: 1, max: 2 }),
            device_id: Some(Self::DEVICE_ID.into()),
            group_id: Some(super::SyntheticCamera::GROUP_ID.into()),
            ..MediaTrackCapabilities::unprocessed_sound()
        }
    }
}

/// Fills a buffer with what the microphone hears from `unix` on, time since the Unix epoch. Keeps
/// the buffer's rate and channels; `unix` is taken to the nearest whole sample.
pub fn hear(unix: Duration, buffer: &mut AudioBuffer) {
    let (rate, channels) = (
        u64::from(buffer.sample_rate()),
        usize::from(buffer.channels().max(1)),
    );
    if rate == 0 {
        return;
    }
    let offset = (u128::from(unix.subsec_nanos()) * u128::from(rate) + 500_000_000) / 1_000_000_000;
    let mut position = offset as u64;
    let mut second = unix.as_secs();
    let mut samples = buffer.samples_mut();
    while !samples.is_empty() {
        if position >= rate {
            second += position / rate;
            position %= rate;
        }
        let count = ((rate - position) as usize).min(samples.len() / channels);
        if count == 0 {
            return;
        }
        let (now, later) = samples.split_at_mut(count * channels);
        now.fill(0.0);
        let rate = rate as f64;
        sound(
            now, channels, position, rate, BEEP_HZ, &BEEP, BEEP_LEVEL, 0.0,
        );
        sound(
            now,
            channels,
            position,
            rate,
            pattern_hz(second),
            &TONE,
            TONE_LEVEL,
            FADE,
        );
        position += count as u64;
        samples = later;
    }
}

const SAMPLE_RATE: u32 = 48_000;
const SAMPLE_SIZE: u32 = 32;
const FRAME: Duration = Duration::from_millis(10);
const TONE_LEVEL: f64 = 0.12;
const BEEP_LEVEL: f64 = 0.35;
/// Seconds in which the tone comes and goes. The beep comes at once, at a zero of its wave.
const FADE: f64 = 0.01;

/// Adds the part of a tone that falls into `samples`, whose first is number `position` of its second.
#[allow(clippy::too_many_arguments, reason = "a formula's variables")]
fn sound(
    samples: &mut [f32],
    channels: usize,
    position: u64,
    rate: f64,
    hz: f64,
    span: &Span<f64>,
    level: f64,
    fade: f64,
) {
    let first = (span.start * rate).ceil() as u64;
    let end = (span.end * rate).ceil() as u64;
    let from = first.max(position);
    let to = end.min(position + (samples.len() / channels) as u64);
    if from >= to {
        return;
    }
    // A turning pointer instead of a sine for each sample.
    let step = TAU * hz / rate;
    let (turn_sin, turn_cos) = step.sin_cos();
    let (mut sin, mut cos) = (step * (from - first) as f64).sin_cos();
    let within = (from - position) as usize * channels..(to - position) as usize * channels;
    for (n, frame) in samples[within].chunks_exact_mut(channels).enumerate() {
        let at = (from + n as u64) as f64 / rate;
        let edge = (at - span.start).min(span.end - at);
        let gain = if edge < fade {
            level * edge / fade
        } else {
            level
        };
        for sample in frame {
            *sample += (sin * gain) as f32;
        }
        (sin, cos) = (
            sin * turn_cos + cos * turn_sin,
            cos * turn_cos - sin * turn_sin,
        );
    }
}

struct Control {
    stop: Stop,
    channels: AtomicU16,
}

impl Control {
    fn settings(&self) -> MediaTrackSettings {
        let channels = self.channels.load(Ordering::Relaxed);
        SyntheticMicrophoneConfig { channels }.settings()
    }
}

impl SourceControl for Control {
    fn stop(&self) {
        self.stop.set();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        let channels = self.channels.load(Ordering::Relaxed);
        let config = SyntheticMicrophoneConfig { channels }.with(wanted);
        self.channels.store(config.channels, Ordering::Relaxed);
        Ok(self.settings())
    }
}

struct Worker {
    source: MediaSource,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
}

impl Worker {
    /// Frames that may be on their way at once without a new allocation.
    const POOLED: usize = 32;
    /// After a longer standstill the lost sound is left out.
    const PATIENCE: Duration = Duration::from_millis(500);

    fn run(self) {
        let pool = Pool::<AudioBuffer>::new(Self::POOLED);
        let mut time = self.next_frame();
        loop {
            if self.clock.now().saturating_since(time) > Self::PATIENCE {
                time = self.next_frame();
            }
            if !self.control.stop.sleep_until(&*self.clock, time + FRAME) {
                return;
            }
            let unix = self.clock.unix_time(time);
            let channels = self.control.channels.load(Ordering::Relaxed);
            let buffer = pool.fill(|buffer| {
                buffer.resize(SAMPLE_RATE, channels, SAMPLE_RATE as usize / 100);
                hear(unix, buffer);
            });
            self.source.publish(&AudioFrame::new(buffer, time).into());
            time += FRAME;
        }
    }

    /// The next whole hundredth of a second of the wall clock.
    fn next_frame(&self) -> duet_media::MediaTime {
        let now = self.clock.unix_time(self.clock.now());
        let hundredths = now.as_nanos().div_ceil(FRAME.as_nanos()) as u64;
        self.clock
            .from_unix_time(Duration::from_millis(hundredths * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::marks::audio::Listener;
    use duet_media::{Frame, FrameQueue, MonotonicClock};

    #[test]
    fn what_is_heard_does_not_depend_on_how_it_is_cut() {
        let start = Duration::from_millis(1_700_000_000_950);
        let mut whole = AudioBuffer::new(48_000, 2, 48 * 200);
        hear(start, &mut whole);
        let mut pieces = Vec::new();
        for n in 0..20 {
            let mut piece = AudioBuffer::new(48_000, 2, 480);
            hear(start + FRAME * n, &mut piece);
            pieces.extend_from_slice(piece.samples());
        }
        let worst = whole
            .samples()
            .iter()
            .zip(&pieces)
            .map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-5);
        // Quiet, then the beep at once on the second.
        let (before, after) = whole.samples().split_at(48 * 50 * 2);
        assert!(before.iter().all(|&s| s == 0.0));
        assert!(after[..48 * 2].iter().any(|s| s.abs() > 0.3));
    }

    #[test]
    fn it_beeps_on_the_second_of_the_wall_clock() {
        let clock = Arc::new(MonotonicClock::new());
        let track = SyntheticMicrophone::start(Default::default(), clock.clone());
        let queue = Arc::new(FrameQueue::new(100));
        let _sink = track.add_sink(queue.clone());
        let mut listener = Listener::new();
        let mut beep = None;
        for _ in 0..250 {
            let Some(Frame::Audio(frame)) = queue.pop_timeout(Duration::from_secs(10)) else {
                panic!("no sound");
            };
            assert_eq!(frame.buffer.frames(), 480);
            if let Some(heard) = listener.hear(&frame.buffer, frame.capture_time).first() {
                beep = Some(heard.onset);
                break;
            }
        }
        let unix = clock.unix_time(beep.unwrap());
        let off = (unix.subsec_nanos() as i64 + 500_000_000) % 1_000_000_000 - 500_000_000;
        assert!(off.abs() < 1_000_000, "{off} ns off the second");
    }
}
