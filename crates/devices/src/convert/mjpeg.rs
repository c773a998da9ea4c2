//! The pictures of a Motion JPEG camera, by libjpeg-turbo.
//!
//! A picture is decoded into planes of its own subsampling and range, and those are brought to I420 in the
//! limited range in one pass. What it is not: it keeps nothing from one picture to the next but memory.

mod head;

use super::{ConvertError, limited_chroma, limited_luma};
use duet_media::I420Buffer;
use head::{END_OF_IMAGE, Head, unusable};
use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Subsamp, YuvImage};

/// Decodes the pictures of a Motion JPEG stream. Its memory is used again.
#[derive(Debug, Default)]
pub struct MjpegDecoder {
    /// Made for the first picture, and anew after a damaged one.
    decompressor: Option<Decompressor>,
    /// Whether it has been shown tables, which it would use for a picture that brings none.
    has_foreign_tables: bool,
    /// Luma, blue and red as the picture has them, one after the other.
    planes: Vec<u8>,
    /// A picture whose end the camera left out, with an end.
    ended: Vec<u8>,
}

impl MjpegDecoder {
    /// A decoder without memory as yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes one picture; `to` takes on its size. Colour and grey, the usual subsamplings, in one
    /// sequential scan (baseline), as cameras send it, with or without Huffman tables. A picture of which a
    /// part is missing is an error.
    ///
    /// # Errors
    /// [`ConvertError::Jpeg`], [`ConvertError::Size`] or [`ConvertError::TooShort`]. What says so before the
    /// pixels begin is found before memory is taken; `to` is then as it was.
    pub fn decode(&mut self, data: &[u8], to: &mut I420Buffer) -> Result<(), ConvertError> {
        let head = Head::read(data)?;
        let has_end = data[head.scan..]
            .windows(2)
            .rev()
            .any(|b| b == END_OF_IMAGE);
        let data = if has_end {
            data
        } else {
            self.ended.clear();
            self.ended.extend_from_slice(data);
            self.ended.extend(END_OF_IMAGE);
            &self.ended
        };
        // One that has failed keeps something of what it failed on, and refuses what is good.
        let kept = self.decompressor.take();
        let kept = kept.filter(|_| head.has_huffman_tables || !self.has_foreign_tables);
        let mut decompressor = kept
            .map_or_else(Decompressor::new, Ok)
            .map_err(|e| error(&e))?;
        self.has_foreign_tables = head.has_huffman_tables;

        let header = decompressor.read_header(data).map_err(|e| error(&e))?;
        if (header.width, header.height) != (head.width as usize, head.height as usize) {
            return Err(unusable("it says two sizes"));
        }
        match (header.colorspace, header.subsamp) {
            (_, Subsamp::Unknown) => return Err(unusable("its subsampling is not known")),
            (Colorspace::YCbCr | Colorspace::Gray, _) => {}
            (other, _) => return Err(ConvertError::Jpeg(format!("colours as {other:?}"))),
        }
        let len = turbojpeg::yuv_pixels_len(header.width, 1, header.height, header.subsamp);
        self.planes.resize(len.map_err(|e| error(&e))?, 0);
        let planes = YuvImage {
            pixels: &mut self.planes[..],
            width: header.width,
            align: 1,
            height: header.height,
            subsamp: header.subsamp,
        };
        match decompressor.decompress_to_yuv(data, planes) {
            Err(e) if !is_harmless(&e) => return Err(error(&e)),
            _ => {}
        }
        self.decompressor = Some(decompressor);
        to.resize(head.width, head.height);
        self.convert(&header, to);
        Ok(())
    }

    /// Brings what was decoded to I420: each chroma sample is the mean of what the picture has for its
    /// four pixels.
    fn convert(&self, header: &DecompressHeader, to: &mut I420Buffer) {
        let (width, height) = (header.width, header.height);
        // So many pixels share a chroma sample, across and down. The luma is filled up to whole ones.
        let (across, down) = header.subsamp.size();
        let stride = width.next_multiple_of(across);
        let lines = height.next_multiple_of(down);
        let (luma, chroma) = self.planes.split_at(stride * lines);
        let to_stride = to.chroma_width() as usize;
        let (y, u, v) = to.planes_mut();
        for (to, from) in y.chunks_exact_mut(width).zip(luma.chunks_exact(stride)) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = limited_luma(*from);
            }
        }
        if header.subsamp == Subsamp::Gray {
            u.fill(128);
            v.fill(128);
            return;
        }
        let stride = stride / across;
        let (blue, red) = chroma.split_at(stride * (lines / down));
        for (to, from) in [(u, blue), (v, red)] {
            let line = |of_luma: usize| &from[of_luma / down * stride..][..stride];
            for (number, to) in to.chunks_exact_mut(to_stride).enumerate() {
                // The last line of an odd height stands in for the one below it.
                let lower = (number * 2 + 1).min(height - 1);
                convert_chroma(across, line(number * 2), line(lower), to);
            }
        }
    }
}

/// One line of chroma out of the two that belong to its pixels, of which each sample has `across`.
fn convert_chroma(across: usize, upper: &[u8], lower: &[u8], to: &mut [u8]) {
    let both = upper.iter().zip(lower);
    let mut sums = both.map(|(upper, lower)| u16::from(*upper) + u16::from(*lower));
    match across {
        1 => {
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            for (to, (upper, lower)) in to.iter_mut().zip(pairs) {
                let four = [upper[0], upper[1], lower[0], lower[1]];
                *to = limited_chroma(four.map(u16::from).iter().sum::<u16>().div_ceil(2));
            }
            // The last column of an odd width stands in for the one beside it.
            if let (1, Some(to), Some(sum)) = (upper.len() % 2, to.last_mut(), sums.next_back()) {
                *to = limited_chroma(sum);
            }
        }
        2 => {
            for (to, sum) in to.iter_mut().zip(sums) {
                *to = limited_chroma(sum);
            }
        }
        _ => {
            for (to, sum) in to.chunks_mut(across / 2).zip(sums) {
                to.fill(limited_chroma(sum));
            }
        }
    }
}

fn error(error: &turbojpeg::Error) -> ConvertError {
    ConvertError::Jpeg(match error {
        turbojpeg::Error::TurboJpegError(reason) => reason.clone(),
        other => other.to_string(),
    })
}

/// Whether the picture is there all the same. The library tells of the first thing that it noticed, in
/// words only, after it has decoded everything.
fn is_harmless(error: &turbojpeg::Error) -> bool {
    // Bytes that belong to nothing, as many cameras leave them behind the pixels; and numbers in the scan's
    // header that mean something in progressive pictures only.
    const HARMLESS: [&str; 2] = [
        "extraneous bytes before marker",
        "Invalid SOS parameters for sequential JPEG",
    ];
    match error {
        turbojpeg::Error::TurboJpegError(reason) => HARMLESS.iter().any(|h| reason.contains(h)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
