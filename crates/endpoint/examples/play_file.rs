//! A file (WebM, IVF, Ogg Opus) as a stream like any other: once, with its own timing, until its tracks end.
//!
//! `cargo run --release -p duet --example play_file -- talk.webm`

use duet::devices::file::Repeat;
use duet::media::process::MediaStreamTrackProcessor;
use duet::media::{Frame, MonotonicClock};
use duet::recorder::player;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("expected: a file to play")?;
    let clock = Arc::new(MonotonicClock::new());
    let stream = player::play(&PathBuf::from(file), clock, Repeat::Once)?;
    let mut readers = Vec::new();
    for track in stream.get_tracks() {
        let frames = MediaStreamTrackProcessor::new(&track, 8);
        readers.push(tokio::spawn(async move {
            while let Some(frame) = frames.read().await {
                match frame {
                    Frame::Video(picture) => {
                        let (width, height) = (picture.width(), picture.height());
                        println!("{:?} picture {width}x{height}", picture.capture_time);
                    }
                    Frame::Audio(sound) => println!("{:?} sound", sound.capture_time),
                }
            }
            println!("{} has ended", frames.track().label());
        }));
    }
    for reader in readers {
        reader.await?;
    }
    Ok(())
}
