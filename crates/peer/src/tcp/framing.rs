//! Datagrams in a stream of bytes, each behind its length
//! ([RFC 4571, section 2](https://www.rfc-editor.org/rfc/rfc4571#section-2)).

use bytes::{Bytes, BytesMut};

/// The length, in bytes.
pub(super) const HEADER: usize = 2;
/// The longest frame.
pub(super) const MAX_FRAME: usize = HEADER + 0xFFFF;

/// Takes the next frame off `stream`, with its length in front; `None` until it is there whole. Any bytes are frames:
/// what is in them is for others to judge.
pub(super) fn take(stream: &mut BytesMut) -> Option<Bytes> {
    let head = stream.first_chunk::<HEADER>()?;
    let whole = HEADER + usize::from(u16::from_be_bytes(*head));
    (stream.len() >= whole).then(|| stream.split_to(whole).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let frames = [&[0, 0][..], &[0, 3, 7, 8, 9], &[0, 1, 0xFF], &[1, 0]];
        let mut wire = frames.concat();
        wire.extend([0x5A; 256]);
        for step in [1, 2, 3, 7, wire.len()] {
            let mut stream = BytesMut::new();
            let mut found = Vec::new();
            for piece in wire.chunks(step) {
                stream.extend_from_slice(piece);
                while let Some(frame) = take(&mut stream) {
                    found.extend_from_slice(&frame);
                }
                assert!(stream.len() < MAX_FRAME);
            }
            assert_eq!(found, wire, "in pieces of {step}");
            assert!(stream.is_empty());
        }
    }
}
