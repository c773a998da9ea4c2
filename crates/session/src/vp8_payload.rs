//! VP8 in RTP: [RFC 7741](https://www.rfc-editor.org/rfc/rfc7741)'s payload descriptor, read and
//! written.
//!
//! Not a VP8 decoder: of the picture itself only the first bit is looked at, which tells a key frame.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::TemporalLayer;

/// A payload that is not VP8 in RTP. Drop the packet and count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Vp8PayloadError {
    /// The payload ends within its descriptor, or right after it.
    #[error("VP8 payload of {0} bytes ends within its descriptor")]
    Truncated(usize),
}

/// What stands before each packet's part of a frame:
/// [the payload descriptor](https://www.rfc-editor.org/rfc/rfc7741#section-4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// No other frame refers to this one; it can be lost without harm.
    pub non_reference: bool,
    /// The packet begins a VP8 partition.
    pub partition_start: bool,
    /// Which partition, 0 to 7.
    pub partition_index: u8,
    /// Counts frames: modulo 128, or modulo 32,768.
    pub picture_id: Option<PictureId>,
    /// Counts frames of the lowest temporal layer, modulo 256.
    pub tl0_picture_index: Option<u8>,
    /// Temporal layer (0 to 3), and whether the frame refers to nothing above layer 0.
    pub temporal_layer: Option<(u8, bool)>,
    /// Counts key frames, modulo 32.
    pub key_index: Option<u8>,
}

/// A frame's number in the width in which it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureId {
    /// 0 to 127.
    Short(u8),
    /// 0 to 32,767.
    Long(u16),
}

impl PictureId {
    /// True if `self` is the picture after `before`: one more in the same width.
    pub fn follows(self, before: PictureId) -> bool {
        match (before, self) {
            (PictureId::Short(a), PictureId::Short(b)) => b == a.wrapping_add(1) & 0x7F,
            (PictureId::Long(a), PictureId::Long(b)) => b == a.wrapping_add(1) & 0x7FFF,
            _ => false,
        }
    }
}

impl Vp8Descriptor {
    const MAX_LEN: usize = 6;

    /// Splits a payload into its descriptor and its part of the frame, which is not copied and never
    /// empty.
    pub fn parse(payload: Bytes) -> Result<(Self, Bytes), Vp8PayloadError> {
        let len = payload.len();
        let truncated = |_| Vp8PayloadError::Truncated(len);
        let mut rest = payload;
        let first = rest.try_get_u8().map_err(truncated)?;
        let mut descriptor = Vp8Descriptor {
            non_reference: first & 0x20 != 0,
            partition_start: first & 0x10 != 0,
            partition_index: first & 0x07,
            ..Self::default()
        };
        if first & 0x80 != 0 {
            let extension = rest.try_get_u8().map_err(truncated)?;
            if extension & 0x80 != 0 {
                let high = rest.try_get_u8().map_err(truncated)?;
                descriptor.picture_id = Some(if high & 0x80 == 0 {
                    PictureId::Short(high)
                } else {
                    let low = rest.try_get_u8().map_err(truncated)?;
                    PictureId::Long(u16::from_be_bytes([high & 0x7F, low]))
                });
            }
            if extension & 0x40 != 0 {
                descriptor.tl0_picture_index = Some(rest.try_get_u8().map_err(truncated)?);
            }
            if extension & 0x30 != 0 {
                let byte = rest.try_get_u8().map_err(truncated)?;
                if extension & 0x20 != 0 {
                    descriptor.temporal_layer = Some((byte >> 6, byte & 0x20 != 0));
                }
                if extension & 0x10 != 0 {
                    descriptor.key_index = Some(byte & 0x1F);
                }
            }
        }
        if rest.is_empty() {
            return Err(Vp8PayloadError::Truncated(len));
        }
        Ok((descriptor, rest))
    }

    /// Whether the packet is the first of its frame.
    pub fn is_frame_start(&self) -> bool {
        self.partition_start && self.partition_index == 0
    }

