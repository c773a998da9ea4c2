//! How long the queue on the path is: what one-way delays have beyond the least of late.

use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// The least delay is that of the path alone only if it is seen now and then. It is searched in so many
/// stretches of so long: a path that changed, or clocks that drift, are known after that.
const STRETCH: Duration = Duration::from_secs(5);
const STRETCHES: usize = 6;
/// A queue stands if everything of this long waited. Pictures of others that come just before ours do not
/// make one, nor does jitter: of the packets of some reports one was hardly delayed.
const STANDS: Duration = Duration::from_millis(120);
/// However often the other side reports.
const MOST_RECENT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Nanoseconds between two clocks: the least of each stretch, oldest first.
    least: VecDeque<(MediaTime, i64)>,
    /// What was waited at least, by report, within [`STANDS`].
    recent: VecDeque<(MediaTime, Duration)>,
}

impl Queue {
    /// Takes in a report's packets, as (departure, arrival), that came by `now`. What counts is the
    /// fastest: the others may have waited for each other.
    pub(super) fn on_report(
        &mut self,
        packets: impl Iterator<Item = (MediaTime, MediaTime)>,
        now: MediaTime,
    ) {
        let delays = packets.map(|(departure, arrival)| arrival.nanos_since(departure));
        let Some(fastest) = delays.min() else { return };
        match self.least.back_mut() {
            Some((begun, least)) if now.saturating_since(*begun) < STRETCH => {
                *least = fastest.min(*least);
            }
            _ => {
                if self.least.len() == STRETCHES {
                    self.least.pop_front();
                }
                self.least.push_back((now, fastest));
            }
        }
        let least = self.least.iter().map(|(_, least)| *least).min();
        let waited = fastest.saturating_sub(least.unwrap_or(fastest));
        let waited = Duration::from_nanos(u64::try_from(waited).unwrap_or(0));
        let over = |(at, _): &(MediaTime, Duration)| now.saturating_since(*at) > STANDS;
        while self.recent.front().is_some_and(over) || self.recent.len() == MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, waited));
    }

    /// What a packet waits on its way now.
    pub(super) fn wait(&self) -> Duration {
        self.recent.back().map_or(Duration::ZERO, |(_, w)| *w)
    }

    /// What every packet of late waited.
    pub(super) fn stands(&self) -> Duration {
        let waits = self.recent.iter().map(|(_, waited)| *waited);
        waits.min().unwrap_or_default()
    }

    /// The path is another.
    pub(super) fn start_afresh(&mut self) {
        *self = Queue::default();
    }
}
