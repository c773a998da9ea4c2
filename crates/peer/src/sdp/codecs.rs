//! Codecs and header extensions of a media section: read, and picked by what a transceiver prefers.

use super::{attribute, attributes};
use crate::{RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters};
use duet_media::MediaKind;

/// The codecs of a section, in its order. Static payload types without an `rtpmap` are passed over.
pub(super) fn read(lines: &[&str], kind: MediaKind) -> Vec<RTCRtpCodecParameters> {
    let formats = lines[0].split_whitespace().skip(3);
    formats
        .filter_map(|format| codec(lines, kind, format))
        .collect()
}

fn codec(lines: &[&str], kind: MediaKind, format: &str) -> Option<RTCRtpCodecParameters> {
    let payload_type = format.parse().ok().filter(|payload| *payload < 128)?;
    let of_format = |value: &str| Some(value.strip_prefix(format)?.strip_prefix(' ')?.to_owned());
    let map = attributes(lines, "rtpmap").find_map(of_format)?;
    let mut parts = map.trim().split('/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    let clock_rate = parts.next()?.parse().ok()?;
    let channels = match parts.next() {
        Some(channels) => Some(channels.parse().ok()?),
        None => (kind == MediaKind::Audio).then_some(1),
    };
    Some(RTCRtpCodecParameters {
        payload_type,
        codec: RTCRtpCodec {
            mime_type: format!("{kind}/{name}"),
            clock_rate,
            channels,
            sdp_fmtp_line: attributes(lines, "fmtp").find_map(of_format),
        },
    })
}

/// The header extensions of a section.
pub(super) fn extensions(lines: &[&str]) -> Vec<RTCRtpHeaderExtensionParameters> {
    let read = |value: &str| {
        let (id, uri) = value.split_once(' ')?;
        Some(RTCRtpHeaderExtensionParameters {
            uri: uri.split(' ').next()?.to_owned(),
            id: id.split('/').next()?.parse().ok()?,
            encrypted: false,
        })
    };
    attributes(lines, "extmap").filter_map(read).collect()
}

/// The canonical name of who sends the section.
pub(super) fn cname(lines: &[&str]) -> Option<String> {
    let mut sources = attributes(lines, "ssrc");
    sources.find_map(|value| Some(value.split_once(" cname:")?.1.to_owned()))
}

/// A section with no other codecs than those preferred, in that order. As it was if it has none of
/// them.
pub(super) fn select(lines: &[&str], kind: MediaKind, preferred: &[RTCRtpCodec]) -> Vec<String> {
    let whole = || lines.iter().map(|line| (*line).to_owned()).collect();
    let known = read(lines, kind);
    let mut kept: Vec<&RTCRtpCodecParameters> = Vec::new();
    for wanted in preferred {
        for codec in &known {
            let repairs = codec.codec.repaired();
            let same = match repairs {
                // Which payload type is repaired differs from one section to the next.
                Some(_) => wanted.is_auxiliary() && wanted.clock_rate == codec.codec.clock_rate,
                None => wanted.is_same_codec(&codec.codec),
            };
            if same && !kept.contains(&codec) {
                kept.push(codec);
            }
        }
    }
    let repaired = |codec: &RTCRtpCodecParameters| {
        let primary = codec.codec.repaired();
        primary.is_none_or(|primary| kept.iter().any(|kept| kept.payload_type == primary))
    };
    let payloads: Vec<u8> = kept
        .iter()
        .filter(|codec| repaired(codec))
        .map(|codec| codec.payload_type)
        .collect();
    if payloads.is_empty() {
        return whole();
    }
    let mut out = Vec::with_capacity(lines.len());
    let words: Vec<&str> = lines[0].split_whitespace().take(3).collect();
    let formats: Vec<String> = payloads.iter().map(u8::to_string).collect();
    out.push(format!("{} {}", words.join(" "), formats.join(" ")));
    let of_codec = |line: &str| {
        let names = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"];
        names
            .iter()
            .find_map(|name| line.strip_prefix(name))?
            .split(' ')
            .next()?
            .parse::<u8>()
            .ok()
    };
    let first = lines.iter().position(|line| of_codec(line).is_some());
    for (at, line) in lines.iter().enumerate().skip(1) {
        if Some(at) == first {
            for payload in &payloads {
                let own = lines.iter().filter(|line| of_codec(line) == Some(*payload));
                out.extend(own.map(|line| (*line).to_owned()));
            }
        }
        if of_codec(line).is_none() {
            out.push((*line).to_owned());
        }
    }
    out
}

/// Whether the section's RTCP may be of reduced size.
pub(super) fn reduced_size(lines: &[&str]) -> bool {
    lines.contains(&"a=rtcp-rsize")
}

/// What the section's data channels may be sent at once: 64 KiB unless it says otherwise, `None` for
/// any size ([RFC 8841, section 6](https://www.rfc-editor.org/rfc/rfc8841#section-6)).
pub(super) fn max_message_size(lines: &[&str]) -> Option<u64> {
    let told = attribute(lines, "max-message-size").and_then(|size| size.trim().parse().ok());
    match told {
        Some(0) => None,
        Some(size) => Some(size),
        None => Some(65_536),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: [&str; 12] = [
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99",
        "a=mid:1",
        "a=rtpmap:96 VP8/90000",
        "a=rtcp-fb:96 nack",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:98 H264/90000",
        "a=fmtp:98 packetization-mode=1",
        "a=rtpmap:99 rtx/90000",
        "a=fmtp:99 apt=98",
        "a=extmap:3/recvonly urn:x a b",
        "a=sendrecv",
    ];

    fn named(name: &str) -> RTCRtpCodec {
        let known = read(&VIDEO, MediaKind::Video);
        let wanted = |c: &RTCRtpCodecParameters| c.codec.mime_type.eq_ignore_ascii_case(name);
        known.into_iter().find(wanted).unwrap().codec
    }

    #[test]
    fn codecs_and_extensions_are_read() {
        let known = read(&VIDEO, MediaKind::Video);
        assert_eq!(known.len(), 4);
        assert_eq!(known[1].codec.repaired(), Some(96));
        assert_eq!(known[2].payload_type, 98);
        assert_eq!(
            known[2].codec.sdp_fmtp_line.as_deref(),
            Some("packetization-mode=1")
        );
        assert_eq!(
            (known[0].codec.clock_rate, known[0].codec.channels),
            (90_000, None)
        );
        let extension = &extensions(&VIDEO)[0];
        assert_eq!((extension.id, extension.uri.as_str()), (3, "urn:x"));
        let audio = [
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 9",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:9 G722/8000",
        ];
        let audio = read(&audio, MediaKind::Audio);
        assert_eq!(audio[0].codec.channels, Some(2));
        assert_eq!(audio[1].codec.channels, Some(1));
        assert_eq!(audio.len(), 2, "0 has no rtpmap");
    }

    #[test]
    fn preferred_codecs_come_in_their_order_and_alone() {
        let order = [named("video/h264"), named("video/rtx"), named("video/vp8")];
        let section = select(&VIDEO, MediaKind::Video, &order);
        assert_eq!(section[0], "m=video 9 UDP/TLS/RTP/SAVPF 98 97 99 96");
        assert_eq!(section.len(), VIDEO.len());
        let alone = select(&VIDEO, MediaKind::Video, &[named("video/VP8")]);
        assert_eq!(
            alone,
            [
                "m=video 9 UDP/TLS/RTP/SAVPF 96",
                "a=mid:1",
                "a=rtpmap:96 VP8/90000",
                "a=rtcp-fb:96 nack",
                "a=extmap:3/recvonly urn:x a b",
                "a=sendrecv",
            ]
        );
        let h264 = select(
            &VIDEO,
            MediaKind::Video,
            &[named("video/h264"), named("video/rtx")],
        );
        assert_eq!(h264[0], "m=video 9 UDP/TLS/RTP/SAVPF 98 99");
        let other = RTCRtpCodec {
            mime_type: "video/AV1".into(),
            ..named("video/VP8")
        };
        assert_eq!(select(&VIDEO, MediaKind::Video, &[other]), VIDEO);
    }

    #[test]
    fn a_message_may_be_as_large_as_the_section_says() {
        assert_eq!(
            max_message_size(&["m=", "a=max-message-size:1000"]),
            Some(1_000)
        );
        assert_eq!(max_message_size(&["m=", "a=max-message-size:0"]), None);
        assert_eq!(max_message_size(&["m="]), Some(65_536));
    }
}
