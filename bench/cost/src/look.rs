//! An encoder that only looks: at what memory it is given, and when.

use crate::cpu;
use bytes::Bytes;
use duet::codec::{CodecError, EncodedVideo, VideoEncoder, VideoEncoderConfig};
use duet::media::{I420Buffer, VideoFrame};
use duet::peer::pipeline::MakeVideoEncoder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What an encoder has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// Pictures.
    pub(crate) count: AtomicU64,
    /// Encoders that were made.
    pub(crate) encoders: AtomicU64,
    /// Where the last picture's bytes are.
    place: AtomicUsize,
    /// What the encoder's thread had used when the last one came, in nanoseconds.
    used: AtomicU64,
}

impl Seen {
    pub(crate) fn place(&self) -> usize {
        self.place.load(Ordering::Acquire)
    }

    pub(crate) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Acquire))
    }

    /// How a hub makes such encoders.
    pub(crate) fn maker(self: &Arc<Self>) -> MakeVideoEncoder {
        let seen = self.clone();
        Arc::new(move |config| {
            seen.encoders.fetch_add(1, Ordering::AcqRel);
            Ok(Box::new(Look {
                seen: seen.clone(),
                config: *config,
            }))
        })
    }
}

/// Where a picture's bytes are.
pub(crate) fn place(picture: &I420Buffer) -> usize {
    picture.y().as_ptr().addr()
}

struct Look {
    seen: Arc<Seen>,
    config: VideoEncoderConfig,
}

impl VideoEncoder for Look {
    fn encode(
        &mut self,
        frame: &VideoFrame,
        key_frame: bool,
    ) -> Result<Option<EncodedVideo>, CodecError> {
        let used = u64::try_from(cpu::of_this_thread().as_nanos()).unwrap_or(u64::MAX);
        self.seen
            .place
            .store(place(&frame.buffer), Ordering::Release);
        self.seen.used.store(used, Ordering::Release);
        self.seen.count.fetch_add(1, Ordering::AcqRel);
        Ok(Some(EncodedVideo {
            data: Bytes::from_static(b"seen"),
            key_frame,
            capture_time: frame.capture_time,
            width: frame.width(),
            height: frame.height(),
            layer: None,
        }))
    }

    fn configure(&mut self, config: &VideoEncoderConfig) -> Result<(), CodecError> {
        self.config = *config;
        Ok(())
    }

    fn config(&self) -> VideoEncoderConfig {
        self.config
    }
}
