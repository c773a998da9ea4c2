//! Recordings that nothing can be put right in afterwards, and blobs in which everything can.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{Events, LIMIT, ffmpeg, synthetic, until_recorded, watch};
use duet_recorder::{
    MediaRecorder, MediaRecorderOptions, Output, RecorderEvent, RecorderStatistics, RecordingState,
};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The ids of what only a file that can be sought in has, and of a segment whose size is not known.
const CUES: [u8; 4] = [0x1c, 0x53, 0xbb, 0x6b];
const OPEN_SEGMENT: [u8; 12] = *b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff";

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Writes to two places, neither of which can be sought in.
struct Twice<W>(W, Arc<Mutex<Vec<u8>>>);

impl<W: Write> Write for Twice<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.1.lock().unwrap().extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_pipe_is_played_while_it_is_recorded() {
    let decode = [
        "-v",
        "error",
        "-analyzeduration",
        "0",
        "-i",
        "-",
        "-map",
        "0:v",
        "-fps_mode",
        "passthrough",
        "-f",
        "framecrc",
        "-flush_packets",
        "1",
        "-",
    ];
    let started = Command::new("ffmpeg")
        .args(decode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut player = match started {
        Ok(player) => player,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: ffmpeg is not installed");
            return;
        }
        Err(error) => panic!("ffmpeg: {error}"),
    };
    let written = Arc::new(Mutex::new(Vec::new()));
    let to = Twice(player.stdin.take().unwrap(), written.clone());
    let stream = synthetic(160, 90);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    recorder.start_to(Output::stream(to)).unwrap();
    let lines = BufReader::new(player.stdout.take().unwrap()).lines();
    let mut pictures = lines
        .map_while(Result::ok)
        .filter(|line| !line.starts_with('#'));
    assert_eq!(pictures.by_ref().take(30).count(), 30);
    assert_eq!(recorder.state(), RecordingState::Recording);
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
    assert_eq!(30 + pictures.count() as u64, recorder.statistics().pictures);
    let ended = player.wait_with_output().unwrap();
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );

    let written = std::mem::take(&mut *written.lock().unwrap());
    assert!(has(&written, &OPEN_SEGMENT) && !has(&written, &CUES));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), written).unwrap();
    let seen = watch(file.path());
    seen.assert_none_lost();
    assert!(seen.pictures.len() >= 30, "{}", seen.pictures.len());
}

/// What `DataAvailable` hands out in one recording, all of it together.
fn blobs(timeslice: Option<Duration>) -> (Vec<u8>, RecorderStatistics) {
    let stream = synthetic(160, 90);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    let events = Events::of(&recorder);
    recorder.start(timeslice).unwrap();
    until_recorded(&recorder, Duration::from_millis(1_200));
    recorder.stop();
    let data = events
        .to_the_end()
        .into_iter()
        .filter_map(|event| match event {
            RecorderEvent::DataAvailable { blob, .. } => Some(blob.data),
            _ => None,
        });
    (data.flatten().collect(), recorder.statistics())
}

#[test]
fn one_blob_is_a_whole_file_and_slices_are_a_stream() {
    let duration = |bytes: &[u8]| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        watch(file.path()).assert_none_lost();
        let path = file.path().to_str().unwrap();
        let ask = [
            "-v",
            "error",
            "-show_entries",
            "format=duration",
            "-of",
            "csv=p=0",
            path,
        ];
        let told = ffmpeg("ffprobe", &ask)?;
        Some(String::from_utf8(told).unwrap().trim().to_owned())
    };
    let (whole, statistics) = blobs(None);
    assert!(!has(&whole, &OPEN_SEGMENT) && has(&whole, &CUES));
    if let Some(told) = duration(&whole) {
        let off = told.parse::<f64>().unwrap() - statistics.duration.as_secs_f64();
        assert!(off.abs() < 0.05, "{told} for {statistics:?}");
    }
    let (slices, _) = blobs(Some(Duration::from_millis(200)));
    assert!(has(&slices, &OPEN_SEGMENT) && !has(&slices, &CUES));
    if let Some(told) = duration(&slices) {
        assert_eq!(told, "N/A");
    }
}
