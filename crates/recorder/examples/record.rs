//! Records the synthetic camera and microphone to a file.
//!
//! ```text
//! cargo run --release -p duet-recorder --example record -- OUT.webm 1920x1080 10
//! ```

use duet_devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
use duet_media::{MediaStream, MonotonicClock};
use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output, RecorderEvent};
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [path, size, seconds] = &arguments[..] else {
        return Err("expected: FILE WIDTHxHEIGHT SECONDS".into());
    };
    let (width, height) = size.split_once('x').ok_or("expected WIDTHxHEIGHT")?;
    let clock = Arc::new(MonotonicClock::new());
    let camera = SyntheticCameraConfig {
        width: width.parse()?,
        height: height.parse()?,
        ..Default::default()
    };
    let stream = MediaStream::from_tracks([
        SyntheticCamera::start(camera, clock.clone()),
        SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock),
    ]);

    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default())?;
    let (failed, failure) = mpsc::channel();
    let _subscription = recorder.subscribe(move |event| {
        if let RecorderEvent::Error(error) = event {
            // Nobody listens any more once the time is over.
            drop(failed.send(error.clone()));
        }
    });
    recorder.start_to(Output::file(Path::new(path))?)?;
    let early = failure.recv_timeout(Duration::from_secs(seconds.parse()?));
    recorder.stop();
    recorder.wait_until_stopped(Duration::from_secs(10));
    println!("{:?}", recorder.statistics());
    match early {
        Ok(error) => Err(error.into()),
        Err(_) => Ok(()),
    }
}
