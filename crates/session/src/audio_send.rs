//! How sound is sent by what the path does: how many bits, how long a packet, how much of it twice.
//!
//! [`AudioSendPolicy`] is told what the path carries and loses, and answers with an
//! [`AudioSending`]. Losses are met in the order of what they cost: Opus's own coarse copies
//! ([in-band FEC](https://www.rfc-editor.org/rfc/rfc6716#section-2.1.7)) wherever there are any, whole
//! copies ([RED](https://www.rfc-editor.org/rfc/rfc2198)) where the path has room for them. A thin path
//! gets longer packets, so that headers do not eat it.
//!
//! What it is not: it measures nothing, and knows no encoder. What the program or the other side
//! rules out ([`AudioLimits`]) never comes out.

use duet_media::MediaTime;
use std::time::Duration;

/// What is known of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioPath {
    /// What all streams together may send, bits a second.
    pub estimate_bps: u64,
    /// What of it is this stream's, bits a second, without headers and copies.
    pub share_bps: u64,
    /// Share of packets lost of late, 0.0 to 1.0.
    pub loss: f64,
}

/// What the session descriptions allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLimits {
    /// The other side wishes packets of so much sound
    /// ([`ptime`](https://www.rfc-editor.org/rfc/rfc8866#section-6.4)).
    pub packet_time: Option<Duration>,
    /// It takes no shorter ones ([`minptime`](https://www.rfc-editor.org/rfc/rfc7587#section-6.1))…
    pub min_packet_time: Duration,
    /// … and no longer ones ([`maxptime`](https://www.rfc-editor.org/rfc/rfc8866#section-6.4)).
    pub max_packet_time: Duration,
    /// It reads whole copies (`audio/red`).
    pub red: bool,
}

/// How sound is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSending {
    /// For the encoder, bits a second.
    pub bitrate_bps: u64,
    /// For the encoder, percent: it makes coarse copies from 1 on.
    pub expected_loss: u8,
    /// Sound in each packet: 10, 20, 40 or 60 ms.
    pub packet_time: Duration,
    /// How many packets before it each one repeats: 0 to 2.
    pub copies: u8,
}

/// Decides how sound is sent.
///
/// Losses are believed at once and forgotten with a half-life of some [`MEMORY`](Self::MEMORY); packets
/// get longer at once and shorter when the path has allowed it for [`PATIENCE`](Self::PATIENCE), since
/// each change is one of encoders.
#[derive(Clone, Debug)]
pub struct AudioSendPolicy {
    limits: AudioLimits,
    /// Share lost, held up at its peaks, and when it was last looked at.
    loss: (f64, MediaTime),
    copies: u8,
    /// Index into `LENGTHS`.
    length: usize,
    /// Since when a shorter packet would do.
    shorter: Option<MediaTime>,
}

/// Packet times that are chosen from, in milliseconds, and what the path must carry for them, in bits a
/// second: 60 bytes of headers (IP, UDP, RTP, SRTP, an extension) take 24, 12 and 8 kbit/s, and may take
/// an eighth. It is not the share that decides: where losses have made it small on a path that is not
/// thin, longer packets would cost delay and lose more at once.
const LENGTHS: [(u64, u64); 3] = [(20, 192_000), (40, 96_000), (60, 0)];
/// A shorter packet wants this much more.
const SHORTER: f64 = 1.15;
/// Less lost than this is an accident.
const SOME_LOSS: f64 = 0.01;
/// From so much on, one copy, and two; a step is taken back below half of it.
const COPIES: [f64; 2] = [0.02, 0.12];
/// Sound with its copies may have so much of what the path carries.
const ROOM: f64 = 0.2;
/// With copies, speech is as clear at this, and each bit counts twice.
const COPIED_BPS: u64 = 32_000;
/// No encoder makes less.
const LEAST_BPS: u64 = 6_000;
const MAX_EXPECTED_LOSS: f64 = 0.3;

impl Default for AudioLimits {
    fn default() -> Self {
        AudioLimits {
            packet_time: None,
            min_packet_time: Duration::from_millis(10),
            max_packet_time: Duration::from_millis(60),
            red: false,
        }
    }
}

