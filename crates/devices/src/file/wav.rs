//! WAV files.

use super::limited::{Allowance, Limited};
use super::{FileError, Footage, Repeat, open, play};
use crate::resample::{Reframer, SAMPLE_RATE};
use duet_media::{
    AudioFrame, Clock, Frame, MediaKind, MediaStreamTrack, MediaTime, MediaTrackSettings,
};
use hound::{SampleFormat, WavReader, WavSpec};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

/// Plays a WAV file (PCM of 8, 16, 24 or 32 bits, or 32-bit float; 8 to 384 kHz) as a microphone,
/// until the last track stops or, if it is played but once, until it is over. It is brought to 48 kHz;
/// more than two channels are mixed into two.
///
/// # Errors
/// [`FileError`]; nothing was started.
pub fn open_audio(
    path: &Path,
    clock: Arc<dyn Clock>,
    repeat: Repeat,
) -> Result<MediaStreamTrack, FileError> {
    let unsupported = |reason: String| FileError::Unsupported {
        path: path.into(),
        reason,
    };
    let allowance = Allowance::of(MAX_HEAD);
    let file = Limited {
        file: open(path)?.into_inner(),
        allowance: allowance.clone(),
    };
    let reader = WavReader::new(BufReader::with_capacity(1 << 16, file));
    let reader = reader.map_err(|error| match error {
        _ if allowance.is_used_up() => FileError::Header {
            path: path.into(),
            offset: MAX_HEAD,
            reason: "no sound has begun by here".into(),
        },
        // Without a system's number it is the reader's own, who came to the end too soon.
        hound::Error::IoError(source) if source.raw_os_error().is_some() => {
            FileError::io(path, source)
        }
        hound::Error::Unsupported => unsupported("this kind of WAV file is not supported".into()),
        hound::Error::FormatError(reason) if !reason.contains("RIFF") => FileError::Header {
            path: path.into(),
            offset: 0,
            reason: reason.into(),
        },
        _ => FileError::Format {
            path: path.into(),
            expected: "WAV",
        },
    })?;
    allowance.lift();
    let spec = reader.spec();
    let sane = match spec.sample_format {
        SampleFormat::Float => spec.bits_per_sample == 32,
        SampleFormat::Int => matches!(spec.bits_per_sample, 8 | 16 | 24 | 32),
    };
    if !sane {
        return Err(unsupported(format!(
            "{} bits a sample are not supported, only 8, 16, 24, 32 and 32-bit float",
            spec.bits_per_sample
        )));
    }
    let reframer = Reframer::new(spec.sample_rate, spec.channels)
        .map_err(|error| unsupported(error.to_string()))?;
    if reader.duration() == 0 {
        return Err(FileError::Empty { path: path.into() });
    }
    let settings = MediaTrackSettings {
        sample_rate: Some(SAMPLE_RATE),
        channel_count: Some(reframer.channels().into()),
        ..Default::default()
    };
    let sound = Sound {
        reader,
        spec,
        reframer,
        chunk: Vec::new(),
        position: 0,
        ready: VecDeque::new(),
    };
    let tracks = [(MediaKind::Audio, settings)];
    let mut played = play(path, &tracks, sound, clock, repeat)?;
    Ok(played.remove(0))
}

/// What may stand before the sound, in bytes: any tags and covers, and not a head without an end.
const MAX_HEAD: u64 = 16 << 20;

struct Sound {
    reader: WavReader<BufReader<Limited<File>>>,
    spec: WavSpec,
    reframer: Reframer,
    chunk: Vec<f32>,
    /// Samples of each channel that were read, in all passes.
    position: u64,
    ready: VecDeque<AudioFrame>,
}

impl Footage for Sound {
    fn next(&mut self) -> io::Result<Option<(usize, Frame)>> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Ok(Some((0, frame.into())));
            }
            if !self.read() {
                return Ok(None);
            }
            let rate = u128::from(self.spec.sample_rate);
            let nanos = u128::from(self.position) * 1_000_000_000 / rate;
            let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
            self.position += (self.chunk.len() / usize::from(self.spec.channels)) as u64;
            let ready = &mut self.ready;
            self.reframer
                .push(&self.chunk, MediaTime::from_nanos(nanos), |frame| {
                    ready.push_back(frame);
                });
        }
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.reader.seek(0)
    }
}

