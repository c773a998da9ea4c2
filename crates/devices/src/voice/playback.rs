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
static EARS: Mutex<Vec<Weak<Mutex<Vec<Heard>>>>> = Mutex::new(Vec::new());
static SPEAKERS: AtomicU64 = AtomicU64::new(0);

/// A speaker, as others hear it. Its sound is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Playback {
    speaker: u64,
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
        Playback {
            speaker: SPEAKERS.fetch_add(1, Ordering::Relaxed),
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
        let ears = EARS.lock();
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
        for ear in EARS.lock().iter().filter_map(Weak::upgrade) {
            ear.lock().retain(|heard| heard.speaker != self.speaker);
        }
    }
}

/// Somebody who hears all speakers.
pub(super) struct Ear {
    heard: Arc<Mutex<Vec<Heard>>>,
    /// Whether this round's frame was heard.
    had_one: bool,
}

impl Ear {
    pub(super) fn open() -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        EARS.lock().push(Arc::downgrade(&heard));
        Ear {
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
        EARS.lock()
            .retain(|ear| !ear.ptr_eq(&ours) && ear.strong_count() > 0);
    }
}
