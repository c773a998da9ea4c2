//! Five seconds of the screen, recorded to a file. Wants an X11 display.
//!
//! `cargo run --release -p duet --example share_screen -- screen.webm`

use duet::devices::{DisplayMediaStreamOptions, MediaDevices};
use duet::media::MonotonicClock;
use duet::recorder::{MediaRecorder, MediaRecorderOptions, Output};
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("expected: a file to write")?;
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    for surface in devices.display_surfaces()? {
        println!("{surface:?}");
    }
    let screen = devices.get_display_media(&DisplayMediaStreamOptions::default())?;
    let recorder = MediaRecorder::new(&screen, MediaRecorderOptions::default())?;
    recorder.start_to(Output::file(&PathBuf::from(file))?)?;
    std::thread::sleep(Duration::from_secs(5));
    recorder.stop();
    recorder.wait_until_stopped(Duration::from_secs(10));
    println!("{:?}", recorder.statistics());
    Ok(())
}
