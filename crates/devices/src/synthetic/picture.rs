//! What the synthetic camera sees: a landscape that drifts by, a ball that bounces over it, a clock,
//! and a bar that runs into the flash once a second.
//!
//! The same frame number and time always give the same picture, so that whoever reads the
//! [marks](super::marks) of a decoded picture can paint the original and compare.

use super::font;
use super::marks::{self, BLACK, COLUMNS, Marks, ROWS, WHITE};
use duet_media::I420Buffer;
use std::time::Duration;

/// Paints one picture. Whoever paints several of one size keeps a [`Painter`].
pub fn render(
    frame_number: u32,
    unix: Duration,
    flash: bool,
    width: u32,
    height: u32,
    picture: &mut I420Buffer,
) {
    Painter::new(width, height).paint(frame_number, unix, flash, picture);
}

/// Paints the synthetic camera's pictures in one size. It holds the landscape, so that painting is
/// little more than copying.
#[derive(Debug)]
pub struct Painter {
    landscape: I420Buffer,
}

/// Pixels that the ground's nearest row drifts in a frame, in a picture 1,280 wide.
const NEAR_SPEED: f64 = 6.0;
/// And the sky.
const SKY_SPEED: f64 = 1.0;
/// The row of the grid at which the ground begins.
const HORIZON: u32 = 9;
/// Where the bar runs, in cells: columns, row.
const RUNWAY: (std::ops::Range<u32>, u32) = (1..32, 15);

