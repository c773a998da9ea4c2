//! Sound in a media section: what the other side wishes of the Opus that it is sent, and the payload
//! types that its sound has.

use super::{attribute, attributes};
use crate::RTCRtpCodecParameters;
use duet_session::AudioLimits;
use std::time::Duration;

/// What the other side wishes of the Opus that it is sent
/// ([RFC 7587](https://www.rfc-editor.org/rfc/rfc7587#section-6.1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpusParameters {
    pub(crate) stereo: bool,
    pub(crate) fec: bool,
    pub(crate) dtx: bool,
    /// `ptime`, `minptime` and `maxptime`.
    pub(crate) packet_time: Option<Duration>,
    pub(crate) min_packet_time: Duration,
    pub(crate) max_packet_time: Duration,
}

/// The payload types that sound comes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SoundTypes {
    /// Packets of Opus.
    pub(crate) opus: u8,
    /// Such packets with earlier ones beside them
    /// ([RFC 2198](https://www.rfc-editor.org/rfc/rfc2198)), if that was agreed on.
    pub(crate) red: Option<u8>,
}

impl OpusParameters {
    /// Of a section's lines; `None` if it has no Opus.
    pub(super) fn read(lines: &[&str]) -> Option<Self> {
        let payload = opus_payload(lines)?;
        let pairs = || {
            let parameters = attributes(lines, "fmtp")
                .find_map(|value| value.strip_prefix(payload)?.strip_prefix(' '));
            let pairs = parameters.unwrap_or_default().split(';');
            pairs.filter_map(|pair| pair.trim().split_once('='))
        };
        let value = |name: &str| pairs().find_map(|(key, value)| (key == name).then_some(value));
        let is_set = |name: &str| value(name) == Some("1");
        // Nobody means less than a millisecond or more than a second.
        let time = |told: Option<&str>| {
            let millis: u64 = told?.trim().parse().ok()?;
            (1..=1_000)
                .contains(&millis)
                .then(|| Duration::from_millis(millis))
        };
        let usual = AudioLimits::default();
        Some(OpusParameters {
            stereo: is_set("stereo"),
            fec: is_set("useinbandfec"),
            dtx: is_set("usedtx"),
            packet_time: time(attribute(lines, "ptime")),
            min_packet_time: time(value("minptime")).unwrap_or(usual.min_packet_time),
            max_packet_time: time(attribute(lines, "maxptime")).unwrap_or(usual.max_packet_time),
        })
    }

    /// What its packets may be; `red`: it reads whole copies.
    pub(crate) fn limits(&self, red: bool) -> AudioLimits {
        AudioLimits {
            packet_time: self.packet_time,
            min_packet_time: self.min_packet_time,
            max_packet_time: self.max_packet_time,
            red,
        }
    }
}

impl SoundTypes {
    /// Of the codecs of a section, or of those agreed on; `None` without Opus.
    pub(crate) fn of(codecs: &[RTCRtpCodecParameters]) -> Option<Self> {
        let named = |name: &'static str| {
            codecs.iter().filter(move |one| {
                let codec = &one.codec;
                codec.mime_type.eq_ignore_ascii_case(name)
                    && (codec.clock_rate, codec.channels) == (48_000, Some(2))
            })
        };
        let opus = named("audio/opus").next()?.payload_type;
        let of_opus = |format: &str| format.trim().parse() == Ok(opus);
        let mut red = named("audio/red").filter(|red| {
            let formats = red.codec.sdp_fmtp_line.as_deref();
            formats.is_some_and(|formats| formats.split('/').all(of_opus))
        });
        Some(SoundTypes {
            opus,
            red: red.next().map(|red| red.payload_type),
        })
    }
}

/// The payload type of Opus, as it is written.
pub(super) fn opus_payload<'a>(lines: &'a [&'a str]) -> Option<&'a str> {
    attributes(lines, "rtpmap").find_map(|value| {
        let (payload, codec) = value.split_once(' ')?;
        codec
            .to_ascii_lowercase()
            .starts_with("opus/")
            .then_some(payload)
    })
}

/// What of Opus's `parameters` does not speak against `ours`. They are wishes of each side for what it
/// is sent, and need not be alike; the substrate takes Opus with others for another codec.
pub(super) fn without_contradictions(parameters: &str, ours: &str) -> String {
    let ours: Vec<(&str, &str)> = ours
        .split(';')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let agrees = |pair: &&str| {
        let (key, value) = pair.trim().split_once('=').unwrap_or((pair, ""));
        let mut ours = ours.iter();
        ours.all(|(our, wish)| *our != key || *wish == value)
    };
    let kept: Vec<&str> = parameters.split(';').filter(agrees).collect();
    kept.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::codecs::read;
    use duet_media::MediaKind;

    fn section<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let lines = [
            "m=audio 9 UDP/TLS/RTP/SAVPF 96 97",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:97 red/48000/2",
        ];
        lines.iter().chain(more).copied().collect()
    }

    fn types(more: &[&str]) -> Option<SoundTypes> {
        SoundTypes::of(&read(&section(more), MediaKind::Audio))
    }

    #[test]
    fn redundancy_is_of_opus_or_none() {
        let types_of = |red| Some(SoundTypes { opus: 96, red });
        assert_eq!(types(&["a=fmtp:97 96/96"]), types_of(Some(97)));
        assert_eq!(types(&["a=fmtp:97 96/96/96"]), types_of(Some(97)));
        assert_eq!(types(&["a=fmtp:97 96/0"]), types_of(None));
        assert_eq!(types(&["a=fmtp:97 "]), types_of(None));
        assert_eq!(types(&[]), types_of(None), "of what, it does not say");
        assert_eq!(SoundTypes::of(&[]), None);
    }

    #[test]
    fn packet_times_are_read_or_usual() {
        let read = |more: &[&str]| OpusParameters::read(&section(more)).unwrap().limits(false);
        assert_eq!(read(&[]), AudioLimits::default());
        let told = read(&[
            "a=fmtp:96 minptime=20;useinbandfec=1",
            "a=ptime:40",
            "a=maxptime:40",
        ]);
        let millis = Duration::from_millis;
        assert_eq!(told.packet_time, Some(millis(40)));
        assert_eq!(told.min_packet_time, millis(20));
        assert_eq!(told.max_packet_time, millis(40));
        let nonsense = read(&[
            "a=fmtp:96 minptime=0",
            "a=ptime:99999999999999999999",
            "a=maxptime:-3",
        ]);
        assert_eq!(nonsense, AudioLimits::default());
    }

    #[test]
    fn only_contradictions_are_left_out() {
        let ours = "minptime=10;useinbandfec=1;stereo=1";
        let kept = |theirs| without_contradictions(theirs, ours);
        assert_eq!(
            kept("minptime=10;useinbandfec=1"),
            "minptime=10;useinbandfec=1"
        );
        assert_eq!(
            kept("minptime=20; stereo=0;usedtx=1;useinbandfec=1"),
            "usedtx=1;useinbandfec=1"
        );
    }
}
