//! Scenarios in virtual time, over one harness.

mod call;
mod copies;

use super::*;
use crate::rng::Rng;
use call::{Call, LOUDNESS, PACKET_MILLIS, Tone, tone};
use duet_media::AudioBuffer;
use proptest::prelude::*;

fn at_once(_: i64, _: &mut Rng) -> Option<f64> {
    Some(5.0)
}

#[test]
fn a_clean_link_costs_next_to_nothing() {
    for phase in [0, 100_000, 3_700_000, 5_000_000, 9_900_000] {
        let mut call = Call::new(1);
        call.phase = phase;
        call.run(0.1, &mut at_once).run(20.0, &mut at_once);
        assert!(call.delay(0.5) <= 5.0 + 25.0, "{} ms", call.delay(0.5));
        assert_eq!(call.playout.target_delay(), Duration::from_millis(15));
        let stats = call.stats();
        assert_eq!(stats.concealed_samples, 0);
        assert_eq!(stats.packets_discarded + stats.packets_duplicated, 0);
        assert_eq!(stats.inserted_samples_for_deceleration, 0);
        assert_eq!(stats.removed_samples_for_acceleration, 0);
        assert_eq!(stats.total_samples_received, 2_010 * 480);
        let mean =
            stats.jitter_buffer_delay.as_secs_f64() / stats.jitter_buffer_emitted_count as f64;
        assert!(mean < 0.035, "{mean} s");
        call.assert_no_click();
    }
}

#[test]
fn sound_comes_out_as_it_went_in() {
    let mut call = Call::new(2);
    call.run(1.0, &mut at_once).run(5.0, &mut at_once);
    for ((block, _), sound) in call.blocks.iter().zip(call.sound.chunks(480)) {
        let from = block.rtp_timestamp.unwrap();
        assert_eq!(block.kind, PlayoutKind::Normal);
        assert!(
            sound
                .iter()
                .enumerate()
                .all(|(i, s)| *s == LOUDNESS * tone(from + i as i64))
        );
    }
}

#[test]
fn jitter_is_learnt_and_then_no_longer_heard() {
    let mut jitter = |_: i64, rng: &mut Rng| Some(60.0 * rng.unit());
    for seed in 0..5 {
        let mut call = Call::new(seed);
        call.run(5.0, &mut jitter);
        let learnt = call.stats();
        call.run(60.0, &mut jitter);
        assert_eq!(call.stats().concealed_samples, learnt.concealed_samples);
        assert!(call.delay(0.5) < 95.0, "{} ms", call.delay(0.5));
        call.assert_no_click();
        call.assert_pitch();
        // The network calms down, and so does the delay.
        call.run(10.0, &mut at_once).run(5.0, &mut at_once);
        assert!(call.delay(0.95) <= 5.0 + 30.0, "{} ms", call.delay(0.95));
        assert_eq!(call.stats().concealed_samples, learnt.concealed_samples);
    }
}

#[test]
fn packets_that_come_in_clumps_are_evened_out() {
    let mut clumps = |n: i64, _: &mut Rng| Some(PACKET_MILLIS * (4 - n % 5) as f64);
    let mut call = Call::new(3);
    call.run(5.0, &mut clumps);
    let learnt = call.stats();
    call.run(30.0, &mut clumps);
    assert_eq!(call.stats().concealed_samples, learnt.concealed_samples);
    assert!(call.delay(0.95) < 80.0 + 40.0, "{} ms", call.delay(0.95));
    call.assert_no_click();
}

#[test]
fn lost_packets_come_back_from_their_successors() {
    let mut lossy = |_: i64, rng: &mut Rng| (rng.unit() >= 0.05).then(|| 8.0 * rng.unit());
    let mut call = Call::new(4);
    call.flags = Tone::FEC;
    call.run(5.0, &mut lossy);
    let before = call.stats();
    call.run(60.0, &mut lossy);
    let stats = call.stats();
    let recovered = stats.fec_packets_received - before.fec_packets_received;
    let made_up = stats.concealed_samples - before.concealed_samples;
    assert!(
        (110..190).contains(&recovered),
        "{recovered} of some 150 lost"
    );
    // What remains are the first of two lost in a row: 0.25 % of all.
    assert!(made_up < 60 * 48_000 / 100, "{made_up} samples");
    assert!(call.delay(0.5) < 65.0, "{} ms", call.delay(0.5));
    call.assert_no_click();
    call.assert_pitch();
}

