//! What carries out the jitter buffer's decisions.

use super::stretch::Pcm;
use super::{AudioAction, AudioJitterBuffer, AudioJitterStats, BLOCK_FRAMES, CONCEAL_FADE};
use crate::{RedError, RedPayload, RtpPacket};
use duet_media::{AudioBuffer, MediaTime};
use std::time::Duration;

/// What the playout needs of a decoder. Sound is at 48 kHz with the channels the playout was made
/// for; `out` is resized to what was decoded.
pub trait AudioDecode {
    /// Why a packet was refused.
    type Error;

    /// Decodes a packet.
    ///
    /// # Errors
    /// If it is no packet; its sound is made up then.
    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), Self::Error>;

    /// Recovers the `frames` samples a channel before `next` from the copy in it.
    ///
    /// # Errors
    /// If it is no packet; the sound is made up then.
    fn decode_fec(
        &mut self,
        next: &[u8],
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), Self::Error>;

    /// Makes up `frames` samples a channel, a multiple of 2.5 ms (120).
    ///
    /// # Errors
    /// If it cannot; there is silence then.
    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), Self::Error>;

    /// Samples a channel in a packet; `None` if it is none.
    fn packet_frames(&self, packet: &[u8]) -> Option<usize>;

    /// Whether a packet carries a copy of its predecessor. For Opus: [`opus_has_fec`](super::opus_has_fec).
    fn has_fec(&self, packet: &[u8]) -> bool;
}

/// Where a block of sound came from. Of several origins, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayoutKind {
    /// Decoded packets.
    Normal,
    /// Decoded, and made shorter to catch up.
    Accelerated,
    /// Decoded, and made longer to fall back.
    Decelerated,
    /// Recovered from the next packet's copy.
    Recovered,
    /// Made up.
    Concealed,
    /// Silence or comfort noise: the other side is silent, or nothing came yet, or for long.
    Silence,
}

/// What a pull yielded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutBlock {
    /// RTP time of its first sample, unwrapped (its low 32 bits are the packets' timestamps);
    /// estimated where the sound is made up. `None` before the first packet.
    pub rtp_timestamp: Option<i64>,
    /// Where it came from.
    pub kind: PlayoutKind,
}

/// Turns packets into a steady flow of 10 ms blocks, whatever the network does.
#[derive(Debug)]
pub struct AudioPlayout<D> {
    decoder: D,
    jitter: AudioJitterBuffer,
    pcm: Pcm,
    channels: u16,
    decoded: AudioBuffer,
    /// Loudness of the end of what is pending, 0 to 1: made-up sound fades out, real sound back in.
    gain: f32,
    /// Samples made up since the last real one.
    made_up: usize,
    kind: PlayoutKind,
    /// Whether what is pending ends in sound that the next packet does not continue.
    seam: bool,
    stats: EngineStats,
}

#[derive(Clone, Copy, Debug, Default)]
struct EngineStats {
    played: u64,
    concealed: u64,
    silent: u64,
    events: u64,
    recovered: u64,
}

const SAMPLE_RATE: u32 = 48_000;
/// Far more decisions than any block needs.
const MAX_STEPS: usize = 32;
/// The longest that an Opus packet can be: 120 ms.
const MAX_PACKET_FRAMES: usize = 5_760;
const QUIET_MEAN_SQUARE: f32 = 1e-6;
/// Gain a sample while sound comes back, over 10 ms.
const FADE_IN: f32 = 1.0 / BLOCK_FRAMES as f32;

impl<D: AudioDecode> AudioPlayout<D> {
    /// A playout of `channels` channels over a decoder of as many.
    pub fn new(decoder: D, channels: u16) -> Self {
        AudioPlayout {
            decoder,
            jitter: AudioJitterBuffer::new(),
            pcm: Pcm::new(channels),
            channels: channels.max(1),
            decoded: AudioBuffer::default(),
            gain: 0.0,
            made_up: 0,
            kind: PlayoutKind::Silence,
            seam: true,
            stats: EngineStats::default(),
        }
    }

    /// Takes a packet that arrived at `now`; see [`AudioJitterBuffer::push`].
    pub fn push(&mut self, packet: RtpPacket, now: MediaTime) {
        self.jitter.push(packet, now);
    }

