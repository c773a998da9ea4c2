//! A filter between a camera and whoever shows it: reads pictures, turns them into their negatives, and
//! writes them to a track of its own, which is a camera like any other to a call or a recorder.
//!
//! `cargo run -p duet-devices --no-default-features --example video_filter`

use duet_devices::MediaDevices;
use duet_media::process::{MediaStreamTrackGenerator, MediaStreamTrackProcessor, WriteError};
use duet_media::{
    Frame, I420Buffer, MediaKind, MediaStreamConstraints, MonotonicClock, Pool, VideoFrame,
};
use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new())).with_synthetic();
    let stream = devices.get_user_media(&MediaStreamConstraints {
        audio: None,
        video: Some(Default::default()),
    })?;
    let camera = stream.get_video_tracks().remove(0);

    let generator = MediaStreamTrackGenerator::new(MediaKind::Video, "negative");
    let negative = generator.track();
    // One picture waits for the filter at most: a slow filter shows fewer pictures, not older ones.
    let pictures = MediaStreamTrackProcessor::new(&camera, 1);
    let filter = thread::spawn(move || {
        let pool = Pool::new(4);
        while !pictures.is_ended() {
            let Some(Frame::Video(picture)) = pictures.read_timeout(Duration::from_secs(1)) else {
                continue;
            };
            let turned = pool.fill(|to: &mut I420Buffer| invert(&picture.buffer, to));
            let frame = VideoFrame::new(turned, picture.capture_time).into();
            if generator.write(&frame) == Err(WriteError::Ended) {
                break;
            }
        }
        pictures.lost()
    });

    let shown = MediaStreamTrackProcessor::new(&negative, 1);
    for _ in 0..30 {
        let Some(Frame::Video(picture)) = shown.read_timeout(Duration::from_secs(5)) else {
            return Err("no picture came through".into());
        };
        let luma = picture.buffer.y();
        let mean = luma.iter().map(|y| u64::from(*y)).sum::<u64>() / luma.len() as u64;
        let (width, height) = (picture.width(), picture.height());
        println!("{:?} {width}x{height}, mean {mean}", picture.capture_time);
    }
    // Nobody shows it any more: the filter learns of it with its next picture, and the camera stops
    // with its last track.
    negative.stop();
    let lost = filter.join().map_err(|_| "the filter failed")?;
    camera.stop();
    println!("{lost} pictures were left out");
    Ok(())
}

fn invert(from: &I420Buffer, to: &mut I420Buffer) {
    to.resize(from.width(), from.height());
    for (to, from) in to.as_bytes_mut().iter_mut().zip(from.as_bytes()) {
        *to = 255 - from;
    }
}
