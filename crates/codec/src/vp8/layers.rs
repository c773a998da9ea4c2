//! Temporal layers: which picture leans on which, so that the upper ones can be left out.
//!
//! Two layers are `0 1 0 1 …`, three `0 2 1 2 …`. Layer 0 leans on itself alone and stands in libvpx's
//! buffer for the last picture; layer 1 of three stands in the golden one, for the layer 2 that comes
//! after it. What is left out leaves no trace: no upper layer touches what lower ones lean on, nor
//! their probabilities.

use super::vpx;
use crate::{CodecError, EncodedLayer};
use std::ffi::c_int;

const NO_GOLDEN: u32 = vpx::VP8_EFLAG_NO_UPD_GF;
const NO_LAST: u32 = vpx::VP8_EFLAG_NO_UPD_LAST;
/// Nobody uses the third buffer.
const NO_ALTERNATE: u32 = vpx::VP8_EFLAG_NO_REF_ARF | vpx::VP8_EFLAG_NO_UPD_ARF;
const LEAN_ON_LAST: u32 = NO_ALTERNATE | vpx::VP8_EFLAG_NO_REF_GF;
const KEEP_PROBABILITIES: u32 = vpx::VP8_EFLAG_NO_UPD_ENTROPY;

/// Where the next picture stands.
#[derive(Debug)]
pub(super) struct Layers {
    /// 1 to 3.
    count: u8,
    position: usize,
    /// This period's layer 1 is in the golden buffer.
    golden: bool,
}

/// What a picture is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) layer: EncodedLayer,
    pub(super) flags: u32,
}

impl Layers {
    pub(super) fn new(count: u8) -> Self {
        Layers {
            count,
            position: 0,
            golden: false,
        }
    }

    pub(super) fn check(count: u8) -> Result<(), CodecError> {
        match count {
            1..=3 => Ok(()),
            _ => Err(CodecError::Unsupported(format!(
                "there are one to three temporal layers, not {count}"
            ))),
        }
    }

    /// The layers of a period, in order.
    fn period(&self) -> &'static [u8] {
        match self.count {
            2 => &[0, 1],
            3 => &[0, 2, 1, 2],
            _ => &[0],
        }
    }

    /// Where the next picture stands; a key frame begins a period. `None` of a single layer.
    pub(super) fn next(&mut self, key_frame: bool) -> Option<Place> {
        if self.count == 1 {
            return None;
        }
        if key_frame {
            self.position = 0;
        }
        let id = self.period()[self.position];
        let (flags, sync, non_reference) = match id {
            0 => (LEAN_ON_LAST | NO_GOLDEN, key_frame, false),
            1 if self.count == 3 => (LEAN_ON_LAST | NO_LAST | KEEP_PROBABILITIES, true, false),
            // The one after this period's layer 1, which is nearer than the last of layer 0.
            2 if self.golden => {
                let flags = NO_ALTERNATE | NO_LAST | NO_GOLDEN | KEEP_PROBABILITIES;
                (flags, false, true)
            }
            _ => {
                let flags = LEAN_ON_LAST | NO_LAST | NO_GOLDEN | KEEP_PROBABILITIES;
                (flags, true, true)
            }
        };
        Some(Place {
            layer: EncodedLayer {
                id,
                sync,
                non_reference,
            },
            flags,
        })
    }

    /// The picture was encoded, as a key frame or not, or it was dropped (`None`).
    pub(super) fn made(&mut self, key_frame: Option<bool>) {
        if key_frame == Some(true) {
            self.position = 0;
        }
        match self.period()[self.position] {
            0 => self.golden = false,
            1 => self.golden = key_frame.is_some(),
            _ => {}
        }
        self.position = (self.position + 1) % self.period().len();
    }

    /// Tells libvpx how many bits each layer gets, of `kbps` in all.
    pub(super) fn describe(&self, settings: &mut vpx::vpx_codec_enc_cfg_t, kbps: u32) {
        if self.count == 1 {
            return;
        }
        let period = self.period();
        settings.ts_number_layers = u32::from(self.count);
        settings.ts_periodicity = period.len() as u32;
        for (at, id) in period.iter().enumerate() {
            settings.ts_layer_id[at] = u32::from(*id);
        }
        for (at, share) in EncodedLayer::shares(self.count).iter().enumerate() {
            settings.ts_target_bitrate[at] = (f64::from(kbps) * share) as u32;
            settings.ts_rate_decimator[at] = 1 << (usize::from(self.count) - 1 - at);
        }
    }

    /// The lowest layer's share of the bits for each of its pictures, as a multiple of what each picture would get without
    /// layers.
    pub(super) fn lowest_picture(&self) -> f64 {
        EncodedLayer::shares(self.count)[0] * self.period().len() as f64
    }

    /// As libvpx takes it.
    pub(super) fn id(place: &Place) -> c_int {
        c_int::from(place.layer.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(layers: &mut Layers, pictures: usize) -> Vec<(u8, bool, bool)> {
        let mut places = Vec::new();
        for n in 0..pictures {
            let place = layers.next(n == 0).expect("more than one layer");
            let EncodedLayer {
                id,
                sync,
                non_reference,
            } = place.layer;
            places.push((id, sync, non_reference));
            layers.made(Some(n == 0));
        }
        places
    }

    #[test]
    fn each_layer_halves_what_is_below() {
        assert_eq!(Layers::new(1).next(true), None);
        let two = places(&mut Layers::new(2), 4);
        let (base, top) = ((0, false, false), (1, true, true));
        assert_eq!(two, [(0, true, false), top, base, top]);
        let three = places(&mut Layers::new(3), 6);
        let (first, middle, second) = ((2, true, true), (1, true, false), (2, false, true));
        assert_eq!(
            three,
            [(0, true, false), first, middle, second, base, first]
        );
    }

    #[test]
    fn nothing_leans_on_what_was_dropped() {
        let mut layers = Layers::new(3);
        places(&mut layers, 4);
        layers.made(Some(false));
        layers.made(Some(false));
        layers.made(None);
        let place = layers.next(false).expect("more than one layer");
        assert_eq!((place.layer.id, place.layer.sync), (2, true));
    }

    #[test]
    fn a_key_frame_begins_a_period() {
        let mut layers = Layers::new(3);
        places(&mut layers, 2);
        let key = layers.next(true).expect("more than one layer");
        assert_eq!(key.layer.id, 0);
        layers.made(Some(true));
        assert_eq!(layers.next(false).map(|place| place.layer.id), Some(2));
    }
}
