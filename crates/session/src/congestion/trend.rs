//! Whether the queue on the path grows: the trend of one-way delays
//! ([draft-ietf-rmcat-gcc-02](https://datatracker.ietf.org/doc/html/draft-ietf-rmcat-gcc-02#section-5), with
//! a line through the last delays in place of the Kalman filter, as browsers have it).

use super::PacketResult;
use duet_media::MediaTime;
use std::collections::VecDeque;
use std::time::Duration;

/// Packets that leave within this are one group.
const BURST: Duration = Duration::from_millis(5);
/// A group's arrivals may be bunched by the path; what comes within this of its predecessor joins it.
const BUNCH: Duration = Duration::from_millis(5);
const LONGEST_BUNCH: Duration = Duration::from_millis(100);
/// Groups that the line goes through.
const WINDOW: usize = 20;
const SMOOTHING: f64 = 0.9;
const GAIN: f64 = 4.0;
/// The trend counts for more the more is known, up to so many groups.
const MOST_DELTAS: f64 = 60.0;
/// Milliseconds.
const FIRST_THRESHOLD: f64 = 12.5;
const THRESHOLDS: (f64, f64) = (6.0, 600.0);
/// A trend so much beyond the threshold is a jump, to which the threshold does not adapt.
const JUMP: f64 = 15.0;
const ADAPT_UP: f64 = 0.0087;
const ADAPT_DOWN: f64 = 0.039;
/// Overuse that lasts for less is noise.
const OVERUSE_TIME: Duration = Duration::from_millis(10);

/// What the queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// It stays as it is.
    #[default]
    Normal,
    /// It grows.
    Over,
    /// It shrinks.
    Under,
}

#[derive(Debug)]
struct Group {
    first_departure: MediaTime,
    departure: MediaTime,
    first_arrival: MediaTime,
    arrival: MediaTime,
}

#[derive(Debug)]
pub(super) struct Trend {
    current: Option<Group>,
    before: Option<(MediaTime, MediaTime)>,
    /// Milliseconds: when a group arrived, and the smoothed delay then.
    line: VecDeque<(f64, f64)>,
    begun: Option<MediaTime>,
    accumulated: f64,
    smoothed: f64,
    deltas: f64,
    threshold: f64,
    adapted: Option<MediaTime>,
    last_trend: f64,
    over_for: Option<Duration>,
    over_count: u32,
    usage: Usage,
}

impl Trend {
    pub(super) fn new() -> Self {
        Trend {
            current: None,
            before: None,
            line: VecDeque::with_capacity(WINDOW),
            begun: None,
            accumulated: 0.0,
            smoothed: 0.0,
            deltas: 0.0,
            threshold: FIRST_THRESHOLD,
            adapted: None,
            last_trend: 0.0,
            over_for: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes in a packet that arrived. In the order of departure.
    pub(super) fn on_packet(&mut self, packet: &PacketResult, arrival: MediaTime) {
        let Some(group) = &mut self.current else {
            self.current = Some(Group::new(packet.departure, arrival));
            return;
        };
        // Overtaken: it says nothing about the queue.
        if packet.departure < group.first_departure {
            return;
        }
        if group.takes(packet.departure, arrival) {
            group.departure = group.departure.max(packet.departure);
            group.arrival = group.arrival.max(arrival);
            return;
        }
        let (departure, arrived) = (group.departure, group.arrival);
        if let Some((departure_before, arrival_before)) = self.before.replace((departure, arrived))
        {
            let sent = departure.nanos_since(departure_before) as f64 / 1e6;
            let came = arrived.nanos_since(arrival_before) as f64 / 1e6;
            // A receiver whose clock jumped back.
            if came >= 0.0 {
                self.on_delta(came - sent, sent, arrived);
            }
        }
        self.current = Some(Group::new(packet.departure, arrival));
    }

    fn on_delta(&mut self, delta: f64, sent: f64, arrived: MediaTime) {
        let begun = *self.begun.get_or_insert(arrived);
        self.deltas = (self.deltas + 1.0).min(1_000.0);
        self.accumulated += delta;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        if self.line.len() == WINDOW {
            self.line.pop_front();
        }
        let at = arrived.nanos_since(begun) as f64 / 1e6;
        self.line.push_back((at, self.smoothed));
        let slope = if self.line.len() == WINDOW {
            slope(&self.line).unwrap_or(self.last_trend)
        } else {
            0.0
        };
        self.detect(slope, sent, arrived);
    }

    fn detect(&mut self, slope: f64, sent: f64, now: MediaTime) {
        if self.deltas < 2.0 {
            return;
        }
        let trend = self.deltas.min(MOST_DELTAS) * slope * GAIN;
        if trend > self.threshold {
            let step = Duration::from_secs_f64((sent / 1e3).max(0.0));
            // The first time, the queue began to grow half an interval ago on the average.
            let over = self.over_for.map_or(step / 2, |over| over + step);
            self.over_for = Some(over);
            self.over_count += 1;
            if over > OVERUSE_TIME && self.over_count > 1 && slope >= self.last_trend {
                self.over_for = Some(Duration::ZERO);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = None;
            self.over_count = 0;
            self.usage = if trend < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.last_trend = slope;
        self.adapt(trend, now);
    }

    /// A path whose delays vary of themselves gets a threshold above that.
    fn adapt(&mut self, trend: f64, now: MediaTime) {
        let before = self.adapted.replace(now).unwrap_or(now);
        let size = trend.abs();
        if size > self.threshold + JUMP {
            return;
        }
        let speed = if size < self.threshold {
            ADAPT_DOWN
        } else {
            ADAPT_UP
        };
        let elapsed = (now.saturating_since(before).as_secs_f64() * 1e3).min(100.0);
        let moved = self.threshold + speed * (size - self.threshold) * elapsed;
        self.threshold = moved.clamp(THRESHOLDS.0, THRESHOLDS.1);
    }
}

impl Group {
    fn new(departure: MediaTime, arrival: MediaTime) -> Self {
        Group {
            first_departure: departure,
            departure,
            first_arrival: arrival,
            arrival,
        }
    }

    fn takes(&self, departure: MediaTime, arrival: MediaTime) -> bool {
        if departure.saturating_since(self.first_departure) <= BURST {
            return true;
        }
        // A path that gathers packets and lets them go together.
        let sent = departure.nanos_since(self.departure);
        let came = arrival.nanos_since(self.arrival);
        came.saturating_sub(sent) < 0
            && arrival.saturating_since(self.arrival) <= BUNCH
            && arrival.saturating_since(self.first_arrival) < LONGEST_BUNCH
    }
}

/// Of the line through the points with the least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        let from = point.0 - x;
        (above + from * (point.1 - y), below + from * from)
    });
    (below > 0.0).then(|| above / below)
}
