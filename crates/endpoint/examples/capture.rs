//! Camera and microphone by constraints: what there is, what was chosen, another choice while it runs.
//!
//! `cargo run -p duet --example capture`, with `synthetic` at the end on a machine that has no devices.

use duet::devices::MediaDevices;
use duet::media::constraints::ConstrainNumber;
use duet::media::process::MediaStreamTrackProcessor;
use duet::media::{
    Frame, MediaStreamConstraints, MediaStreamTrack, MediaTrackConstraintSet, MonotonicClock,
};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    if std::env::args().nth(1).as_deref() == Some("synthetic") {
        devices = devices.without_hardware().with_synthetic();
    }
    for device in devices.enumerate_devices() {
        println!("{:?} {} ({})", device.kind, device.label, device.device_id);
    }

    // A camera that cannot do 640 pixels is refused; one that is far from 24 a second is only unloved.
    let video = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::exact(640)),
        frame_rate: Some(ConstrainNumber::ideal(24.0)),
        ..Default::default()
    };
    let stream = devices.get_user_media(&MediaStreamConstraints {
        audio: Some(Default::default()),
        video: Some(video.into()),
    })?;
    for track in stream.get_tracks() {
        println!("{}: {:?}", track.label(), track.get_settings());
    }

    let camera = stream.get_video_tracks().remove(0);
    show(&camera)?;
    let smaller = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::exact(320)),
        ..Default::default()
    };
    camera.apply_constraints(smaller.into())?;
    show(&camera)?;

    // The devices are let go with their last tracks.
    stream.get_tracks().iter().for_each(MediaStreamTrack::stop);
    Ok(())
}

/// Says what a second's pictures look like.
fn show(camera: &MediaStreamTrack) -> Result<(), Box<dyn Error>> {
    let pictures = MediaStreamTrackProcessor::new(camera, 2);
    for _ in 0..24 {
        let Some(Frame::Video(picture)) = pictures.read_timeout(Duration::from_secs(5)) else {
            return Err("the camera delivers nothing".into());
        };
        let (width, height) = (picture.width(), picture.height());
        println!("{:?} {width}x{height}", picture.capture_time);
    }
    Ok(())
}
