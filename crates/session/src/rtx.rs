//! Retransmissions ([RFC 4588](https://www.rfc-editor.org/rfc/rfc4588)) turned back into what was
//! lost, and a filter for what comes twice.
//!
//! Not a NACK generator: who asks for retransmissions is somebody else; this keeps them from asking
//! again for what has come.

use bytes::Buf;

use crate::{RtpPacket, SequenceUnwrapper};

/// The packet that a retransmission carries: the first two bytes of the payload are its sequence
/// number; timestamp and marker are the retransmission's own; `ssrc` and `payload_type` are those of
/// the original stream, from the session description.
///
/// `None` if the payload is shorter than two bytes, as that of a probe of nothing but padding is.
pub fn unwrap_rtx(rtx: RtpPacket, ssrc: u32, payload_type: u8) -> Option<RtpPacket> {
    let mut payload = rtx.payload;
    let sequence_number = payload.try_get_u16().ok()?;
    Some(RtpPacket {
        sequence_number,
        ssrc,
        payload_type,
        payload,
        ..rtx
    })
}

/// Remembers the last 1,024 sequence numbers of a stream and tells which come again.
///
/// Numbers older than that count as duplicates: too late to be of use. A jump of more than
/// 1,024 back that goes on for [`RESTART_AFTER`](Self::RESTART_AFTER) packets is taken for a stream
/// that started anew.
#[derive(Clone, Debug, Default)]
pub struct DuplicateFilter {
    unwrapper: SequenceUnwrapper,
    seen: [u64; Self::WINDOW / 64],
    /// How many in a row were too old, and the last of them.
    stale: (u32, u16),
    duplicates: u64,
}

impl DuplicateFilter {
    const WINDOW: usize = 1_024;
    /// So many numbers in a row that follow one another and are too old: the stream started anew.
    pub const RESTART_AFTER: u32 = 16;

    /// A filter that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if `sequence_number` is new; false if it came before or is too old to tell.
    pub fn insert(&mut self, sequence_number: u16) -> bool {
        let previous = self.unwrapper.highest();
        let number = self.unwrapper.unwrap(sequence_number);
        if let Some(previous) = previous {
            if number <= previous - Self::WINDOW as i64 {
                return self.insert_stale(sequence_number);
            }
            // What the window moves over is forgotten.
            for skipped in (previous + 1..=number).take(Self::WINDOW) {
                let (word, bit) = Self::place(skipped);
                self.seen[word] &= !bit;
            }
        }
        self.stale = (0, 0);
        let (word, bit) = Self::place(number);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        self.duplicates += u64::from(!fresh);
        fresh
    }

    /// How many were refused.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    fn insert_stale(&mut self, sequence_number: u16) -> bool {
        let (count, last) = self.stale;
        let follows = (1..=3).contains(&sequence_number.wrapping_sub(last));
        self.stale = (if follows { count + 1 } else { 1 }, sequence_number);
        if self.stale.0 < Self::RESTART_AFTER {
            self.duplicates += 1;
            return false;
        }
        let duplicates = self.duplicates;
        *self = Self {
            duplicates,
            ..Self::default()
        };
        self.insert(sequence_number)
    }

    /// Where a number's bit is. In bounds by the remainder.
    fn place(number: i64) -> (usize, u64) {
        let slot = number.rem_euclid(Self::WINDOW as i64) as usize;
        (slot / 64, 1 << (slot % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn rtx(payload: &'static [u8]) -> RtpPacket {
        RtpPacket {
            sequence_number: 9,
            timestamp: 3_000,
            marker: true,
            ssrc: 2,
            payload_type: 97,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn restores_the_original() {
        let original = unwrap_rtx(rtx(&[0xAB, 0xCD, 1, 2, 3]), 1, 96).unwrap();
        assert_eq!(original.sequence_number, 0xABCD);
        assert_eq!((original.ssrc, original.payload_type), (1, 96));
        assert_eq!((original.timestamp, original.marker), (3_000, true));
        assert_eq!(&original.payload[..], [1, 2, 3]);
        assert_eq!(unwrap_rtx(rtx(&[]), 1, 96), None);
        assert_eq!(unwrap_rtx(rtx(&[7]), 1, 96), None);
    }

    #[test]
    fn second_sight_is_told() {
        let mut filter = DuplicateFilter::new();
        assert!(filter.insert(65_535));
        assert!(filter.insert(1));
        assert!(filter.insert(0));
        assert!(!filter.insert(65_535));
        assert!(!filter.insert(0));
        assert_eq!(filter.duplicates(), 2);
        assert!(filter.insert(2_000));
        assert!(!filter.insert(900), "older than the window");
    }

    #[test]
    fn a_stream_that_starts_anew_is_let_through_soon() {
        let mut filter = DuplicateFilter::new();
        for n in 20_000..21_000 {
            assert!(filter.insert(n));
        }
        let passed = (5_000u16..5_100).filter(|n| filter.insert(*n)).count();
        assert_eq!(passed, 101 - DuplicateFilter::RESTART_AFTER as usize);
    }

    proptest! {
        #[test]
        fn within_the_window_it_is_exact(start in any::<u16>(), steps in prop::collection::vec(-400i64..430, 0..600)) {
            let mut filter = DuplicateFilter::new();
            let (mut at, mut highest) = (i64::from(start), i64::from(start));
            let mut seen = HashSet::new();
            for step in steps {
                at = (at + step).max(highest - 1_000);
                highest = highest.max(at);
                prop_assert_eq!(filter.insert(at as u16), seen.insert(at));
            }
        }
    }
}
