//! Tracks of one remote stream that are played in step.

use duet_media::{MediaKind, MediaTime};
use duet_session::{LipSync, Played};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The tracks of one remote stream (`msid`). Give it to each of them; sound and picture then wait for
/// one another. Cheap to clone; all clones are the same group.
///
/// One track of each kind is meant; of several of a kind, the one that was played last counts.
#[derive(Clone, Default)]
pub struct SyncGroup(Arc<Mutex<LipSync>>);

impl SyncGroup {
    /// A group without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far sound lags behind the picture now, in nanoseconds; negative if it is early. `None`
    /// unless both are playing and have had sender reports.
    pub fn offset_nanos(&self, now: MediaTime) -> Option<i64> {
        self.0.lock().offset(now)
    }

    /// Tells that what was captured at `captured`, by the sender's wall clock, is played; returns the
    /// least delay to keep from now on.
    pub(super) fn played(
        &self,
        kind: MediaKind,
        captured: Option<Duration>,
        played: Played,
    ) -> Duration {
        let mut sync = self.0.lock();
        sync.played(kind, captured, played);
        let delays = sync.update(played.at);
        match kind {
            MediaKind::Audio => delays.audio,
            MediaKind::Video => delays.video,
        }
    }
}
