//! The quantizer of a VP8 frame, out of its
//! [header](https://www.rfc-editor.org/rfc/rfc6386#section-9.6): what `qpSum` adds up.
//!
//! Not a decoder: it reads some forty bits and stops.

/// `y_ac_qi` of a frame, 0 (finest) to 127. `None` for what is no VP8 frame, or ends within its header.
pub fn vp8_quantizer(frame: &[u8]) -> Option<u8> {
    let key_frame = frame.first()? & 1 == 0;
    let partition = match key_frame {
        true if frame.get(3..6)? != [0x9D, 0x01, 0x2A] => return None,
        true => frame.get(10..)?,
        false => frame.get(3..)?,
    };
    let mut bits = BoolDecoder::new(partition)?;
    if key_frame {
        bits.read(2)?;
    }
    if bits.flag()? {
        let map = bits.flag()?;
        if bits.flag()? {
            bits.flag()?;
            for width in [7; 4].into_iter().chain([6; 4]) {
                bits.skip_optional(width + 1)?;
            }
        }
        if map {
            for _ in 0..3 {
                bits.skip_optional(8)?;
            }
        }
    }
    // The loop filter's type, level and sharpness.
    bits.read(1 + 6 + 3)?;
    if bits.flag()? && bits.flag()? {
        for _ in 0..8 {
            bits.skip_optional(6 + 1)?;
        }
    }
    // How many partitions there are.
    bits.read(2)?;
    u8::try_from(bits.read(7)?).ok()
}

/// [RFC 6386, section 7](https://www.rfc-editor.org/rfc/rfc6386#section-7), for bits that are as often one as
/// the other.
struct BoolDecoder<'a> {
    rest: &'a [u8],
    value: u32,
    range: u32,
    shifted: u32,
}

impl<'a> BoolDecoder<'a> {
    fn new(data: &'a [u8]) -> Option<Self> {
        let [first, second, rest @ ..] = data else {
            return None;
        };
        Some(BoolDecoder {
            rest,
            value: u32::from(*first) << 8 | u32::from(*second),
            range: 255,
            shifted: 0,
        })
    }

    fn flag(&mut self) -> Option<bool> {
        let split = 1 + (((self.range - 1) * 128) >> 8);
        let set = self.value >= split << 8;
        if set {
            self.range -= split;
            self.value -= split << 8;
        } else {
            self.range = split;
        }
        while self.range < 128 {
            self.value <<= 1;
            self.range <<= 1;
            self.shifted += 1;
            if self.shifted == 8 {
                self.shifted = 0;
                let (next, rest) = self.rest.split_first()?;
                self.value |= u32::from(*next);
                self.rest = rest;
            }
        }
        Some(set)
    }

    fn read(&mut self, bits: u32) -> Option<u32> {
        (0..bits).try_fold(0, |read, _| Some(read << 1 | u32::from(self.flag()?)))
    }

    fn skip_optional(&mut self, bits: u32) -> Option<()> {
        if self.flag()? {
            self.read(bits)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_frame_has_none() {
        for frame in [
            &[][..],
            &[0x10],
            &[0x10, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0],
            &[0x11, 0, 0],
        ] {
            assert_eq!(vp8_quantizer(frame), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(frame in prop::collection::vec(any::<u8>(), 0..100)) {
            let quantizer = vp8_quantizer(&frame);
            prop_assert!(quantizer.is_none_or(|quantizer| quantizer < 128));
        }
    }
}
