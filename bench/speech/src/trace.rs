//! Speech as a call sends it, and when each packet comes.

use crate::{Failure, SAMPLE_RATE};
use bytes::Bytes;
use duet_codec::{AudioCodec, AudioEncoderConfig};
use duet_media::{AudioBuffer, MediaTime};
use duet_session::sim::{Link, LinkConfig};
use duet_session::{AudioLimits, AudioPath, AudioSendPolicy, RedHistory, RtpPacket};
use std::collections::VecDeque;
use std::time::Duration;

/// Sound in a packet: the path is not thin, so it stays so long.
pub const PACKET: Duration = Duration::from_millis(20);
const FRAMES: usize = 960;
/// Of plain Opus, and with copies of earlier packets (RED, RFC 2198).
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;
/// Beside the payload: IP, UDP, RTP, SRTP.
const HEADERS: usize = 60;
const MAX_PAYLOAD: usize = 1_200;
/// What the path is said to carry, all streams together, and this one's share of it, bits a second.
const ESTIMATE_BPS: u64 = 2_000_000;
const SHARE_BPS: u64 = 48_000;
/// How many packets the losses are told of, as reports of a second or so do; and how long ago they were
/// sent when it is known.
const TOLD_OF: usize = 100;
const TOLD_AFTER: usize = 10;

/// What came, in the order of its coming. The first sample is said at zero.
pub struct Trace {
    pub arrivals: Vec<(MediaTime, RtpPacket)>,
    /// Packets that were sent, and those that carried copies.
    pub sent: u64,
    pub with_copies: u64,
}

/// `speech` by a sound card that takes `card_hz` samples in a second of 48,000, over a link.
pub fn make(speech: &[f32], link: &LinkConfig, seed: u64, card_hz: u32) -> Result<Trace, Failure> {
    let mut config = AudioEncoderConfig {
        bitrate: 32_000,
        expected_loss: 0,
        fec: true,
        dtx: false,
    };
    let mut encoder = AudioCodec::Opus.encoder(1, &config)?;
    let mut policy = AudioSendPolicy::new(AudioLimits {
        red: true,
        ..AudioLimits::default()
    });
    let mut link = Link::new(link.clone(), seed);
    let mut history = RedHistory::new();
    let mut lost = VecDeque::from([false; TOLD_AFTER]);
    let mut sound = AudioBuffer::new(SAMPLE_RATE, 1, FRAMES);
    let mut trace = Trace {
        arrivals: Vec::new(),
        sent: 0,
        with_copies: 0,
    };
    for (number, samples) in speech.chunks_exact(FRAMES).enumerate() {
        sound.samples_mut().copy_from_slice(samples);
        let number = number as u32;
        // A packet is there when its last sample was said.
        let nanos = u64::from(number + 1) * FRAMES as u64 * 1_000_000_000 / u64::from(card_hz);
        let said = MediaTime::ZERO + Duration::from_nanos(nanos);
        let told = lost.iter().take(lost.len() - TOLD_AFTER);
        let sending = policy.update(
            AudioPath {
                estimate_bps: ESTIMATE_BPS,
                share_bps: SHARE_BPS,
                loss: told.clone().filter(|lost| **lost).count() as f64 / told.len().max(1) as f64,
            },
            said,
        );
        config.bitrate = u32::try_from(sending.bitrate_bps)?;
        config.expected_loss = sending.expected_loss;
        encoder.configure(&config)?;
        let opus = encoder.encode(&sound)?;
        let timestamp = number.wrapping_mul(FRAMES as u32);
        let copies = usize::from(sending.copies);
        let (payload_type, payload) = wrap(&mut history, timestamp, opus, copies);
        trace.sent += 1;
        trace.with_copies += u64::from(payload_type == RED);
        let bytes = payload.len() + HEADERS;
        let before = link.counters().lost;
        let packet = RtpPacket {
            payload_type,
            sequence_number: number as u16,
            timestamp,
            marker: number == 0,
            ssrc: 1,
            payload,
        };
        link.send(packet, bytes, said);
        lost.push_back(link.counters().lost > before);
        if lost.len() > TOLD_OF + TOLD_AFTER {
            lost.pop_front();
        }
        while let Some(arrival) = link.poll(said) {
            trace.arrivals.push(arrival);
        }
    }
    while let Some(next) = link.next_arrival() {
        trace.arrivals.extend(link.poll(next));
    }
    Ok(trace)
}

fn wrap(history: &mut RedHistory, timestamp: u32, opus: Bytes, copies: usize) -> (u8, Bytes) {
    if copies > 0 {
        let red = history.wrap(OPUS, timestamp, opus, copies, MAX_PAYLOAD);
        return (RED, red);
    }
    history.note(timestamp, opus.clone());
    (OPUS, opus)
}
