use super::*;

fn block(track: usize, millis: u64, key_frame: bool) -> Block {
    Block {
        track,
        time: Duration::from_millis(millis),
        duration: Duration::from_millis(20),
        key_frame,
        data: Bytes::from(vec![track as u8; 3]),
    }
}

const BOTH: [TrackEntry; 2] = [
    TrackEntry::Video {
        width: 640,
        height: 360,
    },
    TrackEntry::Audio { channels: 2 },
];

/// An element's place among its siblings: its id, where its body is, and its size if it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Element {
    id: u32,
    start: usize,
    size: Option<usize>,
}

/// Reads as little EBML as the tests need.
fn element(bytes: &[u8], at: usize) -> Element {
    let id_len = bytes[at].leading_zeros() as usize + 1;
    let id = bytes[at..at + id_len]
        .iter()
        .fold(0, |id, &byte| id << 8 | u32::from(byte));
    let at = at + id_len;
    let size_len = bytes[at].leading_zeros() as usize + 1;
    let size = bytes[at..at + size_len]
        .iter()
        .fold(0u64, |size, &byte| size << 8 | u64::from(byte));
    let ones = (1u64 << (7 * size_len)) - 1;
    let size = size & ones;
    Element {
        id,
        start: at + size_len,
        size: (size != ones).then_some(size as usize),
    }
}

fn elements(bytes: &[u8], mut at: usize, end: usize) -> Vec<Element> {
    let mut all = Vec::new();
    while at < end {
        let next = element(bytes, at);
        at = next.start + next.size.expect("a size");
        all.push(next);
    }
    all
}

fn apply(bytes: &mut [u8], patches: impl IntoIterator<Item = Patch>) {
    for patch in patches {
        let at = patch.offset as usize;
        bytes[at..at + patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
}

/// A file of those blocks, whole.
fn file(blocks: &[Block]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut muxer = Muxer::new(BOTH.into(), &mut bytes);
    for block in blocks {
        let patch = muxer.write(block, &mut bytes);
        apply(&mut bytes, patch);
    }
    let patches = muxer.finish(&mut bytes);
    apply(&mut bytes, patches);
    bytes
}

/// The Segment's elements.
fn segment(bytes: &[u8]) -> (usize, Vec<Element>) {
    let head = element(bytes, 0);
    let segment = element(bytes, head.start + head.size.unwrap());
    assert_eq!(segment.id, id::SEGMENT);
    assert_eq!(segment.start + segment.size.expect("a size"), bytes.len());
    (segment.start, elements(bytes, segment.start, bytes.len()))
}

fn uint(bytes: &[u8], element: Element) -> u64 {
    let body = &bytes[element.start..element.start + element.size.unwrap()];
    body.iter().fold(0, |n, &byte| n << 8 | u64::from(byte))
}

fn children(bytes: &[u8], element: Element) -> Vec<Element> {
    elements(bytes, element.start, element.start + element.size.unwrap())
}

#[test]
fn a_finished_file_has_sizes_duration_cues_and_a_way_to_find_them() {
    let blocks: Vec<_> = (0..100)
        .flat_map(|n| {
            [
                block(0, n * 40, n % 30 == 0),
                block(1, n * 40, true),
                block(1, n * 40 + 20, true),
            ]
        })
        .collect();
    let bytes = file(&blocks);
    let (start, top) = segment(&bytes);
    let clusters: Vec<_> = top.iter().filter(|e| e.id == id::CLUSTER).collect();
    assert_eq!(clusters.len(), 4, "one for each key frame");
    let seek_head = top.iter().find(|e| e.id == id::SEEK_HEAD).unwrap();
    for seek in children(&bytes, *seek_head) {
        let parts = children(&bytes, seek);
        let found = element(&bytes, start + uint(&bytes, parts[1]) as usize);
        assert_eq!(u64::from(found.id), uint(&bytes, parts[0]));
    }
    let info = top.iter().find(|e| e.id == id::INFO).unwrap();
    let duration = children(&bytes, *info);
    let duration = duration.iter().find(|e| e.id == id::DURATION).unwrap();
    let duration = f64::from_bits(uint(&bytes, *duration));
    assert!((duration - 4_000.0).abs() < 0.5, "{duration} ms");
    let cues = top.iter().find(|e| e.id == id::CUES).unwrap();
    let cues = children(&bytes, *cues);
    assert_eq!(cues.len(), 4);
    for (cue, millis) in cues.into_iter().zip([0, 1_200, 2_400, 3_600]) {
        let parts = children(&bytes, cue);
        assert_eq!(uint(&bytes, parts[0]), millis);
        let position = children(&bytes, parts[1]);
        assert_eq!(uint(&bytes, position[0]), 1, "the picture's track");
        let cluster = element(&bytes, start + uint(&bytes, position[1]) as usize);
        assert_eq!(cluster.id, id::CLUSTER);
        assert_eq!(uint(&bytes, children(&bytes, cluster)[0]), millis);
    }
}

#[test]
fn every_block_is_where_it_was_put() {
    let blocks = [
        block(0, 0, true),
        block(1, 7, true),
        block(0, 33, false),
        block(0, 33, false),
        block(0, 6_000, false),
        block(1, 5_990, true),
        block(1, 90_000, true),
        block(1, 40_000, true),
    ];
    let bytes = file(&blocks);
    let (_, top) = segment(&bytes);
    let mut seen = Vec::new();
    for cluster in top.into_iter().filter(|e| e.id == id::CLUSTER) {
        let inside = children(&bytes, cluster);
        let base = uint(&bytes, inside[0]) as i64;
        for part in &inside[1..] {
            assert_eq!(part.id, id::SIMPLE_BLOCK);
            let body = &bytes[part.start..part.start + part.size.unwrap()];
            let track = usize::from(body[0] & 0x7f) - 1;
            let relative = i16::from_be_bytes([body[1], body[2]]);
            seen.push((track, base + i64::from(relative), body[3] == 0x80));
            assert_eq!(body[4..], [track as u8; 3]);
        }
    }
    assert_eq!(
        seen,
        [
            (0, 0, true),
            (1, 7, true),
            (0, 33, false),
            // Two pictures are never shown at once.
            (0, 34, false),
            (0, 6_000, false),
            (1, 5_990, true),
            (1, 90_000, true),
            // Time does not go back within a track.
            (1, 90_000, true),
        ]
    );
}

#[test]
fn places_to_seek_to_do_not_grow_without_bound() {
    let mut bytes = Vec::new();
    let mut muxer = Muxer::new(BOTH.into(), &mut bytes);
    for n in 0..3 * MAX_CUES as u64 {
        bytes.clear();
        drop(muxer.write(&block(0, n * 40, true), &mut bytes));
    }
    assert!(muxer.cues.len() <= MAX_CUES && muxer.cues.len() > MAX_CUES / 2);
    let apart: Vec<_> = muxer
        .cues
        .windows(2)
        .map(|w| w[1].time - w[0].time)
        .collect();
    assert!(apart.iter().all(|apart| *apart == 160), "evenly spread");
}
