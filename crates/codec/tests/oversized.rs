//! A few bytes from the network that claim a huge picture take no memory. The only test in its
//! process, since that is what memory is counted by.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use duet_codec::{CodecError, VideoCodec};

/// A key frame's header, then noise.
fn claim(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a];
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend((0..200_u8).map(|byte| byte.wrapping_mul(97)));
    bytes
}

/// The most memory, mapped, that the process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

#[test]
fn a_huge_picture_is_refused_before_memory_is_taken() {
    let mut decoder = VideoCodec::Vp8.decoder().unwrap();
    let _ = decoder.decode(&claim(64, 64));
    let before = peak();
    // The last two carry scaling bits, which are no part of the size.
    for (width, height) in [
        (16_383, 16_383),
        (16_383, 1_025),
        (4_097, 4_096),
        (0xffff, 0xffff),
        (0x7fff, 0xbfff),
    ] {
        let refused = decoder.decode(&claim(width, height));
        assert!(
            matches!(refused, Err(CodecError::Corrupt(_))),
            "{width}x{height}: {refused:?}"
        );
    }
    for (width, height) in [(0, 0), (0, 64), (64, 0), (0xc000, 64)] {
        let refused = decoder.decode(&claim(width, height));
        assert!(
            matches!(refused, Err(CodecError::Corrupt(_))),
            "{width}x{height}: {refused:?}"
        );
    }
    let taken = peak() - before;
    assert!(taken < 8 * 1_024, "{taken} KiB");

    // The count would have seen it: just within the limit, whatever comes of the noise, it is a lot.
    let _ = decoder.decode(&claim(4_096, 4_096));
    assert!(peak() - before > 30 * 1_024);
}
