//! Memory that the network must not be able to take, and that a codec must give back. By itself,
//! since memory is counted by the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/scene.rs"]
mod scene;

use duet_codec::{AudioCodec, AudioEncoderConfig, CodecError, VideoCodec, VideoEncoderConfig};
use duet_media::AudioBuffer;
use scene::{Scene, psnr};
use std::sync::Mutex;

/// Whoever counts holds it: tests run at the same time.
static COUNTING: Mutex<()> = Mutex::new(());

/// A line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// A key frame's header, then noise.
fn claim(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a];
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend((0..200_u8).map(|byte| byte.wrapping_mul(97)));
    bytes
}

#[test]
fn a_huge_picture_is_refused_before_memory_is_taken() {
    let _alone = COUNTING.lock().unwrap();
    let mut decoder = VideoCodec::Vp8.decoder().unwrap();
    let _ = decoder.decode(&claim(64, 64));
    let before = memory("VmPeak:");
    for (width, height) in [
        (16_383, 16_383),
        (16_383, 1_025),
        (4_097, 4_096),
        // With the bits that ask a player for scaling, which are no part of the size.
        (0xffff, 0xffff),
        (0x7fff, 0xbfff),
        // No size at all.
        (0, 0),
        (0, 64),
        (64, 0),
        (0xc000, 64),
    ] {
        let refused = decoder.decode(&claim(width, height));
        assert!(
            matches!(refused, Err(CodecError::Corrupt(_))),
            "{width}x{height}: {refused:?}"
        );
    }
    let taken = memory("VmPeak:") - before;
    assert!(taken < 8 * 1_024, "{taken} KiB");

    // The count would have seen it: just within the limit, whatever comes of the noise, it is a lot.
    let _ = decoder.decode(&claim(4_096, 4_096));
    assert!(memory("VmPeak:") - before > 30 * 1_024);
}

#[test]
fn codecs_that_are_dropped_leave_nothing_behind() {
    let _alone = COUNTING.lock().unwrap();
    let scene = Scene::new(320, 180);
    let frames: Vec<_> = (0..3).map(|number| scene.at_rate(number, 30.0)).collect();
    let sound = AudioBuffer::new(48_000, 1, 960);
    let round = || {
        for codec in VideoCodec::ALL {
            let config = |width, height| VideoEncoderConfig {
                width,
                height,
                frame_rate: 30.0,
                bitrate: 600_000,
                temporal_layers: 1,
            };
            let mut encoder = codec.encoder(&config(160, 90)).unwrap();
            encoder.configure(&config(320, 180)).unwrap();
            let mut decoder = codec.decoder().unwrap();
            for frame in &frames {
                if let Some(encoded) = encoder.encode(frame, false).unwrap() {
                    let shown = decoder.decode(&encoded.data).unwrap().unwrap();
                    assert!(psnr(&frame.buffer, &shown) > 20.0);
                }
            }
            assert!(decoder.decode(&claim(320, 180)[..30]).is_err());
        }
        for codec in AudioCodec::ALL {
            let config = AudioEncoderConfig {
                bitrate: 32_000,
                expected_loss: 0,
                fec: false,
                dtx: false,
            };
            let packet = codec.encoder(1, &config).unwrap().encode(&sound).unwrap();
            let mut decoder = codec.decoder(1).unwrap();
            decoder
                .decode(&packet, &mut AudioBuffer::default())
                .unwrap();
        }
    };
    (0..30).for_each(|_| round());
    let before = memory("VmRSS:");
    (0..300).for_each(|_| round());
    // One encoder or decoder of this size takes more than half a megabyte.
    let grown = memory("VmRSS:").saturating_sub(before);
    assert!(grown < 8 * 1_024, "{grown} KiB after 300 of each");
}
