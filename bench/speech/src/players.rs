//! The two jitter buffers, each fed with a trace and asked for 10 ms of sound every 10 ms, in virtual time.

use crate::trace::{OPUS, PACKET, RED};
use crate::{Failure, Heard, SAMPLE_RATE, Span};
use duet_codec::{AudioCodec, AudioDecoder, CodecError};
use duet_media::{AudioBuffer, MediaTime};
use duet_session::{AudioDecode, AudioPlayout, RedPayload, RtpPacket, opus_has_fec};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::Duration;

const BLOCK: Duration = Duration::from_millis(10);
/// What is under way when the speech ends is heard too.
const TAIL: Duration = Duration::from_secs(1);

type Arrivals = [(MediaTime, RtpPacket)];

/// The times at which a speaker asks.
fn blocks(length: Duration) -> impl Iterator<Item = MediaTime> {
    let count = (length + TAIL).as_millis() / BLOCK.as_millis();
    (0..count as u32).map(|block| MediaTime::ZERO + BLOCK * block)
}

/// Samples that were not simply played, so far.
#[derive(Clone, Copy, Default)]
struct Counted {
    concealed: u64,
    stretched: u64,
}

/// What was counted while the speech lasted that is scored.
#[derive(Default)]
struct Scored {
    first: Option<Counted>,
    last: Counted,
}

impl Scored {
    /// Takes in what is counted at `now`.
    fn note(&mut self, now: MediaTime, span: &Span, counted: Counted) {
        let now = now.saturating_since(MediaTime::ZERO);
        if now >= span.from && now <= span.until {
            self.first.get_or_insert(counted);
            self.last = counted;
        }
    }

    fn told(&self, span: &Span) -> Value {
        let first = self.first.unwrap_or_default();
        json!({
            "concealed_samples": self.last.concealed - first.concealed,
            "stretched_samples": self.last.stretched - first.stretched,
            "samples": (span.until - span.from).as_secs_f64() * f64::from(SAMPLE_RATE),
        })
    }
}

/// Ours, which a call uses as it is here.
pub fn ours(arrivals: &Arrivals, span: &Span) -> Result<Heard, Failure> {
    let mut playout = AudioPlayout::new(Opus(AudioCodec::Opus.decoder(1)?), 1);
    let mut arrivals = arrivals.iter().peekable();
    let (mut sound, mut out) = (Vec::new(), AudioBuffer::default());
    let mut scored = Scored::default();
    for now in blocks(span.until) {
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            match packet.payload_type {
                RED => playout
                    .push_red(packet, OPUS, *at)
                    .map_err(|e| e.to_string())?,
                _ => playout.push(packet.clone(), *at),
            }
        }
        playout.pull(now, &mut out);
        sound.extend_from_slice(out.samples());
        let stats = playout.stats();
        let counted = Counted {
            concealed: stats.concealed_samples,
            stretched: stats.inserted_samples_for_deceleration
                + stats.removed_samples_for_acceleration,
        };
        scored.note(now, span, counted);
    }
    let counters = scored.told(span);
    Ok(Heard { sound, counters })
}

struct Opus(Box<dyn AudioDecoder>);

impl AudioDecode for Opus {
    type Error = CodecError;

    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), CodecError> {
        self.0.decode(packet, out)
    }

    fn decode_fec(
        &mut self,
        next: &[u8],
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), CodecError> {
        self.0.decode_fec(next, frames, out)
    }

    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), CodecError> {
        self.0.conceal(frames, out)
    }

    fn packet_frames(&self, packet: &[u8]) -> Option<usize> {
        self.0.packet_frames(packet)
    }

    fn has_fec(&self, packet: &[u8]) -> bool {
        opus_has_fec(packet)
    }
}

/// The `neteq` crate, over the same decoder. It knows no RED: of its copies it gets those of packets that
/// have not come, as libwebrtc's splits them off before its jitter buffer.
pub fn neteq(arrivals: &Arrivals, span: &Span) -> Result<Heard, Failure> {
    web_time::set(Duration::ZERO);
    let mut player = neteq::NetEq::new(neteq::NetEqConfig {
        sample_rate: SAMPLE_RATE,
        channels: 1,
        ..Default::default()
    })?;
    let decoder = Theirs {
        decoder: AudioCodec::Opus.decoder(1)?,
        pcm: AudioBuffer::default(),
    };
    player.register_decoder(OPUS, Box::new(decoder));
    let mut arrivals = arrivals.iter().peekable();
    let mut come = HashSet::new();
    let (mut sound, mut scored) = (Vec::new(), Scored::default());
    for now in blocks(span.until) {
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            web_time::set(at.saturating_since(MediaTime::ZERO));
            for packet in split(packet)? {
                if come.insert(packet.timestamp) {
                    player.insert_packet(theirs(&packet))?;
                }
            }
        }
        web_time::set(now.saturating_since(MediaTime::ZERO));
        sound.extend_from_slice(&player.get_audio()?.samples);
        let stats = player.get_statistics().lifetime;
        let counted = Counted {
            concealed: stats.concealed_samples,
            stretched: stats.inserted_samples_for_deceleration
                + stats.removed_samples_for_acceleration,
        };
        scored.note(now, span, counted);
    }
    let counters = scored.told(span);
    Ok(Heard { sound, counters })
}

/// A packet and the copies in it, each as one of its own; the packet first, since it tells how late the
/// network is.
fn split(packet: &RtpPacket) -> Result<Vec<RtpPacket>, Failure> {
    if packet.payload_type != RED {
        return Ok(vec![packet.clone()]);
    }
    let red = RedPayload::parse(&packet.payload, OPUS).map_err(|error| error.to_string())?;
    let own = RtpPacket {
        payload_type: OPUS,
        payload: red.primary,
        ..*packet
    };
    let copies = red.copies.into_iter().rev().map(|copy| RtpPacket {
        sequence_number: own.sequence_number.wrapping_sub(copy.packets_back),
        timestamp: own.timestamp.wrapping_sub(u32::from(copy.offset)),
        marker: false,
        payload: copy.payload,
        ..own
    });
    let copies: Vec<_> = copies.collect();
    Ok(std::iter::once(own).chain(copies).collect())
}

fn theirs(packet: &RtpPacket) -> neteq::AudioPacket {
    let header = neteq::RtpHeader::new(
        packet.sequence_number,
        packet.timestamp,
        packet.ssrc,
        packet.payload_type,
        packet.marker,
    );
    let millis = PACKET.as_millis() as u32;
    neteq::AudioPacket::new(header, packet.payload.to_vec(), SAMPLE_RATE, 1, millis)
}

struct Theirs {
    decoder: Box<dyn AudioDecoder>,
    pcm: AudioBuffer,
}

impl neteq::codec::AudioDecoder for Theirs {
    fn sample_rate(&self) -> u32 {
        SAMPLE_RATE
    }

    fn channels(&self) -> u8 {
        1
    }

    fn decode(&mut self, encoded: &[u8]) -> neteq::Result<Vec<f32>> {
        let decoded = self.decoder.decode(encoded, &mut self.pcm);
        decoded.map_err(|error| neteq::NetEqError::DecoderError(error.to_string()))?;
        Ok(self.pcm.samples().to_vec())
    }
}
