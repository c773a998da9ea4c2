//! Whatever bytes come, a decoder gives an error or something that has the form of a result, and
//! afterwards still works. Seeded: a failure can be had again.

use crate::audio;
use crate::scene::{Scene, psnr};
use crate::speech::voice;
use crate::video::{CONFIG, encoded, sized};
use duet_codec::{AudioCodec, CodecError, VideoCodec};
use duet_media::AudioBuffer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes that were once a frame, or never.
fn damaged(random: &mut StdRng, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match random.random_range(0..6) {
        // Cut short.
        0 => bytes.truncate(random.random_range(0..=whole.len())),
        // A few bits flipped, anywhere.
        1 => {
            for _ in 0..random.random_range(1..20) {
                let at = random.random_range(0..bytes.len());
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        // A few bits flipped, in the headers.
        2 => {
            for _ in 0..random.random_range(1..5) {
                let at = random.random_range(0..bytes.len().min(40));
                bytes[at] ^= 1 << random.random_range(0..8);
            }
        }
        // A piece overwritten with noise.
        3 => {
            let from = random.random_range(0..bytes.len());
            let to = random.random_range(from..=bytes.len());
            random.fill(&mut bytes[from..to]);
        }
        // A piece taken out, as if a packet in the middle were missing.
        4 => {
            let from = random.random_range(0..bytes.len());
            let to = random.random_range(from..=bytes.len());
            bytes.drain(from..to);
        }
        // Nothing but noise.
        _ => {
            bytes.resize(random.random_range(0..2_000), 0);
            random.fill(&mut bytes[..]);
        }
    }
    bytes
}

#[test]
fn damaged_frames_are_refused_or_shown_and_the_next_key_frame_mends_all() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(160, 90);
        let mut encoder = codec.encoder(&sized(160, 90)).unwrap();
        let frames: Vec<_> = (0..30)
            .map(|number| {
                let frame = scene.at_rate(number, 30.0);
                (encoder.encode(&frame, number % 10 == 0).unwrap(), frame)
            })
            .filter_map(|(encoded, frame)| Some((encoded?, frame)))
            .collect();
        let keys: Vec<_> = frames
            .iter()
            .filter(|(encoded, _)| encoded.key_frame)
            .collect();
        let mut random = StdRng::seed_from_u64(1);
        let mut decoder = codec.decoder().unwrap();
        let (mut refused, mut shown) = (0, 0);
        for case in 0..6_000 {
            let (encoded, _) = &frames[random.random_range(0..frames.len())];
            match decoder.decode(&damaged(&mut random, &encoded.data)) {
                Err(CodecError::Corrupt(_)) => refused += 1,
                Ok(Some(picture)) => {
                    let bytes = picture.as_bytes().len() as u32;
                    assert!(
                        bytes > picture.width() * picture.height(),
                        "{codec}: case {case}"
                    );
                    shown += 1;
                }
                Ok(None) => {}
                Err(other) => panic!("{codec}: case {case} gave {other:?}"),
            }
            if case % 5 == 4 {
                let (key, frame) = keys[random.random_range(0..keys.len())];
                let picture = decoder.decode(&key.data).unwrap().unwrap();
                let sharpness = psnr(&frame.buffer, &picture);
                assert!(sharpness > 22.0, "{codec}: case {case}: {sharpness:.1} dB");
            }
        }
        // Else the test above looked at one half of the matter only.
        assert!(
            refused > 500 && shown > 500,
            "{codec}: {refused} refused, {shown} shown"
        );
    }
}

#[test]
fn no_frame_leans_on_one_that_failed() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(320, 180);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        let mut decoder = codec.decoder().unwrap();
        let mut next = |number: u64| encoded(&mut *encoder, &scene.at_rate(number, 30.0)).data;
        let (key, first, second) = (next(0), next(1), next(2));
        let refused = |decoded| matches!(decoded, Err(CodecError::Corrupt(_)));
        assert!(
            refused(decoder.decode(&first)),
            "{codec}: before any key frame"
        );
        assert!(refused(decoder.decode(&[])), "{codec}: nothing");
        assert!(decoder.decode(&key).unwrap().is_some(), "{codec}");
        assert!(decoder.decode(&first).unwrap().is_some(), "{codec}");
        assert!(
            refused(decoder.decode(&[0xff; 2])),
            "{codec}: no frame at all"
        );
        assert!(
            refused(decoder.decode(&second)),
            "{codec}: after a broken one"
        );
        assert!(decoder.decode(&key).unwrap().is_some(), "{codec}");
    }
}

#[test]
fn damaged_packets_are_refused_or_played_and_the_stream_goes_on() {
    for codec in AudioCodec::ALL {
        let spoken = voice(1, 1.0);
        let mut random = StdRng::seed_from_u64(2);
        for fec in [false, true] {
            let config = duet_codec::AudioEncoderConfig {
                fec,
                expected_loss: 20,
                ..audio::CONFIG
            };
            let packets = audio::encode(&mut *codec.encoder(1, &config).unwrap(), 1, &spoken);
            let mut decoder = codec.decoder(1 + u16::from(fec)).unwrap();
            let mut out = AudioBuffer::default();
            for case in 0..10_000 {
                let whole = &packets[random.random_range(0..packets.len())];
                let bytes = damaged(&mut random, whole);
                let frames = decoder.packet_frames(&bytes);
                let (expected, result) = match random.random_bool(0.3) {
                    true => (Some(960), decoder.decode_fec(&bytes, 960, &mut out)),
                    false => (frames, decoder.decode(&bytes, &mut out)),
                };
                match result {
                    Ok(()) => assert_eq!(Some(out.frames()), expected, "{codec}: case {case}"),
                    Err(CodecError::Corrupt(_)) => assert_eq!(out.frames(), 0, "{codec}: {case}"),
                    Err(other) => panic!("{codec}: case {case} gave {other:?}"),
                }
                assert!(
                    out.samples().iter().all(|sample| sample.is_finite()),
                    "{codec}: case {case} is no sound"
                );
            }
            for packet in &packets {
                decoder.decode(packet, &mut out).unwrap();
                assert_eq!(out.frames(), audio::PACKET, "{codec}");
            }
        }
    }
}

#[test]
fn what_is_no_packet_has_no_length() {
    for codec in AudioCodec::ALL {
        let mut decoder = codec.decoder(1).unwrap();
        let mut out = AudioBuffer::default();
        // Nothing; 48 frames of 60 ms; three frames of the same length in a byte.
        for bytes in [&[][..], &[0x1b, 0x30], &[0x0b, 0x03, 0x01, 0x02]] {
            assert_eq!(decoder.packet_frames(bytes), None, "{codec}: {bytes:?}");
            let refused = decoder.decode(bytes, &mut out);
            assert!(
                matches!(refused, Err(CodecError::Corrupt(_))),
                "{codec}: {bytes:?}"
            );
        }
    }
}
