//! The pointer, laid over a picture of the screen.

/// The pointer's picture: premultiplied ARGB, one number a pixel, and where its upper left corner is.
pub(super) struct Cursor {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: u32,
    pub(super) pixels: Vec<u32>,
}

impl Cursor {
    /// Blends it into a picture of `width` times `height` pixels of blue, green, red and a filler. What
    /// lies outside is left out.
    pub(super) fn draw(&self, picture: &mut [u8], width: u32, height: u32) {
        if self.width == 0 {
            return;
        }
        for (row, line) in (self.y..).zip(self.pixels.chunks_exact(self.width as usize)) {
            let Some(row) = u32::try_from(row).ok().filter(|row| *row < height) else {
                continue;
            };
            for (column, argb) in (self.x..).zip(line) {
                let Some(column) = u32::try_from(column).ok().filter(|c| *c < width) else {
                    continue;
                };
                let at = (row as usize * width as usize + column as usize) * 4;
                let [blue, green, red, alpha] = argb.to_le_bytes();
                let Some(below) = picture.get_mut(at..at + 3) else {
                    return;
                };
                for (below, above) in below.iter_mut().zip([blue, green, red]) {
                    let shines = u32::from(*below) * u32::from(255 - alpha) / 255;
                    *below = above.saturating_add(shines as u8);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_covers_shines_through_and_ends_at_the_edge() {
        let cursor = Cursor {
            x: -1,
            y: 1,
            width: 3,
            // Opaque red, half a white, nothing; and a row below the picture.
            pixels: vec![0xffff_0000, 0x8080_8080, 0, 1, 2, 3],
        };
        let mut picture = vec![100; 2 * 2 * 4];
        cursor.draw(&mut picture, 2, 2);
        assert_eq!(picture[..8], [100; 8]);
        // The first column of the pointer is outside; of the second, 128 and what is left of 100.
        assert_eq!(picture[8..11], [177; 3]);
        assert_eq!(picture[12..15], [100; 3]);
        Cursor { width: 0, ..cursor }.draw(&mut picture, 2, 2);
    }
}
