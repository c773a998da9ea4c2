//! Session descriptions, as far as a connection must read and mend them itself.
//!
//! Every remote description is checked here before the substrate sees it, so that a bad one is
//! refused as a whole and the standing call goes on. Local ones are handed out with directions and
//! stream ids as the W3C's model has them; the substrate keeps its own.
//!
//! It deliberately is no general parser: it reads the lines that this crate acts on and passes over
//! the rest.

use crate::transceiver::RTCRtpTransceiverDirection as Direction;
use crate::{RTCError, RTCErrorKind};
use duet_media::MediaKind;
use serde::{Deserialize, Serialize};

/// What a description may hold at most. Browsers' own stay below a tenth of it.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
pub(crate) const MAX_SECTIONS: usize = 128;

/// [`RTCSdpType`](https://www.w3.org/TR/webrtc/#rtcsdptype).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RTCSdpType {
    /// Asks.
    Offer,
    /// Answers for now; another answer follows.
    Pranswer,
    /// Answers.
    Answer,
    /// Takes the pending offer back.
    Rollback,
}

/// [`RTCSessionDescription`](https://www.w3.org/TR/webrtc/#rtcsessiondescription-class).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RTCSessionDescription {
    /// What it is.
    #[serde(rename = "type")]
    pub sdp_type: RTCSdpType,
    /// The [SDP](https://www.rfc-editor.org/rfc/rfc8866); empty for a rollback.
    #[serde(default)]
    pub sdp: String,
}

impl RTCSessionDescription {
    /// A description of type `sdp_type`.
    pub fn new(sdp_type: RTCSdpType, sdp: impl Into<String>) -> Self {
        RTCSessionDescription {
            sdp_type,
            sdp: sdp.into(),
        }
    }

    pub(crate) fn to_substrate(
        &self,
    ) -> Result<webrtc::peer_connection::RTCSessionDescription, RTCError> {
        use webrtc::peer_connection::RTCSessionDescription as Substrate;
        let sdp = self.sdp.clone();
        Ok(match self.sdp_type {
            RTCSdpType::Offer => Substrate::offer(sdp)?,
            RTCSdpType::Answer => Substrate::answer(sdp)?,
            RTCSdpType::Pranswer => Substrate::pranswer(sdp)?,
            RTCSdpType::Rollback => Substrate::rollback(None)?,
        })
    }
}

/// One media section.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Section {
    pub(crate) mid: String,
    /// `None` for data channels, and for kinds that nobody here knows.
    pub(crate) kind: Option<MediaKind>,
    pub(crate) is_data: bool,
    /// Port 0 outside of a bundle: refused, or stopped.
    pub(crate) rejected: bool,
    pub(crate) direction: Direction,
    /// The streams that its track belongs to.
    pub(crate) streams: Vec<String>,
    pub(crate) ssrcs: Vec<u32>,
    /// The header extension that carries the mid.
    pub(crate) mid_extension: Option<u8>,
    /// Opus's parameters of the other side, as `key=value`, in order.
    pub(crate) opus: Option<OpusParameters>,
}

/// What the other side wishes of the Opus that it is sent
/// ([RFC 7587](https://www.rfc-editor.org/rfc/rfc7587#section-6.1)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OpusParameters {
    pub(crate) stereo: bool,
    pub(crate) fec: bool,
    pub(crate) dtx: bool,
}

/// A description, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Session {
    pub(crate) sections: Vec<Section>,
    pub(crate) ice_ufrag: String,
}

impl Session {
    pub(crate) fn section(&self, mid: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.mid == mid)
    }

    pub(crate) fn has_data(&self) -> bool {
        self.sections.iter().any(|s| s.is_data && !s.rejected)
    }
}

struct Credentials<'a> {
    ufrag: Option<&'a str>,
    pwd: Option<&'a str>,
    fingerprint: Option<&'a str>,
}

