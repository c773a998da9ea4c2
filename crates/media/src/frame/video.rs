//! Pictures, as planar 4:2:0.

use crate::MediaTime;
use std::sync::Arc;

/// A picture in I420: a full-size luma plane and two chroma planes of half the width and height,
/// rounded up. Limited ("studio") range, BT.601 unless somebody says otherwise. Rows are not padded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct I420Buffer {
    data: Vec<u8>,
    width: u32,
    height: u32,
}

impl I420Buffer {
    /// A black picture.
    pub fn new(width: u32, height: u32) -> Self {
        let mut buffer = I420Buffer::default();
        buffer.resize(width, height);
        buffer.set_black();
        buffer
    }

    /// Takes on another size. The content is undefined afterwards; memory is kept where it suffices.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.width = width;
        self.height = height;
        let len = self.luma_len() + 2 * self.chroma_len();
        self.data.resize(len, 0);
    }

    /// Fills it with black.
    pub fn set_black(&mut self) {
        let luma = self.luma_len();
        self.data[..luma].fill(16);
        self.data[luma..].fill(128);
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width of a chroma plane, which is also its stride.
    pub fn chroma_width(&self) -> u32 {
        self.width.div_ceil(2)
    }

    /// Height of a chroma plane.
    pub fn chroma_height(&self) -> u32 {
        self.height.div_ceil(2)
    }

    /// The luma plane; its stride is [`I420Buffer::width`].
    pub fn y(&self) -> &[u8] {
        &self.data[..self.luma_len()]
    }

    /// The blue-difference plane; its stride is [`I420Buffer::chroma_width`].
    pub fn u(&self) -> &[u8] {
        &self.data[self.luma_len()..self.luma_len() + self.chroma_len()]
    }

    /// The red-difference plane; its stride is [`I420Buffer::chroma_width`].
    pub fn v(&self) -> &[u8] {
        &self.data[self.luma_len() + self.chroma_len()..]
    }

    /// All three planes, to be written: luma, blue-difference, red-difference.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let (luma, chroma) = (self.luma_len(), self.chroma_len());
        let (y, uv) = self.data.split_at_mut(luma);
        let (u, v) = uv.split_at_mut(chroma);
        (y, u, v)
    }

    /// The three planes one after the other, as a Y4M file or a raw clip has them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.data
    }

    /// The three planes one after the other, to be written.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.data
    }

    fn luma_len(&self) -> usize {
        self.width as usize * self.height as usize
    }

    fn chroma_len(&self) -> usize {
        self.chroma_width() as usize * self.chroma_height() as usize
    }
}

/// One picture of a video track. Cheap to clone: the pixels are shared.
#[derive(Clone, Debug)]
pub struct VideoFrame {
    /// The pixels.
    pub buffer: Arc<I420Buffer>,
    /// When the picture was captured, by the clock of the source. For a remote track: when it was
    /// due to be shown, by the receiver's clock.
    pub capture_time: MediaTime,
}

impl VideoFrame {
    /// A picture that was captured at `capture_time`.
    pub fn new(buffer: Arc<I420Buffer>, capture_time: MediaTime) -> Self {
        VideoFrame {
            buffer,
            capture_time,
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.buffer.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.buffer.height()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_sizes_round_the_chroma_up() {
        let mut buffer = I420Buffer::new(5, 3);
        assert_eq!((buffer.chroma_width(), buffer.chroma_height()), (3, 2));
        assert_eq!(buffer.as_bytes().len(), 15 + 6 + 6);
        let (y, u, v) = buffer.planes_mut();
        assert_eq!((y.len(), u.len(), v.len()), (15, 6, 6));
        assert!(y.iter().all(|&l| l == 16) && u.iter().chain(v.iter()).all(|&c| c == 128));
    }
}
