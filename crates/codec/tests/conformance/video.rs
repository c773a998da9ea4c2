//! Pictures: what comes out is what went in, in the size that was asked for, with key frames when
//! they were asked for.

use crate::scene::{Scene, psnr};
use duet_codec::{CodecError, EncodedVideo, VideoCodec, VideoEncoder, VideoEncoderConfig};
use duet_media::{MediaTime, VideoFrame};

pub(crate) const CONFIG: VideoEncoderConfig = VideoEncoderConfig {
    width: 320,
    height: 180,
    frame_rate: 30.0,
    bitrate: 600_000,
    temporal_layers: 1,
};

pub(crate) fn sized(width: u32, height: u32) -> VideoEncoderConfig {
    VideoEncoderConfig {
        width,
        height,
        ..CONFIG
    }
}

/// Encodes pictures until one is not dropped; the first that is counts.
pub(crate) fn encoded(encoder: &mut dyn VideoEncoder, frame: &VideoFrame) -> EncodedVideo {
    encoder
        .encode(frame, false)
        .expect("a picture of the right size")
        .expect("a picture within the bitrate")
}

#[test]
fn a_moving_scene_arrives_sharp() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        let mut sharpness = Vec::new();
        for number in 0..90 {
            let frame = scene.at_rate(number, 30.0);
            let Some(encoded) = encoder.encode(&frame, false).unwrap() else {
                continue;
            };
            assert_eq!(encoded.capture_time, frame.capture_time, "{codec}");
            assert_eq!((encoded.width, encoded.height), (320, 180), "{codec}");
            let shown = decoder.decode(&encoded.data).unwrap().unwrap();
            sharpness.push(psnr(&frame.buffer, &shown));
        }
        assert!(sharpness.len() > 80, "{codec}: {} arrived", sharpness.len());
        let settled = &sharpness[30..];
        let mean = settled.iter().sum::<f64>() / settled.len() as f64;
        let worst = settled.iter().copied().fold(f64::MAX, f64::min);
        assert!(mean > 31.0, "{codec}: {mean:.1} dB on average");
        assert!(worst > 28.0, "{codec}: {worst:.1} dB at worst");
    }
}

