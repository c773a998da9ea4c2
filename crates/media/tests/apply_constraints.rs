//! `applyConstraints` on tracks of a camera that keeps a log.

use duet_media::constraints::{ConstrainDOMString, ConstrainDouble, ConstrainULong};
use duet_media::{
    ConstrainableProperty, Frame, FrameQueue, I420Buffer, MediaKind, MediaSource, MediaStreamTrack,
    MediaTime, MediaTrackCapabilities, MediaTrackConstraintSet, MediaTrackConstraints,
    MediaTrackSettings, Range, ReconfigureError, SinkHandle, SourceControl, VideoFrame,
    VideoResizeMode,
};
use parking_lot::Mutex;
use std::sync::Arc;

type Answer = fn(&MediaTrackSettings) -> Result<MediaTrackSettings, ReconfigureError>;

/// Answers as it is told to, and remembers what it was asked for.
struct Camera {
    asked: Arc<Mutex<Vec<(u32, u32)>>>,
    answer: Answer,
}

impl SourceControl for Camera {
    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        self.asked.lock().push(size(wanted));
        (self.answer)(wanted)
    }
}

fn obeys(wanted: &MediaTrackSettings) -> Result<MediaTrackSettings, ReconfigureError> {
    Ok(wanted.clone())
}

fn refuses(_: &MediaTrackSettings) -> Result<MediaTrackSettings, ReconfigureError> {
    Err(ReconfigureError::Refused("busy".into()))
}

fn is_fixed(_: &MediaTrackSettings) -> Result<MediaTrackSettings, ReconfigureError> {
    Err(ReconfigureError::Fixed)
}

/// Has a mode of 1024x768 that nobody is told of, and takes it for any other than its first.
fn has_its_own_mind(wanted: &MediaTrackSettings) -> Result<MediaTrackSettings, ReconfigureError> {
    Ok(match size(wanted) {
        (640, 480) => wanted.clone(),
        _ => mode(1024, 768, 30.0),
    })
}

struct Setup {
    source: MediaSource,
    asked: Arc<Mutex<Vec<(u32, u32)>>>,
}

impl Setup {
    /// A camera at 640x480 that can do up to 1280x720, 30 frames a second.
    fn new(answer: Answer) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let capabilities = MediaTrackCapabilities {
            width: Some(Range {
                min: 160,
                max: 1280,
            }),
            height: Some(Range { min: 120, max: 720 }),
            frame_rate: Some(Range {
                min: 5.0,
                max: 30.0,
            }),
            device_id: Some("cam".into()),
            ..Default::default()
        };
        let settings = MediaTrackSettings {
            device_id: Some("cam".into()),
            ..mode(640, 480, 30.0)
        };
        let control = Camera {
            asked: asked.clone(),
            answer,
        };
        let source = MediaSource::new(MediaKind::Video, "camera", settings, capabilities, control);
        Setup { source, asked }
    }

    fn with_modes(answer: Answer) -> Self {
        let setup = Self::new(answer);
        setup
            .source
            .set_modes(vec![mode(640, 480, 30.0), mode(1280, 720, 30.0)]);
        setup
    }

    fn asked(&self) -> Vec<(u32, u32)> {
        std::mem::take(&mut *self.asked.lock())
    }

    /// A second of pictures of the size that the source is set to.
    fn shoot(&self) {
        let (width, height) = size(&self.source.settings());
        for n in 0..30 {
            let time = MediaTime::from_micros(n * 1_000_000 / 30);
            let mut picture = I420Buffer::new(width, height);
            picture.as_bytes_mut().fill(99);
            self.source
                .publish(&VideoFrame::new(Arc::new(picture), time).into());
        }
    }
}

fn mode(width: u32, height: u32, frame_rate: f64) -> MediaTrackSettings {
    MediaTrackSettings {
        width: Some(width),
        height: Some(height),
        frame_rate: Some(frame_rate),
        ..Default::default()
    }
}

fn size(settings: &MediaTrackSettings) -> (u32, u32) {
    (settings.width.unwrap_or(0), settings.height.unwrap_or(0))
}

fn watch(track: &MediaStreamTrack) -> (Arc<FrameQueue>, SinkHandle) {
    let queue = Arc::new(FrameQueue::new(100));
    let handle = track.add_sink(queue.clone());
    (queue, handle)
}