impl AudioSendPolicy {
    /// Losses count half after this long.
    pub const MEMORY: Duration = Duration::from_secs(5);
    /// See the type.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// For a path of which nothing is known.
    pub fn new(limits: AudioLimits) -> Self {
        AudioSendPolicy {
            limits,
            loss: (0.0, MediaTime::ZERO),
            copies: 0,
            length: 0,
            shorter: None,
        }
    }

    /// Other limits, from the next update on.
    pub fn set_limits(&mut self, limits: AudioLimits) {
        self.limits = limits;
    }

    /// Takes in what is known at `now`.
    pub fn update(&mut self, path: AudioPath, now: MediaTime) -> AudioSending {
        let loss = self.remember(path.loss, now);
        self.choose_copies(path, loss);
        self.choose_length(path.estimate_bps, now);
        let copied = self.copies > 0;
        let bitrate_bps = if copied {
            path.share_bps.min(COPIED_BPS)
        } else {
            path.share_bps
        };
        // What a copy makes good needs no coarse one; what is left over does.
        let left = loss.powi(i32::from(self.copies) + 1);
        let expected = if left < SOME_LOSS {
            0.0
        } else {
            left.min(MAX_EXPECTED_LOSS)
        };
        AudioSending {
            bitrate_bps,
            expected_loss: (expected * 100.0).ceil() as u8,
            packet_time: self.packet_time(),
            copies: self.copies,
        }
    }

    fn remember(&mut self, told: f64, now: MediaTime) -> f64 {
        let told = if told.is_nan() {
            0.0
        } else {
            told.clamp(0.0, 1.0)
        };
        let (held, since) = self.loss;
        let passed = now.saturating_since(since).as_secs_f64() / Self::MEMORY.as_secs_f64();
        let loss = told.max(held * (-passed * std::f64::consts::LN_2).exp());
        self.loss = (loss, now);
        loss
    }

    fn choose_copies(&mut self, path: AudioPath, loss: f64) {
        let step = |at: usize| {
            let holds = usize::from(self.copies) > at;
            loss >= if holds { COPIES[at] / 2.0 } else { COPIES[at] }
        };
        let wanted = [0, 1].into_iter().take_while(|at| step(*at)).count() as u8;
        let each = path.share_bps.clamp(LEAST_BPS, COPIED_BPS) as f64;
        let room = path.estimate_bps as f64 * ROOM;
        let fits = |copies: u8| each * f64::from(copies + 1) <= room;
        let most = if self.limits.red { wanted } else { 0 };
        self.copies = (0..=most)
            .rev()
            .find(|copies| *copies == 0 || fits(*copies))
            .unwrap_or(0);
    }

    fn choose_length(&mut self, estimate_bps: u64, now: MediaTime) {
        let fitting = |bps: f64| LENGTHS.iter().position(|(_, least)| bps >= *least as f64);
        let last = LENGTHS.len() - 1;
        let must = fitting(estimate_bps as f64).unwrap_or(last);
        let may = fitting(estimate_bps as f64 / SHORTER).unwrap_or(last);
        if must > self.length {
            (self.length, self.shorter) = (must, None);
        } else if may < self.length {
            let since = *self.shorter.get_or_insert(now);
            if now.saturating_since(since) >= Self::PATIENCE {
                (self.length, self.shorter) = (may, None);
            }
        } else {
            self.shorter = None;
        }
    }

    /// What the path wants and the other side takes: of what both sides can, the nearest.
    fn packet_time(&self) -> Duration {
        let limits = &self.limits;
        let chosen = Duration::from_millis(LENGTHS[self.length].0);
        let wished = limits
            .packet_time
            .map_or(chosen, |wish| wish.max(chosen.min(wish)));
        let wanted = wished.max(if self.length > 0 {
            chosen
        } else {
            Duration::ZERO
        });
        let allowed = |time: &Duration| {
            // A wish for less than can be had is one for the least.
            *time <= limits.max_packet_time.max(Duration::from_millis(10))
                && *time >= limits.min_packet_time.min(Duration::from_millis(60))
        };
        let usual = [10, 20, 40, 60].map(Duration::from_millis);
        let off = |time: &Duration| time.abs_diff(wanted);
        let nearest = usual.into_iter().filter(allowed).min_by_key(off);
        nearest.unwrap_or(Duration::from_millis(20))
    }
}

#[cfg(test)]
mod tests;
