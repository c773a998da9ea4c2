//! What a speaker plays.

use crate::resample::{FRAME_LEN, Reframer, SAMPLE_RATE};
use duet_media::{
    AudioBuffer, AudioFrame, Frame, FrameQueue, MediaStreamTrack, MediaTime, SinkHandle,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// Gives a speaker its sound, on demand.
pub trait AudioOutput: Send + 'static {
    /// Fills `sound`, 10 ms at 48 kHz in one channel or two, which will be heard from `heard` on. It
    /// holds what it held the last time. Called on the speaker's thread, some 20 ms ahead; whoever
    /// takes longer than 10 ms makes gaps.
    fn play(&mut self, sound: &mut AudioBuffer, heard: MediaTime);
}

impl<F: FnMut(&mut AudioBuffer, MediaTime) + Send + 'static> AudioOutput for F {
    fn play(&mut self, sound: &mut AudioBuffer, heard: MediaTime) {
        self(sound, heard);
    }
}

/// Plays an audio track as its frames come: for local tracks, and for remote ones that are evenly
/// paced already.
///
/// It holds up to 60 ms. When more has come, the oldest is left out; when nothing is left, there is
/// silence until 20 ms have come.
pub struct TrackOutput {
    queue: Arc<FrameQueue>,
    _sink: SinkHandle,
    reframer: Option<((u32, u16), Reframer)>,
    ready: VecDeque<AudioFrame>,
    playing: bool,
}

impl TrackOutput {
    /// Frames of 10 ms that are held, at most.
    const MOST: usize = 6;
    /// And before it begins.
    const FIRST: usize = 2;

    /// Plays `track`.
    pub fn new(track: &MediaStreamTrack) -> Self {
        let queue = Arc::new(FrameQueue::new(16));
        TrackOutput {
            _sink: track.add_sink(queue.clone()),
            queue,
            reframer: None,
            ready: VecDeque::new(),
            playing: false,
        }
    }

    fn take_in(&mut self) {
        while let Some(Frame::Audio(frame)) = self.queue.try_pop() {
            let shape = (frame.buffer.sample_rate(), frame.buffer.channels());
            if self.reframer.as_ref().is_none_or(|(of, _)| *of != shape) {
                self.reframer = Reframer::new(shape.0, shape.1).ok().map(|new| (shape, new));
            }
            let ready = &mut self.ready;
            if let Some((_, reframer)) = &mut self.reframer {
                let samples = frame.buffer.samples();
                reframer.push(samples, frame.capture_time, |frame| ready.push_back(frame));
            }
        }
        while self.ready.len() > Self::MOST {
            self.ready.pop_front();
        }
    }
}

impl AudioOutput for TrackOutput {
    fn play(&mut self, sound: &mut AudioBuffer, _heard: MediaTime) {
        self.take_in();
        self.playing = match self.playing {
            true => !self.ready.is_empty(),
            false => self.ready.len() >= Self::FIRST,
        };
        let frame = if self.playing {
            self.ready.pop_front()
        } else {
            None
        };
        match frame {
            Some(frame) => remix(&frame.buffer, sound),
            None => sound.samples_mut().fill(0.0),
        }
    }
}

/// Copies 10 ms at 48 kHz from one or two channels to one or two.
fn remix(from: &AudioBuffer, to: &mut AudioBuffer) {
    debug_assert_eq!(
        (from.sample_rate(), from.frames()),
        (SAMPLE_RATE, FRAME_LEN)
    );
    let (from_channels, to_channels) = (from.channels(), to.channels());
    let from = from.samples();
    let to = to.samples_mut();
    match (from_channels, to_channels) {
        (1, 2) => {
            for (to, from) in to.chunks_exact_mut(2).zip(from) {
                to.fill(*from);
            }
        }
        (2, 1) => {
            for (to, from) in to.iter_mut().zip(from.chunks_exact(2)) {
                *to = (from[0] + from[1]) / 2.0;
            }
        }
        _ => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::{MediaKind, MediaSource};

    fn source() -> MediaSource {
        MediaSource::new(
            MediaKind::Audio,
            "test",
            Default::default(),
            Default::default(),
            (),
        )
    }

    fn frame(rate: u32, channels: u16, value: f32) -> Frame {
        let mut buffer = AudioBuffer::new(rate, channels, rate as usize / 100);
        buffer.samples_mut().fill(value);
        AudioFrame::new(Arc::new(buffer), MediaTime::ZERO).into()
    }

    #[test]
    fn it_waits_for_twenty_milliseconds_and_leaves_out_the_oldest() {
        let source = source();
        let track = source.create_track();
        let mut output = TrackOutput::new(&track);
        let mut next = || {
            let mut sound = AudioBuffer::new(48_000, 2, FRAME_LEN);
            output.play(&mut sound, MediaTime::ZERO);
            sound.samples()[5]
        };
        source.publish(&frame(48_000, 1, 0.1));
        assert_eq!(next(), 0.0);
        source.publish(&frame(48_000, 1, 0.2));
        assert_eq!([next(), next(), next()], [0.1, 0.2, 0.0]);
        for n in 1..=10 {
            source.publish(&frame(48_000, 1, n as f32));
        }
        assert_eq!([next(), next()], [5.0, 6.0]);
    }

    #[test]
    fn other_shapes_are_brought_into_the_speakers() {
        let source = source();
        let track = source.create_track();
        let mut output = TrackOutput::new(&track);
        let mut sound = AudioBuffer::new(48_000, 1, FRAME_LEN);
        for _ in 0..6 {
            source.publish(&frame(44_100, 2, 0.5));
        }
        for _ in 0..3 {
            output.play(&mut sound, MediaTime::ZERO);
        }
        let middle = sound.samples()[FRAME_LEN / 2];
        assert!((middle - 0.5).abs() < 0.01, "{middle}");
    }
}
