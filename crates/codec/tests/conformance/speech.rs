//! Sound to encode, and how to compare what came of it.

use duet_media::AudioBuffer;
use std::f32::consts::TAU;

pub(crate) const RATE: u32 = 48_000;

/// Something like a voice: a gliding pitch with harmonics, in syllables of a quarter of a second.
/// Each channel has a pitch of its own.
pub(crate) fn voice(channels: u16, seconds: f32) -> Vec<f32> {
    let frames = (seconds * RATE as f32) as usize;
    let mut samples = Vec::with_capacity(frames * channels as usize);
    let mut phases = vec![0.0_f32; channels as usize];
    for frame in 0..frames {
        let time = frame as f32 / RATE as f32;
        let loudness = 0.15 + 0.85 * (TAU * 2.0 * time).sin().powi(2);
        for (channel, phase) in phases.iter_mut().enumerate() {
            let pitch = 240.0 + 90.0 * channel as f32 + 25.0 * (TAU * 0.7 * time).sin();
            *phase = (*phase + pitch / RATE as f32).fract();
            let sound: f32 = (1..16_u8)
                .map(|k| (TAU * *phase * f32::from(k)).sin() / f32::from(k))
                .sum();
            samples.push(0.2 * loudness * sound);
        }
    }
    samples
}

/// Interleaved samples in stretches of `frames`; what is left at the end is left out.
pub(crate) fn stretches(
    samples: &[f32],
    channels: u16,
    frames: usize,
) -> impl Iterator<Item = AudioBuffer> + '_ {
    samples
        .chunks_exact(frames * channels as usize)
        .map(move |chunk| {
            let mut buffer = AudioBuffer::new(RATE, channels, frames);
            buffer.samples_mut().copy_from_slice(chunk);
            buffer
        })
}

/// How alike two sounds are, 1 being the same, at the delay (of `b`, up to 20 ms) that makes them
/// most alike; and that delay in samples.
pub(crate) fn likeness(a: &[f32], b: &[f32]) -> (f32, usize) {
    let len = a.len().min(b.len()) - 960;
    let alike = |delay: usize| {
        let (a, b) = (&a[..len], &b[delay..delay + len]);
        let product: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
        product / (energy(a) * energy(b)).sqrt().max(1e-9)
    };
    (0..960)
        .map(|delay| (alike(delay), delay))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap()
}

/// How far `got` is from `sent`, as signal-to-noise ratio in dB.
pub(crate) fn snr(sent: &[f32], got: &[f32]) -> f32 {
    let noise: f32 = sent.iter().zip(got).map(|(a, b)| (a - b).powi(2)).sum();
    10.0 * (energy(sent) / noise.max(1e-9)).log10()
}

pub(crate) fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum()
}

/// The greatest step from one sample to the next.
pub(crate) fn steepest(samples: &[f32]) -> f32 {
    samples
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f32::max)
}
