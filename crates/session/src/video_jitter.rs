//! From VP8 packets that come lost, late, twice and out of order to whole frames that can be decoded.
//!
//! Not a playout buffer: a frame is handed over the moment it can be decoded. When it is shown is
//! [`PlayoutScheduler`](crate::PlayoutScheduler)'s affair. It asks for no retransmission either; it
//! only knows how long one may take.

mod store;
#[cfg(test)]
mod tests;
mod types;

use std::time::Duration;

use duet_media::MediaTime;

use self::store::{PacketStore, Part, Slot, Walk};
pub use self::types::{AssembledFrame, VideoEvent, VideoJitterConfig, VideoJitterCounters};
use crate::vp8_payload::PictureId;
use crate::{ClockRate, RtpPacket, SequenceUnwrapper, TimestampUnwrapper, Vp8Descriptor};

/// Assembles one VP8 stream.
///
/// Without loss no frame waits for anything but its own packets. A gap is waited for as long as two
/// retransmissions may take, by the round trip, unless a whole key frame stands behind it. After that
/// a key frame is asked for, and whatever depends on what was lost is dropped. The request is repeated
/// every 0.3 s for as long as packets come; while none do, after 0.6, 1.2, 2, 2, … seconds. What was
/// lost in an outage is not waited for at all.
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
    store: PacketStore,
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
    /// All since the last frame is still held: should what is missing come after all, no key frame is
    /// needed.
    resumable: bool,
}

impl VideoJitterBuffer {
    /// Two requests for a key frame are never closer than this.
    pub const MIN_REQUEST_INTERVAL: Duration = Duration::from_millis(300);
    /// While nothing comes at all, the pauses between requests double up to this.
    pub const MAX_REQUEST_INTERVAL: Duration = Duration::from_secs(2);
    /// More missing packets than this in a row are not waited for: nobody sends them again.
    const LARGEST_HOLE: i64 = 512;
    /// Nor are more than so many that were captured over more than so many ticks: a key frame is there
    /// sooner than all of them.
    const OUTAGE_HOLE: (i64, i64) = (16, 4 * ClockRate::VIDEO.hz() as i64 / 10);
    /// A pause between packets this long was an outage.
    const OUTAGE: Duration = Duration::from_secs(1);
    /// So many packets in a row that do not fit the stream: it started anew.
    const RESTART_AFTER: u32 = 8;
    /// A packet so far behind does not fit the stream…
    const RESTART_DISTANCE: i64 = 1_000;
    /// … nor one that is behind, but whose timestamp is this many ticks off.
    const RESTART_TICKS: u64 = 5 * ClockRate::VIDEO.hz() as u64;

