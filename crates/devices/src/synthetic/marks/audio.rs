//! What a machine hears in the synthetic microphone's sound.
//!
//! # Layout of a second
//!
//! | from | to | what |
//! |---|---|---|
//! | 0 ms | 80 ms | the beep: 1,000 Hz, at once from a zero of its wave |
//! | 80 ms | 150 ms | silence |
//! | 150 ms | 950 ms | the second's tone, fading in and out over 10 ms |
//! | 950 ms | 1,000 ms | silence |
//!
//! The tone of Unix second `s` is number `s mod 8` of an A major scale: [`PATTERN_HZ`]. In a browser an
//! `AnalyserNode` finds the beep in the bin of 1,000 Hz and the tone as the strongest bin below 500 Hz.

use duet_media::{AudioBuffer, MediaTime};
use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

/// The beep's pitch in Hz; no tone of the pattern, nor a harmonic of one that is near.
pub const BEEP_HZ: f64 = 1_000.0;
/// The pattern's pitches in Hz, one for each second.
pub const PATTERN_HZ: [f64; 8] = [
    220.00, 246.94, 277.18, 293.66, 329.63, 369.99, 415.30, 440.00,
];
/// When in its second the beep sounds, in seconds.
pub(crate) const BEEP: std::ops::Range<f64> = 0.0..0.08;
/// When in its second the tone sounds, in seconds.
pub(crate) const TONE: std::ops::Range<f64> = 0.15..0.95;

/// The pitch of the tone in a second since the Unix epoch.
pub fn pattern_hz(unix_second: u64) -> f64 {
    PATTERN_HZ[(unix_second % PATTERN_HZ.len() as u64) as usize]
}

/// Which of [`PATTERN_HZ`] a pitch is, within 2.5 in a hundred.
pub fn pattern_index(hz: f64) -> Option<usize> {
    PATTERN_HZ.iter().position(|p| (hz / p - 1.0).abs() < 0.025)
}

/// How late a beep is that was heard when the wall clock read `unix`: -100 ms to just under 900 ms,
/// in seconds.
pub fn beep_delay(unix: Duration) -> f64 {
    let within = f64::from(unix.subsec_nanos()) / 1e9;
    if within < 0.9 { within } else { within - 1.0 }
}

/// A beep that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beep {
    /// When it began, by the times that the listener was given.
    pub onset: MediaTime,
    /// How loud it was, as the amplitude of its wave: 0 to 1.
    pub level: f32,
}

/// Listens to a stream of sound: finds the beeps, and tells the pitch and the level of now.
///
/// It takes any sample rate from 8 kHz and any number of channels, of which it hears the mean. A
/// beep's onset is found to within some 2 ms, 40 ms after it began; it is told from other sounds by
/// having nearly all of the energy.
#[derive(Debug, Default)]
pub struct Listener {
    rate: u32,
    /// When the next stretch should begin.
    next: Option<MediaTime>,
    beeps: Option<BeepFinder>,
    pitch: Option<PitchFinder>,
}

impl Listener {
    /// A stretch that begins this much off its predecessor's end does not continue it. Less may be
    /// the unevenness of a busy machine, where times are those of arrival.
    const GAP_NANOS: i64 = 250_000_000;

    /// A listener that has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens to the next stretch, the first sample of which sounded at `time`. Returns the beeps
    /// that are certain now. Another sample rate than before makes it start over, and so does a jump
    /// in time of a quarter of a second: of a beep whose beginning is missing nothing is said.
    pub fn hear(&mut self, sound: &AudioBuffer, time: MediaTime) -> Vec<Beep> {
        let (rate, channels) = (sound.sample_rate(), usize::from(sound.channels()));
        if rate < 8_000 || channels == 0 {
            return Vec::new();
        }
        if rate != self.rate {
            *self = Listener {
                rate,
                ..Default::default()
            };
        }
        let expected = self.next.replace(time + sound.duration());
        if expected.is_some_and(|next| time.nanos_since(next).abs() > Self::GAP_NANOS) {
            self.beeps = None;
        }
        let beeps = self.beeps.get_or_insert_with(|| BeepFinder::new(rate));
        let pitch = self.pitch.get_or_insert_with(|| PitchFinder::new(rate));
        let mut found = Vec::new();
        for (n, frame) in sound.samples().chunks_exact(channels).enumerate() {
            let sample = frame.iter().sum::<f32>() / channels as f32;
            pitch.push(sample);
            if beeps.push(sample) {
                let now = time.offset_by(((n as u64 + 1) * 1_000_000_000 / u64::from(rate)) as i64);
                found.extend(beeps.step(now));
            }
        }
        found
    }

