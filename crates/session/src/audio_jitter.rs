//! The audio jitter buffer: packets in as the network brings them, 10 ms of sound out whenever the
//! speaker asks.
//!
//! [`AudioJitterBuffer`] decides and [`AudioPlayout`] carries out, with a decoder behind
//! [`AudioDecode`]. Everything hangs on one number, the *delay*: how much later a sample is played
//! than it would be if every packet came as fast as the fastest and were played at once. The target
//! is what 97 of 100 recent packets stay within, plus one block; sound is shortened or lengthened by
//! pitch periods until the smallest delay of the last pulls meets it. Late threads, a speaker that
//! asks in bursts and a sender whose clock drifts all show in that number and need no case of their
//! own.
//!
//! What it is not: it reads no clock, knows no codec, and mixes nothing. One buffer serves one
//! stream at the 48 kHz RTP clock of [RFC 7587](https://www.rfc-editor.org/rfc/rfc7587#section-4.1).

mod action;
mod copies;
mod delay;
mod gaps;
mod opus;
mod playout;
mod stats;
mod stretch;
#[cfg(test)]
mod tests;

pub use action::AudioAction;
pub use opus::opus_has_fec;
pub use playout::{AudioDecode, AudioPlayout, PlayoutBlock, PlayoutKind};
pub use stats::AudioJitterStats;

use crate::{ClockRate, RtpPacket, SequenceUnwrapper, TimestampUnwrapper};
use bytes::Bytes;
use delay::DelayEstimator;
use duet_media::MediaTime;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Samples a channel of one block: 10 ms.
pub const BLOCK_FRAMES: usize = 480;

/// Reorders packets and decides, block by block, what is to be played.
///
/// Capacity: [`CAPACITY`](Self::CAPACITY) packets. When it is full the oldest is given up and counted
/// in [`AudioJitterStats::packets_discarded`].
#[derive(Debug)]
pub struct AudioJitterBuffer {
    packets: BTreeMap<i64, Held>,
    ssrc: Option<u32>,
    sequence: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    delays: DelayEstimator,
    state: State,
    /// RTP time of the end of what was decoded or made up.
    position: Option<i64>,
    /// How much of the end was made up with nothing known to follow: a late packet may still have it.
    ahead: i64,
    last_sequence: Option<i64>,
    /// Which of the 64 packets up to the last one were played; and which of them by a copy, while they
    /// have not come themselves.
    played: u64,
    by_copy: u64,
    packet_frames: usize,
    /// Samples made up in a row.
    concealed: usize,
    after_quiet: After,
    seam: bool,
    /// Share of packets that are lost, smoothed.
    loss: f64,
    /// Packets until the stream no longer counts as one that carries copies.
    fec_lately: u32,
    /// How far back whole copies reach, in samples, and packets until that is forgotten.
    copies: (i64, u32),
    /// The delays at the last pulls, in nanoseconds. Capacity: `RECENT`; the oldest is forgotten.
    recent: VecDeque<i64>,
    /// Pulls until stretching is allowed again.
    rest: u32,
    /// Attempts left to bring the delay down to the target, once it was too far above.
    catching_up: u32,
    min_delay: Duration,
    stats: AudioJitterStats,
}

#[derive(Debug)]
struct Held {
    sequence: i64,
    payload: Bytes,
    arrival: MediaTime,
    /// It came within a later packet, and did not come itself so far.
    copy: bool,
}

/// Why nothing is playing, or that something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was played yet, or the stream began anew.
    Starting,
    Playing,
    /// The other side said that it is silent (discontinuous transmission).
    Comfort,
    /// It was as good as silent, then nothing came. Whether that was loss, the next packet tells;
    /// until then so many samples are in doubt.
    Doubt(u64),
    /// Nothing came for so long that making up has faded to silence.
    Lost,
}

/// What the last packet was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Sound,
    Quiet,
    /// A packet that announces discontinuous transmission.
    Announcement,
}

