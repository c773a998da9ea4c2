//! Redundant sound ([RFC 2198](https://www.rfc-editor.org/rfc/rfc2198)): each packet carries the last
//! ones again, so that a single loss, or two in a row, costs nothing but the wait for the next packet.
//!
//! [`RedHistory`] wraps, [`RedPayload`] unwraps. Whether it pays is decided by
//! [`AudioSendPolicy`](crate::AudioSendPolicy); what a copy is good for, by the jitter buffer.
//!
//! What it is not: a repair of pictures ([RFC 5109](https://www.rfc-editor.org/rfc/rfc5109) uses the
//! same framing); blocks of any but the one payload type are passed over.

use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;

/// The packets sent last, to be sent again.
///
/// Capacity: [`MAX_COPIES`](Self::MAX_COPIES) packets; the oldest is forgotten.
#[derive(Debug, Default)]
pub struct RedHistory {
    sent: VecDeque<(u32, Bytes)>,
}

/// What a packet of redundant sound holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedPayload {
    /// The sound that the packet is for.
    pub primary: Bytes,
    /// Sound of earlier packets, the oldest first.
    pub copies: Vec<RedCopy>,
}

/// A packet that was sent before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedCopy {
    /// How much earlier its first sample is than the packet's own, in ticks: 1 to 16,383.
    pub offset: u16,
    /// How many packets earlier it was sent, by its place: 1 or more.
    pub packets_back: u16,
    /// Its payload.
    pub payload: Bytes,
}

/// Why a payload is none; the packet is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedError {
    /// It ends within its headers, or before what they promise.
    TooShort,
    /// More blocks than [`RedPayload::MAX_BLOCKS`].
    TooManyBlocks,
    /// Its own sound is of another payload type, redundancy within redundancy included.
    OtherType(u8),
}

const HEADER: usize = 4;
/// The widths of offset and length: 14 and 10 bits.
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LENGTH: usize = (1 << 10) - 1;
/// Another block follows.
const FOLLOWS: u8 = 0x80;

impl RedHistory {
    /// A packet repeats so many others at most.
    pub const MAX_COPIES: usize = 2;

    /// Nothing was sent yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wraps `payload` of `payload_type` (0 to 127) with up to `copies` of those before, the next ones
    /// first, in `max_bytes` at most; and remembers it. Copies that do not fit, in bytes or in the
    /// header's fields, are left out: the packet is complete without them.
    pub fn wrap(
        &mut self,
        payload_type: u8,
        timestamp: u32,
        payload: Bytes,
        copies: usize,
        max_bytes: usize,
    ) -> Bytes {
        let mut room = max_bytes.saturating_sub(payload.len() + 1);
        let mut fitting = Vec::with_capacity(copies.min(Self::MAX_COPIES));
        for (of, copy) in self.sent.iter().rev().take(copies) {
            let offset = timestamp.wrapping_sub(*of);
            let fits = copy.len() <= MAX_LENGTH && copy.len() + HEADER <= room;
            if !(1..=MAX_OFFSET).contains(&offset) || !fits {
                // What is behind it is further away, and the receiver counts packets by place.
                break;
            }
            room -= copy.len() + HEADER;
            fitting.push((offset, copy));
        }
        let mut out = BytesMut::with_capacity(max_bytes - room);
        for (offset, copy) in fitting.iter().rev() {
            out.put_u8(FOLLOWS | payload_type & 0x7f);
            out.put_uint(u64::from(*offset) << 10 | copy.len() as u64, 3);
        }
        out.put_u8(payload_type & 0x7f);
        fitting
            .iter()
            .rev()
            .for_each(|(_, copy)| out.put_slice(copy));
        out.put_slice(&payload);
        self.note(timestamp, payload);
        out.freeze()
    }

    /// Remembers a packet that was sent as it is.
    pub fn note(&mut self, timestamp: u32, payload: Bytes) {
        if self.sent.len() == Self::MAX_COPIES {
            self.sent.pop_front();
        }
        self.sent.push_back((timestamp, payload));
    }
}

impl RedPayload {
    /// More blocks than this are nobody's: libwebrtc takes as many.
    pub const MAX_BLOCKS: usize = 32;

    /// Unwraps a packet whose sound is of `payload_type`. Copies of other types, empty ones, and such
    /// as claim to be of the same time are left out.
    ///
    /// # Errors
    /// If its own sound cannot be had. Nothing is copied, and no more is read than there is.
    pub fn parse(payload: &Bytes, payload_type: u8) -> Result<Self, RedError> {
        let mut headers = Vec::new();
        let mut at = 0;
        let own = loop {
            let first = *payload.get(at).ok_or(RedError::TooShort)?;
            if first & FOLLOWS == 0 {
                at += 1;
                break first;
            }
            if headers.len() + 1 == Self::MAX_BLOCKS {
                return Err(RedError::TooManyBlocks);
            }
            let rest = payload.get(at + 1..at + HEADER);
            let &[a, b, c] = rest.ok_or(RedError::TooShort)? else {
                return Err(RedError::TooShort);
            };
            let word = u32::from_be_bytes([0, a, b, c]);
            headers.push((
                first & 0x7f,
                (word >> 10) as u16,
                word as usize & MAX_LENGTH,
            ));
            at += HEADER;
        };
        if own != payload_type {
            return Err(RedError::OtherType(own));
        }
        let mut copies = Vec::with_capacity(headers.len());
        for (place, &(of_type, offset, length)) in headers.iter().enumerate() {
            if length > payload.len() - at {
                return Err(RedError::TooShort);
            }
            let copy = payload.slice(at..at + length);
            at += length;
            if of_type == payload_type && offset > 0 && length > 0 {
                copies.push(RedCopy {
                    offset,
                    packets_back: (headers.len() - place) as u16,
                    payload: copy,
                });
            }
        }
        Ok(RedPayload {
            primary: payload.slice(at..),
            copies,
        })
    }
}

