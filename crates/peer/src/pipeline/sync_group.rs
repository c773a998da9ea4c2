//! Tracks of one remote stream that are played in step.

use std::sync::Arc;

/// The tracks of one remote stream (`msid`). Give it to each of them; audio and video then wait for
/// one another. Cheap to clone; all clones are the same group.
#[derive(Clone, Default)]
pub struct SyncGroup(#[allow(dead_code)] Arc<()>);

impl SyncGroup {
    /// A group without tracks.
    pub fn new() -> Self {
        Self::default()
    }
}
