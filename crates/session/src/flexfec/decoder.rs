//! What is missing, made out of repair packets and what came.

use super::{FIXED_HEADER, FlexFecError, FlexFecHeader, ProtectedPacket, xor};
use crate::SequenceUnwrapper;
use bytes::Bytes;
use std::collections::VecDeque;

/// So many packets are remembered: what is older is too late to be shown. A power of two.
const REMEMBERED: usize = 512;
/// So many repair packets are kept that cannot be used yet; the oldest goes first.
const KEPT: usize = 64;
/// Repair packets are solved together if all of theirs lies within as many places as a word has bits, so
/// many of them before the newest one's first.
const BEFORE: i64 = 16;

/// What became of repair packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlexFecCounters {
    /// That came.
    pub received: u64,
    /// That were of no use: all of theirs was there, came by itself or is forgotten, or they are none.
    pub discarded: u64,
    /// Packets that were made out of them.
    pub recovered: u64,
}

#[derive(Debug)]
struct Repair {
    header: FlexFecHeader,
    /// The unwrapped number of the mask's first place.
    base: i64,
    rest: Bytes,
    /// Something was made of it.
    used: bool,
}

/// An equation over what is missing of a window: which packets add up to which repair packets.
#[derive(Clone, Copy)]
struct Equation {
    missing: u128,
    repairs: u64,
    /// Of the missing, the one that no other equation has.
    pivot: u128,
}

/// Makes what is lost of one stream out of its repair packets.
///
/// It makes up nothing: a packet comes out if what came determines it. Work for a packet is bounded by the
/// number of repair packets kept, and memory by theirs and that of the packets remembered.
#[derive(Debug)]
pub struct FlexFecDecoder {
    ssrc: u32,
    unwrapper: SequenceUnwrapper,
    packets: Box<[Option<(i64, ProtectedPacket)>]>,
    repairs: VecDeque<Repair>,
    counters: FlexFecCounters,
}

impl FlexFecDecoder {
    /// A decoder for the packets of `ssrc`.
    pub fn new(ssrc: u32) -> Self {
        FlexFecDecoder {
            ssrc,
            unwrapper: SequenceUnwrapper::new(),
            packets: vec![None; REMEMBERED].into_boxed_slice(),
            repairs: VecDeque::new(),
            counters: FlexFecCounters::default(),
        }
    }

    /// What became of repair packets so far.
    pub fn counters(&self) -> FlexFecCounters {
        self.counters
    }

    /// A packet of the stream came, by whichever way. Returns the packets that can be made now, as they are
    /// on the wire.
    pub fn on_packet(&mut self, packet: ProtectedPacket) -> Vec<Bytes> {
        let number = self.unwrapper.unwrap(packet.sequence_number());
        if !self.remember(number, packet) {
            return Vec::new();
        }
        let waits = |repair: &&Repair| repair.covers(number);
        match self.repairs.iter().find(waits).map(|repair| repair.base) {
            Some(base) => self.solve(base),
            None => Vec::new(),
        }
    }

    /// A repair packet came. Returns the packets that can be made now, as they are on the wire.
    ///
    /// # Errors
    /// It is none, or of another stream: it is passed over.
    pub fn on_repair(&mut self, payload: &Bytes) -> Result<Vec<Bytes>, FlexFecError> {
        self.counters.received += 1;
        let parsed = FlexFecHeader::parse(payload).and_then(|(header, rest)| {
            match header.ssrc == self.ssrc {
                true => Ok((header, rest)),
                false => Err(FlexFecError::OtherKind),
            }
        });
        let (header, rest) = parsed.inspect_err(|_| self.counters.discarded += 1)?;
        if self.unwrapper.highest().is_none() {
            // Nothing that it protects could be told from what was never sent.
            self.counters.discarded += 1;
            return Ok(Vec::new());
        }
        let base = self.unwrapper.peek(header.base);
        self.repairs.push_back(Repair {
            header,
            base,
            rest,
            used: false,
        });
        if self.repairs.len() > KEPT {
            let oldest = self.repairs.pop_front();
            self.counters.discarded += u64::from(oldest.is_some_and(|oldest| !oldest.used));
        }
        Ok(self.solve(base))
    }

