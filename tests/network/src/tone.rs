//! Whether a tone goes on without a click.

use std::f64::consts::TAU;
use std::sync::Arc;

/// A tone, and what is looked for in it.
///
/// Of a pure tone each sample follows from the two before it. Where it is torn, or where a piece of another
/// phase is put in, one does not: by as much as it jumps there.
#[derive(Debug, Clone, Copy)]
pub struct Tone {
    /// Twice the cosine of the angle from sample to sample.
    twice_cos: f64,
    amplitude: f64,
    last: [f64; 2],
    heard: u64,
    clicks: u64,
    largest: f64,
}

const SAMPLE_RATE: f64 = 48_000.0;
/// A jump of this share of the amplitude is a click. What coding adds to a tone jumps by less than a thousandth.
const CLICK: f64 = 0.01;

impl Tone {
    /// In Hz, and how loud: a whole number of waves are in 25 ms.
    pub const PITCH: f64 = 440.0;
    const AMPLITUDE: f64 = 0.4;

    /// What a sound card takes in that runs as fast as it says: again and again it is a tone.
    pub fn sound() -> Arc<[f32]> {
        let samples = (0..1_200).map(|n| {
            let angle = TAU * Self::PITCH * f64::from(n) / SAMPLE_RATE;
            (Self::AMPLITUDE * angle.sin()) as f32
        });
        samples.collect()
    }

    /// Listens to it; nothing was heard so far.
    pub fn listener() -> Tone {
        Tone {
            twice_cos: 2.0 * (TAU * Self::PITCH / SAMPLE_RATE).cos(),
            amplitude: Self::AMPLITUDE,
            last: [0.0; 2],
            heard: 0,
            clicks: 0,
            largest: 0.0,
        }
    }

    /// What follows.
    pub fn hear(&mut self, sound: &[f32]) {
        for sample in sound.iter().map(|sample| f64::from(*sample)) {
            let [before, last] = self.last;
            if self.heard >= 2 {
                let jump = (sample - (self.twice_cos * last - before)).abs() / self.amplitude;
                self.clicks += u64::from(jump > CLICK);
                self.largest = self.largest.max(jump);
            }
            self.last = [last, sample];
            self.heard += 1;
        }
    }

    /// Samples that jumped by a hundredth of the amplitude or more.
    pub fn clicks(&self) -> u64 {
        self.clicks
    }

    /// The largest jump, as a share of the amplitude.
    pub fn largest_jump(&self) -> f64 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: usize) -> Vec<f32> {
        let sound = Tone::sound();
        sound
            .iter()
            .copied()
            .cycle()
            .take(48_000 * seconds)
            .collect()
    }

    #[test]
    fn a_tone_goes_on() {
        let mut tone = Tone::listener();
        tone.hear(&seconds(1));
        tone.hear(&seconds(1));
        assert_eq!(tone.clicks(), 0);
        assert!(tone.largest_jump() < 1e-3, "{}", tone.largest_jump());
    }

    #[test]
    fn what_is_left_out_or_put_in_clicks_unless_it_is_a_wave() {
        // A wave has 109.1 samples.
        let whole = seconds(1);
        for (left_out, clicks) in [(109, false), (1_200, false), (30, true), (54, true)] {
            let mut tone = Tone::listener();
            tone.hear(&whole[..20_000]);
            tone.hear(&whole[20_000 + left_out..]);
            assert_eq!(
                tone.clicks() > 0,
                clicks,
                "{left_out}: {}",
                tone.largest_jump()
            );
        }
        let mut tone = Tone::listener();
        tone.hear(&whole[..20_000]);
        tone.hear(&[0.0; 480]);
        tone.hear(&whole[20_480..]);
        assert!(tone.clicks() > 0);
    }
}
