//! Pictures as cameras have them.

use duet::devices::convert::{ConvertError, MjpegDecoder, from_nv12, from_yuyv};
use duet::devices::synthetic::Painter;
use duet::media::I420Buffer;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::time::Duration;

/// What a camera delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Nv12,
    Yuyv,
    Mjpeg,
}

/// The picture that is measured, in pixels.
pub(crate) const SIZE: (u32, u32) = (1280, 720);
/// Bytes of it in I420.
pub(crate) const I420_LEN: usize = (SIZE.0 * SIZE.1 * 3 / 2) as usize;

/// One way from a camera's bytes to a picture, the camera's own.
pub(crate) struct Converter {
    format: Format,
    decoder: MjpegDecoder,
}

impl Format {
    /// How often a picture's bytes are written on the way to I420. A decoder writes planes of its own, of
    /// the picture's subsampling and range.
    pub(crate) fn passes(self) -> u64 {
        match self {
            Format::Nv12 | Format::Yuyv => 1,
            Format::Mjpeg => 2,
        }
    }
}

impl Converter {
    pub(crate) fn new(format: Format) -> Self {
        Converter {
            format,
            decoder: MjpegDecoder::new(),
        }
    }

    pub(crate) fn convert(&mut self, raw: &[u8], to: &mut I420Buffer) -> Result<(), ConvertError> {
        match self.format {
            Format::Nv12 => from_nv12(raw, SIZE.0, SIZE.1, to),
            Format::Yuyv => from_yuyv(raw, SIZE.0, SIZE.1, to),
            Format::Mjpeg => self.decoder.decode(raw, to),
        }
    }
}

/// So many different pictures of the synthetic camera.
pub(crate) fn painted(count: u32) -> impl Iterator<Item = I420Buffer> {
    painted_in(SIZE, count)
}

/// The same in another size.
pub(crate) fn painted_in(
    (width, height): (u32, u32),
    count: u32,
) -> impl Iterator<Item = I420Buffer> {
    let painter = Painter::new(width, height);
    (0..count).map(move |number| {
        let mut picture = I420Buffer::default();
        let at = Duration::from_secs(1_700_000_000) + Duration::from_millis(33) * number;
        painter.paint(number, at, false, &mut picture);
        picture
    })
}

/// The same as a camera of that format delivers them.
pub(crate) fn delivered(format: Format, count: u32) -> Vec<Vec<u8>> {
    painted(count)
        .map(|picture| match format {
            Format::Nv12 => nv12(&picture),
            Format::Yuyv => yuyv(&picture),
            Format::Mjpeg => mjpeg(&picture),
        })
        .collect()
}

fn nv12(picture: &I420Buffer) -> Vec<u8> {
    let mut raw = picture.y().to_vec();
    raw.extend(
        picture
            .u()
            .iter()
            .zip(picture.v())
            .flat_map(|(u, v)| [*u, *v]),
    );
    raw
}

/// Each pixel in turn: its luma, blue and red.
fn pixels(picture: &I420Buffer) -> impl Iterator<Item = [u8; 3]> + '_ {
    let (width, half) = (picture.width() as usize, picture.chroma_width() as usize);
    picture.y().iter().enumerate().map(move |(at, luma)| {
        let chroma = at / width / 2 * half + at % width / 2;
        [*luma, picture.u()[chroma], picture.v()[chroma]]
    })
}

fn yuyv(picture: &I420Buffer) -> Vec<u8> {
    let with_chroma = |(at, [y, u, v]): (usize, [u8; 3])| [y, if at % 2 == 0 { u } else { v }];
    pixels(picture).enumerate().flat_map(with_chroma).collect()
}

/// 4:2:2, as USB cameras send it.
fn mjpeg(picture: &I420Buffer) -> Vec<u8> {
    let pixels: Vec<u8> = pixels(picture).flatten().collect();
    let mut raw = Vec::new();
    let mut encoder = Encoder::new(&mut raw, 85);
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    let (width, height) = (picture.width() as u16, picture.height() as u16);
    let encoded = encoder.encode(&pixels, width, height, ColorType::Ycbcr);
    assert!(
        encoded.is_ok(),
        "a picture of a usual size is encoded: {encoded:?}"
    );
    raw
}
