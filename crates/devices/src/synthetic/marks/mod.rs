//! What a machine reads from the synthetic pair: [`Marks`] from a picture, and with [`audio`] the
//! beeps and pitches of the sound.
//!
//! # Layout of a picture
//!
//! All of it is relative to the picture's width `W` and height `H`, so that it is found again after
//! scaling. The picture is a grid of 40 columns and 18 rows; a cell is black (luma 16) for 0 and
//! white (luma 235) for 1, without colour.
//!
//! | cells | content |
//! |---|---|
//! | row 0, columns 0 to 31 | frame number, 32 bits, most significant first |
//! | row 0, columns 32 to 39 | checksum of the frame number, most significant bit first |
//! | row 1, columns 0 to 31 | capture time: Unix time in milliseconds, modulo 2³² |
//! | row 1, columns 32 to 39 | checksum of the capture time |
//! | rows 14 to 16, columns 32 to 38 | the flash: white in one frame of each second, else black |
//!
//! The checksum of a number of bytes `b0 b1 b2 b3` (most significant first) is
//! `(b0 + 3·b1 + 5·b2 + 7·b3 + K) mod 256`, with `K` = 90 in row 0 and 165 in row 1. A picture that is
//! all black or all white has no valid marks.
//!
//! A reader looks at the middle of each cell, where a pixel above half is a 1:
//!
//! ```js
//! function readMarks(context, W, H) {
//!   const cell = (column, row) => context.getImageData(
//!     Math.floor((column + 0.5) * W / 40), Math.floor((row + 0.5) * H / 18), 1, 1).data[1] > 127 ? 1 : 0;
//!   const bits = (row, from, to) => { let n = 0; for (let c = from; c < to; c++) n = n * 2 + cell(c, row); return n; };
//!   const valid = (n, sum, k) => (((n >>> 24) + 3 * ((n >>> 16) & 255) + 5 * ((n >>> 8) & 255) + 7 * (n & 255) + k) & 255) === sum;
//!   const frameNumber = bits(0, 0, 32), unixMs = bits(1, 0, 32);
//!   if (!valid(frameNumber, bits(0, 32, 40), 90) || !valid(unixMs, bits(1, 32, 40), 165)) return null;
//!   return { frameNumber, unixMs, flash: cell(35, 15) === 1 };
//! }
//! ```
//!
//! (Reading the two rows with one `getImageData` each is faster.) The age of a frame in milliseconds is
//! `(Date.now() - unixMs) | 0`, which is right across the wrap of 2³².

pub mod audio;

use duet_media::I420Buffer;
use std::time::Duration;

/// Columns of the grid.
pub const COLUMNS: u32 = 40;
/// Rows of the grid.
pub const ROWS: u32 = 18;
/// The flash in cells: columns, then rows.
pub(crate) const FLASH: (std::ops::Range<u32>, std::ops::Range<u32>) = (32..39, 14..17);

pub(crate) const BLACK: u8 = 16;
pub(crate) const WHITE: u8 = 235;
const THRESHOLD: u32 = 126;
const NUMBER_BITS: u32 = 32;
const KEYS: [u32; 2] = [90, 165];

/// What a picture says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Counts the camera's frames from 0.
    pub frame_number: u32,
    /// When the frame was captured: Unix time in milliseconds, modulo 2³².
    pub unix_ms: u32,
    /// Whether it is the first frame of a second.
    pub flash: bool,
}

impl Marks {
    /// The marks of a frame that was captured at `unix`, time since the Unix epoch.
    pub fn new(frame_number: u32, unix: Duration, flash: bool) -> Self {
        Marks {
            frame_number,
            unix_ms: unix.as_millis() as u32,
            flash,
        }
    }

    /// How old the frame is when the wall clock reads `now`, in milliseconds; negative if `now` is
    /// before its capture. Ambiguous beyond 24 days.
    pub fn age_ms(&self, now: Duration) -> i32 {
        (now.as_millis() as u32).wrapping_sub(self.unix_ms) as i32
    }

