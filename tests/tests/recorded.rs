//! What `duet record` leaves, opened in real browsers: a whole file, and one whose writer was killed.
//! And what their recorders leave, played by the program.

use duet_tests::{Browser, BrowserOptions, PATIENCE, Page, Program, Recorded, Server, SoundServer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A file that a recorder left.
struct Recording {
    folder: TempDir,
}

impl Recording {
    /// Some four seconds, brought to their end.
    fn whole() -> Self {
        let recording = Recording::nowhere();
        let ended = recording.start(&["--duration", "4s"]).finish(PATIENCE);
        assert!(ended.status.success(), "{}", ended.said);
        recording
    }

    /// Some seconds, up to a `kill -9`.
    fn cut_off() -> Self {
        let recording = Recording::nowhere();
        let program = recording.start(&[]);
        let started = Instant::now();
        // As a player would that follows a file which is written still.
        while recording.len() < 900_000 {
            assert!(started.elapsed() < PATIENCE, "{} bytes", recording.len());
            std::thread::park_timeout(Duration::from_millis(20));
        }
        program.kill();
        program.finish(PATIENCE);
        recording
    }

    fn nowhere() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        Recording { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("talk.webm")
    }

    fn len(&self) -> u64 {
        std::fs::metadata(self.path()).map_or(0, |file| file.len())
    }

    fn start(&self, more: &[&str]) -> Program {
        let path = self.path().display().to_string();
        let sources = ["--camera", "synthetic", "--microphone", "synthetic"];
        let words = ["record", &path, "--size", "640x360"];
        Program::start([&words[..], &sources, more].concat())
    }
}

/// Opens a page of our server's in both browsers.
fn in_both(check: impl Fn(&str, &Page)) {
    let server = Server::start();
    // Firefox plays sound only where there is somewhere to play it to.
    let sound = SoundServer::start();
    let options = BrowserOptions {
        sound: Some(&sound),
        ..Default::default()
    };
    for browser in [Browser::chromium(&options), Browser::firefox(&options)] {
        let page = browser.open("page", &format!("{}/healthz", server.url()));
        check(browser.name(), &page);
    }
}

/// Plays a file on a page, and says what came of it.
fn watch(browser: &str, page: &Page, path: &Path, seek: Option<f64>) -> Recorded {
    let seen = page.watch_recording(path, seek);
    eprintln!(
        "{browser}: {:?} s, {} pictures to {:.3} s, {:.3} s of sound, apart {:.1?} ms",
        seen.duration,
        seen.frames.len(),
        seen.end,
        seen.sound,
        apart(&seen)
    );
    seen
}

/// How far the picture is late behind the sound, beep by beep, in milliseconds: a beep sounds as the wall
/// clock's second begins, and each picture says what that clock read.
fn apart(seen: &Recorded) -> Vec<f64> {
    // Of two times that are known within a second only.
    let between = |time: f64, other: f64| (time - other + 0.5).rem_euclid(1.0) - 0.5;
    let Some((first, _, second)) = seen.frames.first() else {
        return Vec::new();
    };
    let whole = first - second;
    let frames = seen.frames.iter();
    let mut late: Vec<_> = frames
        .map(|(time, _, second)| between(time - second, whole))
        .collect();
    late.sort_by(f64::total_cmp);
    let picture = whole + late[late.len() / 2];
    let beeps = seen.beeps.iter();
    beeps.map(|beep| between(picture, *beep) * 1e3).collect()
}

/// Numbered pictures at their times, the sound to them, and both in step.
fn assert_intact(browser: &str, seen: &Recorded) {
    assert_eq!(seen.size, (640, 360), "{browser}");
    // Not every picture: a busy machine reads them slower than they come.
    let read = seen.frames.len();
    assert!(
        seen.end > 2.5 && read as f64 > seen.end * 8.0,
        "{browser} read {read} pictures in {} s",
        seen.end
    );
    assert!(seen.unreadable * 20 <= read as u64, "{browser}: {seen:?}");
    let first = seen.frames[0];
    let misplaced = seen.frames.iter().filter(|(time, number, _)| {
        let due = f64::from(number.wrapping_sub(first.1)) / 30.0;
        (time - first.0 - due).abs() > 0.04
    });
    // A busy machine may show the next picture by the time that one is read.
    let misplaced = misplaced.count();
    assert!(
        misplaced * 10 <= seen.frames.len(),
        "{browser}: {misplaced}: {seen:?}"
    );
    let apart = apart(seen);
    assert!(apart.len() >= 2, "{browser}: {seen:?}");
    // Firefox tells of a picture while it still shows the one before, 33 ms earlier.
    assert!(
        apart.iter().all(|ms| (-25.0..60.0).contains(ms)),
        "{browser}: {apart:?} ms"
    );
    assert!((seen.sound - seen.end).abs() < 0.15, "{browser}: {seen:?}");
}

#[test]
fn browsers_play_a_recording_with_picture_and_sound_in_step_and_seek_in_it() {
    let recording = Recording::whole();
    in_both(|browser, page| {
        let seen = watch(browser, page, &recording.path(), Some(2.5));
        assert_intact(browser, &seen);
        let duration = seen.duration.expect("a whole file says how long it is");
        assert!((3.5..4.6).contains(&duration), "{browser}: {duration} s");
        assert!((duration - seen.end).abs() < 0.1, "{browser}: {seen:?}");
        let (time, number) = seen.sought.expect("there is a picture at 2.5 s");
        assert!((time - 2.5).abs() < 0.1, "{browser}: {time} s");
        let (first, first_number, _) = seen.frames[0];
        let due = f64::from(number.wrapping_sub(first_number)) / 30.0;
        assert!((time - first - due).abs() < 0.04, "{browser}: {seen:?}");
    });
}

#[test]
fn browsers_play_what_was_recorded_before_a_kill() {
    let recording = Recording::cut_off();
    in_both(|browser, page| {
        assert_intact(browser, &watch(browser, page, &recording.path(), None));
    });
}

/// Two seconds of changing colours and of a tone, by the browser's own recorder: the bytes of its WebM.
const RECORD: &str = r#"(async () => {
  const canvas = document.body.appendChild(document.createElement("canvas"));
  const context = canvas.getContext("2d");
  const audio = new AudioContext();
  const oscillator = audio.createOscillator(), destination = audio.createMediaStreamDestination();
  oscillator.connect(destination);
  oscillator.start();
  let drawn = 0;
  const drawing = setInterval(() => {
    context.fillStyle = `hsl(${(drawn += 7)} 90% 50%)`;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }, 40);
  const stream = new MediaStream([...canvas.captureStream().getTracks(), ...destination.stream.getTracks()]);
  const recorder = new MediaRecorder(stream, { mimeType: "video/webm;codecs=vp8,opus" });
  const blobs = [];
  recorder.ondataavailable = ({ data }) => blobs.push(data);
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start(500);
  setTimeout(() => recorder.stop(), 2000);
  await stopped;
  clearInterval(drawing);
  await audio.close();
  return [...new Uint8Array(await new Blob(blobs).arrayBuffer())];
})()"#;

