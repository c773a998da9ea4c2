//! Several senders through one bottleneck: of a call only what congestion control meets. Pictures of
//! varying size that a pacer lets out, sound between them, reports of what arrived. A hundred seconds run
//! in some hundredths of one, so that a hundred runs can be looked at.

use super::*;
use crate::rng::Rng;
use crate::sim::{CubicWindow, Jitter, Link, LinkConfig};
use std::collections::VecDeque;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);
const REPORT_EVERY: i64 = 50;
const PICTURE_EVERY: Duration = Duration::from_micros(33_333);
const SOUND_EVERY: Duration = Duration::from_millis(20);
const HEADERS: usize = 50;
const PAYLOAD: usize = 1_150;
/// Of the pacer.
const BURST: Duration = Duration::from_millis(40);
const ROOM: f64 = 0.06;
const TCP_PACKET: usize = 1_500;

/// Whose packet it is.
#[derive(Debug, Clone, Copy)]
enum Of {
    Call { id: usize, number: usize },
    Tcp(u64),
}

/// Calls, and a transfer by TCP if there is one, that share a link.
pub(super) struct Crowd {
    pub(super) now: MediaTime,
    link: Link<Of>,
    way: Duration,
    jitter: Jitter,
    calls: Vec<Sender>,
    tcp: Option<Tcp>,
    rng: Rng,
}

#[derive(Default)]
struct Tcp {
    window: CubicWindow,
    acks: VecDeque<(MediaTime, u64)>,
    arrived: usize,
}

struct Sender {
    controller: CongestionController,
    /// Its way is longer than the link's, there and back.
    farther: Duration,
    pictures: Pictures,
    next_sound: MediaTime,
    /// What waits in the pacer, and when the next may leave.
    waiting: VecDeque<usize>,
    due: MediaTime,
    /// What left and was not reported on, from the number `reported` on.
    sent: VecDeque<PacketResult>,
    reported: usize,
    /// What has come through the link, with the time when it is there.
    coming: VecDeque<(MediaTime, usize)>,
    /// What is below this number has come or is lost.
    come: usize,
    /// Reports are made at this millisecond of their interval.
    phase: i64,
    reports: VecDeque<(MediaTime, Vec<PacketResult>)>,
    /// When, how many bytes, and what it waited.
    arrived: Vec<(MediaTime, usize, Duration)>,
}

/// An encoder that keeps to its rate on the average.
struct Pictures {
    enabled: bool,
    next: MediaTime,
    /// What it is told, and what it comes to have: it falls slower than it is told to.
    rate: f64,
    has: f64,
    too_many_bits: f64,
    rng: Rng,
}

pub(super) fn bottleneck(kbps: u64, way: Duration) -> LinkConfig {
    LinkConfig {
        rate_bps: Some(kbps * 1_000),
        queue_bytes: usize::try_from(kbps * 1_000 / 8 * 300 / 1_000).unwrap_or(0),
        delay: way,
        ..Default::default()
    }
}

impl Crowd {
    pub(super) fn new(kbps: u64, way: Duration, seed: u64) -> Crowd {
        Crowd {
            now: MediaTime::ZERO,
            link: Link::new(bottleneck(kbps, way), seed),
            way,
            jitter: Jitter::None,
            calls: Vec::new(),
            tcp: None,
            rng: Rng::new(seed),
        }
    }

    pub(super) fn set_kbps(&mut self, kbps: u64) {
        self.link.set_config(LinkConfig {
            jitter: self.jitter,
            ..bottleneck(kbps, self.way)
        });
    }

    pub(super) fn set_jitter(&mut self, jitter: Jitter) {
        self.jitter = jitter;
        self.link.set_config(LinkConfig {
            jitter,
            ..self.link.config().clone()
        });
    }

