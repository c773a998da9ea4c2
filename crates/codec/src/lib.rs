//! Opus and VP8 behind small traits.
//!
//! A codec here turns frames into bytes and back, and takes new settings while it runs. What it
//! deliberately is not: it has no thread, no queue and no clock, and decides nothing: when a key
//! frame is due and how many bits there are is its caller's business.

mod traits;

pub use traits::{
    AudioDecoder, AudioEncoder, AudioEncoderConfig, CodecError, EncodedVideo, VideoDecoder,
    VideoEncoder, VideoEncoderConfig,
};
