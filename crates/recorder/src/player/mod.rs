//! Coded files as streams: WebM (VP8 and Opus), IVF (VP8) and Ogg Opus, with the times that they were
//! recorded with.
//!
//! What this module deliberately is not: it keeps no pace (`duet_devices::file` does, for all files)
//! and does not seek. A file is read from its beginning on, as a stream would be: one that was cut off,
//! or is being written still, plays up to there.
//!
//! A file is not trusted. What it says is checked before memory is taken for it: a packet has 16 MiB
//! at most, and a head too; a picture 4096x4096 pixels; what is too far apart in time ends it.

mod container;
mod ivf;
mod ogg_webm;
mod sound;

use container::{Codec, Container, Packet, TrackInfo};
use duet_codec::{VideoCodec, VideoDecoder};
use duet_devices::file::{self, FileError, Footage, Repeat};
use duet_media::{Clock, Frame, MediaKind, MediaStream, MediaTime, MediaTrackSettings, VideoFrame};
use sound::SoundLane;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Packets that are read ahead for a track that lags behind in the file.
const MOST_PACKETS: usize = 1_024;
/// Their bytes, all together.
const MOST_BYTES: usize = 32 << 20;
/// Packets and bytes that may be read without anything to show for it; then nothing more will come.
const MOST_FRUITLESS: (usize, usize) = (10_000, 256 << 20);
/// A packet that is so much later than all before it is not waited for: the file is damaged.
const MAX_GAP: Duration = Duration::from_secs(600);
/// A file that begins later than this was cut out of something longer, and is not waited for.
const MAX_START: Duration = Duration::from_secs(1);
/// The largest picture, in pixels.
const MAX_PIXELS: u64 = 4096 * 4096;

/// Whether a file looks like one that [`play`] can play, by its first bytes.
///
/// # Errors
/// [`FileError::Io`] if it cannot be read.
pub fn is_coded(path: &Path) -> Result<bool, FileError> {
    let mut start = [0; 4];
    let mut file = file::open(path)?;
    match file.read_exact(&mut start) {
        Ok(()) => Ok(Format::of(start).is_some()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(source) => Err(FileError::Io {
            path: path.into(),
            source,
        }),
    }
}

/// Plays a file as a stream with a track for the first picture and one for the first sound in it, those
/// of them that it has.
///
/// # Errors
/// [`FileError`], which says what is wrong with the file; nothing was started.
pub fn play(path: &Path, clock: Arc<dyn Clock>, repeat: Repeat) -> Result<MediaStream, FileError> {
    let film = Film::open(path)?;
    let tracks = film.settings();
    let tracks = file::play(path, &tracks, film, clock, repeat)?;
    Ok(MediaStream::from_tracks(tracks))
}

/// The files that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    WebM,
    Ogg,
    Ivf,
}

impl Format {
    fn of(start: [u8; 4]) -> Option<Self> {
        match &start {
            [0x1A, 0x45, 0xDF, 0xA3] => Some(Format::WebM),
            b"OggS" => Some(Format::Ogg),
            b"DKIF" => Some(Format::Ivf),
            _ => None,
        }
    }

    fn read(self, file: BufReader<File>) -> Result<Box<dyn Container>, String> {
        match self {
            Format::WebM => ogg_webm::open_webm(file),
            Format::Ogg => ogg_webm::open_ogg(file),
            Format::Ivf => ivf::open(file),
        }
    }
}

/// A file's packets, decoded.
struct Film {
    file: File,
    format: Format,
    container: Box<dyn Container>,
    lanes: Vec<Lane>,
    /// Nothing more can be read in this pass.
    over: bool,
    /// When this pass begins, and where the frames end that were shown so far.
    pass: Duration,
    end: Duration,
    /// The newest packet's time, in this pass.
    newest: Duration,
    /// What is taken off the times that the file has.
    origin: Option<Duration>,
}

struct Lane {
    /// In the file.
    id: u32,
    packets: VecDeque<Packet>,
    decoder: Decoder,
    /// Decoded, and not shown yet.
    ready: VecDeque<Frame>,
    settings: MediaTrackSettings,
}

enum Decoder {
    Video {
        decoder: Box<dyn VideoDecoder>,
        last: Option<Duration>,
        /// Between the last two.
        interval: Duration,
    },
    Audio(SoundLane),
}

