//! What a recorder is asked for.

use std::time::Duration;

/// [`BitrateMode`](https://w3c.github.io/mediacapture-record/#bitratemode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BitrateMode {
    /// Every second takes as much as any other. Not to be had here: a recorder answers with
    /// [`BitrateMode::Variable`].
    Constant,
    /// What is harder to encode takes more.
    #[default]
    Variable,
}

impl BitrateMode {
    /// The W3C's string.
    pub fn as_str(self) -> &'static str {
        match self {
            BitrateMode::Constant => "constant",
            BitrateMode::Variable => "variable",
        }
    }
}

/// [`MediaRecorderOptions`](https://w3c.github.io/mediacapture-record/#mediarecorderoptions-section).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaRecorderOptions {
    /// The container and, if it matters, its codecs. Empty: the recorder chooses.
    pub mime_type: String,
    /// Target for all sound together, in bits a second.
    pub audio_bits_per_second: Option<u32>,
    /// Target for all pictures together, in bits a second.
    pub video_bits_per_second: Option<u32>,
    /// Target for everything, in bits a second; goes before the other two.
    pub bits_per_second: Option<u32>,
    /// How the bits for sound are spread.
    pub audio_bitrate_mode: BitrateMode,
    /// A key frame is made of the first picture that comes so long after the last one.
    pub video_key_frame_interval_duration: Option<Duration>,
    /// A key frame is made after so many pictures without one. Not together with the duration.
    pub video_key_frame_interval_count: Option<u32>,
}

/// The two targets, in bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bitrates {
    pub(crate) audio: u32,
    pub(crate) video: u32,
}

/// Which kinds of tracks there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) audio: bool,
    pub(crate) video: bool,
}

impl MediaRecorderOptions {
    /// Pictures, where nothing else was said.
    const VIDEO: u32 = 2_500_000;
    /// Sound, where nothing else was said.
    const AUDIO: u32 = 128_000;
    /// The least that Opus does.
    const LEAST_AUDIO: u32 = 6_000;
    /// The least that pictures are asked for.
    const LEAST_VIDEO: u32 = 10_000;

    /// The targets that a recorder names before it knows what it will record.
    pub(crate) fn bitrates(&self) -> Bitrates {
        match self.bits_per_second {
            None => Bitrates {
                audio: self.audio_bits_per_second.unwrap_or(Self::AUDIO),
                video: self.video_bits_per_second.unwrap_or(Self::VIDEO),
            },
            Some(total) => {
                let audio = (total / 10).clamp(Self::LEAST_AUDIO, Self::AUDIO);
                let video = total.saturating_sub(audio).max(Self::LEAST_VIDEO);
                Bitrates { audio, video }
            }
        }
    }

    /// The targets for tracks of these kinds. Only a common target is shared out anew.
    pub(crate) fn bitrates_for(&self, kinds: Kinds) -> Bitrates {
        match (self.bits_per_second, kinds.audio, kinds.video) {
            (Some(total), true, false) => Bitrates {
                audio: total.max(Self::LEAST_AUDIO),
                video: 0,
            },
            (Some(total), false, true) => Bitrates {
                audio: 0,
                video: total.max(Self::LEAST_VIDEO),
            },
            _ => self.bitrates(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_target_is_shared_out_and_goes_before_the_others() {
        let both = Kinds {
            audio: true,
            video: true,
        };
        for (total, near) in [(0, 16_000), (500_000, 500_000), (2_000_000, 2_000_000)] {
            let options = MediaRecorderOptions {
                bits_per_second: Some(total),
                audio_bits_per_second: Some(1),
                video_bits_per_second: Some(1),
                ..Default::default()
            };
            let Bitrates { audio, video } = options.bitrates();
            assert!(audio > 1 && video > 1);
            assert_eq!(audio + video, near);
            assert_eq!(options.bitrates_for(both), options.bitrates());
            let only_audio = Kinds {
                video: false,
                ..both
            };
            assert_eq!(options.bitrates_for(only_audio).video, 0);
        }
    }

    #[test]
    fn targets_of_their_own_are_taken_as_they_are() {
        let options = MediaRecorderOptions {
            audio_bits_per_second: Some(0),
            ..Default::default()
        };
        let chosen = options.bitrates();
        assert_eq!((chosen.audio, chosen.video), (0, 2_500_000));
        let only_video = Kinds {
            audio: false,
            video: true,
        };
        assert_eq!(options.bitrates_for(only_video), chosen);
    }
}
