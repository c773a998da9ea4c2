//! The clip that every peer sends: raw I420 in a loop on an absolute clock, and a voice.

use crate::barcode;
use crate::epoch_ms;
use crate::sound::{BLOCK, SAMPLE_RATE, Voice};
use duet::media::{
    AudioBuffer, AudioFrame, Clock, I420Buffer, MediaKind, MediaSource, MediaStream,
    MediaTrackCapabilities, MediaTrackSettings, MonotonicClock, Pool, VideoFrame,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAME_BYTES: u64 = 1_382_400;
const FRAME_RATE: u32 = 30;

/// A clip, and the stream that it is played into.
pub(crate) struct Clip {
    pub(crate) stream: MediaStream,
    pub(crate) voice: Arc<Voice>,
    file: Arc<File>,
    frames: u64,
    clock: Arc<MonotonicClock>,
    video: MediaSource,
    audio: MediaSource,
}

/// A clip that plays until it is dropped.
pub(crate) struct Playing {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clip {
    pub(crate) fn open(path: &Path, clock: Arc<MonotonicClock>) -> io::Result<Clip> {
        let file = File::open(path)?;
        let frames = file.metadata()?.len() / FRAME_BYTES;
        if frames == 0 {
            return Err(io::Error::other("the clip holds no frame of 1280x720"));
        }
        let source = |kind, settings| {
            MediaSource::new(
                kind,
                "clip",
                settings,
                MediaTrackCapabilities::default(),
                (),
            )
        };
        let video = source(
            MediaKind::Video,
            MediaTrackSettings {
                width: Some(WIDTH),
                height: Some(HEIGHT),
                frame_rate: Some(f64::from(FRAME_RATE)),
                ..MediaTrackSettings::default()
            },
        );
        let audio = source(
            MediaKind::Audio,
            MediaTrackSettings {
                sample_rate: Some(SAMPLE_RATE),
                channel_count: Some(1),
                ..MediaTrackSettings::default()
            },
        );
        Ok(Clip {
            stream: MediaStream::from_tracks([video.create_track(), audio.create_track()]),
            voice: Arc::new(Voice::open()?),
            file: Arc::new(file),
            frames,
            clock,
            video,
            audio,
        })
    }

    pub(crate) fn play(&self) -> Playing {
        let stop = Arc::new(AtomicBool::new(false));
        let (file, frames, clock, source) = (
            self.file.clone(),
            self.frames,
            self.clock.clone(),
            self.video.clone(),
        );
        let pool = Pool::<I420Buffer>::new(6);
        let video = every(
            Duration::from_secs(1) / FRAME_RATE,
            stop.clone(),
            move |number| {
                // Straight from the page cache into the frame: a clip held in memory would be copied too.
                let picture = pool.try_fill(|picture| {
                    picture.resize(WIDTH, HEIGHT);
                    file.read_exact_at(picture.as_bytes_mut(), number % frames * FRAME_BYTES)?;
                    barcode::write(picture, epoch_ms() as u64 as u32);
                    Ok::<(), io::Error>(())
                });
                match picture {
                    Ok(picture) => source.publish(&VideoFrame::new(picture, clock.now()).into()),
                    Err(error) => eprintln!("the clip cannot be read: {error}"),
                }
            },
        );
        let (clock, source, voice) = (self.clock.clone(), self.audio.clone(), self.voice.clone());
        let started = clock.now();
        let pool = Pool::<AudioBuffer>::new(8);
        let audio = every(Duration::from_millis(10), stop.clone(), move |number| {
            let sound = pool.fill(|sound| {
                sound.resize(SAMPLE_RATE, 1, BLOCK);
                voice.fill(number, sound.samples_mut());
            });
            let time = started + Duration::from_millis(10) * number as u32;
            source.publish(&AudioFrame::new(sound, time).into());
        });
        Playing {
            stop,
            threads: vec![video, audio],
        }
    }
}

/// Calls `send` for every period at its time. A late one goes out at once; none is left out.
fn every(
    period: Duration,
    stop: Arc<AtomicBool>,
    send: impl Fn(u64) + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let start = Instant::now();
        for number in 0u64.. {
            let due = start + period.mul_f64(number as f64);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if stop.load(Ordering::Relaxed) {
                return;
            }
            send(number);
        }
    })
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
