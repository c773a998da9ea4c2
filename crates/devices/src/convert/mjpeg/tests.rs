use super::*;
use crate::convert::MAX_SIZE;
use crate::synthetic::{Painter, marks};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::time::Duration;

fn picture(width: u32, height: u32) -> I420Buffer {
    let mut picture = I420Buffer::default();
    let time = Duration::from_millis(1_700_000_000_000);
    Painter::new(width, height).paint(7, time, true, &mut picture);
    picture
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a
        .iter()
        .zip(b)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    10.0 * (255.0 * 255.0 / (squares.sum::<f64>() / a.len() as f64).max(1e-9)).log10()
}

/// A picture encoded by ffmpeg's `mjpeg` from the synthetic camera's, 4:2:2 in JPEG's range, as
/// cameras send it.
#[test]
fn motion_jpeg_is_decoded_into_the_limited_range() {
    let jpeg = include_bytes!("../testdata/frame-422.jpg");
    let original = picture(320, 180);
    let mut decoded = I420Buffer::default();
    let mut decoder = MjpegDecoder::new();
    decoder.decode(jpeg, &mut decoded).unwrap();
    assert_eq!(marks::read(&decoded), marks::read(&original));
    for (plane, a, b) in [
        ("y", original.y(), decoded.y()),
        ("u", original.u(), decoded.u()),
        ("v", original.v(), decoded.v()),
    ] {
        let psnr = psnr(a, b);
        assert!(psnr > 32.0, "{plane}: {psnr:.1} dB");
    }
}

#[test]
fn grey_jpeg_has_no_colour() {
    // Eight by eight pixels, all of the middle grey: no code but "nothing" is ever needed.
    let mut jpeg = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    jpeg.extend([1; 64]);
    jpeg.extend([0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    for class in [0x00, 0x10] {
        jpeg.extend([0xff, 0xc4, 0, 20, class, 1]);
        jpeg.extend([0; 16]);
    }
    jpeg.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x3f, 0xff, 0xd9]);
    let mut decoded = I420Buffer::default();
    MjpegDecoder::new().decode(&jpeg, &mut decoded).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (8, 8));
    assert!(decoded.y().iter().all(|&l| l == 126), "{:?}", decoded.y());
    assert!(decoded.u().iter().chain(decoded.v()).all(|&c| c == 128));
}

#[test]
fn damaged_jpeg_is_an_error_or_a_picture_and_never_a_panic() {
    let jpeg = include_bytes!("../testdata/frame-422.jpg");
    let mut decoder = MjpegDecoder::new();
    let mut to = I420Buffer::default();
    for bad in [&b""[..], &jpeg[..2], b"not a jpeg at all", &[0xff; 100]] {
        assert!(decoder.decode(bad, &mut to).is_err());
    }
    let expected = decode(jpeg).unwrap();
    let mut seed = 3u32;
    for _ in 0..300 {
        let mut bad = jpeg.to_vec();
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (seed >> 8) as usize % bad.len();
            bad[at] = seed as u8;
        }
        let _ = decoder.decode(&bad, &mut to);
        let _ = decoder.decode(&jpeg[..(seed >> 8) as usize % jpeg.len()], &mut to);
        assert!(to.width() <= MAX_SIZE && to.height() <= MAX_SIZE);
        // Whatever that was, the next good one is as good as ever.
        decoder.decode(jpeg, &mut to).unwrap();
        assert_eq!(to, expected);
    }
}

/// Luma, blue and red, in JPEG's range, of a picture that no two places of have the same colour.
fn slope(x: usize, y: usize) -> [u8; 3] {
    [20 + 3 * x + y, 40 + 2 * x + y, 220 - x - 3 * y].map(|value| value as u8)
}

fn encoder(raw: &mut Vec<u8>, sampling: SamplingFactor) -> Encoder<&mut Vec<u8>> {
    let mut encoder = Encoder::new(raw, 100);
    encoder.set_sampling_factor(sampling);
    encoder
}

