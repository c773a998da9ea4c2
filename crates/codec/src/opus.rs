//! Opus ([RFC 6716](https://www.rfc-editor.org/rfc/rfc6716)) by libopus, at 48 kHz, the only clock
//! that it has in RTP ([RFC 7587](https://www.rfc-editor.org/rfc/rfc7587)).
//!
//! One packet at a time and nothing between them: reordering, time-stretching and the choice between
//! recovering and concealing are the jitter buffer's.

use crate::{AudioDecoder, AudioEncoder, AudioEncoderConfig, CodecError};
use bytes::Bytes;
use duet_media::AudioBuffer;
use opus::{Application, Bitrate, Channels};

/// Hz.
const SAMPLE_RATE: u32 = 48_000;
/// 2.5 ms, the shortest packet and the grain of all others.
const GRAIN: usize = 120;
/// 120 ms, the longest packet.
const MAX_FRAMES: usize = 48 * GRAIN;
/// 60 ms, the longest that is encoded here, at 510 kb/s, with room for the packet's own framing.
const MAX_PACKET: usize = 4_000;

/// What the sound is, and so which half of Opus it goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpusApplication {
    /// Speech: what is understood counts. In-band FEC works best with it.
    #[default]
    Voip,
    /// Music and everything else: what is the same counts.
    Audio,
}

/// What is chosen once, when the encoder is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusEncoderOptions {
    /// What the sound is.
    pub application: OpusApplication,
    /// Quality for speed, 0 (fast) to 10 (thorough).
    pub complexity: u8,
}

impl Default for OpusEncoderOptions {
    fn default() -> Self {
        OpusEncoderOptions {
            application: OpusApplication::Voip,
            complexity: 9,
        }
    }
}

/// An Opus encoder. See [`AudioEncoder`] for its use.
#[derive(Debug)]
pub struct OpusEncoder {
    encoder: opus::Encoder,
    config: AudioEncoderConfig,
    channels: u16,
    packet: Vec<u8>,
}

impl OpusEncoder {
    /// An encoder of 1 or 2 channels that aims at `config`.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if `channels`, `config` or `options` are out of range.
    pub fn new(
        channels: u16,
        config: &AudioEncoderConfig,
        options: OpusEncoderOptions,
    ) -> Result<Self, CodecError> {
        check(config)?;
        if options.complexity > 10 {
            return Err(CodecError::Unsupported(format!(
                "the complexity is 0 to 10, not {}",
                options.complexity
            )));
        }
        let application = match options.application {
            OpusApplication::Voip => Application::Voip,
            OpusApplication::Audio => Application::Audio,
        };
        let mut encoder =
            opus::Encoder::new(SAMPLE_RATE, layout(channels)?, application).map_err(failed)?;
        encoder
            .set_complexity(options.complexity.into())
            .map_err(failed)?;
        apply(&mut encoder, config).map_err(failed)?;
        Ok(OpusEncoder {
            encoder,
            config: *config,
            channels,
            packet: vec![0; MAX_PACKET],
        })
    }
}

impl AudioEncoder for OpusEncoder {
    fn encode(&mut self, sound: &AudioBuffer) -> Result<Bytes, CodecError> {
        let (rate, channels, frames) = (sound.sample_rate(), sound.channels(), sound.frames());
        let fits =
            matches!(frames / GRAIN, 1 | 2 | 4 | 8 | 16 | 24) && frames.is_multiple_of(GRAIN);
        if rate != SAMPLE_RATE || channels != self.channels || !fits {
            return Err(CodecError::Unsupported(format!(
                "{frames} samples of {channels} channels at {rate} Hz: this encoder takes 2.5, 5, 10, \
                 20, 40 or 60 ms of {} channels at {SAMPLE_RATE} Hz",
                self.channels
            )));
        }
        let len = self
            .encoder
            .encode_float(sound.samples(), &mut self.packet)
            .map_err(failed)?;
        // libopus: with DTX, a packet of two bytes or less need not be transmitted.
        let quiet = self.config.dtx && len <= 2;
        Ok(match self.packet.get(..len) {
            Some(packet) if !quiet => Bytes::copy_from_slice(packet),
            _ => Bytes::new(),
        })
    }

    fn configure(&mut self, config: &AudioEncoderConfig) -> Result<(), CodecError> {
        check(config)?;
        if let Err(error) = apply(&mut self.encoder, config) {
            // All were in range, so this is for a library that knows better. Half of the new
            // settings would be neither.
            apply(&mut self.encoder, &self.config).map_err(failed)?;
            return Err(CodecError::Unsupported(error.to_string()));
        }
        self.config = *config;
        Ok(())
    }

