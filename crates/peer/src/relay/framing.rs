//! Messages in a stream of bytes, one behind the other
//! ([RFC 8656, section 12.5](https://www.rfc-editor.org/rfc/rfc8656#section-12.5),
//! [RFC 8489, section 6.2.2](https://www.rfc-editor.org/rfc/rfc8489#section-6.2.2)).
//!
//! STUN's header says how long a message is, ChannelData's too; ChannelData is filled up to a multiple of
//! four bytes, which a datagram is not.

use super::envelope::{COOKIE, is_channel_data};
use bytes::{Buf, Bytes, BytesMut};

/// The longest message: STUN's header, and what its length can say.
pub(super) const MAX_MESSAGE: usize = 20 + 0xFFFF;

/// The other end does not speak TURN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotTurn;

/// Takes the next message off `stream`, as the datagram it would have been; `None` until it is there whole.
/// Never asks for more than [`MAX_MESSAGE`] bytes, and padding.
///
/// # Errors
/// What comes next is no message. Nothing behind it can be read either.
pub(super) fn take(stream: &mut BytesMut) -> Result<Option<Bytes>, NotTurn> {
    let Some(head) = stream.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let (whole, padded) = if is_channel_data(head) {
        (4 + len, 4 + len.next_multiple_of(4))
    } else if head[0] < 0x40
        && len.is_multiple_of(4)
        && stream.get(4..8).is_none_or(|cookie| cookie == COOKIE)
    {
        (20 + len, 20 + len)
    } else {
        return Err(NotTurn);
    };
    if stream.len() < padded {
        return Ok(None);
    }
    let message = stream.split_to(whole).freeze();
    stream.advance(padded - whole);
    Ok(Some(message))
}

/// Puts a datagram behind what is to be written.
pub(super) fn put(stream: &mut Vec<u8>, datagram: &[u8]) {
    stream.extend_from_slice(datagram);
    if is_channel_data(datagram) {
        let padding = datagram.len().next_multiple_of(4) - datagram.len();
        stream.extend_from_slice(&[0; 3][..padding]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::samples::{allocate, channel_data};
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let mut messages = vec![allocate(1, false), allocate(2, true)];
        messages.extend((0..9).map(|len| channel_data(0x4000, &[7; 8][..len.min(8)])));
        let mut wire = Vec::new();
        messages.iter().for_each(|message| put(&mut wire, message));
        for step in [1, 2, 3, 5, 7, 64, wire.len()] {
            let mut stream = BytesMut::new();
            let mut found = Vec::new();
            for piece in wire.chunks(step) {
                stream.extend_from_slice(piece);
                while let Some(message) = take(&mut stream).unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, messages, "in pieces of {step}");
            assert!(stream.is_empty());
        }
    }

    #[test]
    fn what_is_no_turn_ends_it() {
        for other in [
            b"SSH-2.0-OpenSSH".as_slice(),
            &[0x80; 16],
            &[0x50; 9],
            &[0x16, 3, 1, 0, 2, 0, 0, 2],
            &[0, 1, 0, 3],
        ] {
            assert_eq!(take(&mut BytesMut::from(other)), Err(NotTurn), "{other:?}");
        }
    }
}