fn encoded(
    (width, height): (usize, usize),
    sampling: SamplingFactor,
    colour: impl Fn(usize, usize) -> [u8; 3],
) -> Vec<u8> {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels: Vec<u8> = places.flat_map(|(x, y)| colour(x, y)).collect();
    let mut raw = Vec::new();
    encoder(&mut raw, sampling)
        .encode(&pixels, width as u16, height as u16, ColorType::Ycbcr)
        .unwrap();
    raw
}

/// The same without its segments of that marker.
fn without(marker: u8, jpeg: &[u8]) -> Vec<u8> {
    let mut left = jpeg[..2].to_vec();
    let mut at = 2;
    while jpeg[at + 1] != 0xda {
        let len = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != marker {
            left.extend(&jpeg[at..at + len]);
        }
        at += len;
    }
    left.extend(&jpeg[at..]);
    left
}

fn decode(jpeg: &[u8]) -> Result<I420Buffer, ConvertError> {
    let mut decoded = I420Buffer::default();
    MjpegDecoder::new().decode(jpeg, &mut decoded)?;
    Ok(decoded)
}

/// How far off the worst sample is, of each plane.
fn off_by(decoded: &I420Buffer, colour: impl Fn(usize, usize) -> [u8; 3]) -> [f64; 3] {
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let mut worst = [0.0f64; 3];
    let mut compare = |plane: usize, got: u8, exact: f64| {
        worst[plane] = worst[plane].max((f64::from(got) - exact).abs());
    };
    for (at, luma) in decoded.y().iter().enumerate() {
        let [full, ..] = colour(at % width, at / width);
        compare(0, *luma, 16.0 + f64::from(full) * 219.0 / 255.0);
    }
    let half = decoded.chroma_width() as usize;
    for (plane, samples) in [(1, decoded.u()), (2, decoded.v())] {
        for (at, got) in samples.iter().enumerate() {
            let (left, above) = (at % half * 2, at / half * 2);
            let (right, below) = ((left + 1).min(width - 1), (above + 1).min(height - 1));
            let four = [(left, above), (right, above), (left, below), (right, below)];
            let sum: f64 = four
                .map(|(x, y)| f64::from(colour(x, y)[plane]))
                .iter()
                .sum();
            compare(plane, *got, 128.0 + (sum / 4.0 - 128.0) * 224.0 / 255.0);
        }
    }
    worst
}

/// Pixels that are to share a chroma sample have the same already: nothing is lost.
fn shared(across: usize, down: usize) -> impl Fn(usize, usize) -> [u8; 3] {
    move |x, y| {
        let [luma, ..] = slope(x, y);
        let [_, blue, red] = slope(x / across * across, y / down * down);
        [luma, blue, red]
    }
}

fn assert_near(jpeg: &[u8], size: (usize, usize), colour: impl Fn(usize, usize) -> [u8; 3]) {
    let decoded = decode(jpeg).unwrap();
    let got = (decoded.width() as usize, decoded.height() as usize);
    assert_eq!(got, size);
    let worst = off_by(&decoded, colour);
    assert!(worst.iter().all(|off| *off < 1.6), "{size:?}: {worst:.1?}");
}

const SIZES: [(usize, usize); 5] = [(48, 32), (35, 21), (16, 16), (1, 1), (2, 3)];

#[test]
fn every_usual_subsampling_keeps_its_colours_in_their_places() {
    for (sampling, across, down) in [
        (SamplingFactor::F_1_1, 1, 1),
        (SamplingFactor::F_2_1, 2, 1),
        (SamplingFactor::F_1_2, 1, 2),
        (SamplingFactor::F_2_2, 2, 2),
    ] {
        for size in SIZES {
            let colour = shared(across, down);
            assert_near(&encoded(size, sampling, &colour), size, colour);
        }
    }
}

