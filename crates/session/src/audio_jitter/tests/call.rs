//! The harness: a sender of a known tone, a seeded link, a speaker that pulls, in virtual time.

use super::super::*;
use crate::RedHistory;
use crate::rng::Rng;
use duet_media::AudioBuffer;
use std::sync::LazyLock;

pub(super) const TONE: i64 = 440;
pub(super) const PACKET: i64 = 960;
pub(super) const PACKET_MILLIS: f64 = 20.0;
pub(super) const LOUDNESS: f32 = 0.5;
/// The steepest step of the tone itself.
pub(super) const STEEPEST: f32 = LOUDNESS * std::f32::consts::TAU * TONE as f32 / 48_000.0;

/// A decoder whose packets say which stretch of the tone they are, so that every sample it yields can
/// be told from every other.
#[derive(Default)]
pub(super) struct Tone {
    at: i64,
}

impl Tone {
    pub(super) const FEC: u8 = 1;
    pub(super) const QUIET: u8 = 2;

    pub(super) fn packet(timestamp: u32, flags: u8) -> Bytes {
        let mut payload = timestamp.to_be_bytes().to_vec();
        payload.push(flags);
        payload.into()
    }

    fn fill(&mut self, from: i64, frames: usize, loudness: f32, out: &mut AudioBuffer) {
        out.resize(48_000, 2, frames);
        for (i, frame) in out.samples_mut().chunks_exact_mut(2).enumerate() {
            let sample = loudness * tone(from + i as i64);
            frame.copy_from_slice(&[sample, -sample]);
        }
        self.at = from + frames as i64;
    }

    fn timestamp(packet: &[u8]) -> Option<i64> {
        let bytes: [u8; 4] = packet.get(..4)?.try_into().ok()?;
        (packet.len() == 5).then(|| i64::from(u32::from_be_bytes(bytes)))
    }
}

pub(super) fn tone(at: i64) -> f32 {
    static ONE_HERTZ: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let phase = |at: i32| f64::from(at) / 48_000.0 * std::f64::consts::TAU;
        (0..48_000).map(|at| phase(at).sin() as f32).collect()
    });
    ONE_HERTZ[(at * TONE).rem_euclid(48_000) as usize]
}

impl AudioDecode for Tone {
    type Error = ();

    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), ()> {
        if packet.len() <= ANNOUNCEMENT_BYTES {
            self.fill(self.at, PACKET as usize, 0.0, out);
            return Ok(());
        }
        let from = Self::timestamp(packet).ok_or(())?;
        let loudness = if packet[4] & Self::QUIET == 0 {
            LOUDNESS
        } else {
            0.0
        };
        self.fill(from, PACKET as usize, loudness, out);
        Ok(())
    }

    fn decode_fec(&mut self, next: &[u8], frames: usize, out: &mut AudioBuffer) -> Result<(), ()> {
        let next = Self::timestamp(next).ok_or(())?;
        self.fill(next - frames as i64, frames, LOUDNESS, out);
        Ok(())
    }

    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), ()> {
        assert_eq!(frames % 120, 0);
        self.fill(self.at, frames, LOUDNESS, out);
        Ok(())
    }

    fn packet_frames(&self, packet: &[u8]) -> Option<usize> {
        (packet.len() <= 5).then_some(PACKET as usize)
    }

    fn has_fec(&self, packet: &[u8]) -> bool {
        packet.get(4).is_some_and(|flags| flags & Self::FEC != 0)
    }
}

/// What a link does to the packet of a number: the delay in milliseconds, or loss.
pub(super) type Link<'a> = dyn FnMut(i64, &mut Rng) -> Option<f64> + 'a;

pub(super) struct Call {
    pub(super) playout: AudioPlayout<Tone>,
    pub(super) rng: Rng,
    /// Of the sender, against ours.
    pub(super) clock_ratio: f64,
    pub(super) first_sequence: u16,
    pub(super) first_timestamp: u32,
    pub(super) flags: u8,
    /// How many packets before it each one carries whole.
    pub(super) copies: usize,
    pub(super) in_flight: BTreeMap<(i64, i64), i64>,
    pub(super) sent: i64,
    pub(super) pulled: i64,
    pub(super) phase: i64,
    pub(super) sound: Vec<f32>,
    pub(super) blocks: Vec<(PlayoutBlock, f64)>,
}

