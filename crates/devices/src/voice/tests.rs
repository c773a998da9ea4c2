//! What is claimed is done, and what is not wanted is not.

use super::*;
use duet_media::constraints::{ConstrainBoolean, ConstrainBooleanOrDOMString, ConstrainULong};
use duet_media::{FrameQueue, MediaKind, MediaTime, MediaTrackConstraintSet, TrackState};
use std::f32::consts::TAU;

/// A microphone in hand, and what comes of it.
struct Room {
    microphone: MediaSource,
    track: MediaStreamTrack,
    heard: Arc<FrameQueue>,
    _sink: SinkHandle,
    now: MediaTime,
}

impl Room {
    fn new(channels: u32, set: MediaTrackConstraintSet) -> Self {
        Self::of("pulseaudio:ear", channels, set)
    }

    fn of(id: &str, channels: u32, set: MediaTrackConstraintSet) -> Self {
        let settings = MediaTrackSettings {
            sample_rate: Some(SAMPLE_RATE),
            channel_count: Some(channels),
            device_id: Some(id.into()),
            ..MediaTrackSettings::unprocessed_sound()
        };
        let fixed = MediaTrackCapabilities {
            channel_count: Some(Range {
                min: channels,
                max: channels,
            }),
            device_id: Some(id.into()),
            ..MediaTrackCapabilities::unprocessed_sound()
        };
        let microphone = MediaSource::new(MediaKind::Audio, "ear", settings, fixed, ());
        let usual = usual(microphone.settings());
        let track = treated(microphone.create_track(), &usual);
        track.apply_constraints(set.into()).unwrap();
        let heard = Arc::new(FrameQueue::new(4));
        Room {
            _sink: track.add_sink(heard.clone()),
            microphone,
            track,
            heard,
            now: MediaTime::ZERO,
        }
    }

    /// 10 ms of sound in, 10 ms out.
    fn hears(&mut self, channels: u16, sample: impl Fn(usize) -> f32) -> Arc<AudioBuffer> {
        let mut buffer = AudioBuffer::new(SAMPLE_RATE, channels, FRAME_LEN);
        let frames = buffer.samples_mut().chunks_exact_mut(channels.into());
        frames
            .enumerate()
            .for_each(|(at, frame)| frame.fill(sample(at)));
        let frame = AudioFrame::new(Arc::new(buffer), self.now);
        self.now += frame.buffer.duration();
        self.microphone.publish(&frame.into());
        match self.heard.try_pop() {
            Some(Frame::Audio(sound)) => sound.buffer,
            other => panic!("{other:?}"),
        }
    }
}

fn only(echo: bool, gain: bool, noise: bool) -> MediaTrackConstraintSet {
    MediaTrackConstraintSet {
        echo_cancellation: Some(ConstrainBooleanOrDOMString::exact(echo)),
        auto_gain_control: Some(ConstrainBoolean::exact(gain)),
        noise_suppression: Some(ConstrainBoolean::exact(noise)),
        ..Default::default()
    }
}

/// Noise that is the same in every run.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 8_388_608.0 - 1.0
    }

    fn frame(&mut self, level: f32) -> Vec<f32> {
        (0..FRAME_LEN).map(|_| self.next() * level).collect()
    }
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32
}

fn decibels(of: f32, to: f32) -> f32 {
    10.0 * (of.max(1e-12) / to.max(1e-12)).log10()
}