    /// The whole capture time, as time since the Unix epoch, of a frame that was captured within 24
    /// days of `near`.
    pub fn unix_time(&self, near: Duration) -> Duration {
        let near = near.as_millis() as i64;
        let unix = near - i64::from((near as u32).wrapping_sub(self.unix_ms) as i32);
        Duration::from_millis(u64::try_from(unix).unwrap_or(0))
    }
}

/// Reads the marks of a picture of any size. `None` if a checksum is wrong: it is no picture of the
/// synthetic camera, or too little is left of it.
pub fn read(picture: &I420Buffer) -> Option<Marks> {
    let frame_number = read_number(picture, 0)?;
    let unix_ms = read_number(picture, 1)?;
    let (columns, rows) = FLASH;
    let flash = is_white(picture, columns.start + 3, rows.start + 1);
    Some(Marks {
        frame_number,
        unix_ms,
        flash,
    })
}

/// Writes the marks into a picture.
pub fn write(marks: &Marks, picture: &mut I420Buffer) {
    for (row, number) in [(0, marks.frame_number), (1, marks.unix_ms)] {
        write_row(
            picture,
            row,
            u64::from(number) << 8 | u64::from(checksum(number, row)),
        );
    }
    let (columns, rows) = FLASH;
    let luma = if marks.flash { WHITE } else { BLACK };
    fill_cells(picture, columns, rows, luma);
}

/// Fills cells with a shade of grey.
pub(crate) fn fill_cells(
    picture: &mut I420Buffer,
    columns: std::ops::Range<u32>,
    rows: std::ops::Range<u32>,
    luma: u8,
) {
    let (w, h) = (picture.width(), picture.height());
    let (cw, chroma_h) = (picture.chroma_width() as usize, picture.chroma_height());
    let (x0, x1) = (
        edge(columns.start, w, COLUMNS),
        edge(columns.end, w, COLUMNS),
    );
    let (y0, y1) = (edge(rows.start, h, ROWS), edge(rows.end, h, ROWS));
    let (y, u, v) = picture.planes_mut();
    for row in y.chunks_exact_mut((w as usize).max(1)).take(y1).skip(y0) {
        row[x0..x1].fill(luma);
    }
    for plane in [u, v] {
        let rows = plane
            .chunks_exact_mut(cw.max(1))
            .take(y1.div_ceil(2).min(chroma_h as usize));
        for row in rows.skip(y0 / 2) {
            row[x0 / 2..x1.div_ceil(2)].fill(128);
        }
    }
}

/// A whole row of cells at once: its first line is painted and then copied.
fn write_row(picture: &mut I420Buffer, row: u32, bits: u64) {
    let (w, h) = (picture.width() as usize, picture.height());
    let cw = picture.chroma_width() as usize;
    if w == 0 {
        return;
    }
    let (top, bottom) = (edge(row, h, ROWS), edge(row + 1, h, ROWS));
    let (y, u, v) = picture.planes_mut();
    let lines = &mut y[top * w..bottom * w];
    if let Some((first, rest)) = lines.split_at_mut_checked(w) {
        for column in 0..COLUMNS {
            let (x0, x1) = (
                edge(column, w as u32, COLUMNS),
                edge(column + 1, w as u32, COLUMNS),
            );
            let one = bits >> (COLUMNS - 1 - column) & 1 == 1;
            first[x0..x1].fill(if one { WHITE } else { BLACK });
        }
        for line in rest.chunks_exact_mut(w) {
            line.copy_from_slice(first);
        }
    }
    for plane in [u, v] {
        plane[top / 2 * cw..bottom.div_ceil(2) * cw].fill(128);
    }
}

fn read_number(picture: &I420Buffer, row: u32) -> Option<u32> {
    let bits = (0..COLUMNS).fold(0u64, |bits, column| {
        bits << 1 | u64::from(is_white(picture, column, row))
    });
    let number = (bits >> (COLUMNS - NUMBER_BITS)) as u32;
    (checksum(number, row) == bits as u8).then_some(number)
}