impl Painter {
    /// A painter of pictures of the given size in pixels.
    pub fn new(width: u32, height: u32) -> Self {
        Painter {
            landscape: landscape(width, height),
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.landscape.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.landscape.height()
    }

    /// Paints the picture of a frame that is captured at `unix`, time since the Unix epoch, and
    /// writes its marks. `picture` takes on the painter's size.
    pub fn paint(&self, frame_number: u32, unix: Duration, flash: bool, picture: &mut I420Buffer) {
        picture.resize(self.width(), self.height());
        if self.width() == 0 || self.height() == 0 {
            return;
        }
        self.paint_landscape(frame_number, picture);
        self.paint_ball(frame_number, picture);
        self.paint_bar(unix, picture);
        self.paint_clock(frame_number, unix, picture);
        marks::write(&Marks::new(frame_number, unix, flash), picture);
    }

    /// Every row is the landscape's own, turned by how far it has drifted: the nearer the faster.
    fn paint_landscape(&self, frame_number: u32, picture: &mut I420Buffer) {
        let (w, h) = (self.width() as usize, self.height());
        let cw = self.landscape.chroma_width() as usize;
        let horizon = h * HORIZON / ROWS;
        // In whole chroma pixels, so that colour and brightness stay together.
        let drift = |y: u32| {
            let near = f64::from(y.saturating_sub(horizon)) / f64::from((h - horizon).max(1));
            let speed = SKY_SPEED + (NEAR_SPEED - SKY_SPEED) * near;
            let pixels = speed * self.width() as f64 / 1280.0 * f64::from(frame_number);
            (pixels / 2.0) as usize % cw.max(1)
        };
        // The marks cover the top; there is no need to paint below them.
        let top = (h * 2 / ROWS / 2) as usize;
        let (y, u, v) = picture.planes_mut();
        let rows = y
            .chunks_exact_mut(w)
            .zip(self.landscape.y().chunks_exact(w));
        for (n, (to, from)) in rows.enumerate().skip(top * 2) {
            turn(to, from, drift(n as u32 & !1) * 2);
        }
        for (to, from) in [(u, self.landscape.u()), (v, self.landscape.v())] {
            let rows = to.chunks_exact_mut(cw).zip(from.chunks_exact(cw));
            for (n, (to, from)) in rows.enumerate().skip(top) {
                turn(to, from, drift(n as u32 * 2));
            }
        }
    }

    fn paint_ball(&self, frame_number: u32, picture: &mut I420Buffer) {
        let (w, h) = (i64::from(self.width()), i64::from(self.height()));
        let radius = h / 10;
        let bounce = |n: u32, speed: i64, from: i64, to: i64| {
            let range = (to - from).max(1);
            let at = i64::from(n) * speed % (2 * range);
            from + if at < range { at } else { 2 * range - at }
        };
        let x = bounce(frame_number, (w / 213).max(1), radius, w - radius);
        let y = bounce(
            frame_number,
            (h / 100).max(1),
            h * 3 / 18 + radius,
            h * 14 / 18 - radius,
        );
        disc(picture, (x, y), radius, [60, 110, 160]);
        disc(picture, (x, y), radius * 9 / 10, [110, 85, 205]);
        disc(
            picture,
            (x - radius / 3, y - radius / 3),
            radius / 4,
            [210, 118, 145],
        );
    }

    /// It starts at the left with each second and arrives at the flash with the next.
    fn paint_bar(&self, unix: Duration, picture: &mut I420Buffer) {
        let (columns, row) = RUNWAY;
        marks::fill_cells(picture, columns.clone(), row..row + 1, 40);
        let cell = self.width() / COLUMNS;
        let run = (columns.len() as u32 - 1) * cell;
        let x = columns.start * cell + run * unix.subsec_millis() / 1000;
        let (top, bottom) = (self.height() * row / ROWS, self.height() * (row + 1) / ROWS);
        rect(
            picture,
            (x as usize, (x + cell) as usize),
            (top as usize, bottom as usize),
            WHITE,
        );
    }

    /// "#000123" and "12:34:56.789 UTC" below the marks.
    fn paint_clock(&self, frame_number: u32, unix: Duration, picture: &mut I420Buffer) {
        let seconds = unix.as_secs();
        let text = format!(
            "#{frame_number:06} {:02}:{:02}:{:02}.{:03} UTC",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            unix.subsec_millis()
        );
        let w = self.width() as usize;
        let scale = (w / 256).max(1);
        let (x, y) = (w / COLUMNS as usize, (self.height() * 3 / ROWS) as usize);
        let box_width = (text.len() * (font::WIDTH + 1) + 1) * scale;
        let box_height = (font::HEIGHT + 2) * scale;
        rect(picture, (x, x + box_width), (y, y + box_height), BLACK);
        let height = self.height() as usize;
        let (luma, _, _) = picture.planes_mut();
        for (row, line) in (0..font::HEIGHT).map(|row| (row, y + (row + 1) * scale)) {
            let end = (line + scale).min(height);
            if line >= end {
                break;
            }
            let lines = &mut luma[line * w..end * w];
            let Some((first, rest)) = lines.split_at_mut_checked(w) else {
                break;
            };
            for (n, character) in text.bytes().enumerate() {
                let bits = font::glyph(character)[row];
                for column in (0..font::WIDTH).filter(|c| bits >> (font::WIDTH - 1 - c) & 1 == 1) {
                    let left = x + (n * (font::WIDTH + 1) + 1 + column) * scale;
                    if let Some(pixels) = first.get_mut(left..left + scale) {
                        pixels.fill(WHITE);
                    }
                }
            }
            let painted = x.min(w)..(x + box_width).min(w);
            for line in rest.chunks_exact_mut(w) {
                line[painted.clone()].copy_from_slice(&first[painted.clone()]);
            }
        }
    }
}

/// Copies a row, turned left by `by` pixels.
fn turn(to: &mut [u8], from: &[u8], by: usize) {
    let by = by.min(from.len());
    let (head, tail) = from.split_at(by);
    let (left, right) = to.split_at_mut(tail.len());
    left.copy_from_slice(tail);
    right.copy_from_slice(head);
}

/// A grey rectangle, cut off at the picture's edges.
fn rect(picture: &mut I420Buffer, x: (usize, usize), y: (usize, usize), luma: u8) {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let cw = picture.chroma_width() as usize;
    let (x, y) = ((x.0.min(w), x.1.min(w)), (y.0.min(h), y.1.min(h)));
    let (luma_plane, u, v) = picture.planes_mut();
    for line in luma_plane.chunks_exact_mut(w.max(1)).take(y.1).skip(y.0) {
        line[x.0..x.1].fill(luma);
    }
    for plane in [u, v] {
        let lines = plane.chunks_exact_mut(cw.max(1)).take(y.1.div_ceil(2));
        for line in lines.skip(y.0 / 2) {
            line[x.0 / 2..x.1.div_ceil(2)].fill(128);
        }
    }
}

/// A filled circle, cut off at the picture's edges.
fn disc(picture: &mut I420Buffer, centre: (i64, i64), radius: i64, colour: [u8; 3]) {
    let sizes = [
        (1, picture.width(), picture.height()),
        (2, picture.chroma_width(), picture.chroma_height()),
        (2, picture.chroma_width(), picture.chroma_height()),
    ];
    let (y, u, v) = picture.planes_mut();
    for ((plane, colour), (scale, w, h)) in [y, u, v].into_iter().zip(colour).zip(sizes) {
        let (cx, cy, r) = (centre.0 / scale, centre.1 / scale, radius / scale);
        for row in (cy - r).max(0)..(cy + r).min(i64::from(h)) {
            let half = ((r * r - (row - cy) * (row - cy)) as f64).sqrt() as i64;
            let (from, to) = ((cx - half).max(0), (cx + half).min(i64::from(w)));
            if from < to {
                let line = row as usize * w as usize;
                plane[line + from as usize..line + to as usize].fill(colour);
            }
        }
    }
}

/// Clouds over fields, the left edge continuing the right one.
fn landscape(width: u32, height: u32) -> I420Buffer {
    let mut picture = I420Buffer::new(width, height);
    let (cw, chroma_h) = (picture.chroma_width(), picture.chroma_height());
    let (y, u, v) = picture.planes_mut();
    let mut noise = Noise::new(width);
    let mut line = vec![0.0f32; width as usize];
    for (row, to) in y.chunks_exact_mut((width as usize).max(1)).enumerate() {
        let depth = row as f32 / height as f32 * ROWS as f32;
        noise.row(depth, &mut line);
        let (base, contrast) = match depth < HORIZON as f32 {
            true => (140.0 + 8.0 * depth, 45.0),
            false => (70.0 + 4.0 * (depth - HORIZON as f32), 60.0),
        };
        for (to, noise) in to.iter_mut().zip(&line) {
            *to = (base + contrast * noise).clamp(20.0, 230.0) as u8;
        }
    }
    let mut noise = Noise::new(cw);
    let mut line = vec![0.0f32; cw as usize];
    let rows = u
        .chunks_exact_mut((cw as usize).max(1))
        .zip(v.chunks_exact_mut((cw as usize).max(1)));
    for (row, (u, v)) in rows.enumerate() {
        let depth = row as f32 / chroma_h as f32 * ROWS as f32;
        // Another part of the noise than the luma's.
        noise.row(depth + 64.0, &mut line);
        let (blue, red) = match depth < HORIZON as f32 {
            true => (152.0 - depth, 108.0 + depth),
            false => (104.0, 124.0),
        };
        for ((u, v), noise) in u.iter_mut().zip(v.iter_mut()).zip(&line) {
            *u = (blue - 14.0 * noise) as u8;
            *v = (red + 10.0 * noise) as u8;
        }
    }
    picture
}

/// Smooth noise of about -1 to 1 that repeats with the length of a row.
struct Noise {
    octaves: Vec<Octave>,
}

struct Octave {
    weight: f32,
    /// Between these many random values the row is smooth; the last is the first again.
    lattice: Vec<f32>,
    /// For each pixel the value before it, and how far it is on the way to the next.
    columns: Vec<(usize, f32)>,
}

impl Noise {
    fn new(width: u32) -> Self {
        let octaves = [(5u16, 0.5), (14, 0.3), (40, 0.25), (120, 0.2)];
        let octaves = octaves.into_iter().map(|(cells, weight)| Octave {
            weight,
            lattice: vec![0.0; usize::from(cells) + 1],
            columns: (0..width)
                .map(|x| x as f32 / width as f32 * f32::from(cells))
                .map(|x| ((x as usize).min(usize::from(cells) - 1), smooth(x.fract())))
                .collect(),
        });
        Noise {
            octaves: octaves.collect(),
        }
    }

