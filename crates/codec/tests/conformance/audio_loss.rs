//! Sound: what is heard when packets are lost.

use crate::audio::{CONFIG, PACKET, decode, encode};
use crate::speech::{RATE, energy, snr, steepest, voice};
use bytes::Bytes;
use duet_codec::{AudioCodec, AudioDecoder, AudioEncoderConfig, CodecError};
use duet_media::AudioBuffer;

const LOSSY: AudioEncoderConfig = AudioEncoderConfig {
    bitrate: 32_000,
    expected_loss: 20,
    fec: true,
    dtx: false,
};

/// One packet in seven.
fn is_lost(packet: usize) -> bool {
    packet % 7 == 6
}

/// Decodes a stream with losses; by the copies in the following packets, or by concealment alone.
fn with_losses(decoder: &mut dyn AudioDecoder, packets: &[Bytes], fec: bool) -> Vec<f32> {
    let mut out = AudioBuffer::default();
    let mut heard = Vec::new();
    for (number, packet) in packets.iter().enumerate() {
        match packets.get(number + 1) {
            Some(next) if is_lost(number) && fec => {
                decoder.decode_fec(next, PACKET, &mut out).unwrap();
            }
            _ if is_lost(number) => decoder.conceal(PACKET, &mut out).unwrap(),
            _ => decoder.decode(packet, &mut out).unwrap(),
        }
        assert_eq!(out.frames(), PACKET);
        heard.extend_from_slice(out.samples());
    }
    heard
}

/// How near the lost stretches come to what would have been heard without loss, in dB.
fn mended(whole: &[f32], heard: &[f32]) -> f32 {
    let lost = |samples: &[f32]| -> Vec<f32> {
        samples
            .chunks_exact(PACKET)
            .enumerate()
            .filter(|(number, _)| is_lost(*number))
            .flat_map(|(_, chunk)| chunk.to_vec())
            .collect()
    };
    snr(&lost(whole), &lost(heard))
}

#[test]
fn the_copy_in_the_next_packet_beats_guessing() {
    for codec in AudioCodec::ALL {
        let spoken = voice(1, 4.0);
        let mut encoder = codec.encoder(1, &LOSSY).unwrap();
        let packets = encode(&mut *encoder, 1, &spoken);
        let decoder = || codec.decoder(1).unwrap();
        let whole = decode(&mut *decoder(), &packets);
        let concealed = mended(&whole, &with_losses(&mut *decoder(), &packets, false));
        let recovered = mended(&whole, &with_losses(&mut *decoder(), &packets, true));
        assert!(
            recovered > concealed + 3.0,
            "{codec}: recovered {recovered:.1} dB, concealed {concealed:.1} dB"
        );
    }
}

#[test]
fn the_copies_can_be_had_and_given_up_while_it_runs() {
    for codec in AudioCodec::ALL {
        let spoken = voice(1, 2.0);
        let mut encoder = codec
            .encoder(
                1,
                &AudioEncoderConfig {
                    fec: false,
                    ..LOSSY
                },
            )
            .unwrap();
        let gain = |packets: &[Bytes]| {
            let decoder = || codec.decoder(1).unwrap();
            let whole = decode(&mut *decoder(), packets);
            let concealed = with_losses(&mut *decoder(), packets, false);
            let recovered = with_losses(&mut *decoder(), packets, true);
            mended(&whole, &recovered) - mended(&whole, &concealed)
        };
        let without = gain(&encode(&mut *encoder, 1, &spoken));
        encoder.configure(&LOSSY).unwrap();
        let with = gain(&encode(&mut *encoder, 1, &spoken));
        encoder
            .configure(&AudioEncoderConfig {
                fec: false,
                ..LOSSY
            })
            .unwrap();
        let after = gain(&encode(&mut *encoder, 1, &spoken));
        assert!(
            with > without + 2.0 && with > after + 2.0,
            "{codec}: gains of {without:.1}, {with:.1} and {after:.1} dB"
        );
    }
}

#[test]
fn a_long_loss_fades_out_and_back_in_without_a_click() {
    for codec in AudioCodec::ALL {
        let spoken = voice(1, 3.0);
        let packets = encode(&mut *codec.encoder(1, &CONFIG).unwrap(), 1, &spoken);
        let mut decoder = codec.decoder(1).unwrap();
        // In the middle of a syllable.
        let mut heard = decode(&mut *decoder, &packets[..56]);
        let mut out = AudioBuffer::default();
        let mut concealed = Vec::new();
        // Half a second in the 10 ms that a player takes at a time.
        for _ in 0..50 {
            decoder.conceal(480, &mut out).unwrap();
            concealed.extend_from_slice(out.samples());
        }
        let before = heard[heard.len() - 960..].to_vec();
        heard.extend_from_slice(&concealed);
        heard.extend(decode(&mut *decoder, &packets[81..]));

        let loudness = |samples: &[f32]| energy(samples) / samples.len() as f32;
        let (first, last) = (&concealed[..960], &concealed[concealed.len() - 4_800..]);
        assert!(
            loudness(first) > 0.05 * loudness(&before),
            "{codec}: it breaks off"
        );
        assert!(
            loudness(last) < 0.05 * loudness(&before),
            "{codec}: it hums on"
        );
        let whole = decode(&mut *codec.decoder(1).unwrap(), &packets);
        let (usual, worst) = (steepest(&whole), steepest(&heard));
        assert!(
            worst < 1.25 * usual,
            "{codec}: a step of {worst:.3}, where {usual:.3} is usual"
        );
    }
}

#[test]
fn any_multiple_of_2_5_ms_can_be_made_up_and_nothing_else() {
    for codec in AudioCodec::ALL {
        let packets = encode(&mut *codec.encoder(1, &LOSSY).unwrap(), 1, &voice(1, 0.2));
        let mut decoder = codec.decoder(1).unwrap();
        let mut out = AudioBuffer::default();
        decoder.decode(&packets[0], &mut out).unwrap();
        for frames in (120..=5_760).step_by(120) {
            decoder.conceal(frames, &mut out).unwrap();
            assert_eq!(out.frames(), frames, "{codec}");
            decoder.decode_fec(&packets[5], frames, &mut out).unwrap();
            assert_eq!((out.frames(), out.sample_rate()), (frames, RATE), "{codec}");
        }
        for frames in [0, 1, 119, 121, 961, 5_880, usize::MAX] {
            for refused in [
                decoder.conceal(frames, &mut out),
                decoder.decode_fec(&packets[5], frames, &mut out),
            ] {
                assert!(
                    matches!(refused, Err(CodecError::Unsupported(_))),
                    "{codec}: {frames}"
                );
            }
        }
        decoder.decode(&packets[6], &mut out).unwrap();
        assert_eq!(out.frames(), PACKET, "{codec}");
    }
}
