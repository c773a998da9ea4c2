mod hostile;

use super::*;
use crate::webm::{Block, Muxer, TrackEntry};
use bytes::Bytes;
use duet_codec::{
    AudioEncoder, AudioEncoderConfig, OpusEncoder, OpusEncoderOptions, VideoEncoder,
    VideoEncoderConfig, Vp8Encoder, Vp8EncoderOptions,
};
use duet_devices::synthetic::{hear, marks, render};
use duet_media::{AudioBuffer, FrameQueue, I420Buffer, MonotonicClock, TrackState};
use std::io::Write;

/// Packets of `count` pictures of 40 ms, and of the sound to them.
fn blocks(count: u32) -> Vec<Block> {
    let mut video = Vp8Encoder::new(
        &VideoEncoderConfig {
            width: 80,
            height: 36,
            frame_rate: 25.0,
            bitrate: 200_000,
            temporal_layers: 1,
        },
        Vp8EncoderOptions {
            drop_threshold: 0,
            ..Default::default()
        },
    )
    .unwrap();
    let config = AudioEncoderConfig {
        bitrate: 32_000,
        expected_loss: 0,
        fec: false,
        dtx: false,
    };
    let mut audio = OpusEncoder::new(1, &config, OpusEncoderOptions::default()).unwrap();
    let mut picture = I420Buffer::default();
    let mut blocks = Vec::new();
    for n in 0..count {
        let time = Duration::from_millis(u64::from(n) * 40);
        let unix = Duration::from_secs(1_600_000_000) + time;
        render(n, unix, n % 25 == 0, 80, 36, &mut picture);
        let frame = VideoFrame::new(Arc::new(picture.clone()), at(time));
        let encoded = video.encode(&frame, n % 25 == 0).unwrap().unwrap();
        blocks.push(Block {
            track: 0,
            time,
            duration: Duration::from_millis(40),
            key_frame: encoded.key_frame,
            data: encoded.data,
        });
        for half in 0..2 {
            let after = Duration::from_millis(half * 20);
            let mut sound = AudioBuffer::new(48_000, 1, 960);
            hear(unix + after, &mut sound);
            blocks.push(Block {
                track: 1,
                time: time + after,
                duration: Duration::from_millis(20),
                key_frame: true,
                data: audio.encode(&sound).unwrap(),
            });
        }
    }
    blocks
}

