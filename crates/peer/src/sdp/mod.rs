//! Session descriptions, as far as a connection must read and mend them itself.
//!
//! Every remote description is checked here before the substrate sees it, so that a bad one is
//! refused as a whole and the standing call goes on. Local ones are handed out with directions and
//! stream ids as the W3C's model has them; the substrate keeps its own.
//!
//! It deliberately is no general parser: it reads the lines that this crate acts on and passes over
//! the rest.

mod codecs;
mod present;
mod simulcast;
mod sound;

pub(crate) use present::{Presented, arrange, for_substrate, present, with_lines, with_mids};
pub(crate) use simulcast::TakenEncoding;
pub(crate) use sound::{OpusParameters, SoundTypes};

use crate::transceiver::RTCRtpTransceiverDirection as Direction;
use crate::{RTCError, RTCErrorKind, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters};
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
    /// Not bundled with the first: it wants a transport of its own, which it cannot have.
    pub(crate) apart: bool,
    /// Media of codecs, or of a kind, that nobody here knows.
    pub(crate) foreign: bool,
    pub(crate) ice_ufrag: String,
    pub(crate) candidates: Vec<String>,
    pub(crate) direction: Direction,
    /// The streams that its track belongs to; `None` if it says nothing of them.
    pub(crate) streams: Option<Vec<String>>,
    pub(crate) ssrcs: Vec<u32>,
    /// The encodings that it takes of several.
    pub(crate) taken_encodings: Vec<TakenEncoding>,
    /// The header extension that carries the mid.
    pub(crate) mid_extension: Option<u8>,
    /// Of an audio section that has Opus.
    pub(crate) opus: Option<OpusParameters>,
    pub(crate) codecs: Vec<RTCRtpCodecParameters>,
    pub(crate) extensions: Vec<RTCRtpHeaderExtensionParameters>,
    pub(crate) cname: Option<String>,
    pub(crate) reduced_size: bool,
    /// For data channels: bytes; `None` for any size.
    pub(crate) max_message_size: Option<u64>,
}

/// A description, read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Session {
    pub(crate) sections: Vec<Section>,
    /// Of the transport that all share.
    pub(crate) ice_ufrag: String,
    pub(crate) ice_pwd: String,
    /// Whether the other side takes candidates one by one.
    pub(crate) trickles: bool,
}

impl Section {
    /// Whether it can have a transport here.
    pub(crate) fn can_be_had(&self) -> bool {
        !(self.rejected || self.apart || self.foreign)
    }
}

impl Session {
    /// Whether a section's candidates are those of the transport that all share.
    pub(crate) fn shares_transport(&self, section: &Section) -> bool {
        section.can_be_had() && section.ice_ufrag == self.ice_ufrag
    }

    /// Whether anything in it can have a transport here.
    pub(crate) fn can_be_had(&self) -> bool {
        self.sections.iter().any(Section::can_be_had)
    }

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
    let refuse = |line: usize, why: String| Err(RTCError::sdp(line, why));
    if sdp.len() > MAX_BYTES {
        return refuse(1, format!("{} bytes, at most {MAX_BYTES}", sdp.len()));
    }
    if !sdp.starts_with("v=0") {
        return refuse(1, "does not begin with v=0".into());
    }
    let lines: Vec<&str> = sdp.lines().map(str::trim_end).collect();
    if !sdp.ends_with('\n') {
        return refuse(lines.len(), "its last line is cut short".into());
    }
    for (at, line) in lines.iter().enumerate() {
        let bytes = line.as_bytes();
        if !line.is_empty()
            && (bytes.len() < 2 || !bytes[0].is_ascii_lowercase() || bytes[1] != b'=')
        {
            return refuse(at + 1, format!("{line:?} is no line"));
        }
    }
    let starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("m="))
        .collect();
    let head = &lines[..starts.first().copied().unwrap_or(lines.len())];
    for wanted in ["o=", "s=", "t="] {
        if !head.iter().any(|line| line.starts_with(wanted)) {
            return refuse(
                head.len(),
                format!("no {wanted} line before the first section"),
            );
        }
    }
    if starts.len() > MAX_SECTIONS {
        let why = format!("{} media sections, at most {MAX_SECTIONS}", starts.len());
        return refuse(starts[MAX_SECTIONS] + 1, why);
    }
    let shared = Credentials {
        ufrag: attribute(head, "ice-ufrag"),
        pwd: attribute(head, "ice-pwd"),
        fingerprint: attribute(head, "fingerprint"),
    };
    let default = direction(head).unwrap_or(Direction::SendRecv);
    let groups: Vec<&str> = attributes(head, "group")
        .filter_map(|group| group.strip_prefix("BUNDLE"))
        .collect();
    let mut session = Session {
        trickles: trickles(head),
        ..Default::default()
    };
    // The mid of the first section that has a transport.
    let mut first: Option<String> = None;
    for (at, start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(lines.len());
        let section = &lines[*start..end];
        let mut parsed = parse_section(section, default, *start + 1)?;
        if session.section(&parsed.mid).is_some() {
            return refuse(
                start + 1,
                format!("two media sections with mid {:?}", parsed.mid),
            );
        }
        session.trickles |= trickles(section);
        let own = Credentials {
            ufrag: attribute(section, "ice-ufrag").or(shared.ufrag),
            pwd: attribute(section, "ice-pwd").or(shared.pwd),
            fingerprint: attribute(section, "fingerprint").or(shared.fingerprint),
        };
        own.ufrag
            .unwrap_or_default()
            .clone_into(&mut parsed.ice_ufrag);
        if !parsed.rejected {
            check_credentials(&own, &parsed.mid)?;
            match &first {
                None => {
                    if parsed.kind.is_some() && !section.contains(&"a=rtcp-mux") {
                        let message = format!("media section {:?} without rtcp-mux", parsed.mid);
                        return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
                    }
                    session.ice_ufrag.clone_from(&parsed.ice_ufrag);
                    own.pwd.unwrap_or_default().clone_into(&mut session.ice_pwd);
                    first = Some(parsed.mid.clone());
                }
                Some(first) => {
                    let together = groups.iter().any(|group| {
                        let has = |mid: &str| group.split_whitespace().any(|other| other == mid);
                        has(first) && has(&parsed.mid)
                    });
                    // In a bundle the first one's transport is everybody's, also where an offer has
                    // others for whoever cannot bundle.
                    // Without a word on bundling, the same transport is the same transport.
                    let same = groups.is_empty() && session.ice_ufrag == parsed.ice_ufrag;
                    parsed.apart = !together && !same;
                }
            }
        }
        parsed.candidates = attributes(section, "candidate")
            .map(str::to_owned)
            .collect();
        let mut candidates = parsed.candidates.iter();
        candidates
            .try_for_each(|candidate| check_candidate(candidate))
            .map_err(|error| RTCError::sdp(start + 1, error.message))?;
        session.sections.push(parsed);
    }
    Ok(session)
}

