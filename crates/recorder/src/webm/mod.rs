//! WebM ([the container's guidelines](https://www.webmproject.org/docs/container/)), written as it
//! comes, for a file or for a stream.
//!
//! What this module deliberately is not: it reads nothing (a library does that, see `player`), puts
//! nothing in order (its caller does) and touches no file: bytes come out, and for a file that can be
//! written again at an earlier place, [`Patch`]es.
//!
//! The order of a file that was cut off is the order of a stream: sizes that are not known yet say so,
//! and every reader must take that. What a finished file has beyond that (sizes, duration, cues) is
//! patched in, in room that was left for it.

mod ebml;

use bytes::Bytes;
use ebml::{
    UNKNOWN_SIZE, id, put_binary, put_float, put_id, put_master, put_size, put_uint, put_void,
    put_wide_uint, wide_size,
};
use std::time::Duration;

/// A packet of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Which track, as an index into those that the [`Muxer`] was made with.
    pub(crate) track: usize,
    /// When it is to be played, from the beginning on; for sound, as if the codec had no delay.
    pub(crate) time: Duration,
    /// How long it lasts, as far as anybody knows.
    pub(crate) duration: Duration,
    /// Whether a decoder can begin with it.
    pub(crate) key_frame: bool,
    /// The bitstream.
    pub(crate) data: Bytes,
}

/// What a track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrackEntry {
    /// VP8. The size is what it begins with: key frames may bring another.
    Video {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Opus, of 1 or 2 channels.
    Audio {
        /// How many.
        channels: u8,
    },
}

/// Bytes that belong at an earlier place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// From the beginning of what was written.
    pub(crate) offset: u64,
    /// What is to be there.
    pub(crate) bytes: Vec<u8>,
}

/// Samples at 48 kHz by which libopus delays what it encodes: 2.5 ms of its own and 4 ms to line its
/// two halves up.
pub(crate) const OPUS_DELAY: u16 = 312;

/// Nanoseconds in a tick of the file's clock.
const TIMESTAMP_SCALE: u64 = 1_000_000;
/// A cluster without a key frame is not made longer than that.
const CLUSTER_MILLIS: u64 = 5_000;
/// How long the seek head is: three entries of 21 bytes.
const SEEK_HEAD_LEN: usize = 5 + 3 * 21;
/// How long a duration is.
const DURATION_LEN: usize = 11;
/// How many places to seek to are remembered. When there are more, every other one is forgotten.
const MAX_CUES: usize = 8_192;

/// Makes a WebM of blocks. Time must not go back within a track, and between tracks no further than
/// 30 s.
#[derive(Debug)]
pub(crate) struct Muxer {
    tracks: Vec<TrackEntry>,
    /// Bytes written.
    position: u64,
    layout: Layout,
    cluster: Option<Cluster>,
    cues: Vec<Cue>,
    /// One cue is kept of so many.
    cue_stride: usize,
    cues_seen: usize,
    /// Milliseconds at which the last block ends.
    end: u64,
    /// Milliseconds of the newest block of each track.
    newest: Vec<Option<u64>>,
}

/// Where what is to be patched is.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    /// The Segment's body, which positions are counted from.
    segment: u64,
    seek_head: u64,
    info: u64,
    duration: u64,
    tracks: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// Of its body.
    start: u64,
    /// In milliseconds.
    time: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cue {
    time: u64,
    track: usize,
    /// Of the cluster, from the Segment's body on.
    position: u64,
}

impl Muxer {
    /// A muxer of `tracks`, and appends the file's head to `out`.
    pub(crate) fn new(tracks: Vec<TrackEntry>, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        let at = |out: &Vec<u8>| (out.len() - start) as u64;
        put_master(out, id::EBML, |out| {
            put_uint(out, id::EBML_VERSION, 1);
            put_uint(out, id::EBML_READ_VERSION, 1);
            put_uint(out, id::EBML_MAX_ID_LENGTH, 4);
            put_uint(out, id::EBML_MAX_SIZE_LENGTH, 8);
            put_binary(out, id::DOC_TYPE, b"webm");
            // CodecDelay came with version 4; who knows version 2 can play it none the less.
            put_uint(out, id::DOC_TYPE_VERSION, 4);
            put_uint(out, id::DOC_TYPE_READ_VERSION, 2);
        });
        put_id(out, id::SEGMENT);
        out.extend_from_slice(&UNKNOWN_SIZE);
        let mut layout = Layout {
            segment: at(out),
            seek_head: at(out),
            ..Layout::default()
        };
        put_void(out, SEEK_HEAD_LEN);
        layout.info = at(out);
        put_master(out, id::INFO, |out| {
            put_uint(out, id::TIMESTAMP_SCALE, TIMESTAMP_SCALE);
            put_binary(out, id::MUXING_APP, b"duet");
            put_binary(
                out,
                id::WRITING_APP,
                concat!("duet ", env!("CARGO_PKG_VERSION")).as_bytes(),
            );
            put_void(out, DURATION_LEN);
        });
        layout.duration = at(out) - DURATION_LEN as u64;
        layout.tracks = at(out);
        put_master(out, id::TRACKS, |out| {
            for (number, track) in (1..).zip(&tracks) {
                put_master(out, id::TRACK_ENTRY, |out| put_track(out, number, track));
            }
        });
        Muxer {
            newest: vec![None; tracks.len()],
            tracks,
            position: at(out),
            layout,
            cluster: None,
            cues: Vec::new(),
            cue_stride: 1,
            cues_seen: 0,
            end: 0,
        }
    }

