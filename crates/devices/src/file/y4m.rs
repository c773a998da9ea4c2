//! YUV4MPEG2, the simplest of all video files: a line of text, then for each picture a line of text
//! and the planes as they are. See the [description](https://wiki.multimedia.cx/index.php/YUV4MPEG2).

use super::{FileError, Footage, Repeat, Stream, open, play};
use crate::convert::{self, i420_len};
use duet_media::{
    Clock, Frame, I420Buffer, MediaKind, MediaStreamTrack, MediaTime, MediaTrackSettings, Pool,
    VideoFrame,
};
use std::io::{self, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Plays a Y4M file (8 bits, 4:2:0) as a camera, until the last track stops or, if it is played but
/// once, until it is over.
///
/// # Errors
/// [`FileError`]; nothing was started.
pub fn open_video(
    path: &Path,
    clock: Arc<dyn Clock>,
    repeat: Repeat,
) -> Result<MediaStreamTrack, FileError> {
    let mut reader = Reader::new(open(path)?, path)?;
    let header = reader.header;
    // The first picture shows whether there is any.
    let pool = Pool::<I420Buffer>::new(POOLED);
    let first = pool.try_fill(|to| reader.read(to)).map_err(|e| match e {
        Trouble::End => FileError::Empty { path: path.into() },
        Trouble::Io(source) => FileError::io(path, source),
        Trouble::NotAFrame => FileError::Header {
            path: path.into(),
            offset: header.len,
            reason: "expected the word FRAME".into(),
        },
    })?;
    let pictures = Pictures {
        reader,
        pool,
        first: Some(first),
        shown: 0,
    };
    let tracks = [(MediaKind::Video, header.settings())];
    let mut played = play(path, &tracks, pictures, clock, repeat)?;
    Ok(played.remove(0))
}

/// Pictures on their way that need no new allocation.
const POOLED: usize = 6;
/// The longest line of text, in bytes.
const MAX_LINE: usize = 512;
const MAGIC: &[u8] = b"YUV4MPEG2";

/// What the first line says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    /// Frames a second, as a fraction.
    rate: (u32, u32),
    full_range: bool,
    /// Of the line, in bytes, its end included: where the first picture is.
    len: u64,
}

impl Header {
    const MAX_FRAME_RATE: f64 = 240.0;

    fn frame_rate(&self) -> f64 {
        f64::from(self.rate.0) / f64::from(self.rate.1)
    }

    fn settings(&self) -> MediaTrackSettings {
        MediaTrackSettings {
            width: Some(self.width),
            height: Some(self.height),
            frame_rate: Some(self.frame_rate()),
            ..Default::default()
        }
    }

    /// When picture number `n` is due, from the first one's time on.
    fn time(&self, n: u64) -> Duration {
        let nanos = u128::from(n) * u128::from(self.rate.1) * 1_000_000_000;
        let nanos = nanos / u128::from(self.rate.0.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn parse(line: &[u8], path: &Path) -> Result<Header, FileError> {
        let mut fields = line.split(|&b| b == b' ');
        if fields.next() != Some(MAGIC) {
            return Err(FileError::Format {
                path: path.into(),
                expected: "Y4M",
            });
        }
        let (mut width, mut height, mut rate, mut full_range) = (0, 0, (25, 1), false);
        let mut offset = MAGIC.len() as u64 + 1;
        for field in fields {
            let text = String::from_utf8_lossy(field);
            let wrong = |expected: String| FileError::Header {
                path: path.into(),
                offset,
                reason: format!("\"{text}\": expected {expected}"),
            };
            let size = || {
                let number = text[1..].parse::<u32>().ok();
                let sane = number.filter(|n| (1..=convert::MAX_SIZE).contains(n));
                sane.ok_or_else(|| wrong(format!("1 to {} pixels", convert::MAX_SIZE)))
            };
            match field.first() {
                Some(b'W') => width = size()?,
                Some(b'H') => height = size()?,
                Some(b'F') => {
                    let parts = text[1..].split_once(':');
                    let parts = parts.and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)));
                    rate = match parts {
                        // Unknown, as some tools write it.
                        Some((0, 0)) => (25, 1),
                        Some((n, d)) if (1..=10_000_000).contains(&n) && d > 0 => (n, d),
                        _ => return Err(wrong("a frame rate such as F30:1".into())),
                    };
                    let per_second = f64::from(rate.0) / f64::from(rate.1);
                    if !(0.01..=Self::MAX_FRAME_RATE).contains(&per_second) {
                        return Err(wrong("0.01 to 240 frames a second".into()));
                    }
                }
                Some(b'C') => {
                    let supported = matches!(
                        &field[1..],
                        b"420" | b"420jpeg" | b"420paldv" | b"420mpeg2" | b"420mpeg1"
                    );
                    if !supported {
                        return Err(FileError::Unsupported {
                            path: path.into(),
                            reason: format!(
                                "colour space {text} is not supported, only 8-bit 4:2:0; \
                                 convert it with: ffmpeg -i FILE -pix_fmt yuv420p OUT.y4m"
                            ),
                        });
                    }
                }
                Some(b'X') if field == b"XCOLORRANGE=FULL" => full_range = true,
                _ => {}
            }
            offset += field.len() as u64 + 1;
        }
        for (size, letter) in [(width, "W"), (height, "H")] {
            if size == 0 {
                return Err(FileError::Header {
                    path: path.into(),
                    offset: 0,
                    reason: format!("the first line has no {letter}: the size is missing"),
                });
            }
        }
        Ok(Header {
            width,
            height,
            rate,
            full_range,
            len: line.len() as u64 + 1,
        })
    }
}

