//! What a track is for, as the program says it.

use crate::MediaKind;

/// [`contentHint`](https://w3c.github.io/mst-content-hint/#dom-mediastreamtrack-contenthint): what is to
/// be kept where not all can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContentHint {
    /// Nothing was said.
    #[default]
    None,
    /// Sound: somebody speaks.
    Speech,
    /// Sound: somebody speaks, to a machine.
    SpeechRecognition,
    /// Sound: music.
    Music,
    /// Pictures that move: rather smaller than fewer.
    Motion,
    /// Pictures whose details count: rather fewer than smaller.
    Detail,
    /// Pictures of text, likewise.
    Text,
}

impl ContentHint {
    /// All of them.
    pub const ALL: [ContentHint; 7] = [
        Self::None,
        Self::Speech,
        Self::SpeechRecognition,
        Self::Music,
        Self::Motion,
        Self::Detail,
        Self::Text,
    ];

    /// The W3C's string; empty if nothing was said.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Speech => "speech",
            Self::SpeechRecognition => "speech-recognition",
            Self::Music => "music",
            Self::Motion => "motion",
            Self::Detail => "detail",
            Self::Text => "text",
        }
    }

    /// Whether it can be said of a track of that kind.
    pub const fn suits(self, kind: MediaKind) -> bool {
        match self {
            Self::None => true,
            Self::Speech | Self::SpeechRecognition | Self::Music => {
                matches!(kind, MediaKind::Audio)
            }
            Self::Motion | Self::Detail | Self::Text => matches!(kind, MediaKind::Video),
        }
    }
}
