//! The bytes that Matroska is made of: elements with an id, a size and a body
//! ([RFC 8794](https://www.rfc-editor.org/rfc/rfc8794)). Only what is needed to write.

/// A size that is not known yet, in eight bytes, so that a known one can be put in its place.
pub(super) const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// Ids, as they are written: with their length marker.
pub(super) mod id {
    pub(in crate::webm) const VOID: u32 = 0xEC;
    pub(in crate::webm) const EBML: u32 = 0x1A45_DFA3;
    pub(in crate::webm) const EBML_VERSION: u32 = 0x4286;
    pub(in crate::webm) const EBML_READ_VERSION: u32 = 0x42F7;
    pub(in crate::webm) const EBML_MAX_ID_LENGTH: u32 = 0x42F2;
    pub(in crate::webm) const EBML_MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub(in crate::webm) const DOC_TYPE: u32 = 0x4282;
    pub(in crate::webm) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(in crate::webm) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(in crate::webm) const SEGMENT: u32 = 0x1853_8067;
    pub(in crate::webm) const SEEK_HEAD: u32 = 0x114D_9B74;
    pub(in crate::webm) const SEEK: u32 = 0x4DBB;
    pub(in crate::webm) const SEEK_ID: u32 = 0x53AB;
    pub(in crate::webm) const SEEK_POSITION: u32 = 0x53AC;
    pub(in crate::webm) const INFO: u32 = 0x1549_A966;
    pub(in crate::webm) const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub(in crate::webm) const DURATION: u32 = 0x4489;
    pub(in crate::webm) const MUXING_APP: u32 = 0x4D80;
    pub(in crate::webm) const WRITING_APP: u32 = 0x5741;
    pub(in crate::webm) const TRACKS: u32 = 0x1654_AE6B;
    pub(in crate::webm) const TRACK_ENTRY: u32 = 0xAE;
    pub(in crate::webm) const TRACK_NUMBER: u32 = 0xD7;
    pub(in crate::webm) const TRACK_UID: u32 = 0x73C5;
    pub(in crate::webm) const TRACK_TYPE: u32 = 0x83;
    pub(in crate::webm) const FLAG_LACING: u32 = 0x9C;
    pub(in crate::webm) const CODEC_ID: u32 = 0x86;
    pub(in crate::webm) const CODEC_PRIVATE: u32 = 0x63A2;
    pub(in crate::webm) const CODEC_DELAY: u32 = 0x56AA;
    pub(in crate::webm) const SEEK_PRE_ROLL: u32 = 0x56BB;
    pub(in crate::webm) const VIDEO: u32 = 0xE0;
    pub(in crate::webm) const PIXEL_WIDTH: u32 = 0xB0;
    pub(in crate::webm) const PIXEL_HEIGHT: u32 = 0xBA;
    pub(in crate::webm) const AUDIO: u32 = 0xE1;
    pub(in crate::webm) const SAMPLING_FREQUENCY: u32 = 0xB5;
    pub(in crate::webm) const CHANNELS: u32 = 0x9F;
    pub(in crate::webm) const CLUSTER: u32 = 0x1F43_B675;
    pub(in crate::webm) const TIMESTAMP: u32 = 0xE7;
    pub(in crate::webm) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(in crate::webm) const CUES: u32 = 0x1C53_BB6B;
    pub(in crate::webm) const CUE_POINT: u32 = 0xBB;
    pub(in crate::webm) const CUE_TIME: u32 = 0xB3;
    pub(in crate::webm) const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub(in crate::webm) const CUE_TRACK: u32 = 0xF7;
    pub(in crate::webm) const CUE_CLUSTER_POSITION: u32 = 0xF1;
}

/// An id in as many bytes as it has.
pub(super) fn put_id(out: &mut Vec<u8>, id: u32) {
    let unused = id.leading_zeros() as usize / 8;
    out.extend_from_slice(&id.to_be_bytes()[unused..]);
}

/// A size in as few bytes as will do. All ones would mean "unknown", so a number of only ones takes
/// a byte more.
pub(super) fn put_size(out: &mut Vec<u8>, size: u64) {
    let length = (1..8).find(|&n| size < (1 << (7 * n)) - 1).unwrap_or(8);
    let bytes = size_in(length, size);
    out.extend_from_slice(&bytes[8 - length..]);
}

/// A size in eight bytes, to be put where [`UNKNOWN_SIZE`] was.
pub(super) fn wide_size(size: u64) -> [u8; 8] {
    size_in(8, size)
}

fn size_in(length: usize, size: u64) -> [u8; 8] {
    (size | 1 << (7 * length)).to_be_bytes()
}

/// An element with a number, in as few bytes as will do.
pub(super) fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let unused = (value.leading_zeros() as usize / 8).min(7);
    put_binary(out, id, &value.to_be_bytes()[unused..]);
}

/// An element with a number in eight bytes, whatever it is.
pub(super) fn put_wide_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// An element with a floating-point number.
pub(super) fn put_float(out: &mut Vec<u8>, id: u32, value: f64) {
    put_binary(out, id, &value.to_be_bytes());
}

/// An element with bytes, or text.
pub(super) fn put_binary(out: &mut Vec<u8>, id: u32, body: &[u8]) {
    put_id(out, id);
    put_size(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// An element of elements.
pub(super) fn put_master(out: &mut Vec<u8>, id: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    put_binary(out, id, &body);
}

/// An element that says nothing and is `length` bytes long, 2 to 128: room for another.
pub(super) fn put_void(out: &mut Vec<u8>, length: usize) {
    put_binary(out, id::VOID, &vec![0; length.saturating_sub(2)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_size(&mut out, size);
        out
    }

    #[test]
    fn sizes_are_short_and_never_all_ones() {
        assert_eq!(size(0), [0x80]);
        assert_eq!(size(126), [0xfe]);
        assert_eq!(size(127), [0x40, 0x7f]);
        assert_eq!(size(16_382), [0x7f, 0xfe]);
        assert_eq!(size(16_383), [0x20, 0x3f, 0xff]);
        assert_eq!(size((1 << 49) - 1).len(), 8);
        assert_eq!(wide_size(5), [1, 0, 0, 0, 0, 0, 0, 5]);
    }

    #[test]
    fn elements_are_as_long_as_they_say() {
        let mut out = Vec::new();
        put_uint(&mut out, id::TIMESTAMP_SCALE, 1_000_000);
        assert_eq!(out, [0x2a, 0xd7, 0xb1, 0x83, 0x0f, 0x42, 0x40]);
        out.clear();
        put_uint(&mut out, id::FLAG_LACING, 0);
        assert_eq!(out, [0x9c, 0x81, 0]);
        for length in [2, 11, 68, 128] {
            out.clear();
            put_void(&mut out, length);
            assert_eq!(out.len(), length);
        }
    }
}
