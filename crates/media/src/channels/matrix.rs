//! From any number of channels to any other:
//! [up-mixing and down-mixing](https://webaudio.github.io/web-audio-api/#channel-up-mixing-and-down-mixing),
//! as browsers do it.

use crate::AudioBuffer;

/// How much of each channel goes into each other one.
///
/// Of 1, 2, 4 and 6 channels it is known which speaker each is for (mono; left, right; and the surround
/// pair; left, right, centre, low frequencies, and the surround pair), and they are mixed as these are.
/// Other numbers are taken as they come: what is too many is left out, what is missing is silence.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelMatrix {
    from: u16,
    to: u16,
    /// Row by row, one for each output channel.
    gains: Vec<f32>,
}

impl ChannelMatrix {
    /// The usual matrix from `from` to `to` channels.
    pub fn new(from: u16, to: u16) -> Self {
        let mut matrix = ChannelMatrix {
            from,
            to,
            gains: vec![0.0; usize::from(from) * usize::from(to)],
        };
        match rows(from, to) {
            Some(rows) => {
                for (to, row) in rows.iter().enumerate() {
                    for (from, gain) in row.iter().enumerate() {
                        matrix.set(from as u16, to as u16, *gain);
                    }
                }
            }
            None => (0..from.min(to)).for_each(|channel| matrix.set(channel, channel, 1.0)),
        }
        matrix
    }

    /// A matrix that takes one channel alone, if there is such a channel.
    pub fn pick(from: u16, channel: u16) -> Self {
        let mut matrix = ChannelMatrix {
            from,
            to: 1,
            gains: vec![0.0; from.into()],
        };
        if channel < from {
            matrix.set(channel, 0, 1.0);
        }
        matrix
    }

    /// How much of the input channel `from` is in the output channel `to`; 1 is all of it.
    pub fn gain(&self, from: u16, to: u16) -> f32 {
        if from < self.from && to < self.to {
            self.gains[self.at(from, to)]
        } else {
            0.0
        }
    }

    /// How many channels it takes.
    pub fn from(&self) -> u16 {
        self.from
    }

    /// How many channels it makes.
    pub fn to(&self) -> u16 {
        self.to
    }

    /// Mixes `input` into `output`, which takes on its shape. An input of another number of channels
    /// than [`ChannelMatrix::from`] gives silence.
    pub fn mix(&self, input: &AudioBuffer, output: &mut AudioBuffer) {
        output.resize(input.sample_rate(), self.to, input.frames());
        let (from, to) = (usize::from(self.from), usize::from(self.to));
        let samples = output.samples_mut();
        if input.channels() != self.from || from == 0 || to == 0 {
            samples.fill(0.0);
            return;
        }
        let frames = input.samples().chunks_exact(from);
        for (input, output) in frames.zip(samples.chunks_exact_mut(to)) {
            for (sample, row) in output.iter_mut().zip(self.gains.chunks_exact(from)) {
                *sample = input.iter().zip(row).map(|(a, gain)| a * gain).sum();
            }
        }
    }

    fn set(&mut self, from: u16, to: u16, gain: f32) {
        let at = self.at(from, to);
        self.gains[at] = gain;
    }

    fn at(&self, from: u16, to: u16) -> usize {
        usize::from(to) * usize::from(self.from) + usize::from(from)
    }
}

/// The matrices of the specification that are more than a copy.
fn rows(from: u16, to: u16) -> Option<&'static [&'static [f32]]> {
    /// The square root of a half: two channels of equal power make one.
    const R: f32 = std::f32::consts::FRAC_1_SQRT_2;
    Some(match (from, to) {
        (1, 2) => &[&[1.0], &[1.0]],
        (1, 4) => &[&[1.0], &[1.0], &[0.0], &[0.0]],
        (1, 6) => &[&[0.0], &[0.0], &[1.0], &[0.0], &[0.0], &[0.0]],
        (2, 6) => &[
            &[1.0, 0.0],
            &[0.0, 1.0],
            &[0.0, 0.0],
            &[0.0, 0.0],
            &[0.0, 0.0],
            &[0.0, 0.0],
        ],
        (4, 6) => &[
            &[1.0, 0.0, 0.0, 0.0],
            &[0.0, 1.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 1.0, 0.0],
            &[0.0, 0.0, 0.0, 1.0],
        ],
        (2, 1) => &[&[0.5, 0.5]],
        (4, 1) => &[&[0.25, 0.25, 0.25, 0.25]],
        (6, 1) => &[&[R, R, 1.0, 0.0, 0.5, 0.5]],
        (4, 2) => &[&[0.5, 0.0, 0.5, 0.0], &[0.0, 0.5, 0.0, 0.5]],
        (6, 2) => &[&[1.0, 0.0, R, 0.0, R, 0.0], &[0.0, 1.0, R, 0.0, 0.0, R]],
        (6, 4) => &[
            &[1.0, 0.0, R, 0.0, 0.0, 0.0],
            &[0.0, 1.0, R, 0.0, 0.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(from: u16, to: u16, input: &[f32]) -> Vec<f32> {
        let mut buffer = AudioBuffer::new(48_000, from, input.len() / usize::from(from));
        buffer.samples_mut().copy_from_slice(input);
        let mut output = AudioBuffer::default();
        ChannelMatrix::new(from, to).mix(&buffer, &mut output);
        assert_eq!((output.channels(), output.frames()), (to, buffer.frames()));
        output.samples().to_vec()
    }

    #[test]
    fn speakers_are_mixed_as_browsers_do() {
        assert_eq!(mixed(1, 2, &[0.5, -0.5]), [0.5, 0.5, -0.5, -0.5]);
        assert_eq!(mixed(2, 1, &[0.5, 0.25]), [0.375]);
        assert_eq!(mixed(1, 6, &[0.5]), [0.0, 0.0, 0.5, 0.0, 0.0, 0.0]);
        assert_eq!(mixed(4, 2, &[0.5, 0.25, 0.5, 0.25]), [0.5, 0.25]);
        let stereo = mixed(6, 2, &[0.1, 0.2, 0.4, 0.9, 0.1, 0.2]);
        let r = std::f32::consts::FRAC_1_SQRT_2;
        let expected = [0.1 + r * 0.5, 0.2 + r * 0.6];
        assert!(
            stereo
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }

    #[test]
    fn other_numbers_are_taken_as_they_come() {
        assert_eq!(mixed(3, 2, &[0.1, 0.2, 0.3]), [0.1, 0.2]);
        assert_eq!(mixed(2, 3, &[0.1, 0.2]), [0.1, 0.2, 0.0]);
        assert_eq!(mixed(2, 2, &[0.1, 0.2]), [0.1, 0.2]);
    }

    #[test]
    fn silence_stays_silence_and_no_gain_exceeds_one() {
        for from in 1..=8 {
            for to in 1..=8 {
                let matrix = ChannelMatrix::new(from, to);
                let gains = (0..from).flat_map(|f| (0..to).map(move |t| (f, t)));
                assert!(
                    gains
                        .map(|(f, t)| matrix.gain(f, t))
                        .all(|g| (0.0..=1.0).contains(&g))
                );
                assert!(
                    mixed(from, to, &vec![0.0; from.into()])
                        .iter()
                        .all(|s| *s == 0.0)
                );
            }
        }
        let none = AudioBuffer::new(48_000, 1, 4);
        let mut output = AudioBuffer::default();
        ChannelMatrix::new(2, 1).mix(&none, &mut output);
        assert_eq!(output.samples(), [0.0; 4]);
    }
}