#[test]
fn every_size_keeps_its_shape_and_its_colours() {
    for codec in VideoCodec::ALL {
        for (width, height) in [(1, 1), (2, 2), (16, 16), (17, 33), (3, 200), (319, 181)] {
            let name = format!("{codec} {width}x{height}");
            let scene = Scene::new(width, height);
            let config = VideoEncoderConfig {
                bitrate: 2_000_000,
                ..sized(width, height)
            };
            let mut encoder = codec.encoder(&config).unwrap();
            let mut decoder = codec.decoder().unwrap();
            for number in 0..3 {
                let frame = scene.at_rate(number, 30.0);
                let encoded = encoded(&mut *encoder, &frame);
                let shown = decoder.decode(&encoded.data).unwrap().unwrap();
                let sharpness = psnr(&frame.buffer, &shown);
                assert!(sharpness > 24.0, "{name}: {sharpness:.1} dB");
                for (sent, got) in [(frame.buffer.u(), shown.u()), (frame.buffer.v(), shown.v())] {
                    let off: u32 = sent
                        .iter()
                        .zip(got)
                        .map(|(a, b)| u32::from(a.abs_diff(*b)))
                        .sum();
                    assert!(
                        off <= 8 * sent.len() as u32,
                        "{name}: chroma is off by {off}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_key_frame_comes_first_and_when_asked_and_never_else() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        for number in 0..120 {
            let asked = number == 40 || number == 41 || number == 95;
            let frame = scene.at_rate(number, 30.0);
            let encoded = encoder.encode(&frame, asked).unwrap();
            let key = encoded.is_some_and(|encoded| encoded.key_frame);
            assert_eq!(key, asked || number == 0, "{codec}: picture {number}");
        }
    }
}

#[test]
fn whoever_joins_late_sees_the_picture_from_the_next_key_frame_on() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut late = codec.decoder().unwrap();
        for number in 0..40 {
            let frame = scene.at_rate(number, 30.0);
            let Some(encoded) = encoder.encode(&frame, number == 20).unwrap() else {
                continue;
            };
            match late.decode(&encoded.data) {
                _ if number < 10 => late = codec.decoder().unwrap(),
                Err(CodecError::Corrupt(_)) => assert!(number < 20, "{codec}: picture {number}"),
                Ok(Some(shown)) => {
                    assert!(number >= 20, "{codec}: picture {number} out of nothing");
                    assert!(psnr(&frame.buffer, &shown) > 22.0, "{codec}: {number}");
                }
                other => panic!("{codec}: picture {number} gave {other:?}"),
            }
        }
    }
}

#[test]
fn a_new_size_begins_with_a_key_frame() {
    for codec in VideoCodec::ALL {
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        let sizes = [
            (320, 180),
            (160, 90),
            (640, 360),
            (161, 91),
            (90, 160),
            (320, 180),
        ];
        for (round, (width, height)) in (0..).zip(sizes) {
            let scene = Scene::new(width, height);
            let config = VideoEncoderConfig {
                bitrate: 3_000_000,
                ..sized(width, height)
            };
            encoder.configure(&config).unwrap();
            assert_eq!(encoder.config(), config);
            for number in 0..5 {
                let frame = scene.at_rate(5 * round + number, 30.0);
                // A key frame may have left it short of bits: it may drop what follows.
                let Some(encoded) = encoder.encode(&frame, false).unwrap() else {
                    assert_ne!(number, 0, "{codec} {width}x{height}: no key frame");
                    continue;
                };
                assert_eq!(encoded.key_frame, number == 0, "{codec} {width}x{height}");
                let shown = decoder.decode(&encoded.data).unwrap().unwrap();
                let sharpness = psnr(&frame.buffer, &shown);
                assert!(
                    sharpness > 22.0,
                    "{codec} {width}x{height}: {sharpness:.1} dB"
                );
            }
        }
    }
}

#[test]
fn a_picture_of_another_size_is_refused_and_the_next_one_encoded() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        for (width, height) in [(160, 90), (321, 180), (180, 320), (0, 0)] {
            let wrong = VideoFrame::new(
                duet_media::I420Buffer::new(width, height).into(),
                MediaTime::ZERO,
            );
            let refused = encoder.encode(&wrong, true);
            assert!(
                matches!(refused, Err(CodecError::Unsupported(_))),
                "{codec}: {refused:?}"
            );
            let frame = scene.at_rate(0, 30.0);
            let encoded = encoded(&mut *encoder, &frame);
            let shown = decoder.decode(&encoded.data).unwrap().unwrap();
            assert!(psnr(&frame.buffer, &shown) > 22.0, "{codec}");
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_and_the_old_ones_stay() {
    let wrong = [
        sized(0, 180),
        sized(320, 0),
        sized(16_384, 180),
        sized(320, u32::MAX),
        VideoEncoderConfig {
            frame_rate: 0.0,
            ..CONFIG
        },
        VideoEncoderConfig {
            frame_rate: -30.0,
            ..CONFIG
        },
        VideoEncoderConfig {
            frame_rate: 241.0,
            ..CONFIG
        },
        VideoEncoderConfig {
            frame_rate: f64::NAN,
            ..CONFIG
        },
        VideoEncoderConfig {
            frame_rate: f64::INFINITY,
            ..CONFIG
        },
        VideoEncoderConfig {
            bitrate: 0,
            ..CONFIG
        },
        VideoEncoderConfig {
            bitrate: u32::MAX,
            ..CONFIG
        },
    ];
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        for (number, wrong) in (0..).zip(wrong) {
            let refused = encoder.configure(&wrong);
            assert!(
                matches!(refused, Err(CodecError::Unsupported(_))),
                "{codec}: {wrong:?}"
            );
            assert!(codec.encoder(&wrong).is_err(), "{codec}: {wrong:?}");
            assert_eq!(encoder.config(), CONFIG, "{codec}");
            let encoded = encoded(&mut *encoder, &scene.at_rate(number, 30.0));
            assert_eq!(
                encoded.key_frame,
                number == 0,
                "{codec}: it went on as before"
            );
        }
    }
}

#[test]
fn the_ends_of_every_range_work() {
    let ends = [
        VideoEncoderConfig {
            frame_rate: 240.0,
            ..CONFIG
        },
        VideoEncoderConfig {
            frame_rate: f64::MIN_POSITIVE,
            ..CONFIG
        },
        VideoEncoderConfig {
            bitrate: 1_000,
            ..CONFIG
        },
        VideoEncoderConfig {
            bitrate: 1_000_000_000,
            ..CONFIG
        },
        VideoEncoderConfig {
            bitrate: 1_000_000_000,
            frame_rate: 0.1,
            ..CONFIG
        },
    ];
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        for (round, end) in (0..).zip(ends) {
            encoder.configure(&end).unwrap();
            assert_eq!(encoder.config(), end, "{codec}");
            for number in 0..10 {
                let frame = scene.at_rate(10 * round + number, 30.0);
                if let Some(encoded) = encoder.encode(&frame, number == 0).unwrap() {
                    let shown = decoder.decode(&encoded.data).unwrap().unwrap();
                    assert!(psnr(&frame.buffer, &shown) > 12.0, "{codec}: {end:?}");
                }
            }
        }
    }
}

#[test]
fn capture_times_may_stand_still_run_back_or_leap() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        let times = [
            0,
            33,
            33,
            33,
            10,
            -5_000,
            33,
            3_600_000,
            3_600_033,
            i64::MAX / 1_000_000,
        ];
        let mut dropped = 0;
        for (number, millis) in (0..).zip(times) {
            let frame = scene.frame(number, MediaTime::from_millis(millis));
            // It may drop pictures that come too fast.
            let Some(encoded) = encoder.encode(&frame, false).unwrap() else {
                dropped += 1;
                continue;
            };
            assert_eq!(encoded.capture_time, frame.capture_time, "{codec}");
            let shown = decoder.decode(&encoded.data).unwrap().unwrap();
            assert!(psnr(&frame.buffer, &shown) > 22.0, "{codec}: {millis} ms");
        }
        assert!(dropped < 5, "{codec}: {dropped} dropped");
    }
}

#[test]
fn a_picture_that_is_let_go_lends_its_memory_to_the_next() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        let mut shown = |number, held: bool| {
            let encoded = encoded(&mut *encoder, &scene.at_rate(number, 30.0));
            let shown = decoder.decode(&encoded.data).unwrap().unwrap();
            (shown.y().as_ptr(), held.then_some(shown))
        };
        let (first, _) = shown(0, false);
        let (second, held) = shown(1, true);
        let (third, _) = shown(2, false);
        assert_eq!(first, second, "{codec}: its memory was free");
        assert_ne!(second, third, "{codec}: its memory was still read");
        drop(held);
    }
}
