//! `duet record`: this end's camera and microphone into a file.

use crate::args::Record;
use crate::failure::Failure;
use crate::local::LocalMedia;
use crate::serve::asked_to_end;
use crate::tell::Tell;
use duet_devices::MediaDevices;
use duet_media::MonotonicClock;
use duet_recorder::{
    MediaRecorder, MediaRecorderError, MediaRecorderOptions, Output, RecorderEvent,
    RecorderStatistics,
};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long the end of a file may take to be written.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: Record, tell: &Tell) -> Result<ExitCode, Failure> {
    // What makes no sense is said before a camera's light goes on.
    let output = open(&options.file)?;
    let clock = Arc::new(MonotonicClock::new());
    let devices = MediaDevices::new(clock.clone());
    let local = LocalMedia::open(&options.media, &devices, clock, tell)?;
    let recorder = recorder(&local, options.media.picture.video_kbps)?;
    // It ends once, with one error at most: there is room for both. Nobody listens once it is over.
    let (sender, mut events) = mpsc::channel(2);
    let _subscription = recorder.subscribe(move |event| {
        if matches!(event, RecorderEvent::Error(_) | RecorderEvent::Stop) {
            drop(sender.try_send(event.clone()));
        }
    });
    recorder.start_to(output).map_err(refused)?;
    tell.say(format_args!("recording to {}", options.file.display()));

    let forever = Duration::from_secs(u64::from(u32::MAX));
    let end = tokio::time::sleep(options.duration.unwrap_or(forever));
    let interrupted = asked_to_end();
    tokio::pin!(end, interrupted);
    let mut error = None;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(RecorderEvent::Error(reason)) => error = Some(reason),
                Some(RecorderEvent::Stop) | None => break,
                Some(_) => {}
            },
            // What was recorded becomes a whole file; `Stop` tells when.
            () = &mut end, if recorder.state() != duet_recorder::RecordingState::Inactive => {
                recorder.stop();
            }
            () = &mut interrupted, if recorder.state() != duet_recorder::RecordingState::Inactive => {
                recorder.stop();
            }
        }
    }
    let statistics = recorder.statistics();
    tell.say(summary(&options.file, &statistics));
    match error {
        Some(error) => Err(Failure::failed(error)),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn recorder(local: &LocalMedia, video_kbps: u32) -> Result<MediaRecorder, Failure> {
    let options = MediaRecorderOptions {
        video_bits_per_second: Some(video_kbps * 1_000),
        ..MediaRecorderOptions::default()
    };
    MediaRecorder::new(local.stream(), options).map_err(refused)
}

/// Opens the file that was asked for.
pub(crate) fn open(path: &Path) -> Result<Output, Failure> {
    Output::file(path)
        .map_err(|error| Failure::usage(format_args!("cannot write {}: {error}", path.display())))
}

/// What became of a file.
pub(crate) fn summary(path: &Path, statistics: &RecorderStatistics) -> String {
    let lost = match statistics.pictures_lost {
        0 => String::new(),
        lost => format!(", {lost} pictures lost: the machine is too slow for this size"),
    };
    format!(
        "{}: {:.1} s, {} pictures, {} kB{lost}",
        path.display(),
        statistics.duration.as_secs_f64(),
        statistics.pictures,
        statistics.bytes_written / 1_000
    )
}

fn refused(error: MediaRecorderError) -> Failure {
    match error {
        MediaRecorderError::NotSupported(_) => {
            Failure::usage("there is neither a camera nor a microphone to record")
        }
        _ => Failure::failed(error),
    }
}
