//! Pictures to encode: a camera-like scene. A texture whose detail falls off as in nature is panned
//! along a circle, a second one moves against it inside a disc, and the sensor is a little noisy.

use duet_media::{I420Buffer, MediaTime, VideoFrame};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::f32::consts::TAU;

/// Frames until it repeats.
const LOOP: u64 = 30;

pub(crate) struct Scene {
    width: u32,
    height: u32,
    back: Texture,
    front: Texture,
    chroma: [Texture; 2],
}

impl Scene {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let mut random = StdRng::seed_from_u64(7);
        let mut texture = |mean, contrast, scale: u32| {
            let (width, height) = (width.div_ceil(scale), height.div_ceil(scale));
            Texture::new(&mut random, width, height, mean, contrast)
        };
        Scene {
            width,
            height,
            back: texture(126.0, 40.0, 1),
            front: texture(150.0, 40.0, 1),
            chroma: [texture(128.0, 14.0, 2), texture(128.0, 14.0, 2)],
        }
    }

    /// Picture `number`, as captured at `capture_time`.
    pub(crate) fn frame(&self, number: u64, capture_time: MediaTime) -> VideoFrame {
        let angle = TAU * (number % LOOP) as f32 / LOOP as f32;
        let (x, y) = (angle.cos() * 12.0, angle.sin() * 8.0);
        let (x, y) = (x.round() as i32, y.round() as i32);
        let (middle, radius) = (
            (
                self.width as i32 / 2 - 5 * x,
                self.height as i32 / 2 - 5 * y,
            ),
            self.height as i32 / 5,
        );
        let mut noise = StdRng::seed_from_u64(number % LOOP);
        let mut buffer = I420Buffer::new(self.width, self.height);
        let (width, chroma_width) = (self.width as usize, buffer.chroma_width() as usize);
        let (luma, u, v) = buffer.planes_mut();
        for (row, line) in luma.chunks_exact_mut(width).enumerate() {
            for (column, pixel) in line.iter_mut().enumerate() {
                let (row, column) = (row as i32, column as i32);
                let (dx, dy) = (column - middle.0, row - middle.1);
                let light = match dx * dx + dy * dy < radius * radius {
                    true => self.front.at(column - x, row - y),
                    false => self.back.at(column + x, row + y),
                };
                // The sum of three dice: near enough to a normal distribution of deviation 1.5.
                let grain = (0..3)
                    .map(|_| noise.random_range(-1.5..1.5_f32))
                    .sum::<f32>();
                *pixel = (light + grain).clamp(16.0, 235.0) as u8;
            }
        }
        for (plane, texture) in [u, v].into_iter().zip(&self.chroma) {
            for (row, line) in plane.chunks_exact_mut(chroma_width).enumerate() {
                for (column, pixel) in line.iter_mut().enumerate() {
                    let light = texture.at(column as i32 + x / 2, row as i32 + y / 2);
                    *pixel = light.clamp(16.0, 240.0) as u8;
                }
            }
        }
        VideoFrame::new(buffer.into(), capture_time)
    }

    /// Picture `number` of a camera that takes `rate` a second.
    pub(crate) fn at_rate(&self, number: u64, rate: f64) -> VideoFrame {
        self.frame(
            number,
            MediaTime::from_nanos((number as f64 * 1e9 / rate) as i64),
        )
    }
}

/// Pixels beyond each edge, for the pan.
const MARGIN: i32 = 16;

struct Texture {
    width: i32,
    height: i32,
    light: Vec<f32>,
}

impl Texture {
    /// Smooth noise in octaves. An amplitude that falls as 1/f^1.2 has nearly as much in each octave
    /// as in the one below.
    fn new(random: &mut StdRng, width: u32, height: u32, mean: f32, contrast: f32) -> Self {
        let (width, height) = (width as i32 + 2 * MARGIN, height as i32 + 2 * MARGIN);
        let mut light = vec![0.0_f32; (width * height) as usize];
        for octave in 0..8 {
            let cell = 1 << octave;
            let across = (width / cell + 2) as usize;
            let down = (height / cell + 2) as usize;
            let lattice: Vec<f32> = (0..across * down)
                .map(|_| random.random_range(-1.0..1.0_f32))
                .collect();
            let amplitude = (cell as f32).powf(0.2);
            for (row, line) in light.chunks_exact_mut(width as usize).enumerate() {
                let (top, fy) = (
                    row / cell as usize,
                    (row % cell as usize) as f32 / cell as f32,
                );
                for (column, pixel) in line.iter_mut().enumerate() {
                    let left = column / cell as usize;
                    let fx = (column % cell as usize) as f32 / cell as f32;
                    let corner = |dx, dy| lattice[(top + dy) * across + left + dx];
                    let upper = corner(0, 0) * (1.0 - fx) + corner(1, 0) * fx;
                    let lower = corner(0, 1) * (1.0 - fx) + corner(1, 1) * fx;
                    *pixel += amplitude * (upper * (1.0 - fy) + lower * fy);
                }
            }
        }
        let deviation = (light.iter().map(|l| l * l).sum::<f32>() / light.len() as f32).sqrt();
        for pixel in &mut light {
            *pixel = mean + contrast * *pixel / deviation;
        }
        Texture {
            width,
            height,
            light,
        }
    }

    fn at(&self, x: i32, y: i32) -> f32 {
        let x = (x + MARGIN).clamp(0, self.width - 1);
        let y = (y + MARGIN).clamp(0, self.height - 1);
        self.light[(y * self.width + x) as usize]
    }
}

/// Peak signal-to-noise ratio of the luma, in dB; of equal pictures, 99.
pub(crate) fn psnr(a: &I420Buffer, b: &I420Buffer) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let squares: u64 = a
        .y()
        .iter()
        .zip(b.y())
        .map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2))
        .sum();
    match squares {
        0 => 99.0,
        _ => 10.0 * (255.0_f64.powi(2) * a.y().len() as f64 / squares as f64).log10(),
    }
}
