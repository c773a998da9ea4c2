//! What this process plays, for the microphones that have to know it.
//!
//! An echo is of the room and not of a call: any microphone may hear any speaker. So there is one place
//! for the process where speakers say what they play, and microphones that cancel echoes listen.

use crate::resample::{FRAME_LEN, SAMPLE_RATE};
use duet_media::AudioBuffer;
use duet_media::channels::ChannelMatrix;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Those who listen.
type Ears = Mutex<Vec<Weak<Mutex<Vec<Heard>>>>>;

/// Those of this process.
static EARS: Ears = Mutex::new(Vec::new());
static SPEAKERS: AtomicU64 = AtomicU64::new(0);

/// A speaker, as others hear it. Its sound is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Playback {
    speaker: u64,
    ears: &'static Ears,
    stereo: AudioBuffer,
}

/// Two channels at 48 kHz of one speaker that have not been heard.
#[derive(Debug)]
struct Heard {
    speaker: u64,
    samples: VecDeque<f32>,
}

/// Samples of 10 ms.
const FRAME: usize = FRAME_LEN * 2;
/// Capacity: 100 ms a speaker. Then the oldest is lost: its echo has been heard by then.
const MOST: usize = 10 * FRAME;
/// Speakers play some frames ahead of time, in bursts. More than these at once are a backlog.
const AHEAD: usize = 3 * FRAME;

impl Playback {
    pub(crate) fn new() -> Self {
        Self::to(&EARS)
    }

    fn to(ears: &'static Ears) -> Self {
        Playback {
            speaker: SPEAKERS.fetch_add(1, Ordering::Relaxed),
            ears,
            stereo: AudioBuffer::default(),
        }
    }

    /// Tells all who listen of 10 ms at 48 kHz that will be heard soon. Allocates nothing once it has
    /// been called some times; to be called on the speaker's own thread.
    pub(crate) fn plays(&mut self, sound: &AudioBuffer) {
        if sound.sample_rate() != SAMPLE_RATE || sound.frames() != FRAME_LEN {
            debug_assert!(false, "speakers play 10 ms at 48 kHz");
            return;
        }
        let ears = self.ears.lock();
        if ears.is_empty() {
            return;
        }
        ChannelMatrix::new(sound.channels(), 2).mix(sound, &mut self.stereo);
        for ear in ears.iter().filter_map(Weak::upgrade) {
            let mut heard = ear.lock();
            let ours = match heard.iter_mut().position(|h| h.speaker == self.speaker) {
                Some(at) => &mut heard[at],
                None => {
                    heard.push(Heard {
                        speaker: self.speaker,
                        samples: VecDeque::with_capacity(MOST),
                    });
                    let last = heard.len() - 1;
                    &mut heard[last]
                }
            };
            let excess = (ours.samples.len() + FRAME).saturating_sub(MOST);
            ours.samples.drain(..excess.min(ours.samples.len()));
            ours.samples.extend(self.stereo.samples());
        }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        for ear in self.ears.lock().iter().filter_map(Weak::upgrade) {
            ear.lock().retain(|heard| heard.speaker != self.speaker);
        }
    }
}

/// Somebody who hears all speakers.
pub(super) struct Ear {
    ears: &'static Ears,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Whether this round's frame was heard.
    had_one: bool,
}

impl Ear {
    pub(super) fn open() -> Self {
        Self::among(&EARS)
    }

    fn among(ears: &'static Ears) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        ears.lock().push(Arc::downgrade(&heard));
        Ear {
            ears,
            heard,
            had_one: false,
        }
    }

