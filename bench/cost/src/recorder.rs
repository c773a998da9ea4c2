//! A recording of 1920x1080 at 30 a second beside a call of 1280x720, all on the processors that there
//! are: is every picture in the file, and how far behind is the recorder?

use crate::raw::painted_in;
use crate::{Faults, cpu};
use duet::devices::synthetic::{
    SyntheticCamera, SyntheticCameraConfig, SyntheticMicrophone, SyntheticMicrophoneConfig,
};
use duet::media::{
    Clock, Frame, I420Buffer, MediaKind, MediaSource, MediaStream, MediaStreamTrack,
    MediaTrackCapabilities, MediaTrackSettings, MonotonicClock, Sink, VideoFrame,
};
use duet::peer::{
    NetworkPolicy, PeerConnectionEvent, PeerContext, RTCConfiguration, RTCError, RTCPeerConnection,
};
use duet::recorder::{MediaRecorder, MediaRecorderOptions, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const BITRATE: u32 = 2_000_000;

pub(crate) fn run(seconds: u32) -> Faults {
    let mut faults = Faults::new();
    for scene in [Scene::Calm, Scene::Noisy] {
        faults.extend(run_scene(scene, seconds));
    }
    faults
}

/// What is recorded.
#[derive(Clone, Copy, Debug)]
enum Scene {
    /// The synthetic camera's picture, which the machine paints meanwhile.
    Calm,
    /// The same as a bad camera in the dark shows it: no pixel stays as it was. Made beforehand.
    Noisy,
}

fn run_scene(scene: Scene, seconds: u32) -> Faults {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let measured = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime
                .block_on(measure(scene, seconds))
                .map_err(|e| e.to_string())
        });
    measured.unwrap_or_else(|error| vec![format!("it did not run: {error}")])
}

/// What a track delivered.
#[derive(Default)]
struct Counter {
    frames: AtomicU64,
}

impl Sink for Counter {
    fn accept(&self, _frame: &Frame) {
        self.frames.fetch_add(1, Ordering::AcqRel);
    }
}

impl Counter {
    fn get(&self) -> u64 {
        self.frames.load(Ordering::Acquire)
    }
}

async fn measure(scene: Scene, seconds: u32) -> Result<Faults, Box<dyn std::error::Error>> {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
    let recorded = devices(&clock, 1920, 1080, Duration::ZERO);
    if let Scene::Noisy = scene {
        for camera in recorded.get_video_tracks() {
            recorded.remove_track(&camera);
            camera.stop();
        }
        recorded.add_track(noisy_camera(&clock)?);
    }
    let called = devices(&clock, 1280, 720, Duration::from_millis(11));

    let (sender, receiver, mut tracks) = call(&clock, &called).await?;
    let received = Arc::new(Counter::default());
    let mut sinks = Vec::new();
    while sinks.len() < 2 {
        let track = tokio::time::timeout(Duration::from_secs(15), tracks.recv()).await?;
        let track = track.ok_or("the call ended")?;
        let sink: Arc<dyn Sink> = match track.kind() {
            MediaKind::Video => received.clone(),
            MediaKind::Audio => Arc::new(Counter::default()),
        };
        sinks.push((track.add_sink(sink), track));
    }
    // The call's rate rises meanwhile.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let camera = recorded.get_video_tracks().swap_remove(0);
    let delivered = Arc::new(Counter::default());
    let file = tempfile::NamedTempFile::new()?;
    let options = MediaRecorderOptions {
        video_bits_per_second: Some(5_000_000),
        ..Default::default()
    };
    let recorder = MediaRecorder::new(&recorded, options)?;
    let sink = camera.add_sink(delivered.clone());
    let first = (cpu::of_this_process(), received.get());
    recorder.start_to(Output::file(file.path())?)?;
    // How far behind: what the camera delivered and the file does not hold yet.
    let mut behind = Vec::new();
    let mut look = tokio::time::interval(Duration::from_millis(100));
    // The first is now.
    look.tick().await;
    for _ in 0..seconds * 10 {
        look.tick().await;
        let written = recorder.statistics().pictures;
        behind.push(delivered.get().saturating_sub(written));
    }
    let used = cpu::of_this_process() - first.0;
    let of = |name| cpu::of_threads(name).as_secs_f64() / f64::from(seconds);
    let (recording, encoding, decoding) =
        (of("recorder"), of("video-encoder"), of("video-decoder"));
    let in_call = received.get() - first.1;
    drop(sink);
    recorder.stop();
    let recorder_ended = tokio::task::spawn_blocking({
        let recorder = recorder.clone();
        move || recorder.wait_until_stopped(Duration::from_secs(30))
    });
    let ended = recorder_ended.await?;
    let statistics = recorder.statistics();
    behind.sort_unstable();
    let part = |of: usize| behind.get(behind.len() * of / 100).copied().unwrap_or(0);

    println!(
        "a recording of 1920x1080 at 30 a second ({scene:?}) beside a call of 1280x720, {seconds} s"
    );
    println!(
        "  recorded {} pictures of {} delivered, {} lost, {} stretches of sound lost; {:.1} Mbit/s",
        statistics.pictures,
        delivered.get(),
        statistics.pictures_lost,
        statistics.sounds_lost,
        statistics.bytes_written as f64 * 8e-6 / f64::from(seconds),
    );
    println!(
        "  behind the camera by {} pictures at the median, {} at the 95th part of 100, {} at most (30 are held)",
        part(50),
        part(95),
        behind.last().copied().unwrap_or(0)
    );
    println!(
        "  the call delivered {in_call} pictures, {:.1} a second",
        in_call as f64 / f64::from(seconds)
    );
    println!(
        "  cores: {:.2} in all; recorder {recording:.2}, the call's encoder {encoding:.2} and decoder {decoding:.2}",
        used.as_secs_f64() / f64::from(seconds)
    );

    let mut faults = Faults::new();
    if !ended {
        faults.push("the recorder did not stop within 30 s".into());
    }
    if statistics.pictures_lost > 0 {
        faults.push(format!("{} pictures were lost", statistics.pictures_lost));
    }
    if statistics.sounds_lost > 0 {
        faults.push(format!(
            "{} stretches of sound were lost",
            statistics.sounds_lost
        ));
    }
    let promised = u64::from(seconds) * 30;
    if delivered.get() + 2 < promised {
        faults.push(format!(
            "the camera itself delivered {} of {promised}: nothing is proved",
            delivered.get()
        ));
    }
    sender.close().await;
    receiver.close().await;
    for track in [recorded.get_tracks(), called.get_tracks()].concat() {
        track.stop();
    }
    Ok(faults)
}

