//! [`RTCDTMFSender`]: telephone keys as
//! [RFC 4733](https://www.rfc-editor.org/rfc/rfc4733#section-2) events among a sender's sound.

use super::SenderShared;
use crate::interceptor::MediaPath;
use crate::{RTCError, RTCErrorKind};
use bytes::Bytes;
use duet_media::{EventTarget, Subscription};
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// Ticks a millisecond of the events' time stamps, those of Opus.
const TICKS: u32 = 48;
/// A key that is held is told this often.
const UPDATE: Duration = Duration::from_millis(20);
/// What a comma stands for.
const PAUSE: Duration = Duration::from_secs(2);
/// In dBm0, without the sign.
const VOLUME: u8 = 10;
/// The end of an event is told so often, since a packet may be lost.
const ENDS: usize = 3;

/// [`RTCDTMFToneChangeEvent`](https://w3c.github.io/webrtc-pc/#rtcdtmftonechangeevent): a tone begins, or
/// with an empty one all have been played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCDTMFToneChangeEvent {
    /// One character, or none.
    pub tone: String,
}

/// [`RTCDTMFSender`](https://w3c.github.io/webrtc-pc/#rtcdtmfsender). Clones are the same one.
#[derive(Clone)]
pub struct RTCDTMFSender(Arc<DtmfShared>);

pub(super) struct DtmfShared {
    state: Mutex<State>,
    events: EventTarget<RTCDTMFToneChangeEvent>,
}

#[derive(Default)]
struct State {
    tones: String,
    duration: Duration,
    gap: Duration,
    plays: bool,
}

impl RTCDTMFSender {
    pub(super) fn new() -> Self {
        RTCDTMFSender(Arc::new(DtmfShared {
            state: Mutex::default(),
            events: EventTarget::new(),
        }))
    }

    /// [`toneBuffer`](https://w3c.github.io/webrtc-pc/#dom-rtcdtmfsender-tonebuffer): what is still to be
    /// played.
    pub fn tone_buffer(&self) -> String {
        self.0.state.lock().tones.clone()
    }

    /// Calls `handler` for each tone that begins, and after the last one.
    pub fn subscribe(
        &self,
        handler: impl Fn(&RTCDTMFToneChangeEvent) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.events.subscribe(handler)
    }

    pub(super) fn insert(
        &self,
        sender: &Arc<SenderShared>,
        tones: &str,
        duration_ms: u32,
        gap_ms: u32,
    ) -> Result<(), RTCError> {
        let tones = tones.to_ascii_uppercase();
        if let Some(none) = tones
            .chars()
            .find(|tone| code(*tone).is_none() && *tone != ',')
        {
            let message = format!("{none:?} is no tone");
            return Err(RTCError::new(RTCErrorKind::InvalidCharacter, message));
        }
        let begins = {
            let mut state = self.0.state.lock();
            let empty = tones.is_empty();
            state.tones = tones;
            state.duration = Duration::from_millis(duration_ms.clamp(40, 6_000).into());
            state.gap = Duration::from_millis(gap_ms.clamp(30, 6_000).into());
            let begins = !empty && !state.plays;
            state.plays |= begins;
            begins
        };
        if begins {
            let player = Player {
                shared: self.0.clone(),
                sender: Arc::downgrade(sender),
            };
            tokio::spawn(player.run());
        }
        Ok(())
    }
}

impl PartialEq for RTCDTMFSender {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for RTCDTMFSender {}

impl fmt::Debug for RTCDTMFSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCDTMFSender")
            .field("tone_buffer", &self.tone_buffer())
            .finish_non_exhaustive()
    }
}

/// The [event](https://www.rfc-editor.org/rfc/rfc4733#section-3.2) of a key.
fn code(tone: char) -> Option<u8> {
    Some(match tone {
        '0'..='9' => tone as u8 - b'0',
        '*' => 10,
        '#' => 11,
        'A'..='D' => tone as u8 - b'A' + 12,
        _ => return None,
    })
}

/// Plays what waits, until nothing does.
struct Player {
    shared: Arc<DtmfShared>,
    sender: Weak<SenderShared>,
}

impl Player {
    async fn run(self) {
        loop {
            let next = {
                let mut state = self.shared.state.lock();
                let tone = state.tones.chars().next();
                match tone {
                    Some(tone) => {
                        state.tones.remove(0);
                        Some((tone, state.duration, state.gap))
                    }
                    None => {
                        state.plays = false;
                        None
                    }
                }
            };
            let tone = next.map(|(tone, ..)| tone.to_string()).unwrap_or_default();
            let Some((event, path, ssrc)) = self.way() else {
                // It sends no more: what waits is not played.
                self.shared.state.lock().plays = false;
                return;
            };
            self.shared
                .events
                .dispatch(&RTCDTMFToneChangeEvent { tone });
            let Some((tone, duration, gap)) = next else {
                return;
            };
            match code(tone) {
                Some(key) => {
                    press(&path, ssrc, event, key, duration).await;
                    tokio::time::sleep(gap).await;
                }
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// The events' payload type, and where they go.
    fn way(&self) -> Option<(u8, Arc<MediaPath>, u32)> {
        let sender = self.sender.upgrade()?;
        let event = sender.telephone_event()?;
        Some((event, sender.path.clone(), sender.ssrc))
    }
}

/// Tells of a key for as long as it is held.
async fn press(path: &MediaPath, ssrc: u32, payload_type: u8, key: u8, duration: Duration) {
    let Some(mut timestamp) = path.timestamp(ssrc) else {
        return;
    };
    let started = Instant::now();
    let total = u32::try_from(duration.as_millis())
        .unwrap_or(u32::MAX)
        .saturating_mul(TICKS);
    let mut before = 0;
    let mut next = started + UPDATE;
    let mut first = true;
    loop {
        tokio::time::sleep_until(next.min(started + duration)).await;
        let held = started.elapsed().as_millis();
        let held = u32::try_from(held)
            .unwrap_or(u32::MAX)
            .saturating_mul(TICKS)
            .min(total);
        // What is longer than can be said goes on in another segment (section 2.5.1.3).
        if held - before > u32::from(u16::MAX) {
            path.send_event(
                ssrc,
                payload_type,
                timestamp,
                false,
                said(key, false, u16::MAX),
            );
            before += u32::from(u16::MAX);
            timestamp = timestamp.wrapping_add(u32::from(u16::MAX));
        }
        let segment = u16::try_from(held - before).unwrap_or(u16::MAX);
        let over = held >= total;
        for _ in 0..if over { ENDS } else { 1 } {
            path.send_event(
                ssrc,
                payload_type,
                timestamp,
                first,
                said(key, over, segment),
            );
            first = false;
        }
        if over {
            return;
        }
        next += UPDATE;
    }
}

fn said(key: u8, over: bool, ticks: u16) -> Bytes {
    let [high, low] = ticks.to_be_bytes();
    Bytes::copy_from_slice(&[key, u8::from(over) << 7 | VOLUME, high, low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_packets_are_those_of_rfc_4733() {
        let codes: Vec<u8> = "0123456789*#ABCD".chars().filter_map(code).collect();
        assert_eq!(codes, (0..16).collect::<Vec<u8>>());
        assert_eq!((code('E'), code('a'), code(',')), (None, None, None));
        assert_eq!(&said(11, false, 960)[..], &[11, 10, 3, 192]);
        assert_eq!(&said(0, true, 65_535)[..], &[0, 0x8a, 255, 255]);
    }
}