    /// The next 10 ms, of two channels, of all speakers together. To be called until there is none, in
    /// the microphone's rhythm: one at a time, and more where there is a backlog.
    pub(super) fn hear(&mut self, to: &mut AudioBuffer) -> bool {
        let mut heard = self.heard.lock();
        let longest = heard.iter().map(|heard| heard.samples.len()).max();
        let due = if self.had_one { AHEAD + FRAME } else { FRAME };
        self.had_one = longest.is_some_and(|longest| longest >= due);
        if !self.had_one {
            return false;
        }
        to.resize(SAMPLE_RATE, 2, FRAME_LEN);
        to.samples_mut().fill(0.0);
        for Heard { samples, .. } in heard.iter_mut() {
            let count = samples.len().min(FRAME);
            for (to, from) in to.samples_mut().iter_mut().zip(samples.drain(..count)) {
                *to += from;
            }
        }
        true
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let ours = Arc::downgrade(&self.heard);
        self.ears
            .lock()
            .retain(|ear| !ear.ptr_eq(&ours) && ear.strong_count() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A speaker and a microphone whose clocks differ. Frames are filled with their numbers.
    struct Drifting {
        speaker: Playback,
        ear: Ear,
        played: usize,
        heard: usize,
        /// Rounds of the microphone, and those in which nothing was heard.
        rounds: usize,
        silent: usize,
    }

    impl Drifting {
        /// Nobody else may play to these ears.
        fn alone(ears: &'static Ears) -> Self {
            Drifting {
                speaker: Playback::to(ears),
                ear: Ear::among(ears),
                played: 0,
                heard: 0,
                rounds: 0,
                silent: 0,
            }
        }

        fn play(&mut self) {
            self.played += 1;
            let mut frame = AudioBuffer::new(SAMPLE_RATE, 1, FRAME_LEN);
            frame.samples_mut().fill(self.played as f32);
            self.speaker.plays(&frame);
        }

        /// As the microphone's thread does with each of its frames.
        fn round(&mut self) {
            let (mut to, before) = (AudioBuffer::default(), self.heard);
            while self.ear.hear(&mut to) {
                self.heard += 1;
                let number = to.samples()[0] as usize;
                assert_eq!(number, self.heard, "in round {}", self.rounds);
            }
            self.rounds += 1;
            self.silent += usize::from(self.heard == before);
        }
    }

    /// Ten minutes, in which the speaker plays `rate` frames for each of the microphone's, three at a time.
    fn drift(rate: f64) -> (Drifting, usize) {
        static OURS: Ears = Mutex::new(Vec::new());
        let mut drifting = Drifting::alone(&OURS);
        let mut most = 0;
        for round in 0..60_000 {
            if round % 3 == 0 {
                let due = (round as f64 * rate) as usize + 3;
                while drifting.played < due {
                    drifting.play();
                }
            }
            drifting.round();
            most = most.max(drifting.played - drifting.heard);
        }
        (drifting, most)
    }

    /// Whatever a speaker's clock does, all that it plays is heard, in order, and what is heard is no
    /// more than three frames behind.
    #[test]
    fn clocks_that_drift_apart_lose_nothing_and_lag_a_moment_at_most() {
        let (same, most) = drift(1.0);
        assert_eq!((same.silent, most), (0, 2));
        // Of a thousand and of ten thousand in a million; sound cards are within some hundred.
        for rate in [1.001, 1.01] {
            let (fast, most) = drift(rate);
            assert_eq!((fast.silent, most), (0, AHEAD / FRAME), "{rate}");
            assert!(fast.played - fast.heard <= 3, "{rate}");
        }
        for rate in [0.999, 0.99] {
            let (slow, most) = drift(rate);
            assert!(most <= 2, "{most} at {rate}");
            let missing = slow.rounds - slow.heard;
            assert!(
                slow.silent <= missing,
                "{} of {missing} at {rate}",
                slow.silent
            );
        }
    }

    #[test]
    fn a_microphone_that_stood_still_goes_on_with_the_last_tenth_of_a_second() {
        static OURS: Ears = Mutex::new(Vec::new());
        let mut standing = Drifting::alone(&OURS);
        for _ in 0..1_000 {
            standing.play();
        }
        let kept = MOST / FRAME;
        standing.heard = standing.played - kept;
        standing.round();
        assert_eq!(standing.played - standing.heard, AHEAD / FRAME);
    }
}