    /// An empty buffer.
    pub fn new(config: VideoJitterConfig) -> Self {
        VideoJitterBuffer {
            config,
            rtt: Duration::from_millis(50),
            ssrc: None,
            replaced_ssrc: None,
            sequence: SequenceUnwrapper::new(),
            timestamps: TimestampUnwrapper::new(),
            store: PacketStore::default(),
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
        self.store.len()
    }

    /// Bytes of payload held now.
    pub fn buffered_bytes(&self) -> usize {
        self.store.bytes()
    }

    /// Whether deltas are dropped until a key frame comes.
    pub fn awaits_key_frame(&self) -> bool {
        self.key_wait.is_some() || self.last.is_none()
    }

    /// The decoder failed, or somebody wants to start afresh: drops what is held, asks for a key frame
    /// and yields nothing before it.
    pub fn demand_key_frame(&mut self, now: MediaTime) {
        if let Some(end) = self.store.end() {
            self.skip_to(end);
        }
        self.await_key_frame(now, false);
    }

    /// Takes in a packet that came at `now`. [`poll`](Self::poll) afterwards, until it has nothing.
    pub fn push(&mut self, packet: RtpPacket, now: MediaTime) {
        self.take_in(packet, now, false);
    }

    /// The same for a packet that was lost and made of others (forward error correction): it tells nothing of
    /// the path's jitter.
    pub fn push_made(&mut self, packet: RtpPacket, now: MediaTime) {
        self.take_in(packet, now, true);
    }

    fn take_in(&mut self, packet: RtpPacket, now: MediaTime, made: bool) {
        self.counters.received += 1;
        let part = if packet.payload.is_empty() {
            self.counters.padding += 1;
            Part::Padding
        } else {
            match Vp8Descriptor::parse(packet.payload) {
                Ok((descriptor, data)) => Part::Frame { descriptor, data },
                Err(_) => {
                    self.counters.malformed += 1;
                    return;
                }
            }
        };
        if !self.accept_ssrc(packet.ssrc, now)
            || !self.accept_place(packet.sequence_number, packet.timestamp, now)
        {
            self.counters.late += 1;
            return;
        }
        let highest = self.sequence.highest();
        let number = self.sequence.unwrap(packet.sequence_number);
        if self.store.contains(number) {
            self.counters.duplicates += 1;
            return;
        }
        let silence = self
            .last_arrival
            .replace(now)
            .map_or(Duration::ZERO, |last| now.saturating_since(last));
        if let Some(wait) = self.key_wait.as_mut().filter(|_| silence > Self::OUTAGE) {
            // What was asked in vain during an outage does not count.
            wait.interval = Self::MIN_REQUEST_INTERVAL;
            wait.next_request = wait.next_request.min(now);
        }
        let slot = Slot {
            timestamp: self.timestamps.unwrap(packet.timestamp),
            arrival: now,
            marker: packet.marker,
            recovered: made || highest.is_some_and(|highest| number < highest),
            part,
        };
        self.store.insert(number, slot);
        if self.store.len() > self.config.max_packets || self.store.bytes() > self.config.max_bytes
        {
            self.counters.overflows += 1;
            self.demand_key_frame(now);
        } else if self.last.is_none() {
            self.await_key_frame(now, false);
        }
    }

    /// The next frame, or the news that a key frame is needed; `None` if there is nothing at `now`.
    pub fn poll(&mut self, now: MediaTime) -> Option<VideoEvent> {
        if self.key_wait.is_none()
            && let Some(frame) = self.poll_next(now)
        {
            return Some(VideoEvent::Frame(frame));
        }
        // Only now, since it may have been given up a moment ago.
        self.key_wait?;
        if let Some(frame) = self.poll_key_frame(now) {
            return Some(VideoEvent::Frame(frame));
        }
        self.poll_request(now).then_some(VideoEvent::KeyFrameNeeded)
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
        let wait = self
            .rtt
            .saturating_add(self.config.nack_delay)
            .saturating_mul(2);
        wait.min(self.config.max_wait)
    }

    /// Whether so much is missing from `hole` until `behind` that only a key frame helps.
    fn is_outage(&self, hole: i64, behind: i64) -> bool {
        let missing = behind - hole;
        let (many, long) = Self::OUTAGE_HOLE;
        let lasted = || {
            let (_, slot) = self.store.from(behind).next()?;
            Some(slot.timestamp.saturating_sub(self.last?.timestamp))
        };
        missing > Self::LARGEST_HOLE || missing > many && lasted().is_some_and(|ticks| ticks > long)
    }

    /// The frame that follows the last one, if it is whole.
    fn poll_next(&mut self, now: MediaTime) -> Option<AssembledFrame> {
        loop {
            let next = self.next_frame()?;
            let hole = match self.store.walk(next) {
                Walk::Whole(end) => return self.take(end),
                Walk::Broken(end) => {
                    self.skip_to(end);
                    self.await_key_frame(now, false);
                    return None;
                }
                Walk::Missing(hole) => hole,
            };
            let Some((behind_hole, _)) = self.store.from(hole).next() else {
                // Nothing came behind it: not lost, only not here yet.
                self.hole = None;
                return None;
            };
            let is_frame = |(_, slot): &(i64, &Slot)| matches!(slot.part, Part::Frame { .. });
            let behind = self.store.from(hole).find(is_frame);
            let behind = behind.filter(|_| hole == next);
            if let Some((after, _)) = behind.filter(|(_, slot)| self.continues(slot)) {
                // Nothing of a picture was lost, only padding.
                self.skip_to(after);
                continue;
            }
            let layer = behind.filter(|(_, slot)| self.continues_base_layer(slot));
            let layer = layer.map(|(after, _)| after);
            if let Some((start, end)) = self.store.whole_key_frame() {
                self.skip_to(start);
                return self.take(end);
            }
            let known = self.hole.filter(|(number, _)| *number == hole);
            let since = match known {
                Some((_, since)) => since,
                None => self.store.from(hole).map(|(_, slot)| slot.arrival).min()?,
            };
            self.hole = Some((hole, since));
            if self.is_outage(hole, behind_hole) {
                self.await_key_frame(now, false);
                return None;
            }
            if now < since + self.patience() {
                return None;
            }
            if let Some(after) = layer {
                self.skip_to(after);
                if let Some(last) = &mut self.last {
                    last.decodable_at = now;
                }
                continue;
            }
            self.await_key_frame(now, true);
            return None;
        }
    }

    /// While waiting for a key frame: the first that is whole, or the frame for want of which it was
    /// waited. Drops what cannot be part of one.
    fn poll_key_frame(&mut self, now: MediaTime) -> Option<AssembledFrame> {
        if let Some((start, end)) = self.store.whole_key_frame() {
            self.skip_to(start);
            self.key_wait = None;
            return self.take(end);
        }
        if self.key_wait.is_some_and(|wait| wait.resumable) {
            let next = self.next_frame()?;
            let Walk::Whole(end) = self.store.walk(next) else {
                return None;
            };
            self.key_wait = None;
            return self.take(end);
        }
        let keep = self.store.first_key_start().or_else(|| {
            // The first packet of a key frame may yet come behind the others.
            let patience = self.patience();
            let first = self.store.first_number()?;
            let mut held = self.store.from(first);
            let fresh = held.find(|(_, slot)| now.saturating_since(slot.arrival) <= patience);
            fresh.map(|(number, _)| number).or_else(|| self.store.end())
        });
        if let Some(keep) = keep
            && self.store.first_number().is_some_and(|first| first < keep)
        {
            self.skip_to(keep);
        }
        None
    }

    /// Whether a key frame is to be asked for now.
    fn poll_request(&mut self, now: MediaTime) -> bool {
        let patience = self.patience();
        let Some(wait) = &mut self.key_wait else {
            return false;
        };
        if let Some(last) = self.last_request {
            wait.next_request = wait.next_request.max(last + Self::MIN_REQUEST_INTERVAL);
        }
        let due = wait.next_request <= now;
        // One that is on its way needs no second: it gets time as long as its packets come.
        let coming = self.store.newest_key_frame_arrival().filter(|_| due);
        if let Some(until) = coming.map(|newest| newest + patience)
            && now < until
        {
            wait.next_request = until;
            return false;
        }
        if due {
            let silent = self.last_request > self.last_arrival;
            wait.interval = match silent {
                true => (wait.interval * 2).min(Self::MAX_REQUEST_INTERVAL),
                false => Self::MIN_REQUEST_INTERVAL,
            };
            wait.next_request = now + wait.interval;
            self.last_request = Some(now);
            self.counters.key_frame_requests += 1;
        }
        due
    }

    fn await_key_frame(&mut self, now: MediaTime, resumable: bool) {
        self.hole = None;
        self.key_wait.get_or_insert(KeyWait {
            next_request: now,
            interval: Self::MIN_REQUEST_INTERVAL,
            resumable,
        });
    }

    /// Whether the frame that begins in `slot` is, by its picture number, the one after the last:
    /// what is missing between them was no picture.
    fn continues(&self, slot: &Slot) -> bool {
        let (Part::Frame { descriptor, .. }, Some(last)) = (&slot.part, self.last) else {
            return false;
        };
        let ids = descriptor.picture_id.zip(last.picture_id);
        descriptor.is_frame_start() && ids.is_some_and(|(id, last)| id.follows(last))
    }

    /// Whether the frame that begins in `slot` can be decoded without what is missing, because that
    /// was of a higher temporal layer.
    fn continues_base_layer(&self, slot: &Slot) -> bool {
        let (Part::Frame { descriptor, .. }, Some(last)) = (&slot.part, self.last) else {
            return false;
        };
        let base_layer = descriptor
            .temporal_layer
            .is_some_and(|(layer, _)| layer == 0);
        let indices = descriptor.tl0_picture_index.zip(last.tl0_picture_index);
        let follows = indices.is_some_and(|(index, last)| index == last.wrapping_add(1));
        descriptor.is_frame_start() && base_layer && follows
    }

    /// Where the next frame begins, behind any padding.
    fn next_frame(&mut self) -> Option<i64> {
        let mut next = self.next?;
        while self.store.remove_padding(next) {
            next += 1;
            self.next = Some(next);
        }
        Some(next)
    }

    /// Drops all before `number` and counts what of it never came.
    fn skip_to(&mut self, number: i64) {
        let first = self.next.or(self.store.first_number()).unwrap_or(number);
        let dropped = self.store.drop_before(number) as u64;
        let places = u64::try_from(number.saturating_sub(first)).unwrap_or(0);
        self.counters.lost += places.saturating_sub(dropped);
        self.counters.dropped += dropped;
        self.next = Some(number);
        self.hole = None;
        if let Some(wait) = &mut self.key_wait {
            wait.resumable = false;
        }
    }

    /// Takes out the frame that is first in the store and ends at `end`.
    fn take(&mut self, end: i64) -> Option<AssembledFrame> {
        let taken = self.store.take(end)?;
        self.next = Some(end + 1);
        self.hole = None;
        let decodable_at = match self.last {
            Some(last) => taken.complete_at.max(last.decodable_at),
            None => taken.complete_at,
        };
        self.last = Some(LastFrame {
            picture_id: taken.head.picture_id,
            tl0_picture_index: taken.head.tl0_picture_index,
            timestamp: taken.timestamp,
            decodable_at,
        });
        self.counters.frames += 1;
        self.counters.key_frames += u64::from(taken.key_frame);
        Some(AssembledFrame {
            data: taken.data,
            key_frame: taken.key_frame,
            rtp_timestamp: taken.timestamp,
            first_arrival: taken.first_arrival,
            complete_at: taken.complete_at,
            decodable_at,
            prompt_at: taken.prompt_at,
            recovered: taken.recovered,
            packets: taken.packets,
            picture_id: taken.head.picture_id,
        })
    }

    /// Follows a change of SSRC; false for a straggler of the one before.
    fn accept_ssrc(&mut self, ssrc: u32, now: MediaTime) -> bool {
        match self.ssrc {
            Some(current) if current == ssrc => true,
            Some(_) if self.replaced_ssrc == Some(ssrc) => false,
            current => {
                if current.is_some() {
                    self.restart(now);
                }
                self.replaced_ssrc = current;
                self.ssrc = Some(ssrc);
                true
            }
        }
    }

    /// Whether the packet's place is still open. A run of packets that do not fit starts the stream
    /// anew.
    fn accept_place(&mut self, sequence_number: u16, timestamp: u32, now: MediaTime) -> bool {
        let number = self.sequence.peek(sequence_number);
        let Some(next) = self.next.filter(|next| number < *next) else {
            self.restart_evidence = 0;
            return true;
        };
        let timestamp = self.timestamps.peek(timestamp);
        let off = self
            .last
            .map_or(0, |last| timestamp.abs_diff(last.timestamp));
        if next - number > Self::RESTART_DISTANCE || off > Self::RESTART_TICKS {
            self.restart_evidence += 1;
        }
        let anew = self.restart_evidence >= Self::RESTART_AFTER;
        if anew {
            self.restart(now);
        }
        anew
    }

    /// Forgets the stream, not what was counted.
    fn restart(&mut self, now: MediaTime) {
        self.counters.restarts += 1;
        self.counters.dropped += self.store.len() as u64;
        *self = VideoJitterBuffer {
            rtt: self.rtt,
            ssrc: self.ssrc,
            last_request: self.last_request,
            counters: self.counters,
            ..VideoJitterBuffer::new(self.config)
        };
        self.await_key_frame(now, false);
    }
}

impl Default for VideoJitterBuffer {
    fn default() -> Self {
        Self::new(VideoJitterConfig::default())
    }
}
