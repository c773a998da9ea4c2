//! Where a track is to come from, as a person says it on a command line.

use crate::file::Repeat;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A source by name: `default`, `none`, `synthetic`, `file:PATH`, `once:PATH` or `device:ID`; for a picture
/// also `screen`, `screen:NAME` or `window:TITLE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceSpec {
    /// The machine's default device, or whatever fits the constraints best.
    Default,
    /// None.
    None,
    /// The synthetic camera or microphone.
    Synthetic,
    /// A file, played in a loop: Y4M for a camera and WAV for a microphone, or what a program with
    /// codecs can play.
    File(PathBuf),
    /// A file, played once: then its tracks end.
    FileOnce(PathBuf),
    /// The device of that id, as [`MediaDevices::enumerate_devices`](crate::MediaDevices) lists it.
    Device(String),
    /// The monitor of that name, or the first one without. A picture alone.
    Screen(Option<String>),
    /// The window of that number, or with that in its title. A picture alone.
    Window(String),
}

/// What was said is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no source: expected {EXPECTED}")]
pub struct SourceSpecError(String);

const EXPECTED: &str = "default, none, synthetic, file:PATH, once:PATH, device:ID, screen, screen:NAME \
     or window:TITLE";

impl SourceSpec {
    /// The file that is to be played, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SourceSpec::File(path) | SourceSpec::FileOnce(path) => Some(path),
            _ => None,
        }
    }

    /// How often a file is to be played.
    pub fn repeat(&self) -> Repeat {
        match self {
            SourceSpec::FileOnce(_) => Repeat::Once,
            _ => Repeat::Forever,
        }
    }

    /// Reads a source.
    ///
    /// # Errors
    /// [`SourceSpecError`], which says what was expected.
    pub fn parse(text: &str) -> Result<Self, SourceSpecError> {
        let wrong = || SourceSpecError(text.to_owned());
        match text.split_once(':') {
            None => match text {
                "default" => Ok(SourceSpec::Default),
                "none" => Ok(SourceSpec::None),
                "synthetic" => Ok(SourceSpec::Synthetic),
                "screen" => Ok(SourceSpec::Screen(None)),
                _ => Err(wrong()),
            },
            Some(("file", path)) if !path.is_empty() => Ok(SourceSpec::File(path.into())),
            Some(("once", path)) if !path.is_empty() => Ok(SourceSpec::FileOnce(path.into())),
            Some(("device", id)) if !id.is_empty() => Ok(SourceSpec::Device(id.to_owned())),
            Some(("screen", name)) if !name.is_empty() => {
                Ok(SourceSpec::Screen(Some(name.to_owned())))
            }
            Some(("window", title)) if !title.is_empty() => {
                Ok(SourceSpec::Window(title.to_owned()))
            }
            Some(_) => Err(wrong()),
        }
    }
}

impl FromStr for SourceSpec {
    type Err = SourceSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceSpec::Default => f.write_str("default"),
            SourceSpec::None => f.write_str("none"),
            SourceSpec::Synthetic => f.write_str("synthetic"),
            SourceSpec::File(path) => write!(f, "file:{}", path.display()),
            SourceSpec::FileOnce(path) => write!(f, "once:{}", path.display()),
            SourceSpec::Device(id) => write!(f, "device:{id}"),
            SourceSpec::Screen(None) => f.write_str("screen"),
            SourceSpec::Screen(Some(name)) => write!(f, "screen:{name}"),
            SourceSpec::Window(title) => write!(f, "window:{title}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_read_and_written_alike() {
        for (text, spec) in [
            ("default", SourceSpec::Default),
            ("none", SourceSpec::None),
            ("synthetic", SourceSpec::Synthetic),
            ("file:/a b/c:d.y4m", SourceSpec::File("/a b/c:d.y4m".into())),
            ("once:clip.webm", SourceSpec::FileOnce("clip.webm".into())),
            ("device:alsa:hw:0", SourceSpec::Device("alsa:hw:0".into())),
            ("screen", SourceSpec::Screen(None)),
            ("screen:HDMI-1", SourceSpec::Screen(Some("HDMI-1".into()))),
            ("window:A title: x", SourceSpec::Window("A title: x".into())),
        ] {
            assert_eq!(text.parse::<SourceSpec>().as_ref(), Ok(&spec));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_answered_with_what_was_expected() {
        for text in [
            "", "camera", "file:", "once:", "device:", "Default", "http://x", ":", "screen:",
            "window", "window:",
        ] {
            let error = SourceSpec::parse(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "\"{text}\" is no source: expected default, none, synthetic, file:PATH, once:PATH, \
                     device:ID, screen, screen:NAME or window:TITLE"
                )
            );
        }
    }
}