#[test]
fn without_copies_losses_are_made_up_and_nobody_waits_for_them() {
    let mut lossy = |n: i64, _: &mut Rng| (n % 25 != 12).then_some(5.0);
    let mut call = Call::new(5);
    call.run(20.0, &mut lossy);
    let stats = call.stats();
    assert_eq!(stats.fec_packets_received, 0);
    assert_eq!(stats.concealment_events, 40);
    let per_event = stats.concealed_samples as f64 / 40.0;
    assert!((900.0..1_100.0).contains(&per_event), "{per_event} samples");
    assert_eq!(stats.silent_concealed_samples, 0);
    assert!(call.delay(0.95) < 36.0, "{} ms", call.delay(0.95));
    call.assert_no_click();
}

#[test]
fn a_drifting_clock_neither_adds_delay_nor_clicks_in_an_hour() {
    for ratio in [1.0 - 300e-6, 1.0 + 300e-6] {
        let mut call = Call::new(6);
        call.clock_ratio = ratio;
        call.run(1.0, &mut at_once);
        for _ in 0..60 {
            call.run(60.0, &mut at_once);
            call.assert_no_click();
            let (best, worst) = (call.delay(0.0), call.delay(1.0));
            assert!(best > 5.0 && worst < 5.0 + 35.0, "{best} to {worst} ms");
        }
        call.assert_pitch();
        let stats = call.stats();
        assert_eq!(stats.concealed_samples, 0);
        // 300 ppm of an hour are 1.08 s.
        let stretched = stats.inserted_samples_for_deceleration as f64
            - stats.removed_samples_for_acceleration as f64;
        let seconds = stretched.abs() / 48_000.0;
        assert!((1.0..1.15).contains(&seconds), "{seconds} s");
    }
}

#[test]
fn disorder_and_repetition_leave_no_trace() {
    let mut disorder = |n: i64, _: &mut Rng| Some(if n % 4 == 1 { 30.0 } else { 2.0 });
    let mut call = Call::new(7);
    call.run(3.0, &mut disorder);
    let learnt = call.stats();
    call.run(20.0, &mut disorder);
    assert_eq!(call.stats().concealed_samples, learnt.concealed_samples);
    assert_eq!(call.stats().packets_discarded, learnt.packets_discarded);
    // Everything once more: what is played, and what is waiting.
    let sent = call.sent;
    let now = MediaTime::from_nanos(call.pulled * 10_000_000);
    let before = call.stats();
    for n in sent - 10..sent - 2 {
        call.playout.push(call.packet(n), now);
    }
    assert_eq!(
        call.stats().packets_duplicated,
        before.packets_duplicated + 8
    );
    assert_eq!(call.stats().packets_discarded, before.packets_discarded);
    call.run(1.0, &mut disorder).assert_no_click();
}

#[test]
fn counters_wrap_unheard() {
    let mut call = Call::new(8);
    (call.first_sequence, call.first_timestamp) = (u16::MAX - 100, u32::MAX - 48_000);
    call.run(1.0, &mut at_once).run(5.0, &mut at_once);
    call.assert_pitch();
    let starts: Vec<i64> = call
        .blocks
        .iter()
        .filter_map(|(b, _)| b.rtp_timestamp)
        .collect();
    assert!(starts.windows(2).all(|pair| pair[1] == pair[0] + 480));
    assert!(starts[starts.len() - 1] > i64::from(u32::MAX));
    assert_eq!(call.stats().concealed_samples, 0);
}