#[test]
fn what_browsers_record_is_played_to_its_end() {
    in_both(|browser, page| {
        let bytes = page.eval(RECORD);
        let bytes = bytes.as_array().expect("a list of bytes").iter();
        let bytes: Vec<u8> = bytes
            .filter_map(|byte| byte.as_u64()?.try_into().ok())
            .collect();
        let theirs = Recording::nowhere();
        let path = theirs.folder.path().join("theirs.webm");
        std::fs::write(&path, bytes).expect("there is room for it");
        let played = format!("once:{}", path.display());
        let ours = theirs.path().display().to_string();
        let words = [
            "record",
            &ours,
            "--camera",
            &played,
            "--microphone",
            &played,
        ];
        let ended = Program::start(words).finish(PATIENCE);
        assert!(ended.status.success(), "{}", ended.said);
        let (_, told) = ended.said.rsplit_once("talk.webm: ").expect("a summary");
        let number = |before: &str| -> f64 {
            let (number, _) = told.split_once(before).expect("it is told");
            let number = number.rsplit(' ').next().unwrap_or_default();
            number.parse().expect("a number")
        };
        eprintln!("{browser}: {told}");
        assert!((1.5..2.6).contains(&number(" s, ")), "{browser}: {told}");
        assert!(number(" pictures") > 15.0, "{browser}: {told}");
    });
}
