//! One track's pictures in several sizes: each is scaled once, from the next larger one that somebody
//! wants, however many encoders there are.
//!
//! Not concerned with who encodes what: it is told by how much each divides width and height.

use super::shaper::resize;
use duet_media::{I420Buffer, MediaTime, Pool, VideoFrame};
use fast_image_resize::Resizer;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// Pictures of the source whose sizes are kept: encoders that take their time may be one behind.
const PICTURES: usize = 2;
/// Buffers of all sizes that are used again.
const BUFFERS: usize = 8;

/// The sizes of one track. Whoever holds a [`Wish`] keeps it.
#[derive(Default)]
pub(super) struct ScaledSource {
    state: Mutex<State>,
}

struct State {
    /// By how much somebody divides width and height, each by its number.
    wishes: Vec<(u64, f64)>,
    serial: u64,
    /// The newest last.
    pictures: Vec<Sizes>,
    resizer: Resizer,
    pool: Pool<I420Buffer>,
}

/// What there is of one picture.
struct Sizes {
    of: Id,
    /// Smaller ones that were made, the largest first.
    made: Vec<VideoFrame>,
}

/// A picture, by where its pixels are and when it was taken: it is not kept for its sake.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Id(usize, MediaTime);

/// Somebody wants a size, until this goes.
pub(super) struct Wish {
    source: Arc<ScaledSource>,
    number: u64,
    scale: f64,
}

/// The sources of all tracks that are encoded.
#[derive(Default)]
pub(super) struct ScaledSources(Mutex<HashMap<String, Weak<ScaledSource>>>);

impl ScaledSources {
    /// That of a track, by its id.
    pub(super) fn of(&self, track: &str) -> Arc<ScaledSource> {
        let mut sources = self.0.lock();
        if let Some(source) = sources.get(track).and_then(Weak::upgrade) {
            return source;
        }
        sources.retain(|_, source| source.strong_count() > 0);
        let source = Arc::new(ScaledSource::default());
        sources.insert(track.to_owned(), Arc::downgrade(&source));
        source
    }
}

impl Default for State {
    fn default() -> Self {
        State {
            wishes: Vec::new(),
            serial: 0,
            pictures: Vec::new(),
            resizer: Resizer::new(),
            pool: Pool::new(BUFFERS),
        }
    }
}

impl ScaledSource {
    /// Somebody divides width and height by `scale`; less than 1 is taken as 1.
    pub(super) fn wish(self: &Arc<Self>, scale: f64) -> Wish {
        let mut state = self.state.lock();
        state.serial += 1;
        let (number, scale) = (state.serial, scale.max(1.0));
        state.wishes.push((number, scale));
        Wish {
            source: self.clone(),
            number,
            scale,
        }
    }
}

impl Wish {
    /// By how much width and height are divided from now on; less than 1 is taken as 1.
    pub(super) fn set(&mut self, scale: f64) {
        self.scale = scale.max(1.0);
        let mut state = self.source.state.lock();
        for (number, wished) in &mut state.wishes {
            if *number == self.number {
                *wished = self.scale;
            }
        }
    }

    /// The size in which a picture of that size is wanted: even, so that no decoder has to guess at half a
    /// chroma sample.
    pub(super) fn size(&self, size: (u32, u32)) -> (u32, u32) {
        scaled(size, self.scale)
    }

    /// The picture in that size, and itself if it has it. `None` for one that has no pixels.
    pub(super) fn picture(&self, frame: &VideoFrame) -> Option<VideoFrame> {
        if frame.width() == 0 || frame.height() == 0 {
            return None;
        }
        let full = (frame.width(), frame.height());
        if self.size(full) == full {
            return Some(frame.clone());
        }
        self.source.state.lock().picture(frame, self.scale)
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut state = self.source.state.lock();
        state.wishes.retain(|(number, _)| *number != self.number);
        if state.wishes.is_empty() {
            state.pictures.clear();
        }
    }
}

impl State {
    /// The picture, divided by `scale`, by way of all that is wanted between.
    fn picture(&mut self, frame: &VideoFrame, scale: f64) -> Option<VideoFrame> {
        let full = (frame.width(), frame.height());
        let mut steps: Vec<f64> = self.wishes.iter().map(|(_, wished)| *wished).collect();
        // Between sizes that are nearly alike nothing is won, and some sharpness lost.
        steps.retain(|wished| *wished > 1.0 && *wished * STEP <= scale);
        steps.push(scale);
        steps.sort_by(f64::total_cmp);
        let at = self.sizes_of(frame);
        let mut from = frame.clone();
        for step in steps {
            let (width, height) = scaled(full, step);
            let mut made = self.pictures[at].made.iter();
            if let Some(there) = made.find(|made| (made.width(), made.height()) == (width, height))
            {
                from = there.clone();
                continue;
            }
            let State { resizer, pool, .. } = self;
            let buffer = pool
                .try_fill(|to| resize(resizer, &from.buffer, to, width, height))
                .ok()?;
            from = VideoFrame::new(buffer, frame.capture_time);
            self.pictures[at].made.push(from.clone());
        }
        Some(from)
    }