/// Looks at the middle third of a cell, or at its middle pixel where it is small.
fn is_white(picture: &I420Buffer, column: u32, row: u32) -> bool {
    let middle = |index: u32, size: u32, count: u32| {
        let third = |n: u64| {
            (((3 * u64::from(index) + n) * u64::from(size)) / (3 * u64::from(count))) as usize
        };
        let start = third(1);
        (start, third(2).max(start + 1).min(size as usize))
    };
    let (x0, x1) = middle(column, picture.width(), COLUMNS);
    let (y0, y1) = middle(row, picture.height(), ROWS);
    let (mut sum, mut count) = (0u32, 0u32);
    for line in picture
        .y()
        .chunks_exact((picture.width() as usize).max(1))
        .take(y1)
        .skip(y0)
    {
        for &luma in line.get(x0..x1).unwrap_or_default() {
            sum += u32::from(luma);
            count += 1;
        }
    }
    count > 0 && sum / count >= THRESHOLD
}

fn checksum(number: u32, row: u32) -> u8 {
    let weighted = number.to_be_bytes().into_iter().zip([1, 3, 5, 7]);
    let sum: u32 = weighted
        .map(|(byte, weight)| u32::from(byte) * weight)
        .sum();
    (sum + KEYS[(row % 2) as usize]) as u8
}

/// The first pixel of cell `index`.
fn edge(index: u32, size: u32, count: u32) -> usize {
    (u64::from(index) * u64::from(size) / u64::from(count)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back_in_any_size() {
        let marks = Marks {
            frame_number: 0xDEAD_BEEF,
            unix_ms: 0x1234_5678,
            flash: true,
        };
        for (w, h) in [
            (1280, 720),
            (640, 480),
            (641, 361),
            (320, 180),
            (80, 45),
            (40, 18),
            (720, 1280),
        ] {
            let mut picture = I420Buffer::new(w, h);
            write(&marks, &mut picture);
            assert_eq!(read(&picture), Some(marks), "{w}x{h}");
            write(
                &Marks {
                    flash: false,
                    ..marks
                },
                &mut picture,
            );
            assert!(!read(&picture).unwrap().flash);
        }
    }

    #[test]
    fn plain_pictures_have_no_marks() {
        for (w, h) in [(0, 0), (1, 1), (17, 3), (640, 360)] {
            let mut picture = I420Buffer::new(w, h);
            assert_eq!(read(&picture), None);
            picture.as_bytes_mut().fill(235);
            assert_eq!(read(&picture), None);
        }
    }

    #[test]
    fn a_picture_too_small_for_its_marks_is_written_without_panic() {
        for (w, h) in [(0, 0), (0, 5), (5, 0), (1, 1), (3, 3), (39, 17)] {
            let mut picture = I420Buffer::new(w, h);
            write(&Marks::new(1, Duration::from_secs(1), true), &mut picture);
        }
    }

    #[test]
    fn one_wrong_bit_is_noticed() {
        let mut picture = I420Buffer::new(400, 180);
        let marks = Marks::new(12_345, Duration::from_millis(1_700_000_000_123), false);
        for column in 0..COLUMNS {
            for row in 0..2 {
                write(&marks, &mut picture);
                let white = is_white(&picture, column, row);
                let luma = if white { BLACK } else { WHITE };
                fill_cells(&mut picture, column..column + 1, row..row + 1, luma);
                assert_eq!(read(&picture), None, "column {column}, row {row}");
            }
        }
    }

    #[test]
    fn ages_and_whole_times_survive_the_wrap() {
        let wrap = Duration::from_millis(5 << 32);
        let before = wrap - Duration::from_millis(3);
        let marks = Marks::new(0, before, false);
        assert_eq!(marks.age_ms(wrap + Duration::from_millis(4)), 7);
        assert_eq!(marks.age_ms(before - Duration::from_millis(1)), -1);
        assert_eq!(marks.unix_time(wrap + Duration::from_secs(9)), before);
        assert_eq!(marks.unix_time(before - Duration::from_secs(9)), before);
    }
}
