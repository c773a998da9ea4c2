//! What every codec must do, whichever it is: the tests see codecs through the traits alone and run
//! over all there are. A new codec is tested by being in `VideoCodec::ALL` or `AudioCodec::ALL`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod audio;
mod audio_loss;
mod damage;
mod scene;
mod speech;
mod video;
mod video_rate;