/// Reads a description of the other side, and refuses what cannot lead to a call.
pub(crate) fn parse(sdp: &str) -> Result<Session, RTCError> {
    let refuse = |why: String| Err(RTCError::syntax(format!("session description: {why}")));
    if sdp.len() > MAX_BYTES {
        return refuse(format!("{} bytes, at most {MAX_BYTES}", sdp.len()));
    }
    if !sdp.starts_with("v=0") {
        return refuse("does not begin with v=0".into());
    }
    if !sdp.ends_with('\n') {
        return refuse("its last line is cut short".into());
    }
    let lines: Vec<&str> = sdp.lines().map(str::trim_end).collect();
    for (number, line) in lines.iter().enumerate() {
        let bytes = line.as_bytes();
        if !line.is_empty()
            && (bytes.len() < 2 || !bytes[0].is_ascii_lowercase() || bytes[1] != b'=')
        {
            return refuse(format!("line {} is none", number + 1));
        }
    }
    for wanted in ["o=", "s=", "t="] {
        if !lines.iter().any(|line| line.starts_with(wanted)) {
            return refuse(format!("no {wanted} line"));
        }
    }
    let starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("m="))
        .collect();
    if starts.len() > MAX_SECTIONS {
        return refuse(format!(
            "{} media sections, at most {MAX_SECTIONS}",
            starts.len()
        ));
    }
    let head = &lines[..starts.first().copied().unwrap_or(lines.len())];
    let shared = Credentials {
        ufrag: attribute(head, "ice-ufrag"),
        pwd: attribute(head, "ice-pwd"),
        fingerprint: attribute(head, "fingerprint"),
    };
    let default = direction(head).unwrap_or(Direction::SendRecv);
    let mut session = Session::default();
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(lines.len());
        let section = &lines[*start..end];
        let parsed = parse_section(section, default)?;
        if session.section(&parsed.mid).is_some() {
            return refuse(format!("two media sections with mid {:?}", parsed.mid));
        }
        if !parsed.rejected {
            let own = Credentials {
                ufrag: attribute(section, "ice-ufrag").or(shared.ufrag),
                pwd: attribute(section, "ice-pwd").or(shared.pwd),
                fingerprint: attribute(section, "fingerprint").or(shared.fingerprint),
            };
            check_credentials(&own, &parsed.mid)?;
            let ufrag = own.ufrag.unwrap_or_default();
            if session.ice_ufrag.is_empty() {
                session.ice_ufrag = ufrag.to_owned();
            } else if session.ice_ufrag != ufrag {
                return refuse("its media sections want transports of their own".into());
            }
        }
        let mut candidates = attributes(section, "candidate");
        candidates
            .try_for_each(check_candidate)
            .map_err(|e| RTCError::syntax(e.message))?;
        session.sections.push(parsed);
    }
    Ok(session)
}

/// A candidate that does not parse would spoil a whole description.
pub(crate) fn check_candidate(candidate: &str) -> Result<(), RTCError> {
    let body = candidate.trim();
    let body = body.strip_prefix("candidate:").unwrap_or(body);
    if body.len() > 1_024 {
        return Err(RTCError::operation("a candidate of over 1,024 bytes"));
    }
    match rtc::ice::candidate::unmarshal_candidate(body) {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = RTCError::from(error).message;
            Err(RTCError::operation(format!("candidate {body:?}: {why}")))
        }
    }
}