fn webm(count: u32) -> Vec<u8> {
    let tracks = vec![
        TrackEntry::Video {
            width: 80,
            height: 36,
        },
        TrackEntry::Audio { channels: 1 },
    ];
    let mut bytes = Vec::new();
    let mut muxer = Muxer::new(tracks, &mut bytes);
    let mut patches = Vec::new();
    for block in blocks(count) {
        patches.extend(muxer.write(&block, &mut bytes));
    }
    patches.extend(muxer.finish(&mut bytes));
    for patch in patches {
        let at = patch.offset as usize;
        bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    bytes
}

fn ivf(count: u32) -> Vec<u8> {
    let mut bytes = b"DKIF\0\0\x20\0VP80\x50\0\x24\0\x19\0\0\0\x01\0\0\0".to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    let pictures = blocks(count).into_iter().filter(|block| block.track == 0);
    for (n, picture) in pictures.enumerate() {
        bytes.extend((picture.data.len() as u32).to_le_bytes());
        bytes.extend((n as u64).to_le_bytes());
        bytes.extend_from_slice(&picture.data);
    }
    bytes
}

fn on_disk(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// What a file shows in one pass: the numbers and times of its pictures, and how many stretches of
/// sound; as fast as it can be read.
fn watch(bytes: &[u8]) -> Result<(Vec<(u32, i64)>, usize), FileError> {
    let file = on_disk(bytes);
    let mut film = Film::open(file.path())?;
    let (mut pictures, mut sounds) = (Vec::new(), 0);
    while let Ok(Some((_, frame))) = film.next() {
        let millis = frame.capture_time().as_millis();
        match frame {
            Frame::Video(picture) => {
                let number = marks::read(&picture.buffer).map_or(u32::MAX, |m| m.frame_number);
                pictures.push((number, millis));
            }
            Frame::Audio(_) => sounds += 1,
        }
    }
    Ok((pictures, sounds))
}

#[test]
fn a_film_shows_all_that_is_in_it_at_its_own_times() {
    let wanted: Vec<_> = (0..50).map(|n| (n, i64::from(n) * 40)).collect();
    let (pictures, sounds) = watch(&webm(50)).unwrap();
    assert_eq!(pictures, wanted);
    // All but what the codec needs to get going.
    assert_eq!(sounds, 199);
    assert_eq!(watch(&ivf(50)).unwrap(), (wanted, 0));
}

#[test]
fn a_loop_has_no_seam() {
    for bytes in [webm(25), ivf(25)] {
        let file = on_disk(&bytes);
        let mut film = Film::open(file.path()).unwrap();
        let mut times = Vec::new();
        for pass in 0..3 {
            while let Some((_, frame)) = film.next().unwrap() {
                if let Frame::Video(picture) = &frame {
                    let number = marks::read(&picture.buffer).unwrap().frame_number;
                    assert_eq!(number, times.len() as u32 - pass * 25);
                    times.push(frame.capture_time());
                }
            }
            film.rewind().unwrap();
        }
        assert_eq!(times.len(), 75);
        for pair in times.windows(2) {
            let gap = pair[1].nanos_since(pair[0]);
            assert!((35_000_000..45_000_000).contains(&gap), "{gap} ns");
        }
    }
}

#[test]
fn every_format_is_played_at_its_own_pace_and_ends_its_tracks_or_begins_again() {
    for (bytes, audio, video) in [(webm(13), 1, 1), (ivf(13), 0, 1), (ogg(), 1, 0)] {
        let file = on_disk(&bytes);
        let play = |repeat| {
            let stream = play(file.path(), Arc::new(MonotonicClock::new()), repeat).unwrap();
            let track = stream.get_tracks().remove(0);
            let queue = Arc::new(FrameQueue::new(1_000));
            let sink = track.add_sink(queue.clone());
            (stream, track, queue, sink)
        };
        let started = std::time::Instant::now();
        let (stream, track, queue, _sink) = play(Repeat::Once);
        let kinds = (
            stream.get_audio_tracks().len(),
            stream.get_video_tracks().len(),
        );
        assert_eq!(kinds, (audio, video));
        let mut times = Vec::new();
        while let Some(frame) = queue.pop_timeout(Duration::from_secs(10)) {
            times.push(frame.capture_time());
        }
        let shown = times[times.len() - 1].nanos_since(times[0]) / 1_000_000;
        // Half a second of pictures, a second of Ogg.
        assert!((390..=990).contains(&shown), "{shown} ms");
        assert!(started.elapsed().as_millis() >= shown as u128);
        assert!(queue.is_ended() && track.ready_state() == TrackState::Ended);

        let (stream, track, queue, _sink) = play(Repeat::Forever);
        for _ in 0..2 * times.len() {
            assert!(queue.pop_timeout(Duration::from_secs(10)).is_some());
        }
        assert_eq!(track.ready_state(), TrackState::Live);
        stream.get_tracks().iter().for_each(|track| track.stop());
    }
}

#[test]
fn a_file_that_was_cut_out_of_a_longer_one_begins_at_once() {
    let shifted = |millis: u64| {
        let tracks = vec![
            TrackEntry::Video {
                width: 80,
                height: 36,
            },
            TrackEntry::Audio { channels: 1 },
        ];
        let mut bytes = Vec::new();
        let mut muxer = Muxer::new(tracks, &mut bytes);
        for mut block in blocks(25) {
            block.time += Duration::from_millis(millis);
            drop(muxer.write(&block, &mut bytes));
        }
        watch(&bytes).unwrap()
    };
    let (pictures, sounds) = shifted(0);
    assert_eq!(shifted(7_200_000), (pictures.clone(), sounds));
    // A film may begin with nothing for a while.
    let (late, _) = shifted(400);
    let moved = pictures.iter().map(|(n, millis)| (*n, millis + 400));
    assert_eq!(late, moved.collect::<Vec<_>>());
}

#[test]
fn a_file_that_was_cut_off_plays_up_to_there() {
    let whole = webm(50);
    let (all, _) = watch(&whole).unwrap();
    let mut seen = Vec::new();
    for cut in (0..20).map(|n| whole.len() * (3 * n + 40) / 100) {
        let cut = &whole[..cut.min(whole.len())];
        let (pictures, _) = watch(cut).unwrap();
        assert_eq!(pictures, all[..pictures.len()]);
        seen.push(pictures.len());
    }
    assert!(seen.is_sorted() && seen[0] >= 10, "{seen:?}");
}

/// [RFC 3533, section 6](https://www.rfc-editor.org/rfc/rfc3533#section-6).
fn put_sum(page: &mut [u8]) {
    page[22..26].fill(0);
    let sum = page.iter().fold(0u32, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| {
            sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    });
    page[22..26].copy_from_slice(&sum.to_le_bytes());
}

/// A second of sound, as pages of one packet each.
fn ogg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut page = |flags: u8, granule: u64, number: u32, packet: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend(granule.to_le_bytes());
        page.extend(7u32.to_le_bytes());
        page.extend(number.to_le_bytes());
        page.extend([0; 4]);
        page.push((packet.len() / 255) as u8 + 1);
        page.extend(std::iter::repeat_n(255, packet.len() / 255));
        page.push((packet.len() % 255) as u8);
        page.extend(packet);
        put_sum(&mut page);
        bytes.extend(page);
    };
    page(2, 0, 0, b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0");
    page(0, 0, 1, b"OpusTags\x04\0\0\0duet\0\0\0\0");
    let packets: Vec<_> = blocks(25).into_iter().filter(|b| b.track == 1).collect();
    for (n, packet) in packets.iter().enumerate() {
        let last = if n + 1 == packets.len() { 4 } else { 0 };
        page(last, (n as u64 + 1) * 960, n as u32 + 2, &packet.data);
    }
    bytes
}

#[test]
fn ogg_sound_is_played_in_time() {
    let file = on_disk(&ogg());
    let mut film = Film::open(file.path()).unwrap();
    let mut listener = marks::audio::Listener::new();
    let mut beeps = Vec::new();
    let mut end = Duration::ZERO;
    for _ in 0..2 {
        while let Some((_, frame)) = film.next().unwrap() {
            let Frame::Audio(sound) = &frame else {
                panic!("{frame:?}")
            };
            assert!(sound.capture_time >= at(end), "time goes back");
            end = Duration::from_nanos(sound.capture_time.as_nanos() as u64);
            beeps.extend(listener.hear(&sound.buffer, sound.capture_time));
        }
        film.rewind().unwrap();
    }
    let onset = beeps.last().expect("a beep at the second pass").onset;
    let off = onset.nanos_since(at(film.pass / 2));
    assert!(off.abs() < 12_000_000, "{off} ns off");
}
