//! What VP8's options do, beyond what every codec does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "conformance/scene.rs"]
mod scene;

use duet_codec::{
    CodecError, EncodedLayer, EncodedVideo, VideoDecoder, VideoEncoder, VideoEncoderConfig,
    Vp8Decoder, Vp8DecoderOptions, Vp8Encoder, Vp8EncoderOptions,
};
use duet_session::vp8_quantizer;
use scene::{Scene, psnr};
use std::time::Duration;

const CONFIG: VideoEncoderConfig = VideoEncoderConfig {
    width: 320,
    height: 180,
    frame_rate: 30.0,
    bitrate: 600_000,
    temporal_layers: 1,
};

/// What comes of `frames` pictures; `None` where one was dropped.
fn encoded(
    config: &VideoEncoderConfig,
    options: Vp8EncoderOptions,
    frames: u64,
) -> Vec<Option<EncodedVideo>> {
    let scene = Scene::new(config.width, config.height);
    let mut encoder = Vp8Encoder::new(config, options).unwrap();
    (0..frames)
        .map(|number| encoder.encode(&scene.at_rate(number, 30.0), false).unwrap())
        .collect()
}

#[test]
fn key_frames_come_unasked_where_an_interval_is_set() {
    let options = Vp8EncoderOptions {
        max_key_interval: Some(20),
        drop_threshold: 0,
        ..Vp8EncoderOptions::default()
    };
    for (number, encoded) in encoded(&CONFIG, options, 70).into_iter().enumerate() {
        let encoded = encoded.expect("none is dropped");
        assert_eq!(encoded.key_frame, number % 20 == 0, "picture {number}");
    }
}

#[test]
fn too_few_bits_drop_pictures_or_overshoot_as_was_chosen() {
    let config = VideoEncoderConfig {
        bitrate: 60_000,
        ..CONFIG
    };
    let dropped = |drop_threshold| {
        let options = Vp8EncoderOptions {
            drop_threshold,
            ..Vp8EncoderOptions::default()
        };
        let encoded = encoded(&config, options, 60);
        encoded.iter().filter(|encoded| encoded.is_none()).count()
    };
    assert_eq!(dropped(0), 0);
    assert!(dropped(30) > 10);
}

#[test]
fn a_key_frame_that_was_asked_for_comes_even_if_pictures_are_being_dropped() {
    let config = VideoEncoderConfig {
        bitrate: 60_000,
        ..CONFIG
    };
    let scene = Scene::new(config.width, config.height);
    let mut encoder = Vp8Encoder::new(&config, Vp8EncoderOptions::default()).unwrap();
    let mut last_dropped = false;
    let mut tried = 0;
    for number in 0..120 {
        let frame = scene.at_rate(number, 30.0);
        let ask = last_dropped && number % 10 == 0;
        let encoded = encoder.encode(&frame, ask).unwrap();
        last_dropped = encoded.is_none();
        if !ask {
            continue;
        }
        tried += 1;
        // If the encoder drops this one too, then the next that it does not drop.
        let encoded = encoded.or_else(|| {
            (1..60).find_map(|more| {
                encoder
                    .encode(&scene.at_rate(number + more, 30.0), false)
                    .unwrap()
            })
        });
        assert!(
            encoded.unwrap().key_frame,
            "asked for with picture {number}"
        );
    }
    assert!(tried > 3, "{tried} tries");
}

/// How long each key frame takes to send at the target bitrate, in milliseconds: the first, and others
/// asked for every second.
fn key_frames(max_key_frame: Duration) -> Vec<f64> {
    let options = Vp8EncoderOptions {
        max_key_frame,
        ..Vp8EncoderOptions::default()
    };
    let scene = Scene::new(CONFIG.width, CONFIG.height);
    let mut encoder = Vp8Encoder::new(&CONFIG, options).unwrap();
    (0..150)
        .filter_map(|number| {
            let ask = number % 30 == 0;
            encoder.encode(&scene.at_rate(number, 30.0), ask).unwrap()
        })
        .filter(|encoded| encoded.key_frame)
        .map(|encoded| encoded.data.len() as f64 * 8_000.0 / f64::from(CONFIG.bitrate))
        .collect()
}

