//! Opus and VP8 behind small traits.
//!
//! A codec here turns frames into bytes and back, and takes new settings while it runs. What it
//! deliberately is not: it has no thread, no queue and no clock, and decides nothing: when a key
//! frame is due and how many bits there are is its caller's business.
//!
//! ```
//! use duet_codec::{VideoCodec, VideoEncoderConfig};
//! use duet_media::{I420Buffer, MediaTime, VideoFrame};
//!
//! let codec: VideoCodec = "VP8".parse()?;
//! let mut encoder = codec.encoder(&VideoEncoderConfig {
//!     width: 320,
//!     height: 180,
//!     frame_rate: 30.0,
//!     bitrate: 300_000,
//!     temporal_layers: 1,
//! })?;
//! let mut decoder = codec.decoder()?;
//!
//! let picture = VideoFrame::new(I420Buffer::new(320, 180).into(), MediaTime::ZERO);
//! let encoded = encoder.encode(&picture, false)?.expect("the first frame is never dropped");
//! assert!(encoded.key_frame);
//! let shown = decoder.decode(&encoded.data)?.expect("a shown frame");
//! assert_eq!((shown.width(), shown.height()), (320, 180));
//! # Ok::<(), duet_codec::CodecError>(())
//! ```

mod opus;
mod registry;
mod traits;
mod vp8;

pub use self::opus::{OpusApplication, OpusDecoder, OpusEncoder, OpusEncoderOptions};
pub use registry::{AudioCodec, VideoCodec};
pub use traits::{
    AudioDecoder, AudioEncoder, AudioEncoderConfig, CodecError, EncodedLayer, EncodedVideo,
    VideoDecoder, VideoEncoder, VideoEncoderConfig,
};
pub use vp8::{Vp8Decoder, Vp8DecoderOptions, Vp8Encoder, Vp8EncoderOptions};
