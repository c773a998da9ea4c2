//! Sound: what comes out is what went in, in every packet length, at the bitrate asked for.

use crate::speech::{RATE, energy, likeness, stretches, voice};
use duet_codec::{AudioCodec, AudioDecoder, AudioEncoder, AudioEncoderConfig, CodecError};
use duet_media::AudioBuffer;

pub(crate) const CONFIG: AudioEncoderConfig = AudioEncoderConfig {
    bitrate: 32_000,
    expected_loss: 0,
    fec: false,
    dtx: false,
};

/// 20 ms.
pub(crate) const PACKET: usize = 960;

pub(crate) fn encode(
    encoder: &mut dyn AudioEncoder,
    channels: u16,
    samples: &[f32],
) -> Vec<bytes::Bytes> {
    stretches(samples, channels, PACKET)
        .map(|sound| encoder.encode(&sound).unwrap())
        .collect()
}

pub(crate) fn decode(decoder: &mut dyn AudioDecoder, packets: &[bytes::Bytes]) -> Vec<f32> {
    let mut out = AudioBuffer::default();
    let mut heard = Vec::new();
    for packet in packets {
        decoder.decode(packet, &mut out).unwrap();
        assert_eq!(out.sample_rate(), RATE);
        heard.extend_from_slice(out.samples());
    }
    heard
}

#[test]
fn speech_arrives_in_packets_of_every_length() {
    for codec in AudioCodec::ALL {
        for frames in [120, 240, 480, 960, 1920, 2880] {
            let config = AudioEncoderConfig {
                bitrate: 64_000,
                ..CONFIG
            };
            let mut encoder = codec.encoder(1, &config).unwrap();
            let mut decoder = codec.decoder(1).unwrap();
            let spoken = voice(1, 1.0);
            let mut heard = Vec::new();
            let mut out = AudioBuffer::default();
            for sound in stretches(&spoken, 1, frames) {
                let packet = encoder.encode(&sound).unwrap();
                assert_eq!(decoder.packet_frames(&packet), Some(frames), "{codec}");
                decoder.decode(&packet, &mut out).unwrap();
                assert_eq!((out.frames(), out.channels()), (frames, 1), "{codec}");
                heard.extend_from_slice(out.samples());
            }
            let (alike, delay) = likeness(&spoken, &heard);
            assert!(
                alike > 0.9,
                "{codec}, {frames} samples: {alike:.3} at {delay}"
            );
        }
    }
}

#[test]
fn left_stays_left() {
    for codec in AudioCodec::ALL {
        let config = AudioEncoderConfig {
            bitrate: 96_000,
            ..CONFIG
        };
        let mut encoder = codec.encoder(2, &config).unwrap();
        let mut decoder = codec.decoder(2).unwrap();
        // Speech on the left, silence on the right.
        let spoken = voice(1, 1.0);
        let both: Vec<f32> = spoken.iter().flat_map(|&sample| [sample, 0.0]).collect();
        let packets = encode(&mut *encoder, 2, &both);
        let heard = decode(&mut *decoder, &packets);
        let left: Vec<f32> = heard.iter().step_by(2).copied().collect();
        let right: Vec<f32> = heard.iter().skip(1).step_by(2).copied().collect();
        let (alike, _) = likeness(&spoken, &left);
        assert!(alike > 0.9, "{codec}: {alike:.3}");
        assert!(energy(&right) < 0.02 * energy(&left), "{codec}: it leaks");
    }
}

#[test]
fn a_decoder_gives_the_channels_it_was_made_for() {
    for codec in AudioCodec::ALL {
        for (sent, got) in [(1, 2), (2, 1)] {
            let mut encoder = codec.encoder(sent, &CONFIG).unwrap();
            let mut decoder = codec.decoder(got).unwrap();
            let packets = encode(&mut *encoder, sent, &voice(sent, 0.4));
            let mut out = AudioBuffer::default();
            for packet in &packets {
                decoder.decode(packet, &mut out).unwrap();
                assert_eq!((out.channels(), out.frames()), (got, PACKET), "{codec}");
            }
            assert!(
                energy(out.samples()) > 0.01,
                "{codec}: {sent} to {got} is silent"
            );
        }
        for none in [0, 3, u16::MAX] {
            assert!(codec.encoder(none, &CONFIG).is_err(), "{codec}");
            assert!(codec.decoder(none).is_err(), "{codec}");
        }
    }
}

