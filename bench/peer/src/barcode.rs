//! The time in the picture: 32 blocks over the top 32 rows, the most significant bit leftmost.

use duet::media::I420Buffer;

const BITS: usize = 32;
const ROWS: usize = 32;

/// Writes a time in milliseconds.
pub(crate) fn write(picture: &mut I420Buffer, unix_ms: u32) {
    let width = picture.width() as usize;
    let block = width / BITS;
    let (luma, _, _) = picture.planes_mut();
    let (first, rest) = luma.split_at_mut(width);
    for bit in 0..BITS {
        let one = unix_ms >> (BITS - 1 - bit) & 1 == 1;
        first[bit * block..(bit + 1) * block].fill(if one { 235 } else { 16 });
    }
    for row in rest.chunks_exact_mut(width).take(ROWS - 1) {
        row.copy_from_slice(first);
    }
}

/// Reads it back; the picture may have been scaled. `None` where it is too small to hold one.
pub(crate) fn read(picture: &I420Buffer) -> Option<u32> {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let row = ROWS / 2 * height / 720;
    let line = picture.y().get(row * width..(row + 1) * width)?;
    (0..BITS).try_fold(0u32, |time, bit| {
        let middle = (2 * bit + 1) * width / (2 * BITS);
        Some(time << 1 | u32::from(*line.get(middle)? > 128))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_back() {
        let mut picture = I420Buffer::new(1280, 720);
        for time in [0, 1, 0xDEAD_BEEF, u32::MAX] {
            write(&mut picture, time);
            assert_eq!(read(&picture), Some(time));
        }
        assert_eq!(read(&I420Buffer::default()), None);
    }
}
