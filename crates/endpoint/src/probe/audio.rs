//! Reading back the sound.

use super::{record_ms, time_histogram};
use duet_devices::synthetic::marks::audio::{Listener, beep_delay, pattern_hz};
use duet_media::{AudioFrame, Clock, Frame, MediaTime, Sink};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// A pitch is right if it is within this share of the one that was sent.
const PITCH_TOLERANCE: f64 = 0.025;

/// A sink on a remote audio track that carries the synthetic microphone.
pub(crate) struct AudioProbe {
    clock: Arc<dyn Clock>,
    heard: Mutex<Heard>,
}

struct Heard {
    listener: Listener,
    played: Duration,
    beeps: Vec<(u64, f64)>,
    delays: Histogram<u32>,
    right: u64,
    wrong: u64,
    pitches: Histogram<u32>,
}

/// What an [`AudioProbe`] heard.
pub(crate) struct AudioFigures {
    /// How much sound was played out.
    pub(crate) played: Duration,
    /// By second: the beep's delay in milliseconds.
    pub(crate) beeps: Vec<(u64, f64)>,
    pub(crate) delays: Histogram<u32>,
    /// How often the pitch was the one that was sent, or another.
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    /// The median of the pitches that were heard, in Hz.
    pub(crate) pitch_hz: Option<f64>,
}

impl AudioFigures {
    /// Whether a pitch was heard, and nearly always the right one.
    pub(crate) fn pitch_ok(&self) -> bool {
        self.right > 0 && self.wrong * 10 <= self.right
    }
}

impl AudioProbe {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(AudioProbe {
            clock,
            heard: Mutex::new(Heard {
                listener: Listener::new(),
                played: Duration::ZERO,
                beeps: Vec::new(),
                delays: time_histogram(),
                right: 0,
                wrong: 0,
                pitches: time_histogram(),
            }),
        })
    }

    pub(crate) fn figures(&self) -> AudioFigures {
        let heard = self.heard.lock();
        AudioFigures {
            played: heard.played,
            beeps: heard.beeps.clone(),
            delays: heard.delays.clone(),
            right: heard.right,
            wrong: heard.wrong,
            pitch_hz: (!heard.pitches.is_empty())
                .then(|| heard.pitches.value_at_quantile(0.5) as f64 / 1_000.0),
        }
    }

    fn hear(&self, frame: &AudioFrame) {
        let now = self.clock.now();
        let mut heard = self.heard.lock();
        heard.played += frame.buffer.duration();
        let beeps = heard.listener.hear(&frame.buffer, now);
        for beep in beeps {
            let unix = self.clock.unix_time(beep.onset);
            let delay_ms = beep_delay(unix) * 1_000.0;
            let second = (unix.as_secs_f64() - delay_ms / 1_000.0).round() as u64;
            record_ms(&mut heard.delays, delay_ms);
            heard.beeps.push((second, delay_ms));
        }
        if let Some(hz) = heard.listener.pitch_hz() {
            heard.pitches.saturating_record((hz * 1_000.0) as u64);
            if let Some(right) = self.is_right(hz, now, heard.beeps.last()) {
                heard.right += u64::from(right);
                heard.wrong += u64::from(!right);
            }
        }
    }

    /// Whether this is the tone of the second; `None` while no tone is certain, at its edges.
    fn is_right(&self, hz: f64, now: MediaTime, last_beep: Option<&(u64, f64)>) -> Option<bool> {
        let (second, delay_ms) = last_beep?;
        let unix = self.clock.unix_time(now).as_secs_f64();
        let into = unix - *second as f64 - delay_ms / 1_000.0;
        (0.4..0.8).contains(&into).then(|| {
            let sent = pattern_hz(*second);
            (hz - sent).abs() <= sent * PITCH_TOLERANCE
        })
    }
}

impl Sink for AudioProbe {
    fn accept(&self, frame: &Frame) {
        if let Frame::Audio(frame) = frame {
            self.hear(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_devices::synthetic::hear;
    use duet_media::{AudioBuffer, ManualClock};

    /// Plays `seconds` of what the synthetic microphone heard `delay` ago.
    fn play(seconds: u32, delay: Duration) -> AudioFigures {
        let clock = Arc::new(ManualClock::new(MediaTime::from_millis(10_400)));
        let probe = AudioProbe::new(clock.clone());
        for _ in 0..seconds * 100 {
            let mut buffer = AudioBuffer::new(48_000, 1, 480);
            let unix = clock.unix_time(clock.now()) - delay;
            hear(unix, &mut buffer);
            probe.accept(&AudioFrame::new(Arc::new(buffer), clock.now()).into());
            clock.advance(Duration::from_millis(10));
        }
        probe.figures()
    }

    #[test]
    fn delay_and_pitch_are_read_back() {
        let figures = play(10, Duration::from_millis(60));
        assert!(figures.beeps.len() >= 9, "{:?}", figures.beeps);
        assert!(
            figures.pitch_ok(),
            "{} right, {} wrong",
            figures.right,
            figures.wrong
        );
        let p50 = figures.delays.value_at_quantile(0.5);
        assert!((56_000..=64_000).contains(&p50), "{p50} us");
    }

    #[test]
    fn silence_has_no_pitch() {
        let clock = Arc::new(ManualClock::default());
        let probe = AudioProbe::new(clock.clone());
        for _ in 0..200 {
            let silence = Arc::new(AudioBuffer::new(48_000, 1, 480));
            probe.accept(&AudioFrame::new(silence, clock.now()).into());
            clock.advance(Duration::from_millis(10));
        }
        let figures = probe.figures();
        assert!(!figures.pitch_ok());
        assert_eq!(figures.played, Duration::from_secs(2));
    }
}
