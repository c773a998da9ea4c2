//! What left of a stream, and how long it waited to.

use super::OutboundCounters;
use duet_media::MediaKind;
use rtc::rtp;
use std::collections::VecDeque;
use std::time::Instant;

/// A picture that is so many times as large as the average is a huge one
/// ([`hugeFramesSent`](https://www.w3.org/TR/webrtc-stats/#dom-rtcoutboundrtpstreamstats-hugeframessent)).
const HUGE: f64 = 2.5;
/// More can wait in no queue of the pacer's.
const CAPACITY: usize = 4_096;

/// The packets of a stream that were numbered and have not left. Capacity: [`CAPACITY`]; what is forgotten
/// counts as having waited for nothing.
#[derive(Debug, Default)]
pub(super) struct Departures {
    waiting: VecDeque<(u16, Instant)>,
    /// Bytes of the picture that is leaving.
    frame: usize,
    /// Of pictures, in bytes.
    average: Option<f64>,
}

impl Departures {
    /// A packet was numbered.
    pub(super) fn queued(&mut self, number: u16, now: Instant) {
        if self.waiting.len() == CAPACITY {
            self.waiting.pop_front();
        }
        self.waiting.push_back((number, now));
    }

    /// It leaves.
    pub(super) fn left(
        &mut self,
        packet: &rtp::Packet,
        kind: MediaKind,
        numbered: bool,
        now: Instant,
        counters: &mut OutboundCounters,
    ) {
        // What is before it was dropped.
        while let Some((number, since)) = self.waiting.pop_front() {
            if number == packet.header.sequence_number {
                counters.send_delay += now.saturating_duration_since(since);
                break;
            }
        }
        let bytes = packet.payload.len();
        counters.packets += 1;
        counters.bytes += bytes as u64;
        counters.header_bytes += header_bytes(&packet.header, numbered) as u64;
        if kind == MediaKind::Audio {
            return;
        }
        self.frame += bytes;
        if packet.header.marker {
            let size = std::mem::take(&mut self.frame) as f64;
            let average = self.average.get_or_insert(size);
            counters.frames += 1;
            counters.huge_frames += u64::from(size >= HUGE * *average);
            *average += (size - *average) / 30.0;
        }
    }

    /// Forgets what has not left; returns the number that is free. Of a picture that has left in part one number is
    /// never given: otherwise the next one would seem to begin where it ended, and the part to be all of it.
    pub(super) fn take_back(&mut self) -> Option<u16> {
        let first = self.waiting.front().map(|(number, _)| *number);
        self.waiting.clear();
        let cut = std::mem::take(&mut self.frame) > 0;
        first.map(|first| first.wrapping_add(u16::from(cut)))
    }
}

/// What a header takes on the wire. `numbered`: the transport's number is put in later, for congestion
/// control ([RFC 8285, section 4.2](https://www.rfc-editor.org/rfc/rfc8285#section-4.2)).
fn header_bytes(header: &rtp::Header, numbered: bool) -> usize {
    let carried = header.extensions.iter().map(|e| 1 + e.payload.len());
    let extensions = carried.sum::<usize>() + if numbered { 3 } else { 0 };
    let profile = if extensions > 0 { 4 } else { 0 };
    12 + header.csrc.len() * 4 + profile + extensions.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn packet(number: u16, marker: bool, bytes: usize) -> rtp::Packet {
        let header = rtp::Header {
            version: 2,
            marker,
            sequence_number: number,
            ..Default::default()
        };
        let payload = Bytes::from(vec![0; bytes]);
        rtp::Packet { header, payload }
    }

    #[test]
    fn what_leaves_is_counted_with_its_wait() {
        let (mut departures, mut counters) = (Departures::default(), OutboundCounters::default());
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        (65_534..=65_535)
            .chain(0..4)
            .for_each(|n| departures.queued(n, at(0)));
        let mut left = |number, marker, millis| {
            let packet = packet(number, marker, 100);
            departures.left(&packet, MediaKind::Video, true, at(millis), &mut counters);
        };
        left(65_534, false, 10);
        left(65_535, true, 20);
        // 0 and 1 were dropped.
        left(2, true, 30);
        assert_eq!(counters.send_delay, Duration::from_millis(60));
        assert_eq!(
            (counters.packets, counters.bytes, counters.frames),
            (3, 300, 2)
        );
        assert_eq!(counters.header_bytes, 3 * (12 + 8));
        assert_eq!(departures.take_back(), Some(3));
        assert_eq!(departures.take_back(), None);
    }

    #[test]
    fn a_picture_that_was_cut_off_is_not_taken_for_whole() {
        let (mut departures, mut counters) = (Departures::default(), OutboundCounters::default());
        let now = Instant::now();
        (0..3).for_each(|n| departures.queued(n, now));
        let first = packet(0, false, 100);
        departures.left(&first, MediaKind::Video, false, now, &mut counters);
        assert_eq!(departures.take_back(), Some(2));
    }

    #[test]
    fn a_key_frame_among_small_pictures_is_huge() {
        let (mut departures, mut counters) = (Departures::default(), OutboundCounters::default());
        let now = Instant::now();
        for number in 0..20 {
            let bytes = if number == 10 { 1_000 } else { 100 };
            let packet = packet(number, true, bytes);
            departures.left(&packet, MediaKind::Video, false, now, &mut counters);
        }
        assert_eq!(counters.huge_frames, 1);
    }

    #[test]
    fn a_header_takes_what_it_takes_on_the_wire() {
        use rtc::shared::marshal::MarshalSize;
        let mut header = packet(1, true, 1).header;
        assert_eq!(header_bytes(&header, false), header.marshal_size());
        let mid = Bytes::from_static(b"12");
        header.set_extension(1, mid).expect("an id of one byte");
        assert_eq!(header_bytes(&header, false), header.marshal_size());
        let number = Bytes::from_static(&[0, 1]);
        let told = header_bytes(&header, true);
        header.set_extension(3, number).expect("an id of one byte");
        assert_eq!(told, header.marshal_size());
    }
}
