//! The header of a repair packet's payload
//! ([draft 03, section 4.2](https://datatracker.ietf.org/doc/html/draft-ietf-payload-flexible-fec-scheme-03#section-4.2)).

use bytes::{Bytes, BytesMut};
use std::fmt;

/// Before the first mask: fields, the count of streams, the stream, the first number.
const BEFORE_MASKS: usize = 18;
/// Bits of each mask, and with those before it.
const MASKS: [(usize, u32); 3] = [(2, 15), (4, 31), (8, 63)];

/// What a repair packet says of the packets that it adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlexFecHeader {
    /// Flags (padding, extension, CSRC count), marker and payload type, length and time stamp, added up.
    pub fields: [u8; 8],
    /// Whose packets they are.
    pub ssrc: u32,
    /// The sequence number of the mask's first place.
    pub base: u16,
    /// The lowest bit is the first place.
    pub mask: u128,
}

/// Why a packet is no repair packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlexFecError {
    /// It ends within its header.
    TooShort,
    /// It is a retransmission, or has rows and columns: neither is in use.
    OtherKind,
    /// It protects so many streams; one is in use.
    Streams(u8),
    /// It protects nothing.
    Nothing,
}

impl FlexFecHeader {
    /// So many places the longest mask has.
    pub const PLACES: u16 = 109;

    /// Reads the header of a repair packet's payload, and returns what follows it.
    pub fn parse(payload: &Bytes) -> Result<(FlexFecHeader, Bytes), FlexFecError> {
        let head = payload.first_chunk::<BEFORE_MASKS>();
        let head = head.ok_or(FlexFecError::TooShort)?;
        if head[0] & 0xc0 != 0 {
            return Err(FlexFecError::OtherKind);
        }
        if head[8] != 1 {
            return Err(FlexFecError::Streams(head[8]));
        }
        let (mut mask, mut places, mut at) = (0u128, 0, BEFORE_MASKS);
        for (bytes, bits) in MASKS {
            let word = payload.get(at..at + bytes).ok_or(FlexFecError::TooShort)?;
            let word = word
                .iter()
                .fold(0u64, |word, byte| word << 8 | u64::from(*byte));
            // The first bit says that it is the last mask; then the first place, in the highest.
            let of_mask = u128::from((word << (64 - bits)).reverse_bits());
            mask |= of_mask << places;
            (places, at) = (places + bits, at + bytes);
            if word >> bits & 1 == 1 {
                break;
            }
            if bytes == MASKS[2].0 {
                // Nothing says that the masks end, and there are no more.
                return Err(FlexFecError::OtherKind);
            }
        }
        if mask == 0 {
            return Err(FlexFecError::Nothing);
        }
        let mut fields = [0; 8];
        fields.copy_from_slice(&head[..8]);
        let header = FlexFecHeader {
            fields,
            ssrc: u32::from_be_bytes([head[12], head[13], head[14], head[15]]),
            base: u16::from_be_bytes([head[16], head[17]]),
            mask,
        };
        Ok((header, payload.slice(at..)))
    }

    /// A repair packet's payload: this, then `rest`.
    pub fn write(&self, rest: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(BEFORE_MASKS + 14 + rest.len());
        out.extend_from_slice(&self.fields);
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.base.to_be_bytes());
        let mut left = self.mask;
        for (bytes, bits) in MASKS {
            let places = (left & ((1 << bits) - 1)) as u64;
            left >>= bits;
            let last = u64::from(left == 0) << bits;
            let word = places.reverse_bits() >> (64 - bits) | last;
            out.extend_from_slice(&word.to_be_bytes()[8 - bytes..]);
            if left == 0 {
                break;
            }
        }
        out.extend_from_slice(rest);
        out.freeze()
    }
}

impl fmt::Display for FlexFecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlexFecError::TooShort => f.write_str("a repair packet that is cut off"),
            FlexFecError::OtherKind => f.write_str("a repair packet of a kind that is not in use"),
            FlexFecError::Streams(count) => write!(f, "a repair packet of {count} streams"),
            FlexFecError::Nothing => f.write_str("a repair packet of nothing"),
        }
    }
}

impl std::error::Error for FlexFecError {}
