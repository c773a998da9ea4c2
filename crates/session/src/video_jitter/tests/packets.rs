//! Packet by packet.

use bytes::Bytes;
use proptest::prelude::*;

use super::super::*;
use super::MS;
use crate::Vp8Packetizer;

#[test]
fn a_frame_of_one_packet_is_not_copied() {
    let payload = Bytes::from_static(&[0x10, 0x00, 1, 2, 3, 4, 5]);
    let mut buffer = VideoJitterBuffer::default();
    let packet = RtpPacket {
        sequence_number: 1,
        timestamp: 0,
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: payload.clone(),
    };
    buffer.push(packet, MediaTime::ZERO);
    let Some(VideoEvent::Frame(frame)) = buffer.poll(MediaTime::ZERO) else {
        panic!("no frame");
    };
    assert_eq!(frame.data.as_ptr(), payload[1..].as_ptr());
    assert_eq!(buffer.buffered_bytes(), 0);
}

/// A frame of one packet.
fn single(number: u16, key: bool) -> RtpPacket {
    RtpPacket {
        sequence_number: number,
        timestamp: u32::from(number) * 3_000,
        marker: true,
        ssrc: 1,
        payload_type: 96,
        payload: Bytes::copy_from_slice(&[0x10, u8::from(!key), 0]),
    }
}

/// The frames (by timestamp, in frames) that come out at `now`, and whether a key frame is asked for.
fn drain(buffer: &mut VideoJitterBuffer, now: MediaTime) -> (Vec<i64>, bool) {
    let (mut frames, mut asked) = (Vec::new(), false);
    while let Some(event) = buffer.poll(now) {
        match event {
            VideoEvent::Frame(frame) => frames.push(frame.rtp_timestamp / 3_000),
            VideoEvent::KeyFrameNeeded => asked = true,
        }
    }
    (frames, asked)
}

#[test]
fn a_whole_key_frame_behind_a_gap_is_not_kept_waiting() {
    let mut buffer = VideoJitterBuffer::default();
    for (number, key) in [(0, true), (2, false), (4, true), (5, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![0, 4, 5], false));
    assert_eq!((buffer.counters().lost, buffer.counters().dropped), (2, 1));
}

#[test]
fn what_comes_after_all_spares_the_key_frame() {
    let mut buffer = VideoJitterBuffer::default();
    buffer.set_rtt(MS * 20);
    for (number, key) in [(0, true), (2, false), (3, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![0], false));
    let timeout = buffer.next_timeout().unwrap();
    assert_eq!(timeout, MediaTime::from_millis(100));
    assert_eq!(drain(&mut buffer, timeout), (vec![], true));
    let late = MediaTime::from_millis(900);
    buffer.push(single(4, false), late);
    buffer.push(single(1, false), late);
    assert_eq!(drain(&mut buffer, late), (vec![1, 2, 3, 4], false));
    assert_eq!(buffer.next_timeout(), None);
    assert_eq!(buffer.counters().lost, 0);
}

#[test]
fn what_the_decoder_gave_up_is_not_taken_up_again() {
    let mut buffer = VideoJitterBuffer::default();
    for (number, key) in [(0, true), (2, false)] {
        buffer.push(single(number, key), MediaTime::ZERO);
    }
    drain(&mut buffer, MediaTime::ZERO);
    let timeout = buffer.next_timeout().unwrap();
    assert_eq!(drain(&mut buffer, timeout), (vec![], true));
    buffer.demand_key_frame(timeout);
    for number in [1, 3, 4] {
        buffer.push(single(number, false), timeout);
    }
    assert_eq!(drain(&mut buffer, timeout).0, []);
    buffer.push(single(5, true), timeout);
    assert_eq!(drain(&mut buffer, timeout).0, [5]);
}

#[test]
fn a_gap_that_was_filled_is_forgotten() {
    let mut buffer = VideoJitterBuffer::default();
    // One frame in packets 1 to 4.
    let part = |number: u16| RtpPacket {
        timestamp: 3_000,
        marker: number == 4,
        payload: Bytes::from_static(if number == 1 { &[0x10, 1, 0] } else { &[0, 9] }),
        ..single(number, false)
    };
    buffer.push(single(0, true), MediaTime::ZERO);
    buffer.push(part(1), MediaTime::ZERO);
    buffer.push(part(3), MediaTime::ZERO);
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, [0]);
    assert!(buffer.next_timeout().is_some());
    buffer.push(part(2), MediaTime::from_millis(5));
    assert_eq!(drain(&mut buffer, MediaTime::from_millis(5)).0, []);
    assert_eq!(buffer.next_timeout(), None, "its end is not missing yet");
    let late = MediaTime::from_millis(700);
    buffer.push(part(4), late);
    assert_eq!(drain(&mut buffer, late), (vec![1], false));
}

#[test]
fn a_missing_marker_and_a_stray_part_are_told_apart() {
    let mut buffer = VideoJitterBuffer::default();
    buffer.push(
        RtpPacket {
            marker: false,
            ..single(0, true)
        },
        MediaTime::ZERO,
    );
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, []);
    // The next frame begins: the first was whole.
    buffer.push(
        RtpPacket {
            marker: false,
            ..single(1, false)
        },
        MediaTime::ZERO,
    );
    assert_eq!(drain(&mut buffer, MediaTime::ZERO).0, [0]);
    // Part of a frame whose beginning never was: what stands before it has no end.
    let stray = RtpPacket {
        payload: Bytes::from_static(&[0, 9]),
        ..single(2, false)
    };
    buffer.push(stray, MediaTime::ZERO);
    assert_eq!(drain(&mut buffer, MediaTime::ZERO), (vec![], true));
}

