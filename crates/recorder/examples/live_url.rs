//! Shows the synthetic camera and microphone under a URL, for a `<video>` element, ffplay or VLC.
//!
//! ```text
//! cargo run --release -p duet-recorder --example live_url -- 127.0.0.1:8081
//! ```

use duet_devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
use duet_media::{MediaStream, MonotonicClock};
use duet_recorder::ObjectUrls;
use std::error::Error;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let clock = Arc::new(MonotonicClock::new());
    let stream = MediaStream::from_tracks([
        SyntheticCamera::start(SyntheticCameraConfig::default(), clock.clone()),
        SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock),
    ]);
    let listener = tokio::net::TcpListener::bind(address).await?;
    let urls = ObjectUrls::new(&format!("http://{}", listener.local_addr()?));
    println!("{}", urls.create_object_url(&stream));
    axum::serve(listener, urls.router()).await?;
    Ok(())
}
