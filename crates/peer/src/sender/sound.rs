//! How a sender's sound is encoded and packed: by what the path does, and what the other side takes.
//!
//! It decides nothing: that is [`AudioSendPolicy`]'s business.

use super::{Outbound, RTCRtpSender};
use crate::RTCRtpCodecParameters;
use crate::interceptor::Redundancy;
use crate::pipeline::AudioSendSettings;
use crate::sdp::{OpusParameters, SoundTypes};
use duet_session::{AudioLimits, AudioPath, AudioSendPolicy};

/// What is known of both.
#[derive(Debug)]
pub(super) struct Sound {
    policy: AudioSendPolicy,
    pub(super) settings: AudioSendSettings,
    wished: Option<OpusParameters>,
    /// The payload type of redundancy, where it was agreed on.
    red: Option<u8>,
}

impl Default for Sound {
    fn default() -> Self {
        Sound {
            policy: AudioSendPolicy::new(AudioLimits::default()),
            settings: AudioSendSettings::default(),
            wished: None,
            red: None,
        }
    }
}

impl Sound {
    fn limit(&mut self) {
        let red = self.red.is_some();
        let unknown = AudioLimits {
            red,
            ..Default::default()
        };
        let limits = self.wished.map_or(unknown, |wished| wished.limits(red));
        self.policy.set_limits(limits);
    }
}

impl RTCRtpSender {
    /// What the other side wishes of its sound.
    pub(crate) fn set_opus(&self, wished: OpusParameters) {
        let Outbound::Audio(audio) = self.outbound() else {
            return;
        };
        let mut state = self.0.state.lock();
        let sound = &mut state.sound;
        sound.settings.channels = if wished.stereo { 2 } else { 1 };
        sound.settings.fec = wished.fec;
        sound.settings.dtx = wished.dtx;
        sound.wished = Some(wished);
        sound.limit();
        audio.set_settings(sound.settings);
    }

    /// What it sends was agreed on anew.
    pub(super) fn agree_on_sound(&self, codecs: &[RTCRtpCodecParameters]) {
        let red = SoundTypes::of(codecs).and_then(|sound| sound.red);
        let mut state = self.0.state.lock();
        if state.sound.red != red {
            state.sound.red = red;
            state.sound.limit();
            self.0.path.set_redundancy(self.0.ssrc, None);
        }
    }

    /// Takes on its share of what the path carries; returns what it takes on top of that for copies, in
    /// bits a second.
    pub(crate) fn allot_sound(&self, path: AudioPath) -> u64 {
        let Outbound::Audio(audio) = self.outbound() else {
            return 0;
        };
        let mut state = self.0.state.lock();
        let encoding = state.encodings.first();
        let most = encoding.and_then(|encoding| encoding.parameters.max_bitrate);
        let most = most.map_or(u64::MAX, u64::from);
        let path = AudioPath {
            share_bps: path.share_bps.min(most),
            ..path
        };
        let sound = &mut state.sound;
        let sending = sound.policy.update(path, self.0.path.now());
        sound.settings.packet_time = sending.packet_time;
        audio.set_settings(sound.settings);
        audio.set_target_bitrate(u32::try_from(sending.bitrate_bps).unwrap_or(u32::MAX));
        audio.set_expected_loss(sending.expected_loss);
        let copies = sound.red.filter(|_| sending.copies > 0);
        let redundancy = copies.map(|payload_type| Redundancy {
            payload_type,
            copies: sending.copies,
        });
        self.0.path.set_redundancy(self.0.ssrc, redundancy);
        sending.bitrate_bps * u64::from(sending.copies)
    }
}
