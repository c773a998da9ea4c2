//! What left of a stream lately: what can be sent again, how large it is, and when it last was.

use super::super::SENT_PACKETS_KEPT;
use std::time::{Duration, Instant};

/// The last packets of one stream, each where the low bits of its number say: as many as the memory for
/// retransmissions has.
pub(super) struct Sent(Box<[Option<Packet>]>);

#[derive(Clone, Copy)]
struct Packet {
    number: u16,
    bytes: usize,
    answered: Option<Instant>,
}

/// What to do about a request for one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// Send it again: so many bytes.
    Due(usize),
    /// It was sent again a moment ago.
    UnderWay,
    /// It was never sent, or is forgotten.
    Unknown,
}

impl Default for Sent {
    fn default() -> Self {
        Sent(vec![None; usize::from(SENT_PACKETS_KEPT)].into_boxed_slice())
    }
}

impl Sent {
    /// A packet left for the first time.
    pub(super) fn left(&mut self, number: u16, bytes: usize) {
        *self.slot(number) = Some(Packet {
            number,
            bytes,
            answered: None,
        });
    }

    /// What a request for `number` asks for. An answer takes so long that it was not heard of within
    /// `round_trip`.
    pub(super) fn request(&mut self, number: u16, now: Instant, round_trip: Duration) -> Request {
        let packet = self.slot(number).filter(|packet| packet.number == number);
        let Some(Packet {
            bytes, answered, ..
        }) = packet
        else {
            return Request::Unknown;
        };
        match answered {
            Some(at) if now.saturating_duration_since(at) < round_trip => Request::UnderWay,
            _ => Request::Due(bytes),
        }
    }

    /// It is sent again.
    pub(super) fn answered(&mut self, number: u16, now: Instant) {
        if let Some(packet) = self.slot(number) {
            packet.answered = Some(now);
        }
    }

    /// In bounds by the remainder.
    fn slot(&mut self, number: u16) -> &mut Option<Packet> {
        &mut self.0[usize::from(number % SENT_PACKETS_KEPT)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_before_the_answer_can_have_come_is_answered_once() {
        let mut sent = Sent::default();
        [7, 8].into_iter().for_each(|number| sent.left(number, 100));
        let start = Instant::now();
        let mut asked = |number, millis| {
            let now = start + Duration::from_millis(millis);
            let request = sent.request(number, now, Duration::from_millis(75));
            if request == Request::Due(100) {
                sent.answered(number, now);
                return true;
            }
            assert_eq!(request, Request::UnderWay);
            false
        };
        assert!(asked(7, 0));
        assert!(!asked(7, 25) && !asked(7, 50));
        assert!(asked(8, 50), "another packet");
        assert!(asked(7, 100), "the answer was lost");
        assert!(!asked(8, 120) && !asked(7, 150));
    }

    #[test]
    fn what_was_never_sent_or_is_long_gone_is_not_sent_again() {
        let mut sent = Sent::default();
        let now = Instant::now();
        (65_000..=65_535)
            .chain(0..2_000)
            .for_each(|number| sent.left(number, 1));
        let known = |number| sent.request(number, now, Duration::ZERO) == Request::Due(1);
        let known: Vec<u16> = (0..=u16::MAX)
            .filter({
                let mut known = known;
                move |number| known(*number)
            })
            .collect();
        assert_eq!(known, (976..2_000).collect::<Vec<u16>>());
    }
}