/// Size and first luma sample of what came.
fn seen(queue: &FrameQueue) -> Vec<(u32, u32, u8)> {
    let frames = std::iter::from_fn(|| queue.try_pop());
    let pictures = frames.filter_map(|frame| match frame {
        Frame::Video(picture) => Some(picture),
        Frame::Audio(_) => None,
    });
    pictures
        .map(|p| (p.width(), p.height(), p.buffer.y()[0]))
        .collect()
}

fn width(width: ConstrainULong) -> MediaTrackConstraints {
    MediaTrackConstraintSet {
        width: Some(width),
        ..Default::default()
    }
    .into()
}

#[test]
fn the_source_is_set_to_the_mode_that_fits() {
    let setup = Setup::with_modes(obeys);
    let track = setup.source.create_track();
    let hd = width(ConstrainULong::exact(1280));
    track.apply_constraints(hd.clone()).unwrap();
    assert_eq!(setup.asked(), [(1280, 720)]);
    assert_eq!(track.get_constraints(), hd);
    let settings = track.get_settings();
    assert_eq!(size(&settings), (1280, 720));
    assert_eq!(settings.resize_mode, Some(VideoResizeMode::None));
    assert_eq!(settings.device_id.as_deref(), Some("cam"));
    track.apply_constraints(hd).unwrap();
    assert_eq!(setup.asked(), [], "it is so already");
    track.apply_constraints(Default::default()).unwrap();
    assert_eq!(setup.asked(), [(640, 480)], "back to what is usual");
}

#[test]
fn a_failure_changes_nothing() {
    let setup = Setup::with_modes(obeys);
    let track = setup.source.create_track();
    let before = width(ConstrainULong::exact(320));
    track.apply_constraints(before.clone()).unwrap();
    let settings = track.get_settings();
    let error = track
        .apply_constraints(width(ConstrainULong::min(1_281)))
        .unwrap_err();
    assert_eq!(error.constraint, "width");
    assert_eq!(setup.asked(), []);
    assert_eq!(track.get_constraints(), before);
    assert_eq!(track.get_settings(), settings);
}

#[test]
fn a_camera_that_refuses_is_good_enough_for_a_wish_and_not_for_a_demand() {
    for (answer, ends_at) in [
        (refuses as Answer, (640, 480)),
        (is_fixed, (640, 480)),
        (has_its_own_mind, (1024, 768)),
    ] {
        let setup = Setup::with_modes(answer);
        let track = setup.source.create_track();
        let error = track
            .apply_constraints(width(ConstrainULong::exact(1280)))
            .unwrap_err();
        assert_eq!(error.constraint, "width");
        assert_eq!(size(&setup.source.settings()), (640, 480));
        assert_eq!(size(&track.get_settings()), (640, 480));
        assert_eq!(track.get_constraints(), MediaTrackConstraints::default());
        track.apply_constraints(width(1280.into())).unwrap();
        assert_eq!(size(&track.get_settings()), ends_at);
        assert_eq!(track.get_constraints(), width(1280.into()));
    }
}

#[test]
fn a_source_without_modes_is_free_within_its_capabilities() {
    let setup = Setup::new(obeys);
    let track = setup.source.create_track();
    track.apply_constraints(width(500.into())).unwrap();
    assert_eq!(setup.asked(), [(500, 375)]);
    track
        .apply_constraints(width(ConstrainULong::max(100)))
        .unwrap();
    assert_eq!(
        size(&track.get_settings()),
        (100, 75),
        "smaller than it can do, so made by us"
    );
    assert_eq!(
        track.get_settings().resize_mode,
        Some(VideoResizeMode::CropAndScale)
    );
}

