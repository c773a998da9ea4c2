//! Pictures: how many bytes they take, measured, not believed.

use crate::scene::Scene;
use crate::video::{CONFIG, encoded};
use duet_codec::{VideoCodec, VideoEncoder, VideoEncoderConfig};
use duet_media::MediaTime;

const WIDE: VideoEncoderConfig = VideoEncoderConfig {
    width: 640,
    height: 360,
    frame_rate: 30.0,
    bitrate: 1_200_000,
    temporal_layers: 1,
};

/// A camera before an encoder. Its time goes on from call to call.
struct Shot {
    encoder: Box<dyn VideoEncoder>,
    scene: Scene,
    number: u64,
    time: f64,
}

impl Shot {
    fn new(codec: VideoCodec) -> Self {
        Shot {
            encoder: codec.encoder(&WIDE).unwrap(),
            scene: Scene::new(WIDE.width, WIDE.height),
            number: 0,
            time: 0.0,
        }
    }

    /// Encodes `frames` pictures at `rate` a second; bits a second that they took.
    fn bitrate(&mut self, frames: u32, rate: f64) -> f64 {
        let mut bytes = 0;
        for _ in 0..frames {
            let time = MediaTime::from_nanos((self.time * 1e9) as i64);
            let frame = self.scene.frame(self.number, time);
            let encoded = self.encoder.encode(&frame, false).unwrap();
            bytes += encoded.map_or(0, |encoded| encoded.data.len());
            self.number += 1;
            self.time += 1.0 / rate;
        }
        bytes as f64 * 8.0 * rate / f64::from(frames)
    }
}

#[track_caller]
fn assert_near(what: &str, got: f64, target: f64) {
    assert!(
        (got / target - 1.0).abs() < 0.2,
        "{what}: {:.0} kb/s where {:.0} were asked for",
        got / 1e3,
        target / 1e3
    );
}

#[test]
fn a_new_bitrate_is_kept_within_a_second() {
    for &codec in VideoCodec::ALL {
        let mut shot = Shot::new(codec);
        shot.bitrate(60, 30.0);
        for bitrate in [1_200_000, 500_000, 2_000_000, 800_000] {
            let config = VideoEncoderConfig { bitrate, ..WIDE };
            shot.encoder.configure(&config).unwrap();
            shot.bitrate(30, 30.0);
            let got = shot.bitrate(60, 30.0);
            assert_near(codec.name(), got, f64::from(bitrate));
        }
    }
}

#[test]
fn a_new_frame_rate_leaves_the_bitrate_as_it_was() {
    for &codec in VideoCodec::ALL {
        let mut shot = Shot::new(codec);
        shot.bitrate(60, 30.0);
        for frame_rate in [30.0, 10.0, 60.0, 15.0] {
            let config = VideoEncoderConfig { frame_rate, ..WIDE };
            shot.encoder.configure(&config).unwrap();
            shot.bitrate(frame_rate as u32, frame_rate);
            let got = shot.bitrate(2 * frame_rate as u32, frame_rate);
            assert_near(&format!("{codec} at {frame_rate}"), got, 1_200_000.0);
        }
    }
}

#[test]
fn a_camera_that_slows_down_in_the_dark_keeps_its_bitrate() {
    for &codec in VideoCodec::ALL {
        let mut shot = Shot::new(codec);
        shot.bitrate(60, 30.0);
        shot.bitrate(15, 15.0);
        let got = shot.bitrate(30, 15.0);
        assert_near(codec.name(), got, 1_200_000.0);
    }
}

#[test]
fn the_first_picture_after_a_pause_does_not_take_the_bits_of_the_pause() {
    for &codec in VideoCodec::ALL {
        let mut shot = Shot::new(codec);
        shot.bitrate(60, 30.0);
        shot.time += 10.0;
        let share = f64::from(WIDE.bitrate) / 30.0;
        let got = shot.bitrate(1, 30.0) / 30.0;
        assert!(got < 6.0 * share, "{codec}: {:.1} shares", got / share);
    }
}

#[test]
fn a_key_frame_takes_no_more_than_a_third_of_a_seconds_bits() {
    for codec in VideoCodec::ALL {
        let scene = Scene::new(CONFIG.width, CONFIG.height);
        let mut encoder = codec.encoder(&CONFIG).unwrap();
        for number in 0..60 {
            let _ = encoder.encode(&scene.at_rate(number, 30.0), false).unwrap();
        }
        let asked = encoder
            .encode(&scene.at_rate(60, 30.0), true)
            .unwrap()
            .unwrap();
        assert!(asked.key_frame, "{codec}");
        let bits = asked.data.len() * 8;
        assert!(bits < CONFIG.bitrate as usize / 3, "{codec}: {bits} bits");
        let next = encoded(&mut *encoder, &scene.at_rate(61, 30.0));
        assert!(next.data.len() < asked.data.len(), "{codec}");
    }
}
