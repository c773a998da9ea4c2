use super::*;
use crate::synthetic::Painter;
use std::time::Duration;

fn picture(width: u32, height: u32) -> I420Buffer {
    let mut picture = I420Buffer::default();
    let time = Duration::from_millis(1_700_000_000_000);
    Painter::new(width, height).paint(7, time, true, &mut picture);
    picture
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
    for full in 0..=255u8 {
        let exact = 16.0 + f64::from(full) * 219.0 / 255.0;
        assert_eq!(limited_luma(full), exact.round() as u8, "luma {full}");
        let exact = 128.0 + (f64::from(full) - 128.0) * 224.0 / 255.0;
        let limited = limited_chroma(u16::from(full) * 2);
        assert_eq!(limited, exact.round() as u8, "chroma {full}");
    }
    for sum in 0..=510u16 {
        let exact = 128.0 + (f64::from(sum) / 2.0 - 128.0) * 224.0 / 255.0;
        let off = (f64::from(limited_chroma(sum)) - exact).abs();
        assert!(off < 0.51, "the mean of two that are {sum}: {off}");
    }
    let mut white = I420Buffer::new(2, 2);
    white
        .as_bytes_mut()
        .copy_from_slice(&[255, 255, 0, 128, 128, 0]);
    limit_range(&mut white);
    assert_eq!(white.as_bytes(), [235, 235, 16, 126, 128, 16]);
}
