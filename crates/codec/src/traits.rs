//! The borders that every codec keeps; `tests/conformance` runs over all of them.

use bytes::Bytes;
use duet_media::{AudioBuffer, I420Buffer, MediaTime, VideoFrame};
use std::sync::Arc;

/// What went wrong in a codec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The caller asked for what the codec cannot do. Ask for something else; the codec still works
    /// with its old settings.
    #[error("{0}")]
    Unsupported(String),
    /// The bytes are not what they should be. Drop them; for video, ask the sender for a key frame.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// The library failed for a reason of its own. Make a new codec.
    #[error("the codec failed: {0}")]
    Failed(String),
}

/// What a video encoder aims at. All of it may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoEncoderConfig {
    /// Width in pixels, 1 to 16,383.
    pub width: u32,
    /// Height in pixels, 1 to 16,383.
    pub height: u32,
    /// Frames a second, above 0 and up to 240.
    pub frame_rate: f64,
    /// Target in bits a second, of all layers together.
    pub bitrate: u32,
    /// How many layers of pictures there are, 1 to 3, of which all but the lowest can be left out. Each
    /// has twice the pictures of those below.
    pub temporal_layers: u8,
}

/// Where a picture stands among the temporal layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedLayer {
    /// 0 is the lowest. A picture leans on none of a higher layer than its own.
    pub id: u8,
    /// It leans on the lowest layer only: who had nothing of its layer can begin with it.
    pub sync: bool,
    /// No picture leans on it.
    pub non_reference: bool,
}

impl EncodedLayer {
    /// What share of the bits each layer takes together with those below, of so many layers.
    pub const fn shares(layers: u8) -> &'static [f64] {
        match layers {
            0 | 1 => &[1.0],
            2 => &[0.6, 1.0],
            _ => &[0.4, 0.6, 1.0],
        }
    }
}

/// One encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedVideo {
    /// The bitstream.
    pub data: Bytes,
    /// Whether it can be decoded on its own.
    pub key_frame: bool,
    /// Of the picture that it was made from.
    pub capture_time: MediaTime,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Among several temporal layers.
    pub layer: Option<EncodedLayer>,
}

/// Turns pictures into a bitstream, for live use: no look-ahead, one picture in, at most one out.
pub trait VideoEncoder: Send {
    /// Encodes a picture of the configured size; as a key frame if asked. `None` means that the
    /// encoder dropped the picture to keep to its bitrate.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if the picture's size is not the configured one.
    fn encode(
        &mut self,
        frame: &VideoFrame,
        key_frame: bool,
    ) -> Result<Option<EncodedVideo>, CodecError>;

    /// Takes on other settings from the next picture on. A new size begins with a key frame.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`], and the old settings stay.
    fn configure(&mut self, config: &VideoEncoderConfig) -> Result<(), CodecError>;

    /// What it aims at now.
    fn config(&self) -> VideoEncoderConfig;
}

/// Turns a bitstream into pictures.
pub trait VideoDecoder: Send {
    /// Decodes one whole frame into a pooled buffer. `None` if it shows nothing.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`] for bytes that are no frame, that lean on a key frame that never
    /// came, or that claim a size above the decoder's limit (refused before memory is taken).
    fn decode(&mut self, data: &[u8]) -> Result<Option<Arc<I420Buffer>>, CodecError>;
}

/// What an audio encoder aims at. All of it may change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioEncoderConfig {
    /// Target in bits a second, 6,000 to 510,000.
    pub bitrate: u32,
    /// Packets in a hundred that are expected to be lost, 0 to 100.
    pub expected_loss: u8,
    /// Whether packets carry a coarse copy of their predecessor (in-band FEC).
    pub fec: bool,
    /// Whether silence is sent as next to nothing (discontinuous transmission).
    pub dtx: bool,
}

/// Turns sound into packets.
pub trait AudioEncoder: Send {
    /// Encodes one packet's worth of interleaved samples: 2.5, 5, 10, 20, 40 or 60 ms at the
    /// encoder's rate and channel count. An empty result means that nothing need be sent (DTX).
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] for another rate, channel count or length.
    fn encode(&mut self, sound: &AudioBuffer) -> Result<Bytes, CodecError>;

    /// Takes on other settings from the next packet on.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`], and the old settings stay.
    fn configure(&mut self, config: &AudioEncoderConfig) -> Result<(), CodecError>;

    /// What it aims at now.
    fn config(&self) -> AudioEncoderConfig;
}

/// Turns packets into sound. `out` is resized to what was decoded, at the decoder's rate and channel
/// count; its memory is used again.
pub trait AudioDecoder: Send {
    /// Decodes a packet.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`]; conceal instead.
    fn decode(&mut self, packet: &[u8], out: &mut AudioBuffer) -> Result<(), CodecError>;

    /// Recovers the packet before `next` from the copy in it, `frames` samples a channel; conceals
    /// where there is none.
    ///
    /// # Errors
    /// [`CodecError::Corrupt`]; conceal instead.
    fn decode_fec(
        &mut self,
        next: &[u8],
        frames: usize,
        out: &mut AudioBuffer,
    ) -> Result<(), CodecError>;

    /// Makes up `frames` samples a channel for a packet that is missing.
    ///
    /// # Errors
    /// [`CodecError::Unsupported`] if `frames` is no multiple of 2.5 ms.
    fn conceal(&mut self, frames: usize, out: &mut AudioBuffer) -> Result<(), CodecError>;

    /// How many samples a channel the packet holds; `None` if it is no packet.
    fn packet_frames(&self, packet: &[u8]) -> Option<usize>;
}
