//! From VP8 packets that come lost, late, twice and out of order to whole frames that can be decoded.
//!
//! Not a playout buffer: a frame is handed over the moment it can be decoded. When it is shown is
//! [`PlayoutScheduler`](crate::PlayoutScheduler)'s affair. It asks for no retransmission either; it
//! only knows how long one may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use duet_media::MediaTime;

use crate::vp8_payload::{PictureId, is_key_frame};
use crate::{ClockRate, RtpPacket, SequenceUnwrapper, TimestampUnwrapper, Vp8Descriptor};

/// What a [`VideoJitterBuffer`] may hold and how long it waits.
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
            nack_delay: Duration::from_millis(50),
            max_wait: Duration::from_millis(600),
        }
    }
}

/// What [`VideoJitterBuffer::poll`] yields.
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
    /// When it could be decoded: complete, and its predecessors too. What
    /// [`PlayoutScheduler::schedule`](crate::PlayoutScheduler::schedule) wants.
    pub decodable_at: MediaTime,
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

/// Assembles one VP8 stream.
///
/// Without loss no frame waits for anything but its own packets. A gap is waited for as long as two
/// retransmissions may take, by the round trip, unless a whole key frame stands behind it. After that
/// a key frame is asked for: at once, then after 0.5, 1, 2, 2, … seconds, and whatever depends on what
/// was lost is dropped.
///
/// Capacity: [`VideoJitterConfig::max_packets`] and [`max_bytes`](VideoJitterConfig::max_bytes). When
/// one is exceeded all is dropped (counted) and a key frame is asked for, since a buffer that full has
/// a hole that was not filled.
#[derive(Clone, Debug)]
pub struct VideoJitterBuffer {
    config: VideoJitterConfig,
    rtt: Duration,
    ssrc: Option<u32>,
    replaced_ssrc: Option<u32>,
    sequence: SequenceUnwrapper,
    timestamps: TimestampUnwrapper,
    slots: BTreeMap<i64, Slot>,
    bytes: usize,
    /// Where among the slots key frames begin.
    key_starts: BTreeSet<i64>,
    /// The first number that was neither handed over nor given up.
    next: Option<i64>,
    /// What was handed over last.
    last: Option<LastFrame>,
    /// The first number that is missing before one that came, and since when that is known.
    hole: Option<(i64, MediaTime)>,
    /// Packets in a row that look like those of a stream that started anew.
    restart_evidence: u32,
    key_wait: Option<KeyWait>,
    last_request: Option<MediaTime>,
    last_arrival: Option<MediaTime>,
    counters: VideoJitterCounters,
}

#[derive(Clone, Debug)]
struct Slot {
    timestamp: i64,
    arrival: MediaTime,
    marker: bool,
    part: Part,
}

#[derive(Clone, Debug)]
enum Part {
    Padding,
    Frame {
        descriptor: Vp8Descriptor,
        data: Bytes,
    },
}

#[derive(Clone, Copy, Debug)]
struct LastFrame {
    picture_id: Option<PictureId>,
    tl0_picture_index: Option<u8>,
    timestamp: i64,
    decodable_at: MediaTime,
}

/// Waiting for a key frame.
#[derive(Clone, Copy, Debug)]
struct KeyWait {
    next_request: MediaTime,
    interval: Duration,
}

/// What stands at a place in the sequence.
enum Walk {
    /// A frame, up to and with this number.
    Whole(i64),
    /// This number is missing.
    Missing(i64),
    /// Something that is no frame, up to but without this number.
    Broken(i64),
}

impl VideoJitterBuffer {
    /// Two requests for a key frame are never closer than this.
    pub const MIN_REQUEST_INTERVAL: Duration = Duration::from_millis(500);
    /// While none comes, the pauses between requests double up to this.
    pub const MAX_REQUEST_INTERVAL: Duration = Duration::from_secs(2);
    /// So many packets in a row that do not fit the stream: it started anew.
    const RESTART_AFTER: u32 = 8;
    /// A packet so far behind does not fit the stream…
    const RESTART_DISTANCE: i64 = 1_000;
    /// … nor one that is behind, but whose timestamp is this many seconds off.
    const RESTART_SECONDS: i64 = 5;

