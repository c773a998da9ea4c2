//! From a stream's frames to blocks in order: what a recording and a live URL share.
//!
//! What this module deliberately is not: it has no thread, no queue of frames and no clock. All time
//! is the frames' own.

mod audio;
mod video;

pub(crate) use video::KeyFrames;

use crate::interleave::Interleaver;
use crate::options::Bitrates;
use crate::timeline::Timeline;
use crate::webm::{Block, TrackEntry};
use audio::AudioLane;
use duet_codec::CodecError;
use duet_media::{Frame, MediaKind, MediaStreamTrack, MediaTime};
use std::time::Duration;
use video::VideoLane;

/// How a stream is encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodingConfig {
    /// For all tracks of a kind together.
    pub(crate) bitrates: Bitrates,
    pub(crate) key_frames: KeyFrames,
}

/// The encoders of a stream's tracks.
pub(crate) struct Encoding {
    tracks: Vec<MediaStreamTrack>,
    lanes: Vec<Lane>,
    timeline: Timeline,
    interleaver: Interleaver,
    /// The newest time that any track has shown.
    newest: Duration,
}

enum Lane {
    Audio(Box<AudioLane>),
    Video(Box<VideoLane>),
}

/// A track that is so far behind the others delivers nothing.
const LAG: Duration = Duration::from_secs(1);
/// Up to how far behind the others silence and black are made up for it.
const MADE_UP: Duration = Duration::from_millis(500);

impl Encoding {
    pub(crate) fn new(tracks: &[MediaStreamTrack], config: &EncodingConfig) -> Self {
        let share = |kind, total: u32| {
            let count = tracks.iter().filter(|track| track.kind() == kind).count();
            total / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
        };
        let audio = share(MediaKind::Audio, config.bitrates.audio);
        let video = share(MediaKind::Video, config.bitrates.video);
        let lanes = tracks
            .iter()
            .enumerate()
            .map(|(n, track)| match track.kind() {
                MediaKind::Audio => Lane::Audio(Box::new(AudioLane::new(n, audio))),
                MediaKind::Video => {
                    let frame_rate = track.get_settings().frame_rate.unwrap_or(30.0);
                    let lane = VideoLane::new(n, video, frame_rate, config.key_frames);
                    Lane::Video(Box::new(lane))
                }
            });
        Encoding {
            lanes: lanes.collect(),
            interleaver: Interleaver::new(tracks.len()),
            tracks: tracks.to_vec(),
            timeline: Timeline::default(),
            newest: Duration::ZERO,
        }
    }

    /// What was captured at `origin` follows what is encoded so far.
    pub(crate) fn begin(&mut self, origin: MediaTime) {
        self.timeline.begin(origin);
        self.want_key_frames();
    }

    /// Frames are left out until the next [`Encoding::begin`].
    pub(crate) fn pause(&mut self) {
        self.timeline.pause();
    }

    /// Whether frames are taken.
    pub(crate) fn runs(&self) -> bool {
        self.timeline.runs()
    }

    /// The next picture of each track is a key frame.
    pub(crate) fn want_key_frames(&mut self) {
        for lane in &mut self.lanes {
            if let Lane::Video(lane) = lane {
                lane.want_key_frame();
            }
        }
    }

    /// Takes a frame of the track of that number.
    ///
    /// # Errors
    /// [`CodecError`] if it cannot be encoded, and then no other can either.
    pub(crate) fn take(&mut self, track: usize, frame: &Frame) -> Result<(), CodecError> {
        let Encoding {
            lanes,
            timeline,
            interleaver,
            newest,
            ..
        } = self;
        let mut emit = |block: Block| interleaver.push(block);
        match (lanes.get_mut(track), frame) {
            (Some(Lane::Audio(lane)), Frame::Audio(sound)) => {
                let mut stretches = Vec::new();
                lane.reframe(sound, |stretch| stretches.push(stretch));
                for stretch in stretches {
                    if let Some(time) = timeline.place(stretch.capture_time) {
                        lane.push(&stretch.buffer, time, &mut emit)?;
                        *newest = (*newest).max(time);
                    }
                }
                timeline.reach(lane.end().unwrap_or_default());
            }
            (Some(Lane::Video(lane)), Frame::Video(picture)) => {
                if let Some(time) = timeline.place(picture.capture_time) {
                    lane.push(picture, time, &mut emit)?;
                    *newest = (*newest).max(time);
                    timeline.reach(lane.end().unwrap_or(time));
                }
            }
            _ => {}
        }
        self.make_up(self.newest)
    }

