//! What several tracks of one source, and a source that changes, owe to one another.

use duet_media::constraints::{
    ConstrainBooleanOrDOMString, ConstrainDOMString, ConstrainDouble, ConstrainULong,
    each_candidate,
};
use duet_media::process::MediaStreamTrackProcessor;
use duet_media::{
    CursorCaptureConstraint, EchoCancellation, Frame, FrameQueue, I420Buffer, MediaKind,
    MediaSource, MediaStreamTrack, MediaTime, MediaTrackCapabilities, MediaTrackConstraintSet,
    MediaTrackConstraints, MediaTrackSettings, Range, ReconfigureError, SourceControl, TrackEvent,
    TrackState, VideoFrame, VideoResizeMode, WeakMediaSource,
};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Does what it is told, and writes down what it was told.
#[derive(Clone, Default)]
struct Device(Arc<Mutex<Vec<String>>>);

impl Device {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl SourceControl for Device {
    fn stop(&self) {
        self.0.lock().push("stop".into());
    }

    fn demand(&self, wanted: bool) {
        self.0.lock().push(format!("wanted: {wanted}"));
    }

    fn reconfigure(
        &self,
        wanted: &MediaTrackSettings,
    ) -> Result<MediaTrackSettings, ReconfigureError> {
        self.0.lock().push(format!("width: {:?}", wanted.width));
        Ok(wanted.clone())
    }
}

fn size(width: u32, height: u32) -> MediaTrackSettings {
    MediaTrackSettings {
        width: Some(width),
        height: Some(height),
        frame_rate: Some(30.0),
        ..Default::default()
    }
}

fn up_to(width: u32, height: u32) -> MediaTrackCapabilities {
    MediaTrackCapabilities {
        width: Some(Range { min: 1, max: width }),
        height: Some(Range {
            min: 1,
            max: height,
        }),
        frame_rate: Some(Range {
            min: 0.0,
            max: 30.0,
        }),
        ..Default::default()
    }
}

fn camera(modes: &[(u32, u32)]) -> (MediaSource, Device) {
    let device = Device::default();
    let modes: Vec<_> = modes.iter().map(|(w, h)| size(*w, *h)).collect();
    let source = MediaSource::new(
        MediaKind::Video,
        "camera",
        modes[0].clone(),
        up_to(1920, 1080),
        device.clone(),
    );
    source.set_modes(modes);
    (source, device)
}

fn set(change: impl FnOnce(&mut MediaTrackConstraintSet)) -> MediaTrackConstraints {
    let mut set = MediaTrackConstraintSet::default();
    change(&mut set);
    set.into()
}

fn dimensions(track: &MediaStreamTrack) -> (u32, u32) {
    let settings = track.get_settings();
    (settings.width.unwrap_or(0), settings.height.unwrap_or(0))
}

fn picture(width: u32, height: u32, millis: i64) -> Frame {
    let mut buffer = I420Buffer::new(width, height);
    buffer.as_bytes_mut().fill(99);
    VideoFrame::new(Arc::new(buffer), MediaTime::from_millis(millis)).into()
}

fn seen(queue: &FrameQueue) -> Option<(u32, u32, u8, i64)> {
    match queue.try_pop()? {
        Frame::Video(p) => Some((
            p.width(),
            p.height(),
            p.buffer.y()[0],
            p.capture_time.as_millis(),
        )),
        Frame::Audio(_) => None,
    }
}

#[test]
fn a_clone_of_what_has_ended_says_so_and_does_not_wake_the_device() {
    let (source, device) = camera(&[(640, 480)]);
    let (ended, disabled) = (source.create_track(), source.create_track());
    disabled.set_enabled(false);
    ended.stop();
    assert_eq!(device.told(), ["wanted: false"]);
    let clone = ended.clone_track();
    assert_eq!(clone.ready_state(), TrackState::Ended);
    assert_eq!(device.told(), [""; 0], "nobody wants anything");
    disabled.stop();
    for track in [clone, ended.clone_track(), source.create_track()] {
        let reader = MediaStreamTrackProcessor::new(&track, 1);
        assert!(reader.is_ended(), "or a reader waits for ever");
        assert!(reader.read_timeout(Duration::from_secs(60)).is_none());
    }
    assert_eq!(device.told(), ["stop"]);
}

#[test]
fn a_muted_track_goes_black_though_its_source_delivers_nothing() {
    let (source, _device) = camera(&[(640, 480)]);
    let track = source.create_track();
    let queue = Arc::new(FrameQueue::new(10));
    let _sink = track.add_sink(queue.clone());
    source.publish(&picture(640, 480, 100));
    assert_eq!(seen(&queue), Some((640, 480, 99, 100)));
    source.set_muted(true);
    assert_eq!(seen(&queue), Some((640, 480, 16, 101)));
    source.set_muted(false);
    assert_eq!(seen(&queue), None);
    source.publish(&picture(640, 480, 133));
    assert_eq!(seen(&queue), Some((640, 480, 99, 133)));
}

#[test]
fn a_permission_that_is_taken_back_is_taken_back_from_whoever_comes_late() {
    for stop in [MediaSource::stop, MediaSource::revoke] {
        let (source, device) = camera(&[(640, 480)]);
        stop(&source);
        assert_eq!(device.told(), ["stop"], "even if nobody had it");
        assert_eq!(source.create_track().ready_state(), TrackState::Ended);
        assert_eq!(device.told(), [""; 0]);

        let (source, device) = camera(&[(640, 480)]);
        let track = source.create_track();
        // Who hears of the end makes a clone at once.
        let late = Arc::new(Mutex::new(Vec::new()));
        let clones = late.clone();
        let clone_of = source.clone();
        let _subscription = track.subscribe(move |event| {
            assert_eq!(*event, TrackEvent::Ended);
            clones.lock().push(clone_of.create_track().ready_state());
        });
        stop(&source);
        assert!(late.lock().iter().all(|state| *state == TrackState::Ended));
        assert_eq!(device.told(), ["stop"]);
    }
}

#[test]
fn a_track_whose_wishes_are_met_either_way_stands_in_nobodys_way() {
    let (source, device) = camera(&[(640, 480), (1280, 720)]);
    let (easy, wide) = (source.create_track(), source.create_track());
    easy.apply_constraints(set(|c| c.frame_rate = Some(30.0.into())))
        .unwrap();
    assert_eq!(dimensions(&easy), (640, 480));
    wide.apply_constraints(set(|c| c.width = Some(ConstrainULong::exact(1280))))
        .unwrap();
    assert_eq!(device.told(), ["width: Some(1280)"]);
    assert_eq!(dimensions(&wide), (1280, 720));
    assert_eq!(dimensions(&easy), (1280, 720), "and says what it has now");
    // What was wished for and had is not taken away, though it was only a wish.
    let error = easy
        .apply_constraints(set(|c| {
            c.width = Some(ConstrainULong::exact(640));
            c.resize_mode = Some(ConstrainDOMString::exact("none"));
        }))
        .unwrap_err();
    assert_eq!(error.constraint, "");
    assert_eq!(device.told(), [""; 0]);
}

/// A source of that kind that can be set to all of it, and a device that does as it is told.
fn free(kind: MediaKind) -> (MediaSource, Device) {
    let device = Device::default();
    let (flags, cursors) = (
        vec![true, false],
        [
            CursorCaptureConstraint::Always,
            CursorCaptureConstraint::Never,
        ],
    );
    let (settings, capabilities) = match kind {
        MediaKind::Audio => (
            MediaTrackSettings {
                sample_rate: Some(48_000),
                sample_size: Some(32),
                channel_count: Some(2),
                latency: Some(0.01),
                echo_cancellation: Some(EchoCancellation::On),
                auto_gain_control: Some(true),
                noise_suppression: Some(true),
                ..Default::default()
            },
            MediaTrackCapabilities {
                sample_rate: Some(Range {
                    min: 8_000,
                    max: 48_000,
                }),
                sample_size: Some(Range { min: 16, max: 32 }),
                channel_count: Some(Range { min: 1, max: 2 }),
                latency: Some(Range {
                    min: 0.01,
                    max: 0.1,
                }),
                echo_cancellation: vec![EchoCancellation::On, EchoCancellation::Off],
                auto_gain_control: flags.clone(),
                noise_suppression: flags,
                ..Default::default()
            },
        ),
        MediaKind::Video => (
            MediaTrackSettings {
                cursor: Some(cursors[0]),
                ..size(640, 480)
            },
            MediaTrackCapabilities {
                cursor: cursors.to_vec(),
                ..up_to(1920, 1080)
            },
        ),
    };
    let source = MediaSource::new(kind, "source", settings, capabilities, device.clone());
    (source, device)
}

/// Two wishes that one source cannot grant at once.
struct Rivals(MediaKind, [MediaTrackConstraints; 2]);

impl Rivals {
    fn new<T: Copy>(
        kind: MediaKind,
        values: [T; 2],
        want: impl Fn(&mut MediaTrackConstraintSet, T),
    ) -> Self {
        Rivals(kind, values.map(|value| set(|c| want(c, value))))
    }

