//! How a camera can be set, and which of its ways suits best.

use duet_media::MediaTrackSettings;

/// What a camera makes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PixelFormat {
    /// Three planes, as everything here works with.
    I420,
    /// A plane of luma, and one in which blue and red alternate.
    Nv12,
    /// Packed as luma, blue, luma, red.
    Yuyv,
    /// A JPEG file for each picture.
    Mjpeg,
}

impl PixelFormat {
    /// What is turned into I420, the cheapest first.
    pub(crate) const ALL: [PixelFormat; 4] = [
        PixelFormat::I420,
        PixelFormat::Nv12,
        PixelFormat::Yuyv,
        PixelFormat::Mjpeg,
    ];

    fn rank(self) -> u64 {
        let rank = Self::ALL.iter().position(|format| *format == self);
        rank.unwrap_or(Self::ALL.len()) as u64
    }
}

/// One of the ways in which a camera can be set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Format {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pixels: PixelFormat,
    /// Pictures a second.
    pub(crate) rate: f64,
}

/// The format from which `wanted` is made with the least loss and work.
pub(crate) fn best(formats: &[Format], wanted: &MediaTrackSettings) -> Option<Format> {
    let cheapest = formats.iter().min_by_key(|format| cost(format, wanted));
    cheapest.copied()
}

/// Orders formats by what would be lost of the picture, then of the rate, then by how many pixels are
/// too many, then by the work that they make. Rates count in thousandths.
fn cost(format: &Format, wanted: &MediaTrackSettings) -> (u64, u64, u64, u64) {
    let width = wanted.width.unwrap_or(640);
    let height = wanted.height.unwrap_or(480);
    let missing = width.saturating_sub(format.width) + height.saturating_sub(format.height);
    let thousandths = |rate: f64| (rate * 1_000.0).round() as u64;
    let rate = thousandths(wanted.frame_rate.unwrap_or(30.0));
    let own_rate = thousandths(format.rate);
    // 29.97 is as good as 30.
    let slow = rate.saturating_sub(own_rate + rate / 500);
    let surplus = u64::from(format.width) * u64::from(format.height);
    let hurry = own_rate.saturating_sub(rate);
    (
        missing.into(),
        slow,
        surplus,
        hurry * 8 + format.pixels.rank(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_that_loses_least_is_chosen_then_the_one_that_costs_least() {
        let format = |width, height, pixels, rate| Format {
            width,
            height,
            pixels,
            rate,
        };
        let all = [
            format(640, 480, PixelFormat::Yuyv, 30.0),
            format(1280, 720, PixelFormat::Yuyv, 10.0),
            format(1280, 720, PixelFormat::Mjpeg, 30_000.0 / 1_001.0),
            format(1280, 720, PixelFormat::Mjpeg, 60.0),
            format(1920, 1080, PixelFormat::Mjpeg, 30.0),
            format(640, 480, PixelFormat::Nv12, 30.0),
            format(640, 480, PixelFormat::Mjpeg, 7.5),
        ];
        let best = |width, height, rate| {
            let wanted = MediaTrackSettings {
                width: Some(width),
                height: Some(height),
                frame_rate: Some(rate),
                ..Default::default()
            };
            best(&all, &wanted).unwrap()
        };
        assert_eq!(best(640, 480, 30.0), all[5]);
        assert_eq!(best(1280, 720, 30.0), all[2]);
        assert_eq!(best(1280, 720, 50.0), all[3]);
        assert_eq!(best(1280, 720, 5.0), all[1]);
        assert_eq!(best(320, 240, 15.0), all[5]);
        assert_eq!(best(320, 240, 7.5), all[6]);
        assert_eq!(best(4_000, 3_000, 30.0), all[4]);
    }
}
