//! What packets that left close together show: a train that comes in as fast as it went out met a path
//! with room for that; one that was stretched tells the path's rate.

use super::PacketResult;
use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// Packets this near to each other are of one train.
const COUPLING: Duration = Duration::from_millis(8);
/// Fewer say little: the clocks at both ends tick in milliseconds.
const LEAST_PACKETS: usize = 3;
/// A train's way in takes this long at least, or its rate cannot be told.
const LEAST_TIME: Duration = Duration::from_millis(4);
/// So many trains have a say, for so long: jitter makes each of them longer or shorter by chance.
const REMEMBERED: usize = 11;
const VALID: Duration = Duration::from_millis(1_500);

#[derive(Debug, Default)]
pub(super) struct Trains {
    current: Option<Train>,
    /// When it was there, and bits a second that it showed.
    rates: VecDeque<(MediaTime, f64)>,
}

#[derive(Debug)]
struct Train {
    packets: usize,
    lost: bool,
    first_departure: MediaTime,
    last_departure: MediaTime,
    first_arrival: MediaTime,
    last_arrival: MediaTime,
    /// Without those of the first packet, which begins the intervals.
    bytes: usize,
}

impl Trains {
    /// Takes in a packet, in the order of departure.
    pub(super) fn on_packet(&mut self, packet: &PacketResult, now: MediaTime) {
        let coupled = self.current.as_ref().is_some_and(|train| {
            packet.departure.saturating_since(train.last_departure) <= COUPLING
        });
        if !coupled {
            self.finish(now);
        }
        match (&mut self.current, packet.arrival) {
            (Some(train), None) => train.lost = true,
            (Some(train), Some(arrival)) => {
                train.packets += 1;
                train.bytes += packet.bytes;
                train.last_departure = train.last_departure.max(packet.departure);
                train.last_arrival = train.last_arrival.max(arrival);
            }
            (None, Some(arrival)) => {
                self.current = Some(Train {
                    packets: 1,
                    lost: false,
                    first_departure: packet.departure,
                    last_departure: packet.departure,
                    first_arrival: arrival,
                    last_arrival: arrival,
                    bytes: 0,
                });
            }
            (None, None) => {}
        }
    }

    /// What the path has shown of late, in bits a second: the median.
    pub(super) fn shown(&self, now: MediaTime) -> Option<f64> {
        let valid = |(at, _): &&(MediaTime, f64)| now.saturating_since(*at) <= VALID;
        let mut rates: Vec<f64> = self.rates.iter().filter(valid).map(|(_, r)| *r).collect();
        rates.sort_unstable_by(f64::total_cmp);
        // Of two the lower: it costs little to wait for a third.
        rates.get(rates.len().saturating_sub(1) / 2).copied()
    }

    pub(super) fn start_afresh(&mut self) {
        *self = Trains::default();
    }

    fn finish(&mut self, now: MediaTime) {
        let Some(train) = self.current.take() else {
            return;
        };
        let took = train.last_arrival.saturating_since(train.first_arrival);
        let sent = train.last_departure.saturating_since(train.first_departure);
        // A gap in it, and its length tells of what is missing.
        if train.packets < LEAST_PACKETS || train.lost || took.max(sent) < LEAST_TIME {
            return;
        }
        // Neither faster than it went out nor faster than it came in.
        let rate = train.bytes as f64 * 8.0 / took.max(sent).as_secs_f64();
        if self.rates.len() == REMEMBERED {
            self.rates.pop_front();
        }
        self.rates.push_back((now, rate));
    }
}
