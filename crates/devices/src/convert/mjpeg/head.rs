//! What stands before a JPEG picture's pixels, as far as it says whether they are worth decoding.
//!
//! What it is not: it reads no tables and decodes nothing; the library does. It takes no memory.
//! [ITU-T T.81, annex B](https://www.w3.org/Graphics/JPEG/itu-t81.pdf) has the markers.

use super::super::{ConvertError, sane};

const START_OF_IMAGE: u8 = 0xd8;
pub(super) const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
const HUFFMAN_TABLES: u8 = 0xc4;
const QUANTISATION_TABLES: u8 = 0xdb;
const START_OF_SCAN: u8 = 0xda;

/// A picture that may be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Pixels.
    pub(super) width: u32,
    /// Pixels.
    pub(super) height: u32,
    /// Whether it brings the tables of its code. Many cameras leave them out and mean the usual ones.
    pub(super) has_huffman_tables: bool,
    /// Where the coded pixels begin, in bytes.
    pub(super) scan: usize,
}

/// What a frame header says.
struct Frame {
    width: u32,
    height: u32,
    components: u8,
}

impl Head {
    /// Reads up to the coded pixels.
    ///
    /// # Errors
    /// [`ConvertError::Jpeg`], [`ConvertError::Size`], or [`ConvertError::TooShort`] where the pixels cannot
    /// be in what was delivered.
    pub(super) fn read(data: &[u8]) -> Result<Self, ConvertError> {
        if !data.starts_with(&[0xff, START_OF_IMAGE]) {
            return Err(unusable("it does not begin as one"));
        }
        let (mut frame, mut has_huffman_tables, mut has_quantisation_tables) = (None, false, false);
        let mut at = 2;
        loop {
            let (marker, body) = segment(data, &mut at)?;
            match marker {
                HUFFMAN_TABLES => has_huffman_tables = true,
                QUANTISATION_TABLES => has_quantisation_tables = true,
                // Sequential, by Huffman's code.
                0xc0 | 0xc1 if frame.is_none() => frame = Some(Frame::read(body)?),
                0xc0 | 0xc1 => return Err(unusable("it has two frame headers")),
                // Not a frame header, though it stands among them.
                0xc8 | 0xcc => {}
                0xc2..=0xcf => {
                    let kind = "it is progressive, lossless or arithmetically coded; cameras send baseline";
                    return Err(unusable(kind));
                }
                START_OF_SCAN => {
                    let frame = frame.ok_or_else(|| unusable("no frame header comes first"))?;
                    if body.first() != Some(&frame.components) {
                        return Err(unusable("its colours are in scans of their own"));
                    }
                    if !has_quantisation_tables {
                        return Err(unusable("it has no quantisation tables"));
                    }
                    frame.check(data.len(), at)?;
                    return Ok(Head {
                        width: frame.width,
                        height: frame.height,
                        has_huffman_tables,
                        scan: at,
                    });
                }
                _ => {}
            }
        }
    }
}

impl Frame {
    fn read(body: &[u8]) -> Result<Self, ConvertError> {
        let &[precision, h0, h1, w0, w1, components, ..] = body else {
            return Err(unusable("its frame header is cut off"));
        };
        if precision != 8 {
            let reason = format!("its samples have {precision} bits, not 8");
            return Err(ConvertError::Jpeg(reason));
        }
        Ok(Frame {
            width: u16::from_be_bytes([w0, w1]).into(),
            height: u16::from_be_bytes([h0, h1]).into(),
            components,
        })
    }

    /// Whether it can be in `got` bytes of which the coded pixels begin at `scan`: each block of eight by
    /// eight takes a bit at least for its mean, and one for saying that there is no more.
    fn check(&self, got: usize, scan: usize) -> Result<(), ConvertError> {
        let Frame { width, height, .. } = *self;
        if !sane(width, height) {
            return Err(ConvertError::Size { width, height });
        }
        let blocks = width.div_ceil(8) as usize * height.div_ceil(8) as usize;
        let wanted = scan + blocks / 4;
        if got < wanted {
            return Err(ConvertError::TooShort {
                width,
                height,
                wanted,
                got,
            });
        }
        Ok(())
    }
}

/// The marker at `at`, and what belongs to it; `at` moves behind.
fn segment<'a>(data: &'a [u8], at: &mut usize) -> Result<(u8, &'a [u8]), ConvertError> {
    let cut_off = || unusable("it ends before its pixels begin");
    let rest = data.get(*at..).unwrap_or_default();
    // A marker may be filled up in front.
    let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
    let marker = *rest.get(fill).ok_or_else(cut_off)?;
    if fill == 0 || matches!(marker, 0 | 0x01 | 0xd0..=0xd9) {
        let reason = format!("no segment begins at byte {at}");
        return Err(ConvertError::Jpeg(reason));
    }
    let rest = &rest[fill + 1..];
    let &[l0, l1, ..] = rest else {
        return Err(cut_off());
    };
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let body = rest.get(2..len).ok_or_else(cut_off)?;
    *at += fill + 1 + len;
    Ok((marker, body))
}

pub(super) fn unusable(reason: &str) -> ConvertError {
    ConvertError::Jpeg(reason.into())
}
