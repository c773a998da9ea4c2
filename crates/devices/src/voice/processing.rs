//! The processing itself, behind a trait of ours: today by `sonora`, a port of WebRTC's own.

use crate::resample::{FRAME_LEN, SAMPLE_RATE};
use duet_media::AudioBuffer;
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate,
    NoiseSuppression, NoiseSuppressionLevel, Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Take out the echo of what is played.
    pub(super) echo: bool,
    /// Even out how loud it is.
    pub(super) gain: bool,
    /// Take out noise.
    pub(super) noise: bool,
}

impl Steps {
    pub(super) fn any(self) -> bool {
        self.echo || self.gain || self.noise
    }
}

/// Treats sound, 10 ms at 48 kHz at a time.
pub(super) trait VoiceProcessing: Send {
    /// What is played, of two channels; before its echo is captured.
    fn played(&mut self, sound: &AudioBuffer);

    /// What was captured; left as it is if it has an unknown number of channels.
    fn captured(&mut self, sound: &mut AudioBuffer);
}

pub(super) struct Sonora {
    processing: AudioProcessing,
    channels: u16,
    /// Channel by channel: in and out.
    planes: [[f32; FRAME_LEN]; 4],
}

impl Sonora {
    /// For sound of one channel or two.
    pub(super) fn new(channels: u16, steps: Steps) -> Self {
        let channels = channels.clamp(1, 2);
        let config = Config {
            pipeline: Pipeline {
                // The whole band: voices are to sound as they do.
                maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
                ..Default::default()
            },
            // Rumble is no voice, and in the canceller's way.
            high_pass_filter: (steps.echo || steps.noise).then(HighPassFilter::default),
            echo_canceller: steps.echo.then(EchoCanceller::default),
            noise_suppression: steps.noise.then(|| NoiseSuppression {
                level: NoiseSuppressionLevel::High,
                ..Default::default()
            }),
            gain_controller2: steps.gain.then(|| GainController2 {
                adaptive_digital: Some(AdaptiveDigital::default()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let processing = AudioProcessing::builder()
            .config(config)
            .capture_config(StreamConfig::new(SAMPLE_RATE, channels))
            .render_config(StreamConfig::new(SAMPLE_RATE, 2))
            .build();
        Sonora {
            processing,
            channels,
            planes: [[0.0; FRAME_LEN]; 4],
        }
    }

    /// Takes the channels apart.
    fn take(&mut self, sound: &AudioBuffer) {
        let channels = usize::from(sound.channels());
        for (at, frame) in sound.samples().chunks_exact(channels).enumerate() {
            for (plane, sample) in self.planes.iter_mut().zip(frame) {
                plane[at] = *sample;
            }
        }
    }
}

impl VoiceProcessing for Sonora {
    fn played(&mut self, sound: &AudioBuffer) {
        if sound.channels() != 2 || sound.frames() != FRAME_LEN {
            return;
        }
        self.take(sound);
        let [left, right, out_left, out_right] = &mut self.planes;
        let heard = self
            .processing
            .process_render_f32(&[left, right], &mut [out_left, out_right]);
        debug_assert!(heard.is_ok(), "the shape is its own");
    }

    fn captured(&mut self, sound: &mut AudioBuffer) {
        if sound.channels() != self.channels || sound.frames() != FRAME_LEN {
            return;
        }
        self.take(sound);
        let [left, right, out_left, out_right] = &mut self.planes;
        let done = match self.channels {
            1 => self
                .processing
                .process_capture_f32(&[left], &mut [out_left]),
            _ => self
                .processing
                .process_capture_f32(&[left, right], &mut [out_left, out_right]),
        };
        // Better untreated than silent.
        if done.is_err() {
            return;
        }
        let channels = usize::from(self.channels);
        for (at, frame) in sound.samples_mut().chunks_exact_mut(channels).enumerate() {
            for (sample, plane) in frame.iter_mut().zip([&*out_left, &*out_right]) {
                // Beyond full scale there is nothing; and no number must never get out.
                let value = plane[at];
                *sample = if value.is_finite() {
                    value.clamp(-1.0, 1.0)
                } else {
                    0.0
                };
            }
        }
    }
}