    /// Writes the descriptor, in its shortest form.
    pub fn write(&self, out: &mut impl BufMut) {
        let mut extension = 0;
        if self.picture_id.is_some() {
            extension |= 0x80;
        }
        if self.tl0_picture_index.is_some() {
            extension |= 0x40;
        }
        if self.temporal_layer.is_some() {
            extension |= 0x20;
        }
        if self.key_index.is_some() {
            extension |= 0x10;
        }
        let mut first = self.partition_index & 0x07;
        if extension != 0 {
            first |= 0x80;
        }
        if self.non_reference {
            first |= 0x20;
        }
        if self.partition_start {
            first |= 0x10;
        }
        out.put_u8(first);
        if extension == 0 {
            return;
        }
        out.put_u8(extension);
        match self.picture_id {
            Some(PictureId::Short(id)) => out.put_u8(id & 0x7F),
            Some(PictureId::Long(id)) => out.put_u16(id | 0x8000),
            None => {}
        }
        if let Some(index) = self.tl0_picture_index {
            out.put_u8(index);
        }
        if extension & 0x30 != 0 {
            let (layer, sync) = self.temporal_layer.unwrap_or_default();
            let key_index = self.key_index.unwrap_or_default();
            out.put_u8(layer << 6 | u8::from(sync) << 5 | key_index & 0x1F);
        }
    }
}

/// Whether a VP8 frame is a key frame, by the first bit of
/// [its header](https://www.rfc-editor.org/rfc/rfc6386#section-9.1). False if it is empty.
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// Cuts one stream's VP8 frames into payloads, counting its pictures.
#[derive(Clone, Debug)]
pub struct Vp8Packetizer {
    max_payload: usize,
    picture_id: u16,
    /// Of the last picture of the lowest temporal layer.
    tl0_picture_index: u8,
}

impl Vp8Packetizer {
    /// Cuts into payloads of at most `max_payload` bytes (16 at least), numbering pictures from
    /// `picture_id` (its low 15 bits), which should be random.
    pub fn new(max_payload: usize, picture_id: u16) -> Self {
        Vp8Packetizer {
            max_payload: max_payload.max(16),
            picture_id: picture_id & 0x7FFF,
            tl0_picture_index: picture_id.to_be_bytes()[0],
        }
    }

