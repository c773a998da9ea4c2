//! What leaves, and when: reports and sound at once, pictures no faster than the path can take.
//!
//! It deliberately drops nothing: it says when it has no room, and whoever feeds it waits, so that
//! frames are left out before they are cut into packets, and never in the middle of one.

use rtc::rtp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Until the target's estimate has stood its first test, a key frame may go this much faster.
const BURST: Duration = Duration::from_millis(40);
/// With more than this waiting there is no room for another picture.
const ROOM: Duration = Duration::from_millis(60);
/// However much was sent again, the next picture leaves within this.
const MOST_DEBT: Duration = Duration::from_millis(200);
/// It is never slower than this, in bits a second.
const LEAST: f64 = 50_000.0;
/// A queue is cut off here whatever the rate says: a key frame of 1080p takes some 400 packets.
/// Sound is 20 ms to the packet. What is above is lost, and counted.
const MAX_VIDEO_PACKETS: usize = 2_048;
const MAX_AUDIO_PACKETS: usize = 64;
/// A protected key frame of 1080p has some 250.
const MAX_REPAIRS: usize = 512;

pub(crate) struct Pacer {
    audio: VecDeque<rtp::Packet>,
    video: VecDeque<rtp::Packet>,
    /// What protects pictures that have left: it goes before the next.
    repairs: VecDeque<rtp::Packet>,
    /// Of both.
    video_bytes: usize,
    /// Bytes a second.
    rate: f64,
    /// When the next picture's packet may leave. Lies up to [`BURST`] in the past.
    due: Option<Instant>,
    pub(crate) dropped: u64,
}

impl Pacer {
    /// A pacer that lets `bits_per_second` through.
    pub(crate) fn new(bits_per_second: f64) -> Self {
        Pacer {
            audio: VecDeque::new(),
            video: VecDeque::new(),
            repairs: VecDeque::new(),
            video_bytes: 0,
            rate: bits_per_second / 8.0,
            due: None,
            dropped: 0,
        }
    }

    /// From now on it lets `bits_per_second` through.
    pub(crate) fn set_rate(&mut self, bits_per_second: f64) {
        self.rate = bits_per_second.max(LEAST) / 8.0;
    }

    pub(crate) fn push_audio(&mut self, packet: rtp::Packet) {
        if self.audio.len() == MAX_AUDIO_PACKETS {
            self.audio.pop_front();
            self.dropped += 1;
        }
        self.audio.push_back(packet);
    }

    pub(crate) fn push_video(&mut self, packet: rtp::Packet) {
        if self.video.len() == MAX_VIDEO_PACKETS {
            self.dropped += 1;
            return;
        }
        self.video_bytes += packet.payload.len();
        self.video.push_back(packet);
    }

    pub(crate) fn push_repair(&mut self, packet: rtp::Packet) {
        if self.repairs.len() == MAX_REPAIRS {
            self.dropped += 1;
            return;
        }
        self.video_bytes += packet.payload.len();
        self.repairs.push_back(packet);
    }

    /// Whether another picture may come.
    pub(crate) fn has_room(&self) -> bool {
        (self.video_bytes as f64) < self.rate * ROOM.as_secs_f64()
    }

    /// The next packet that may leave at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<rtp::Packet> {
        if let Some(packet) = self.audio.pop_front() {
            return Some(packet);
        }
        if self.due.is_some_and(|due| due > now) {
            return None;
        }
        let repair = self.repairs.pop_front();
        let packet = repair.or_else(|| self.video.pop_front())?;
        let bytes = packet.payload.len();
        self.video_bytes -= bytes;
        self.spend(bytes, now);
        Some(packet)
    }

    /// So many bytes leave at `now`, of a picture or sent again: pictures wait for them. They wait for no
    /// more than [`MOST_DEBT`].
    pub(crate) fn spend(&mut self, bytes: usize, now: Instant) {
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = self.due.map_or(earliest, |due| due.max(earliest));
        let due = from + Duration::from_secs_f64(bytes as f64 / self.rate);
        self.due = Some(due.min(from.max(now + MOST_DEBT)));
    }

    /// When [`pop`](Self::pop) has something to say again; `None` if nothing waits.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        if self.video.is_empty() && self.repairs.is_empty() {
            return None;
        }
        self.due
    }

    /// Forgets all packets of pictures, or of repair, of `ssrc` that have not left.
    pub(crate) fn drop_video(&mut self, ssrc: u32) {
        self.video.retain(|packet| packet.header.ssrc != ssrc);
        self.repairs.retain(|packet| packet.header.ssrc != ssrc);
        let left = self.video.iter().chain(&self.repairs);
        self.video_bytes = left.map(|packet| packet.payload.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packet(ssrc: u32, bytes: usize) -> rtp::Packet {
        let header = rtp::Header {
            version: 2,
            ssrc,
            ..Default::default()
        };
        let payload = Bytes::from(vec![0; bytes]);
        rtp::Packet { header, payload }
    }

    #[test]
    fn sound_overtakes_a_key_frame_and_pictures_keep_to_the_rate() {
        let start = Instant::now();
        let mut pacer = Pacer::new(2_000_000.0);
        for _ in 0..100 {
            pacer.push_video(packet(1, 1_000));
        }
        // 2 Mbit/s are 250 packets a second: 10 in a burst of 40 ms, then one every 4 ms.
        let burst = std::iter::from_fn(|| pacer.pop(start)).count();
        assert!((10..=12).contains(&burst), "{burst}");
        assert!(!pacer.has_room());
        pacer.push_audio(packet(2, 100));
        assert_eq!(pacer.pop(start).map(|p| p.header.ssrc), Some(2));
        let mut now = start;
        let mut left = burst;
        while let Some(due) = pacer.next_due() {
            now = now.max(due);
            left += std::iter::from_fn(|| pacer.pop(now)).count();
        }
        assert_eq!(left, 100);
        let took = now.duration_since(start).as_millis();
        assert!((350..=370).contains(&took), "{took}");
        assert!(pacer.has_room());
    }

    #[test]
    fn a_pause_earns_no_more_than_one_burst() {
        let start = Instant::now();
        let mut pacer = Pacer::new(2_000_000.0);
        pacer.push_video(packet(1, 1_000));
        assert!(pacer.pop(start).is_some());
        for _ in 0..100 {
            pacer.push_video(packet(1, 1_000));
        }
        let later = start + Duration::from_secs(60);
        let burst = std::iter::from_fn(|| pacer.pop(later)).count();
        assert!((10..=12).contains(&burst), "{burst}");
    }

    #[test]
    fn queues_are_bounded_and_count_what_they_lose() {
        let mut pacer = Pacer::new(2_000_000.0);
        (0..5_000).for_each(|_| pacer.push_video(packet(1, 10)));
        (0..100).for_each(|_| pacer.push_audio(packet(2, 10)));
        assert_eq!(pacer.dropped, 5_000 - 2_048 + 36);
        pacer.drop_video(1);
        assert!(pacer.has_room());
        assert_eq!(std::iter::from_fn(|| pacer.pop(Instant::now())).count(), 64);
    }
}
