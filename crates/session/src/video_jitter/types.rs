//! What a [`VideoJitterBuffer`](super::VideoJitterBuffer) is told, yields and counts.

use std::time::Duration;

use bytes::Bytes;
use duet_media::MediaTime;

use crate::PictureId;

/// What a [`VideoJitterBuffer`](super::VideoJitterBuffer) may hold and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoJitterConfig {
    /// At most so many packets; one more, and all are dropped and a key frame is asked for.
    pub max_packets: usize,
    /// At most so many bytes of payload; likewise.
    pub max_bytes: usize,
    /// How long it takes until a NACK leaves, once a gap can be seen.
    pub nack_delay: Duration,
    /// A gap is never waited for longer than this.
    pub max_wait: Duration,
}

impl Default for VideoJitterConfig {
    fn default() -> Self {
        VideoJitterConfig {
            max_packets: 2_048,
            max_bytes: 4 << 20,
            nack_delay: Duration::from_millis(30),
            max_wait: Duration::from_millis(600),
        }
    }
}

/// What [`VideoJitterBuffer::poll`](super::VideoJitterBuffer::poll) yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoEvent {
    /// The next frame to decode.
    Frame(AssembledFrame),
    /// Nothing can be decoded before a key frame comes: send a PLI.
    KeyFrameNeeded,
}

/// A whole frame whose predecessors were all handed over before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    /// The coded picture. Not copied if it came in one packet.
    pub data: Bytes,
    /// Whether it can be decoded by itself.
    pub key_frame: bool,
    /// Its capture time in ticks of 90 kHz, unwrapped; the low 32 bits are what was on the wire.
    pub rtp_timestamp: i64,
    /// When its first packet came.
    pub first_arrival: MediaTime,
    /// When its last packet came.
    pub complete_at: MediaTime,
    /// When it could be decoded: complete, and its predecessors too.
    pub decodable_at: MediaTime,
    /// When the last of its packets came that came in their turn. `None` if all of them came after
    /// later ones, as retransmissions do.
    pub prompt_at: Option<MediaTime>,
    /// Whether one of its packets came after later ones.
    pub recovered: bool,
    /// In how many packets it came.
    pub packets: usize,
    /// Its number, if the sender counts pictures.
    pub picture_id: Option<PictureId>,
}

/// Counts since the buffer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoJitterCounters {
    /// Packets pushed.
    pub received: u64,
    /// Packets that were held already.
    pub duplicates: u64,
    /// Packets whose place had been handed over or given up.
    pub late: u64,
    /// Packets that are not VP8.
    pub malformed: u64,
    /// Packets of nothing but padding.
    pub padding: u64,
    /// Packets held and then dropped, because they could not be decoded.
    pub dropped: u64,
    /// Packets that never came, or not in time.
    pub lost: u64,
    /// Frames handed over.
    pub frames: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// How often a key frame was asked for.
    pub key_frame_requests: u64,
    /// How often the bounds of memory were hit and everything was dropped.
    pub overflows: u64,
    /// How often the stream started anew.
    pub restarts: u64,
}
