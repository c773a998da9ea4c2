//! Canvases, as far as a stream can be captured from them:
//! <https://w3c.github.io/mediacapture-fromelement/#html-canvas-element-media-capture-extensions>.
//!
//! What is drawn are rectangles of one colour, whose edges are taken to whole pixels. Nothing else is:
//! no path, no text, no transformation.

use crate::door::{Thrown, World, parse};
use duet_devices::convert::{self, MAX_SIZE};
use duet_media::process::{MediaStreamTrackGenerator, WriteError};
use duet_media::{I420Buffer, MediaKind, MediaStream, MediaTime, VideoFrame};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// A page's canvases; their ids count from zero.
#[derive(Default)]
pub(crate) struct Canvases(Vec<Canvas>);

/// A bitmap, transparent black at first, and who captures it.
#[derive(Default)]
struct Canvas {
    width: u32,
    height: u32,
    /// Blue, green, red and opacity. None beyond [`MAX_SIZE`], as little as in a browser.
    pixels: Vec<u8>,
    captures: Vec<MediaStreamTrackGenerator>,
}

#[derive(Deserialize)]
struct Size {
    id: usize,
    width: u32,
    height: u32,
}

/// A rectangle of one opaque colour, as red, green and blue.
#[derive(Deserialize)]
struct Fill {
    id: usize,
    rectangle: [f64; 4],
    colour: [u8; 3],
}

impl World {
    pub(crate) fn operate_canvas(
        &mut self,
        operation: &str,
        argument: Value,
    ) -> Result<Value, Thrown> {
        Ok(match operation {
            "new" => {
                self.made.canvases.0.push(Canvas::default());
                json!(self.made.canvases.0.len() - 1)
            }
            "resize" => {
                let Size { id, width, height } = parse(argument)?;
                self.canvas(id)?.resize(width, height);
                Value::Null
            }
            "fill" => {
                let fill: Fill = parse(argument)?;
                self.canvas(fill.id)?.fill(fill.rectangle, fill.colour);
                Value::Null
            }
            "capture" => {
                let track = self.canvas(parse(argument)?)?.capture();
                let stream = MediaStream::from_tracks([track.clone()]);
                json!({ "track": self.meet_track(track), "stream": self.meet_stream(stream) })
            }
            "paint" => {
                let now = self.clock().now();
                self.canvas(parse(argument)?)?.paint(now);
                Value::Null
            }
            _ => return Err(Thrown::unknown(&format!("canvas.{operation}"))),
        })
    }

    fn canvas(&mut self, id: usize) -> Result<&mut Canvas, Thrown> {
        let found = self.made.canvases.0.get_mut(id);
        found.ok_or_else(|| Thrown::type_error(format!("no canvas {id}")))
    }
}

impl Canvas {
    fn resize(&mut self, width: u32, height: u32) {
        (self.width, self.height) = (width, height);
        self.pixels.clear();
        if width.max(height) <= MAX_SIZE {
            self.pixels.resize(width as usize * height as usize * 4, 0);
        }
    }

    /// `rectangle` is left, top, width and height.
    fn fill(&mut self, rectangle: [f64; 4], [red, green, blue]: [u8; 3]) {
        let [left, top, width, height] = rectangle;
        let columns = covered(left, width, self.width);
        let rows = covered(top, height, self.height);
        let line = (self.width as usize * 4).max(4);
        for row in self
            .pixels
            .chunks_exact_mut(line)
            .take(rows.end)
            .skip(rows.start)
        {
            for pixel in row[columns.start * 4..columns.end * 4].chunks_exact_mut(4) {
                pixel.copy_from_slice(&[blue, green, red, 0xff]);
            }
        }
    }

    fn capture(&mut self) -> duet_media::MediaStreamTrack {
        let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "canvas");
        let track = generator.track();
        self.captures.push(generator);
        track
    }

    /// Hands what is there to whoever captures it. What is transparent is black there.
    fn paint(&mut self, now: MediaTime) {
        let mut picture = I420Buffer::default();
        if convert::from_bgrx(&self.pixels, self.width, self.height, &mut picture).is_err() {
            // Nothing to be seen: it has no pixels.
            return;
        }
        let frame = VideoFrame::new(Arc::new(picture), now).into();
        self.captures
            .retain(|capture| capture.write(&frame) != Err(WriteError::Ended));
    }
}

/// Which of `most` pixels a stretch covers, that may run either way.
fn covered(from: f64, length: f64, most: u32) -> std::ops::Range<usize> {
    let (low, high) = (from.min(from + length), from.max(from + length));
    if !(low.is_finite() && high.is_finite()) {
        return 0..0;
    }
    let within = |at: f64| at.round().clamp(0.0, most.into()) as usize;
    within(low)..within(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::Frame;
    use duet_media::process::MediaStreamTrackProcessor;
    use std::time::Duration;

    #[test]
    fn what_is_drawn_is_what_is_captured() {
        let mut canvas = Canvas::default();
        canvas.resize(8, 4);
        let track = canvas.capture();
        let reader = MediaStreamTrackProcessor::new(&track, 1);
        canvas.fill([8.0, 4.0, -4.0, -9.0], [255, 0, 0]);
        canvas.fill([f64::NAN, 0.0, 8.0, 4.0], [0, 255, 0]);
        canvas.paint(MediaTime::from_millis(7));
        let Some(Frame::Video(frame)) = reader.read_timeout(Duration::ZERO) else {
            panic!("no picture")
        };
        assert_eq!(frame.capture_time, MediaTime::from_millis(7));
        let buffer = &frame.buffer;
        // Left black, right red, by BT.601 in the limited range.
        assert_eq!((buffer.width(), buffer.height()), (8, 4));
        for row in buffer.y().chunks(8) {
            assert_eq!(row[..4], [16; 4]);
            assert!(
                row[4..].iter().all(|luma| luma.abs_diff(81) <= 1),
                "{row:?}"
            );
        }
        assert_eq!((buffer.v()[0], buffer.u()[0]), (128, 128));
        assert!(buffer.v()[3].abs_diff(240) <= 1 && buffer.u()[3].abs_diff(90) <= 1);
        track.stop();
        canvas.paint(MediaTime::ZERO);
        assert!(canvas.captures.is_empty());
    }

    #[test]
    fn a_canvas_without_pixels_shows_nothing() {
        let mut canvas = Canvas::default();
        let track = canvas.capture();
        let reader = MediaStreamTrackProcessor::new(&track, 1);
        for (width, height) in [(0, 4), (4, 0), (u32::MAX, u32::MAX), (MAX_SIZE + 1, 1)] {
            canvas.resize(width, height);
            canvas.fill([0.0, 0.0, 4.0, 4.0], [1, 2, 3]);
            canvas.paint(MediaTime::ZERO);
            assert!(reader.read_timeout(Duration::ZERO).is_none());
            assert!(canvas.pixels.is_empty());
        }
    }
}
