//! Descriptions as others are to see them: ours as the program and the other side do, the other
//! side's as the substrate does.

use super::codecs::select;
use super::sound::{opus_payload, without_contradictions};
use super::{Section, Session, SoundTypes, attribute, simulcast};
use crate::RTCRtpCodec;
use crate::transceiver::RTCRtpTransceiverDirection as Direction;
use duet_media::MediaKind;
use std::borrow::Cow;

/// How a transceiver stands in a description that is handed out.
#[derive(Clone)]
pub(crate) struct Presented {
    pub(crate) direction: Direction,
    /// Codecs in order of preference, and no others; empty for all.
    pub(crate) codecs: Vec<RTCRtpCodec>,
    /// Ids of the streams that the sender's track belongs to.
    pub(crate) streams: Vec<String>,
    pub(crate) track_id: String,
    /// Ids of the encodings that it says it sends; none where it sends just one.
    pub(crate) rids: Vec<String>,
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
    push(&mut out, "a=ice-options:trickle");
    starts.push(lines.len());
    for pair in starts.windows(2) {
        let section = &lines[pair[0]..pair[1]];
        let Some(view) = attribute(section, "mid").and_then(&of) else {
            section.iter().for_each(|line| push(&mut out, line));
            continue;
        };
        let sends = view.direction.sends();
        let kind = match section[0] {
            line if line.starts_with("m=audio") => MediaKind::Audio,
            _ => MediaKind::Video,
        };
        let selected = (!view.codecs.is_empty()).then(|| select(section, kind, &view.codecs));
        let selected: Option<Vec<&str>> = selected
            .as_ref()
            .map(|lines| lines.iter().map(String::as_str).collect());
        for line in selected.as_deref().unwrap_or(section) {
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
                for line in simulcast::sent(&view.rids).iter().filter(|_| sends) {
                    push(&mut out, line);
                }
                continue;
            }
            if simulcast::is_of_encodings(name) {
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

/// The other side's description as the substrate is to see it: only what can be had, and what the
/// substrate `knows` already, all in one bundle. Of an `offer`, what is stopped or inactive merely
/// sends nothing: the substrate would stop its transceiver for good.
pub(crate) fn for_substrate(
    sdp: &str,
    session: &Session,
    offer: bool,
    knows: impl Fn(&str) -> bool,
) -> String {
    let lines: Vec<&str> = sdp.lines().map(str::trim_end).collect();
    let mut out = String::with_capacity(sdp.len() + 64);
    let mut push = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    let carried = session
        .sections
        .iter()
        .filter(|section| section.can_be_had());
    let mids: Vec<&str> = carried.map(|section| section.mid.as_str()).collect();
    let mut starts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].starts_with("m="))
        .collect();
    starts.push(lines.len());
    for line in &lines[..starts[0]] {
        if !line.starts_with("a=group:BUNDLE") {
            push(line);
        }
    }
    push(&format!("a=group:BUNDLE {}", mids.join(" ")));
    for pair in starts.windows(2) {
        let lines = &lines[pair[0]..pair[1]];
        let section = attribute(lines, "mid").and_then(|mid| session.section(mid));
        let Some(section) = section.filter(|s| s.can_be_had() || knows(&s.mid)) else {
            continue;
        };
        let silent = offer && (!section.can_be_had() || section.direction == Direction::Inactive);
        let transport = ["ice-ufrag:", "ice-pwd:", "fingerprint:", "candidate:"];
        let shares = section.ice_ufrag == session.ice_ufrag;
        for line in lines {
            let name = line.strip_prefix("a=").unwrap_or("");
            if !shares && transport.iter().any(|prefix| name.starts_with(prefix)) {
                continue;
            }
            let of_source = name.starts_with("ssrc") || name.starts_with("msid:");
            if simulcast::is_of_encodings(name) {
                continue;
            }
            if silent && (Direction::from_sdp(name).is_some() || of_source) {
                continue;
            }
            // A track whose source is not told is found by the section's id; the substrate takes a
            // description of several such for a fault.
            if section.ssrcs.is_empty() && name.starts_with("msid:") {
                continue;
            }
            if let Some(window) = repair_window(line, section) {
                push(&window);
            } else if let Some(line) = sound_for_substrate(line, lines, section) {
                push(&line);
            }
            if silent && name.starts_with("mid:") {
                push("a=sendonly");
            }
        }
    }
    out
}

/// The parameters of forward error correction as the substrate, which takes the same with another window for
/// another codec, is to see them, if `line` has them: how long the other side waits is its own affair.
fn repair_window(line: &str, section: &Section) -> Option<String> {
    let (payload, _) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
    let payload: u8 = payload.parse().ok()?;
    let mut codecs = section.codecs.iter();
    let codec = codecs.find(|codec| codec.payload_type == payload)?;
    let name = &codec.codec.mime_type;
    let is_repair = name.eq_ignore_ascii_case("video/flexfec-03");
    is_repair.then(|| format!("a=fmtp:{payload} {}", crate::substrate::FEC_FMTP))
}

/// A line of a section as the substrate, which matches codecs by their names and parameters, is to see
/// it; `None` for none.
fn sound_for_substrate<'a>(
    line: &'a str,
    lines: &[&str],
    section: &Section,
) -> Option<Cow<'a, str>> {
    let Some(sound) = SoundTypes::of(&section.codecs) else {
        return Some(line.into());
    };
    // Redundancy of another codec is none of ours.
    let strange = |payload: &str| {
        section.codecs.iter().any(|codec| {
            codec.payload_type.to_string() == payload
                && codec.codec.mime_type.eq_ignore_ascii_case("audio/red")
                && Some(codec.payload_type) != sound.red
        })
    };
    if line.starts_with("m=") {
        let words = line.split_whitespace().enumerate();
        let kept = words.filter(|(at, word)| *at < 3 || !strange(word));
        let kept: Vec<&str> = kept.map(|(_, word)| word).collect();
        return Some(kept.join(" ").into());
    }
    let names = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"];
    let mut of_codec = names.iter().filter_map(|name| line.strip_prefix(name));
    let Some((payload, parameters)) = of_codec.next().and_then(|rest| rest.split_once(' ')) else {
        return Some(line.into());
    };
    if strange(payload) {
        return None;
    }
    if line.starts_with("a=fmtp:") && opus_payload(lines) == Some(payload) {
        let kept = without_contradictions(parameters, crate::substrate::OPUS_FMTP);
        return (!kept.is_empty()).then(|| format!("a=fmtp:{payload} {kept}").into());
    }
    Some(line.into())
}

