//! Which of a picture's temporal layers a viewer gets
//! ([RFC 7741, section 4.2](https://www.rfc-editor.org/rfc/rfc7741#section-4.2)): one encoder serves
//! good paths and bad ones, and those that do not carry all of it get fewer pictures of the same.
//!
//! Not an encoder: how layers lean on each other is told by each picture's layer and whether it can be
//! begun with. Nothing that is left out here ever had a number, so that nobody misses it.

use std::time::Duration;

use duet_media::MediaTime;

/// Where a picture stands among the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TemporalLayer {
    /// 0 to 3: leans on no picture of a higher layer.
    pub id: u8,
    /// It leans on the lowest layer only, so that a viewer who had nothing of its layer can begin
    /// with it.
    pub sync: bool,
    /// No picture leans on it.
    pub non_reference: bool,
}

/// Leaves out what is above a viewer's layer, and lets it rise only where that can be decoded.
///
/// Layers come back one at a time, each with a picture that leans on the lowest only; all of them at
/// once with a key frame.
#[derive(Clone, Debug)]
pub struct LayerFilter {
    wanted: u8,
    current: u8,
}

impl Default for LayerFilter {
    /// Lets everything through.
    fn default() -> Self {
        LayerFilter {
            wanted: u8::MAX,
            current: u8::MAX,
        }
    }
}

impl LayerFilter {
    /// The highest layer that the viewer is to get from now on.
    pub fn set_highest(&mut self, id: u8) {
        self.wanted = id;
        self.current = self.current.min(id);
    }

    /// Whether a picture goes to the viewer. `crowded`: what went before still waits to leave, so
    /// that a layer that can be done without is. Ask once for each picture, in order.
    pub fn admit(&mut self, key_frame: bool, layer: Option<TemporalLayer>, crowded: bool) -> bool {
        let Some(layer) = layer.filter(|_| !key_frame) else {
            self.current = self.wanted;
            return true;
        };
        if crowded && layer.id > 0 {
            self.current = self.current.min(layer.id - 1);
        } else if layer.id <= self.wanted
            && layer.sync
            && layer.id == self.current.saturating_add(1)
        {
            self.current = layer.id;
        }
        layer.id <= self.current
    }
}

/// Chooses a viewer's highest layer by what its path carries: down at once, up when it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerChoice {
    /// Of how many layers.
    of: usize,
    highest: u8,
    better_since: Option<MediaTime>,
}

impl LayerChoice {
    /// More has to be carried for so long before another layer comes.
    pub const PATIENCE: Duration = Duration::from_secs(2);
    /// And by so much more than the layer needs.
    const MARGIN: f64 = 1.1;

    /// The best that `rate` carries of an encoder that aims at `aim`, in bits a second. `shares`: what
    /// share of its bits the layers up to each take, all of them 1.
    pub fn new(rate: u32, aim: u32, shares: &[f64]) -> Self {
        LayerChoice {
            of: shares.len(),
            highest: carried(f64::from(rate), aim, shares),
            better_since: None,
        }
    }

    /// Looks again.
    #[must_use]
    pub fn review(self, rate: u32, aim: u32, shares: &[f64], now: MediaTime) -> Self {
        let must = carried(f64::from(rate), aim, shares);
        if must <= self.highest || self.of != shares.len() {
            return Self::new(rate, aim, shares);
        }
        // Who carries all needs no more than that.
        let may = match rate >= aim {
            true => must,
            false => carried(f64::from(rate) / Self::MARGIN, aim, shares),
        };
        let since = self.better_since.unwrap_or(now);
        if may <= self.highest {
            LayerChoice {
                better_since: None,
                ..self
            }
        } else if now.saturating_since(since) >= Self::PATIENCE {
            LayerChoice {
                highest: may,
                better_since: None,
                ..self
            }
        } else {
            LayerChoice {
                better_since: Some(since),
                ..self
            }
        }
    }

    /// The highest layer.
    pub fn highest(&self) -> u8 {
        self.highest
    }
}