enum Trouble {
    /// Nothing more, or less than a whole picture.
    End,
    NotAFrame,
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Trouble::End,
            _ => Trouble::Io(error),
        }
    }
}

struct Reader<R> {
    stream: R,
    header: Header,
    line: Vec<u8>,
}

impl<R: Stream> Reader<R> {
    fn new(mut stream: R, path: &Path) -> Result<Self, FileError> {
        let mut line = Vec::new();
        read_line(&mut stream, &mut line).map_err(|e| match e {
            Trouble::Io(source) => FileError::io(path, source),
            Trouble::End | Trouble::NotAFrame => FileError::Format {
                path: path.into(),
                expected: "Y4M",
            },
        })?;
        let header = Header::parse(&line, path)?;
        let io = |source| FileError::io(path, source);
        let end = stream.seek(SeekFrom::End(0)).map_err(io)?;
        let frame = i420_len(header.width as usize, header.height as usize) as u64;
        if end < header.len + b"FRAME\n".len() as u64 + frame {
            return Err(FileError::Empty { path: path.into() });
        }
        stream.seek(SeekFrom::Start(header.len)).map_err(io)?;
        Ok(Reader {
            stream,
            header,
            line,
        })
    }

    fn read(&mut self, to: &mut I420Buffer) -> Result<(), Trouble> {
        read_line(&mut self.stream, &mut self.line)?;
        if !self.line.starts_with(b"FRAME") {
            return Err(Trouble::NotAFrame);
        }
        to.resize(self.header.width, self.header.height);
        self.stream.read_exact(to.as_bytes_mut())?;
        if self.header.full_range {
            convert::limit_range(to);
        }
        Ok(())
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.stream.seek(SeekFrom::Start(self.header.len)).map(drop)
    }
}

/// A line without its end. One that is too long is no header.
fn read_line(stream: &mut impl io::Read, line: &mut Vec<u8>) -> Result<(), Trouble> {
    line.clear();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        match byte {
            [b'\n'] => return Ok(()),
            _ if line.len() == MAX_LINE => return Err(Trouble::NotAFrame),
            [other] => line.push(other),
        }
    }
}

struct Pictures<R> {
    reader: Reader<R>,
    pool: Pool<I420Buffer>,
    /// Read already, when the file was opened.
    first: Option<Arc<I420Buffer>>,
    /// Counts on through all passes.
    shown: u64,
}