impl fmt::Display for RedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedError::TooShort => f.write_str("a redundant packet that is cut off"),
            RedError::TooManyBlocks => f.write_str("a redundant packet of too many blocks"),
            RedError::OtherType(of_type) => {
                write!(f, "a redundant packet of sound of payload type {of_type}")
            }
        }
    }
}

impl std::error::Error for RedError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPUS: u8 = 111;
    const ROOM: usize = 1_150;

    fn sound(n: u8, len: usize) -> Bytes {
        vec![n; len].into()
    }

    #[test]
    fn a_packet_carries_the_two_before_it() {
        let mut history = RedHistory::new();
        let first = history.wrap(OPUS, u32::MAX - 959, sound(1, 80), 2, ROOM);
        assert_eq!(first[0], OPUS, "nothing was sent before it");
        history.wrap(OPUS, 0, sound(2, 90), 2, ROOM);
        let third = history.wrap(OPUS, 960, sound(3, 100), 2, ROOM);
        assert_eq!(third.len(), 80 + 90 + 100 + 2 * 4 + 1);
        let parsed = RedPayload::parse(&third, OPUS).unwrap();
        assert_eq!(parsed.primary, sound(3, 100));
        let copies: Vec<_> = parsed
            .copies
            .iter()
            .map(|c| (c.offset, c.packets_back, c.payload.clone()))
            .collect();
        assert_eq!(copies, [(1_920, 2, sound(1, 80)), (960, 1, sound(2, 90))]);
    }

    #[test]
    fn what_chromium_sends_is_read() {
        // Offset 960, length 3; then the payload itself.
        let wire = [0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2, 3, 9, 9];
        let parsed = RedPayload::parse(&Bytes::copy_from_slice(&wire), OPUS).unwrap();
        assert_eq!(parsed.copies[0].offset, 960);
        assert_eq!(&parsed.copies[0].payload[..], [1, 2, 3]);
        assert_eq!(&parsed.primary[..], [9, 9]);
    }

    #[test]
    fn copies_that_fit_nowhere_are_left_out() {
        let mut history = RedHistory::new();
        history.note(0, sound(1, 100));
        let after_silence = history.wrap(OPUS, 48_000, sound(2, 10), 2, ROOM);
        assert_eq!(after_silence.len(), 11, "a second back is no offset");
        let tight = history.wrap(OPUS, 48_960, sound(3, 10), 2, 11 + 13);
        assert_eq!(tight.len(), 11, "one byte short");
        let long = history.wrap(OPUS, 49_920, sound(4, 1_030), 1, ROOM);
        assert_eq!(long.len(), 1_031 + 14);
        let after_long = history.wrap(OPUS, 50_880, sound(5, 10), 2, 4_000);
        assert_eq!(after_long.len(), 11, "ten bits hold no 1,030");
    }

    #[test]
    fn hostile_packets_are_refused() {
        let parse = |wire: &[u8]| RedPayload::parse(&Bytes::copy_from_slice(wire), OPUS);
        let cut_off: [&[u8]; 5] = [
            &[],
            &[0x80 | 111],
            &[0x80 | 111, 0x0f, 0x00],
            // A header that no own sound follows.
            &[0x80 | 111, 0x0f, 0x00, 0x03],
            // Three bytes promised, two there.
            &[0x80 | 111, 0x0f, 0x00, 0x03, 111, 1, 2],
        ];
        for wire in cut_off {
            assert_eq!(parse(wire), Err(RedError::TooShort), "{wire:?}");
        }
        assert_eq!(parse(&[63, 111, 1]), Err(RedError::OtherType(63)), "nested");
        let nested = parse(&[0x80 | 63, 0x0f, 0x00, 0x01, 111, 7, 9]).unwrap();
        assert!(nested.copies.is_empty());
        assert_eq!(&nested.primary[..], [9]);
        let same_time = parse(&[0x80 | 111, 0, 0, 1, 111, 7, 9]).unwrap();
        assert!(same_time.copies.is_empty());
        let many: Vec<u8> = [0x80 | 111, 0x0f, 0, 0].repeat(40);
        assert_eq!(parse(&many), Err(RedError::TooManyBlocks));
        let most: Vec<u8> = [[0x80 | 111, 0x0f, 0, 0].repeat(31), vec![111]].concat();
        assert_eq!(parse(&most).unwrap().primary.len(), 0);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(wire in prop::collection::vec(any::<u8>(), 0..200), own in 0u8..128) {
            if let Ok(parsed) = RedPayload::parse(&Bytes::from(wire.clone()), own) {
                let copied: usize = parsed.copies.iter().map(|copy| copy.payload.len()).sum();
                prop_assert!(copied + parsed.primary.len() < wire.len());
            }
        }

        #[test]
        fn what_was_wrapped_comes_back(lengths in prop::collection::vec(0usize..600, 1..8), copies in 0usize..5) {
            let mut history = RedHistory::new();
            for (n, length) in lengths.iter().enumerate() {
                let timestamp = n as u32 * 960;
                let wrapped = history.wrap(OPUS, timestamp, sound(n as u8, *length), copies, ROOM);
                prop_assert!(wrapped.len() <= ROOM.max(length + 1));
                let parsed = RedPayload::parse(&wrapped, OPUS).unwrap();
                prop_assert_eq!(parsed.primary, sound(n as u8, *length));
                for copy in parsed.copies {
                    let of = n - usize::from(copy.packets_back);
                    prop_assert_eq!(usize::from(copy.offset), (n - of) * 960);
                    prop_assert_eq!(copy.payload, sound(of as u8, lengths[of]));
                }
            }
        }
    }
}
