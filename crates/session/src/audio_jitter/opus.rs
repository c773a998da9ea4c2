//! The one thing about Opus that the jitter buffer's owner must be able to tell without decoding.

/// Whether an Opus packet carries a coarse copy of its predecessor
/// (in-band FEC, [RFC 6716 section 2.1.7](https://www.rfc-editor.org/rfc/rfc6716#section-2.1.7)).
/// False for what is no packet.
pub fn opus_has_fec(packet: &[u8]) -> bool {
    first_frame(packet).is_some_and(|(toc, byte)| {
        // RFC 6716 section 4.2.3: for each channel a voice flag for each SILK frame, then the flag
        // for the copy. They are coded at even odds, so they are the first byte's leading bits.
        let config = toc >> 3;
        let silk_frames = match config {
            0..12 => [1, 1, 2, 3][usize::from(config & 3)],
            12..16 => 1,
            _ => return false,
        };
        let channels = if toc & 4 == 0 { 1 } else { 2 };
        (1..=channels).any(|channel| byte & (0x80 >> (channel * (silk_frames + 1) - 1)) != 0)
    })
}

/// The table-of-contents byte and the first byte of the first frame.
fn first_frame(packet: &[u8]) -> Option<(u8, u8)> {
    let toc = *packet.first()?;
    let length_of_length = |at: usize| Some(if *packet.get(at)? < 252 { 1 } else { 2 });
    let start = match toc & 3 {
        0 | 1 => 1,
        2 => 1 + length_of_length(1)?,
        _ => {
            let count = *packet.get(1)?;
            let mut at = 2;
            if count & 0x40 != 0 {
                while *packet.get(at)? == 255 {
                    at += 1;
                }
                at += 1;
            }
            if count & 0x80 != 0 {
                for _ in 1..count & 0x3f {
                    at += length_of_length(at)?;
                }
            }
            at
        }
    };
    Some((toc, *packet.get(start)?))
}
