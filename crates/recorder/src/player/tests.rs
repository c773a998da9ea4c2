use super::*;
use crate::webm::{Block, Muxer, TrackEntry};
use bytes::Bytes;
use duet_codec::{
    AudioEncoder, AudioEncoderConfig, OpusEncoder, OpusEncoderOptions, VideoEncoder,
    VideoEncoderConfig, Vp8Encoder, Vp8EncoderOptions,
};
use duet_devices::synthetic::{hear, marks, render};
use duet_media::{AudioBuffer, I420Buffer, MonotonicClock};
use std::io::Write;

/// Packets of `count` pictures of 40 ms, and of the sound to them.
fn blocks(count: u32) -> Vec<Block> {
    let mut video = Vp8Encoder::new(
        &VideoEncoderConfig {
            width: 80,
            height: 36,
            frame_rate: 25.0,
            bitrate: 200_000,
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

fn message(bytes: &[u8]) -> String {
    let file = on_disk(bytes);
    let error = play(file.path(), Arc::new(MonotonicClock::new()), Repeat::Once).unwrap_err();
    error
        .to_string()
        .replace(&file.path().display().to_string(), "FILE")
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
    let file = on_disk(&webm(25));
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

#[test]
fn what_cannot_be_played_is_refused_with_a_sentence() {
    assert_eq!(message(b""), "FILE is not a WebM, Ogg or IVF file");
    assert_eq!(
        message(b"RIFF....WAVE"),
        "FILE is not a WebM, Ogg or IVF file"
    );
    assert_eq!(message(&ivf(3)[..20]), "FILE: the head is cut off");
    assert_eq!(message(&ivf(0)), "FILE holds no whole frame");
    assert!(message(&webm(3)[..100]).starts_with("FILE: "));
    let mut other = ivf(3);
    other[8..12].copy_from_slice(b"AV01");
    assert_eq!(
        message(&other),
        "FILE: byte 8: \"AV01\" is not supported, only VP80"
    );
    let mut stopped = ivf(3);
    stopped[16..20].fill(0);
    assert!(message(&stopped).contains("a clock of 0/1 ticks a second"));
    assert!(matches!(
        play(
            Path::new("/nowhere/at.all"),
            Arc::new(MonotonicClock::new()),
            Repeat::Once
        ),
        Err(FileError::Io { .. })
    ));
}

#[test]
fn absurd_claims_are_refused_before_memory_is_taken() {
    let tracks = vec![TrackEntry::Video {
        width: 16_383,
        height: 16_383,
    }];
    let mut bytes = Vec::new();
    let mut muxer = Muxer::new(tracks, &mut bytes);
    let mut huge = blocks(1).remove(0);
    drop(muxer.write(&huge, &mut bytes));
    assert_eq!(
        message(&bytes),
        "FILE: pictures of 16383x16383 are not supported, only up to 4096x4096 pixels"
    );
    // The file says nothing of it, but the key frame does.
    let mut key = huge.data.to_vec();
    key[6..10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    huge.data = Bytes::from(key);
    let mut bytes = Vec::new();
    let small = TrackEntry::Video {
        width: 80,
        height: 36,
    };
    let mut muxer = Muxer::new(vec![small], &mut bytes);
    drop(muxer.write(&huge, &mut bytes));
    assert_eq!(message(&bytes), "FILE holds no whole frame");
    // A packet of 4 GiB, and a head without an end.
    let mut packet = ivf(1)[..44].to_vec();
    packet[32..36].fill(0xff);
    assert_eq!(message(&packet), "FILE holds no whole frame");
    let mut endless = webm(1);
    endless.truncate(60);
    let void = [0xec, 0x82, 0, 0];
    endless.extend(std::iter::repeat_n(void, 5 << 20).flatten());
    assert!(
        message(&endless).starts_with("FILE: "),
        "{}",
        message(&endless)
    );
}

/// A film of damaged bytes is refused, or plays what can be made out; it never panics or hangs.
#[test]
fn damaged_files_neither_panic_nor_hang() {
    let mut random = 1u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as usize % below
    };
    let mut played = 0;
    for good in [webm(10), ivf(10), ogg()] {
        for round in 0..300 {
            let mut bad = good.clone();
            // Heads are where claims are made.
            let reach = if round % 2 == 0 {
                bad.len().min(400)
            } else {
                bad.len()
            };
            for _ in 0..=next(6) {
                let at = next(reach);
                match next(5) {
                    0 => bad[at] = next(256) as u8,
                    1 => bad[at] ^= 1 << next(8),
                    2 => bad[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                    3 => drop(bad.drain(at..(at + next(20)).min(bad.len()))),
                    _ => bad.truncate(at.max(8)),
                }
                if bad.len() < reach {
                    break;
                }
            }
            if let Ok((pictures, sounds)) = watch(&bad) {
                assert!(
                    pictures.len() <= 40 && sounds <= 5_000,
                    "{}",
                    pictures.len()
                );
                played += 1;
            }
        }
    }
    assert!(played > 100, "{played} of 900 were played");
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
        let sum = page.iter().fold(0u32, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| {
                sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
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
