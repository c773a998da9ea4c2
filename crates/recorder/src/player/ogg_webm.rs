//! WebM and Ogg, read by Symphonia.
//!
//! It is shown a stream, not a file: then it looks for nothing at the end, and a file that was cut off
//! is as good as any. What it may read for one packet is limited from below, by [`Limited`]: so no
//! claim of a file's makes it take more memory.

use super::container::{Codec, Container, Packet, TrackInfo};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use symphonia_core::codecs::CodecParameters;
use symphonia_core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia_core::codecs::video::well_known::CODEC_ID_VP8;
use symphonia_core::errors::Error;
use symphonia_core::formats::{FormatOptions, FormatReader, Track};
use symphonia_core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia_core::units::TimeBase;
use symphonia_format_mkv::MkvReader;
use symphonia_format_ogg::OggReader;

/// What may be read to find the next packet, or the first: no more than that is taken for it.
const MOST_READ: u64 = 16 << 20;

pub(super) fn open_webm(
    file: impl Read + Send + Sync + 'static,
) -> Result<Box<dyn Container>, String> {
    let (stream, allowance) = stream(file);
    let reader = MkvReader::try_new(stream, FormatOptions::default()).map_err(sentence)?;
    Ok(Box::new(Symphonia::new(reader, allowance)))
}

pub(super) fn open_ogg(
    file: impl Read + Send + Sync + 'static,
) -> Result<Box<dyn Container>, String> {
    let (stream, allowance) = stream(file);
    let reader = OggReader::try_new(stream, FormatOptions::default()).map_err(sentence)?;
    Ok(Box::new(Symphonia::new(reader, allowance)))
}

fn stream(file: impl Read + Send + Sync + 'static) -> (MediaSourceStream<'static>, Arc<AtomicU64>) {
    let allowance = Arc::new(AtomicU64::new(MOST_READ));
    let source = Limited {
        file,
        allowance: allowance.clone(),
    };
    let options = MediaSourceStreamOptions::default();
    (MediaSourceStream::new(Box::new(source), options), allowance)
}

fn sentence(error: Error) -> String {
    match error {
        Error::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "its head is cut off".to_owned()
        }
        Error::IoError(error) => error.to_string(),
        Error::DecodeError(reason) | Error::LimitError(reason) => {
            format!("its head is damaged, or it is no such file: {reason}")
        }
        Error::Unsupported(reason) => format!("it has what is not supported: {reason}"),
        other => other.to_string(),
    }
}

/// A file as a stream, of which only so much may be read at a time.
struct Limited<R> {
    file: R,
    allowance: Arc<AtomicU64>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.load(Ordering::Relaxed);
        if left == 0 && !to.is_empty() {
            return Err(io::Error::other(
                "there is nothing to play in 16 MiB: it is damaged, or no such file",
            ));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(to.len());
        let read = self.file.read(&mut to[..most])?;
        self.allowance
            .store(left.saturating_sub(read as u64), Ordering::Relaxed);
        Ok(read)
    }
}

impl<R> Seek for Limited<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<R: Read + Send + Sync> MediaSource for Limited<R> {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

struct Symphonia<R> {
    reader: R,
    tracks: Vec<TrackInfo>,
    bases: Vec<(u32, TimeBase)>,
    allowance: Arc<AtomicU64>,
}

impl<R: FormatReader> Symphonia<R> {
    fn new(reader: R, allowance: Arc<AtomicU64>) -> Self {
        let tracks = reader.tracks();
        let bases = tracks
            .iter()
            .filter_map(|track| Some((track.id, track.time_base?)));
        Symphonia {
            bases: bases.collect(),
            tracks: tracks.iter().map(describe).collect(),
            reader,
            allowance,
        }
    }
}

impl<R: FormatReader + Send> Container for Symphonia<R> {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn next(&mut self) -> Option<Packet> {
        loop {
            self.allowance.store(MOST_READ, Ordering::Relaxed);
            let packet = match self.reader.next_packet() {
                Ok(packet) => packet?,
                // A block of a track that there is none of, and the like.
                Err(Error::DecodeError(reason)) => {
                    tracing::debug!(reason, "a packet was left out");
                    return None;
                }
                Err(_) => return None,
            };
            let base = self.bases.iter().find(|(id, _)| *id == packet.track_id);
            let Some((_, base)) = base else {
                continue;
            };
            let nanos = base
                .calc_time(packet.pts)
                .map_or(i128::MAX, |time| time.as_nanos());
            return Some(Packet {
                track: packet.track_id,
                time: i64::try_from(nanos).unwrap_or(i64::MAX),
                data: packet.data,
            });
        }
    }
}

fn describe(track: &Track) -> TrackInfo {
    let codec = match &track.codec_params {
        Some(CodecParameters::Video(video)) if video.codec == CODEC_ID_VP8 => Codec::Vp8 {
            width: video.width.unwrap_or(0).into(),
            height: video.height.unwrap_or(0).into(),
            frame_rate: None,
        },
        Some(CodecParameters::Audio(audio)) if audio.codec == CODEC_ID_OPUS => {
            let head = audio.extra_data.as_deref().unwrap_or_default();
            Codec::Opus {
                // RFC 7845, section 5.1. Without a head it is what WebRTC records.
                channels: head.get(9).copied().unwrap_or(2),
                pre_skip: match head.get(10..12) {
                    Some(&[low, high]) => u16::from_le_bytes([low, high]).into(),
                    _ => 0,
                },
            }
        }
        _ => Codec::Other,
    };
    TrackInfo {
        id: track.id,
        codec,
    }
}