    /// Takes a packet of redundant sound ([`RedPayload`]) whose sound is of `payload_type`: itself, and
    /// the copies in it.
    ///
    /// # Errors
    /// If it is none; then nothing of it is taken.
    pub fn push_red(
        &mut self,
        packet: &RtpPacket,
        payload_type: u8,
        now: MediaTime,
    ) -> Result<(), RedError> {
        let red = RedPayload::parse(&packet.payload, payload_type)?;
        let own = RtpPacket {
            payload_type,
            payload: red.primary,
            ..*packet
        };
        self.jitter.push(own.clone(), now);
        for copy in red.copies.into_iter().rev() {
            let earlier = RtpPacket {
                sequence_number: own.sequence_number.wrapping_sub(copy.packets_back),
                timestamp: own.timestamp.wrapping_sub(u32::from(copy.offset)),
                marker: false,
                payload: copy.payload,
                ..own
            };
            self.jitter.push_copy(earlier, copy.offset, now);
        }
        Ok(())
    }

    /// The next 480 samples of each channel, to be played at `now`. `now` should advance by 10 ms from
    /// pull to pull on average; late pulls and bursts of them only add to the delay.
    pub fn pull(&mut self, now: MediaTime, out: &mut AudioBuffer) -> PlayoutBlock {
        let mut stretched = None;
        for _ in 0..MAX_STEPS {
            let pending = self.pcm.pending();
            match self.jitter.next(now, pending) {
                AudioAction::Play => break,
                AudioAction::Decode { payload, seam } => self.decode(&payload, seam),
                AudioAction::DecodeFec { next, frames, keep } => self.recover(&next, frames, keep),
                AudioAction::Conceal { frames } => self.conceal(frames),
                AudioAction::Silence { comfort } => self.silence(comfort),
                AudioAction::Accelerate { max, urgent } => {
                    let left_out = self.pcm.shorten(max, BLOCK_FRAMES, likeness(urgent));
                    self.jitter.stretched(-(left_out as i64));
                    stretched = (left_out > 0).then_some(PlayoutKind::Accelerated);
                }
                AudioAction::Decelerate { max, urgent } => {
                    let added = self.pcm.lengthen(max, likeness(urgent));
                    self.jitter.stretched(added as i64);
                    stretched = (added > 0).then_some(PlayoutKind::Decelerated);
                }
            }
        }
        let rtp_timestamp = self.jitter.playing_at(self.pcm.pending());
        out.resize(SAMPLE_RATE, self.channels, BLOCK_FRAMES);
        self.pcm.read(out.samples_mut());
        self.stats.played += BLOCK_FRAMES as u64;
        let kind = match (self.kind, stretched) {
            (PlayoutKind::Normal, Some(stretched)) => stretched,
            (kind, _) => kind,
        };
        PlayoutBlock {
            rtp_timestamp,
            kind,
        }
    }

    /// The counters.
    pub fn stats(&self) -> AudioJitterStats {
        let mut stats = self.jitter.stats();
        stats.total_samples_received = self.stats.played;
        stats.concealed_samples += self.stats.concealed;
        stats.silent_concealed_samples += self.stats.silent;
        stats.concealment_events += self.stats.events;
        stats.fec_packets_received += self.stats.recovered;
        stats
    }

    /// See [`AudioJitterBuffer::set_min_delay`].
    pub fn set_min_delay(&mut self, delay: Duration) {
        self.jitter.set_min_delay(delay);
    }

    /// See [`AudioJitterBuffer::target_delay`].
    pub fn target_delay(&self) -> Duration {
        self.jitter.target_delay()
    }

    /// See [`AudioJitterBuffer::needed_delay`].
    pub fn needed_delay(&self) -> Duration {
        self.jitter.needed_delay()
    }

    /// See [`AudioJitterBuffer::earliest`].
    pub fn earliest(&self, timestamp: i64) -> MediaTime {
        self.jitter.earliest(timestamp)
    }

    /// See [`AudioJitterBuffer::current_delay`].
    pub fn current_delay(&self) -> Option<Duration> {
        self.jitter.current_delay()
    }

    /// See [`AudioJitterBuffer::reset`].
    pub fn reset(&mut self) {
        self.jitter.reset();
    }

