//! Speech made fit for others to hear: the speaker's echo and noise are taken out of what a microphone
//! hears, and its loudness is evened out, each as the track's constraints want it. Where nothing is
//! wanted nothing is touched.
//!
//! It happens on the microphone's own thread, between the device and its tracks, and never on the sound
//! system's callback.
//!
//! What it is not: it knows no device. It hears only what this process plays: sound of other programs is
//! not known as an echo, which is why `echoCancellation` can be `true` and not "all".

mod playback;
mod processing;
#[cfg(test)]
mod tests;

pub(crate) use playback::Playback;

use crate::resample::{FRAME_LEN, SAMPLE_RATE};
use duet_media::channels::ChannelMatrix;
use duet_media::{
    AudioBuffer, AudioFrame, EchoCancellation, Frame, MediaSource, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackSettings, Pool, Range, ReconfigureError, Sink, SinkHandle,
    SourceControl, TrackState, WeakMediaSource,
};
use parking_lot::Mutex;
use playback::Ear;
use processing::{Sonora, VoiceProcessing};
use std::sync::{Arc, OnceLock};

/// What a microphone with these capabilities can do with processing. One that only hears what a speaker
/// plays stays as it is: there is no voice in it, and no echo.
pub(crate) fn capabilities(of: MediaTrackCapabilities) -> MediaTrackCapabilities {
    let only = |value| {
        Some(Range {
            min: value,
            max: value,
        })
    };
    let of = MediaTrackCapabilities {
        sample_size: only(SAMPLE_SIZE),
        latency: Some(Range {
            min: LATENCY,
            max: LATENCY,
        }),
        channel_count: of.channel_count.map(|count| Range {
            min: 1,
            max: count.max,
        }),
        ..of
    };
    if is_monitor(of.device_id.as_deref()) {
        return of;
    }
    MediaTrackCapabilities {
        echo_cancellation: vec![EchoCancellation::On, EchoCancellation::Off],
        auto_gain_control: vec![true, false],
        noise_suppression: vec![true, false],
        ..of
    }
}

/// How it works where nobody says otherwise: as in a browser, made for calls.
pub(crate) fn usual(of: MediaTrackSettings) -> MediaTrackSettings {
    let of = MediaTrackSettings {
        sample_size: Some(SAMPLE_SIZE),
        latency: Some(LATENCY),
        ..of
    };
    if is_monitor(of.device_id.as_deref()) {
        return of;
    }
    MediaTrackSettings {
        echo_cancellation: Some(EchoCancellation::On),
        auto_gain_control: Some(true),
        noise_suppression: Some(true),
        ..of
    }
}

/// A track of what `microphone` hears, treated as `wanted` says.
pub(crate) fn treated(
    microphone: MediaStreamTrack,
    wanted: &MediaTrackSettings,
) -> MediaStreamTrack {
    let inner = microphone.source();
    let treatment = Arc::new(Treatment {
        source: OnceLock::new(),
        work: Mutex::default(),
        pool: Pool::new(POOLED),
        device: usual(inner.settings()),
    });
    let settings = treatment.set(wanted);
    let source = MediaSource::new(
        inner.kind(),
        inner.label(),
        settings,
        capabilities(inner.capabilities()),
        treatment.clone(),
    );
    // Nobody else has it yet.
    let _ = treatment.source.set(source.downgrade());
    let track = source.create_track();
    let sink = microphone.add_sink(treatment.clone());
    let lost = microphone.ready_state() == TrackState::Ended;
    treatment.work.lock().microphone = Some((sink, microphone));
    if lost {
        treatment.let_go();
    }
    track
}

/// Bits of a sample, and seconds from the sound to its samples: 10 ms at a time, in numbers of 32 bits.
const SAMPLE_SIZE: u32 = 32;
const LATENCY: f64 = 0.01;
/// Frames on their way that need no new allocation.
const POOLED: usize = 16;

/// Whether it hears a speaker's signal, and not a room.
fn is_monitor(id: Option<&str>) -> bool {
    id.is_some_and(|id| id.ends_with(".monitor"))
}

/// What is done to the sound.
struct Treatment {
    source: OnceLock<WeakMediaSource>,
    work: Mutex<Work>,
    pool: Pool<AudioBuffer>,
    /// What the microphone delivers, and how it usually works.
    device: MediaTrackSettings,
}

