//! The codecs there are, by the names that a session description negotiates them by. It is not a
//! place to register others at run time: a codec is a variant here and a line in each match.

use crate::{
    AudioDecoder, AudioEncoder, AudioEncoderConfig, CodecError, OpusDecoder, OpusEncoder,
    OpusEncoderOptions, VideoDecoder, VideoEncoder, VideoEncoderConfig, Vp8Decoder,
    Vp8DecoderOptions, Vp8Encoder, Vp8EncoderOptions,
};
use std::fmt;
use std::str::FromStr;

/// A video codec, to be [parsed](FromStr) from its encoding name, whose case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// [RFC 6386](https://www.rfc-editor.org/rfc/rfc6386), over RTP by
    /// [RFC 7741](https://www.rfc-editor.org/rfc/rfc7741).
    Vp8,
}

impl VideoCodec {
    /// Every one, the most wanted first.
    pub const ALL: &[VideoCodec] = &[VideoCodec::Vp8];

    /// The encoding name in `a=rtpmap`: `"VP8"`.
    pub const fn name(self) -> &'static str {
        match self {
            VideoCodec::Vp8 => "VP8",
        }
    }

    /// Ticks a second of its RTP timestamps, in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            VideoCodec::Vp8 => 90_000,
        }
    }

    /// An encoder with its default options.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if the codec cannot do `config`.
    pub fn encoder(self, config: &VideoEncoderConfig) -> Result<Box<dyn VideoEncoder>, CodecError> {
        match self {
            VideoCodec::Vp8 => Ok(Box::new(Vp8Encoder::new(
                config,
                Vp8EncoderOptions::default(),
            )?)),
        }
    }

    /// A decoder with its default options.
    ///
    /// # Errors
    /// [`CodecError::Failed`] if there is no memory for one.
    pub fn decoder(self) -> Result<Box<dyn VideoDecoder>, CodecError> {
        match self {
            VideoCodec::Vp8 => Ok(Box::new(Vp8Decoder::new(Vp8DecoderOptions::default()))),
        }
    }
}

/// An audio codec, to be [parsed](FromStr) from its encoding name, whose case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// [RFC 6716](https://www.rfc-editor.org/rfc/rfc6716), over RTP by
    /// [RFC 7587](https://www.rfc-editor.org/rfc/rfc7587).
    Opus,
}

impl AudioCodec {
    /// Every one, the most wanted first.
    pub const ALL: &[AudioCodec] = &[AudioCodec::Opus];

    /// The encoding name in `a=rtpmap`: `"opus"`.
    pub const fn name(self) -> &'static str {
        match self {
            AudioCodec::Opus => "opus",
        }
    }

    /// Ticks a second of its RTP timestamps, in Hz; also the sample rate of its sound.
    pub const fn clock_rate(self) -> u32 {
        match self {
            AudioCodec::Opus => 48_000,
        }
    }

    /// An encoder for 1 or 2 channels, with its default options.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if the codec cannot do `config` or the channel count.
    pub fn encoder(
        self,
        channels: u16,
        config: &AudioEncoderConfig,
    ) -> Result<Box<dyn AudioEncoder>, CodecError> {
        match self {
            AudioCodec::Opus => Ok(Box::new(OpusEncoder::new(
                channels,
                config,
                OpusEncoderOptions::default(),
            )?)),
        }
    }

    /// A decoder that gives 1 or 2 channels, whatever was encoded.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for another channel count.
    pub fn decoder(self, channels: u16) -> Result<Box<dyn AudioDecoder>, CodecError> {
        match self {
            AudioCodec::Opus => Ok(Box::new(OpusDecoder::new(channels)?)),
        }
    }
}

impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for AudioCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for VideoCodec {
    type Err = CodecError;

    fn from_str(name: &str) -> Result<Self, CodecError> {
        VideoCodec::ALL
            .iter()
            .copied()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| CodecError::Unsupported(format!("no video codec is called {name:?}")))
    }
}

impl FromStr for AudioCodec {
    type Err = CodecError;

    fn from_str(name: &str) -> Result<Self, CodecError> {
        AudioCodec::ALL
            .iter()
            .copied()
            .find(|codec| codec.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| CodecError::Unsupported(format!("no audio codec is called {name:?}")))
    }
}