#[test]
fn key_frames_come_ever_closer_to_the_size_that_was_chosen() {
    let short = key_frames(Duration::from_millis(120));
    // libvpx guesses what the first one will take, and learns from each.
    assert!(short[0] < 2.0 * 120.0, "{short:.0?}");
    assert!(short.is_sorted_by(|a, b| a > b), "{short:.0?}");
    assert!(short[4] < 1.25 * 120.0, "{short:.0?}");
    // And it is the choice that makes them small, not the scene.
    let long = key_frames(Duration::from_millis(400));
    assert!(long[0] > 1.5 * short[0], "{long:.0?} against {short:.0?}");
}

#[test]
fn every_profile_and_thread_count_gives_a_picture() {
    let base = Vp8EncoderOptions::default();
    let mut tried: Vec<_> = (0..=3)
        .map(|profile| Vp8EncoderOptions { profile, ..base })
        .collect();
    tried.extend((1..=4).map(|threads| Vp8EncoderOptions { threads, ..base }));
    tried.extend([0, 4, 16].map(|speed| Vp8EncoderOptions { speed, ..base }));
    // libvpx uses more threads only on pictures that are large enough.
    let config = VideoEncoderConfig {
        width: 640,
        height: 360,
        bitrate: 2_000_000,
        ..CONFIG
    };
    let scene = Scene::new(config.width, config.height);
    for options in tried {
        let mut decoder = Vp8Decoder::new(Vp8DecoderOptions {
            threads: options.threads,
            ..Vp8DecoderOptions::default()
        });
        for (number, encoded) in (0..).zip(encoded(&config, options, 10)) {
            let Some(encoded) = encoded else { continue };
            let shown = decoder.decode(&encoded.data).unwrap().unwrap();
            let sharpness = psnr(&scene.at_rate(number, 30.0).buffer, &shown);
            assert!(sharpness > 22.0, "{options:?}: {sharpness:.1} dB");
        }
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let base = Vp8EncoderOptions::default();
    for wrong in [
        Vp8EncoderOptions { threads: 0, ..base },
        Vp8EncoderOptions {
            threads: 65,
            ..base
        },
        Vp8EncoderOptions { speed: 17, ..base },
        Vp8EncoderOptions {
            drop_threshold: 101,
            ..base
        },
        Vp8EncoderOptions {
            static_threshold: u32::MAX,
            ..base
        },
        Vp8EncoderOptions { profile: 4, ..base },
        Vp8EncoderOptions {
            max_key_frame: Duration::MAX,
            ..base
        },
    ] {
        let refused = Vp8Encoder::new(&CONFIG, wrong).err();
        assert!(
            matches!(refused, Some(CodecError::Unsupported(_))),
            "{wrong:?}: {refused:?}"
        );
    }
}

#[test]
fn the_decoders_limit_is_the_callers() {
    let mut decoder = Vp8Decoder::new(Vp8DecoderOptions {
        max_pixels: 320 * 180,
        ..Vp8DecoderOptions::default()
    });
    for (width, height, fits) in [(320, 180, true), (180, 320, true), (321, 180, false)] {
        let config = VideoEncoderConfig {
            width,
            height,
            ..CONFIG
        };
        let key = encoded(&config, Vp8EncoderOptions::default(), 1)
            .remove(0)
            .unwrap();
        let shown = decoder.decode(&key.data);
        assert_eq!(shown.is_ok(), fits, "{width}x{height}: {shown:?}");
    }
}

/// The encoder is told to stay within 2 and 56 of libvpx's 64 steps: 2 and 106 of the 128 that a frame's header has
/// ([RFC 6386, section 9.6](https://www.rfc-editor.org/rfc/rfc6386#section-9.6)).
#[test]
fn quantizers_that_are_read_from_frames_are_those_that_the_encoder_is_held_to() {
    let options = || Vp8EncoderOptions {
        drop_threshold: 0,
        ..Vp8EncoderOptions::default()
    };
    let quantizers = |bitrate| {
        let encoded = encoded(&VideoEncoderConfig { bitrate, ..CONFIG }, options(), 60);
        let frames = encoded.into_iter().flatten();
        let quantizers: Vec<_> = frames.map(|frame| vp8_quantizer(&frame.data)).collect();
        assert_eq!(quantizers.len(), 60);
        quantizers
    };
    let starved = quantizers(20_000);
    assert_eq!(starved.iter().max(), Some(&Some(106)), "{starved:?}");
    assert!(starved[30..].iter().all(|q| *q == Some(106)), "{starved:?}");
    let lavish = quantizers(50_000_000);
    assert!(lavish[30..].iter().all(|q| *q == Some(2)), "{lavish:?}");
    let between = quantizers(600_000);
    assert!(
        between[30..]
            .iter()
            .all(|q| q.is_some_and(|q| (3..106).contains(&q))),
        "{between:?}"
    );
}

/// What a decoder shows of the pictures up to a layer, by their numbers.
fn shown(pictures: &[Option<EncodedVideo>], highest: u8) -> Vec<(usize, Vec<u8>)> {
    let mut decoder = Vp8Decoder::new(Vp8DecoderOptions::default());
    let mut shown = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        let Some(picture) = picture else { continue };
        if picture.layer.unwrap().id <= highest {
            let decoded = decoder.decode(&picture.data).unwrap().unwrap();
            shown.push((number, decoded.as_bytes().to_vec()));
        }
    }
    shown
}