    /// The payloads of the next frame, in order; the last one's packet carries the marker. All are as
    /// long as each other within a byte, so that the pacer has no stragglers. An empty frame gives
    /// none and takes no number. `layer`: where it stands, if there are several temporal layers; then
    /// pictures of the lowest are counted too.
    pub fn packetize(&mut self, frame: &[u8], layer: Option<TemporalLayer>) -> Vec<Bytes> {
        if frame.is_empty() {
            return Vec::new();
        }
        if layer.is_some_and(|layer| layer.id == 0) {
            self.tl0_picture_index = self.tl0_picture_index.wrapping_add(1);
        }
        let mut descriptor = Vp8Descriptor {
            non_reference: layer.is_some_and(|layer| layer.non_reference),
            partition_start: true,
            picture_id: Some(PictureId::Long(self.picture_id)),
            tl0_picture_index: layer.map(|_| self.tl0_picture_index),
            temporal_layer: layer.map(|layer| (layer.id & 3, layer.sync)),
            ..Vp8Descriptor::default()
        };
        self.picture_id = (self.picture_id + 1) & 0x7FFF;

        let room = self.max_payload
            - if descriptor.tl0_picture_index.is_some() {
                Vp8Descriptor::MAX_LEN
            } else {
                4
            };
        let count = frame.len().div_ceil(room);
        let (size, longer) = (frame.len() / count, frame.len() % count);
        // One allocation for all: each payload is a slice of it.
        let mut whole = BytesMut::with_capacity(frame.len() + count * Vp8Descriptor::MAX_LEN);
        let mut rest = frame;
        (0..count)
            .map(|n| {
                let (part, after) = rest.split_at(size + usize::from(n < longer));
                rest = after;
                descriptor.write(&mut whole);
                whole.extend_from_slice(part);
                descriptor.partition_start = false;
                whole.split().freeze()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &'static [u8]) -> Result<(Vp8Descriptor, Bytes), Vp8PayloadError> {
        Vp8Descriptor::parse(Bytes::from_static(bytes))
    }

    #[test]
    fn reads_each_form() {
        let (descriptor, rest) = parse(&[0x10, 0xAA]).unwrap();
        assert!(descriptor.is_frame_start());
        assert_eq!(descriptor.picture_id, None);
        assert_eq!(&rest[..], [0xAA]);

        let (descriptor, _) = parse(&[0x80, 0x80, 0x11, 0xAA]).unwrap();
        assert_eq!(descriptor.picture_id, Some(PictureId::Short(0x11)));
        assert!(!descriptor.is_frame_start());

        let (descriptor, rest) = parse(&[0xB3, 0xF0, 0x92, 0x34, 0x56, 0xA5, 0xAA]).unwrap();
        assert_eq!(
            descriptor,
            Vp8Descriptor {
                non_reference: true,
                partition_start: true,
                partition_index: 3,
                picture_id: Some(PictureId::Long(0x1234)),
                tl0_picture_index: Some(0x56),
                temporal_layer: Some((2, true)),
                key_index: Some(5),
            }
        );
        assert_eq!(&rest[..], [0xAA]);
    }

    #[test]
    fn refuses_what_is_cut_short() {
        let whole: &[u8] = &[0xB3, 0xF0, 0x92, 0x34, 0x56, 0xA5, 0xAA];
        for len in 0..whole.len() {
            assert_eq!(parse(&whole[..len]), Err(Vp8PayloadError::Truncated(len)));
        }
        assert!(parse(&[0x10]).is_err(), "a descriptor of nothing");
    }

    #[test]
    fn picture_ids_follow_across_the_wrap() {
        assert!(PictureId::Short(0).follows(PictureId::Short(127)));
        assert!(PictureId::Long(0).follows(PictureId::Long(32_767)));
        assert!(!PictureId::Long(2).follows(PictureId::Long(0)));
        assert!(!PictureId::Long(1).follows(PictureId::Short(0)));
    }

    #[test]
    fn pictures_are_counted_through_the_wrap() {
        let mut packetizer = Vp8Packetizer::new(1_200, 32_766);
        packetizer.tl0_picture_index = 254;
        let mut told = |layer| {
            let payloads = packetizer.packetize(&[0; 10], layer);
            let (descriptor, _) = Vp8Descriptor::parse(payloads[0].clone()).unwrap();
            let Some(PictureId::Long(id)) = descriptor.picture_id else {
                panic!("{descriptor:?}");
            };
            let Vp8Descriptor {
                tl0_picture_index: index,
                temporal_layer,
                non_reference,
                ..
            } = descriptor;
            (id, index, temporal_layer, non_reference)
        };
        let layer = |id, sync, non_reference| {
            Some(TemporalLayer {
                id,
                sync,
                non_reference,
            })
        };
        let base = layer(0, false, false);
        assert_eq!(told(base), (32_766, Some(255), Some((0, false)), false));
        let upper = layer(1, true, true);
        assert_eq!(told(upper), (32_767, Some(255), Some((1, true)), true));
        assert_eq!(told(base), (0, Some(0), Some((0, false)), false));
        assert_eq!(told(None), (1, None, None, false));
        assert!(packetizer.packetize(&[], base).is_empty());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let payload = Bytes::from(bytes);
            if let Ok((descriptor, rest)) = Vp8Descriptor::parse(payload) {
                prop_assert!(!rest.is_empty());
                let mut again = BytesMut::new();
                descriptor.write(&mut again);
                again.extend_from_slice(&rest);
                let (second, _) = Vp8Descriptor::parse(again.freeze()).unwrap();
                prop_assert_eq!(second, descriptor);
            }
        }

        #[test]
        fn a_frame_is_cut_evenly_and_whole(
            frame in prop::collection::vec(any::<u8>(), 1..5_000),
            max in 0usize..1_400,
            layered in any::<bool>(),
        ) {
            let mut packetizer = Vp8Packetizer::new(max, 5);
            let payloads = packetizer.packetize(&frame, layered.then(TemporalLayer::default));
            let mut whole = Vec::new();
            for (n, payload) in payloads.iter().enumerate() {
                prop_assert!(payload.len() <= max.max(16));
                let (descriptor, part) = Vp8Descriptor::parse(payload.clone()).unwrap();
                prop_assert_eq!(descriptor.is_frame_start(), n == 0);
                whole.extend_from_slice(&part);
            }
            let lengths = || payloads.iter().map(Bytes::len);
            prop_assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
            prop_assert_eq!(whole, frame);
        }
    }
}