    /// How many repair packets wait.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.repairs.len()
    }

    /// False if it is there already, or too old.
    fn remember(&mut self, number: i64, packet: ProtectedPacket) -> bool {
        let slot = &mut self.packets[number.rem_euclid(REMEMBERED as i64) as usize];
        if slot.as_ref().is_some_and(|(there, _)| *there >= number) {
            return false;
        }
        *slot = Some((number, packet));
        true
    }

    fn packet(&self, number: i64) -> Option<&ProtectedPacket> {
        let slot = &self.packets[number.rem_euclid(REMEMBERED as i64) as usize];
        let (there, packet) = slot.as_ref()?;
        (*there == number).then_some(packet)
    }

    /// Whether a packet of that number would still be remembered.
    fn is_recent(&self, number: i64) -> bool {
        let highest = self.unwrapper.highest().unwrap_or(number);
        // What is far ahead was not protected by what has come.
        (highest - REMEMBERED as i64 / 2..=highest + REMEMBERED as i64 / 2).contains(&number)
    }

    /// Makes what can be made of the repair packets about `base`, and of what that makes possible.
    fn solve(&mut self, base: i64) -> Vec<Bytes> {
        let mut made = Vec::new();
        loop {
            self.drop_useless();
            let before = made.len();
            for (number, packet) in self.solve_window(base - BEFORE) {
                let wire = [&packet.head[..], &packet.payload[..]].concat();
                self.unwrapper.unwrap(packet.sequence_number());
                if self.remember(number, packet) {
                    self.counters.recovered += 1;
                    made.push(wire.into());
                }
            }
            if made.len() == before {
                return made;
            }
        }
    }

    /// Forgets repair packets of which nothing is missing, or something that cannot come any more.
    fn drop_useless(&mut self) {
        let useful = |repair: &Repair| {
            let of_mask = places(repair.header.mask).map(|place| repair.base + place);
            let mut missing = of_mask.filter(|number| self.packet(*number).is_none());
            let first = missing.next();
            first.is_some() && first.into_iter().chain(missing).all(|n| self.is_recent(n))
        };
        let kept: Vec<bool> = self.repairs.iter().map(useful).collect();
        let mut at = 0;
        self.repairs.retain(|repair| {
            let keep = kept.get(at).copied().unwrap_or(false);
            at += 1;
            self.counters.discarded += u64::from(!keep && !repair.used);
            keep
        });
    }

    /// The packets that the repair packets of a window of 128 numbers from `first` on determine.
    fn solve_window(&mut self, first: i64) -> Vec<(i64, ProtectedPacket)> {
        let mut equations: Vec<Equation> = Vec::new();
        for (at, repair) in self.repairs.iter().enumerate() {
            let Some(mask) = repair.within(first) else {
                continue;
            };
            let missing = places(mask).filter(|place| self.packet(first + place).is_none());
            let mut equation = Equation {
                missing: missing.fold(0, |missing, place| missing | 1 << place),
                repairs: 1 << at,
                pivot: 0,
            };
            for before in &equations {
                equation.reduce_by(before);
            }
            if equation.missing == 0 {
                continue;
            }
            equation.pivot = 1 << equation.missing.trailing_zeros();
            for before in &mut equations {
                before.reduce_by(&equation);
            }
            equations.push(equation);
        }
        equations.retain(|equation| equation.missing.count_ones() == 1);
        let mut made = Vec::with_capacity(equations.len());
        for Equation {
            missing, repairs, ..
        } in equations
        {
            let number = first + i64::from(missing.trailing_zeros());
            if let Some(packet) = self.make(first, number, repairs) {
                made.push((number, packet));
                for (at, repair) in self.repairs.iter_mut().enumerate() {
                    repair.used |= repairs >> at & 1 == 1;
                }
            }
        }
        made
    }

    /// The packet `number`: what some repair packets of the window from `first` on add up to, less what they
    /// say of packets that are there. What else is missing cancels out.
    fn make(&self, first: i64, number: i64, repairs: u64) -> Option<ProtectedPacket> {
        let taken = || {
            let all = self.repairs.iter().enumerate();
            all.filter(|(at, _)| repairs >> at & 1 == 1)
                .map(|(_, repair)| repair)
        };
        let longest = taken().map(|repair| repair.rest.len()).max()?;
        let (mut fields, mut rest, mut mask) = ([0; 8], vec![0; longest], 0u128);
        for repair in taken() {
            xor(&mut fields, &repair.header.fields);
            xor(&mut rest, &repair.rest);
            mask ^= repair.within(first)?;
        }
        let there = places(mask).filter_map(|place| self.packet(first + place));
        there.for_each(|packet| packet.add_to(&mut fields, &mut rest));
        let length = usize::from(u16::from_be_bytes([fields[2], fields[3]]));
        // Unless it was made of other packets than came.
        let rest = Bytes::from(rest);
        let payload = (length <= longest).then(|| rest.slice(..length))?;
        let mut head = [0; FIXED_HEADER];
        head[..8].copy_from_slice(&fields);
        // The version of RTP.
        head[0] = fields[0] & 0x3f | 0x80;
        head[2..4].copy_from_slice(&(number.rem_euclid(1 << 16) as u16).to_be_bytes());
        head[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        ProtectedPacket::new(Bytes::copy_from_slice(&head), payload)
    }
}

impl Repair {
    fn covers(&self, number: i64) -> bool {
        let place = number - self.base;
        (0..i64::from(FlexFecHeader::PLACES)).contains(&place) && self.header.mask >> place & 1 == 1
    }

    /// Its mask in a window of 128 numbers from `first` on; `None` if not all of it lies there.
    fn within(&self, first: i64) -> Option<u128> {
        let shift = self.base - first;
        let fits = (0..=i64::from(self.header.mask.leading_zeros())).contains(&shift);
        // Below 128: a mask is not empty.
        fits.then(|| self.header.mask << shift)
    }
}

impl Equation {
    /// Takes the other's own packet out.
    fn reduce_by(&mut self, other: &Equation) {
        if self.missing & other.pivot != 0 {
            self.missing ^= other.missing;
            self.repairs ^= other.repairs;
        }
    }
}

/// The places of a mask.
fn places(mut mask: u128) -> impl Iterator<Item = i64> {
    std::iter::from_fn(move || {
        let place = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(i64::from(place))
    })
}
