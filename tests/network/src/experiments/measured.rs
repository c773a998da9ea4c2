//! What a run measured, and what several runs of one experiment agree on.

use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Of one run.
#[derive(Serialize)]
pub(crate) struct Measured {
    /// Numbers.
    pub(crate) rows: Vec<Row>,
    /// And how it went.
    pub(crate) series: Series,
}

/// The measures of one flow, or of all, in one stretch of a run.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    /// The stretch, and whose.
    pub(crate) of: String,
    /// By name; the unit is its last word.
    pub(crate) values: BTreeMap<&'static str, f64>,
}

impl Measured {
    /// Of a run of which only numbers are told.
    pub(crate) fn of_rows(rows: Vec<Row>) -> Measured {
        Measured {
            rows,
            series: Series {
                step_ms: 100,
                capacity_kbps: [Vec::new(), Vec::new()],
                flows: Vec::new(),
            },
        }
    }
}

impl Row {
    pub(crate) fn new(of: impl Into<String>) -> Row {
        let (of, values) = (of.into(), BTreeMap::new());
        Row { of, values }
    }

    /// Adds a measure, to three places.
    pub(crate) fn set(&mut self, name: &'static str, value: f64) {
        self.values.insert(name, (value * 1e3).round() / 1e3);
    }

    /// A measure that is there; zero of one that is not.
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.values.get(name).copied().unwrap_or_default()
    }
}

/// How a run went, one value for each step; `None` where nothing came.
#[derive(Serialize)]
pub(crate) struct Series {
    pub(crate) step_ms: u64,
    /// What the links could carry: forth, and back; `None` where they are never full.
    pub(crate) capacity_kbps: [Vec<Option<f64>>; 2],
    pub(crate) flows: Vec<FlowSeries>,
}

/// One sender's.
#[derive(Serialize)]
pub(crate) struct FlowSeries {
    pub(crate) name: String,
    /// Whether it goes the other way.
    pub(crate) back: bool,
    /// What arrived.
    pub(crate) kbps: Vec<f64>,
    /// What datagrams took beyond the way, the median of a step.
    pub(crate) queue_ms: Vec<Option<f64>>,
    /// How old pictures were when they were shown.
    pub(crate) age_ms: Vec<Option<f64>>,
}

/// Of each row's measures the median, the least and the greatest over the runs that have it.
pub(crate) fn summary(runs: &[Measured]) -> Value {
    let rows = runs.iter().flat_map(|run| &run.rows);
    let mut order: Vec<&str> = Vec::new();
    let mut all: BTreeMap<&str, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for row in rows {
        if !all.contains_key(row.of.as_str()) {
            order.push(&row.of);
        }
        let values = all.entry(&row.of).or_default();
        for (name, value) in &row.values {
            values.entry(name).or_default().push(*value);
        }
    }
    let told = order.into_iter().map(|of| {
        let values = all[of].iter();
        let values: BTreeMap<_, _> = values
            .map(|(name, values)| (name, spread(values)))
            .collect();
        json!({ "of": of, "values": values })
    });
    told.collect()
}

fn spread(values: &[f64]) -> Value {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    json!({ "median": median(&sorted), "min": sorted[0], "max": sorted[sorted.len() - 1] })
}

/// Of values in order, of which there is one at least.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        (sorted[middle - 1] + sorted[middle]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kbps: f64) -> Measured {
        let mut row = Row::new("all");
        row.set("kbps", kbps);
        Measured::of_rows(vec![row])
    }

    #[test]
    fn runs_are_summed_up_by_their_median_and_range() {
        let runs = [run(3.0), run(1.0), run(10.0)];
        let told = summary(&runs);
        let expected = json!({ "median": 3.0, "min": 1.0, "max": 10.0 });
        assert_eq!(told[0]["of"], "all");
        assert_eq!(told[0]["values"]["kbps"], expected);
        let even = summary(&runs[..2]);
        assert_eq!(even[0]["values"]["kbps"]["median"], 2.0);
    }
}