    /// The pitch of the last 50 ms in Hz, if they had one between 80 and 1,500 Hz.
    pub fn pitch_hz(&self) -> Option<f64> {
        self.pitch.as_ref()?.hz
    }

    /// The level of the last 50 ms in dB relative to full scale (a sine of amplitude 1 is at -3); -120 for
    /// silence.
    pub fn level_dbfs(&self) -> f32 {
        self.pitch.as_ref().map_or(-120.0, |p| p.level_dbfs)
    }
}

/// Follows the strength of 1,000 Hz over a sliding window of whole waves, and times its rising edge.
#[derive(Debug)]
struct BeepFinder {
    /// The window: in-phase and quadrature products and the sample's energy.
    window: VecDeque<[f64; 3]>,
    sums: [f64; 3],
    len: usize,
    step_len: usize,
    until_step: usize,
    turn: (f64, f64),
    pointer: (f64, f64),
    /// The last [`BeepFinder::HISTORY`] steps: when, and how strong.
    history: VecDeque<(MediaTime, f64)>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Listening,
    /// Something rose: is it still there when `steps` are over?
    Rising {
        steps: usize,
    },
    /// It was a beep; the next cannot be near.
    Deaf {
        steps: usize,
    },
}

impl BeepFinder {
    const WINDOW_MS: f64 = 5.0;
    const STEPS_PER_SECOND: usize = 4_000;
    const CONFIRM: usize = Self::STEPS_PER_SECOND * 40 / 1000;
    const DEAF: usize = Self::STEPS_PER_SECOND / 2;
    const HISTORY: usize = Self::STEPS_PER_SECOND * 60 / 1000;
    /// The least amplitude, -44 dB.
    const FAINTEST: f64 = 0.006;
    /// The least part of the energy.
    const PURITY: f64 = 0.6;

    fn new(rate: u32) -> Self {
        let len = (f64::from(rate) * Self::WINDOW_MS / 1000.0).round() as usize;
        let step_len = (rate as usize / Self::STEPS_PER_SECOND).max(1);
        let (sin, cos) = (TAU * BEEP_HZ / f64::from(rate)).sin_cos();
        BeepFinder {
            window: VecDeque::with_capacity(len + 1),
            sums: [0.0; 3],
            len,
            step_len,
            until_step: step_len,
            turn: (cos, sin),
            pointer: (1.0, 0.0),
            history: VecDeque::with_capacity(Self::HISTORY + 1),
            state: State::Listening,
        }
    }

    /// True if a step is due, which is when the window is full.
    fn push(&mut self, sample: f32) -> bool {
        let x = f64::from(sample);
        let (cos, sin) = self.pointer;
        let (turn_cos, turn_sin) = self.turn;
        let (cos_next, sin_next) = (
            cos * turn_cos - sin * turn_sin,
            sin * turn_cos + cos * turn_sin,
        );
        // Keeps the pointer's length at one over hours.
        let mend = 1.5 - 0.5 * (cos_next * cos_next + sin_next * sin_next);
        self.pointer = (cos_next * mend, sin_next * mend);
        let new = [x * cos, x * sin, x * x];
        self.window.push_back(new);
        let old = match self.window.len() > self.len {
            true => self.window.pop_front().unwrap_or_default(),
            false => [0.0; 3],
        };
        for ((sum, new), old) in self.sums.iter_mut().zip(new).zip(old) {
            *sum += new - old;
        }
        self.until_step -= 1;
        if self.until_step == 0 {
            self.until_step = self.step_len;
            return self.window.len() == self.len;
        }
        false
    }

    fn step(&mut self, now: MediaTime) -> Option<Beep> {
        let [i, q, energy] = self.sums;
        let len = self.len as f64;
        let amplitude = 2.0 * i.hypot(q) / len;
        let pure = amplitude * amplitude / 2.0 >= Self::PURITY * energy / len;
        self.history.push_back((now, amplitude));
        if self.history.len() > Self::HISTORY {
            self.history.pop_front();
        }
        self.state = match self.state {
            State::Listening if amplitude > Self::FAINTEST && pure => State::Rising {
                steps: Self::CONFIRM,
            },
            State::Listening => State::Listening,
            State::Rising { steps: 0 } => match self.confirm(amplitude, pure) {
                Some(beep) => {
                    self.state = State::Deaf { steps: Self::DEAF };
                    return Some(beep);
                }
                None => State::Listening,
            },
            State::Rising { steps } => State::Rising { steps: steps - 1 },
            State::Deaf { steps: 0 } => State::Listening,
            State::Deaf { steps } => State::Deaf { steps: steps - 1 },
        };
        None
    }

