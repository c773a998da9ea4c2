//! What can be recorded, by the names that programs ask for it with.

use duet_media::MediaKind;

/// A type that can be recorded: WebM, with the codecs that were named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordingType {
    /// Whether pictures may be in it.
    video: bool,
    /// The kinds whose codec was named; `None` if no codec was.
    codecs: Option<Vec<MediaKind>>,
}

impl RecordingType {
    /// Whatever suits.
    pub(crate) const ANY: RecordingType = RecordingType {
        video: true,
        codecs: None,
    };

    /// Reads a type, if it is one that can be recorded. The empty one leaves the choice to the recorder.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::ANY);
        }
        let (essence, parameters) = match text.split_once(';') {
            Some((essence, parameters)) => (essence, Some(parameters)),
            None => (text, None),
        };
        let video = match essence.trim().to_ascii_lowercase().as_str() {
            "video/webm" => true,
            "audio/webm" => false,
            _ => return None,
        };
        let mut codecs = None;
        for parameter in parameters.into_iter().flat_map(split_parameters) {
            let (name, value) = parameter.split_once('=')?;
            let named = name.trim();
            if named.is_empty() || !named.bytes().all(is_token) {
                return None;
            }
            if named.eq_ignore_ascii_case("codecs") && codecs.is_none() {
                codecs = Some(parse_codecs(unquote(value.trim())?)?);
            }
        }
        let wanted = RecordingType { video, codecs };
        (wanted.video || !wanted.names(MediaKind::Video)).then_some(wanted)
    }

    /// Whether a track of `kind` can be recorded with it.
    pub(crate) fn takes(&self, kind: MediaKind) -> bool {
        (self.video || kind == MediaKind::Audio)
            && self
                .codecs
                .as_ref()
                .is_none_or(|codecs| codecs.contains(&kind))
    }

    fn names(&self, kind: MediaKind) -> bool {
        self.codecs
            .as_ref()
            .is_some_and(|codecs| codecs.contains(&kind))
    }
}

/// The type that was asked for, with what it left open as it is recorded:
/// [the steps of `start`](https://w3c.github.io/mediacapture-record/#dom-mediarecorder-start).
pub(crate) fn extended(constrained: &str, video: bool, audio: bool) -> String {
    let codecs = match (video, audio) {
        (true, true) => "vp8,opus",
        (true, false) => "vp8",
        _ => "opus",
    };
    let named = RecordingType::parse(constrained).is_some_and(|wanted| wanted.codecs.is_some());
    match constrained {
        "" if video => format!("video/webm;codecs={codecs}"),
        "" => format!("audio/webm;codecs={codecs}"),
        _ if named => constrained.to_owned(),
        _ => format!("{constrained};codecs={codecs}"),
    }
}

/// Each codec at most once; none that is not known. What follows a name's first period is not looked at,
/// [as it is written](https://w3c.github.io/mediacapture-record/#abstract-opdef-is-type-supported).
fn parse_codecs(text: &str) -> Option<Vec<MediaKind>> {
    let mut kinds = Vec::new();
    for name in text.split(',') {
        let name = name.trim().to_ascii_lowercase();
        let kind = match name.split('.').next()? {
            "vp8" => MediaKind::Video,
            "opus" => MediaKind::Audio,
            _ => return None,
        };
        if kinds.contains(&kind) {
            return None;
        }
        kinds.push(kind);
    }
    Some(kinds)
}

/// Cuts at semicolons, but not at those within quotes.
fn split_parameters(text: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == ';' && !quoted
    })
}

/// A value without its quotes. Nothing that must be quoted occurs in the codecs that there are.
fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').filter(|inner| !inner.contains('"')),
        // A list needs no quotes as far as browsers are concerned.
        None => (!value.is_empty() && value.bytes().all(|b| is_token(b) || b == b',' || b == b' '))
            .then_some(value),
    }
}

/// [RFC 9110, section 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_here_is_supported_and_nothing_else() {
        for good in [
            "",
            "video/webm",
            "VIDEO/WebM",
            "audio/webm",
            "video/webm;codecs=vp8",
            "video/webm; codecs=\"vp8, opus\"",
            "video/webm;codecs=opus,vp8",
            "video/webm;codecs=VP8.0",
            "video/webm;codecs=\"vp8.0.1, opus.x\"",
            "video/webm;codecs=opus",
            "audio/webm; codecs=\"opus\"",
            "audio/webm;codecs=opus;x=1",
        ] {
            assert!(RecordingType::parse(good).is_some(), "{good:?}");
        }
        for bad in [
            "video",
            "/",
            "video/",
            "video/mp4",
            "audio/banana",
            "audio/ogg; codecs=\"opus\"",
            "video/webm;",
            "video/webm;codecs",
            "video/webm;codecs=",
            "video/webm;codecs=\"vp8",
            "video/webm;codecs=vp9",
            "video/webm;codecs=vp80",
            "video/webm;codecs=.vp8",
            "video/webm; codecs=\"vp8, vorbis\"",
            "video/webm;codecs=vp8,vp8.0",
            "video/webm;codecs=opus,opus",
            "audio/webm;codecs=vp8",
            "video/webm;=vp8",
        ] {
            assert_eq!(RecordingType::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_type_says_which_tracks_it_takes() {
        let takes = |text: &str| {
            let parsed = RecordingType::parse(text).unwrap();
            (
                parsed.takes(MediaKind::Video),
                parsed.takes(MediaKind::Audio),
            )
        };
        assert_eq!(takes(""), (true, true));
        assert_eq!(takes("audio/webm"), (false, true));
        assert_eq!(takes("video/webm;codecs=vp8"), (true, false));
        assert_eq!(takes("video/webm;codecs=opus"), (false, true));
    }

    #[test]
    fn what_was_left_open_is_filled_in() {
        assert_eq!(extended("", true, true), "video/webm;codecs=vp8,opus");
        assert_eq!(extended("", false, true), "audio/webm;codecs=opus");
        assert_eq!(extended("video/webm", true, false), "video/webm;codecs=vp8");
        let whole = "video/webm; codecs=\"vp8, opus\"";
        assert_eq!(extended(whole, true, true), whole);
    }
}