impl Film {
    fn open(path: &Path) -> Result<Self, FileError> {
        let mut reader = file::open(path)?;
        let io = |source| FileError::Io {
            path: path.into(),
            source,
        };
        let file = reader.get_ref().try_clone().map_err(io)?;
        let mut start = [0; 4];
        let read = reader.read_exact(&mut start).map(|()| Format::of(start));
        let Ok(Some(format)) = read else {
            return Err(FileError::Format {
                path: path.into(),
                expected: "WebM, Ogg or IVF",
            });
        };
        reader.rewind().map_err(io)?;
        let unsupported = |reason: String| FileError::Unsupported {
            path: path.into(),
            reason,
        };
        let container = format.read(reader).map_err(unsupported)?;
        let lanes = lanes(container.tracks()).map_err(unsupported)?;
        let mut film = Film {
            file,
            format,
            container,
            lanes,
            over: false,
            pass: Duration::ZERO,
            end: Duration::ZERO,
            newest: Duration::ZERO,
            origin: None,
        };
        // The first frames show whether there are any, and what they are like.
        film.prime();
        film.lanes.retain(|lane| !lane.ready.is_empty());
        match film.lanes.is_empty() {
            true => Err(FileError::Empty { path: path.into() }),
            false => Ok(film),
        }
    }

    fn settings(&self) -> Vec<(MediaKind, MediaTrackSettings)> {
        let lanes = self.lanes.iter();
        lanes
            .map(|lane| (lane.decoder.kind(), lane.settings.clone()))
            .collect()
    }

    /// Decodes until each track has something to show, as far as the limits allow.
    fn prime(&mut self) {
        let (mut packets, mut bytes) = (0, 0);
        while !self.over && self.lanes.iter().any(|lane| lane.ready.is_empty()) {
            for lane in &mut self.lanes {
                lane.decode(self.pass);
            }
            let hungry = self.lanes.iter().any(|lane| lane.ready.is_empty());
            if !hungry {
                break;
            }
            let full = self
                .lanes
                .iter()
                .any(|lane| lane.packets.len() >= MOST_PACKETS)
                || self.waiting() >= MOST_BYTES;
            if full {
                break;
            }
            packets += 1;
            bytes += self.read();
            self.over |= packets > MOST_FRUITLESS.0 || bytes > MOST_FRUITLESS.1;
        }
        for lane in &mut self.lanes {
            lane.decode(self.pass);
        }
    }

    /// Bytes that are read ahead.
    fn waiting(&self) -> usize {
        let packets = self.lanes.iter().flat_map(|lane| &lane.packets);
        packets.map(|packet| packet.data.len()).sum()
    }

    /// Reads a packet; how many bytes it has.
    fn read(&mut self) -> usize {
        let Some(mut packet) = self.container.next() else {
            self.over = true;
            return 0;
        };
        let bytes = packet.data.len();
        let begins = packet.shown();
        let origin = self.origin.get_or_insert(match begins > MAX_START {
            true => begins,
            false => Duration::ZERO,
        });
        packet.time = packet.time.saturating_sub(origin.as_nanos() as i64);
        let time = packet.shown();
        if time > self.newest + MAX_GAP {
            self.over = true;
            return bytes;
        }
        self.newest = self.newest.max(time);
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == packet.track) {
            lane.packets.push_back(packet);
        }
        bytes
    }

    /// The track whose next frame is the earliest.
    fn earliest(&self) -> Option<usize> {
        let heads = self.lanes.iter().enumerate();
        let heads = heads.filter_map(|(n, lane)| Some((n, lane.ready.front()?.capture_time())));
        heads.min_by_key(|(_, time)| *time).map(|(n, _)| n)
    }
}

impl Footage for Film {
    fn next(&mut self) -> io::Result<Option<(usize, Frame)>> {
        self.prime();
        let Some(track) = self.earliest() else {
            return Ok(None);
        };
        let lane = &mut self.lanes[track];
        let Some(frame) = lane.ready.pop_front() else {
            return Ok(None);
        };
        let time = Duration::from_nanos(frame.capture_time().as_nanos().unsigned_abs());
        self.end = self.end.max(time + lane.interval(&frame));
        Ok(Some((track, frame)))
    }

