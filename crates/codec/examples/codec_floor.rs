//! What the codecs alone cost on this machine, and what they give for it.
//!
//! ```text
//! cargo run --release -p duet-codec --example codec_floor [CLIP]
//! ```
//!
//! CLIP holds raw I420 pictures of 1280x720, to be played in a loop; without it a scene is drawn.
//! Times are by the wall clock, on one thread: medians, since a busy machine makes a few calls late
//! rather than all of them.

#[path = "../tests/conformance/scene.rs"]
mod scene;

use duet_codec::{
    AudioCodec, AudioEncoderConfig, CodecError, VideoDecoder, VideoEncoder, VideoEncoderConfig,
    Vp8Decoder, Vp8DecoderOptions, Vp8Encoder, Vp8EncoderOptions,
};
use duet_media::{AudioBuffer, I420Buffer, MediaTime, VideoFrame};
use scene::{Scene, psnr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAMES: u64 = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clip: Vec<Arc<I420Buffer>> = match std::env::args_os().nth(1) {
        Some(path) => read(&std::fs::read(path)?),
        None => {
            let scene = Scene::new(WIDTH, HEIGHT);
            (0..30).map(|n| scene.at_rate(n, 30.0).buffer).collect()
        }
    };
    println!("VP8 {WIDTH}x{HEIGHT}, 30 a second, 2 Mb/s, {FRAMES} frames");
    println!("| options | encode ms (first) | decode ms | both | PSNR dB (min) | kb/s | dropped |");
    println!("|---|---|---|---|---|---|---|");
    let base = Vp8EncoderOptions::default();
    for options in [
        base,
        Vp8EncoderOptions { speed: 6, ..base },
        Vp8EncoderOptions { speed: 10, ..base },
        Vp8EncoderOptions { speed: 12, ..base },
        Vp8EncoderOptions { speed: 14, ..base },
        Vp8EncoderOptions { speed: 16, ..base },
        Vp8EncoderOptions {
            static_threshold: 0,
            ..base
        },
        Vp8EncoderOptions {
            static_threshold: 100,
            ..base
        },
        Vp8EncoderOptions {
            static_threshold: 1_000,
            ..base
        },
        Vp8EncoderOptions { profile: 1, ..base },
        Vp8EncoderOptions { profile: 2, ..base },
        Vp8EncoderOptions { profile: 3, ..base },
        Vp8EncoderOptions {
            profile: 1,
            speed: 12,
            ..base
        },
        Vp8EncoderOptions {
            drop_threshold: 0,
            ..base
        },
        Vp8EncoderOptions { threads: 2, ..base },
    ] {
        video(&clip, options)?;
    }
    audio()
}

fn read(bytes: &[u8]) -> Vec<Arc<I420Buffer>> {
    let picture = I420Buffer::new(WIDTH, HEIGHT);
    bytes
        .chunks_exact(picture.as_bytes().len())
        .map(|bytes| {
            let mut picture = picture.clone();
            picture.as_bytes_mut().copy_from_slice(bytes);
            Arc::new(picture)
        })
        .collect()
}

fn video(clip: &[Arc<I420Buffer>], options: Vp8EncoderOptions) -> Result<(), CodecError> {
    let config = VideoEncoderConfig {
        width: WIDTH,
        height: HEIGHT,
        frame_rate: 30.0,
        bitrate: 2_000_000,
        temporal_layers: 1,
    };
    let mut encoder = Vp8Encoder::new(&config, options)?;
    let mut decoder = Vp8Decoder::new(Vp8DecoderOptions::default());
    let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
    let (mut bytes, mut dropped, mut sharpness, mut worst) = (0, 0, 0.0, f64::MAX);
    for (number, picture) in (0..FRAMES).zip(clip.iter().cycle()) {
        let time = MediaTime::from_nanos((number as f64 * 1e9 / 30.0) as i64);
        let frame = VideoFrame::new(picture.clone(), time);
        let start = Instant::now();
        let encoded = encoder.encode(&frame, false)?;
        encoding.push(start.elapsed());
        let Some(encoded) = encoded else {
            dropped += 1;
            continue;
        };
        bytes += encoded.data.len();
        let start = Instant::now();
        let shown = decoder.decode(&encoded.data)?;
        decoding.push(start.elapsed());
        if let Some(shown) = shown {
            let psnr = psnr(picture, &shown);
            sharpness += psnr;
            worst = worst.min(psnr);
        }
    }
    let first = encoding[0];
    let (encoding, decoding) = (median(encoding), median(decoding));
    println!(
        "| speed {}, static {}, profile {}, drop {}, threads {} | {:.2} ({:.1}) | {:.2} | {:.2} | {:.1} ({:.1}) | {:.0} | {dropped} |",
        options.speed,
        options.static_threshold,
        options.profile,
        options.drop_threshold,
        options.threads,
        millis(encoding),
        millis(first),
        millis(decoding),
        millis(encoding + decoding),
        sharpness / (FRAMES - dropped) as f64,
        worst,
        bytes as f64 * 8.0 / (FRAMES as f64 / 30.0) / 1e3,
    );
    Ok(())
}

fn audio() -> Result<(), Box<dyn std::error::Error>> {
    let config = AudioEncoderConfig {
        bitrate: 32_000,
        expected_loss: 5,
        fec: true,
        dtx: false,
    };
    let mut encoder = AudioCodec::Opus.encoder(1, &config)?;
    let mut decoder = AudioCodec::Opus.decoder(1)?;
    let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
    let mut sound = AudioBuffer::new(48_000, 1, 960);
    let mut heard = AudioBuffer::default();
    let packets = 500;
    for packet in 0..packets {
        for (index, sample) in sound.samples_mut().iter_mut().enumerate() {
            let time = (packet * 960 + index) as f32 / 48_000.0;
            let pitch = 140.0 + 30.0 * (time * 3.0).sin();
            *sample = (1..12)
                .map(|k| (std::f32::consts::TAU * pitch * k as f32 * time).sin() * 0.2 / k as f32)
                .sum();
        }
        let start = Instant::now();
        let encoded = encoder.encode(&sound)?;
        encoding.push(start.elapsed());
        let start = Instant::now();
        decoder.decode(&encoded, &mut heard)?;
        decoding.push(start.elapsed());
    }
    println!(
        "\nOpus mono, 20 ms, 32 kb/s with FEC: encode {:.3} ms, decode {:.3} ms a packet",
        millis(median(encoding)),
        millis(median(decoding)),
    );
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
