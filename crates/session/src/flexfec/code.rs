//! Which packets go into which repair packet.

/// A linear code over bits: so many packets, so many repair packets, and who is in which.
///
/// Each packet has a column, the repair packets that it is in. Losses are mended if no sum of lost
/// packets' columns is hidden by what repair packets were lost, so columns are chosen that are as far from
/// one another, from nothing, and from each other's sums as can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    columns: Vec<u32>,
    repairs: usize,
}

impl Code {
    /// More packets are better protected as several.
    pub const MOST_PACKETS: usize = 20;
    /// More repair packets are none the better for it.
    pub const MOST_REPAIRS: usize = 24;
    /// Of more columns than this so many are looked at, spread over all.
    const CANDIDATES: u32 = 256;

    /// A code for `packets`, 1 to [`MOST_PACKETS`](Self::MOST_PACKETS), with `repairs`, up to
    /// [`MOST_REPAIRS`](Self::MOST_REPAIRS); what is more is cut off.
    pub fn new(packets: usize, repairs: usize) -> Self {
        let packets = packets.clamp(1, Self::MOST_PACKETS);
        let repairs = repairs.min(Self::MOST_REPAIRS);
        let mut columns: Vec<u32> = Vec::with_capacity(packets);
        let mut load = vec![0u32; repairs];
        for _ in 0..packets {
            let rank = |column: &u32| {
                // The lighter the repair packets that it is in, the better; of those the lowest.
                let in_rows = (0..repairs).filter(|row| column >> row & 1 == 1);
                let heaviest = in_rows.map(|row| load[row]).max().unwrap_or(0);
                (
                    distance(*column, &columns),
                    u32::MAX - heaviest,
                    u32::MAX - column,
                )
            };
            let all = (1u32 << repairs) - 1;
            let candidate = |at: u32| match all <= Self::CANDIDATES {
                true => at,
                false => at.wrapping_mul(SPREAD) >> (u32::BITS - repairs as u32),
            };
            let candidates = (1..=all.min(Self::CANDIDATES)).map(candidate);
            let candidates = candidates.filter(|column| *column > 0);
            let Some(best) = candidates.max_by_key(rank) else {
                break;
            };
            (0..repairs).for_each(|row| load[row] += best >> row & 1);
            columns.push(best);
        }
        Code { columns, repairs }
    }

    /// How many repair packets it has.
    pub fn repairs(&self) -> usize {
        self.repairs
    }

    /// Whether packet `at` is in repair packet `row`.
    pub fn covers(&self, row: usize, at: usize) -> bool {
        self.columns
            .get(at)
            .is_some_and(|column| column >> row & 1 == 1)
    }
}

/// The golden ratio's: its multiples are spread evenly, and their bits look like drawn by lot.
const SPREAD: u32 = 0x9e37_79b1;

/// How many packets must be lost, the new one among them, before it cannot be mended; looked at with up to two
/// of the others.
fn distance(column: u32, others: &[u32]) -> u32 {
    let mut least = 1 + column.count_ones();
    for (at, one) in others.iter().enumerate() {
        least = least.min(2 + (column ^ one).count_ones());
        for other in &others[..at] {
            least = least.min(3 + (column ^ one ^ other).count_ones());
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fewest losses, of packets and repair packets, that cannot be mended.
    fn least_distance(code: &Code) -> u32 {
        let words = 1u32..1 << code.columns.len();
        let weight = |word: u32| {
            let lost = (0..code.columns.len()).filter(|at| word >> at & 1 == 1);
            let sum = lost.fold(0, |sum, at| sum ^ code.columns[at]);
            word.count_ones() + sum.count_ones()
        };
        words.map(weight).min().unwrap()
    }

    #[test]
    fn codes_are_as_good_as_the_best_known_or_nearly() {
        // Any one loss with one repair packet, any two from Hamming's bound on. The best of 8 and 8 has 5.
        let cases = [
            (1, 1, 2),
            (1, 3, 4),
            (12, 1, 2),
            (4, 3, 3),
            (11, 4, 3),
            (11, 5, 4),
            (4, 8, 5),
            (8, 8, 4),
            (8, 16, 6),
            (12, 24, 7),
        ];
        for (packets, repairs, least) in cases {
            let code = Code::new(packets, repairs);
            let distance = least_distance(&code);
            assert!(distance >= least, "{packets}+{repairs}: {distance}");
        }
    }

    #[test]
    fn no_packet_is_left_out() {
        for packets in 1..=Code::MOST_PACKETS {
            for repairs in 1..=Code::MOST_REPAIRS {
                let code = Code::new(packets, repairs);
                assert_eq!(code.columns.len(), packets);
                assert!((0..packets).all(|at| (0..repairs).any(|row| code.covers(row, at))));
            }
        }
    }
}