    fn rewind(&mut self) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        let read = self.format.read(BufReader::with_capacity(1 << 16, file));
        self.container = read.map_err(io::Error::other)?;
        self.over = false;
        self.newest = Duration::ZERO;
        self.pass = self.end;
        for lane in &mut self.lanes {
            lane.packets.clear();
            lane.decoder.begin();
        }
        Ok(())
    }
}

impl Lane {
    /// Decodes until there is a frame to show, or nothing left to decode.
    fn decode(&mut self, pass: Duration) {
        while self.ready.is_empty()
            && let Some(packet) = self.packets.pop_front()
        {
            match &mut self.decoder {
                Decoder::Audio(lane) => lane.decode(&packet, |time, buffer| {
                    self.ready
                        .push_back(duet_media::AudioFrame::new(buffer, at(pass + time)).into());
                }),
                Decoder::Video {
                    decoder,
                    last,
                    interval,
                } => {
                    // What is damaged is left out, until the next key frame; and so is a picture that
                    // would be shown before its predecessor.
                    let time = packet.shown();
                    if let Ok(Some(picture)) = decoder.decode(&packet.data)
                        && last.is_none_or(|last| time > last)
                    {
                        if let Some(last) = last.replace(time) {
                            *interval = time - last;
                        }
                        self.settings.width.get_or_insert(picture.width());
                        self.settings.height.get_or_insert(picture.height());
                        let frame = VideoFrame::new(picture, at(pass + time));
                        self.ready.push_back(frame.into());
                    }
                }
            }
        }
    }

    /// How long a frame is to be seen or heard.
    fn interval(&self, frame: &Frame) -> Duration {
        match (frame, &self.decoder) {
            (Frame::Video(_), Decoder::Video { interval, .. }) => *interval,
            (Frame::Audio(sound), _) => sound.buffer.duration(),
            _ => Duration::ZERO,
        }
    }
}

impl Decoder {
    fn kind(&self) -> MediaKind {
        match self {
            Decoder::Audio(_) => MediaKind::Audio,
            Decoder::Video { .. } => MediaKind::Video,
        }
    }

    /// The next packet is the file's first again.
    fn begin(&mut self) {
        match self {
            Decoder::Audio(lane) => lane.begin(),
            Decoder::Video { last, .. } => *last = None,
        }
    }
}

/// The tracks to be played, with the number that the file has for each.
fn lanes(tracks: &[TrackInfo]) -> Result<Vec<Lane>, String> {
    let mut lanes = Vec::<Lane>::new();
    for track in tracks {
        let (decoder, settings) = match track.codec {
            Codec::Vp8 {
                width,
                height,
                frame_rate,
            } => {
                if u64::from(width) * u64::from(height) > MAX_PIXELS {
                    return Err(format!(
                        "pictures of {width}x{height} are not supported, only up to 4096x4096 pixels"
                    ));
                }
                let decoder = VideoCodec::Vp8.decoder().map_err(|e| e.to_string())?;
                let settings = MediaTrackSettings {
                    frame_rate,
                    ..Default::default()
                };
                (
                    Decoder::Video {
                        decoder,
                        last: None,
                        interval: Duration::from_secs_f64(1.0 / frame_rate.unwrap_or(30.0)),
                    },
                    settings,
                )
            }
            Codec::Opus { channels, pre_skip } => {
                let lane = SoundLane::new(channels, pre_skip)?;
                let settings = lane.settings();
                (Decoder::Audio(lane), settings)
            }
            Codec::Other => continue,
        };
        if !lanes
            .iter()
            .any(|lane| lane.decoder.kind() == decoder.kind())
        {
            lanes.push(Lane {
                id: track.id,
                packets: VecDeque::new(),
                decoder,
                ready: VecDeque::new(),
                settings,
            });
        }
    }
    match lanes.is_empty() {
        true => Err("it has neither VP8 nor Opus in it; convert it with: \
                     ffmpeg -i FILE -c:v libvpx -c:a libopus OUT.webm"
            .into()),
        false => Ok(lanes),
    }
}

fn at(time: Duration) -> MediaTime {
    MediaTime::ZERO + time
}

#[cfg(test)]
mod tests;