impl Sound {
    /// Fills the chunk with about 10 ms. False at the end.
    fn read(&mut self) -> bool {
        let channels = usize::from(self.spec.channels);
        let wanted = (self.spec.sample_rate / 100).max(1) as usize * channels;
        self.chunk.clear();
        match self.spec.sample_format {
            SampleFormat::Float => {
                let samples = self
                    .reader
                    .samples::<f32>()
                    .take(wanted)
                    .map_while(Result::ok);
                // A file may hold anything, infinity too.
                let samples = samples.map(|s| {
                    if s.is_finite() {
                        s.clamp(-1.0, 1.0)
                    } else {
                        0.0
                    }
                });
                self.chunk.extend(samples);
            }
            SampleFormat::Int => {
                let scale = 1.0 / (1u64 << (self.spec.bits_per_sample - 1)) as f32;
                let samples = self
                    .reader
                    .samples::<i32>()
                    .take(wanted)
                    .map_while(Result::ok);
                self.chunk.extend(samples.map(|s| s as f32 * scale));
            }
        }
        self.chunk.truncate(self.chunk.len() / channels * channels);
        !self.chunk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::hear;
    use crate::synthetic::marks::audio::Listener;
    use duet_media::{AudioBuffer, FrameQueue, MonotonicClock, TrackState};
    use std::io::Write;
    use std::time::Duration;

    fn spec(rate: u32, channels: u16, bits: u16, format: SampleFormat) -> WavSpec {
        WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: bits,
            sample_format: format,
        }
    }

