//! Counters that wrap on the wire, made whole.

/// Turns 16-bit sequence numbers into 64-bit ones that do not wrap.
///
/// A number is taken to lie within 32,767 of the highest one seen, on either side. The first comes
/// out as it went in, so numbers that were sent before it may come out negative; the low 16 bits of
/// a result are always the number that went in.
#[derive(Clone, Debug, Default)]
pub struct SequenceUnwrapper {
    highest: Option<i64>,
}

impl SequenceUnwrapper {
    /// An unwrapper that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unwraps `sequence_number`, which becomes the new reference if it is ahead.
    pub fn unwrap(&mut self, sequence_number: u16) -> i64 {
        let unwrapped = self.peek(sequence_number);
        self.highest = Some(self.highest.map_or(unwrapped, |h| h.max(unwrapped)));
        unwrapped
    }

    /// What [`unwrap`](Self::unwrap) would answer, without remembering it.
    pub fn peek(&self, sequence_number: u16) -> i64 {
        match self.highest {
            None => i64::from(sequence_number),
            // The difference of the low 16 bits, read as signed, is the shorter way round.
            Some(highest) => {
                highest + i64::from(sequence_number.wrapping_sub(highest as u16).cast_signed())
            }
        }
    }

    /// The highest number seen, unwrapped.
    pub fn highest(&self) -> Option<i64> {
        self.highest
    }

    /// Forgets what was seen: the next number starts a new count.
    pub fn reset(&mut self) {
        self.highest = None;
    }
}

/// Turns 32-bit RTP timestamps into 64-bit ones that do not wrap; otherwise as
/// [`SequenceUnwrapper`]. At 90 kHz half the circle is 6.6 hours.
#[derive(Clone, Debug, Default)]
pub struct TimestampUnwrapper {
    highest: Option<i64>,
}

impl TimestampUnwrapper {
    /// An unwrapper that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Unwraps `timestamp`, which becomes the new reference if it is ahead.
    pub fn unwrap(&mut self, timestamp: u32) -> i64 {
        let unwrapped = self.peek(timestamp);
        self.highest = Some(self.highest.map_or(unwrapped, |h| h.max(unwrapped)));
        unwrapped
    }

    /// What [`unwrap`](Self::unwrap) would answer, without remembering it.
    pub fn peek(&self, timestamp: u32) -> i64 {
        match self.highest {
            None => i64::from(timestamp),
            Some(highest) => {
                highest + i64::from(timestamp.wrapping_sub(highest as u32).cast_signed())
            }
        }
    }

    /// The highest timestamp seen, unwrapped.
    pub fn highest(&self) -> Option<i64> {
        self.highest
    }

    /// Forgets what was seen: the next timestamp starts a new count.
    pub fn reset(&mut self) {
        self.highest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn counts_through_the_wrap_and_back() {
        let mut unwrapper = SequenceUnwrapper::new();
        let seen: Vec<i64> = [65_534u16, 65_535, 0, 65_533, 1, 2]
            .into_iter()
            .map(|n| unwrapper.unwrap(n))
            .collect();
        assert_eq!(seen, [65_534, 65_535, 65_536, 65_533, 65_537, 65_538]);
        let mut unwrapper = TimestampUnwrapper::new();
        assert_eq!(unwrapper.unwrap(u32::MAX), i64::from(u32::MAX));
        assert_eq!(unwrapper.unwrap(5), i64::from(u32::MAX) + 6);
    }

    proptest! {
        #[test]
        fn a_stream_that_advances_comes_out_whole(start in any::<u16>(), steps in prop::collection::vec(1u16..32_767, 1..200)) {
            let mut unwrapper = SequenceUnwrapper::new();
            let mut expected = i64::from(start);
            prop_assert_eq!(unwrapper.unwrap(start), expected);
            for step in steps {
                expected += i64::from(step);
                prop_assert_eq!(unwrapper.unwrap(expected as u16), expected);
            }
        }

        #[test]
        fn low_bits_survive_whatever_comes(numbers in prop::collection::vec(any::<u16>(), 0..200), stamps in prop::collection::vec(any::<u32>(), 0..200)) {
            let (mut sequence, mut timestamp) = (SequenceUnwrapper::new(), TimestampUnwrapper::new());
            for n in numbers {
                prop_assert_eq!(sequence.unwrap(n) as u16, n);
            }
            for t in stamps {
                prop_assert_eq!(timestamp.unwrap(t) as u32, t);
            }
        }
    }
}