    fn config(&self) -> AudioEncoderConfig {
        self.config
    }
}

/// An Opus decoder. See [`AudioDecoder`] for its use; on an error `out` is left empty.
///
/// No call makes more than 120 ms at once.
#[derive(Debug)]
pub struct OpusDecoder {
    decoder: opus::Decoder,
    channels: u16,
}

impl OpusDecoder {
    /// A decoder that gives 1 or 2 channels, whichever the packets hold.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for another channel count.
    pub fn new(channels: u16) -> Result<Self, CodecError> {
        Ok(OpusDecoder {
            decoder: opus::Decoder::new(SAMPLE_RATE, layout(channels)?).map_err(failed)?,
            channels,
        })
    }

    /// `packet` empty: conceals.
    fn run(
        &mut self,
        packet: &[u8],
        fec: bool,
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), CodecError> {
        out.resize(SAMPLE_RATE, self.channels, frames);
        let decoded = self.decoder.decode_float(packet, out.samples_mut(), fec);
        out.resize(
            SAMPLE_RATE,
            self.channels,
            decoded
                .as_ref()
                .map_or(0, |&frames| frames.min(out.frames())),
        );
        match decoded {
            Ok(_) => Ok(()),
            Err(error) => Err(CodecError::Corrupt(error.to_string())),
        }
    }

    fn check_frames(&self, frames: usize, out: &mut AudioBuffer) -> Result<(), CodecError> {
        if (GRAIN..=MAX_FRAMES).contains(&frames) && frames.is_multiple_of(GRAIN) {
            return Ok(());
        }
        out.resize(SAMPLE_RATE, self.channels, 0);
        Err(CodecError::Unsupported(format!(
            "{frames} samples, where a multiple of {GRAIN} up to {MAX_FRAMES} can be made up"
        )))
    }

    fn frames_of(&self, packet: &[u8], out: &mut AudioBuffer) -> Result<usize, CodecError> {
        self.packet_frames(packet).ok_or_else(|| {
            out.resize(SAMPLE_RATE, self.channels, 0);
            CodecError::Corrupt(format!("{} bytes that are no Opus packet", packet.len()))
        })
    }
}

impl AudioDecoder for OpusDecoder {
    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), CodecError> {
        let frames = self.frames_of(packet, out)?;
        self.run(packet, false, frames, out)
    }

    fn decode_fec(
        &mut self,
        next: &[u8],
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), CodecError> {
        self.check_frames(frames, out)?;
        self.frames_of(next, out)?;
        self.run(next, true, frames, out)
    }

    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), CodecError> {
        self.check_frames(frames, out)?;
        self.run(&[], false, frames, out)
    }

    fn packet_frames(&self, packet: &[u8]) -> Option<usize> {
        // The header alone can promise more frames than the packet has bytes for: parse all of it.
        opus::packet::parse(packet).ok()?;
        let frames = opus::packet::get_nb_samples(packet, SAMPLE_RATE).ok()?;
        (GRAIN..=MAX_FRAMES).contains(&frames).then_some(frames)
    }
}

fn check(config: &AudioEncoderConfig) -> Result<(), CodecError> {
    if !(6_000..=510_000).contains(&config.bitrate) {
        return Err(CodecError::Unsupported(format!(
            "the bitrate is 6,000 to 510,000 bits a second, not {}",
            config.bitrate
        )));
    }
    if config.expected_loss > 100 {
        return Err(CodecError::Unsupported(format!(
            "the expected loss is 0 to 100 packets in a hundred, not {}",
            config.expected_loss
        )));
    }
    Ok(())
}

fn apply(encoder: &mut opus::Encoder, config: &AudioEncoderConfig) -> opus::Result<()> {
    // In range: at most 510,000.
    encoder.set_bitrate(Bitrate::Bits(config.bitrate as i32))?;
    encoder.set_packet_loss_perc(config.expected_loss.into())?;
    encoder.set_inband_fec(config.fec)?;
    encoder.set_dtx(config.dtx)
}

fn layout(channels: u16) -> Result<Channels, CodecError> {
    match channels {
        1 => Ok(Channels::Mono),
        2 => Ok(Channels::Stereo),
        _ => Err(CodecError::Unsupported(format!(
            "Opus takes 1 or 2 channels here, not {channels}"
        ))),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn failed(error: opus::Error) -> CodecError {
    CodecError::Failed(error.to_string())
}