fn parse_section(lines: &[&str], default: Direction) -> Result<Section, RTCError> {
    let refuse = |why: String| Err(RTCError::syntax(format!("session description: {why}")));
    let mut words = lines[0][2..].split_whitespace();
    let (Some(media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
    else {
        return refuse(format!("{:?} is no media line", lines[0]));
    };
    let Ok(port) = port.split('/').next().unwrap_or("").parse::<u16>() else {
        return refuse(format!("{port:?} is no port"));
    };
    if words.next().is_none() {
        return refuse(format!("{:?} names no format", lines[0]));
    }
    let mid = match attribute(lines, "mid") {
        Some(mid) if !mid.is_empty() && mid.len() <= 64 => mid.to_owned(),
        _ => return refuse(format!("media section {media:?} without a mid")),
    };
    let kind = match media {
        "audio" => Some(MediaKind::Audio),
        "video" => Some(MediaKind::Video),
        _ => None,
    };
    let rejected = port == 0 && !lines.contains(&"a=bundle-only");
    if !rejected && kind.is_some() {
        if !protocol.contains("SAVPF") {
            return refuse(format!("{protocol:?} is not encrypted RTP with feedback"));
        }
        if attribute(lines, "rtpmap").is_none() {
            return refuse(format!("media section {mid:?} names no codec"));
        }
    }
    let streams = attributes(lines, "msid")
        .filter_map(|value| value.split_whitespace().next())
        .filter(|stream| *stream != "-")
        .map(str::to_owned)
        .collect();
    let mut ssrcs: Vec<u32> = attributes(lines, "ssrc")
        .filter_map(|value| value.split(' ').next()?.parse().ok())
        .collect();
    ssrcs.dedup();
    ssrcs.truncate(64);
    let mid_extension = attributes(lines, "extmap").find_map(|value| {
        let (id, uri) = value.split_once(' ')?;
        (uri.trim() == MID_URI).then(|| id.split('/').next()?.parse().ok())?
    });
    Ok(Section {
        kind,
        is_data: media == "application" && protocol.contains("DTLS/SCTP"),
        rejected,
        direction: direction(lines).unwrap_or(default),
        streams,
        ssrcs,
        mid_extension,
        opus: opus(lines),
        mid,
    })
}

/// The header extension that says which media section a packet belongs to.
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

fn check_credentials(own: &Credentials<'_>, mid: &str) -> Result<(), RTCError> {
    let refuse = |why: &str| {
        let message = format!("session description: media section {mid:?} {why}");
        Err(RTCError::new(RTCErrorKind::InvalidAccess, message))
    };
    // RFC 8839: 4 to 256 and 22 to 256 characters.
    match own.ufrag {
        None => return refuse("has no ice-ufrag"),
        Some(ufrag) if !(4..=256).contains(&ufrag.len()) => return refuse("has a bad ice-ufrag"),
        Some(_) => {}
    }
    match own.pwd {
        None => return refuse("has no ice-pwd"),
        Some(pwd) if !(22..=256).contains(&pwd.len()) => return refuse("has a bad ice-pwd"),
        Some(_) => {}
    }
    let Some(fingerprint) = own.fingerprint else {
        return refuse("has no fingerprint: its media could not be trusted");
    };
    let octets = match fingerprint.split_once(' ') {
        Some((hash, value)) => {
            let wanted = match hash.to_ascii_lowercase().as_str() {
                "sha-1" => 20,
                "sha-224" => 28,
                "sha-256" => 32,
                "sha-384" => 48,
                "sha-512" => 64,
                _ => 0,
            };
            let hex =
                |octet: &str| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit());
            (value.split(':').count() == wanted && value.split(':').all(hex)).then_some(wanted)
        }
        None => None,
    };
    match octets {
        Some(_) => Ok(()),
        None => refuse("has a bad fingerprint"),
    }
}

fn attributes<'a>(lines: &'a [&'a str], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
        rest.strip_prefix(':')
    })
}

fn attribute<'a>(lines: &'a [&'a str], name: &'a str) -> Option<&'a str> {
    attributes(lines, name).next()
}

fn direction(lines: &[&str]) -> Option<Direction> {
    lines
        .iter()
        .find_map(|line| Direction::from_sdp(line.strip_prefix("a=")?))
}