/// Sound is taken in blocks, so a packet may be wanted up to one block before its first sample is due;
/// and the delay may be short of the target by `TOLERATED_DEFICIT`. A millisecond is left over: where the
/// sender's clock is slow, the packet that just came is later than all that were measured.
const MARGIN: i64 = 15 * MILLI;
const MILLI: i64 = 1_000_000;
/// How far below and above the target the delay may be before sound is stretched.
const TOLERATED_DEFICIT: i64 = 4 * MILLI;
const TOLERATED_EXCESS: i64 = 10 * MILLI;
/// Once sound is shortened it is until so little is left, or so many attempts found nothing to leave
/// out.
const SETTLED_EXCESS: i64 = 4 * MILLI;
const ATTEMPTS: u32 = 10;
const URGENT: i64 = 60 * MILLI;
/// A packet overdue by so much is given up if another follows.
const HOPELESS: i64 = 400 * MILLI;
/// The same where nothing is playing, so that there is nothing to tear.
const HOPELESS_IDLE: i64 = 100 * MILLI;
/// Arrival and RTP time apart by so much more than before: another timeline.
const JUMP: i64 = 3_000 * MILLI;
const RECENT: usize = 16;
const FEC_MEMORY: u32 = 250;
/// More than this share of loss is remembered no longer.
const MOST_LOSS: f64 = 0.05;
/// An Opus packet of so many bytes announces silence.
const ANNOUNCEMENT_BYTES: usize = 2;
/// Making up has faded to silence after so many samples.
pub(crate) const CONCEAL_FADE: std::ops::Range<usize> = 1_920..7_680;

impl AudioJitterBuffer {
    /// How many packets it holds at most.
    pub const CAPACITY: usize = 512;
    /// The longest that sound is held back to even out the network.
    pub const MAX_TARGET: Duration = Duration::from_millis(500);
    /// The longest that [`set_min_delay`](Self::set_min_delay) can ask for.
    pub const MAX_MIN_DELAY: Duration = Duration::from_millis(1_500);

    /// An empty buffer.
    pub fn new() -> Self {
        AudioJitterBuffer {
            packets: BTreeMap::new(),
            ssrc: None,
            sequence: SequenceUnwrapper::new(),
            timestamps: TimestampUnwrapper::new(),
            delays: DelayEstimator::default(),
            state: State::Starting,
            position: None,
            ahead: 0,
            last_sequence: None,
            played: 0,
            by_copy: 0,
            packet_frames: 2 * BLOCK_FRAMES,
            concealed: 0,
            after_quiet: After::Sound,
            seam: false,
            loss: 0.0,
            fec_lately: 0,
            copies: (0, 0),
            recent: VecDeque::with_capacity(RECENT),
            rest: 0,
            catching_up: 0,
            min_delay: Duration::ZERO,
            stats: AudioJitterStats::default(),
        }
    }

    /// Takes a packet that arrived at `now`. One of another SSRC, or whose timestamp has nothing to do
    /// with those before, starts a new timeline.
    pub fn push(&mut self, packet: RtpPacket, now: MediaTime) {
        if packet.payload.is_empty() {
            return;
        }
        let timestamp = self.timestamps.peek(packet.timestamp);
        let silent_for_long = self.delays.expire(now);
        let jumped = self.delays.relative(timestamp, now).abs() > JUMP;
        let other = self.ssrc.is_some_and(|ssrc| ssrc != packet.ssrc);
        if other || silent_for_long || jumped {
            self.restart();
        }
        self.ssrc = Some(packet.ssrc);
        let timestamp = self.timestamps.unwrap(packet.timestamp);
        let sequence = self.sequence.unwrap(packet.sequence_number);
        if self.came_after_its_copy(sequence) {
            // Nothing is left to play of it, but it tells how late packets are.
            self.measure(timestamp, now);
            return;
        }
        let held = self.packets.get(&timestamp);
        if held.is_some_and(|held| !held.copy) || self.was_played(sequence) {
            self.stats.packets_duplicated += 1;
            return;
        }
        self.measure(timestamp, now);
        if self.floor().is_some_and(|floor| timestamp < floor) {
            self.stats.packets_discarded += 1;
            return;
        }
        if self.packets.len() == Self::CAPACITY {
            self.give_up_first();
        }
        self.hold(timestamp, sequence, packet.payload, now, false);
    }