#[test]
fn what_is_claimed_is_as_a_browser_has_it_and_a_monitor_claims_nothing() {
    let room = Room::new(2, MediaTrackConstraintSet::default());
    let (told, settings) = (room.track.get_capabilities(), room.track.get_settings());
    assert_eq!(
        told.echo_cancellation,
        [EchoCancellation::On, EchoCancellation::Off]
    );
    assert_eq!(told.channel_count, Some(Range { min: 1, max: 2 }));
    assert_eq!(settings.echo_cancellation, Some(EchoCancellation::On));
    assert_eq!(
        (settings.auto_gain_control, settings.noise_suppression),
        (Some(true), Some(true))
    );
    assert_eq!(
        (settings.sample_size, settings.latency),
        (Some(32), Some(0.01))
    );
    for mode in ["all", "remote-only"] {
        let set = MediaTrackConstraintSet {
            echo_cancellation: Some(ConstrainBooleanOrDOMString::exact(mode)),
            ..Default::default()
        };
        let error = room.track.apply_constraints(set.into()).unwrap_err();
        assert_eq!(error.constraint, "echoCancellation");
    }
    let mut monitor = Room::of(
        "pulseaudio:out.monitor",
        1,
        MediaTrackConstraintSet::default(),
    );
    assert_eq!(
        monitor.track.get_settings().echo_cancellation,
        Some(EchoCancellation::Off)
    );
    assert!(
        monitor
            .track
            .apply_constraints(only(true, true, true).into())
            .is_err()
    );
    assert_eq!(monitor.hears(1, |at| at as f32 / 1e3).samples()[77], 0.077);
}

#[test]
fn what_is_not_wanted_is_not_touched() {
    let mut room = Room::new(2, only(false, false, false));
    for _ in 0..20 {
        let out = room.hears(2, |at| (at as f32 / 7.0).sin() / 3.0);
        assert_eq!(out.samples()[200], (100f32 / 7.0).sin() / 3.0);
    }
    // One channel of two is the mean of both.
    let mono = MediaTrackConstraintSet {
        channel_count: Some(ConstrainULong::exact(1)),
        ..only(false, false, false)
    };
    room.track.apply_constraints(mono.into()).unwrap();
    let out = room.hears(2, |_| 0.25);
    assert_eq!((out.channels(), out.samples()[5]), (1, 0.25));
    assert_eq!(room.track.get_settings().channel_count, Some(1));
    room.track.stop();
    assert!(!room.microphone.is_wanted(), "the device is let go");
}

#[test]
fn noise_is_taken_out_where_that_is_wanted() {
    let left = |noise: bool| {
        let mut room = Room::new(1, only(false, false, noise));
        let (mut source, mut sum) = (Noise(7), (0.0, 0.0));
        for n in 0..400 {
            let frame = source.frame(0.05);
            let out = room.hears(1, |at| frame[at]);
            if n >= 300 {
                sum = (sum.0 + power(out.samples()), sum.1 + power(&frame));
            }
        }
        decibels(sum.0, sum.1)
    };
    let (on, off) = (left(true), left(false));
    println!("of steady noise {on:.1} dB are left; {off:.1} dB untreated");
    assert!(on < -10.0 && off.abs() < 0.01, "{on} {off}");
}

#[test]
fn a_soft_voice_is_made_louder_where_that_is_wanted() {
    // Like a voice: syllables of a few harmonics, with pauses.
    let voice = |n: usize, at: usize| {
        let time = (n * FRAME_LEN + at) as f32 / SAMPLE_RATE as f32;
        let syllable = (time * TAU * 2.0).sin().max(0.0);
        let tones = [
            (150.0, 1.0),
            (300.0, 0.7),
            (450.0, 0.5),
            (900.0, 0.3),
            (2_400.0, 0.1),
        ];
        let sum: f32 = tones
            .iter()
            .map(|(hz, a)| a * (time * TAU * hz).sin())
            .sum();
        0.008 * syllable * sum
    };
    let gained = |gain: bool| {
        let mut room = Room::new(1, only(false, gain, false));
        let mut sum = (0.0, 0.0);
        for n in 0..1_000 {
            let out = room.hears(1, |at| voice(n, at));
            if n >= 800 {
                let input: Vec<f32> = (0..FRAME_LEN).map(|at| voice(n, at)).collect();
                sum = (sum.0 + power(out.samples()), sum.1 + power(&input));
                assert!(out.samples().iter().all(|s| s.abs() <= 1.0));
            }
        }
        decibels(sum.0, sum.1)
    };
    let (on, off) = (gained(true), gained(false));
    println!("a soft voice gains {on:.1} dB; {off:.1} dB untreated");
    assert!(on > 6.0 && off.abs() < 0.01, "{on} {off}");
}