fn opus(lines: &[&str]) -> Option<OpusParameters> {
    let payload = attributes(lines, "rtpmap").find_map(|value| {
        let (payload, codec) = value.split_once(' ')?;
        codec
            .to_ascii_lowercase()
            .starts_with("opus/")
            .then_some(payload)
    })?;
    let parameters = attributes(lines, "fmtp")
        .find_map(|value| value.strip_prefix(payload)?.strip_prefix(' '))
        .unwrap_or_default();
    let is_set = |name: &str| {
        let mut pairs = parameters
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(key, value)| key == name && value == "1")
    };
    Some(OpusParameters {
        stereo: is_set("stereo"),
        fec: is_set("useinbandfec"),
        dtx: is_set("usedtx"),
    })
}

/// How a transceiver stands in a description that is handed out.
#[derive(Clone)]
pub(crate) struct Presented {
    pub(crate) direction: Direction,
    /// Ids of the streams that the sender's track belongs to.
    pub(crate) streams: Vec<String>,
    pub(crate) track_id: String,
}

/// The substrate's description, with each section's direction and stream ids set right. `of` tells
/// how the transceiver of a mid is to stand; sections that it does not know stay as they are.
pub(crate) fn present(sdp: &str, of: impl Fn(&str) -> Option<Presented>) -> String {
    let lines: Vec<&str> = sdp.lines().collect();
    let mut out = String::with_capacity(sdp.len() + 256);
    let mut starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("m="))
        .collect();
    let head = starts.first().copied().unwrap_or(lines.len());
    let push = |out: &mut String, line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    for line in &lines[..head] {
        push(&mut out, line);
    }
    starts.push(lines.len());
    for pair in starts.windows(2) {
        let section = &lines[pair[0]..pair[1]];
        let Some(view) = attribute(section, "mid").and_then(&of) else {
            section.iter().for_each(|line| push(&mut out, line));
            continue;
        };
        let sends = view.direction.sends();
        for line in section {
            if view.direction == Direction::Stopped && line.starts_with("m=") {
                let mut words: Vec<&str> = line.split(' ').collect();
                if let Some(port) = words.get_mut(1) {
                    *port = "0";
                }
                push(&mut out, &words.join(" "));
                continue;
            }
            let name = line.strip_prefix("a=").unwrap_or("");
            if Direction::from_sdp(name).is_some() {
                let stopped = view.direction == Direction::Stopped;
                let direction = if stopped {
                    Direction::Inactive
                } else {
                    view.direction
                };
                push(&mut out, &format!("a={direction}"));
                for stream in view.streams.iter().filter(|_| sends) {
                    push(&mut out, &format!("a=msid:{stream} {}", view.track_id));
                }
                if sends && view.streams.is_empty() {
                    push(&mut out, &format!("a=msid:- {}", view.track_id));
                }
                continue;
            }
            let is_source = name.starts_with("ssrc:") || name.starts_with("ssrc-group:");
            let names_stream = name.starts_with("msid:")
                || is_source
                    && [" msid:", " mslabel:", " label:"]
                        .iter()
                        .any(|s| name.contains(s));
            if !(names_stream || is_source && !sends) {
                push(&mut out, line);
            }
        }
    }
    out
}

/// `sdp` with the direction of the sections that `of` knows replaced.
pub(crate) fn with_directions(sdp: &str, of: impl Fn(&str) -> Option<Direction>) -> String {
    let lines: Vec<&str> = sdp.lines().collect();
    let mut out = String::with_capacity(sdp.len());
    let mut now = None;
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("m=") {
            let end = lines[at + 1..].iter().position(|l| l.starts_with("m="));
            let end = end.map_or(lines.len(), |n| at + 1 + n);
            now = attribute(&lines[at..end], "mid").and_then(&of);
        }
        match (now, line.strip_prefix("a=").and_then(Direction::from_sdp)) {
            (Some(direction), Some(_)) => out.push_str(&format!("a={direction}")),
            _ => out.push_str(line),
        }
        out.push_str("\r\n");
    }
    out
}

#[cfg(test)]
#[path = "sdp_tests.rs"]
mod tests;
