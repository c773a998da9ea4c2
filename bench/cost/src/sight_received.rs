//! A received picture's way: RTP packets, jitter buffer, libvpx, remote track, sink.

use crate::raw::{SIZE, painted};
use crate::sight::Sinking;
use crate::steady::Steady;
use crate::{Faults, cpu};
use duet::codec::{VideoCodec, VideoEncoderConfig};
use duet::media::{Clock, MediaTime, MonotonicClock, VideoFrame};
use duet::peer::pipeline::{Feedback, InboundVideo, InboundVideoConfig, Workers};
use duet::session::{RtpPacket, Vp8Packetizer};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 30);
const WARM_UP: u32 = 90;
/// Bytes of a payload.
const PAYLOAD: usize = 1_180;

struct Nobody;

impl Feedback for Nobody {
    fn request_key_frame(&self) {}
}

pub(crate) fn run(seconds: u32) -> Faults {
    let measured = seconds * 30;
    let encoded = match encode(WARM_UP + measured) {
        Ok(encoded) => encoded,
        Err(error) => return vec![format!("cannot encode: {error}")],
    };
    let packets: Vec<Vec<RtpPacket>> = packets(&encoded);
    let alone = decode_alone(&encoded);
    let clock = Arc::new(MonotonicClock::new());
    let (inbound, track) = InboundVideo::new(InboundVideoConfig {
        clock: clock.clone(),
        feedback: Arc::new(Nobody),
        label: "remote".into(),
        workers: Workers::Threads,
    });
    inbound.set_muted(false);
    let sinking = Sinking::start(&track);
    let started = Instant::now();
    let mut steady = Steady::begin();
    let mut before = (Duration::ZERO, 0);
    for (n, packets) in packets.into_iter().enumerate() {
        let due = started + INTERVAL * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if n == WARM_UP as usize {
            before = (cpu::of_threads("video-decoder"), sinking.count());
            steady = Steady::begin();
        }
        let arrival = clock.now();
        for packet in packets {
            inbound.push(packet, arrival);
        }
    }
    thread::sleep(Duration::from_millis(200));
    let allocated = steady.end();
    let used = cpu::of_threads("video-decoder") - before.0;
    let shown = sinking.count() - before.1;
    let count = u64::from(measured);
    println!("a received picture, from RTP packets to a sink of the remote track");
    println!(
        "  decoder's thread {:.0} us a picture, libvpx and the copy out of it alone {:.0}; \
         {:.2} allocations of {:.0} bytes a picture; {shown} of {measured} shown",
        cpu::each(used, count),
        cpu::each(alone, count),
        allocated.times as f64 / f64::from(measured),
        allocated.bytes as f64 / f64::from(measured),
    );
    Faults::new()
}

fn encode(count: u32) -> Result<Vec<bytes::Bytes>, duet::codec::CodecError> {
    let mut encoder = VideoCodec::Vp8.encoder(&VideoEncoderConfig {
        width: SIZE.0,
        height: SIZE.1,
        frame_rate: 30.0,
        bitrate: 2_000_000,
        temporal_layers: 1,
    })?;
    let mut frames = Vec::new();
    for (n, picture) in painted(count).enumerate() {
        let time = MediaTime::ZERO + INTERVAL * n as u32;
        let frame = VideoFrame::new(Arc::new(picture), time);
        // A picture that the encoder drops is none here: every tick is to have one.
        frames.extend(encoder.encode(&frame, n == 0)?.map(|encoded| encoded.data));
    }
    Ok(frames)
}

fn packets(encoded: &[bytes::Bytes]) -> Vec<Vec<RtpPacket>> {
    let mut packetizer = Vp8Packetizer::new(PAYLOAD, 1);
    let mut sequence_number = 0u16;
    let frames = encoded.iter().enumerate().map(|(n, frame)| {
        let payloads = packetizer.packetize(frame, None);
        let last = payloads.len().saturating_sub(1);
        let packet = |(at, payload)| {
            sequence_number = sequence_number.wrapping_add(1);
            RtpPacket {
                sequence_number,
                timestamp: n as u32 * 3_000,
                marker: at == last,
                ssrc: 1,
                payload_type: 96,
                payload,
            }
        };
        payloads.into_iter().enumerate().map(packet).collect()
    });
    frames.collect()
}

/// What the decoder alone takes for the pictures that are measured.
fn decode_alone(encoded: &[bytes::Bytes]) -> Duration {
    let Ok(mut decoder) = VideoCodec::Vp8.decoder() else {
        return Duration::ZERO;
    };
    let mut before = Duration::ZERO;
    let started = Instant::now();
    for (n, frame) in encoded.iter().enumerate() {
        // At the same pace: a processor that has just slept has cold caches.
        let due = started + INTERVAL * n as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if n == WARM_UP as usize {
            before = cpu::of_this_thread();
        }
        let _ = decoder.decode(frame);
    }
    cpu::of_this_thread() - before
}