#[test]
fn an_outage_fades_to_silence_and_ends_without_a_backlog() {
    for backlog in [false, true] {
        let mut call = Call::new(9);
        // From 2 s to 4 s nothing arrives; with a backlog all of it arrives at 4 s.
        let mut outage = |n: i64, _: &mut Rng| match n {
            100..200 if backlog => Some((200 - n) as f64 * PACKET_MILLIS),
            100..200 => None,
            _ => Some(5.0),
        };
        call.run(2.0, &mut outage).run(1.9, &mut outage);
        call.assert_no_click();
        let silent_from = call.sound.iter().rposition(|s| *s != 0.0).unwrap() as f64 / 48.0;
        assert!((100.0..250.0).contains(&silent_from), "{silent_from} ms");
        let stats = call.stats();
        assert_eq!(stats.concealment_events, 1);
        assert!(
            stats.silent_concealed_samples > 48_000
                && stats.concealed_samples > stats.silent_concealed_samples
        );
        call.run(0.5, &mut outage)
            .run(10.0, &mut outage)
            .assert_no_click();
        call.run(1.0, &mut outage);
        assert!(call.delay(0.95) < 40.0, "{} ms", call.delay(0.95));
        call.assert_pitch();
    }
}

#[test]
fn a_link_that_stalls_now_and_again_is_learnt_and_a_rare_stall_is_not() {
    // Every two seconds the link holds 100 ms of packets back and then lets them go at once.
    let mut stalls = |n: i64, _: &mut Rng| Some(5.0 + (100 - n % 100 * 20).max(0) as f64);
    let mut call = Call::new(17);
    call.run(10.0, &mut stalls);
    let learnt = call.stats();
    call.run(30.0, &mut stalls).assert_no_click();
    assert_eq!(call.stats().concealed_samples, learnt.concealed_samples);
    assert!(call.delay(0.95) < 5.0 + 140.0, "{} ms", call.delay(0.95));
    // Once in eight seconds is not worth 100 ms all the time.
    let mut rare = |n: i64, _: &mut Rng| Some(5.0 + (100 - n % 400 * 20).max(0) as f64);
    call.run(20.0, &mut rare).run(30.0, &mut rare);
    assert!(call.delay(0.5) < 5.0 + 30.0, "{} ms", call.delay(0.5));
}

#[test]
fn a_late_spike_is_played_late_and_caught_up_with() {
    let mut spike = |n: i64, _: &mut Rng| {
        Some(if (100..108).contains(&n) {
            5.0 + (108 - n) as f64 * 20.0
        } else {
            5.0
        })
    };
    let mut call = Call::new(10);
    call.run(1.9, &mut spike);
    call.run(8.0, &mut spike).assert_no_click();
    let stats = call.stats();
    assert_eq!(stats.packets_discarded, 0, "all was played");
    assert!(stats.concealed_samples < 48 * 200);
    assert!(stats.removed_samples_for_acceleration > 48 * 80);
    call.run(1.0, &mut spike);
    assert!(call.delay(0.95) < 40.0, "{} ms", call.delay(0.95));
}

#[test]
fn a_path_that_gets_shorter_does_not_make_sound_longer() {
    // A queue that empties: sound needs no more time than before, only the fastest packet is faster.
    let mut emptying = |n: i64, rng: &mut Rng| {
        let queue = (400 - (n - 300).clamp(0, 100) * 4) as f64 / 4.0;
        Some(5.0 + queue + 30.0 * rng.unit())
    };
    for seed in 0..5 {
        let mut call = Call::new(seed);
        call.run(6.0, &mut emptying);
        let before = call.stats().inserted_samples_for_deceleration;
        let late = call.delay(0.5);
        call.run(2.0, &mut emptying);
        assert_eq!(call.stats().inserted_samples_for_deceleration, before);
        assert!(call.delay(1.0) < late + 5.0, "{} ms", call.delay(1.0));
    }
}