    /// No track has delivered anything for so long: devices whose tracks are all muted or disabled are let
    /// go, and deliver nothing then.
    ///
    /// # Errors
    /// As [`Encoding::take`].
    pub(crate) fn idle(&mut self, silent_for: Duration) -> Result<(), CodecError> {
        match self.timeline.runs() {
            true => self.make_up(self.newest + silent_for),
            false => Ok(()),
        }
    }

    /// There will be no more of that track.
    ///
    /// # Errors
    /// As [`Encoding::take`].
    pub(crate) fn end(&mut self, track: usize) -> Result<(), CodecError> {
        let Encoding {
            lanes, interleaver, ..
        } = self;
        if let Some(Lane::Audio(lane)) = lanes.get_mut(track) {
            lane.flush(&mut |block| interleaver.push(block))?;
        }
        interleaver.end(track);
        Ok(())
    }

    /// There will be no more at all: tracks whose sound fell silent are silent to the end.
    ///
    /// # Errors
    /// As [`Encoding::take`].
    pub(crate) fn finish(&mut self) -> Result<(), CodecError> {
        (0..self.lanes.len()).try_for_each(|track| self.end(track))
    }

    /// The next block, in the order of time.
    pub(crate) fn pop(&mut self) -> Option<Block> {
        self.interleaver.pop()
    }

    /// How long it is.
    pub(crate) fn duration(&self) -> Duration {
        self.timeline.end()
    }

    /// What the tracks are. From then on they stay it: sound keeps its number of channels.
    pub(crate) fn describe(&mut self) -> Vec<TrackEntry> {
        let lanes = self.lanes.iter_mut().zip(&self.tracks);
        let entries = lanes.map(|(lane, track)| {
            let settings = track.get_settings();
            match lane {
                Lane::Audio(lane) => {
                    let promised = settings.channel_count.unwrap_or(1);
                    let channels = lane.channels(u16::try_from(promised).unwrap_or(2));
                    TrackEntry::Audio {
                        channels: channels as u8,
                    }
                }
                Lane::Video(lane) => {
                    let promised = (
                        settings.width.unwrap_or(640),
                        settings.height.unwrap_or(480),
                    );
                    let (width, height) = lane.size(promised);
                    TrackEntry::Video { width, height }
                }
            }
        });
        entries.collect()
    }

    /// A track that has delivered nothing for long before `now` is silent, or black if nothing is to be seen.
    fn make_up(&mut self, now: Duration) -> Result<(), CodecError> {
        let Encoding {
            tracks,
            lanes,
            interleaver,
            timeline,
            ..
        } = self;
        let mut emit = |block: Block| interleaver.push(block);
        let until = now.saturating_sub(MADE_UP);
        let lags = |end: Option<Duration>| end.is_some_and(|end| end + LAG < now);
        for (lane, track) in lanes.iter_mut().zip(tracks) {
            match lane {
                Lane::Audio(lane) if lags(lane.end()) => {
                    lane.fill(until, &mut emit)?;
                    timeline.reach(lane.end().unwrap_or_default());
                }
                Lane::Video(lane) if lags(lane.end()) && (track.muted() || !track.enabled()) => {
                    lane.push_black(until, &mut emit)?;
                    timeline.reach(lane.end().unwrap_or_default());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