fn trickles(lines: &[&str]) -> bool {
    let mut options = attributes(lines, "ice-options");
    options.any(|options| options.split_whitespace().any(|option| option == "trickle"))
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

fn parse_section(lines: &[&str], default: Direction, number: usize) -> Result<Section, RTCError> {
    let refuse = |why: String| Err(RTCError::sdp(number, why));
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
    if !rejected && kind.is_some() && !protocol.contains("SAVPF") {
        return refuse(format!("{protocol:?} is not encrypted RTP with feedback"));
    }
    let streams = streams(lines);
    let codecs = kind
        .map(|kind| codecs::read(lines, kind))
        .unwrap_or_default();
    if let Some(taken) = codecs
        .iter()
        .find(|codec| (64..96).contains(&codec.payload_type))
    {
        // RFC 5761, section 4: RTCP's types are there.
        let message = format!("payload type {} is RTCP's", taken.payload_type);
        return Err(RTCError::new(RTCErrorKind::InvalidAccess, message));
    }
    let is_data = media == "application" && protocol.contains("DTLS/SCTP");
    let ours = kind.map(crate::RTCRtpCapabilities::of);
    let known = codecs.iter().any(|codec| {
        let mut ours = ours.iter().flat_map(|ours| &ours.codecs);
        ours.any(|known| known.is_same_codec(&codec.codec) && !known.is_auxiliary())
    });
    let mut ssrcs: Vec<u32> = attributes(lines, "ssrc")
        .filter_map(|value| value.split(' ').next()?.parse().ok())
        .collect();
    ssrcs.dedup();
    ssrcs.truncate(64);
    let extensions = codecs::extensions(lines);
    let mid_extension = extensions.iter().find(|extension| extension.uri == MID_URI);
    let mid_extension = mid_extension.and_then(|extension| u8::try_from(extension.id).ok());
    Ok(Section {
        apart: false,
        foreign: !is_data && !known,
        ice_ufrag: String::new(),
        candidates: Vec::new(),
        codecs: kind
            .map(|kind| codecs::read(lines, kind))
            .unwrap_or_default(),
        extensions,
        cname: codecs::cname(lines),
        reduced_size: codecs::reduced_size(lines),
        max_message_size: codecs::max_message_size(lines),
        kind,
        is_data,
        rejected,
        direction: direction(lines).unwrap_or(default),
        streams,
        ssrcs,
        taken_encodings: simulcast::taken(lines),
        mid_extension,
        opus: OpusParameters::read(lines),
        mid,
    })
}

/// Of the section itself, or of its sources where it is an old one.
fn streams(lines: &[&str]) -> Option<Vec<String>> {
    let own: Vec<&str> = attributes(lines, "msid").collect();
    let of_sources =
        attributes(lines, "ssrc").filter_map(|value| Some(value.split_once(" msid:")?.1));
    let told: Vec<&str> = match own.is_empty() {
        true => of_sources.collect(),
        false => own,
    };
    if told.is_empty() {
        return None;
    }
    let mut streams: Vec<String> = Vec::new();
    for stream in told
        .iter()
        .filter_map(|value| value.split_whitespace().next())
    {
        if stream != "-" && !streams.iter().any(|known| known == stream) {
            streams.push(stream.to_owned());
        }
    }
    Some(streams)
}

/// The header extension that says which media section a packet belongs to.
pub(crate) const MID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// Which encoding a packet belongs to, and which one it repairs
/// ([RFC 8852](https://www.rfc-editor.org/rfc/rfc8852)).
pub(crate) const RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub(crate) const REPAIRED_RID_URI: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

fn check_credentials(own: &Credentials<'_>, mid: &str) -> Result<(), RTCError> {
    let refuse = |why: &str| {
        let message = format!("session description: media section {mid:?} {why}");
        Err(RTCError::new(RTCErrorKind::InvalidAccess, message))
    };
    // RFC 8839: 4 to 256 and 22 to 256 characters, of letters, digits, + and /.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let mut secrets = own.ufrag.iter().chain(&own.pwd);
    if secrets.any(|secret| !secret.bytes().all(allowed)) {
        return refuse(
            "has an ice-ufrag or ice-pwd of other characters than letters, digits, + and /",
        );
    }
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

#[cfg(test)]
mod tests;
