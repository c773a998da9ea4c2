//! Monitors and windows as cameras. X11 for now.
//!
//! What it is not: it captures no sound of the system, and moves no window.

mod capture;
mod cursor;
mod x11;

pub(crate) use capture::start;
pub(crate) use x11::Display;

pub use duet_media::DisplayCaptureSurfaceType;

/// Something that can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplaySurface {
    /// `monitor:NAME` or `window:NUMBER`; a monitor's stays the same, a window's lasts as long as it.
    pub id: String,
    /// What it is.
    pub kind: DisplayCaptureSurfaceType,
    /// The monitor's name or the window's title, for a person.
    pub label: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl DisplaySurface {
    /// How a person names it as a [source](crate::SourceSpec).
    pub fn source(&self) -> String {
        match self.id.split_once(':') {
            Some(("monitor", name)) => format!("screen:{name}"),
            _ => self.id.clone(),
        }
    }
}
