//! Pictures of one track, encoded.

use crate::webm::Block;
use duet_codec::{CodecError, VideoEncoder, VideoEncoderConfig, Vp8Encoder, Vp8EncoderOptions};
use duet_media::{I420Buffer, MediaTime, VideoFrame};
use std::sync::Arc;
use std::time::Duration;

/// When key frames are made, beyond the first one and those after a change of size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFrames {
    /// With the first picture that is so much later than the last one.
    After(Duration),
    /// After so many pictures without one.
    Every(u32),
}

impl Default for KeyFrames {
    /// Places to seek to, few enough to cost little.
    fn default() -> Self {
        KeyFrames::After(Duration::from_secs(4))
    }
}

/// Turns the pictures of a track into VP8. None is left out.
pub(super) struct VideoLane {
    track: usize,
    bitrate: u32,
    frame_rate: f64,
    key_frames: KeyFrames,
    /// Of the first picture, or what the track promised when the file's head was written.
    size: Option<(u32, u32)>,
    encoder: Option<Vp8Encoder>,
    /// A picture of the last one's size, all black.
    black: Option<Arc<I420Buffer>>,
    /// When the last picture was, and how long it is taken to last.
    last: Option<(Duration, Duration)>,
    since_key: Option<(Duration, u32)>,
    key_wanted: bool,
}

impl VideoLane {
    /// How long a picture lasts when nobody knows.
    const INTERVAL: Duration = Duration::from_millis(33);

    pub(super) fn new(track: usize, bitrate: u32, frame_rate: f64, key_frames: KeyFrames) -> Self {
        VideoLane {
            track,
            bitrate: bitrate.max(10_000),
            frame_rate: frame_rate.clamp(1.0, 240.0),
            key_frames,
            size: None,
            encoder: None,
            black: None,
            last: None,
            since_key: None,
            key_wanted: false,
        }
    }

    /// The size to write into the file's head; `wanted` decides if nothing has yet.
    pub(super) fn size(&mut self, wanted: (u32, u32)) -> (u32, u32) {
        *self.size.get_or_insert(wanted)
    }

    /// The next picture is a key frame.
    pub(super) fn want_key_frame(&mut self) {
        self.key_wanted = true;
    }

    /// Takes a picture that belongs at `time`. One that is no later than its predecessor is left out:
    /// nobody would see it.
    pub(super) fn push(
        &mut self,
        picture: &VideoFrame,
        time: Duration,
        emit: &mut impl FnMut(Block),
    ) -> Result<(), CodecError> {
        let size = (picture.width(), picture.height());
        if size.0 == 0 || size.1 == 0 || self.last.is_some_and(|(last, _)| time <= last) {
            return Ok(());
        }
        self.size(size);
        let due = self.key_wanted
            || match (self.key_frames, self.since_key) {
                (_, None) => true,
                (KeyFrames::After(after), Some((at, _))) => time.saturating_sub(at) >= after,
                (KeyFrames::Every(count), Some((_, since))) => since >= count.max(1),
            };
        let encoder = self.encoder_for(size)?;
        let Some(encoded) = encoder.encode(picture, due)? else {
            return Ok(());
        };
        let lasts = self.last.map_or(Self::INTERVAL, |(last, _)| {
            (time - last).min(Self::INTERVAL * 3)
        });
        self.last = Some((time, lasts));
        match (encoded.key_frame, &mut self.since_key) {
            (false, Some((_, since))) => *since += 1,
            _ => {
                self.since_key = Some((time, 1));
                self.key_wanted = false;
            }
        }
        emit(Block {
            track: self.track,
            time,
            duration: lasts,
            key_frame: encoded.key_frame,
            data: encoded.data,
        });
        Ok(())
    }

    /// A black picture at `time`, of the last one's size.
    pub(super) fn push_black(
        &mut self,
        time: Duration,
        emit: &mut impl FnMut(Block),
    ) -> Result<(), CodecError> {
        let Some(size) = self.encoder.as_ref().map(|encoder| {
            let config = encoder.config();
            (config.width, config.height)
        }) else {
            return Ok(());
        };
        let black = match &self.black {
            Some(black) if (black.width(), black.height()) == size => black.clone(),
            _ => Arc::new(I420Buffer::new(size.0, size.1)),
        };
        self.black = Some(black.clone());
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let picture = VideoFrame::new(black, MediaTime::from_nanos(nanos));
        self.push(&picture, time, emit)
    }

    /// Where its last picture ends, as far as anybody knows.
    pub(super) fn end(&self) -> Option<Duration> {
        self.last.map(|(time, lasts)| time + lasts)
    }

    fn encoder_for(&mut self, (width, height): (u32, u32)) -> Result<&mut Vp8Encoder, CodecError> {
        let config = VideoEncoderConfig {
            width,
            height,
            frame_rate: self.frame_rate,
            bitrate: self.bitrate,
            temporal_layers: 1,
        };
        match &mut self.encoder {
            Some(encoder) => {
                // A new size begins with a key frame.
                encoder.configure(&config)?;
                Ok(encoder)
            }
            none => Ok(none.insert(Vp8Encoder::new(&config, options(width, height))?)),
        }
    }
}

/// A recording has time for larger key frames than a call, and must keep every picture.
fn options(width: u32, height: u32) -> Vp8EncoderOptions {
    let large = u64::from(width) * u64::from(height) > 1280 * 720;
    Vp8EncoderOptions {
        speed: if large { 12 } else { 8 },
        max_key_frame: Duration::from_millis(400),
        drop_threshold: 0,
        ..Vp8EncoderOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(key_frames: KeyFrames, pictures: &[(u32, u64)]) -> Vec<(bool, u128)> {
        let mut lane = VideoLane::new(0, 100_000, 30.0, key_frames);
        let mut blocks = Vec::new();
        for &(width, millis) in pictures {
            let picture = Arc::new(I420Buffer::new(width, 32));
            let frame = VideoFrame::new(picture, MediaTime::from_millis(millis as i64));
            lane.push(&frame, Duration::from_millis(millis), &mut |block| {
                blocks.push((block.key_frame, block.time.as_millis()));
            })
            .unwrap();
        }
        blocks
    }

    #[test]
    fn key_frames_come_when_they_were_asked_for() {
        let pictures: Vec<_> = (0..8).map(|n| (32, n * 40)).collect();
        let keys = |key_frames| -> Vec<_> {
            let blocks = run(key_frames, &pictures).into_iter().enumerate();
            blocks
                .filter_map(|(n, (key, _))| key.then_some(n))
                .collect()
        };
        assert_eq!(keys(KeyFrames::default()), [0]);
        assert_eq!(keys(KeyFrames::Every(3)), [0, 3, 6]);
        assert_eq!(
            keys(KeyFrames::After(Duration::from_millis(100))),
            [0, 3, 6]
        );
    }

    #[test]
    fn a_new_size_begins_with_a_key_frame_and_time_does_not_go_back() {
        let blocks = run(
            KeyFrames::default(),
            &[(32, 0), (32, 40), (64, 80), (64, 60), (0, 100), (64, 120)],
        );
        assert_eq!(blocks, [(true, 0), (false, 40), (true, 80), (false, 120)]);
    }
}