/// The other encoder puts each of their colours into a scan of its own, which no camera does.
#[test]
fn four_pixels_in_a_row_or_column_may_share_their_colour() {
    for subsamp in [Subsamp::Sub4x1, Subsamp::Sub1x4] {
        for size in SIZES {
            let ((width, height), (across, down)) = (size, subsamp.size());
            let colour = shared(across, down);
            let (wide, high) = (
                width.next_multiple_of(across),
                height.next_multiple_of(down),
            );
            let mut planes = Vec::new();
            for (plane, across, down) in [(0, 1, 1), (1, across, down), (2, across, down)] {
                let rows = (0..high).step_by(down);
                let places = rows.flat_map(|y| (0..wide).step_by(across).map(move |x| (x, y)));
                planes.extend(places.map(|(x, y)| colour(x, y)[plane]));
            }
            let mut compressor = turbojpeg::Compressor::new().unwrap();
            compressor.set_quality(100).unwrap();
            let planes = YuvImage {
                pixels: &planes[..],
                width,
                align: 1,
                height,
                subsamp,
            };
            let jpeg = compressor.compress_yuv_to_vec(planes).unwrap();
            assert_near(&jpeg, size, colour);
        }
    }
    let apart = encoded((32, 32), SamplingFactor::F_4_1, slope);
    let refused = decode(&apart).unwrap_err().to_string();
    assert!(refused.contains("scans of their own"), "{refused}");
}

#[test]
fn grey_of_any_size_is_luma_alone() {
    for (width, height) in [(48u16, 32u16), (35, 21)] {
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let pixels: Vec<u8> = places.map(|(x, y)| slope(x.into(), y.into())[0]).collect();
        let mut raw = Vec::new();
        encoder(&mut raw, SamplingFactor::F_1_1)
            .encode(&pixels, width, height, ColorType::Luma)
            .unwrap();
        let decoded = decode(&raw).unwrap();
        assert!(off_by(&decoded, slope)[0] < 1.6);
        assert!(decoded.u().iter().chain(decoded.v()).all(|&c| c == 128));
    }
}

#[test]
fn the_ends_of_jpegs_range_become_those_of_videos() {
    for sampling in [
        SamplingFactor::F_1_1,
        SamplingFactor::F_2_1,
        SamplingFactor::F_2_2,
    ] {
        for (full, limited) in [
            ([255, 128, 128], [235, 128, 128]),
            ([0, 128, 128], [16, 128, 128]),
            ([128, 255, 0], [126, 240, 16]),
            ([128, 0, 255], [126, 16, 240]),
        ] {
            let decoded = decode(&encoded((32, 32), sampling, |_, _| full)).unwrap();
            let planes = [decoded.y(), decoded.u(), decoded.v()];
            for (plane, expected) in planes.into_iter().zip(limited) {
                let right = plane.iter().all(|got| *got == expected);
                assert!(right, "{sampling:?} of {full:?}: {plane:?}, not {expected}");
            }
        }
    }
}

/// The start of a file of Motion JPEG in AVI, which is what cameras took as their model.
const AVI1: [u8; 18] = *b"\xff\xe0\0\x10AVI1\0\0\0\0\0\0\0\0\0\0";

#[test]
fn a_picture_without_huffman_tables_means_the_usual_ones_whatever_came_before() {
    for sampling in [SamplingFactor::F_2_1, SamplingFactor::F_2_2] {
        let whole = encoded((320, 180), sampling, |x, y| slope(x % 60, y % 40));
        let bare = without(0xe0, &without(0xc4, &whole));
        assert!(bare.len() < whole.len());
        let mut marked = bare.clone();
        marked.splice(2..2, AVI1);
        let expected = decode(&whole).unwrap();
        let mut decoder = MjpegDecoder::new();
        let mut decoded = I420Buffer::default();
        for bare in [&bare, &marked, &bare] {
            decoder.decode(bare, &mut decoded).unwrap();
            assert_eq!(decoded, expected);
            // One with tables of its own, which are not for the next.
            let other = include_bytes!("../testdata/frame-422.jpg");
            decoder.decode(other, &mut decoded).unwrap();
            assert_eq!(marks::read(&decoded), marks::read(&picture(320, 180)));
        }
        let bare = without(0xdb, &whole);
        let missing = decoder.decode(&bare, &mut decoded).unwrap_err();
        assert!(missing.to_string().contains("quantisation"), "{missing}");
    }
}

