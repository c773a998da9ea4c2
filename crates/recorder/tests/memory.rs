//! Files that claim more than they are: each is refused, or played as far as it goes, in little memory.
//!
//! One test only: the memory that is looked at is the process's.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use common::{LIMIT, clock, synthetic, until_recorded};
use duet_devices::file::{self, FileError, Repeat};
use duet_recorder::{MediaRecorder, MediaRecorderOptions, Output, player};
use std::path::Path;
use std::time::{Duration, Instant};

/// The most that may have been in memory, in kB: a single picture of 16k x 16k would have 390,000.
const MOST: u64 = 100_000;
/// Where a file ends that has no end.
const TERABYTE: u64 = 1 << 40;

/// The most that this process ever had in memory, in kB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    words[1].parse().unwrap()
}

fn find(bytes: &[u8], part: &[u8]) -> usize {
    let mut places = bytes.windows(part.len());
    places.position(|window| window == part).unwrap()
}

/// `bytes` with `there` at the place `at`.
fn with(bytes: &[u8], at: usize, there: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + there.len()].copy_from_slice(there);
    bytes
}

/// A recording of 640x360.
fn recording(folder: &Path) -> Vec<u8> {
    let path = folder.join("good.webm");
    let stream = synthetic(640, 360);
    let recorder = MediaRecorder::new(&stream, MediaRecorderOptions::default()).unwrap();
    recorder.start_to(Output::file(&path).unwrap()).unwrap();
    until_recorded(&recorder, Duration::from_millis(300));
    recorder.stop();
    assert!(recorder.wait_until_stopped(LIMIT));
    std::fs::read(path).unwrap()
}

#[test]
fn what_a_file_claims_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let good = recording(folder.path());
    let width = find(&good, b"\xb0\x82\x02\x80");
    let key_frame = find(&good, b"\x9d\x01\x2a\x80\x02\x68\x01");
    let cluster = find(&good, b"\x1f\x43\xb6\x75");
    let huge = with(&good, width, b"\xb0\x82\x40\x00\xba\x82\x40\x00");
    let block = [
        &good[..cluster + 12],
        b"\xe7\x81\x00\xa3\x01\x00\x01\x00\x00\x00\x00\x00\x81\x00\x00\x80",
    ];
    let private = find(&good, b"\x63\xa2");
    let private = [
        &good[..private],
        b"\x63\xa2\x01\x00\x00\x00\x40\x00\x00\x00",
    ];
    let ivf = |size: u16, packet: u32| {
        let size = size.to_le_bytes();
        let head = b"DKIF\0\0\x20\0VP80".as_slice();
        let clock = b"\x1e\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0";
        [head, &size, &size, clock, &packet.to_le_bytes(), &[0; 8]].concat()
    };
    let wav = |format: &[u8]| [b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0", format].concat();
    let tone = b"\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0";
    let tones = b"\x01\0\xff\xff\0\xdc\x05\0\0\0\0\0\0\0\x10\0data\xff\xff\xff\xff";
    let before = peak();
    for (name, bytes, long) in [
        ("size.webm", huge, false),
        (
            "key-frame.webm",
            with(&good, key_frame + 3, b"\xff\x3f\xff\x3f"),
            false,
        ),
        ("block.webm", block.concat(), true),
        ("private.webm", private.concat(), true),
        ("endless.webm", good[..cluster].to_vec(), true),
        ("beginning.webm", good[..4].to_vec(), true),
        ("size.ivf", ivf(16_384, 9), true),
        ("packet.ivf", ivf(64, u32::MAX), true),
        ("packets.ivf", ivf(64, 0), true),
        ("large.ivf", ivf(64, 16 << 20), true),
        ("endless.ogg", b"OggS".to_vec(), true),
        (
            "page.ogg",
            [b"OggS\0\x02".as_slice(), &[0; 20], &[0xff; 256]].concat(),
            true,
        ),
        (
            "size.y4m",
            b"YUV4MPEG2 W16384 H16384\nFRAME\n".to_vec(),
            true,
        ),
        ("endless.y4m", b"YUV4MPEG2 ".to_vec(), true),
        ("endless.wav", wav(tone), true),
        ("channels.wav", wav(tones), true),
        (
            "cover.wav",
            [&wav(tone)[..], b"LIST\xff\xff\xff\xff"].concat(),
            true,
        ),
        (
            "nothing.wav",
            [&wav(tone)[..], b"data\0\0\0\0"].concat(),
            true,
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        if long {
            let file = std::fs::File::options().append(true).open(&path).unwrap();
            file.set_len(TERABYTE).unwrap();
        }
        let started = Instant::now();
        let refused = open(&path);
        let took = started.elapsed();
        // Sound is left of it.
        let refused = match (name, refused) {
            ("key-frame.webm", refused) => {
                assert!(refused.is_none(), "{refused:?}");
                format!("{name} is played")
            }
            (_, refused) => refused
                .unwrap_or_else(|| panic!("{name} is played"))
                .to_string(),
        };
        eprintln!("{took:.1?}, {} kB: {refused}", peak());
        assert!(refused.contains(name), "{refused}");
        let damaged = ["private.webm", "endless.webm", "beginning.webm", "page.ogg"];
        let told = refused.contains("its head is damaged, or it is no such file");
        assert!(told || !damaged.contains(&name), "{refused}");
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        assert!(
            peak() < before.max(MOST / 2) + MOST / 2,
            "{name}: {} kB",
            peak()
        );
    }
}

/// Opens a file as the program does; why it was refused.
fn open(path: &Path) -> Option<FileError> {
    if player::is_coded(path).unwrap() {
        return player::play(path, clock(), Repeat::Once).err();
    }
    match path.extension().unwrap() == "wav" {
        true => file::open_audio(path, clock(), Repeat::Once).err(),
        false => file::open_video(path, clock(), Repeat::Once).err(),
    }
}