#[test]
fn upper_temporal_layers_may_be_lost() {
    // Layer 0 and layer 1 in turn; the second frame of layer 1 never comes.
    let mut buffer = VideoJitterBuffer::default();
    buffer.set_rtt(MS * 20);
    let mut now = MediaTime::ZERO;
    let mut shown = Vec::new();
    for n in 0..8u16 {
        let descriptor = Vp8Descriptor {
            partition_start: true,
            picture_id: Some(PictureId::Long(n)),
            tl0_picture_index: Some((n / 2) as u8),
            temporal_layer: Some(((n % 2) as u8, false)),
            ..Vp8Descriptor::default()
        };
        let mut payload = bytes::BytesMut::new();
        descriptor.write(&mut payload);
        payload.extend_from_slice(&[u8::from(n > 0), 0, 0]);
        let packet = RtpPacket {
            sequence_number: n,
            timestamp: u32::from(n) * 3_000,
            marker: true,
            ssrc: 1,
            payload_type: 96,
            payload: payload.freeze(),
        };
        if n != 3 {
            buffer.push(packet, now);
        }
        now += MS * 50;
        while let Some(event) = buffer.poll(now) {
            match event {
                VideoEvent::Frame(frame) => shown.push(frame.rtp_timestamp / 3_000),
                VideoEvent::KeyFrameNeeded => panic!("no need"),
            }
        }
    }
    assert_eq!(shown, [0, 1, 2, 4, 5, 6, 7]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let config = VideoJitterConfig {
        max_packets: 100,
        max_bytes: 50_000,
        ..VideoJitterConfig::default()
    };
    let mut buffer = VideoJitterBuffer::new(config);
    for n in 0..60_000u32 {
        let now = MediaTime::from_micros(i64::from(n) * 100);
        let packet = RtpPacket {
            // Every tenth number is missing, so that nothing is ever whole.
            sequence_number: (n + n / 9) as u16,
            timestamp: n / 20 * 3_000,
            marker: n % 20 == 19,
            ssrc: 1,
            payload_type: 96,
            payload: Bytes::from(vec![if n % 20 == 0 { 0x10 } else { 0 }; 1_000]),
        };
        buffer.push(packet, now);
        while let Some(event) = buffer.poll(now) {
            assert!(!matches!(event, VideoEvent::Frame(_)));
        }
        assert!(buffer.buffered_packets() <= 100 && buffer.buffered_bytes() <= 50_000);
    }
    assert!(
        buffer.counters().key_frame_requests <= 12,
        "{:?}",
        buffer.counters()
    );
}

proptest! {
    #[test]
    fn no_packets_panic_and_what_comes_out_can_be_decoded(
        packets in prop::collection::vec((any::<u16>(), 0u32..8, any::<bool>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..8), 0i64..400), 0..300),
        base in any::<u16>(),
        spread in 1u16..,
    ) {
        let config = VideoJitterConfig { max_packets: 50, ..VideoJitterConfig::default() };
        let mut buffer = VideoJitterBuffer::new(config);
        let mut now = MediaTime::ZERO;
        let mut started = false;
        for (number, timestamp, marker, ssrc, payload, wait) in packets {
            let packet = RtpPacket {
                sequence_number: base.wrapping_add(number % spread),
                timestamp: timestamp.wrapping_mul(0x3000_0000),
                marker,
                ssrc,
                payload_type: 96,
                payload: Bytes::from(payload),
            };
            buffer.push(packet, now);
            let mut events = 0;
            while let Some(event) = buffer.poll(now) {
                if let VideoEvent::Frame(frame) = event {
                    prop_assert!(started || frame.key_frame);
                    prop_assert!(!frame.data.is_empty());
                    started = true;
                }
                events += 1;
                prop_assert!(events < 100);
            }
            prop_assert!(buffer.next_timeout().is_none_or(|at| at > now));
            prop_assert!(buffer.buffered_packets() <= 50);
            now += MS * u32::try_from(wait).unwrap();
        }
    }

    #[test]
    fn cut_shuffled_doubled_and_put_together_again(
        sizes in prop::collection::vec(5usize..4_000, 1..20),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..60),
        copies in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        first in any::<u16>(),
    ) {
        let mut packetizer = Vp8Packetizer::new(500, first);
        let mut packets = Vec::new();
        let frames: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| {
            let mut frame = vec![n as u8; *size];
            frame[0] = u8::from(n > 0);
            frame
        }).collect();
        for (n, frame) in frames.iter().enumerate() {
            let payloads = packetizer.packetize(frame, None);
            let count = payloads.len();
            for (part, payload) in payloads.into_iter().enumerate() {
                packets.push(RtpPacket {
                    sequence_number: first.wrapping_add(packets.len() as u16),
                    timestamp: (u32::MAX - 9_000).wrapping_add(n as u32 * 3_000),
                    marker: part + 1 == count,
                    ssrc: 1,
                    payload_type: 96,
                    payload,
                });
            }
        }
        for (a, b) in swaps {
            let (a, b) = (a.index(packets.len()), b.index(packets.len()));
            packets.swap(a, b);
        }
        for copy in copies {
            packets.push(packets[copy.index(packets.len())].clone());
        }
        let mut buffer = VideoJitterBuffer::default();
        for packet in packets {
            buffer.push(packet, MediaTime::ZERO);
        }
        let mut got = Vec::new();
        while let Some(event) = buffer.poll(MediaTime::ZERO) {
            if let VideoEvent::Frame(frame) = event {
                got.push(frame.data.to_vec());
            }
        }
        prop_assert_eq!(got, frames);
    }
}
