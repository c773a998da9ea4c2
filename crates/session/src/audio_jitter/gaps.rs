//! What is played where something is missing.

use super::{After, AudioAction, AudioJitterBuffer, BLOCK_FRAMES, CONCEAL_FADE, State};
use bytes::Bytes;

impl AudioJitterBuffer {
    /// `gap` samples are missing before a packet that is there.
    pub(super) fn bridge(&mut self, gap: usize, next: Bytes) -> AudioAction {
        if self.concealed >= CONCEAL_FADE.end {
            self.state = State::Lost;
            return self.pause();
        }
        let frames = self.packet_frames;
        let keep = if gap <= frames {
            gap
        } else {
            (gap - frames).min(BLOCK_FRAMES)
        };
        self.position = self.position.map(|p| p + keep as i64);
        self.ahead = 0;
        if gap <= frames {
            // Whether it is recovered or made up, the engine knows and counts.
            AudioAction::DecodeFec { next, frames, keep }
        } else {
            self.count_concealed(keep);
            AudioAction::Conceal { frames: keep }
        }
    }

    /// Something should be playing, and there is nothing.
    pub(super) fn starve(&mut self) -> AudioAction {
        self.state = match self.after_quiet {
            After::Announcement => State::Comfort,
            After::Quiet => State::Doubt(0),
            After::Sound if self.concealed >= CONCEAL_FADE.end => State::Lost,
            After::Sound => {
                self.made_up(BLOCK_FRAMES);
                self.count_concealed(BLOCK_FRAMES);
                return AudioAction::Conceal {
                    frames: BLOCK_FRAMES,
                };
            }
        };
        self.pause()
    }

    pub(super) fn pause(&mut self) -> AudioAction {
        self.made_up(BLOCK_FRAMES);
        match &mut self.state {
            State::Lost => {
                self.stats.concealed_samples += BLOCK_FRAMES as u64;
                self.stats.silent_concealed_samples += BLOCK_FRAMES as u64;
            }
            State::Doubt(samples) => *samples += BLOCK_FRAMES as u64,
            State::Starting | State::Playing | State::Comfort => {}
        }
        AudioAction::Silence {
            comfort: matches!(self.state, State::Comfort | State::Doubt(_)),
        }
    }

    fn made_up(&mut self, frames: usize) {
        self.position = self.position.map(|p| p.saturating_add(frames as i64));
        self.ahead += frames as i64;
    }

    pub(super) fn count_concealed(&mut self, frames: usize) {
        if self.concealed == 0 {
            self.stats.concealment_events += 1;
        }
        self.concealed += frames;
        self.stats.concealed_samples += frames as u64;
    }
}