/// A description of ours with the sections of `template`, in its order and refused where ours has
/// none, and with those that `template` does not have behind them.
pub(crate) fn arrange(sdp: &str, template: &str) -> String {
    let (head, ours) = split(sdp);
    let (_, theirs) = split(template);
    let mid_of = |section: &[&str]| attribute(section, "mid").map(str::to_owned);
    let known: Vec<Option<String>> = theirs.iter().map(|section| mid_of(section)).collect();
    let mut out = String::with_capacity(sdp.len() + 256);
    let mut push = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    head.iter().for_each(|line| push(line));
    for (section, mid) in theirs.iter().zip(&known) {
        match ours.iter().find(|ours| mid_of(ours) == *mid) {
            Some(ours) => ours.iter().for_each(|line| push(line)),
            None => {
                let mut words: Vec<&str> = section[0].split(' ').collect();
                if let Some(port) = words.get_mut(1) {
                    *port = "0";
                }
                push(&words.join(" "));
                push("c=IN IP4 0.0.0.0");
                push(&format!("a=mid:{}", mid.as_deref().unwrap_or_default()));
                push("a=inactive");
            }
        }
    }
    let more = ours
        .iter()
        .filter(|section| !known.contains(&mid_of(section)));
    more.flatten().for_each(|line| push(line));
    out
}

/// The lines before the first section, and each section's.
fn split(sdp: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let (mut head, mut sections): (Vec<&str>, Vec<Vec<&str>>) = (Vec::new(), Vec::new());
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        match sections.last_mut() {
            Some(section) => section.push(line),
            None => head.push(line),
        }
    }
    (head, sections)
}

/// `sdp` with an id for each section that has none, as
/// [RFC 9429](https://www.rfc-editor.org/rfc/rfc9429#section-5.10) lets old endpoints do: that of its
/// place, or one that no other has.
pub(crate) fn with_mids(sdp: &str, of_place: impl Fn(usize) -> Option<String>) -> String {
    let (_, sections) = split(sdp);
    let told = |section: &Vec<&str>| attribute(section, "mid").map(str::to_owned);
    if sections.iter().all(|section| told(section).is_some()) {
        return sdp.to_owned();
    }
    let mut mids: Vec<String> = sections.iter().filter_map(told).collect();
    let mut given: Vec<Option<String>> = Vec::with_capacity(sections.len());
    for (at, section) in sections.iter().enumerate() {
        if told(section).is_some() {
            given.push(None);
            continue;
        }
        let own = of_place(at).filter(|mid| !mids.contains(mid));
        let mid = own.unwrap_or_else(|| {
            let mut names = (at..).map(|number| number.to_string());
            names.find(|name| !mids.contains(name)).unwrap_or_default()
        });
        mids.push(mid.clone());
        given.push(Some(format!("a=mid:{mid}")));
    }
    with_lines(sdp, |at| {
        given.get(at).cloned().flatten().into_iter().collect()
    })
}

/// `sdp` with lines added at the end of sections, by their place.
pub(crate) fn with_lines(sdp: &str, lines_of: impl Fn(usize) -> Vec<String>) -> String {
    let mut out = String::with_capacity(sdp.len() + 512);
    let mut section: Option<usize> = None;
    let finish = |out: &mut String, section: Option<usize>| {
        for line in section.map(&lines_of).unwrap_or_default() {
            out.push_str(&line);
            out.push_str("\r\n");
        }
    };
    for line in sdp.lines() {
        if line.starts_with("m=") {
            finish(&mut out, section);
            section = Some(section.map_or(0, |at| at + 1));
        }
        out.push_str(line.trim_end());
        out.push_str("\r\n");
    }
    finish(&mut out, section);
    out
}