    /// Where the sizes of a picture are kept.
    fn sizes_of(&mut self, frame: &VideoFrame) -> usize {
        let of = Id(Arc::as_ptr(&frame.buffer) as usize, frame.capture_time);
        if let Some(at) = self.pictures.iter().position(|sizes| sizes.of == of) {
            return at;
        }
        if self.pictures.len() == PICTURES {
            self.pictures.remove(0);
        }
        self.pictures.push(Sizes {
            of,
            made: Vec::new(),
        });
        self.pictures.len() - 1
    }
}

/// A size is made of another one only if that is so many times as wide and high, at least.
const STEP: f64 = 1.5;

fn scaled((width, height): (u32, u32), scale: f64) -> (u32, u32) {
    let side = |length: u32| {
        if scale <= 1.0 {
            return length;
        }
        let scaled = (f64::from(length) / scale).round() as u32;
        (scaled & !1).max(2).min(length)
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(shade: u8, millis: i64) -> VideoFrame {
        let mut picture = I420Buffer::new(64, 48);
        picture.planes_mut().0.fill(shade);
        VideoFrame::new(Arc::new(picture), MediaTime::from_millis(millis))
    }

    fn size(frame: &VideoFrame) -> (u32, u32) {
        (frame.width(), frame.height())
    }

    #[test]
    fn a_size_is_made_once_and_from_the_next_larger_one() {
        let source = Arc::<ScaledSource>::default();
        let (half, same, quarter) = (source.wish(2.0), source.wish(2.0), source.wish(4.0));
        let frame = picture(77, 0);
        let small = quarter.picture(&frame).unwrap();
        assert_eq!((size(&small), small.buffer.y()[0]), ((16, 12), 77));
        // What it was made from is there already.
        let made = source.state.lock().pictures[0].made.clone();
        assert_eq!(
            made.iter().map(size).collect::<Vec<_>>(),
            [(32, 24), (16, 12)]
        );
        for wish in [&half, &same] {
            let there = wish.picture(&frame).unwrap();
            assert!(Arc::ptr_eq(&there.buffer, &made[0].buffer));
        }
        assert_eq!(source.state.lock().pictures[0].made.len(), 2);
    }

    #[test]
    fn nobody_gets_another_pictures_pixels() {
        let source = Arc::<ScaledSource>::default();
        let (half, third) = (source.wish(2.0), source.wish(3.0));
        for n in 0..10_u8 {
            let frame = picture(n, i64::from(n));
            let before = n.checked_sub(1).map(|n| picture(n, i64::from(n)));
            assert_eq!(half.picture(&frame).unwrap().buffer.y()[0], n);
            if let Some(before) = before {
                assert_eq!(half.picture(&before).unwrap().buffer.y()[0], n - 1);
            }
            let late = third.picture(&frame).unwrap();
            assert_eq!(
                (late.buffer.y()[0], late.capture_time),
                (n, frame.capture_time)
            );
        }
        assert!(source.state.lock().pictures.len() <= PICTURES);
    }

    #[test]
    fn who_wants_nothing_any_more_costs_nothing() {
        let source = Arc::<ScaledSource>::default();
        let (mut half, quarter) = (source.wish(2.0), source.wish(4.0));
        half.set(0.5);
        let frame = picture(1, 0);
        assert!(Arc::ptr_eq(
            &half.picture(&frame).unwrap().buffer,
            &frame.buffer
        ));
        quarter.picture(&frame).unwrap();
        assert_eq!(source.state.lock().pictures[0].made.len(), 1);
        drop((half, quarter));
        assert!(source.state.lock().pictures.is_empty());
    }

    #[test]
    fn tracks_have_their_own_and_leave_none_behind() {
        let sources = ScaledSources::default();
        let (a, b) = (sources.of("a"), sources.of("b"));
        assert!(Arc::ptr_eq(&a, &sources.of("a")) && !Arc::ptr_eq(&a, &b));
        drop((a, b));
        let _c = sources.of("c");
        assert_eq!(sources.0.lock().len(), 1);
    }
}
