//! When the datagrams of a DTLS handshake are sent again
//! ([RFC 6347, section 4.2.4](https://www.rfc-editor.org/rfc/rfc6347#section-4.2.4)).
//!
//! Whoever makes the handshake says a flight again after a second, which a call that begins on a path with losses
//! can be seen to wait for. Section 4.2.4.1 lets who is in a hurry wait less. Here the same datagrams are sent
//! again, sooner, until an answer comes: to the other side each is what a network makes of one datagram now and
//! then, two. What it had already it drops, by the records' numbers.
//!
//! Not the handshake itself: nothing is decrypted, and no message is put together. Who lies to it makes a flight
//! wait for that second, no more.

use duet_media::MediaTime;
use std::time::Duration;

/// From a flight to its first repeat; each later pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(150);
const LONGEST_PAUSE: Duration = Duration::from_millis(600);
/// Repeats of one flight: some four seconds. Later its maker's own are left.
const MAX_REPEATS: u32 = 8;
/// What a flight may hold, in datagrams and in bytes; of a longer one the rest is not repeated. A certificate
/// of usual size takes some 2,000 bytes.
const MAX_DATAGRAMS: usize = 16;
const MAX_BYTES: usize = 32 << 10;

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Repeats the last flight of one end of one handshake. `T` is a datagram together with the way that it takes.
///
/// ```
/// use duet_media::MediaTime;
/// use duet_session::FlightRepeater;
/// let hello = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// let mut repeater = FlightRepeater::default();
/// repeater.on_sent(MediaTime::ZERO, &hello, || ("eth0", hello));
/// let due = repeater.next_timeout().expect("nobody answered");
/// assert_eq!(due, MediaTime::from_millis(150));
/// assert_eq!(repeater.take_due(due), [("eth0", hello)]);
/// ```
#[derive(Debug)]
pub struct FlightRepeater<T> {
    flight: Vec<T>,
    /// Of its first datagram.
    opening: Option<Opening>,
    /// Of all of them.
    bytes: usize,
    /// When the flight is sent again, if it is.
    next: Option<MediaTime>,
    repeats: u32,
    /// What the other side said last, of all that it has to say. A later word of it is an answer.
    heard: Option<Step>,
    /// The flight has an answer: what is sent now begins the next.
    answered: bool,
    /// Both sides have their keys.
    over: bool,
}

/// How far a handshake has come, by one side's words: messages are numbered until they are encrypted, and then
/// there is one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Message(u16),
    Finished,
}

/// What a datagram begins with: the first record's kind, its epoch, and the number of a message in the clear.
/// The record's own number, which is another each time, is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opening(u8, u16, Option<u16>);

impl<T> Default for FlightRepeater<T> {
    fn default() -> Self {
        FlightRepeater {
            flight: Vec::new(),
            opening: None,
            bytes: 0,
            next: None,
            repeats: 0,
            heard: None,
            answered: false,
            over: false,
        }
    }
}

impl<T: Clone> FlightRepeater<T> {
    /// A datagram left; any datagram may be told. `again` is asked for what to send if it is part of a
    /// handshake.
    pub fn on_sent(&mut self, now: MediaTime, datagram: &[u8], again: impl FnOnce() -> T) {
        if self.over || !matches!(datagram.first(), Some(&(CHANGE_CIPHER_SPEC | HANDSHAKE))) {
            return;
        }
        let opening = Opening::of(datagram);
        if self.answered {
            self.answered = false;
            self.repeats = 0;
            self.clear();
        } else if self.opening.is_some() && self.opening == opening {
            // Its maker says it again, with other numbers.
            self.clear();
        }
        if self.flight.len() < MAX_DATAGRAMS && self.bytes + datagram.len() <= MAX_BYTES {
            if self.flight.is_empty() {
                self.opening = opening;
            }
            self.bytes += datagram.len();
            self.flight.push(again());
        }
        self.schedule(now);
    }

    /// A datagram came; any datagram may be told.
    pub fn on_received(&mut self, datagram: &[u8]) {
        if self.over {
            return;
        }
        // RTP and RTCP need the keys, as data does.
        if matches!(datagram.first(), Some(128..=191)) {
            return self.end();
        }
        for record in Records(datagram) {
            let step = match record.kind {
                APPLICATION_DATA if record.epoch > 0 => return self.end(),
                HANDSHAKE if record.epoch > 0 => Step::Finished,
                HANDSHAKE => match message_sequence(record.body) {
                    Some(number) => Step::Message(number),
                    None => continue,
                },
                _ => continue,
            };
            if self.heard.is_none_or(|heard| step > heard) {
                self.heard = Some(step);
                self.answered = true;
                self.next = None;
            }
        }
    }

    /// Whether both sides have used their keys: nothing is asked any more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// When [`take_due`](Self::take_due) has something; `None` as long as nothing is sent.
    pub fn next_timeout(&self) -> Option<MediaTime> {
        self.next
    }

    /// What is to be sent again now.
    pub fn take_due(&mut self, now: MediaTime) -> Vec<T> {
        if self.next.is_none_or(|next| now < next) {
            return Vec::new();
        }
        self.repeats += 1;
        self.schedule(now);
        self.flight.clone()
    }

    fn schedule(&mut self, now: MediaTime) {
        let pause = FIRST_PAUSE * 2_u32.pow(self.repeats.min(8));
        self.next = (self.repeats < MAX_REPEATS).then(|| now + pause.min(LONGEST_PAUSE));
    }

    fn end(&mut self) {
        self.over = true;
        self.next = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.flight = Vec::new();
        self.bytes = 0;
        self.opening = None;
    }
}

impl Opening {
    fn of(datagram: &[u8]) -> Option<Self> {
        let record = Records(datagram).next()?;
        let clear = record.kind == HANDSHAKE && record.epoch == 0;
        let message = if clear {
            message_sequence(record.body)
        } else {
            None
        };
        Some(Opening(record.kind, record.epoch, message))
    }
}

/// Of a message in the clear ([RFC 6347, section 4.2.2](https://www.rfc-editor.org/rfc/rfc6347#section-4.2.2)).
fn message_sequence(body: &[u8]) -> Option<u16> {
    let number = body.get(4..6)?;
    Some(u16::from_be_bytes(number.try_into().ok()?))
}

/// One record ([RFC 6347, section 4.1](https://www.rfc-editor.org/rfc/rfc6347#section-4.1)).
struct Record<'a> {
    kind: u8,
    epoch: u16,
    body: &'a [u8],
}

/// The records of a datagram, as far as they are whole.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (head, behind) = self.0.split_at_checked(13)?;
        let len = usize::from(u16::from_be_bytes([head[11], head[12]]));
        let (body, rest) = behind.split_at_checked(len)?;
        self.0 = rest;
        Some(Record {
            kind: head[0],
            epoch: u16::from_be_bytes([head[3], head[4]]),
            body,
        })
    }
}

#[cfg(test)]
mod tests;