    /// Takes note of how long a packet took. A faster one than all before moves what delays are measured by: those of
    /// the last pulls are by then as much longer as the target, and sound that is where it should be stays there.
    fn measure(&mut self, timestamp: i64, now: MediaTime) {
        let before = self.delays.expected(timestamp);
        self.delays.arrived(timestamp, now);
        let moved = before.nanos_since(self.delays.expected(timestamp));
        self.recent.iter_mut().for_each(|delay| *delay += moved);
    }

    fn hold(&mut self, at: i64, sequence: i64, payload: Bytes, arrival: MediaTime, copy: bool) {
        let held = Held {
            sequence,
            payload,
            arrival,
            copy,
        };
        self.packets.insert(at, held);
    }

    /// What to do at `now`, when `pending` samples a channel are decoded and not yet played. To be
    /// asked again until it says [`AudioAction::Play`].
    pub fn next(&mut self, now: MediaTime, pending: usize) -> AudioAction {
        if pending >= BLOCK_FRAMES {
            return self.stretch_or_play(now, pending);
        }
        while let Some((&timestamp, held)) = self.packets.first_key_value() {
            let overdue = self.overdue(timestamp, pending, now);
            let hopeless = match self.state {
                State::Playing => HOPELESS,
                _ => HOPELESS_IDLE,
            };
            let stale = self.floor().is_some_and(|floor| timestamp < floor);
            if stale || overdue > hopeless && self.packets.len() > 1 {
                self.give_up_first();
                continue;
            }
            if self.state != State::Playing {
                // Half a block early, or nearly so, is nearer than half a block late.
                if overdue > -TOLERATED_DEFICIT {
                    return self.take_first(pending, now);
                }
                break;
            }
            let gap = timestamp - self.position.unwrap_or(timestamp);
            if gap <= 0 {
                return self.take_first(pending, now);
            }
            if self.last_sequence == Some(held.sequence - 1) {
                // Nothing is missing but the sound itself.
                self.state = State::Comfort;
                continue;
            }
            return self.bridge(
                usize::try_from(gap).unwrap_or(usize::MAX),
                held.payload.clone(),
            );
        }
        if self.state == State::Playing {
            return self.starve();
        }
        self.pause()
    }

    /// A packet from [`AudioAction::Decode`] turned out to hold `frames` samples a channel; whether
    /// they are as good as silent, and whether it carries a copy of its predecessor.
    pub fn decoded(&mut self, frames: usize, quiet: bool, fec: bool) {
        self.position = self.position.map(|p| p.saturating_add(frames as i64));
        self.packet_frames = frames.max(1);
        // Only voiced packets carry copies.
        self.fec_lately = if fec {
            FEC_MEMORY
        } else {
            self.fec_lately.saturating_sub(1)
        };
        self.copies.1 = self.copies.1.saturating_sub(1);
        if quiet && self.after_quiet == After::Sound {
            self.after_quiet = After::Quiet;
        }
        self.stats.jitter_buffer_emitted_count += frames as u64;
    }

    /// A packet from [`AudioAction::Decode`] was refused. Returns how many samples a channel to make
    /// up for it.
    pub fn refused(&mut self) -> usize {
        let frames = self.packet_frames;
        self.stats.packets_corrupt += 1;
        self.position = self.position.map(|p| p.saturating_add(frames as i64));
        self.count_concealed(frames);
        frames
    }

