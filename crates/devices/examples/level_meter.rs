//! A level meter: reads an audio track, here in a task, and draws how loud each channel is.
//!
//! `cargo run -p duet-devices --no-default-features --example level_meter`

use duet_devices::MediaDevices;
use duet_media::constraints::ConstrainNumber;
use duet_media::process::MediaStreamTrackProcessor;
use duet_media::{
    AudioBuffer, Frame, MediaStreamConstraints, MediaTrackConstraintSet, MonotonicClock,
};
use std::error::Error;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new())).with_synthetic();
    let stereo = MediaTrackConstraintSet {
        channel_count: Some(ConstrainNumber::ideal(2)),
        ..Default::default()
    };
    let constraints = MediaStreamConstraints {
        audio: Some(stereo.into()),
        video: None,
    };
    // It may ask a user, and waits for the device: not on a task's thread.
    let stream =
        tokio::task::spawn_blocking(move || devices.get_user_media(&constraints)).await??;
    let microphone = stream.get_audio_tracks().remove(0);

    // Ten stretches of 10 ms: what comes while the meter draws is not lost.
    let sounds = MediaStreamTrackProcessor::new(&microphone, 10);
    for _ in 0..100 {
        let Some(Frame::Audio(sound)) = sounds.read().await else {
            return Err("the microphone is gone".into());
        };
        let levels = (0..sound.buffer.channels()).map(|channel| level(&sound.buffer, channel));
        let meter: Vec<_> = levels.map(|level| format!("{level:6.1} dBFS")).collect();
        println!("{:?} {}", sound.capture_time, meter.join("  "));
    }
    println!("{} stretches were lost", sounds.lost());
    microphone.stop();
    Ok(())
}

/// The power of a channel's samples beside that of the loudest possible, in decibels; -100 at least.
fn level(buffer: &AudioBuffer, channel: u16) -> f32 {
    let power: f32 = buffer.channel(channel).map(|sample| sample * sample).sum();
    let mean = power / buffer.frames().max(1) as f32;
    (10.0 * mean.log10()).max(-100.0)
}
