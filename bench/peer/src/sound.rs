//! What a sender says, and what a receiver plays of it, each with the times at which it crossed the API.

use crate::epoch_ms;
use duet::media::AudioBuffer;
use parking_lot::Mutex;
use std::path::PathBuf;
use std::{fs, io};

pub(crate) const SAMPLE_RATE: u32 = 48_000;
/// What crosses the API at once: 10 ms.
pub(crate) const BLOCK: usize = 480;
const TONE_HZ: f64 = 440.0;

/// When a block crossed the API, in milliseconds since the epoch, and a count of samples.
pub(crate) type Crossing = (f64, usize);

/// A tone; or, if `RIVALS_SPEECH` names a file of samples, silence, and from [`speak`](Self::speak) on what is
/// in it, over and over.
pub(crate) struct Voice {
    speech: Option<Vec<f32>>,
    spoken: Mutex<Spoken>,
}

#[derive(Default)]
struct Spoken {
    begun: bool,
    samples: usize,
    blocks: Vec<Crossing>,
}

impl Voice {
    pub(crate) fn open() -> io::Result<Voice> {
        let speech = match std::env::var_os("RIVALS_SPEECH") {
            Some(path) => Some(samples(&fs::read(path)?)),
            None => None,
        };
        if speech.as_ref().is_some_and(Vec::is_empty) {
            return Err(io::Error::other("RIVALS_SPEECH: there is nothing to say"));
        }
        Ok(Voice {
            speech,
            spoken: Mutex::default(),
        })
    }

    pub(crate) fn speak(&self) {
        self.spoken.lock().begun = true;
    }

    /// The block of this number since the call's start.
    pub(crate) fn fill(&self, number: u64, block: &mut [f32]) {
        let Some(speech) = &self.speech else {
            for (n, sample) in (number * BLOCK as u64..).zip(block) {
                let second = (n % u64::from(SAMPLE_RATE)) as f64 / f64::from(SAMPLE_RATE);
                *sample = 0.3 * (second * TONE_HZ * std::f64::consts::TAU).sin() as f32;
            }
            return;
        };
        let mut spoken = self.spoken.lock();
        if !spoken.begun {
            block.fill(0.0);
            return;
        }
        let said = spoken.samples;
        for (n, sample) in (said..).zip(block.iter_mut()) {
            *sample = speech[n % speech.len()];
        }
        spoken.blocks.push((epoch_ms(), said));
        spoken.samples += block.len();
    }

    /// For each block of speech: when it was handed over, and how many samples of speech before it.
    pub(crate) fn said(&self) -> Vec<Crossing> {
        self.spoken.lock().blocks.clone()
    }
}

/// What was played, if `RIVALS_HEARD` names a file for it.
pub(crate) struct Ear {
    file: Option<PathBuf>,
    samples: Vec<u8>,
    blocks: Vec<Crossing>,
}

impl Ear {
    pub(crate) fn open() -> Ear {
        Ear {
            file: std::env::var_os("RIVALS_HEARD").map(PathBuf::from),
            samples: Vec::new(),
            blocks: Vec::new(),
        }
    }

    pub(crate) fn hear(&mut self, block: &AudioBuffer) {
        if self.file.is_none() {
            return;
        }
        let first = block.samples().iter().step_by(block.channels().into());
        let before = self.samples.len();
        self.samples
            .extend(first.flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()));
        let count = (self.samples.len() - before) / 2;
        self.blocks.push((epoch_ms(), count));
    }

    /// Writes down what was heard so far; for each block of it, when it came and how many samples it has.
    pub(crate) fn write_down(&self) -> io::Result<Vec<Crossing>> {
        if let Some(file) = &self.file {
            fs::write(file, &self.samples)?;
        }
        Ok(self.blocks.clone())
    }
}

/// 16-bit samples of one channel, the low byte first.
fn samples(bytes: &[u8]) -> Vec<f32> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair));
    samples.map(|sample| f32::from(sample) / 32_768.0).collect()
}
