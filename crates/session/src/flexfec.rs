//! Forward error correction for pictures: FlexFEC as browsers have it, of
//! [draft-ietf-payload-flexible-fec-scheme-03](https://datatracker.ietf.org/doc/html/draft-ietf-payload-flexible-fec-scheme-03).
//!
//! A repair packet is the exclusive or of packets that its mask names, in a stream of its own. Which
//! packets go into which is the sender's affair; here they are chosen ([`Code`]) so that any two losses of a
//! picture are mended and most of more, if whoever receives solves all that it has together, as
//! [`FlexFecDecoder`] does. Who only looks for repair packets with one loss among theirs, as libwebrtc does,
//! mends any two, too.
//!
//! Not [RFC 8627](https://www.rfc-editor.org/rfc/rfc8627), which nobody sends, and to which this is no
//! kin on the wire: there the masks' last bits say nothing of what follows, the SSRC is the repair
//! packet's own CSRC, and there are fixed rows and columns and retransmissions (bits R and F, both zero
//! here). Not the decision when it pays either: that is [`FecPolicy`](crate::FecPolicy)'s.
//!
//! What changes of a packet on its way to the wire or is not known when it is protected, as the
//! transport's own number, counts as zero at both ends; so does libwebrtc.

mod code;
mod decoder;
mod header;
#[cfg(test)]
mod tests;

pub use code::Code;
pub use decoder::{FlexFecCounters, FlexFecDecoder};
pub use header::{FlexFecError, FlexFecHeader};

use bytes::Bytes;

/// Of an RTP packet: what is before CSRCs and extensions.
const FIXED_HEADER: usize = 12;

/// A packet of the stream that is protected, as it is on the wire before encryption: its header with
/// CSRCs and extensions, and its payload. What of the extensions changes on the way is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedPacket {
    head: Bytes,
    payload: Bytes,
}

impl ProtectedPacket {
    /// `None` if `head` is too short for one, or the whole too long for RTP's 16 bits.
    pub fn new(head: Bytes, payload: Bytes) -> Option<Self> {
        let rest = head.len().checked_sub(FIXED_HEADER)? + payload.len();
        (rest <= usize::from(u16::MAX)).then_some(ProtectedPacket { head, payload })
    }

    /// Its sequence number.
    pub fn sequence_number(&self) -> u16 {
        u16::from_be_bytes([self.head[2], self.head[3]])
    }

    /// Bytes of its payload.
    pub fn payload_len(&self) -> usize {
        self.payload.len()
    }

    /// Bytes behind the fixed header.
    fn rest(&self) -> usize {
        self.head.len() - FIXED_HEADER + self.payload.len()
    }

    /// The fields that are recovered: flags, payload type, length, time stamp.
    fn fields(&self) -> [u8; 8] {
        let head = &self.head;
        // 65,535 at most: see `new`.
        let [high, low] = (self.rest() as u16).to_be_bytes();
        [
            head[0] & 0x3f,
            head[1],
            high,
            low,
            head[4],
            head[5],
            head[6],
            head[7],
        ]
    }

    /// Adds it to what others add up to. `rest` is long enough, or what is beyond is of no interest.
    fn add_to(&self, fields: &mut [u8; 8], rest: &mut [u8]) {
        xor(fields, &self.fields());
        let extra = &self.head[FIXED_HEADER..];
        xor(rest, extra);
        xor(
            rest.get_mut(extra.len()..).unwrap_or_default(),
            &self.payload,
        );
    }
}

/// The payloads of the repair packets of `code` for some packets of the stream `ssrc`, in the order of their
/// numbers. Packets that lie too far apart for a mask are not protected.
pub fn protect(packets: &[ProtectedPacket], ssrc: u32, code: &Code) -> Vec<Bytes> {
    let Some(base) = packets.first().map(ProtectedPacket::sequence_number) else {
        return Vec::new();
    };
    let place = |packet: &ProtectedPacket| packet.sequence_number().wrapping_sub(base);
    let row = |row: usize| {
        let of_row = |at: &usize| code.covers(row, *at);
        let covered = (0..packets.len()).filter(of_row).map(|at| &packets[at]);
        let covered: Vec<_> = covered
            .filter(|packet| place(packet) < FlexFecHeader::PLACES)
            .collect();
        let longest = covered.iter().map(|packet| packet.rest()).max()?;
        let mask = covered
            .iter()
            .fold(0, |mask, packet| mask | 1 << place(packet));
        let (mut fields, mut rest) = ([0; 8], vec![0; longest]);
        for packet in covered {
            packet.add_to(&mut fields, &mut rest);
        }
        let header = FlexFecHeader {
            fields,
            ssrc,
            base,
            mask,
        };
        Some(header.write(&rest))
    };
    (0..code.repairs()).filter_map(row).collect()
}

/// As far as both reach.
fn xor(into: &mut [u8], from: &[u8]) {
    into.iter_mut().zip(from).for_each(|(to, one)| *to ^= one);
}