    /// Appends a block to `out`. With a new cluster comes the old one's size.
    pub(crate) fn write(&mut self, block: &Block, out: &mut Vec<u8>) -> Option<Patch> {
        let Some(entry) = self.tracks.get(block.track).copied() else {
            debug_assert!(false, "a block of track {}", block.track);
            return None;
        };
        let start = out.len();
        let time = self.tick(block);
        let patch = match self.cluster {
            Some(cluster) if !self.begins_cluster(&cluster, entry, block, time) => None,
            before => {
                let patch = before.map(|cluster| self.size_of(&cluster));
                self.open_cluster(entry, block, time, out);
                patch
            }
        };
        if let Some(cluster) = self.cluster {
            // In range: `begins_cluster` sees to it.
            let relative = time as i64 - cluster.time as i64;
            put_id(out, id::SIMPLE_BLOCK);
            put_size(out, block.data.len() as u64 + 4);
            // Track numbers have one byte up to 126, and there are never so many.
            out.push(0x80 | (block.track as u8 + 1));
            out.extend_from_slice(&(relative as i16).to_be_bytes());
            out.push(if block.key_frame { 0x80 } else { 0 });
            out.extend_from_slice(&block.data);
        }
        let lasts = u64::try_from(block.duration.as_millis()).unwrap_or(u64::MAX);
        self.end = self.end.max(time.saturating_add(lasts));
        self.position += (out.len() - start) as u64;
        patch
    }

    /// Appends the cues to `out`, for a file that can be patched; and what there is to patch. A stream
    /// has no end of its own: it just stops.
    pub(crate) fn finish(self, out: &mut Vec<u8>) -> Vec<Patch> {
        let mut patches = Vec::new();
        patches.extend(self.cluster.map(|cluster| self.size_of(&cluster)));
        let start = out.len();
        let cues = self.position - self.layout.segment;
        if !self.cues.is_empty() {
            put_master(out, id::CUES, |out| {
                for cue in &self.cues {
                    put_master(out, id::CUE_POINT, |out| {
                        put_uint(out, id::CUE_TIME, cue.time);
                        put_master(out, id::CUE_TRACK_POSITIONS, |out| {
                            put_uint(out, id::CUE_TRACK, cue.track as u64 + 1);
                            put_uint(out, id::CUE_CLUSTER_POSITION, cue.position);
                        });
                    });
                }
            });
        }
        let end = self.position + (out.len() - start) as u64;
        let Layout {
            segment,
            seek_head,
            info,
            duration,
            tracks,
        } = self.layout;
        patches.push(Patch {
            offset: segment - 8,
            bytes: wide_size(end - segment).into(),
        });
        let mut entries = vec![(id::INFO, info - segment), (id::TRACKS, tracks - segment)];
        if !self.cues.is_empty() {
            entries.push((id::CUES, cues));
        }
        let mut bytes = Vec::new();
        put_master(&mut bytes, id::SEEK_HEAD, |out| {
            for (target, position) in entries {
                put_master(out, id::SEEK, |out| {
                    put_binary(out, id::SEEK_ID, &target.to_be_bytes());
                    put_wide_uint(out, id::SEEK_POSITION, position);
                });
            }
        });
        let room = SEEK_HEAD_LEN - bytes.len();
        if room > 0 {
            put_void(&mut bytes, room);
        }
        patches.push(Patch {
            offset: seek_head,
            bytes,
        });
        let mut bytes = Vec::new();
        put_float(&mut bytes, id::DURATION, self.end as f64);
        patches.push(Patch {
            offset: duration,
            bytes,
        });
        patches
    }