#[derive(Default)]
struct Work {
    /// Dropped in this order: what it says of its end is not meant for the tracks.
    microphone: Option<(SinkHandle, MediaStreamTrack)>,
    /// Channels that are wanted; as many as there are if nobody said.
    channels: Option<u16>,
    matrix: Option<ChannelMatrix>,
    /// Nothing if nothing is to be done.
    processing: Option<Box<dyn VoiceProcessing>>,
    /// What is played, where its echo is to be taken out.
    ear: Option<Ear>,
    played: AudioBuffer,
}

impl Treatment {
    /// Lets the microphone go. Not under the lock: its end is told to this.
    fn let_go(&self) {
        let microphone = self.work.lock().microphone.take();
        drop(microphone);
    }

    /// Works as `wanted` says from now on, and returns what that is in full.
    fn set(&self, wanted: &MediaTrackSettings) -> MediaTrackSettings {
        let device = &self.device;
        // What is no microphone's to process stays as it is.
        let flag = |wanted: Option<bool>, usual: Option<bool>| match usual {
            Some(true) => wanted.or(usual),
            usual => usual,
        };
        let echo = match device.echo_cancellation {
            Some(EchoCancellation::On) => wanted.echo_cancellation.or(Some(EchoCancellation::On)),
            usual => usual,
        };
        let most = device.channel_count.unwrap_or(1).clamp(1, 2);
        let channels = wanted.channel_count.unwrap_or(most).clamp(1, most) as u16;
        let settings = MediaTrackSettings {
            channel_count: Some(channels.into()),
            echo_cancellation: echo,
            auto_gain_control: flag(wanted.auto_gain_control, device.auto_gain_control),
            noise_suppression: flag(wanted.noise_suppression, device.noise_suppression),
            ..device.clone()
        };
        let steps = processing::Steps {
            echo: settings.echo_cancellation == Some(EchoCancellation::On),
            gain: settings.auto_gain_control == Some(true),
            noise: settings.noise_suppression == Some(true),
        };
        // Made here, so that the microphone's thread need not wait for it.
        let processing = steps
            .any()
            .then(|| Box::new(Sonora::new(channels, steps)) as Box<dyn VoiceProcessing>);
        let ear = steps.echo.then(Ear::open);
        let mut work = self.work.lock();
        let old = (
            std::mem::replace(&mut work.processing, processing),
            std::mem::replace(&mut work.ear, ear),
        );
        (work.channels, work.matrix) = (Some(channels), None);
        drop(work);
        drop(old);
        settings
    }

    /// The frame as it is wanted: the very same one if nothing is to be done.
    fn treat(&self, sound: &AudioFrame) -> AudioFrame {
        let mut work = self.work.lock();
        let Work {
            channels,
            matrix,
            processing,
            ear,
            played,
            ..
        } = &mut *work;
        let have = sound.buffer.channels();
        let want = channels.unwrap_or(have);
        if processing.is_none() && want == have {
            return sound.clone();
        }
        let matrix = match matrix {
            Some(matrix) if matrix.from() == have => matrix,
            other => other.insert(ChannelMatrix::new(have, want)),
        };
        let buffer = self.pool.fill(|to| {
            matrix.mix(&sound.buffer, to);
            let usual = (to.sample_rate(), to.frames()) == (SAMPLE_RATE, FRAME_LEN);
            if let (true, Some(processing)) = (usual, processing) {
                if let Some(ear) = ear {
                    while ear.hear(played) {
                        processing.played(played);
                    }
                }
                processing.captured(to);
            }
        });
        AudioFrame::new(buffer, sound.capture_time)
    }
}

impl Sink for Treatment {
    fn accept(&self, frame: &Frame) {
        let source = self.source.get().and_then(WeakMediaSource::upgrade);
        if let (Some(source), Frame::Audio(sound)) = (source, frame) {
            source.publish(&self.treat(sound).into());
        }
    }

    fn ended(&self) {
        if let Some(source) = self.source.get().and_then(WeakMediaSource::upgrade) {
            source.end();
        }
        self.let_go();
    }
}

impl SourceControl for Treatment {
    fn stop(&self) {
        self.let_go();
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        Ok(self.set(wanted))
    }
}