#[test]
fn a_new_bitrate_is_kept_at_once() {
    for codec in AudioCodec::ALL {
        let mut encoder = codec.encoder(1, &CONFIG).unwrap();
        let spoken = voice(1, 2.0);
        for bitrate in [32_000, 12_000, 64_000, 24_000] {
            let config = AudioEncoderConfig { bitrate, ..CONFIG };
            encoder.configure(&config).unwrap();
            assert_eq!(encoder.config(), config, "{codec}");
            let packets = encode(&mut *encoder, 1, &spoken);
            let bits: usize = packets.iter().map(|packet| packet.len() * 8).sum();
            // The rate is variable: what is easy takes less than it may.
            let share = bits as f64 / 2.0 / f64::from(bitrate);
            assert!(
                (0.6..1.15).contains(&share),
                "{codec}: {share:.2} of {bitrate} b/s"
            );
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_and_the_old_ones_stay() {
    let wrong = [
        AudioEncoderConfig {
            bitrate: 0,
            ..CONFIG
        },
        AudioEncoderConfig {
            bitrate: 5_999,
            ..CONFIG
        },
        AudioEncoderConfig {
            bitrate: 510_001,
            ..CONFIG
        },
        AudioEncoderConfig {
            bitrate: u32::MAX,
            ..CONFIG
        },
        AudioEncoderConfig {
            expected_loss: 101,
            ..CONFIG
        },
    ];
    for codec in AudioCodec::ALL {
        let mut encoder = codec.encoder(1, &CONFIG).unwrap();
        for wrong in wrong {
            let refused = encoder.configure(&wrong);
            assert!(
                matches!(refused, Err(CodecError::Unsupported(_))),
                "{codec}: {wrong:?}"
            );
            assert!(codec.encoder(1, &wrong).is_err(), "{codec}: {wrong:?}");
            assert_eq!(encoder.config(), CONFIG, "{codec}");
        }
        assert!(
            !encode(&mut *encoder, 1, &voice(1, 0.1)).is_empty(),
            "{codec}"
        );
    }
}

#[test]
fn a_stretch_of_the_wrong_shape_is_refused_and_the_next_one_encoded() {
    for codec in AudioCodec::ALL {
        let mut encoder = codec.encoder(1, &CONFIG).unwrap();
        for (rate, channels, frames) in [
            (44_100, 1, 960),
            (16_000, 1, 320),
            (RATE, 2, 960),
            (RATE, 0, 0),
            (RATE, 1, 0),
            (RATE, 1, 121),
            (RATE, 1, 959),
            (RATE, 1, 3 * 480),
            (RATE, 1, 5_760),
            (RATE, 1, 48_000),
        ] {
            let refused = encoder.encode(&AudioBuffer::new(rate, channels, frames));
            assert!(
                matches!(refused, Err(CodecError::Unsupported(_))),
                "{codec}: {frames} of {channels} at {rate} gave {refused:?}"
            );
            let packet = encoder.encode(&AudioBuffer::new(RATE, 1, 960)).unwrap();
            assert!(!packet.is_empty(), "{codec}: without DTX silence is sent");
        }
    }
}

#[test]
fn numbers_that_are_no_sound_do_no_harm() {
    for codec in AudioCodec::ALL {
        let mut encoder = codec.encoder(1, &CONFIG).unwrap();
        let mut decoder = codec.decoder(1).unwrap();
        let mut out = AudioBuffer::default();
        for poison in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            1e9,
            -20.0,
        ] {
            let mut sound = AudioBuffer::new(RATE, 1, PACKET);
            sound.samples_mut().fill(poison);
            let packet = encoder.encode(&sound).unwrap();
            decoder.decode(&packet, &mut out).unwrap();
            assert!(
                out.samples().iter().all(|s| s.is_finite()),
                "{codec}: {poison}"
            );
        }
        // Both have forgotten it a second later.
        let spoken = voice(1, 2.0);
        let packets = encode(&mut *encoder, 1, &spoken);
        let heard = decode(&mut *decoder, &packets);
        let (alike, _) = likeness(&spoken[48_000..], &heard[48_000..]);
        assert!(alike > 0.85, "{codec}: {alike:.3}");
    }
}

#[test]
fn with_dtx_silence_is_hardly_sent_and_speech_comes_back_at_once() {
    for codec in AudioCodec::ALL {
        let mut encoder = codec.encoder(1, &CONFIG).unwrap();
        let sent = |encoder: &mut dyn AudioEncoder, samples: &[f32]| {
            let packets = encode(encoder, 1, samples);
            let sent = packets.iter().filter(|packet| !packet.is_empty()).count();
            (sent, packets.len())
        };
        let (spoken, silence) = (voice(1, 1.0), vec![0.0; 2 * RATE as usize]);
        assert_eq!(
            sent(&mut *encoder, &silence),
            (100, 100),
            "{codec}: DTX is off"
        );

        let config = AudioEncoderConfig {
            dtx: true,
            ..CONFIG
        };
        encoder.configure(&config).unwrap();
        assert_eq!(
            sent(&mut *encoder, &spoken),
            (50, 50),
            "{codec}: speech is sent"
        );
        sent(&mut *encoder, &silence[..RATE as usize]);
        let (quiet, of) = sent(&mut *encoder, &silence);
        assert!(
            quiet * 10 <= of,
            "{codec}: {quiet} of {of} packets of silence sent"
        );
        let (again, of) = sent(&mut *encoder, &spoken);
        assert!(
            again + 2 >= of,
            "{codec}: {again} of {of} packets of speech sent"
        );

        encoder.configure(&CONFIG).unwrap();
        assert_eq!(
            sent(&mut *encoder, &silence),
            (100, 100),
            "{codec}: DTX is off again"
        );
    }
}
