//! What a container has to tell, whichever it is.

use std::time::Duration;

/// A file's packets, in its order.
pub(super) trait Container: Send {
    /// The tracks that it has, those that cannot be played too.
    fn tracks(&self) -> &[TrackInfo];

    /// The next packet; `None` at the end, which is also where it is damaged or cut off.
    fn next(&mut self) -> Option<Packet>;
}

/// A track of a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TrackInfo {
    /// The number that its packets have.
    pub(super) id: u32,
    pub(super) codec: Codec,
}

/// What a track's packets are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Codec {
    Vp8 {
        /// In pixels, as the file says; 0 if it does not.
        width: u32,
        /// In pixels, as the file says; 0 if it does not.
        height: u32,
        /// Frames a second, if the file says it.
        frame_rate: Option<f64>,
    },
    Opus {
        channels: u8,
        /// Samples at 48 kHz to be left out at the beginning.
        pre_skip: u32,
    },
    /// Something that is not played here.
    Other,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) track: u32,
    /// Of the first sample or of the picture that comes out of it, in nanoseconds from the file's
    /// beginning. Sound may begin before that, with what the codec needs to get going.
    pub(super) time: i64,
    pub(super) data: Box<[u8]>,
}

impl Packet {
    /// When it is to be shown; what would be before the beginning is shown then.
    pub(super) fn shown(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.time).unwrap_or(0))
    }
}