    /// A block's time in milliseconds: that of its predecessor at least, and for pictures later, since
    /// two that are shown at the same time are one.
    fn tick(&mut self, block: &Block) -> u64 {
        let wanted =
            (block.time.as_nanos() + u128::from(TIMESTAMP_SCALE) / 2) / u128::from(TIMESTAMP_SCALE);
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let apart = match self.tracks[block.track] {
            TrackEntry::Video { .. } => 1,
            TrackEntry::Audio { .. } => 0,
        };
        let newest = &mut self.newest[block.track];
        let time = newest.map_or(wanted, |newest| wanted.max(newest + apart));
        *newest = Some(time);
        time
    }

    /// Each key frame of a picture begins a cluster, and a player that seeks begins with a cluster.
    fn begins_cluster(
        &self,
        cluster: &Cluster,
        entry: TrackEntry,
        block: &Block,
        time: u64,
    ) -> bool {
        let full = time >= cluster.time + CLUSTER_MILLIS;
        // Blocks are placed by 16 bits with a sign.
        let out_of_range = time + 32_000 < cluster.time;
        full || out_of_range || (matches!(entry, TrackEntry::Video { .. }) && block.key_frame)
    }

    fn open_cluster(&mut self, entry: TrackEntry, block: &Block, time: u64, out: &mut Vec<u8>) {
        let only_sound = self
            .tracks
            .iter()
            .all(|track| matches!(track, TrackEntry::Audio { .. }));
        let seekable = only_sound || matches!(entry, TrackEntry::Video { .. });
        if seekable && block.key_frame {
            self.remember(Cue {
                time,
                track: block.track,
                position: self.position - self.layout.segment,
            });
        }
        let start = out.len();
        put_id(out, id::CLUSTER);
        out.extend_from_slice(&UNKNOWN_SIZE);
        self.cluster = Some(Cluster {
            start: self.position + (out.len() - start) as u64,
            time,
        });
        put_uint(out, id::TIMESTAMP, time);
    }

    fn remember(&mut self, cue: Cue) {
        self.cues_seen += 1;
        if !(self.cues_seen - 1).is_multiple_of(self.cue_stride) {
            return;
        }
        if self.cues.len() == MAX_CUES {
            let mut at = 0;
            self.cues.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.cue_stride *= 2;
        }
        self.cues.push(cue);
    }

    /// The size of a cluster that ends here.
    fn size_of(&self, cluster: &Cluster) -> Patch {
        Patch {
            offset: cluster.start - 8,
            bytes: wide_size(self.position - cluster.start).into(),
        }
    }
}

fn put_track(out: &mut Vec<u8>, number: u64, track: &TrackEntry) {
    put_uint(out, id::TRACK_NUMBER, number);
    put_uint(out, id::TRACK_UID, number);
    put_uint(out, id::FLAG_LACING, 0);
    match *track {
        TrackEntry::Video { width, height } => {
            put_uint(out, id::TRACK_TYPE, 1);
            put_binary(out, id::CODEC_ID, b"V_VP8");
            put_master(out, id::VIDEO, |out| {
                put_uint(out, id::PIXEL_WIDTH, width.into());
                put_uint(out, id::PIXEL_HEIGHT, height.into());
            });
        }
        TrackEntry::Audio { channels } => {
            put_uint(out, id::TRACK_TYPE, 2);
            put_binary(out, id::CODEC_ID, b"A_OPUS");
            put_binary(out, id::CODEC_PRIVATE, &opus_head(channels));
            let delay = u64::from(OPUS_DELAY) * 1_000_000_000 / 48_000;
            put_uint(out, id::CODEC_DELAY, delay);
            // What a decoder must have heard before it is right again after a seek (RFC 7845).
            put_uint(out, id::SEEK_PRE_ROLL, 80_000_000);
            put_master(out, id::AUDIO, |out| {
                put_float(out, id::SAMPLING_FREQUENCY, 48_000.0);
                put_uint(out, id::CHANNELS, channels.into());
            });
        }
    }
}

/// [RFC 7845, section 5.1](https://www.rfc-editor.org/rfc/rfc7845#section-5.1).
fn opus_head(channels: u8) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    head.extend([1, channels]);
    head.extend(OPUS_DELAY.to_le_bytes());
    head.extend(48_000u32.to_le_bytes());
    // No gain, and the channels are what they are.
    head.extend([0, 0, 0]);
    head
}

#[cfg(test)]
mod tests;