    /// Pictures as the source has them: each track may make its own of others.
    fn native<T: Copy>(values: [T; 2], want: impl Fn(&mut MediaTrackConstraintSet, T)) -> Self {
        Self::new(MediaKind::Video, values, |c, value| {
            c.resize_mode = Some(ConstrainDOMString::exact("none"));
            want(c, value);
        })
    }

    fn heard<T: Copy>(values: [T; 2], want: impl Fn(&mut MediaTrackConstraintSet, T)) -> Self {
        Self::new(MediaKind::Audio, values, want)
    }
}

#[test]
fn what_was_promised_to_one_is_not_changed_for_another() {
    use duet_media::constraints::ConstrainBoolean as Flag;
    let flags = [true, false];
    let all = [
        Rivals::native([640, 320], |c, v| c.width = Some(ConstrainULong::exact(v))),
        Rivals::native([480, 240], |c, v| c.height = Some(ConstrainULong::exact(v))),
        Rivals::native([30.0, 15.0], |c, v| {
            c.frame_rate = Some(ConstrainDouble::exact(v));
        }),
        Rivals::new(MediaKind::Video, ["always", "never"], |c, v| {
            c.cursor = Some(ConstrainDOMString::exact(v));
        }),
        Rivals::heard([48_000, 8_000], |c, v| {
            c.sample_rate = Some(ConstrainULong::exact(v));
        }),
        Rivals::heard([32, 16], |c, v| {
            c.sample_size = Some(ConstrainULong::exact(v))
        }),
        Rivals::heard([2, 1], |c, v| {
            c.channel_count = Some(ConstrainULong::exact(v))
        }),
        Rivals::heard([0.01, 0.1], |c, v| {
            c.latency = Some(ConstrainDouble::exact(v))
        }),
        Rivals::heard(flags, |c, v| {
            c.echo_cancellation = Some(ConstrainBooleanOrDOMString::exact(v));
        }),
        Rivals::heard(flags, |c, v| c.auto_gain_control = Some(Flag::exact(v))),
        Rivals::heard(flags, |c, v| c.noise_suppression = Some(Flag::exact(v))),
    ];
    for Rivals(kind, [mine, others]) in all {
        let (source, device) = free(kind);
        let (first, second) = (source.create_track(), source.create_track());
        first.apply_constraints(mine.clone()).unwrap();
        let promised = first.get_settings();
        assert!(
            second.apply_constraints(others.clone()).is_err(),
            "{others:?}"
        );
        assert_eq!(first.get_settings(), promised, "{mine:?}");
        assert_eq!(device.told(), [""; 0], "{others:?}");
        second.apply_constraints(mine).unwrap();
        first.stop();
        second.apply_constraints(others).unwrap();
        assert_eq!(device.told().len(), 1, "nobody minds now");
        assert_ne!(second.get_settings(), promised);
    }
}

/// A picture may come the moment that the device is set, before it has even said so.
#[test]
fn nobody_sees_a_picture_of_the_size_that_another_asked_for() {
    struct Quick {
        source: Arc<OnceLock<WeakMediaSource>>,
        refuses: bool,
    }
    impl SourceControl for Quick {
        fn reconfigure(
            &self,
            wanted: &MediaTrackSettings,
        ) -> Result<MediaTrackSettings, ReconfigureError> {
            if self.refuses {
                return Err(ReconfigureError::Refused("busy".into()));
            }
            let (width, height) = (wanted.width.unwrap(), wanted.height.unwrap());
            let source = self.source.get().and_then(WeakMediaSource::upgrade);
            source.unwrap().publish(&picture(width, height, 0));
            Ok(wanted.clone())
        }
    }
    for refuses in [false, true] {
        let itself = Arc::new(OnceLock::new());
        let (kind, own) = (MediaKind::Video, size(640, 480));
        let control = Quick {
            source: itself.clone(),
            refuses,
        };
        let source = MediaSource::new(kind, "camera", own.clone(), up_to(1280, 960), control);
        itself.set(source.downgrade()).unwrap();
        source.set_modes(vec![own, size(1280, 960)]);
        let (small, large) = (source.create_track(), source.create_track());
        let narrow = set(|c| c.width = Some(ConstrainULong::exact(640)));
        small.apply_constraints(narrow).unwrap();
        let before = small.get_settings();
        assert_eq!(before.resize_mode, Some(VideoResizeMode::None));
        let queue = Arc::new(FrameQueue::new(10));
        let _sink = small.add_sink(queue.clone());
        let wide = set(|c| c.width = Some(ConstrainULong::exact(1280)));
        assert_eq!(large.apply_constraints(wide).is_err(), refuses);
        if refuses {
            assert_eq!(small.get_settings(), before, "nothing has changed");
            source.publish(&picture(640, 480, 0));
        }
        assert_eq!(seen(&queue), Some((640, 480, 99, 0)));
        assert_eq!(dimensions(&small), (640, 480));
    }
}

#[test]
fn a_source_that_changes_by_itself_serves_its_tracks_anew() {
    let (source, _device) = camera(&[(1280, 720)]);
    let track = source.create_track();
    let queue = Arc::new(FrameQueue::new(10));
    let _sink = track.add_sink(queue.clone());
    let constraints = set(|c| c.height = Some(ConstrainULong::exact(360)));
    track.apply_constraints(constraints.clone()).unwrap();
    assert_eq!(dimensions(&track), (640, 360));
    source.set_settings(size(1000, 1000));
    assert_eq!(dimensions(&track), (360, 360), "of the new shape");
    source.publish(&picture(1000, 1000, 0));
    assert_eq!(seen(&queue), Some((360, 360, 99, 0)));
    // Too small now; what cannot be met is left out of account, and remembered.
    source.set_settings(size(200, 100));
    assert_eq!(dimensions(&track), (200, 100));
    assert_eq!(track.get_constraints(), constraints);
    source.publish(&picture(200, 100, 33));
    assert_eq!(seen(&queue), Some((200, 100, 99, 33)));
    source.set_settings(size(720, 720));
    assert_eq!(dimensions(&track), (360, 360));
}

#[test]
fn a_screen_is_made_smaller_and_never_cropped() {
    let ratio = size(1920, 1080).aspect_ratio().unwrap();
    let capabilities = MediaTrackCapabilities {
        aspect_ratio: Some(Range {
            min: ratio,
            max: ratio,
        }),
        ..up_to(1920, 1080)
    };
    let (kind, own) = (MediaKind::Video, size(1920, 1080));
    let source = MediaSource::new(kind, "screen", own.clone(), capabilities, ());
    source.set_modes(vec![own]);
    let track = source.create_track();
    let told = track.get_capabilities();
    assert_eq!(
        told.aspect_ratio.map(|r| (r.min, r.max)),
        Some((ratio, ratio))
    );
    assert_eq!(told.width.map(|r| r.min), Some(2));
    assert_eq!(told.height.map(|r| r.min), Some(1));
    track
        .apply_constraints(set(|c| {
            c.width = Some(ConstrainULong::max(300));
            c.height = Some(ConstrainULong::max(300));
        }))
        .unwrap();
    assert_eq!(dimensions(&track), (300, 169));
    track
        .apply_constraints(set(|c| {
            c.width = Some(300.into());
            c.height = Some(300.into());
        }))
        .unwrap();
    assert!([(300, 169), (533, 300)].contains(&dimensions(&track)));
    let square = set(|c| c.aspect_ratio = Some(ConstrainDouble::exact(1.0)));
    let error = track.apply_constraints(square).unwrap_err();
    assert_eq!(error.constraint, "aspectRatio");
    assert_eq!(
        track.get_settings().resize_mode,
        Some(VideoResizeMode::CropAndScale)
    );
}

#[test]
fn what_is_no_number_is_refused_by_name_and_a_contradiction_is_called_one() {
    let (source, _device) = camera(&[(640, 480)]);
    let track = source.create_track();
    for nonsense in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = track
            .apply_constraints(set(|c| c.frame_rate = Some(nonsense.into())))
            .unwrap_err();
        assert_eq!(error.constraint, "frameRate");
        assert!(error.message.contains("no finite number"), "{error}");
    }
    let negative = set(|c| c.frame_rate = Some(ConstrainDouble::exact(-1.0)));
    let error = track.apply_constraints(negative).unwrap_err();
    assert!(error.message.ends_with("frameRate: exactly -1"), "{error}");
    let wish = set(|c| c.aspect_ratio = Some((-1.0).into()));
    track.apply_constraints(wish).unwrap();
    let torn = set(|c| c.width = Some(ConstrainULong::between(600, 500)));
    let error = track.apply_constraints(torn).unwrap_err();
    assert_eq!(error.constraint, "width");
    assert!(error.message.contains("contradiction"), "{error}");
}

/// Twenty advanced sets once made some hundred million candidates.
#[test]
fn many_advanced_sets_do_not_multiply_without_end() {
    let sets = (1..=20).map(|n| MediaTrackConstraintSet {
        width: Some((n * 100).into()),
        height: Some((n * 77).into()),
        frame_rate: Some(f64::from(n).into()),
        ..Default::default()
    });
    let constraints = MediaTrackConstraints {
        advanced: sets.collect(),
        ..Default::default()
    };
    let mut count = 0u32;
    let (mode, free) = (size(640, 480), up_to(3840, 2160));
    each_candidate(MediaKind::Video, &[mode], &free, &constraints, &mut |_| {
        count += 1;
    });
    assert!(count < 200_000, "{count}");
}