    fn decode(&mut self, packet: &[u8], seam: bool) {
        let sane =
            (1..=MAX_PACKET_FRAMES).contains(&self.decoder.packet_frames(packet).unwrap_or(0));
        let decoded = sane && self.decoder.decode(packet, &mut self.decoded).is_ok();
        let frames = self.decoded.frames();
        if !decoded || !self.fits() || !(1..=MAX_PACKET_FRAMES).contains(&frames) {
            let frames = self.jitter.refused();
            return self.conceal(frames);
        }
        let samples = self.decoded.samples();
        let power: f32 = samples.iter().map(|s| s * s).sum();
        let quiet = power < QUIET_MEAN_SQUARE * samples.len() as f32;
        self.jitter
            .decoded(frames, quiet, self.decoder.has_fec(packet));
        self.append_real(0, seam, PlayoutKind::Normal);
    }

    fn recover(&mut self, next: &[u8], frames: usize, keep: usize) {
        let there = self.decoder.has_fec(next)
            && self
                .decoder
                .decode_fec(next, frames, &mut self.decoded)
                .is_ok()
            && self.fits()
            && self.decoded.frames() >= keep;
        if there {
            self.stats.recovered += 1;
            let skip = self.decoded.frames() - keep;
            self.append_real(skip, skip > 0, PlayoutKind::Recovered);
        } else {
            self.stats.concealed += keep as u64;
            self.stats.events += u64::from(self.made_up == 0);
            self.conceal(keep);
        }
    }

    /// Appends what was decoded from frame `skip` on, fading it in if sound had faded out.
    fn append_real(&mut self, skip: usize, seam: bool, kind: PlayoutKind) {
        let channels = usize::from(self.channels);
        let mut gain = self.gain;
        for frame in self
            .decoded
            .samples_mut()
            .chunks_exact_mut(channels)
            .skip(skip)
        {
            if gain >= 1.0 {
                break;
            }
            frame.iter_mut().for_each(|sample| *sample *= gain);
            gain += FADE_IN;
        }
        self.gain = gain.min(1.0);
        self.pcm.append(
            &self.decoded.samples()[skip * channels..],
            seam || self.seam,
        );
        (self.kind, self.made_up, self.seam) = (kind, 0, false);
    }

    /// Appends `frames` made-up samples, fading them out as making up goes on.
    fn conceal(&mut self, frames: usize) {
        let channels = usize::from(self.channels);
        let made = self
            .decoder
            .conceal(frames.next_multiple_of(120), &mut self.decoded)
            .is_ok();
        if !made || !self.fits() || self.decoded.frames() < frames {
            self.decoded.resize(SAMPLE_RATE, self.channels, frames);
            self.decoded.samples_mut().fill(0.0);
            self.seam = true;
        }
        let (start, end) = (CONCEAL_FADE.start, CONCEAL_FADE.end);
        let slope = 1.0 / (end - start) as f32;
        for frame in self
            .decoded
            .samples_mut()
            .chunks_exact_mut(channels)
            .take(frames)
        {
            if self.made_up >= start {
                self.gain = (self.gain - slope).max(0.0);
            }
            self.made_up += 1;
            self.stats.silent += u64::from(self.gain == 0.0);
            frame.iter_mut().for_each(|sample| *sample *= self.gain);
        }
        self.pcm
            .append(&self.decoded.samples()[..frames * channels], self.seam);
        (self.kind, self.seam) = (PlayoutKind::Concealed, !frames.is_multiple_of(120));
    }

    fn silence(&mut self, comfort: bool) {
        let comfort = comfort
            && self
                .decoder
                .conceal(BLOCK_FRAMES, &mut self.decoded)
                .is_ok();
        if !comfort || !self.fits() || self.decoded.frames() != BLOCK_FRAMES {
            self.decoded
                .resize(SAMPLE_RATE, self.channels, BLOCK_FRAMES);
            self.decoded.samples_mut().fill(0.0);
            self.gain = 0.0;
        }
        self.pcm.append(self.decoded.samples(), true);
        (self.kind, self.made_up, self.seam) = (PlayoutKind::Silence, 0, true);
    }

    fn fits(&self) -> bool {
        self.decoded.sample_rate() == SAMPLE_RATE && self.decoded.channels() == self.channels
    }
}

/// How alike take-off and landing of a leap must be.
fn likeness(urgent: bool) -> f32 {
    if urgent { 0.5 } else { 0.85 }
}