impl Call {
    pub(super) fn new(seed: u64) -> Self {
        Call {
            playout: AudioPlayout::new(Tone::default(), 2),
            rng: Rng::new(seed),
            clock_ratio: 1.0,
            first_sequence: 7,
            first_timestamp: 100_000,
            flags: 0,
            copies: 0,
            in_flight: BTreeMap::new(),
            sent: 0,
            pulled: 0,
            phase: 3_700_000,
            sound: Vec::new(),
            blocks: Vec::new(),
        }
    }

    pub(super) fn packet(&self, n: i64) -> RtpPacket {
        let timestamp = self.first_timestamp.wrapping_add((n * PACKET) as u32);
        RtpPacket {
            sequence_number: self.first_sequence.wrapping_add(n as u16),
            timestamp,
            marker: false,
            ssrc: 1,
            payload_type: 111,
            payload: Tone::packet(timestamp, self.flags),
        }
    }

    /// Runs for `seconds`, keeping the sound of them.
    pub(super) fn run(&mut self, seconds: f64, link: &mut Link<'_>) -> &mut Self {
        self.sound.clear();
        self.blocks.clear();
        let until = self.pulled + (seconds * 100.0) as i64;
        let mut out = AudioBuffer::default();
        while self.pulled < until {
            let now = self.pulled * 10_000_000 + self.phase;
            while self.sent_at(self.sent) <= now as f64 {
                if let Some(delay) = link(self.sent, &mut self.rng) {
                    let arrival = (self.sent_at(self.sent) + delay * 1e6) as i64;
                    self.in_flight.insert((arrival, self.sent), self.sent);
                }
                self.sent += 1;
            }
            while let Some(entry) = self.in_flight.first_entry().filter(|e| e.key().0 <= now) {
                let ((arrival, _), n) = entry.remove_entry();
                self.arrive(n, MediaTime::from_nanos(arrival));
            }
            let block = self.playout.pull(MediaTime::from_nanos(now), &mut out);
            assert_eq!(
                (out.frames(), out.channels(), out.sample_rate()),
                (480, 2, 48_000)
            );
            self.sound.extend(out.channel(0));
            let played = block
                .rtp_timestamp
                .map_or(0, |t| t - i64::from(self.first_timestamp));
            let spoken = played as f64 / 48.0 * self.clock_ratio;
            self.blocks.push((block, now as f64 / 1e6 - spoken));
            self.pulled += 1;
        }
        self
    }

    /// Packet `n` comes, with its copies if it has any.
    pub(super) fn arrive(&mut self, n: i64, at: MediaTime) {
        let mut packet = self.packet(n);
        if self.copies == 0 {
            return self.playout.push(packet, at);
        }
        let mut history = RedHistory::new();
        for earlier in (n - 2).max(0)..n {
            let earlier = self.packet(earlier);
            history.note(earlier.timestamp, earlier.payload);
        }
        packet.payload = history.wrap(111, packet.timestamp, packet.payload, self.copies, 1_150);
        packet.payload_type = 63;
        self.playout.push_red(&packet, 111, at).unwrap();
    }

    fn sent_at(&self, n: i64) -> f64 {
        n as f64 * PACKET_MILLIS * 1e6 * self.clock_ratio
    }

    pub(super) fn stats(&self) -> AudioJitterStats {
        self.playout.stats()
    }

    /// How late blocks were played, in milliseconds, at this share of the last run.
    pub(super) fn delay(&self, share: f64) -> f64 {
        let mut delays: Vec<f64> = self.blocks.iter().map(|(_, delay)| *delay).collect();
        delays.sort_by(f64::total_cmp);
        delays[((delays.len() - 1) as f64 * share) as usize]
    }

    pub(super) fn assert_no_click(&self) {
        let steps = self.sound.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        let worst = steps.fold(0.0, f32::max);
        assert!(
            worst < 1.5 * STEEPEST,
            "a step of {worst}, the tone's own is {STEEPEST}"
        );
    }

    pub(super) fn assert_pitch(&self) {
        let crossings = self
            .sound
            .windows(2)
            .filter(|p| p[0] < 0.0 && p[1] >= 0.0)
            .count();
        let pitch = crossings as f64 * 48_000.0 / self.sound.len() as f64;
        assert!((pitch - TONE as f64).abs() < 2.5, "{pitch} Hz");
    }
}
