//! IVF, the simplest of all files of coded pictures: a head of 32 bytes, then for each picture its size
//! and time in 12 bytes, and the picture. See the
//! [description](https://wiki.multimedia.cx/index.php/Duck_IVF).

use super::container::{Codec, Container, Packet, TrackInfo};
use std::io::Read;

/// The largest packet, in bytes.
const MAX_PACKET: u32 = 16 << 20;

pub(super) fn open(mut file: impl Read + Send + 'static) -> Result<Box<dyn Container>, String> {
    let mut head = [0; 32];
    file.read_exact(&mut head)
        .map_err(|_| "the head is cut off".to_owned())?;
    let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if &head[8..12] != b"VP80" {
        let codec = String::from_utf8_lossy(&head[8..12]).into_owned();
        return Err(format!("byte 8: {codec:?} is not supported, only VP80"));
    }
    // Ticks a second, as a fraction.
    let (rate, scale) = (long(16), long(20));
    if rate == 0 || scale == 0 {
        return Err(format!("byte 16: a clock of {rate}/{scale} ticks a second"));
    }
    let mut skipped = Vec::new();
    let extra = u64::from(short(6).saturating_sub(32));
    (&mut file)
        .take(extra)
        .read_to_end(&mut skipped)
        .map_err(|error| error.to_string())?;
    let frame_rate = f64::from(rate) / f64::from(scale);
    let codec = Codec::Vp8 {
        width: short(12).into(),
        height: short(14).into(),
        // Often it is the clock's rate rather than that of the pictures.
        frame_rate: (1.0..=240.0).contains(&frame_rate).then_some(frame_rate),
    };
    Ok(Box::new(Ivf {
        file,
        tracks: [TrackInfo { id: 0, codec }],
        rate,
        scale,
    }))
}

struct Ivf<R> {
    file: R,
    tracks: [TrackInfo; 1],
    rate: u32,
    scale: u32,
}

impl<R: Read + Send> Container for Ivf<R> {
    fn tracks(&self) -> &[TrackInfo] {
        &self.tracks
    }

    fn next(&mut self) -> Option<Packet> {
        let mut head = [0; 12];
        self.file.read_exact(&mut head).ok()?;
        let (size, ticks) = head.split_at(4);
        let size = u32::from_le_bytes(size.try_into().ok()?);
        let ticks = i64::from_le_bytes(ticks.try_into().ok()?);
        if size > MAX_PACKET {
            return None;
        }
        let mut data = Vec::new();
        let read = (&mut self.file)
            .take(size.into())
            .read_to_end(&mut data)
            .ok()?;
        if read < size as usize {
            return None;
        }
        let nanos = i128::from(ticks.max(0)) * i128::from(self.scale) * 1_000_000_000
            / i128::from(self.rate);
        Some(Packet {
            track: 0,
            time: i64::try_from(nanos).unwrap_or(i64::MAX),
            data: data.into(),
        })
    }
}
