//! `duet loopback`: two endpoints in one process, over real sockets. The first sends, the second reads
//! back what it gets.

mod pair;
mod stamp;
mod verdict;

pub(crate) use verdict::{check_report, verdict, write_report};

use crate::args::Loopback;
use crate::codec_floor;
use crate::failure::Failure;
use crate::local::LocalMedia;
use crate::probe::{AudioProbe, Original, VideoProbe, build_report};
use crate::report::{CpuReport, Expectations, Report};
use crate::resources::CpuMeter;
use crate::serve::asked_to_end;
use crate::statistics;
use crate::stats_file::StatsFile;
use crate::tell::{Tell, print};
use crate::ways::has_relay;
use duet_codec::{AudioEncoderConfig, VideoEncoderConfig};
use duet_devices::MediaDevices;
use duet_media::{Clock, MediaKind, MediaStream, MonotonicClock, SinkHandle};
use duet_peer::{NetworkPolicy, PeerContext};
use pair::Pair;
use stamp::Stamper;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long the two may take to connect.
const CONNECT: Duration = Duration::from_secs(15);

pub(crate) async fn run(options: Loopback, tell: &Tell) -> Result<ExitCode, Failure> {
    if options.ways.are_relayed() && !has_relay(&options.ways.ice_servers) {
        return Err(Failure::usage(
            "--ice-transport-policy relay: expected a TURN server, given by --ice-server",
        ));
    }
    let clock = Arc::new(MonotonicClock::new());
    let mut stats = options
        .stats_file
        .as_deref()
        .map(StatsFile::create)
        .transpose()?;
    let local =
        LocalMedia::open_loopback(&options, &MediaDevices::new(clock.clone()), clock.clone())?;
    let mut context = PeerContext::new(clock.clone());
    if options.ways.ice_servers.is_empty() {
        context.network = NetworkPolicy::LoopbackOnly;
    }
    context.mdns = false;
    options.ways.prepare(&mut context)?;
    context.max_bitrate = options.picture.video_kbps * 1_000 + 64_000;
    context.start_bitrate = context.max_bitrate;

    // A camera without marks gets them, so that its frames are known again.
    let (stream, original) = match local.stream().get_video_tracks().first() {
        Some(camera) if !local.camera_is_synthetic() => {
            let (stamped, kept) = Stamper::start(camera, clock.clone());
            let tracks = local
                .stream()
                .get_audio_tracks()
                .into_iter()
                .chain([stamped]);
            (MediaStream::from_tracks(tracks), Original::Kept(kept))
        }
        _ => (local.stream().clone(), Original::Painted),
    };

    let video = VideoProbe::new(clock.clone(), original);
    let audio = AudioProbe::new(clock.clone());
    let meter = CpuMeter::start();
    let started = clock.now();
    let mut pair = Pair::connect(&context, &options.ways, &stream).await?;
    let mut sinks: Vec<SinkHandle> = Vec::new();
    let mut wanted = stream.get_tracks().len();

    let connect_by = tokio::time::sleep(CONNECT);
    let end = tokio::time::sleep(options.duration);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let interrupted = asked_to_end();
    tokio::pin!(connect_by, end, interrupted);
    loop {
        tokio::select! {
            track = pair.next_track() => {
                sinks.push(match track.kind() {
                    MediaKind::Video => track.add_sink(video.clone()),
                    MediaKind::Audio => track.add_sink(audio.clone()),
                });
                wanted = wanted.saturating_sub(1);
            }
            () = &mut connect_by, if wanted > 0 => break,
            _ = second.tick() => {
                progress(tell, options.json, &video, clock.now().saturating_since(started));
                if let Some(file) = &mut stats {
                    let unix = clock.unix_time(clock.now());
                    file.write(unix, "sender", &statistics::snapshot(&pair.sender).await)?;
                    file.write(unix, "receiver", &statistics::snapshot(&pair.receiver).await)?;
                }
            }
            () = &mut end => break,
            () = &mut interrupted => break,
        }
    }
    let cores = meter.cores();
    let concealed = statistics::concealed_ratio(&statistics::snapshot(&pair.receiver).await);
    let elapsed = clock.now().saturating_since(started);
    drop(sinks);
    pair.close().await;
    for track in local.stream().get_tracks() {
        track.stop();
    }

    let has = |kind| stream.get_tracks().iter().any(|track| track.kind() == kind);
    let video = has(MediaKind::Video).then_some(&*video);
    let audio = has(MediaKind::Audio).then_some(&*audio);
    let mut report = build_report(
        video,
        audio,
        started,
        elapsed,
        concealed,
        local.microphone_is_synthetic(),
    );
    report.cpu = CpuReport {
        cores,
        codec_floor_cores: floor(&report, &options)?,
    };
    report.judge(&Expectations::default());
    if options.json {
        let json = serde_json::to_string(&report).map_err(Failure::failed)?;
        print(json)?;
    } else {
        print(verdict(&report))?;
    }
    Ok(ExitCode::from(u8::from(!report.pass)))
}

/// What the codecs alone take for what was sent.
fn floor(report: &Report, options: &Loopback) -> Result<Option<f64>, Failure> {
    let video = report
        .video
        .as_ref()
        .filter(|video| video.frames_decoded > 0);
    let video = video.map(|video| VideoEncoderConfig {
        width: video.width,
        height: video.height,
        frame_rate: f64::from(options.picture.frame_rate),
        bitrate: options.picture.video_kbps * 1_000,
        temporal_layers: 1,
    });
    let audio = report.audio.as_ref().map(|_| AudioEncoderConfig {
        bitrate: 32_000,
        expected_loss: 0,
        fec: true,
        dtx: false,
    });
    let measured = tokio::task::block_in_place(|| codec_floor::measure(video, audio));
    measured.map(Some).map_err(Failure::failed)
}

fn progress(tell: &Tell, json: bool, video: &VideoProbe, elapsed: Duration) {
    let line = format!(
        "{:4.0} s  {} pictures",
        elapsed.as_secs_f64(),
        video.decoded()
    );
    if std::io::stderr().is_terminal() {
        tell.update(line);
    } else if !json {
        tell.say(line);
    }
}