    /// The moment when the strength last rose through half of its plateau lies half a window after
    /// the onset, however loud it is.
    fn confirm(&self, amplitude: f64, pure: bool) -> Option<Beep> {
        let peak = self.history.iter().map(|h| h.1).fold(0.0, f64::max);
        if !pure || amplitude < peak / 2.0 {
            return None;
        }
        let mut steps = self.history.iter().rev();
        let mut above = *steps.next()?;
        let below = steps.find(|step| {
            let low = step.1 < peak / 2.0;
            if !low {
                above = **step;
            }
            low
        })?;
        let part = (peak / 2.0 - below.1) / (above.1 - below.1).max(f64::MIN_POSITIVE);
        let rise = below
            .0
            .offset_by((above.0.nanos_since(below.0) as f64 * part) as i64);
        Some(Beep {
            onset: rise.offset_by((-Self::WINDOW_MS / 2.0 * 1e6) as i64),
            level: peak as f32,
        })
    }
}

/// Finds the pitch by how well the sound resembles itself a wave later (McLeod's normalised
/// difference), at some 12 kHz.
#[derive(Debug)]
struct PitchFinder {
    rate: f64,
    decimation: usize,
    sum: f32,
    summed: usize,
    samples: Vec<f32>,
    wanted: usize,
    hz: Option<f64>,
    level_dbfs: f32,
}

impl PitchFinder {
    const LOWEST: f64 = 80.0;
    const HIGHEST: f64 = 1_500.0;
    /// How alike two waves must be to be a tone.
    const CLARITY: f32 = 0.8;

    fn new(rate: u32) -> Self {
        let decimation = (rate / 12_000).max(1) as usize;
        let rate = f64::from(rate) / decimation as f64;
        let wanted = (rate * 0.05) as usize;
        PitchFinder {
            rate,
            decimation,
            sum: 0.0,
            summed: 0,
            samples: Vec::with_capacity(wanted),
            wanted,
            hz: None,
            level_dbfs: -120.0,
        }
    }

    fn push(&mut self, sample: f32) {
        self.sum += sample;
        self.summed += 1;
        if self.summed < self.decimation {
            return;
        }
        self.samples.push(self.sum / self.decimation as f32);
        (self.sum, self.summed) = (0.0, 0);
        if self.samples.len() == self.wanted {
            let energy: f32 = self.samples.iter().map(|s| s * s).sum();
            let power = energy / self.wanted as f32;
            self.level_dbfs = (10.0 * power.log10()).max(-120.0);
            self.hz = if power > 1e-8 { self.find() } else { None };
            self.samples.clear();
        }
    }

    fn find(&self) -> Option<f64> {
        let shortest = (self.rate / Self::HIGHEST) as usize;
        let longest = ((self.rate / Self::LOWEST) as usize).min(self.wanted / 2);
        let alike: Vec<f32> = (0..=longest).map(|lag| self.likeness(lag)).collect();
        // Past the peak at no lag at all.
        let start = alike.iter().position(|a| *a < 0.0)?.max(shortest);
        let best = alike.iter().skip(start).copied().fold(0.0, f32::max);
        if best < Self::CLARITY {
            return None;
        }
        let peak = (start.max(1)..longest).find(|&lag| {
            alike[lag] >= 0.9 * best && alike[lag] >= alike[lag - 1] && alike[lag] >= alike[lag + 1]
        })?;
        // The top of the parabola through the peak and its neighbours.
        let [a, b, c] = [alike[peak - 1], alike[peak], alike[peak + 1]].map(f64::from);
        let bend = a - 2.0 * b + c;
        let shift = if bend == 0.0 {
            0.0
        } else {
            0.5 * (a - c) / bend
        };
        Some(self.rate / (peak as f64 + shift))
    }

