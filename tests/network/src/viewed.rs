//! What a person at the far side would have seen and heard, and when.

use duet_devices::synthetic::marks::{self, audio::Listener};
use duet_media::{Clock, Frame, MediaStreamTrack, MediaTime, Sink, SinkHandle};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A gap between pictures that a person sees as a stop.
const FREEZE: Duration = Duration::from_millis(200);
/// A flash and its beep are nearer to each other than to the next second's.
const SAME_SECOND: i64 = 450_000_000;

/// A picture that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: MediaTime,
    /// Its number, by its own marks.
    pub number: u32,
    /// How old it was.
    pub age: Duration,
    /// How large it was.
    pub size: (u32, u32),
    /// Whether it was a second's first.
    pub flash: bool,
}

/// All that was shown and heard of a call.
#[derive(Clone)]
pub struct Viewed {
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    pictures: Vec<Shown>,
    illegible: u64,
    beeps: Vec<MediaTime>,
    listener: Listener,
    blocks: u64,
    /// The sound itself, if it is wanted.
    kept: Option<Vec<f32>>,
    handles: Vec<SinkHandle>,
}

impl Viewed {
    /// Nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Viewed {
            clock,
            seen: Arc::default(),
        }
    }

    /// Looks at `track` too, or listens to it.
    pub fn watch(&self, track: &MediaStreamTrack) {
        let handle = track.add_sink(Arc::new(Eye(self.clone())));
        self.seen.lock().handles.push(handle);
    }

    /// The pictures shown from the first time until before the second.
    pub fn pictures(&self, from: MediaTime, until: MediaTime) -> Vec<Shown> {
        let seen = self.seen.lock();
        let pictures = seen.pictures.iter().copied();
        pictures
            .filter(|picture| picture.at >= from && picture.at < until)
            .collect()
    }

    /// Pictures whose marks could not be read.
    pub fn illegible(&self) -> u64 {
        self.seen.lock().illegible
    }

    /// How long each stop of the picture took between the two times; the ends count as pictures.
    pub fn freezes(&self, from: MediaTime, until: MediaTime) -> Vec<Duration> {
        let gaps = self.gaps(from, until);
        gaps.into_iter().filter(|gap| *gap > FREEZE).collect()
    }

    /// The longest time without a new picture between the two times.
    pub fn longest_gap(&self, from: MediaTime, until: MediaTime) -> Duration {
        self.gaps(from, until).into_iter().max().unwrap_or_default()
    }

    fn gaps(&self, from: MediaTime, until: MediaTime) -> Vec<Duration> {
        let shown = self.pictures(from, until);
        let times: Vec<_> = std::iter::once(from)
            .chain(shown.iter().map(|picture| picture.at))
            .chain([until])
            .collect();
        times
            .windows(2)
            .map(|pair| pair[1].saturating_since(pair[0]))
            .collect()
    }

    /// How old pictures were, the given share of them at most.
    pub fn age(&self, from: MediaTime, until: MediaTime, share: f64) -> Duration {
        let shown = self.pictures(from, until);
        percentile(shown.iter().map(|picture| picture.age).collect(), share)
    }

    /// By how much the sound was behind its picture (above zero) or before it, second by second, in
    /// milliseconds.
    pub fn lip_sync(&self, from: MediaTime, until: MediaTime) -> Vec<f64> {
        let flashes: Vec<_> = self.pictures(from, until);
        let flashes = flashes.iter().filter(|picture| picture.flash);
        let seen = self.seen.lock();
        let offset = |flash: &Shown| {
            let offsets = seen.beeps.iter().map(|beep| beep.nanos_since(flash.at));
            let nearest = offsets.min_by_key(|offset| offset.abs())?;
            (nearest.abs() < SAME_SECOND).then_some(nearest as f64 / 1e6)
        };
        flashes.filter_map(offset).collect()
    }

    /// Beeps heard between the two times.
    pub fn beeps(&self, from: MediaTime, until: MediaTime) -> usize {
        let seen = self.seen.lock();
        let beeps = seen.beeps.iter();
        beeps
            .filter(|beep| **beep >= from && **beep < until)
            .count()
    }

    /// When each of them began.
    pub fn onsets(&self, from: MediaTime, until: MediaTime) -> Vec<MediaTime> {
        let seen = self.seen.lock();
        let beeps = seen.beeps.iter().copied();
        beeps
            .filter(|beep| *beep >= from && *beep < until)
            .collect()
    }

    /// Keeps the first channel's sound from now on, at 48 kHz. What was kept before is forgotten.
    pub fn keep_sound(&self) {
        self.seen.lock().kept = Some(Vec::new());
    }

    /// What was kept.
    pub fn kept_sound(&self) -> Vec<f32> {
        self.seen.lock().kept.take().unwrap_or_default()
    }

    /// Stretches of sound heard, of 10 ms each.
    pub fn blocks(&self) -> u64 {
        self.seen.lock().blocks
    }
}

/// The value that the given share of all does not exceed; zero of nothing.
pub fn percentile(mut values: Vec<Duration>, share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    values.get(at).copied().unwrap_or_default()
}

struct Eye(Viewed);

impl Sink for Eye {
    fn accept(&self, frame: &Frame) {
        let now = self.0.clock.now();
        let mut seen = self.0.seen.lock();
        match frame {
            Frame::Video(picture) => {
                // Before the first picture a muted track shows black.
                let Some(marks) = marks::read(&picture.buffer) else {
                    seen.illegible += 1;
                    return;
                };
                let age = marks.age_ms(self.0.clock.unix_time(now));
                seen.pictures.push(Shown {
                    at: now,
                    number: marks.frame_number,
                    age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
                    size: (picture.width(), picture.height()),
                    flash: marks.flash,
                });
            }
            Frame::Audio(sound) => {
                seen.blocks += 1;
                if let Some(kept) = &mut seen.kept {
                    let channels = usize::from(sound.buffer.channels());
                    kept.extend(sound.buffer.samples().iter().step_by(channels.max(1)));
                }
                // It sounds from now on.
                let beeps = seen.listener.hear(&sound.buffer, now);
                seen.beeps.extend(beeps.iter().map(|beep| beep.onset));
            }
        }
    }
}