/// The lowest layer is carried whatever it takes.
fn carried(rate: f64, aim: u32, shares: &[f64]) -> u8 {
    let fits = |share: &&f64| rate >= f64::from(aim) * **share;
    let layers = shares.iter().skip(1).take_while(fits).count();
    u8::try_from(layers).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [f64; 3] = [0.4, 0.6, 1.0];

    fn layer(id: u8, sync: bool) -> Option<TemporalLayer> {
        Some(TemporalLayer {
            id,
            sync,
            non_reference: false,
        })
    }

    /// Two periods of three layers.
    const PICTURES: [(u8, bool); 8] = [
        (0, false),
        (2, true),
        (1, true),
        (2, false),
        (0, false),
        (2, true),
        (1, true),
        (2, false),
    ];

    fn passed(filter: &mut LayerFilter) -> Vec<u8> {
        let pictures = PICTURES.iter();
        pictures
            .filter(|(id, sync)| filter.admit(false, layer(*id, *sync), false))
            .map(|(id, _)| *id)
            .collect()
    }

    #[test]
    fn what_is_above_is_left_out_at_once() {
        let mut filter = LayerFilter::default();
        assert_eq!(passed(&mut filter).len(), 8);
        filter.set_highest(1);
        assert_eq!(passed(&mut filter), [0, 1, 0, 1]);
        filter.set_highest(0);
        assert_eq!(passed(&mut filter), [0, 0]);
    }

    #[test]
    fn a_layer_comes_back_where_it_can_be_begun_with_and_one_at_a_time() {
        let mut filter = LayerFilter::default();
        filter.set_highest(0);
        passed(&mut filter);
        filter.set_highest(2);
        // The first of layer 2 could be decoded, but not what leans on the layer between.
        assert_eq!(passed(&mut filter), [0, 1, 0, 2, 1, 2]);
        assert_eq!(passed(&mut filter).len(), 8);
    }

    #[test]
    fn a_key_frame_brings_all_of_them() {
        let mut filter = LayerFilter::default();
        filter.set_highest(0);
        filter.set_highest(2);
        assert!(filter.admit(true, layer(0, true), false));
        assert!(filter.admit(false, layer(2, false), false));
    }

    #[test]
    fn in_a_crowd_the_lowest_goes_on() {
        let mut filter = LayerFilter::default();
        assert!(!filter.admit(false, layer(2, true), true));
        assert!(!filter.admit(false, layer(2, false), false), "not begun");
        assert!(!filter.admit(false, layer(1, true), true));
        assert!(filter.admit(false, layer(0, false), true));
        assert!(filter.admit(false, layer(1, true), false));
    }

    #[test]
    fn who_has_no_layers_has_nothing_left_out() {
        let mut filter = LayerFilter::default();
        filter.set_highest(0);
        assert!(filter.admit(false, None, true));
    }

    #[test]
    fn the_path_decides_down_at_once_and_up_when_it_lasts() {
        let at = MediaTime::from_millis;
        let review =
            |choice: LayerChoice, rate, millis| choice.review(rate, 2_000_000, &SHARES, at(millis));
        let first = LayerChoice::new(2_000_000, 2_000_000, &SHARES);
        assert_eq!(first.highest(), 2);
        let fallen = review(first, 1_300_000, 0);
        assert_eq!(fallen.highest(), 1);
        let fallen = review(fallen, 100_000, 100);
        assert_eq!(fallen.highest(), 0, "the lowest is sent whatever it takes");
        let hopeful = review(fallen, 1_400_000, 200);
        assert_eq!(hopeful.highest(), 0);
        assert_eq!(review(hopeful, 1_400_000, 2_100).highest(), 0);
        assert_eq!(review(hopeful, 1_400_000, 2_200).highest(), 1);
        let disappointed = review(hopeful, 1_000_000, 1_000);
        assert_eq!(review(disappointed, 1_400_000, 2_500).highest(), 0);
    }

    #[test]
    fn at_the_border_nothing_comes_and_goes() {
        let mut choice = LayerChoice::new(1_190_000, 2_000_000, &SHARES);
        for second in 0..60 {
            let rate = if second % 2 == 0 {
                1_210_000
            } else {
                1_190_000
            };
            choice = choice.review(
                rate,
                2_000_000,
                &SHARES,
                MediaTime::from_millis(second * 1_000),
            );
            assert_eq!(choice.highest(), 0);
        }
    }

    #[test]
    fn one_layer_is_always_carried() {
        assert_eq!(LayerChoice::new(1, 2_000_000, &[1.0]).highest(), 0);
        assert_eq!(LayerChoice::new(1, 0, &[]).highest(), 0);
    }
}
