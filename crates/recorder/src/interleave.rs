//! Blocks of several tracks, put in the order of their times.

use crate::webm::Block;
use std::collections::VecDeque;
use std::time::Duration;

/// Merges tracks. A block goes out once every other track has shown that it has nothing older, or has
/// shown nothing for [`Interleaver::HOLD`] of the others' time: that is also what bounds it.
#[derive(Debug, Default)]
pub(crate) struct Interleaver {
    lanes: Vec<Lane>,
    newest: Duration,
}

#[derive(Debug, Default)]
struct Lane {
    blocks: VecDeque<Block>,
    ended: bool,
}

impl Interleaver {
    /// Longer than the encoders wait before they fill a gap themselves.
    const HOLD: Duration = Duration::from_millis(1_500);

    /// For so many tracks.
    pub(crate) fn new(tracks: usize) -> Self {
        Interleaver {
            lanes: (0..tracks).map(|_| Lane::default()).collect(),
            newest: Duration::ZERO,
        }
    }

    /// Takes a block, no older than its track's last.
    pub(crate) fn push(&mut self, block: Block) {
        self.newest = self.newest.max(block.time);
        if let Some(lane) = self.lanes.get_mut(block.track) {
            lane.blocks.push_back(block);
        }
    }

    /// There will be no more of that track.
    pub(crate) fn end(&mut self, track: usize) {
        if let Some(lane) = self.lanes.get_mut(track) {
            lane.ended = true;
        }
    }

    /// The block that is next, if that is certain.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        let heads = self.lanes.iter().filter_map(|lane| lane.blocks.front());
        let oldest = heads.min_by_key(|block| block.time)?;
        let (track, time) = (oldest.track, oldest.time);
        let all_shown = self
            .lanes
            .iter()
            .all(|lane| lane.ended || !lane.blocks.is_empty());
        let held = self.newest.saturating_sub(time) >= Self::HOLD;
        match all_shown || held {
            true => self.lanes[track].blocks.pop_front(),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(track: usize, millis: u64) -> Block {
        Block {
            track,
            time: Duration::from_millis(millis),
            duration: Duration::ZERO,
            key_frame: true,
            data: bytes::Bytes::new(),
        }
    }

    fn order(interleaver: &mut Interleaver) -> Vec<(usize, u128)> {
        std::iter::from_fn(|| interleaver.pop())
            .map(|block| (block.track, block.time.as_millis()))
            .collect()
    }

    #[test]
    fn blocks_come_in_order_and_wait_for_the_other_track() {
        let mut interleaver = Interleaver::new(2);
        for block in [block(0, 0), block(0, 33), block(1, 20)] {
            interleaver.push(block);
        }
        assert_eq!(order(&mut interleaver), [(0, 0), (1, 20)]);
        interleaver.push(block(1, 40));
        assert_eq!(order(&mut interleaver), [(0, 33)]);
        interleaver.end(0);
        assert_eq!(order(&mut interleaver), [(1, 40)]);
    }

    #[test]
    fn a_track_that_shows_nothing_is_not_waited_for_for_ever() {
        let mut interleaver = Interleaver::new(2);
        (0..=20).for_each(|n| interleaver.push(block(0, n * 100)));
        let out = order(&mut interleaver);
        assert_eq!(out.first(), Some(&(0, 0)));
        assert_eq!(out.last(), Some(&(0, 500)));
    }
}