#[test]
fn without_its_upper_layers_a_stream_shows_the_very_pictures_of_the_lower_ones() {
    for (layers, bitrate) in [(2, 600_000), (3, 600_000), (3, 60_000)] {
        let config = VideoEncoderConfig {
            temporal_layers: layers,
            bitrate,
            ..CONFIG
        };
        let pictures = encoded(&config, Vp8EncoderOptions::default(), 120);
        let all = shown(&pictures, layers - 1);
        for highest in 0..layers - 1 {
            let fewer = shown(&pictures, highest);
            let kept = all.iter().filter(|(number, _)| {
                let picture = pictures[*number].as_ref().unwrap();
                picture.layer.unwrap().id <= highest
            });
            assert!(fewer.len() * 3 < all.len() * 2, "{layers} layers");
            assert!(kept.eq(&fewer), "{layers} layers, up to {highest}");
        }
        // Whoever begins with one that can be begun with, and had only the lowest before.
        let joined = pictures.iter().flatten().filter(|picture| {
            let layer = picture.layer.unwrap();
            layer.id == 0 || layer.sync
        });
        let mut decoder = Vp8Decoder::new(Vp8DecoderOptions::default());
        for picture in joined {
            let decoded = decoder.decode(&picture.data).unwrap().unwrap();
            let is_it = |(number, bytes): &(usize, Vec<u8>)| {
                let of_all = pictures[*number].as_ref().unwrap();
                of_all.capture_time == picture.capture_time && *bytes == decoded.as_bytes()
            };
            assert!(
                all.iter().any(is_it),
                "{layers} layers: {:?}",
                picture.layer
            );
        }
    }
}

#[test]
fn layers_take_their_shares_of_the_bits() {
    for layers in [2_u8, 3] {
        let config = VideoEncoderConfig {
            temporal_layers: layers,
            ..CONFIG
        };
        let pictures = encoded(&config, Vp8EncoderOptions::default(), 300);
        let pictures: Vec<_> = pictures[60..].iter().flatten().collect();
        let bytes = |highest| -> usize {
            let up_to = pictures.iter().filter(|p| p.layer.unwrap().id <= highest);
            up_to.map(|p| p.data.len()).sum()
        };
        let all = bytes(layers - 1) as f64;
        for (highest, share) in (0..).zip(EncodedLayer::shares(layers)) {
            let took = bytes(highest) as f64 / all;
            assert!(
                (took - share).abs() < 0.1,
                "{layers} layers, up to {highest}: {took}"
            );
        }
        let seconds = 240.0 / 30.0;
        let rate = all * 8.0 / seconds;
        assert!((480_000.0..660_000.0).contains(&rate), "{rate}");
    }
}

#[test]
fn more_layers_than_there_are_are_refused_and_others_begin_with_a_key_frame() {
    let config = |temporal_layers| VideoEncoderConfig {
        temporal_layers,
        ..CONFIG
    };
    for layers in [0, 4] {
        let refused = Vp8Encoder::new(&config(layers), Vp8EncoderOptions::default());
        assert!(
            matches!(refused, Err(CodecError::Unsupported(_))),
            "{layers}"
        );
    }
    let scene = Scene::new(CONFIG.width, CONFIG.height);
    let mut encoder = Vp8Encoder::new(&CONFIG, Vp8EncoderOptions::default()).unwrap();
    let first = encoder
        .encode(&scene.at_rate(0, 30.0), false)
        .unwrap()
        .unwrap();
    assert_eq!(first.layer, None);
    encoder.configure(&config(3)).unwrap();
    let layered = encoder
        .encode(&scene.at_rate(1, 30.0), false)
        .unwrap()
        .unwrap();
    assert!(layered.key_frame);
    assert_eq!(layered.layer.map(|layer| layer.id), Some(0));
}
