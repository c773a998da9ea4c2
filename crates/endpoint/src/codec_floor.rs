//! What the codecs alone would cost: the same pictures and the same sound, encoded and decoded on one
//! thread with nothing else around them.

use crate::resources::thread_time;
use duet_codec::{AudioCodec, AudioEncoderConfig, CodecError, VideoCodec, VideoEncoderConfig};
use duet_devices::synthetic::{Painter, hear};
use duet_media::{AudioBuffer, I420Buffer, MediaTime, VideoFrame};
use std::sync::Arc;
use std::time::Duration;

/// Pictures and seconds that are measured.
const SECONDS: u32 = 5;
/// A moment of the wall clock; which one does not matter.
const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// Cores that encoding and decoding one stream of each kind take, both ends together.
pub(crate) fn measure(
    video: Option<VideoEncoderConfig>,
    audio: Option<AudioEncoderConfig>,
) -> Result<f64, CodecError> {
    let mut used = Duration::ZERO;
    if let Some(config) = video {
        used += measure_video(config)?;
    }
    if let Some(config) = audio {
        used += measure_audio(config)?;
    }
    Ok(used.as_secs_f64() / f64::from(SECONDS))
}

fn measure_video(config: VideoEncoderConfig) -> Result<Duration, CodecError> {
    let mut encoder = VideoCodec::Vp8.encoder(&config)?;
    let mut decoder = VideoCodec::Vp8.decoder()?;
    let painter = Painter::new(config.width, config.height);
    let mut used = Duration::ZERO;
    let frames = (config.frame_rate * f64::from(SECONDS)) as u32;
    for number in 0..frames {
        let at = Duration::from_secs_f64(f64::from(number) / config.frame_rate);
        let mut picture = I420Buffer::default();
        painter.paint(number, UNIX + at, false, &mut picture);
        let frame = VideoFrame::new(Arc::new(picture), MediaTime::ZERO + at);
        let before = thread_time();
        if let Some(encoded) = encoder.encode(&frame, number == 0)? {
            decoder.decode(&encoded.data)?;
        }
        used += thread_time().saturating_sub(before);
    }
    Ok(used)
}

fn measure_audio(config: AudioEncoderConfig) -> Result<Duration, CodecError> {
    let mut encoder = AudioCodec::Opus.encoder(1, &config)?;
    let mut decoder = AudioCodec::Opus.decoder(1)?;
    let mut sound = AudioBuffer::new(48_000, 1, 960);
    let mut out = AudioBuffer::default();
    let mut used = Duration::ZERO;
    for packet in 0..SECONDS * 50 {
        hear(UNIX + Duration::from_millis(20) * packet, &mut sound);
        let before = thread_time();
        let encoded = encoder.encode(&sound)?;
        if !encoded.is_empty() {
            decoder.decode(&encoded, &mut out)?;
        }
        used += thread_time().saturating_sub(before);
    }
    Ok(used)
}