    /// A stretch was tried; `change` samples a channel were added, or left out if it is negative.
    pub fn stretched(&mut self, change: i64) {
        let nanos = ClockRate::OPUS.nanos(change);
        self.recent.iter_mut().for_each(|delay| *delay += nanos);
        let samples = change.unsigned_abs();
        if change < 0 {
            self.stats.removed_samples_for_acceleration += samples;
        } else {
            self.stats.inserted_samples_for_deceleration += samples;
        }
    }

    /// Forgets the stream: the next packet starts a new one. The counters go on.
    pub fn reset(&mut self) {
        self.restart();
        self.ssrc = None;
    }

    /// Holds sound back for at least so long, up to [`MAX_MIN_DELAY`](Self::MAX_MIN_DELAY): the
    /// [`jitterBufferTarget`](https://www.w3.org/TR/webrtc/#dom-rtcrtpreceiver-jitterbuffertarget),
    /// or what [`LipSync`](crate::LipSync) asks for.
    pub fn set_min_delay(&mut self, delay: Duration) {
        self.min_delay = delay.min(Self::MAX_MIN_DELAY);
    }

    /// How long sound is to be held back now.
    pub fn target_delay(&self) -> Duration {
        Duration::from_nanos(self.target().unsigned_abs())
    }

    /// The same if [`set_min_delay`](Self::set_min_delay) had not asked for more.
    pub fn needed_delay(&self) -> Duration {
        Duration::from_nanos(self.needed().unsigned_abs())
    }

    /// When the sample of RTP time `timestamp` (unwrapped) would have come, had its packet been as fast
    /// as the fastest of late.
    pub fn earliest(&self, timestamp: i64) -> MediaTime {
        self.delays.expected(timestamp)
    }

    /// How long sound is held back in fact: the smallest delay of the last pulls. `None` while
    /// nothing plays.
    pub fn current_delay(&self) -> Option<Duration> {
        let nanos = self.recent.iter().copied().min()?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
    }

    /// What it has done so far.
    pub fn stats(&self) -> AudioJitterStats {
        self.stats
    }

    /// RTP time, unwrapped, of the next sample to be played when `pending` are decoded. `None` before
    /// the first.
    pub fn playing_at(&self, pending: usize) -> Option<i64> {
        Some(self.position? - pending as i64)
    }

    fn restart(&mut self) {
        self.stats.packets_discarded += self.packets.len() as u64;
        self.packets.clear();
        self.sequence.reset();
        self.delays.clear();
        self.recent.clear();
        self.state = State::Starting;
        (self.position, self.last_sequence) = (None, None);
        (self.played, self.by_copy) = (0, 0);
        (self.ahead, self.concealed) = (0, 0);
        self.seam = true;
    }

    /// Everything before this RTP time has been played or given up.
    fn floor(&self) -> Option<i64> {
        Some(self.position? - self.ahead)
    }

    fn target(&self) -> i64 {
        self.needed().max(nanos(self.min_delay))
    }

    fn needed(&self) -> i64 {
        let patience = self.patience();
        let needed = self.delays.spread() + MARGIN + patience;
        needed.clamp(MARGIN, nanos(Self::MAX_TARGET))
    }

    /// How long ago the packet of `timestamp` should have begun to play, in nanoseconds.
    fn overdue(&self, timestamp: i64, pending: usize, now: MediaTime) -> i64 {
        self.delays.relative(timestamp, now) + ClockRate::OPUS.nanos(pending as i64) - self.target()
    }

    fn give_up_first(&mut self) {
        if self.packets.pop_first().is_some() {
            self.stats.packets_discarded += 1;
            self.seam = true;
        }
    }