    /// The row at `depth`, in rows of the grid.
    fn row(&mut self, depth: f32, line: &mut [f32]) {
        line.fill(0.0);
        for (n, octave) in self.octaves.iter_mut().enumerate() {
            let cells = octave.lattice.len() - 1;
            // Cells as high as they are wide, half as much again, for a picture of 16:9.
            let y = depth / ROWS as f32 * cells as f32 * 9.0 / 16.0 * 1.5;
            let (top, part) = (y as u32, smooth(y.fract()));
            for (x, value) in octave.lattice.iter_mut().enumerate() {
                let at = |y: u32| hash((x % cells) as u32, y, n as u32);
                *value = octave.weight * (at(top) * (1.0 - part) + at(top + 1) * part);
            }
            for (value, (cell, part)) in line.iter_mut().zip(&octave.columns) {
                let (from, to) = (octave.lattice[*cell], octave.lattice[*cell + 1]);
                *value += from + (to - from) * part;
            }
        }
    }
}

fn smooth(x: f32) -> f32 {
    x * x * (3.0 - 2.0 * x)
}

/// A number from -1 to 1 that looks random.
fn hash(x: u32, y: u32, octave: u32) -> f32 {
    let mut n = x
        .wrapping_mul(0x9e37_79b1)
        .wrapping_add(y.wrapping_mul(0x85eb_ca77))
        .wrapping_add(octave.wrapping_mul(0xc2b2_ae3d));
    n = (n ^ n >> 15).wrapping_mul(0x2c1b_3c6d);
    n = (n ^ n >> 12).wrapping_mul(0x297a_2d39);
    ((n ^ n >> 15) as f32 / u32::MAX as f32) * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn the_same_frame_is_painted_the_same() {
        let painter = Painter::new(640, 360);
        let (mut first, mut second) = (I420Buffer::default(), I420Buffer::new(3, 3));
        painter.paint(77, at(2_567), false, &mut first);
        second.as_bytes_mut().fill(99);
        render(77, at(2_567), false, 640, 360, &mut second);
        assert_eq!(first, second);
        let marks = marks::read(&first).unwrap();
        assert_eq!(marks, Marks::new(77, at(2_567), false));
    }

    #[test]
    fn every_frame_differs_from_the_last_all_over() {
        let painter = Painter::new(640, 360);
        let (mut first, mut second) = (I420Buffer::default(), I420Buffer::default());
        painter.paint(0, at(0), false, &mut first);
        painter.paint(4, at(133), false, &mut second);
        for rows in 2..ROWS as usize {
            let part = rows * 20 * 640..(rows + 1) * 20 * 640;
            let changed = first.y()[part.clone()]
                .iter()
                .zip(&second.y()[part])
                .filter(|(a, b)| a != b)
                .count();
            assert!(changed > 20 * 640 / 20, "row {rows}: {changed} pixels");
        }
    }

    #[test]
    fn odd_and_tiny_sizes_are_painted() {
        for (w, h) in [
            (0, 0),
            (1, 1),
            (2, 2),
            (7, 5),
            (33, 91),
            (641, 359),
            (90, 160),
        ] {
            let mut picture = I420Buffer::default();
            for n in [0, 1, 1_000, u32::MAX] {
                render(n, at(u64::from(n) * 33), true, w, h, &mut picture);
            }
            assert_eq!((picture.width(), picture.height()), (w, h));
        }
    }
}
