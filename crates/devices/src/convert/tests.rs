use super::*;
use crate::synthetic::{Painter, marks};
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

#[test]
fn yuyv_keeps_the_luma_and_the_mean_of_two_lines_of_chroma() {
    let original = picture(642, 362);
    let (w, h, cw) = (642usize, 362usize, 321usize);
    let mut packed = Vec::with_capacity(w * h * 2);
    for row in 0..h {
        for pair in 0..cw {
            let (luma, chroma) = (row * w + pair * 2, row / 2 * cw + pair);
            packed.extend([
                original.y()[luma],
                original.u()[chroma],
                original.y()[luma + 1],
                original.v()[chroma],
            ]);
        }
    }
    let mut converted = I420Buffer::default();
    from_yuyv(&packed, 642, 362, &mut converted).unwrap();
    assert_eq!(converted, original);
}

#[test]
fn nv12_is_taken_apart() {
    for (w, h) in [(640, 360), (33, 17)] {
        let original = picture(w, h);
        let mut data = original.y().to_vec();
        for (u, v) in original.u().iter().zip(original.v()) {
            data.extend([*u, *v]);
        }
        let mut converted = I420Buffer::default();
        from_nv12(&data, w, h, &mut converted).unwrap();
        assert_eq!(converted, original);
        from_i420(original.as_bytes(), w, h, &mut converted).unwrap();
        assert_eq!(converted, original);
    }
}

#[test]
fn short_data_and_impossible_sizes_are_refused() {
    let mut to = I420Buffer::default();
    let data = vec![0u8; 640 * 360 * 2];
    for (w, h) in [(0, 1), (1, 0), (641, 2), (u32::MAX, u32::MAX), (8_194, 2)] {
        let expected = Err(ConvertError::Size {
            width: w,
            height: h,
        });
        assert_eq!(from_yuyv(&data, w, h, &mut to), expected);
    }
    let short = from_yuyv(&data, 640, 361, &mut to).unwrap_err();
    assert!(
        matches!(
            short,
            ConvertError::TooShort {
                wanted: 462_080,
                ..
            }
        ),
        "{short}"
    );
    assert!(from_nv12(&data[..640 * 360], 640, 360, &mut to).is_err());
    assert!(from_nv12(&data, 0, 0, &mut to).is_err());
    assert!(from_i420(&data, 8_000, 8_000, &mut to).is_err());
}

#[test]
fn ranges_are_brought_together() {
    assert_eq!([0, 255].map(limited_luma), [16, 235]);
    assert_eq!([0, 128, 255].map(limited_chroma), [16, 128, 240]);
    let mut white = I420Buffer::new(2, 2);
    white
        .as_bytes_mut()
        .copy_from_slice(&[255, 255, 0, 128, 128, 0]);
    limit_range(&mut white);
    assert_eq!(white.as_bytes(), [235, 235, 16, 126, 128, 16]);
}

/// A picture encoded by ffmpeg's `mjpeg` from the synthetic camera's, 4:2:2 in JPEG's range, as
/// cameras send it.
#[test]
fn motion_jpeg_is_decoded_into_the_limited_range() {
    let jpeg = include_bytes!("testdata/frame-422.jpg");
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
    let jpeg = include_bytes!("testdata/frame-422.jpg");
    let mut decoder = MjpegDecoder::new();
    let mut to = I420Buffer::default();
    for bad in [&b""[..], &jpeg[..2], b"not a jpeg at all", &[0xff; 100]] {
        assert!(decoder.decode(bad, &mut to).is_err());
    }
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
    }
}