    fn take_first(&mut self, pending: usize, now: MediaTime) -> AudioAction {
        let Some((timestamp, held)) = self.packets.pop_first() else {
            return self.pause();
        };
        let lost = match self.last_sequence {
            Some(last) if held.sequence > last => held.sequence - last - 1,
            _ => 0,
        };
        // A packet that only its copy stands in for was lost all the same.
        let lost = lost + i64::from(held.copy);
        self.loss += (lost.min(50) as f64 / (lost.min(50) + 1) as f64 - self.loss) / 100.0;
        self.loss = self.loss.min(MOST_LOSS);
        if let State::Doubt(samples) = self.state
            && lost > i64::from(held.copy)
        {
            self.stats.concealed_samples += samples;
            self.stats.silent_concealed_samples += samples;
            self.stats.concealment_events += 1;
        }
        let advance = held.sequence - self.last_sequence.unwrap_or(held.sequence - 1);
        let note = |mask: u64, bit: bool| match advance {
            1..64 => mask << advance | u64::from(bit),
            64.. => u64::from(bit),
            back => {
                let bit = u64::from(bit).checked_shl(back.unsigned_abs() as u32);
                mask | bit.unwrap_or(0)
            }
        };
        self.by_copy = note(self.by_copy, held.copy);
        self.played = note(self.played, true);
        self.last_sequence = self.last_sequence.max(Some(held.sequence));
        if self.state != State::Playing {
            self.recent.clear();
            self.state = State::Playing;
            self.seam = true;
        }
        self.seam |= self.position != Some(timestamp);
        self.position = Some(timestamp);
        (self.ahead, self.concealed) = (0, 0);
        self.after_quiet = if held.payload.len() <= ANNOUNCEMENT_BYTES {
            After::Announcement
        } else {
            After::Sound
        };
        // Counted for a whole packet at once, by its first sample.
        let frames = self.packet_frames as u32;
        let waited = now.saturating_since(held.arrival)
            + Duration::from_nanos(ClockRate::OPUS.nanos(pending as i64).unsigned_abs());
        self.stats.jitter_buffer_delay += waited * frames;
        self.stats.jitter_buffer_target_delay += self.target_delay() * frames;
        self.stats.jitter_buffer_minimum_delay += self.needed_delay() * frames;
        AudioAction::Decode {
            payload: held.payload,
            seam: std::mem::take(&mut self.seam),
        }
    }

    fn stretch_or_play(&mut self, now: MediaTime, pending: usize) -> AudioAction {
        let playing = self.position.filter(|_| self.state == State::Playing);
        let Some(position) = playing else {
            return AudioAction::Play;
        };
        let delay = self.delays.relative(position - pending as i64, now);
        if self.rest == 0
            && let Some(action) = self.stretch(delay, pending, now)
        {
            return action;
        }
        self.rest = self.rest.saturating_sub(1);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(delay);
        AudioAction::Play
    }

    fn stretch(&mut self, delay: i64, pending: usize, now: MediaTime) -> Option<AudioAction> {
        let least = self.recent.iter().fold(delay, |least, d| least.min(*d));
        let excess = least - self.target();
        let urgent = excess.abs() > URGENT;
        let samples = |nanos: i64| usize::try_from(ClockRate::OPUS.ticks(nanos)).unwrap_or(0);
        if excess > TOLERATED_EXCESS {
            self.catching_up = ATTEMPTS;
        }
        let catching_up = self.catching_up > 0 && excess > SETTLED_EXCESS;
        if catching_up && self.recent.len() >= RECENT / 2 {
            let next = self
                .packets
                .first_key_value()
                .map(|(timestamp, _)| *timestamp);
            if pending < BLOCK_FRAMES + stretch::MAX_LEAP && next.is_some() && next == self.position
            {
                return Some(self.take_first(pending, now));
            }
            self.catching_up -= 1;
            self.rest = if urgent { 1 } else { 3 };
            let max = samples(excess + 3 * MILLI);
            return Some(AudioAction::Accelerate { max, urgent });
        }
        if excess < -TOLERATED_DEFICIT {
            self.rest = if urgent { 1 } else { 3 };
            let max = samples(TOLERATED_DEFICIT - excess);
            return Some(AudioAction::Decelerate { max, urgent });
        }
        None
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Default for AudioJitterBuffer {
    fn default() -> Self {
        Self::new()
    }
}