#[test]
fn tracks_of_one_source_do_not_disturb_each_other() {
    let setup = Setup::with_modes(obeys);
    let (large, small, follows) = (
        setup.source.create_track(),
        setup.source.create_track(),
        setup.source.create_track(),
    );
    let queues = [watch(&large), watch(&small), watch(&follows)];
    large
        .apply_constraints(width(ConstrainULong::exact(1280)))
        .unwrap();
    let vga = MediaTrackConstraintSet {
        width: Some(ConstrainULong::exact(640)),
        height: Some(ConstrainULong::exact(480)),
        frame_rate: Some(ConstrainDouble::exact(10.0)),
        ..Default::default()
    };
    small.apply_constraints(vga.clone().into()).unwrap();
    assert_eq!(setup.asked(), [(1280, 720)], "what the first needs stays");
    setup.shoot();
    assert_eq!(seen(&queues[0].0), [(1280, 720, 99); 30]);
    assert_eq!(seen(&queues[1].0), [(640, 480, 99); 10]);
    assert_eq!(seen(&queues[2].0), [(1280, 720, 99); 30]);
    assert_eq!(small.get_settings().frame_rate, Some(10.0));
    // A native 640x480 would take away the other's picture.
    let native = MediaTrackConstraintSet {
        resize_mode: Some(ConstrainDOMString::exact("none")),
        ..vga
    };
    assert!(small.apply_constraints(native.clone().into()).is_err());
    large.stop();
    let native = MediaTrackConstraintSet {
        frame_rate: None,
        ..native
    };
    small.apply_constraints(native.into()).unwrap();
    assert_eq!(setup.asked(), [(640, 480)], "nobody minds now");
}

#[test]
fn a_clone_is_asked_the_same_and_shows_the_same() {
    let setup = Setup::new(is_fixed);
    let track = setup.source.create_track();
    track
        .apply_constraints(width(ConstrainULong::exact(320)))
        .unwrap();
    let clone = track.clone_track();
    let (queue, _handle) = watch(&clone);
    setup.shoot();
    assert_eq!(seen(&queue), [(320, 240, 99); 30]);
    assert_eq!(clone.get_constraints(), track.get_constraints());
    clone
        .apply_constraints(width(ConstrainULong::exact(160)))
        .unwrap();
    assert_eq!(
        size(&track.get_settings()),
        (320, 240),
        "each goes its own way"
    );
    clone.set_enabled(false);
    setup.shoot();
    assert_eq!(
        seen(&queue),
        [(160, 120, 16); 30],
        "black in the track's own size"
    );
}

#[test]
fn a_remote_track_has_the_picture_that_is_sent() {
    let none = MediaTrackCapabilities::default();
    let source = MediaSource::new(MediaKind::Video, "remote", mode(640, 480, 30.0), none, ());
    let track = source.create_track();
    let slower = MediaTrackConstraintSet {
        frame_rate: Some(10.0.into()),
        ..Default::default()
    };
    let error = track.apply_constraints(slower.into()).unwrap_err();
    assert_eq!(error.constraint, "frameRate");
    assert_eq!(track.get_capabilities(), MediaTrackCapabilities::default());
    track.apply_constraints(Default::default()).unwrap();
    source.set_settings(mode(320, 240, 15.0));
    assert_eq!(track.get_settings(), mode(320, 240, 15.0));
}

#[test]
fn an_ended_track_agrees_to_anything_and_remembers_its_device() {
    let setup = Setup::new(obeys);
    let track = setup.source.create_track();
    track.stop();
    track
        .apply_constraints(width(ConstrainULong::exact(9_999)))
        .unwrap();
    assert_eq!(track.get_constraints(), MediaTrackConstraints::default());
    let device = MediaTrackSettings {
        device_id: Some("cam".into()),
        ..Default::default()
    };
    assert_eq!(track.get_settings(), device);
}

#[test]
fn every_local_picture_can_be_made_smaller_and_slower() {
    let track = Setup::new(obeys).source.create_track();
    let capabilities = track.get_capabilities();
    assert_eq!(capabilities.width, Some(Range { min: 1, max: 1280 }));
    assert_eq!(
        capabilities.frame_rate,
        Some(Range {
            min: 0.0,
            max: 30.0
        })
    );
    assert_eq!(capabilities.resize_mode.len(), 2);
    assert_eq!(
        track.get_settings().resize_mode,
        Some(VideoResizeMode::None)
    );
    let names: Vec<_> = MediaStreamTrack::get_supported_constraints()
        .iter()
        .map(|p| p.name())
        .collect();
    assert!(
        names.contains(&"aspectRatio")
            && names.contains(&ConstrainableProperty::ChannelCount.name())
    );
}