#[test]
fn the_echo_of_what_a_speaker_plays_is_taken_out_and_a_voice_beside_it_stays() {
    const DELAY: usize = 2_400;
    /// What is left of the echo, and of a tone in the room while nothing is played.
    fn left(echo: bool) -> (f32, f32) {
        let mut room = Room::new(1, only(echo, false, false));
        let mut speaker = Playback::new();
        let (mut source, mut line) = (Noise(3), std::collections::VecDeque::from(vec![0.0; DELAY]));
        let mut sum = (0.0, 0.0);
        for n in 0..600 {
            // In bursts, as speech is.
            let frame = source.frame(if n % 50 < 35 { 0.2 } else { 0.0 });
            let mut sound = AudioBuffer::new(SAMPLE_RATE, 1, FRAME_LEN);
            sound.samples_mut().copy_from_slice(&frame);
            speaker.plays(&sound);
            line.extend(&frame);
            let echo: Vec<f32> = line.drain(..FRAME_LEN).map(|s| s * 0.4).collect();
            let out = room.hears(1, |at| echo[at]);
            if n >= 400 {
                sum = (sum.0 + power(out.samples()), sum.1 + power(&echo));
            }
        }
        drop(speaker);
        let mut voice = (0.0, 0.0);
        for n in 0..200 {
            let tone = |at: usize| {
                0.1 * ((n * FRAME_LEN + at) as f32 / SAMPLE_RATE as f32 * TAU * 500.0).sin()
            };
            let out = room.hears(1, tone);
            if n >= 100 {
                let input: Vec<f32> = (0..FRAME_LEN).map(tone).collect();
                voice = (voice.0 + power(out.samples()), voice.1 + power(&input));
            }
        }
        (decibels(sum.0, sum.1), decibels(voice.0, voice.1))
    }
    let (on, off) = (left(true), left(false));
    println!(
        "of an echo {:.1} dB are left, of a voice {:.1} dB; untreated {off:?}",
        on.0, on.1
    );
    assert!(on.0 < -20.0, "{on:?}");
    assert!(on.1.abs() < 3.0, "{on:?}");
    assert!(off.0.abs() < 0.01 && off.1.abs() < 0.01, "{off:?}");
}

#[test]
fn what_is_played_is_kept_for_a_moment_only_and_several_speakers_add_up() {
    let mut ear = Ear::open();
    let (mut a, mut b) = (Playback::new(), Playback::new());
    let sound = |value| {
        let mut buffer = AudioBuffer::new(SAMPLE_RATE, 1, FRAME_LEN);
        buffer.samples_mut().fill(value);
        buffer
    };
    let mut to = AudioBuffer::default();
    assert!(!ear.hear(&mut to));
    // Other tests play, too; these two numbers are ours.
    a.plays(&sound(100.0));
    b.plays(&sound(20.0));
    assert!(ear.hear(&mut to) && to.channels() == 2);
    assert!((to.samples()[5] - 120.0).abs() < 5.0, "{}", to.samples()[5]);
    for _ in 0..1_000 {
        a.plays(&sound(1.0));
    }
    let mut rounds = 0;
    while ear.hear(&mut to) {
        rounds += 1;
    }
    assert!(rounds <= 10, "{rounds}");
}

#[test]
fn the_end_of_the_microphone_is_the_end_of_the_track() {
    let room = Room::new(1, MediaTrackConstraintSet::default());
    room.microphone.end();
    assert_eq!(room.track.ready_state(), TrackState::Ended);
}

#[test]
fn a_microphone_that_was_lost_as_it_was_opened_is_let_go() {
    let settings = MediaTrackSettings::unprocessed_sound();
    let nothing = MediaTrackCapabilities::default();
    let microphone = MediaSource::new(MediaKind::Audio, "ear", settings.clone(), nothing, ());
    let (opened, weak) = (microphone.create_track(), microphone.downgrade());
    microphone.end();
    drop(microphone);
    let track = treated(opened, &settings);
    assert_eq!(track.ready_state(), TrackState::Ended);
    assert!(weak.upgrade().is_none(), "something of it is left");
}