    /// Another call begins, whose way takes so much more.
    pub(super) fn call(&mut self, farther: Duration) {
        let mut within = |span: Duration| self.now + span.mul_f64(self.rng.unit());
        let (picture, next_sound) = (within(PICTURE_EVERY), within(SOUND_EVERY));
        self.calls.push(Sender {
            controller: CongestionController::new(CongestionConfig {
                start: 1_000_000.0,
                min: 60_000.0,
                max: 4_000_000.0,
            }),
            farther,
            pictures: Pictures {
                enabled: true,
                next: picture,
                rate: 0.0,
                has: 0.0,
                too_many_bits: 0.0,
                rng: Rng::new(self.rng.next_u64()),
            },
            next_sound,
            waiting: VecDeque::new(),
            due: self.now,
            sent: VecDeque::new(),
            reported: 0,
            coming: VecDeque::new(),
            come: 0,
            phase: (self.rng.unit() * REPORT_EVERY as f64) as i64,
            reports: VecDeque::new(),
            arrived: Vec::new(),
        });
    }

    /// A transfer begins that takes what it can get.
    pub(super) fn transfer(&mut self) {
        self.tcp = Some(Tcp::default());
    }

    pub(super) fn set_camera(&mut self, call: usize, enabled: bool) {
        self.calls[call].pictures.enabled = enabled;
    }

    /// Lets so much time pass, and says from when until when.
    pub(super) fn pass(&mut self, seconds: u64) -> (MediaTime, MediaTime) {
        let (from, until) = (self.now, self.now + Duration::from_secs(seconds));
        while self.now < until {
            self.tick();
        }
        (from, until)
    }

    /// Bits a second that each call had.
    pub(super) fn rates(&self, (from, until): (MediaTime, MediaTime)) -> Vec<f64> {
        let seconds = until.saturating_since(from).as_secs_f64();
        let rate = |call: &Sender| {
            let within = call
                .arrived
                .iter()
                .filter(|(at, ..)| (from..until).contains(at));
            within.map(|(_, bytes, _)| *bytes).sum::<usize>() as f64 * 8.0 / seconds
        };
        self.calls.iter().map(rate).collect()
    }

    /// The transfer's bytes so far.
    pub(super) fn transferred(&self) -> usize {
        self.tcp.as_ref().map_or(0, |tcp| tcp.arrived)
    }

    /// What calls' packets waited in the link, all but a twentieth of them at most.
    pub(super) fn queue(&self, (from, until): (MediaTime, MediaTime)) -> Duration {
        let all = self.calls.iter().flat_map(|call| &call.arrived);
        let within = all.filter(|(at, ..)| (from..until).contains(at));
        let mut waited: Vec<_> = within.map(|(.., waited)| *waited).collect();
        waited.sort_unstable();
        waited
            .get(waited.len() * 95 / 100)
            .copied()
            .unwrap_or_default()
    }

    fn tick(&mut self) {
        let now = self.now;
        if let Some(tcp) = &mut self.tcp {
            let numbers = tcp.leave(now).into_iter();
            numbers.for_each(|number| self.link.send(Of::Tcp(number), TCP_PACKET, now));
        }
        for (id, call) in self.calls.iter_mut().enumerate() {
            for bytes in call.leave(now) {
                let number = call.reported + call.sent.len();
                call.sent.push_back(PacketResult {
                    departure: now,
                    arrival: None,
                    bytes,
                });
                self.link.send(Of::Call { id, number }, bytes, now);
            }
        }
        while let Some((at, of)) = self.link.poll(now) {
            match (of, &mut self.tcp) {
                (Of::Call { id, number }, _) => self.calls[id].on_arrival(number, at, self.way),
                (Of::Tcp(number), Some(tcp)) => {
                    tcp.arrived += TCP_PACKET;
                    tcp.acks.push_back((at + self.way, number));
                }
                (Of::Tcp(_), None) => {}
            }
        }
        for call in &mut self.calls {
            call.report(now, self.way);
        }
        self.now += TICK;
    }
}

impl Tcp {
    /// The numbers of the packets that leave now.
    fn leave(&mut self, now: MediaTime) -> Vec<u64> {
        while let Some((at, number)) = self.acks.front().copied()
            && at <= now
        {
            self.acks.pop_front();
            self.window.on_ack(number, now);
        }
        if self.window.timeout() <= now {
            self.window.on_timeout();
        }
        let mut numbers = Vec::new();
        while self.window.has_room() {
            numbers.push(self.window.fly(now));
        }
        numbers
    }
}