#[test]
fn announced_silence_is_not_loss() {
    let mut call = Call::new(11);
    call.run(1.0, &mut at_once);
    let now = |call: &Call| MediaTime::from_nanos(call.pulled * 10_000_000 + 1_000);
    let mut announcement = call.packet(call.sent);
    announcement.payload = Bytes::from_static(&[0xF8]);
    call.playout.push(announcement, now(&call));
    // Half a second of nothing: timestamps go on, sequence numbers do not.
    call.first_sequence = call.first_sequence.wrapping_sub(24);
    call.sent += 25;
    let mut none = |_: i64, _: &mut Rng| None;
    let until = call.sent;
    call.run(0.48, &mut none);
    assert_eq!(call.sent, until, "nothing was sent meanwhile");
    assert!(
        call.blocks[10..]
            .iter()
            .all(|(block, _)| block.kind == PlayoutKind::Silence)
    );
    call.run(2.0, &mut at_once);
    assert_eq!(call.stats().concealed_samples, 0);
    assert!(call.delay(0.95) < 36.0, "{} ms", call.delay(0.95));
    assert_eq!(call.blocks[199].0.kind, PlayoutKind::Normal);
}

#[test]
fn unannounced_silence_is_judged_by_the_next_packet() {
    for lost in [false, true] {
        let mut call = Call::new(12);
        call.flags = Tone::QUIET;
        call.run(1.0, &mut at_once);
        if !lost {
            call.first_sequence = call.first_sequence.wrapping_sub(25);
        }
        call.sent += 25;
        call.run(0.48, &mut |_, _| None);
        assert_eq!(call.stats().concealed_samples, 0);
        call.run(1.0, &mut at_once);
        let stats = call.stats();
        assert_eq!(stats.concealed_samples > 0, lost);
        assert_eq!(stats.silent_concealed_samples, stats.concealed_samples);
    }
}

#[test]
fn another_source_or_timeline_starts_anew() {
    for other_ssrc in [false, true] {
        let mut call = Call::new(13);
        call.run(1.0, &mut at_once);
        let (mut out, start) = (AudioBuffer::default(), call.pulled * 10_000_000);
        let mut heard = 0;
        for n in 0..50_i64 {
            let at = MediaTime::from_nanos(start + n * 20_000_000);
            let mut packet = call.packet(n);
            packet.ssrc += u32::from(other_ssrc);
            packet.timestamp = packet.timestamp.wrapping_add(2_000_000_000);
            packet.payload = Tone::packet(packet.timestamp, 0);
            call.playout.push(packet, at);
            for half in [0, 10] {
                let block = call
                    .playout
                    .pull(at + Duration::from_millis(half), &mut out);
                heard += u32::from(block.kind == PlayoutKind::Normal);
            }
        }
        assert!(heard >= 95, "{heard} of 100");
        assert_eq!(call.stats().concealed_samples, 0);
    }
}

#[test]
fn a_smallest_delay_is_reached_and_left_at_the_same_pitch() {
    let mut call = Call::new(14);
    call.run(2.0, &mut at_once);
    call.playout.set_min_delay(Duration::from_millis(250));
    call.run(3.0, &mut at_once).assert_no_click();
    call.assert_pitch();
    call.run(1.0, &mut at_once);
    assert!(
        (245.0..270.0).contains(&call.delay(0.5)),
        "{} ms",
        call.delay(0.5)
    );
    assert_eq!(call.playout.target_delay(), Duration::from_millis(250));
    call.playout.set_min_delay(Duration::ZERO);
    call.run(4.0, &mut at_once).assert_no_click();
    call.assert_pitch();
    call.run(1.0, &mut at_once);
    assert!(call.delay(0.95) < 36.0, "{} ms", call.delay(0.95));
    assert_eq!(call.stats().concealed_samples, 0);
}

#[test]
fn a_corrupt_packet_is_made_up() {
    let mut call = Call::new(15);
    call.run(1.0, &mut at_once);
    let mut garbage = call.packet(call.sent);
    garbage.payload = Bytes::from_static(&[0xFF; 40]);
    call.sent += 1;
    call.playout
        .push(garbage, MediaTime::from_nanos(call.pulled * 10_000_000));
    call.run(1.0, &mut at_once).assert_no_click();
    let stats = call.stats();
    assert_eq!((stats.packets_corrupt, stats.concealed_samples), (1, 960));
    assert_eq!(stats.concealment_events, 1);
}