    /// An empty buffer.
    pub fn new(config: VideoJitterConfig) -> Self {
        VideoJitterBuffer {
            config,
            rtt: Duration::from_millis(50),
            ssrc: None,
            replaced_ssrc: None,
            sequence: SequenceUnwrapper::new(),
            timestamps: TimestampUnwrapper::new(),
            slots: BTreeMap::new(),
            bytes: 0,
            key_starts: BTreeSet::new(),
            next: None,
            last: None,
            hole: None,
            restart_evidence: 0,
            key_wait: None,
            last_request: None,
            last_arrival: None,
            counters: VideoJitterCounters::default(),
        }
    }

    /// The round trip, which says how long a retransmission takes. 50 ms until it is known.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// What was counted so far.
    pub fn counters(&self) -> VideoJitterCounters {
        self.counters
    }

    /// Packets held now.
    pub fn buffered_packets(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of payload held now.
    pub fn buffered_bytes(&self) -> usize {
        self.bytes
    }

    /// The decoder failed, or somebody wants to start afresh: drops what is held, asks for a key frame
    /// and yields nothing before it.
    pub fn demand_key_frame(&mut self, now: MediaTime) {
        if let Some(end) = self.slots.keys().next_back().map(|last| last + 1) {
            self.skip_to(end);
        }
        self.await_key_frame(now);
    }

    /// Takes in a packet that came at `now`. [`poll`](Self::poll) afterwards, until it has nothing.
    pub fn push(&mut self, packet: RtpPacket, now: MediaTime) {
        self.counters.received += 1;
        if !self.accept_ssrc(packet.ssrc, now) {
            self.counters.late += 1;
            return;
        }
        let part = if packet.payload.is_empty() {
            self.counters.padding += 1;
            Part::Padding
        } else {
            match Vp8Descriptor::parse(&packet.payload) {
                Ok((descriptor, data)) => Part::Frame { descriptor, data },
                Err(_) => {
                    self.counters.malformed += 1;
                    return;
                }
            }
        };
        if !self.accept_place(&packet, now) {
            self.counters.late += 1;
            return;
        }
        let number = self.sequence.unwrap(packet.sequence_number);
        let timestamp = self.timestamps.unwrap(packet.timestamp);
        if self.slots.contains_key(&number) {
            self.counters.duplicates += 1;
            return;
        }
        if let Some(last) = self.last_arrival
            && now.saturating_since(last) > Duration::from_secs(1)
            && let Some(wait) = &mut self.key_wait
        {
            // After an outage: what was asked in vain does not count.
            wait.interval = Self::MIN_REQUEST_INTERVAL;
            wait.next_request = wait.next_request.min(now);
        }
        self.last_arrival = Some(now);
        if let Part::Frame { descriptor, data } = &part {
            self.bytes += data.len();
            if descriptor.is_frame_start() && is_key_frame(data) {
                self.key_starts.insert(number);
            }
        }
        let slot = Slot {
            timestamp,
            arrival: now,
            marker: packet.marker,
            part,
        };
        self.slots.insert(number, slot);
        if self.slots.len() > self.config.max_packets || self.bytes > self.config.max_bytes {
            self.counters.overflows += 1;
            self.demand_key_frame(now);
        } else if self.last.is_none() && self.key_wait.is_none() {
            self.key_wait = Some(KeyWait {
                next_request: now,
                interval: Self::MIN_REQUEST_INTERVAL,
            });
        }
    }

    /// The next frame, or the news that a key frame is needed; `None` if there is nothing at `now`.
    pub fn poll(&mut self, now: MediaTime) -> Option<VideoEvent> {
        if self.key_wait.is_none() {
            match self.poll_next(now) {
                Some(frame) => return Some(VideoEvent::Frame(frame)),
                None if self.key_wait.is_none() => return None,
                None => {}
            }
        }
        if let Some(frame) = self.poll_key_frame(now) {
            return Some(VideoEvent::Frame(frame));
        }
        self.poll_request(now)
    }

    /// When to [`poll`](Self::poll) again although nothing came.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        match (self.key_wait, self.hole) {
            (Some(wait), _) => Some(wait.next_request),
            (None, Some((_, since))) => Some(since + self.patience()),
            (None, None) => None,
        }
    }

    /// How long a gap is waited for: time for two retransmissions.
    fn patience(&self) -> Duration {
        let wait = (self.rtt + self.config.nack_delay).saturating_mul(2);
        wait.min(self.config.max_wait)
    }

    /// The frame that follows the last one, if it is whole.
    fn poll_next(&mut self, now: MediaTime) -> Option<AssembledFrame> {
        loop {
            let next = self.skip_padding()?;
            match self.walk(next) {
                Walk::Whole(end) => {
                    self.hole = None;
                    return Some(self.take(next, end));
                }
                Walk::Broken(end) => {
                    self.skip_to(end);
                    self.await_key_frame(now);
                    return None;
                }
                Walk::Missing(hole) => {
                    let (&after, slot) = self.slots.range(hole..).next()?;
                    if hole == next && self.continues(slot, false) {
                        // Nothing of a picture was lost, only padding.
                        self.skip_to(after);
                        continue;
                    }
                    if let Some((start, end)) = self.whole_key_frame() {
                        self.skip_to(start);
                        return Some(self.take(start, end));
                    }
                    let since = match self.hole {
                        Some((known, since)) if known == hole => since,
                        _ => self.slots.range(hole..).map(|(_, s)| s.arrival).min()?,
                    };
                    self.hole = Some((hole, since));
                    if now < since + self.patience() {
                        return None;
                    }
                    if hole == next && self.continues(slot, true) {
                        self.skip_to(after);
                        continue;
                    }
                    self.await_key_frame(now);
                    return None;
                }
            }
        }
    }

    /// While waiting for a key frame: the first that is whole. Drops what cannot be part of one.
    fn poll_key_frame(&mut self, now: MediaTime) -> Option<AssembledFrame> {
        if let Some((start, end)) = self.whole_key_frame() {
            self.skip_to(start);
            self.key_wait = None;
            return Some(self.take(start, end));
        }
        let keep = match self.key_starts.first() {
            Some(&start) => Some(start),
            // The first packet of a key frame may yet come behind the others.
            None => {
                let patience = self.patience();
                let fresh = |slot: &Slot| now.saturating_since(slot.arrival) <= patience;
                let keep = self.slots.iter().find(|(_, slot)| fresh(slot));
                keep.map(|(&number, _)| number)
                    .or_else(|| self.slots.keys().next_back().map(|last| last + 1))
            }
        };
        if let Some(keep) = keep {
            self.skip_to(keep);
        }
        None
    }

    fn poll_request(&mut self, now: MediaTime) -> Option<VideoEvent> {
        let mut wait = self.key_wait?;
        if let Some(last) = self.last_request {
            wait.next_request = wait.next_request.max(last + Self::MIN_REQUEST_INTERVAL);
        }
        // One that is on its way needs no second: give it time as long as its packets come.
        if let Some(start) = self.key_starts.first()
            && let Some(newest) = self.slots.range(start..).map(|(_, s)| s.arrival).max()
        {
            wait.next_request = wait.next_request.max(newest + self.patience());
        }
        let due = wait.next_request <= now;
        if due {
            wait.next_request = now + wait.interval;
            wait.interval = (wait.interval * 2).min(Self::MAX_REQUEST_INTERVAL);
            self.last_request = Some(now);
            self.counters.key_frame_requests += 1;
        }
        self.key_wait = Some(wait);
        due.then_some(VideoEvent::KeyFrameNeeded)
    }

    fn await_key_frame(&mut self, now: MediaTime) {
        self.hole = None;
        self.key_wait.get_or_insert(KeyWait {
            next_request: now,
            interval: Self::MIN_REQUEST_INTERVAL,
        });
    }

    /// What stands at `start`.
    fn walk(&self, start: i64) -> Walk {
        let mut timestamp = None;
        let mut expected = start;
        for (&number, slot) in self.slots.range(start..) {
            if number != expected {
                return Walk::Missing(expected);
            }
            let begins = match &slot.part {
                Part::Frame { descriptor, .. } => descriptor.is_frame_start(),
                // Padding within a frame: passed over.
                Part::Padding => {
                    expected += 1;
                    continue;
                }
            };
            match timestamp {
                None if !begins => return Walk::Broken(number + 1),
                None => timestamp = Some(slot.timestamp),
                // The next frame begins and the marker was not set.
                Some(_) if begins => return Walk::Whole(number - 1),
                Some(timestamp) if timestamp != slot.timestamp => return Walk::Broken(number),
                Some(_) => {}
            }
            if slot.marker {
                return Walk::Whole(number);
            }
            expected += 1;
        }
        Walk::Missing(expected)
    }

    /// The first key frame held that is whole.
    fn whole_key_frame(&self) -> Option<(i64, i64)> {
        self.key_starts
            .iter()
            .find_map(|&start| match self.walk(start) {
                Walk::Whole(end) => Some((start, end)),
                Walk::Missing(_) | Walk::Broken(_) => None,
            })
    }

    /// Whether the frame that begins in `slot` can be decoded after the last one although packets
    /// between them are missing: by the picture's number, or, if `coarse`, because what is missing was
    /// of a higher temporal layer.
    fn continues(&self, slot: &Slot, coarse: bool) -> bool {
        let (Part::Frame { descriptor, .. }, Some(last)) = (&slot.part, self.last) else {
            return false;
        };
        if !descriptor.is_frame_start() {
            return false;
        }
        if let (Some(id), Some(last)) = (descriptor.picture_id, last.picture_id)
            && id.follows(last)
        {
            return true;
        }
        let base_layer = descriptor
            .temporal_layer
            .is_some_and(|(layer, _)| layer == 0);
        let follows = match (descriptor.tl0_picture_index, last.tl0_picture_index) {
            (Some(index), Some(last)) => index == last.wrapping_add(1),
            _ => false,
        };
        coarse && base_layer && follows
    }

    /// Moves over padding, and says where the next frame begins.
    fn skip_padding(&mut self) -> Option<i64> {
        let mut next = self.next?;
        while matches!(
            self.slots.get(&next),
            Some(Slot {
                part: Part::Padding,
                ..
            })
        ) {
            self.slots.remove(&next);
            next += 1;
            self.next = Some(next);
        }
        Some(next)
    }

    /// Drops all before `number` and counts what of it never came.
    fn skip_to(&mut self, number: i64) {
        let kept = self.slots.split_off(&number);
        let dropped = std::mem::replace(&mut self.slots, kept);
        let first = self
            .next
            .or(dropped.keys().next().copied())
            .unwrap_or(number);
        self.counters.lost += number.saturating_sub(first).unsigned_abs() - dropped.len() as u64;
        self.counters.dropped += dropped.len() as u64;
        self.bytes -= dropped.values().map(Slot::len).sum::<usize>();
        self.key_starts = self.key_starts.split_off(&number);
        self.next = Some(number);
        self.hole = None;
    }

    /// Takes the frame out that stands from `start` to `end`.
    fn take(&mut self, start: i64, end: i64) -> AssembledFrame {
        let kept = self.slots.split_off(&(end + 1));
        let taken = std::mem::replace(&mut self.slots, kept);
        self.next = Some(end + 1);
        let key_frame = self.key_starts.remove(&start);
        let size = taken.values().map(Slot::len).sum();
        self.bytes -= size;

        let arrivals = || taken.values().map(|slot| slot.arrival);
        let first_arrival = arrivals().min().unwrap_or_default();
        let complete_at = arrivals().max().unwrap_or_default();
        let packets = taken.len();
        let mut head = None;
        let mut timestamp = 0;
        let mut parts = taken.into_values().filter_map(|slot| {
            timestamp = slot.timestamp;
            match slot.part {
                Part::Frame { descriptor, data } => {
                    head.get_or_insert(descriptor);
                    Some(data)
                }
                Part::Padding => None,
            }
        });
        let first = parts.next().unwrap_or_default();
        let data = if first.len() == size {
            first
        } else {
            let mut whole = BytesMut::with_capacity(size);
            whole.extend_from_slice(&first);
            parts.for_each(|part| whole.extend_from_slice(&part));
            whole.freeze()
        };
        let head = head.unwrap_or_default();
        let decodable_at = match self.last {
            Some(last) if !key_frame => complete_at.max(last.decodable_at),
            _ => complete_at,
        };
        self.last = Some(LastFrame {
            picture_id: head.picture_id,
            tl0_picture_index: match head.temporal_layer {
                // A frame of a higher layer carries the number of the one it depends on.
                Some(_) => head.tl0_picture_index,
                None => None,
            },
            timestamp,
            decodable_at,
        });
        self.counters.frames += 1;
        self.counters.key_frames += u64::from(key_frame);
        AssembledFrame {
            data,
            key_frame,
            rtp_timestamp: timestamp,
            first_arrival,
            complete_at,
            decodable_at,
            packets,
            picture_id: head.picture_id,
        }
    }

    /// Follows a change of SSRC; false for a straggler of the one before.
    fn accept_ssrc(&mut self, ssrc: u32, now: MediaTime) -> bool {
        match self.ssrc {
            None => self.ssrc = Some(ssrc),
            Some(current) if current == ssrc => {}
            Some(_) if self.replaced_ssrc == Some(ssrc) => return false,
            Some(current) => {
                self.restart(now);
                self.replaced_ssrc = Some(current);
                self.ssrc = Some(ssrc);
            }
        }
        true
    }

    /// Whether the packet's place is still open. A run of packets that do not fit starts the stream
    /// anew.
    fn accept_place(&mut self, packet: &RtpPacket, now: MediaTime) -> bool {
        let number = self.sequence.peek(packet.sequence_number);
        let Some(next) = self.next.filter(|next| number < *next) else {
            self.restart_evidence = 0;
            return true;
        };
        let off = self.last.map_or(0, |last| {
            self.timestamps
                .peek(packet.timestamp)
                .abs_diff(last.timestamp)
        });
        let limit = Self::RESTART_SECONDS.unsigned_abs() * u64::from(ClockRate::VIDEO.hz());
        if next - number > Self::RESTART_DISTANCE || off > limit {
            self.restart_evidence += 1;
            if self.restart_evidence >= Self::RESTART_AFTER {
                self.restart(now);
                return true;
            }
        }
        false
    }

    /// Forgets the stream, not what was counted.
    fn restart(&mut self, now: MediaTime) {
        self.counters.restarts += 1;
        self.counters.dropped += self.slots.len() as u64;
        *self = VideoJitterBuffer {
            rtt: self.rtt,
            ssrc: self.ssrc,
            last_request: self.last_request,
            counters: self.counters,
            ..VideoJitterBuffer::new(self.config)
        };
        self.await_key_frame(now);
    }
}

impl Default for VideoJitterBuffer {
    fn default() -> Self {
        Self::new(VideoJitterConfig::default())
    }
}

impl Slot {
    fn len(&self) -> usize {
        match &self.part {
            Part::Padding => 0,
            Part::Frame { data, .. } => data.len(),
        }
    }
}
