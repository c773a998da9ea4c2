//! Marks for a camera that has none.

use crate::probe::Kept;
use duet_devices::synthetic::{Marks, marks};
use duet_media::{
    Clock, Frame, I420Buffer, MediaKind, MediaSource, MediaStreamTrack, Pool, Sink, SinkHandle,
    SourceControl, VideoFrame,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Writes number and time into every picture of a track, and passes it on as another track.
pub(super) struct Stamper {
    clock: Arc<dyn Clock>,
    source: MediaSource,
    pool: Pool<I420Buffer>,
    number: AtomicU32,
    kept: Arc<Kept>,
}

/// Pictures under way between the camera and the encoder.
const POOLED: usize = 6;

/// The stamped track holds the camera by its sink; when it stops, the camera is let go.
#[derive(Clone, Default)]
struct Hold(Arc<Mutex<Option<(MediaStreamTrack, SinkHandle)>>>);

impl SourceControl for Hold {
    fn stop(&self) {
        let held = self.0.lock().take();
        if let Some((camera, sink)) = held {
            drop(sink);
            camera.stop();
        }
    }
}

impl Stamper {
    /// The stamped track, and the originals that a probe compares with.
    pub(super) fn start(
        camera: &MediaStreamTrack,
        clock: Arc<dyn Clock>,
    ) -> (MediaStreamTrack, Arc<Kept>) {
        let hold = Hold::default();
        let source = MediaSource::new(
            MediaKind::Video,
            camera.label(),
            camera.get_settings(),
            camera.get_capabilities(),
            hold.clone(),
        );
        let track = source.create_track();
        let kept = Arc::new(Kept::default());
        let stamper = Stamper {
            clock,
            source,
            pool: Pool::new(POOLED),
            number: AtomicU32::new(0),
            kept: kept.clone(),
        };
        let sink = camera.add_sink(Arc::new(stamper));
        *hold.0.lock() = Some((camera.clone(), sink));
        (track, kept)
    }
}

impl Sink for Stamper {
    fn accept(&self, frame: &Frame) {
        let Frame::Video(frame) = frame else { return };
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let unix = self.clock.unix_time(frame.capture_time);
        let stamped = self.pool.fill(|picture| {
            picture.resize(frame.width(), frame.height());
            picture
                .as_bytes_mut()
                .copy_from_slice(frame.buffer.as_bytes());
            marks::write(&Marks::new(number, unix, false), picture);
        });
        self.kept.keep(number, &stamped);
        self.source
            .publish(&VideoFrame::new(stamped, frame.capture_time).into());
    }

    fn ended(&self) {
        self.source.end();
    }
}
