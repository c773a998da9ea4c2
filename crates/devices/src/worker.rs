//! What the devices' own threads have in common. What they do until they are stopped is each one's own.

use duet_media::MediaSource;
use std::io;
use std::thread::{Builder, JoinHandle};

/// Has a thread `work` for a source whose tracks end with it, however it ends: at once, if there is none.
pub(crate) fn spawn(
    name: &str,
    source: &MediaSource,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let ending = Ending(source.clone());
    Builder::new().name(name.into()).spawn(move || {
        let _ending = ending;
        work();
    })
}

/// Ends the tracks when it is dropped. Where they were stopped it changes nothing.
pub(crate) struct Ending(pub(crate) MediaSource);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::{MediaKind, MediaTrackCapabilities, MediaTrackSettings, TrackState};

    #[test]
    fn tracks_end_with_their_thread_however_that_ends() {
        let (settings, nothing) = (
            MediaTrackSettings::default(),
            MediaTrackCapabilities::default(),
        );
        let source = MediaSource::new(MediaKind::Audio, "source", settings, nothing, ());
        let track = source.create_track();
        let thread = spawn("panics", &source, || panic!("as it is wanted here")).unwrap();
        assert!(thread.join().is_err());
        assert_eq!(track.ready_state(), TrackState::Ended);
    }
}
