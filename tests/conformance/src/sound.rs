//! Sound that a page makes: oscillators on the way to a stream, and nothing else of
//! [Web Audio](https://webaudio.github.io/web-audio-api/).

use crate::door::{Thrown, World, parse};
use duet_media::process::{MediaStreamTrackGenerator, WriteError};
use duet_media::{AudioBuffer, AudioFrame, Clock, MediaKind, MediaStream};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use std::f64::consts::TAU;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A page's destinations of sound; their ids count from zero.
#[derive(Default)]
pub(crate) struct Destinations(Vec<Destination>);

/// [`MediaStreamAudioDestinationNode`](https://webaudio.github.io/web-audio-api/#MediaStreamAudioDestinationNode):
/// a track that carries the sum of its oscillators, which is silence if there are none.
struct Destination {
    /// Hertz of each that sounds.
    oscillators: Arc<Mutex<Vec<f64>>>,
    /// The thread that renders, and what ends it by being dropped.
    rendering: Option<(Sender<()>, JoinHandle<()>)>,
    _generator: Arc<MediaStreamTrackGenerator>,
}

#[derive(Deserialize)]
struct Sound {
    id: usize,
    oscillators: Vec<f64>,
}

impl World {
    pub(crate) fn operate_sound(
        &mut self,
        operation: &str,
        argument: Value,
    ) -> Result<Value, Thrown> {
        Ok(match operation {
            "destination" => {
                let (destination, stream) = Destination::start(self.clock())?;
                self.made.destinations.0.push(destination);
                let id = self.made.destinations.0.len() - 1;
                json!({ "id": id, "stream": self.meet_stream(stream) })
            }
            "oscillators" => {
                let Sound { id, oscillators } = parse(argument)?;
                let destination = self.destination(id)?;
                *destination.oscillators.lock() = oscillators;
                Value::Null
            }
            "close" => {
                self.destination(parse(argument)?)?.close();
                Value::Null
            }
            _ => return Err(Thrown::unknown(&format!("sound.{operation}"))),
        })
    }

    fn destination(&mut self, id: usize) -> Result<&mut Destination, Thrown> {
        let found = self.made.destinations.0.get_mut(id);
        found.ok_or_else(|| Thrown::type_error(format!("no destination {id}")))
    }
}

impl Destination {
    fn start(clock: Arc<dyn Clock>) -> Result<(Self, MediaStream), Thrown> {
        let generator = Arc::new(MediaStreamTrackGenerator::new(
            MediaKind::Audio,
            "destination",
        ));
        let stream = MediaStream::from_tracks([generator.track()]);
        let (running, stopped) = mpsc::channel();
        let oscillators = Arc::new(Mutex::new(Vec::new()));
        let renderer = Renderer {
            generator: generator.clone(),
            oscillators: oscillators.clone(),
            stopped,
            clock,
        };
        let thread = thread::Builder::new().name("page-audio".into());
        let thread = thread.spawn(move || renderer.run());
        let thread = thread.map_err(|error| Thrown::new("NotSupportedError", error))?;
        let destination = Destination {
            oscillators,
            rendering: Some((running, thread)),
            _generator: generator,
        };
        Ok((destination, stream))
    }

    /// Nothing comes any more. The track lives on.
    fn close(&mut self) {
        if let Some((running, thread)) = self.rendering.take() {
            drop(running);
            // One that panicked is over, too.
            drop(thread.join());
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.close();
    }
}

struct Renderer {
    generator: Arc<MediaStreamTrackGenerator>,
    oscillators: Arc<Mutex<Vec<f64>>>,
    stopped: Receiver<()>,
    clock: Arc<dyn Clock>,
}

const SAMPLE_RATE: u32 = 48_000;
const CHANNELS: u16 = 2;
const FRAME: Duration = Duration::from_millis(10);

impl Renderer {
    /// After a longer standstill the lost sound is left out.
    const PATIENCE: Duration = Duration::from_millis(500);

    /// Delivers sound when it is over, as a device does, until nobody wants any.
    fn run(self) {
        let (mut time, mut position) = (self.clock.now(), 0);
        loop {
            let late = self.clock.now().saturating_since(time);
            if late > Self::PATIENCE {
                time = self.clock.now();
            }
            let wait = (time + FRAME).saturating_since(self.clock.now());
            if self.stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let mut buffer = AudioBuffer::new(SAMPLE_RATE, CHANNELS, SAMPLE_RATE as usize / 100);
            let hertz = self.oscillators.lock().clone();
            position = render(&hertz, position, &mut buffer);
            let frame = AudioFrame::new(Arc::new(buffer), time).into();
            if self.generator.write(&frame) == Err(WriteError::Ended) {
                return;
            }
            time += FRAME;
        }
    }
}

/// Sines of amplitude one, as the specification has it; `position` counts samples. Returns the next one.
fn render(hertz: &[f64], position: u64, buffer: &mut AudioBuffer) -> u64 {
    let rate = f64::from(buffer.sample_rate());
    let channels = usize::from(buffer.channels());
    let mut at = position;
    for sample in buffer.samples_mut().chunks_exact_mut(channels) {
        let seconds = at as f64 / rate;
        let sum: f64 = hertz
            .iter()
            .map(|hertz| (TAU * hertz * seconds).sin())
            .sum();
        sample.fill(sum as f32);
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::process::MediaStreamTrackProcessor;
    use duet_media::{Frame, MonotonicClock};

    #[test]
    fn an_oscillator_swings_as_often_as_it_says() {
        let (mut rises, mut position, mut last) = (0, 0, 0.0);
        for _ in 0..100 {
            let mut buffer = AudioBuffer::new(SAMPLE_RATE, CHANNELS, 480);
            position = render(&[440.0], position, &mut buffer);
            for sample in buffer.samples().chunks_exact(2) {
                assert_eq!(sample[0], sample[1]);
                rises += u32::from(last <= 0.0 && sample[0] > 0.0);
                last = sample[0];
            }
        }
        assert_eq!(rises, 440);
    }

    #[test]
    fn a_destination_is_silent_without_oscillators_and_stops_when_it_is_closed() {
        let clock = Arc::new(MonotonicClock::new());
        let Ok((mut destination, stream)) = Destination::start(clock) else {
            panic!("no thread")
        };
        let reader = MediaStreamTrackProcessor::new(&stream.get_tracks()[0], 100);
        let next = || match reader.read_timeout(Duration::from_secs(10)) {
            Some(Frame::Audio(frame)) => frame,
            other => panic!("{other:?}"),
        };
        let first = next();
        assert!(first.buffer.samples().iter().all(|&sample| sample == 0.0));
        assert_eq!(next().capture_time, first.capture_time + FRAME);
        destination.oscillators.lock().push(440.0);
        while next().buffer.samples().iter().all(|&sample| sample == 0.0) {}
        destination.close();
        while reader.read_timeout(Duration::ZERO).is_some() {}
        assert!(reader.read_timeout(FRAME * 3).is_none());
        assert!(!reader.is_ended());
    }
}