impl<R: Stream> Footage for Pictures<R> {
    fn next(&mut self) -> io::Result<Option<(usize, Frame)>> {
        let reader = &mut self.reader;
        let picture = match self.first.take() {
            Some(first) => first,
            None => match self.pool.try_fill(|to| reader.read(to)) {
                Ok(picture) => picture,
                // Whatever stands behind the last whole picture is not played.
                Err(Trouble::End | Trouble::NotAFrame) => return Ok(None),
                Err(Trouble::Io(error)) => return Err(error),
            },
        };
        let time = MediaTime::ZERO + reader.header.time(self.shown);
        self.shown += 1;
        Ok(Some((0, VideoFrame::new(picture, time).into())))
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.reader.rewind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{marks, render};
    use duet_media::{FrameQueue, MonotonicClock, TrackEvent, TrackState};
    use std::io::Write;
    use std::sync::mpsc;

    fn clip(header: &str, frames: u32, tail: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{header}").unwrap();
        let mut picture = I420Buffer::default();
        for n in 0..frames {
            render(
                n,
                Duration::from_millis(u64::from(n) * 20),
                false,
                80,
                36,
                &mut picture,
            );
            file.write_all(b"FRAME Ip\n").unwrap();
            file.write_all(picture.as_bytes()).unwrap();
        }
        file.write_all(tail).unwrap();
        file
    }

    fn play(path: &Path) -> Result<MediaStreamTrack, FileError> {
        open_video(path, Arc::new(MonotonicClock::new()), Repeat::Forever)
    }

    #[test]
    fn a_clip_is_played_in_a_loop_at_its_own_speed() {
        let file = clip(
            "YUV4MPEG2 W80 H36 F50:1 Ip A1:1 C420jpeg XYSCSS=420JPEG",
            4,
            b"FRAME\nhalf",
        );
        let track = play(file.path()).unwrap();
        let queue = Arc::new(FrameQueue::new(16));
        let _sink = track.add_sink(queue.clone());
        let frames: Vec<_> = (0..10)
            .map(|_| match queue.pop_timeout(Duration::from_secs(10)) {
                Some(Frame::Video(frame)) => frame,
                other => panic!("{other:?}"),
            })
            .collect();
        let numbers = frames
            .iter()
            .map(|f| marks::read(&f.buffer).unwrap().frame_number);
        let numbers: Vec<_> = numbers.collect();
        assert!(
            numbers.windows(2).all(|w| w[1] == (w[0] + 1) % 4),
            "{numbers:?}"
        );
        for pair in frames.windows(2) {
            let gap = pair[1].capture_time.nanos_since(pair[0].capture_time);
            assert!(gap == 20_000_000 || gap > 500_000_000, "{gap} ns");
        }
        assert_eq!(track.get_settings().frame_rate, Some(50.0));
        assert_eq!(track.get_capabilities().width.unwrap().max, 80);
        track.stop();
        assert_eq!(track.ready_state(), TrackState::Ended);
    }

    #[test]
    fn a_clip_that_is_played_once_ends_its_track() {
        let file = clip("YUV4MPEG2 W80 H36 F10:1", 3, b"");
        let track = open_video(file.path(), Arc::new(MonotonicClock::new()), Repeat::Once).unwrap();
        let queue = Arc::new(FrameQueue::new(16));
        let _sink = track.add_sink(queue.clone());
        let (ended, fired) = mpsc::channel();
        let _subscription = track.subscribe(move |event| ended.send(*event).unwrap());
        let limit = Duration::from_secs(10);
        assert_eq!(fired.recv_timeout(limit), Ok(TrackEvent::Ended));
        assert_eq!(track.ready_state(), TrackState::Ended);
        let times = std::iter::from_fn(|| queue.try_pop()).map(|frame| frame.capture_time());
        let times: Vec<_> = times.collect();
        // The first may have been shown before anybody looked.
        assert!((2..=3).contains(&times.len()), "{times:?}");
        assert!(
            times
                .windows(2)
                .all(|w| w[1].nanos_since(w[0]) == 100_000_000)
        );
    }

    #[test]
    fn full_range_is_brought_into_the_limited_one() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(
            b"YUV4MPEG2 W2 H2 C420jpeg XCOLORRANGE=FULL\nFRAME\n\xff\xff\x00\x00\x80\x80",
        )
        .unwrap();
        let mut reader = Reader::new(open(file.path()).unwrap(), file.path()).unwrap();
        let mut picture = I420Buffer::default();
        assert!(reader.read(&mut picture).is_ok());
        assert_eq!(picture.as_bytes(), [235, 235, 16, 16, 128, 128]);
    }

    #[test]
    fn hostile_headers_are_refused_with_what_and_where() {
        let message = |header: &str, frames| {
            let file = clip(header, frames, b"");
            let error = play(file.path()).unwrap_err().to_string();
            error.replace(&file.path().display().to_string(), "FILE")
        };
        for (header, expected) in [
            ("RIFF", "FILE is not a Y4M file"),
            ("YUV4MPEG2X W80 H36", "FILE is not a Y4M file"),
            (
                "YUV4MPEG2 W80",
                "FILE, byte 0: the first line has no H: the size is missing",
            ),
            (
                "YUV4MPEG2 W80 H4294967295",
                "FILE, byte 14: \"H4294967295\": expected 1 to 8192 pixels",
            ),
            (
                "YUV4MPEG2 W16384 H16384",
                "FILE, byte 10: \"W16384\": expected 1 to 8192 pixels",
            ),
            (
                "YUV4MPEG2 W-1 H2",
                "FILE, byte 10: \"W-1\": expected 1 to 8192 pixels",
            ),
            (
                "YUV4MPEG2 W80 H36 F0:1",
                "FILE, byte 18: \"F0:1\": expected a frame rate such as F30:1",
            ),
            (
                "YUV4MPEG2 W80 H36 F1000:1",
                "FILE, byte 18: \"F1000:1\": expected 0.01 to 240 frames a second",
            ),
            ("YUV4MPEG2 W8192 H8192", "FILE holds no whole frame"),
        ] {
            assert_eq!(message(header, 1), expected);
        }
        assert!(message("YUV4MPEG2 W80 H36 Cmono", 1).contains("Cmono is not supported"));
        assert!(message("YUV4MPEG2 W80 H36 C444p10", 1).contains("C444p10 is not supported"));
        assert_eq!(message("YUV4MPEG2 W80 H36", 0), "FILE holds no whole frame");
        let endless = "YUV4MPEG2 ".to_string() + &"X ".repeat(1_000);
        assert_eq!(message(&endless, 1), "FILE is not a Y4M file");
        let mut tail = [b'x'; 9_000];
        tail[8] = b'\n';
        let wrong = play(clip("YUV4MPEG2 W80 H36", 0, &tail).path()).unwrap_err();
        assert!(
            wrong
                .to_string()
                .ends_with("byte 18: expected the word FRAME"),
            "{wrong}"
        );
        assert!(matches!(
            play(Path::new("/nowhere/at.all")),
            Err(FileError::Io { .. })
        ));
        assert!(matches!(play(Path::new("/")), Err(FileError::Io { .. })));
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe.y4m");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        assert!(matches!(play(&pipe), Err(FileError::Io { .. })));
    }
}
