//! Files that are cut off, mislabelled, damaged, or made to do harm.

use super::*;

fn message(bytes: &[u8]) -> String {
    let file = on_disk(bytes);
    let error = play(file.path(), Arc::new(MonotonicClock::new()), Repeat::Once).unwrap_err();
    error
        .to_string()
        .replace(&file.path().display().to_string(), "FILE")
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

/// A film may claim any times; what is shown of it begins at zero and goes on from there.
fn assert_sane(bytes: &[u8], what: &str) {
    let file = on_disk(bytes);
    let Ok(mut film) = Film::open(file.path()) else {
        return;
    };
    let mut newest = [MediaTime::ZERO; 2];
    for _ in 0..2 {
        for _ in 0..1_000 {
            let Ok(Some((track, frame))) = film.next() else {
                break;
            };
            let time = frame.capture_time();
            assert!(time >= newest[track], "{what}: {time:?} after {newest:?}");
            assert!(time.as_secs_f64() < 3_600.0, "{what}: {time:?}");
            newest[track] = time;
        }
        film.rewind().unwrap();
    }
}

#[test]
fn negative_and_absurd_times_of_webm_are_borne() {
    let good = webm(10);
    // A cluster's time, and the time of its first block, relative to that.
    let cluster = find(&good, &[0x1f, 0x43, 0xb6, 0x75]);
    let time = cluster + 12;
    assert_eq!(good[time..time + 3], [0xe7, 0x81, 0]);
    let blocks: Vec<_> = (time..good.len() - 16)
        .filter(|&at| good[at] == 0xa3)
        .collect();
    let block = |bytes: &mut [u8], at: usize, millis: i16| {
        let size = bytes[at + 1].leading_zeros() as usize + 1;
        let place = at + 1 + size + 1;
        bytes[place..place + 2].copy_from_slice(&millis.to_be_bytes());
    };
    for millis in [i16::MIN, -1, i16::MAX] {
        let mut first = good.clone();
        block(&mut first, blocks[0], millis);
        assert_sane(&first, "the first block");
        let mut all = good.clone();
        blocks.iter().for_each(|&at| block(&mut all, at, millis));
        assert_sane(&all, "all blocks, or what looks like one");
    }
    for bytes in [
        [0xff; 8],
        [0x80, 0, 0, 0, 0, 0, 0, 0],
        [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    ] {
        let mut late = good[..time].to_vec();
        late.extend([0xe7, 0x88]);
        late.extend(bytes);
        late.extend(&good[time + 3..]);
        assert_sane(&late, "a cluster at the end of time");
    }
}

#[test]
fn negative_and_absurd_times_of_ivf_and_ogg_are_borne() {
    for ticks in [-1, i64::MIN, i64::MAX, 1 << 40] {
        for clock in [[1, 1], [u32::MAX, 1], [1, u32::MAX]] {
            let mut bad = ivf(5);
            bad[16..20].copy_from_slice(&clock[0].to_le_bytes());
            bad[20..24].copy_from_slice(&clock[1].to_le_bytes());
            let second = 32 + 12 + u32::from_le_bytes(bad[32..36].try_into().unwrap()) as usize;
            for head in [32, second] {
                let mut bad = bad.clone();
                bad[head + 4..head + 12].copy_from_slice(&ticks.to_le_bytes());
                assert_sane(&bad, "IVF");
            }
        }
        // Of every page, without its sum put right and with.
        let good = ogg();
        let pages: Vec<_> = (0..good.len() - 4)
            .filter(|&at| &good[at..at + 4] == b"OggS")
            .collect();
        let mut bad = good.clone();
        for (n, &page) in pages.iter().enumerate().skip(2) {
            bad[page + 6..page + 14].copy_from_slice(&ticks.to_le_bytes());
            if n % 2 == 0 {
                let end = pages.get(n + 1).copied().unwrap_or(good.len());
                put_sum(&mut bad[page..end]);
            }
        }
        assert_sane(&bad, "Ogg");
    }
}

#[test]
fn pictures_of_16k_are_refused_whatever_they_come_in() {
    let mut wide = ivf(2);
    wide[12..16].copy_from_slice(&[0, 0x40, 0, 0x40]);
    assert_eq!(
        message(&wide),
        "FILE: pictures of 16384x16384 are not supported, only up to 4096x4096 pixels"
    );
    // The head says nothing of it, but the key frame does.
    let mut wide = ivf(1);
    wide[32 + 12 + 6..32 + 12 + 10].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    assert_eq!(message(&wide), "FILE holds no whole frame");
}

#[test]
fn heads_without_an_end_are_given_up() {
    // A terabyte of nothing behind what looks like a beginning.
    let webm = webm(1);
    let tracks = find(&webm, &[0x16, 0x54, 0xae, 0x6b]);
    for start in [
        &webm[..4],
        &webm[..tracks],
        b"OggS\0\x02",
        &ogg()[..40],
        &ivf(1)[..40],
    ] {
        let file = on_disk(start);
        file.as_file().set_len(1 << 40).unwrap();
        let error = Film::open(file.path()).err().unwrap().to_string();
        assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
    }
}

#[test]
fn a_name_promises_nothing() {
    for (name, bytes) in [("a.webm", ivf(3)), ("a.ivf", webm(3)), ("a.y4m", ogg())] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(is_coded(&path).unwrap());
        assert!(Film::open(&path).is_ok(), "{name}");
    }
    for bytes in [
        b"\x89PNG\r\n\x1a\n".as_slice(),
        b"\0\0\0\x20ftypisom",
        b"YUV4MPEG2 W2 H2\n",
    ] {
        assert!(!is_coded(on_disk(bytes).path()).unwrap());
        assert_eq!(message(bytes), "FILE is not a WebM, Ogg or IVF file");
    }
}

fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    let mut places = bytes.windows(pattern.len());
    places.position(|at| at == pattern).unwrap()
}