#[test]
fn a_picture_that_is_cut_off_is_an_error_and_changes_nothing() {
    let jpeg = include_bytes!("../testdata/frame-422.jpg");
    let mut decoder = MjpegDecoder::new();
    let mut to = I420Buffer::new(2, 2);
    for percent in [0, 1, 5, 10, 50, 90, 99] {
        let cut = &jpeg[..jpeg.len() * percent / 100];
        let error = decoder.decode(cut, &mut to).unwrap_err();
        assert!(!error.to_string().is_empty());
        assert_eq!(to, I420Buffer::new(2, 2), "{percent} %: {error}");
    }
    decoder.decode(jpeg, &mut to).unwrap();
    assert_eq!(marks::read(&to), marks::read(&picture(320, 180)));
}

#[test]
fn what_cameras_leave_around_a_picture_does_no_harm() {
    let jpeg = include_bytes!("../testdata/frame-422.jpg");
    let (picture, end) = jpeg.split_at(jpeg.len() - 2);
    let expected = decode(jpeg).unwrap();
    for (what, all) in [
        ("filled up behind", [picture, end, &[0; 999]].concat()),
        (
            "filled up before its end",
            [picture, &[0; 99], end].concat(),
        ),
        ("no end", picture.to_vec()),
        ("no end and filled up", [picture, &[0; 99]].concat()),
        ("two in one", [&jpeg[..], jpeg].concat()),
    ] {
        let decoded = decode(&all).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(decoded, expected, "{what}");
    }
    // The last number of the scan's header: how far its coefficients go.
    let scan = jpeg.windows(2).position(|b| b == [0xff, 0xda]).unwrap();
    let mut odd = jpeg.to_vec();
    odd[scan + 12] = 0;
    assert_eq!(decode(&odd).unwrap(), expected);
}

/// The picture with another size in its frame header.
fn resized(jpeg: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = jpeg.to_vec();
    let frame = jpeg.windows(2).position(|b| b == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..][..2].copy_from_slice(&height.to_be_bytes());
    jpeg[frame + 7..][..2].copy_from_slice(&width.to_be_bytes());
    jpeg
}

#[test]
fn a_size_that_cannot_be_is_refused_before_memory_is_taken() {
    let jpeg = include_bytes!("../testdata/frame-422.jpg");
    let mut decoder = MjpegDecoder::new();
    let mut to = I420Buffer::default();
    let mut refused = |width: u16, height: u16| {
        let refused = decoder.decode(&resized(jpeg, width, height), &mut to);
        let taken = decoder.planes.capacity() + decoder.ended.capacity() + to.as_bytes().len();
        assert_eq!(taken, 0, "{width}x{height}");
        refused.unwrap_err()
    };
    for (width, height) in [(0, 180), (320, 0), (8_193, 180), (320, 65_535)] {
        let size = ConvertError::Size {
            width: width.into(),
            height: height.into(),
        };
        assert_eq!(refused(width, height), size);
    }
    // More pixels than so few bytes can hold.
    assert!(matches!(
        refused(8_192, 8_192),
        ConvertError::TooShort {
            wanted: 262_144..,
            ..
        }
    ));
}

#[test]
fn kinds_of_jpeg_that_no_camera_sends_are_refused_by_their_name() {
    let pixels = [128; 32 * 32 * 3];
    let mut raw = Vec::new();
    let mut progressive = encoder(&mut raw, SamplingFactor::F_2_1);
    progressive.set_progressive(true);
    progressive
        .encode(&pixels, 32, 32, ColorType::Ycbcr)
        .unwrap();
    let refused = decode(&raw).unwrap_err().to_string();
    assert!(refused.contains("progressive"), "{refused}");

    let mut raw = Vec::new();
    encoder(&mut raw, SamplingFactor::F_1_1)
        .encode(&[128; 32 * 32 * 4], 32, 32, ColorType::Cmyk)
        .unwrap();
    let refused = decode(&raw).unwrap_err().to_string();
    assert!(refused.contains("colours as CMYK"), "{refused}");

    let mut deep = include_bytes!("../testdata/frame-422.jpg").to_vec();
    let frame = deep.windows(2).position(|b| b == [0xff, 0xc0]).unwrap();
    deep[frame + 4] = 12;
    let refused = decode(&deep).unwrap_err().to_string();
    assert!(refused.contains("12 bits"), "{refused}");
}
