//! The packets that a [`VideoJitterBuffer`](super::VideoJitterBuffer) holds, by their place in the
//! stream, and what frames they make. Knows no time and waits for nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use duet_media::MediaTime;

use crate::Vp8Descriptor;
use crate::vp8_payload::is_key_frame;

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) timestamp: i64,
    pub(super) arrival: MediaTime,
    pub(super) marker: bool,
    /// It came after a later one.
    pub(super) recovered: bool,
    pub(super) part: Part,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Padding,
    Frame {
        descriptor: Vp8Descriptor,
        data: Bytes,
    },
}

/// What stands at a place in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// A frame, up to and with this number.
    Whole(i64),
    /// This number is missing.
    Missing(i64),
    /// Something that is no frame, up to but without this number.
    Broken(i64),
}

/// A frame taken out of the store.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) data: Bytes,
    pub(super) head: Vp8Descriptor,
    pub(super) key_frame: bool,
    pub(super) timestamp: i64,
    pub(super) first_arrival: MediaTime,
    pub(super) complete_at: MediaTime,
    /// When the last of those came that were not recovered.
    pub(super) prompt_at: Option<MediaTime>,
    pub(super) recovered: bool,
    pub(super) packets: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct PacketStore {
    slots: BTreeMap<i64, Slot>,
    bytes: usize,
    /// Where key frames begin.
    key_starts: BTreeSet<i64>,
}

impl PacketStore {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, number: i64) -> bool {
        self.slots.contains_key(&number)
    }

    pub(super) fn first_number(&self) -> Option<i64> {
        self.slots.keys().next().copied()
    }

    /// One past the last number held.
    pub(super) fn end(&self) -> Option<i64> {
        self.slots.keys().next_back().map(|last| last + 1)
    }

    /// What is held from `number` on, in order.
    pub(super) fn from(&self, number: i64) -> impl Iterator<Item = (i64, &Slot)> {
        self.slots
            .range(number..)
            .map(|(number, slot)| (*number, slot))
    }

    pub(super) fn first_key_start(&self) -> Option<i64> {
        self.key_starts.first().copied()
    }

    pub(super) fn insert(&mut self, number: i64, slot: Slot) {
        self.bytes += slot.len();
        if let Part::Frame { descriptor, data } = &slot.part
            && descriptor.is_frame_start()
            && is_key_frame(data)
        {
            self.key_starts.insert(number);
        }
        self.slots.insert(number, slot);
    }

    /// Removes padding at `number`; false if there is something else.
    pub(super) fn remove_padding(&mut self, number: i64) -> bool {
        let padding =
            matches!(self.slots.get(&number), Some(slot) if matches!(slot.part, Part::Padding));
        if padding {
            self.slots.remove(&number);
        }
        padding
    }

    /// Drops all before `number`, and says how many that were.
    pub(super) fn drop_before(&mut self, number: i64) -> usize {
        let mut dropped = 0;
        while self.pop_before(number).is_some() {
            dropped += 1;
        }
        dropped
    }

    /// What stands at `start`.
    pub(super) fn walk(&self, start: i64) -> Walk {
        let mut timestamp = None;
        let mut expected = start;
        for (number, slot) in self.from(start) {
            if number != expected {
                return Walk::Missing(expected);
            }
            expected += 1;
            let Part::Frame { descriptor, .. } = &slot.part else {
                continue; // Padding within a frame.
            };
            let begins = descriptor.is_frame_start();
            match timestamp {
                None if !begins => return Walk::Broken(number + 1),
                None => timestamp = Some(slot.timestamp),
                // The next frame begins and the marker was not set.
                Some(_) if begins => return Walk::Whole(number - 1),
                Some(timestamp) if timestamp != slot.timestamp => return Walk::Broken(number),
                Some(_) => {}
            }
            if slot.marker {
                return Walk::Whole(number);
            }
        }
        Walk::Missing(expected)
    }

    /// The first key frame that is whole: where it begins and ends.
    pub(super) fn whole_key_frame(&self) -> Option<(i64, i64)> {
        self.key_starts
            .iter()
            .find_map(|&start| match self.walk(start) {
                Walk::Whole(end) => Some((start, end)),
                Walk::Missing(_) | Walk::Broken(_) => None,
            })
    }

    /// When the last packet of the newest key frame came, whole or not.
    pub(super) fn newest_key_frame_arrival(&self) -> Option<MediaTime> {
        let start = *self.key_starts.last()?;
        let timestamp = self.slots.get(&start)?.timestamp;
        let of_it = |(_, slot): &(i64, &Slot)| slot.timestamp == timestamp;
        self.from(start)
            .filter(of_it)
            .map(|(_, slot)| slot.arrival)
            .max()
    }

    /// Takes out the frame that ends at `end` and begins with the first packet held. Its data is not
    /// copied if it came in one packet.
    pub(super) fn take(&mut self, end: i64) -> Option<Taken> {
        let start = self.first_number()?;
        let key_frame = self.key_starts.contains(&start);
        let first = self.pop_before(end + 1)?;
        let Part::Frame { descriptor, data } = first.part else {
            return None;
        };
        let mut taken = Taken {
            data,
            head: descriptor,
            key_frame,
            timestamp: first.timestamp,
            first_arrival: first.arrival,
            complete_at: first.arrival,
            prompt_at: (!first.recovered).then_some(first.arrival),
            recovered: first.recovered,
            packets: 1,
        };
        let rest: usize = self.slots.range(..=end).map(|(_, slot)| slot.len()).sum();
        let mut whole = BytesMut::new();
        if rest > 0 {
            whole.reserve(taken.data.len() + rest);
            whole.extend_from_slice(&taken.data);
        }
        while let Some(slot) = self.pop_before(end + 1) {
            taken.first_arrival = taken.first_arrival.min(slot.arrival);
            taken.complete_at = taken.complete_at.max(slot.arrival);
            taken.recovered |= slot.recovered;
            if !slot.recovered {
                taken.prompt_at = taken.prompt_at.max(Some(slot.arrival));
            }
            taken.packets += 1;
            if let Part::Frame { data, .. } = slot.part {
                whole.extend_from_slice(&data);
            }
        }
        if rest > 0 {
            taken.data = whole.freeze();
        }
        Some(taken)
    }

    fn pop_before(&mut self, number: i64) -> Option<Slot> {
        let first = self
            .slots
            .first_entry()
            .filter(|first| *first.key() < number)?;
        self.key_starts.remove(first.key());
        let slot = first.remove();
        self.bytes -= slot.len();
        Some(slot)
    }
}

impl Slot {
    fn len(&self) -> usize {
        match &self.part {
            Part::Padding => 0,
            Part::Frame { data, .. } => data.len(),
        }
    }
}
