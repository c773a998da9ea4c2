//! The sizes beside a ratio among which is the best.
//!
//! Seen by the logarithms of width and height, each named width, height and ratio is a straight line. A
//! distance is 1 - min/max, so that the fitness distance is concave wherever none of these lines is
//! crossed: in each cell between them, the best size is a corner of the hull of the cell's sizes. A corner
//! that lies on no named width or height is next to a ratio's line, on one side of it. And it is nearer to
//! that line than all before it in the cell, or than all after it: else there was one before and one behind
//! that are as near, and the corner lay between what lies between those two and the cell's far side.
//!
//! So the records are enough, counted from both ends of each cell: some ten of thousands of sizes.

use crate::settings::round_ratio;

/// The sizes within `most` that may be the best for what names this ratio and these sides, which are in
/// order; but for those that have a named side.
pub(super) fn beside(
    ratio: f64,
    widths: &[u32],
    heights: &[u32],
    most: (u32, u32),
) -> Vec<(u32, u32)> {
    let is_wide = ratio >= 1.0;
    let shorter = if is_wide { most.1 } else { most.0 };
    let at = |short: u32, round: fn(f64) -> f64| {
        let short_side = f64::from(short);
        match is_wide {
            true => (round(short_side * ratio) as u32, short),
            false => (short, round(short_side / ratio) as u32),
        }
    };
    let is_within = |(w, h): &(u32, u32)| (1..=most.0).contains(w) && (1..=most.1).contains(h);
    let mut sizes = Vec::new();
    for round in [f64::floor, f64::ceil] {
        let strip = (1..=shorter)
            .map(|short| at(short, round))
            .filter(is_within);
        let seen: Vec<_> = strip
            .map(|(w, h)| Seen {
                size: (w, h),
                place: [Place::of(w, widths), Place::of(h, heights)],
                off: (round_ratio(f64::from(w) / f64::from(h)) - round_ratio(ratio)).abs(),
            })
            .collect();
        // Where all that is named is larger, nothing is gained by being small.
        let is_small = |seen: &&Seen| seen.place.iter().all(|place| place.to == 0);
        records(seen.iter().skip_while(is_small), &mut sizes);
        records(seen.iter().rev(), &mut sizes);
    }
    sizes
}

/// A size, and how far its ratio is off.
struct Seen {
    size: (u32, u32),
    place: [Place; 2],
    off: f64,
}

/// Where a side is among those that are named: how many are smaller, and how many not larger.
#[derive(Clone, Copy)]
struct Place {
    from: usize,
    to: usize,
}

impl Place {
    fn of(side: u32, named: &[u32]) -> Self {
        Place {
            from: named.partition_point(|other| *other < side),
            to: named.partition_point(|other| *other <= side),
        }
    }

    fn is_named(self) -> bool {
        self.from < self.to
    }

    /// Whether this is the other's cell or an edge of it.
    fn adjoins(self, other: Self) -> bool {
        self.from <= other.from && other.to <= self.to
    }
}

/// Adds those that are nearer than all before them in their cell, its edge among them.
fn records<'a>(strip: impl Iterator<Item = &'a Seen>, sizes: &mut Vec<(u32, u32)>) {
    let mut nearest: Option<([Place; 2], f64)> = None;
    for Seen { size, place, off } in strip {
        let [width, height] = *place;
        if width.is_named() || height.is_named() {
            nearest = Some((*place, *off));
            continue;
        }
        let before = nearest.filter(|([w, h], _)| w.adjoins(width) && h.adjoins(height));
        let least = before.map_or(f64::INFINITY, |(_, least)| least);
        if *off < least {
            sizes.push(*size);
        }
        nearest = Some((*place, off.min(least)));
    }
}