    /// One second of the synthetic microphone: half of it, the beep, half of it.
    fn clip(spec: WavSpec) -> tempfile::TempPath {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut sound =
            AudioBuffer::new(spec.sample_rate, spec.channels, spec.sample_rate as usize);
        hear(Duration::from_millis(1_600_000_000_500), &mut sound);
        let mut writer = hound::WavWriter::new(file.as_file(), spec).unwrap();
        for sample in sound.samples() {
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(*sample).unwrap(),
                SampleFormat::Int => {
                    let full = ((1u64 << (spec.bits_per_sample - 1)) - 1) as f32;
                    writer.write_sample((sample * full) as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        file.into_temp_path()
    }

    fn play(path: &Path) -> Result<MediaStreamTrack, FileError> {
        open_audio(path, Arc::new(MonotonicClock::new()), Repeat::Forever)
    }

    #[test]
    fn every_format_is_played_in_a_loop_in_time_and_in_tune() {
        let tracks: Vec<_> = [
            spec(48_000, 1, 16, SampleFormat::Int),
            spec(44_100, 2, 24, SampleFormat::Int),
            spec(8_000, 1, 8, SampleFormat::Int),
            spec(96_000, 6, 32, SampleFormat::Int),
            spec(22_050, 2, 32, SampleFormat::Float),
        ]
        .into_iter()
        .map(|spec| {
            let path = clip(spec);
            let track = play(&path).unwrap();
            let queue = Arc::new(FrameQueue::new(400));
            let sink = track.add_sink(queue.clone());
            (spec, path, track, queue, sink)
        })
        .collect();
        for (spec, _path, track, queue, _sink) in tracks {
            let mut listener = Listener::new();
            let mut beeps = Vec::new();
            let mut pitches = Vec::new();
            for n in 0..220 {
                let Some(Frame::Audio(frame)) = queue.pop_timeout(Duration::from_secs(10)) else {
                    panic!("no sound of {spec:?}");
                };
                let channels = spec.channels.min(2);
                assert_eq!(
                    (frame.buffer.frames(), frame.buffer.channels()),
                    (480, channels)
                );
                beeps.extend(listener.hear(&frame.buffer, frame.capture_time));
                // Not where the clip's ends meet, nor at the beep.
                if n % 100 == 90 {
                    pitches.extend(listener.pitch_hz());
                }
            }
            assert_eq!(beeps.len(), 2, "{spec:?}");
            let apart = beeps[1].onset.nanos_since(beeps[0].onset) - 1_000_000_000;
            assert!(
                apart.abs() < 2_000_000,
                "{spec:?}: {apart} ns from a second"
            );
            assert_eq!(pitches.len(), 2, "{spec:?}");
            assert!(
                pitches.iter().all(|hz| (hz / 246.94 - 1.0).abs() < 0.02),
                "{spec:?}: {pitches:?}"
            );
            assert_eq!(track.get_settings().sample_rate, Some(48_000));
        }
    }

    #[test]
    fn what_is_no_wav_file_is_refused_with_a_sentence() {
        let message = |bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            let error = play(file.path()).unwrap_err().to_string();
            error.replace(&file.path().display().to_string(), "FILE")
        };
        assert_eq!(message(b""), "FILE is not a WAV file");
        assert_eq!(message(b"YUV4MPEG2 W2 H2\n"), "FILE is not a WAV file");
        assert_eq!(message(b"RIFF\0\0\0\0WAVE"), "FILE is not a WAV file");
        let good = std::fs::read(clip(spec(8_000, 1, 16, SampleFormat::Int))).unwrap();
        let with = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            message(&bad)
        };
        // No channels, four billion samples a second, nine bits, no data.
        assert!(
            with(22, &[0, 0]).starts_with("FILE"),
            "{}",
            with(22, &[0, 0])
        );
        assert!(with(24, &[0xff; 8]).starts_with("FILE"));
        assert!(with(34, &[9, 0]).starts_with("FILE"));
        assert_eq!(with(40, &[0; 4]), "FILE holds no whole frame");
        assert!(matches!(
            play(Path::new("/nowhere/at.all")),
            Err(FileError::Io { .. })
        ));
    }

    #[test]
    fn a_head_without_an_end_is_refused_and_tags_before_the_sound_are_not() {
        let good = std::fs::read(clip(spec(8_000, 1, 16, SampleFormat::Int))).unwrap();
        let (riff, rest) = good.split_at(12);
        let mut tagged = tempfile::NamedTempFile::new().unwrap();
        let tags = [b"LIST\x00\x00\x10\x00".as_slice(), &[0; 1 << 20]].concat();
        tagged.write_all(&[riff, &tags, rest].concat()).unwrap();
        play(tagged.path()).unwrap().stop();
        // Empty chunks, one after the other, through a terabyte; and one that says it is 4 GiB long.
        for chunk in [b"\0\0\0\0\0\0\0\0", b"junk\xff\xff\xff\xff"] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&[riff, chunk].concat()).unwrap();
            file.as_file().set_len(1 << 40).unwrap();
            let error = play(file.path()).unwrap_err().to_string();
            assert!(
                error.ends_with("byte 16777216: no sound has begun by here"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_clip_that_is_played_once_ends_its_track_when_it_is_over() {
        let path = clip(spec(8_000, 1, 16, SampleFormat::Int));
        let track = open_audio(&path, Arc::new(MonotonicClock::new()), Repeat::Once).unwrap();
        let queue = Arc::new(FrameQueue::new(200));
        let _sink = track.add_sink(queue.clone());
        let mut times = Vec::new();
        while let Some(frame) = queue.pop_timeout(Duration::from_secs(10)) {
            times.push(frame.capture_time());
        }
        assert!(queue.is_ended() && track.ready_state() == TrackState::Ended);
        // A second; the first may have sounded before anybody listened.
        assert!((95..=100).contains(&times.len()), "{}", times.len());
        for pair in times.windows(2) {
            let off = pair[1].nanos_since(pair[0]) - 10_000_000;
            assert!(off.abs() < 1_000, "{off} ns off");
        }
    }

    #[test]
    fn a_damaged_header_is_an_error_or_sound_and_never_a_panic() {
        let good = std::fs::read(clip(spec(8_000, 2, 16, SampleFormat::Int))).unwrap();
        let mut seed = 5u32;
        for _ in 0..500 {
            let mut bad = good[..200].to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bad[(seed >> 8) as usize % 60] = seed as u8;
            }
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&bad).unwrap();
            if let Ok(track) = play(file.path()) {
                track.stop();
            }
        }
    }
}