/// A camera whose pictures are hard to encode, and cost nothing to make.
fn noisy_camera(clock: &Arc<dyn Clock>) -> std::io::Result<MediaStreamTrack> {
    let size = (1920, 1080);
    let mut random = 1u32;
    let pictures: Vec<Arc<I420Buffer>> = painted_in(size, 16)
        .map(|mut picture| {
            let (luma, _, _) = picture.planes_mut();
            for pixel in luma {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *pixel = pixel
                    .saturating_add((random >> 24) as u8 % 17)
                    .saturating_sub(8);
            }
            Arc::new(picture)
        })
        .collect();
    let settings = MediaTrackSettings {
        width: Some(size.0),
        height: Some(size.1),
        frame_rate: Some(30.0),
        ..Default::default()
    };
    let nothing = MediaTrackCapabilities::default();
    let source = MediaSource::new(MediaKind::Video, "noisy camera", settings, nothing, ());
    let track = source.create_track();
    let clock = clock.clone();
    thread::Builder::new()
        .name("noisy-camera".into())
        .spawn(move || {
            let started = Instant::now();
            for (n, picture) in (0..).zip(pictures.iter().cycle()) {
                if !source.is_wanted() {
                    return;
                }
                let due = started + Duration::from_secs(1) * n / 30;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                source.publish(&VideoFrame::new(picture.clone(), clock.now()).into());
            }
        })?;
    Ok(track)
}

fn devices(clock: &Arc<dyn Clock>, width: u32, height: u32, phase: Duration) -> MediaStream {
    let camera = SyntheticCameraConfig {
        width,
        height,
        phase,
        ..Default::default()
    };
    MediaStream::from_tracks([
        SyntheticCamera::start(camera, clock.clone()),
        SyntheticMicrophone::start(SyntheticMicrophoneConfig::default(), clock.clone()),
    ])
}

type Call = (
    RTCPeerConnection,
    RTCPeerConnection,
    mpsc::Receiver<MediaStreamTrack>,
);

/// A call of oneself over loopback's sockets.
async fn call(clock: &Arc<dyn Clock>, stream: &MediaStream) -> Result<Call, RTCError> {
    let mut context = PeerContext::new(clock.clone());
    context.network = NetworkPolicy::LoopbackOnly;
    context.mdns = false;
    context.max_bitrate = BITRATE + 64_000;
    context.start_bitrate = context.max_bitrate;
    let new = || RTCPeerConnection::new(RTCConfiguration::default(), context.clone());
    let (sender, receiver) = (new().await?, new().await?);
    let (found, tracks) = mpsc::channel(16);
    for (from, to) in [(&sender, &receiver), (&receiver, &sender)] {
        let (mut events, to, found) = (from.events(), to.clone(), found.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                match event {
                    PeerConnectionEvent::IceCandidate(candidate) => {
                        // One that is refused is one of several.
                        let _ = to.add_ice_candidate(candidate).await;
                    }
                    PeerConnectionEvent::Track(event) => drop(found.send(event.track).await),
                    _ => {}
                }
            }
        });
    }
    for track in stream.get_tracks() {
        sender.add_track(&track, &[stream]).await?;
    }
    for (from, to) in [(&sender, &receiver), (&receiver, &sender)] {
        from.set_local_description(None).await?;
        if let Some(description) = from.local_description().await {
            to.set_remote_description(description).await?;
        }
    }
    Ok((sender, receiver, tracks))
}
