//! The synthetic camera and microphone, paced by the laboratory's clock.

use crate::VirtualClock;
use duet_devices::synthetic::{Painter, hear};
use duet_media::{
    AudioBuffer, AudioFrame, Clock, Frame, I420Buffer, MediaKind, MediaSource, MediaStreamTrack,
    MediaTime, MediaTrackCapabilities, MediaTrackSettings, Pool, SourceControl, VideoFrame,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

const SAMPLE_RATE: u32 = 48_000;

/// What a microphone hears.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Hears {
    /// The synthetic pair's beeps and tones.
    #[default]
    Marks,
    /// Sound at 48 kHz, again and again.
    Sound(Arc<[f32]>),
}

/// Stops nothing: the task ends with the track's owner.
struct Unattended;

impl SourceControl for Unattended {
    fn stop(&self) {}
}

/// A camera; it runs until it is dropped.
pub struct Camera {
    /// What it shows.
    pub track: MediaStreamTrack,
    task: JoinHandle<()>,
}

/// A microphone; it runs until it is dropped.
pub struct Microphone {
    /// What it hears.
    pub track: MediaStreamTrack,
    task: JoinHandle<()>,
}

impl Camera {
    /// Pictures of the given size, `frame_rate` a second.
    pub fn start(clock: &Arc<VirtualClock>, width: u32, height: u32, frame_rate: u32) -> Self {
        let settings = MediaTrackSettings {
            width: Some(width),
            height: Some(height),
            frame_rate: Some(f64::from(frame_rate)),
            ..Default::default()
        };
        let source = source(MediaKind::Video, settings);
        let track = source.create_track();
        let clock = clock.clone();
        let task = tokio::spawn(async move {
            let painter = Painter::new(width, height);
            let pool = Pool::<I420Buffer>::new(32);
            let begun = clock.now();
            let mut second = None;
            for number in 0_u32.. {
                let nanos = u64::from(number) * 1_000_000_000 / u64::from(frame_rate);
                let time = begun + Duration::from_nanos(nanos);
                clock.sleep_until(time).await;
                let unix = clock.unix_time(time);
                let flash = second.replace(unix.as_secs()) != Some(unix.as_secs());
                let picture = pool.fill(|picture| painter.paint(number, unix, flash, picture));
                source.publish(&Frame::Video(VideoFrame::new(picture, time)));
            }
        });
        Camera { track, task }
    }
}

impl Microphone {
    /// Sound of one channel, by a sound card that takes `card_hz` samples a second and says 48,000.
    pub fn start(clock: &Arc<VirtualClock>, hears: Hears, card_hz: u32) -> Self {
        let settings = MediaTrackSettings {
            sample_rate: Some(SAMPLE_RATE),
            channel_count: Some(1),
            ..Default::default()
        };
        let source = source(MediaKind::Audio, settings);
        let track = source.create_track();
        let clock = clock.clone();
        let task = tokio::spawn(async move {
            let begun: MediaTime = clock.now();
            let frames = SAMPLE_RATE as usize / 100;
            for number in 0_u64.. {
                let at = |block: u64| {
                    let nanos = u128::from(block) * frames as u128 * 1_000_000_000;
                    begun + Duration::from_nanos((nanos / u128::from(card_hz)) as u64)
                };
                // A stretch is there when its last sample is.
                clock.sleep_until(at(number + 1)).await;
                let mut sound = AudioBuffer::new(card_hz, 1, frames);
                match &hears {
                    Hears::Marks => hear(clock.unix_time(at(number)), &mut sound),
                    Hears::Sound(samples) => {
                        let from = number as usize * frames % samples.len().max(1);
                        let heard = samples.iter().cycle().skip(from);
                        let pairs = sound.samples_mut().iter_mut().zip(heard);
                        pairs.for_each(|(to, from)| *to = *from);
                    }
                }
                let mut said = AudioBuffer::new(SAMPLE_RATE, 1, frames);
                said.samples_mut().copy_from_slice(sound.samples());
                source.publish(&Frame::Audio(AudioFrame::new(Arc::new(said), at(number))));
            }
        });
        Microphone { track, task }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Microphone {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn source(kind: MediaKind, settings: MediaTrackSettings) -> MediaSource {
    let label = format!("laboratory {kind}");
    let capabilities = MediaTrackCapabilities::default();
    MediaSource::new(kind, label, settings, capabilities, Unattended)
}