    fn likeness(&self, lag: usize) -> f32 {
        let (head, tail) = (&self.samples[..self.wanted - lag], &self.samples[lag..]);
        let (mut product, mut energy) = (0.0f32, 0.0f32);
        for (a, b) in head.iter().zip(tail) {
            product += a * b;
            energy += a * a + b * b;
        }
        if energy > 0.0 {
            2.0 * product / energy
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::hear;

    /// Frames of 10 ms of what the synthetic microphone hears, scaled, with noise added.
    fn listen(
        rate: u32,
        channels: u16,
        gain: f32,
        noise: f32,
    ) -> (Vec<Beep>, Vec<(u64, Option<f64>)>) {
        let (mut listener, mut beeps, mut pitches) = (Listener::new(), Vec::new(), Vec::new());
        let mut seed = 1u32;
        let frames = rate as usize / 100;
        for n in 0..900u64 {
            let mut buffer = AudioBuffer::new(rate, channels, frames);
            hear(
                Duration::from_millis(1_600_000_000_500 + 10 * n),
                &mut buffer,
            );
            for sample in buffer.samples_mut() {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = *sample * gain + noise * (seed as f32 / u32::MAX as f32 - 0.5);
            }
            let time = MediaTime::from_millis(500 + 10 * n as i64);
            beeps.extend(listener.hear(&buffer, time));
            if n % 100 == 0 {
                // Half past each second.
                pitches.push((1_600_000_000 + n / 100, listener.pitch_hz()));
            }
        }
        (beeps, pitches)
    }

    #[test]
    fn beeps_and_pitches_are_found_at_any_rate_level_and_width() {
        for (rate, channels, gain, noise) in [
            (48_000, 1, 1.0, 0.0),
            (48_000, 2, 0.1, 0.003),
            (44_100, 2, 1.0, 0.02),
            (16_000, 1, 0.3, 0.0),
            (8_000, 6, 2.0, 0.0),
        ] {
            let case = format!("{rate} Hz, {channels} channels, gain {gain}, noise {noise}");
            let (beeps, pitches) = listen(rate, channels, gain, noise);
            assert_eq!(beeps.len(), 9, "{case}");
            for (n, beep) in beeps.iter().enumerate() {
                let off = beep
                    .onset
                    .nanos_since(MediaTime::from_millis(1_000 * (n as i64 + 1)));
                assert!(off.abs() < 1_000_000, "{case}: {off} ns off");
                assert!((beep.level / gain - 0.35).abs() < 0.05, "{case}: {beep:?}");
            }
            for (second, hz) in pitches.into_iter().skip(1) {
                let (hz, wanted) = (hz.expect(&case), pattern_hz(second));
                assert!(
                    (hz / wanted - 1.0).abs() < 0.01,
                    "{case}: {hz} for {wanted} Hz"
                );
                assert_eq!(pattern_index(hz), Some((second % 8) as usize), "{case}");
            }
        }
    }

    #[test]
    fn silence_noise_and_other_tones_are_no_beeps() {
        let mut listener = Listener::new();
        let mut seed = 7u32;
        for n in 0..600i64 {
            let mut buffer = AudioBuffer::new(48_000, 1, 480);
            for (k, sample) in buffer.samples_mut().iter_mut().enumerate() {
                let at = (n * 480 + k as i64) as f64 / 48_000.0;
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = match n / 200 {
                    0 => 0.0,
                    1 => seed as f32 / u32::MAX as f32 - 0.5,
                    _ => 0.5 * (TAU * 440.0 * at).sin() as f32,
                };
            }
            assert!(
                listener
                    .hear(&buffer, MediaTime::from_millis(10 * n))
                    .is_empty()
            );
            match n {
                199 => assert_eq!((listener.pitch_hz(), listener.level_dbfs()), (None, -120.0)),
                399 => assert_eq!(listener.pitch_hz(), None),
                _ => {}
            }
        }
        assert!((listener.pitch_hz().unwrap() - 440.0).abs() < 1.0);
        assert!((listener.level_dbfs() - -9.03).abs() < 0.3);
    }

    #[test]
    fn a_beep_whose_beginning_is_missing_is_not_taken_for_a_late_one() {
        let mut listener = Listener::new();
        let mut beeps = Vec::new();
        // From 30 ms into a second to 990 ms, then from 20 ms into the next but one.
        for millis in (30..1_990).chain(3_020..4_500).step_by(10) {
            let mut buffer = AudioBuffer::new(48_000, 1, 480);
            hear(
                Duration::from_millis(1_600_000_000_000 + millis),
                &mut buffer,
            );
            beeps.extend(listener.hear(&buffer, MediaTime::from_millis(millis as i64)));
        }
        let seconds: Vec<_> = beeps
            .iter()
            .map(|b| b.onset.as_secs_f64().round())
            .collect();
        assert_eq!(seconds, [1.0, 4.0]);
    }

    #[test]
    fn a_shape_that_is_no_sound_is_ignored() {
        let mut listener = Listener::new();
        for (rate, channels, frames) in
            [(0, 1, 100), (48_000, 0, 0), (1_000, 1, 100), (48_000, 1, 0)]
        {
            let buffer = AudioBuffer::new(rate, channels, frames);
            assert!(listener.hear(&buffer, MediaTime::ZERO).is_empty());
        }
    }

    #[test]
    fn delays_are_counted_from_the_nearest_second_before() {
        assert_eq!(beep_delay(Duration::from_millis(5_500)), 0.5);
        assert!((beep_delay(Duration::from_millis(5_999)) - -0.001).abs() < 1e-9);
    }
}