#[test]
fn a_speaker_that_asks_in_bursts_is_served() {
    let (mut playout, call) = (AudioPlayout::new(Tone::default(), 2), Call::new(16));
    let mut out = AudioBuffer::default();
    let mut learnt = 0;
    for millis in 0..30_000_i64 {
        let now = MediaTime::from_millis(millis);
        if millis % 20 == 0 {
            playout.push(call.packet(millis / 20), now);
        }
        if millis % 40 == 7 {
            (0..4).for_each(|_| {
                playout.pull(now, &mut out);
            });
        }
        if millis == 5_000 {
            learnt = playout.stats().concealed_samples;
        }
    }
    assert_eq!(playout.stats().concealed_samples, learnt);
    assert!(playout.current_delay().unwrap() < Duration::from_millis(30));
}

#[test]
fn only_voiced_opus_packets_with_the_flag_carry_a_copy() {
    // Table of contents: configuration, stereo, frame count code.
    let toc = |config: u8, stereo: bool, code: u8| config << 3 | u8::from(stereo) << 2 | code;
    assert!(
        opus_has_fec(&[toc(9, false, 0), 0b0100_0000]),
        "20 ms: voice, copy"
    );
    assert!(!opus_has_fec(&[toc(9, false, 0), 0b1011_1111]));
    assert!(
        opus_has_fec(&[toc(11, false, 0), 0b0001_0000]),
        "60 ms: three voice flags, copy"
    );
    assert!(
        opus_has_fec(&[toc(13, true, 0), 0b0001_0000]),
        "the side channel's copy"
    );
    assert!(!opus_has_fec(&[toc(31, true, 0), 0xFF]), "CELT has none");
    assert!(opus_has_fec(&[toc(9, false, 2), 1, 0x40, 0]));
    assert!(
        opus_has_fec(&[toc(9, false, 3), 0x42, 255, 3, 0x40]),
        "after the padding's length"
    );
    for cut in [&[][..], &[toc(9, false, 0)], &[toc(9, false, 3), 0xFF, 255]] {
        assert!(!opus_has_fec(cut));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_comes_a_block_goes_out_and_memory_stays_bounded(
        events in prop::collection::vec((any::<u16>(), any::<u32>(), 0usize..9, -50_000_000i64..200_000_000, 0u8..4, any::<bool>()), 1..400)
    ) {
        let mut playout = AudioPlayout::new(Tone::default(), 2);
        let (mut now, mut out) = (MediaTime::ZERO, AudioBuffer::default());
        for (sequence_number, timestamp, len, wait, pulls, near) in events {
            now = now.offset_by(wait);
            // Half of them near to one another, so that not all is a new timeline.
            let timestamp = if near { timestamp % 480_000 } else { timestamp };
            let payload = Tone::packet(timestamp, (len & 3) as u8).iter().copied().cycle().take(len).collect();
            let ssrc = u32::from(len == 8);
            playout.push(RtpPacket { sequence_number, timestamp, marker: false, ssrc, payload_type: 0, payload }, now);
            for _ in 0..pulls {
                playout.pull(now, &mut out);
                prop_assert_eq!(out.frames(), 480);
                prop_assert!(out.samples().iter().all(|s| s.abs() <= 3.0));
            }
            prop_assert!(playout.target_delay() <= AudioJitterBuffer::MAX_TARGET);
        }
    }

    #[test]
    fn a_full_buffer_gives_up_its_oldest(count in 513i64..600) {
        let (mut jitter, call) = (AudioJitterBuffer::new(), Call::new(0));
        for n in 0..count {
            jitter.push(call.packet(n), MediaTime::from_millis(n));
        }
        prop_assert_eq!(jitter.packets.len(), AudioJitterBuffer::CAPACITY.min(jitter.packets.len()));
        prop_assert!(jitter.stats().packets_discarded >= (count - 512) as u64);
    }
}
