//! What a source may be set to while it owes something to a track.

use super::serves;
use crate::{
    CursorCaptureConstraint, EchoCancellation, MediaTrackSettings, VideoFacingMode, VideoResizeMode,
};

/// Two values of each property that a source can be set to, each property on its own.
fn properties() -> Vec<(&'static str, [MediaTrackSettings; 2])> {
    type Set<T> = fn(&mut MediaTrackSettings, T);
    fn two<T>(values: [T; 2], set: Set<T>) -> [MediaTrackSettings; 2] {
        values.map(|value| {
            let mut settings = MediaTrackSettings::default();
            set(&mut settings, value);
            settings
        })
    }
    let (on, off) = (EchoCancellation::On, EchoCancellation::Off);
    let faces = [VideoFacingMode::User, VideoFacingMode::Environment];
    let cursors = [
        CursorCaptureConstraint::Always,
        CursorCaptureConstraint::Never,
    ];
    let flags = [true, false];
    vec![
        ("width", two([1280, 640], |s, v| s.width = Some(v))),
        ("height", two([720, 480], |s, v| s.height = Some(v))),
        (
            "frameRate",
            two([30.0, 15.0], |s, v| s.frame_rate = Some(v)),
        ),
        ("facingMode", two(faces, |s, v| s.facing_mode = Some(v))),
        (
            "backgroundBlur",
            two(flags, |s, v| s.background_blur = Some(v)),
        ),
        ("cursor", two(cursors, |s, v| s.cursor = Some(v))),
        (
            "sampleRate",
            two([48_000, 8_000], |s, v| s.sample_rate = Some(v)),
        ),
        ("sampleSize", two([32, 16], |s, v| s.sample_size = Some(v))),
        (
            "channelCount",
            two([2, 1], |s, v| s.channel_count = Some(v)),
        ),
        ("latency", two([0.02, 0.01], |s, v| s.latency = Some(v))),
        (
            "echoCancellation",
            two([on, off], |s, v| s.echo_cancellation = Some(v)),
        ),
        (
            "autoGainControl",
            two(flags, |s, v| s.auto_gain_control = Some(v)),
        ),
        (
            "noiseSuppression",
            two(flags, |s, v| s.noise_suppression = Some(v)),
        ),
    ]
}

#[test]
fn what_a_track_was_promised_is_not_served_by_another_value_of_any_property() {
    let unknown = MediaTrackSettings::default();
    for (name, [a, b]) in properties() {
        assert!(serves(&a, &a) && serves(&b, &b), "{name}");
        assert!(!serves(&a, &b) && !serves(&b, &a), "{name}");
        assert!(serves(&unknown, &a) && serves(&a, &unknown), "{name}");
    }
}

#[test]
fn only_pictures_can_be_made_smaller_and_slower() {
    for (name, [more, less]) in properties() {
        let made = |settings: MediaTrackSettings| MediaTrackSettings {
            resize_mode: Some(VideoResizeMode::CropAndScale),
            ..settings
        };
        let can_be_made = ["width", "height", "frameRate"].contains(&name);
        assert_eq!(serves(&more, &made(less.clone())), can_be_made, "{name}");
        assert!(!serves(&less, &made(more)), "{name}");
    }
}