impl Sender {
    /// The sizes of the packets that leave now.
    fn leave(&mut self, now: MediaTime) -> Vec<usize> {
        let target = self.controller.target();
        let usable = target * (0.92 - self.controller.loss().min(0.3));
        let sound = (usable / 10.0).clamp(16_000.0, 48_000.0);
        let pace = self.controller.pace() / 8.0;
        let mut sizes = Vec::new();
        while self.next_sound <= now {
            self.next_sound += SOUND_EVERY;
            sizes.push((sound * SOUND_EVERY.as_secs_f64() / 8.0) as usize + HEADERS);
        }
        let waits = self.waiting.iter().sum::<usize>() as f64;
        if let Some(bytes) = self.pictures.next(usable - sound, waits < pace * ROOM, now) {
            let packets = bytes.div_ceil(PAYLOAD).max(1);
            let packet = bytes / packets + HEADERS;
            self.waiting.extend(std::iter::repeat_n(packet, packets));
        }
        while self.due <= now
            && let Some(bytes) = self.waiting.pop_front()
        {
            let from = self.due.max(now - BURST);
            self.due = from + Duration::from_secs_f64(bytes as f64 / pace);
            sizes.push(bytes);
        }
        sizes
    }

    fn on_arrival(&mut self, number: usize, at: MediaTime, way: Duration) {
        self.coming.push_back((at + self.farther, number));
        let packet = self.sent[number - self.reported];
        let took = at.saturating_since(packet.departure);
        self.arrived
            .push((at, packet.bytes, took.saturating_sub(way)));
    }

    /// What the other side does, and what comes back from it.
    fn report(&mut self, now: MediaTime, way: Duration) {
        while let Some((at, number)) = self.coming.front().copied()
            && at <= now
        {
            self.coming.pop_front();
            // By another clock, which ticks four times in a millisecond.
            let ticks = at.as_micros() / 250 + 4_000_000;
            self.sent[number - self.reported].arrival = Some(MediaTime::from_micros(ticks * 250));
            self.come = self.come.max(number + 1);
        }
        let due = (now.as_millis() + self.phase) % REPORT_EVERY == 0;
        if due && self.come > self.reported {
            let report = self.sent.drain(..self.come - self.reported).collect();
            self.reported = self.come;
            self.reports.push_back((now + way + self.farther, report));
        }
        while let Some((at, _)) = self.reports.front()
            && *at <= now
            && let Some((_, report)) = self.reports.pop_front()
        {
            self.controller.on_report(&report, now);
        }
        if self.controller.next_timeout().is_some_and(|due| due <= now) {
            self.controller.on_timeout(now);
        }
    }
}

impl Pictures {
    /// The next picture's bytes, if there is one now.
    fn next(&mut self, rate: f64, has_room: bool, now: MediaTime) -> Option<usize> {
        if self.next > now {
            return None;
        }
        self.next += PICTURE_EVERY;
        // As an encoder is told: down at once, up when it is worth it.
        if rate < self.rate || rate > self.rate * 1.05 {
            self.rate = rate.max(40_000.0);
        }
        self.has += (self.rate - self.has) * if self.rate < self.has { 0.15 } else { 1.0 };
        let usual = self.has * PICTURE_EVERY.as_secs_f64() / 8.0;
        if !self.enabled || !has_room {
            self.too_many_bits = (self.too_many_bits - usual).max(-3.0 * usual);
            return None;
        }
        let wanted = (usual - 0.15 * self.too_many_bits).max(0.3 * usual);
        // Some sums of twelve make a bell.
        let bell = (0..12).map(|_| self.rng.unit()).sum::<f64>() - 6.0;
        let cut = if self.rng.unit() < 0.004 { 2.5 } else { 1.0 };
        let bytes = wanted * (0.25 * bell).exp() * cut;
        self.too_many_bits += bytes - usual;
        Some(bytes as usize)
    }
}
