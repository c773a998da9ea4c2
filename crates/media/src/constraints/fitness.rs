//! How far settings are from what is wanted.

use super::constrain::{Bare, ConstrainRange, Terms};
use super::property::Value;
use super::{ConstrainableProperty, MediaTrackConstraintSet};
use crate::settings::round_ratio;
use crate::{MediaKind, MediaTrackSettings};

/// The [fitness distance](https://w3c.github.io/mediacapture-main/#dfn-fitness-distance) of the
/// settings of a track of `kind` from a basic set of constraints: 0 is perfect, infinity does not do.
pub fn fitness_distance(
    kind: MediaKind,
    settings: &MediaTrackSettings,
    basic: &MediaTrackConstraintSet,
) -> f64 {
    Demands::new(kind, basic, Bare::Ideal).distance(settings)
}

/// A set's terms, read once for many settings.
pub(super) struct Demands<'a> {
    kind: MediaKind,
    terms: Vec<(ConstrainableProperty, Terms<'a>)>,
}

impl<'a> Demands<'a> {
    pub(super) fn new(kind: MediaKind, set: &'a MediaTrackConstraintSet, bare: Bare) -> Self {
        let counts = |(property, _): &(ConstrainableProperty, _)| property.counts();
        let mut terms: Vec<_> = set.all_terms(bare).filter(counts).collect();
        for (property, terms) in &mut terms {
            // The property is defined with ten decimals; 16/9 is meant to be met by 1280x720.
            if let (ConstrainableProperty::AspectRatio, Terms::Number(range)) = (*property, terms) {
                for value in [
                    &mut range.min,
                    &mut range.max,
                    &mut range.exact,
                    &mut range.ideal,
                ] {
                    *value = value.map(round_ratio);
                }
            }
        }
        Demands { kind, terms }
    }

    pub(super) fn distance(&self, settings: &MediaTrackSettings) -> f64 {
        let distances = self.terms.iter();
        distances
            .map(|(property, terms)| distance(self.kind, *property, terms, settings))
            .sum()
    }

    /// Whether the distance is finite.
    pub(super) fn met_by(&self, settings: &MediaTrackSettings) -> bool {
        self.terms
            .iter()
            .all(|(property, terms)| met(terms, property.of(settings)))
    }

    /// To find the properties whose required terms nothing meets.
    pub(super) fn unmet(&self) -> Unmet<'_> {
        let required = self.terms.iter().filter(|(_, terms)| terms.required());
        Unmet(required.collect())
    }
}

/// The required terms that nothing has met so far.
pub(super) struct Unmet<'a>(Vec<&'a (ConstrainableProperty, Terms<'a>)>);

impl Unmet<'_> {
    pub(super) fn see(&mut self, settings: &MediaTrackSettings) {
        self.0
            .retain(|(property, terms)| !met(terms, property.of(settings)));
    }

    /// The property of the first of them, in the order of the specification, and what was asked of it.
    pub(super) fn first(&self) -> Option<(ConstrainableProperty, String)> {
        self.0
            .first()
            .map(|(property, terms)| (*property, terms.to_string()))
    }
}

/// The steps of the definition, in its order.
fn distance(
    kind: MediaKind,
    property: ConstrainableProperty,
    terms: &Terms<'_>,
    settings: &MediaTrackSettings,
) -> f64 {
    let actual = property.of(settings);
    if !met(terms, actual) {
        return f64::INFINITY;
    }
    if !property.applies_to(kind) {
        return 0.0;
    }
    let unlike = |unlike: bool| if unlike { 1.0 } else { 0.0 };
    match (terms, actual) {
        (Terms::Present { wanted, .. }, actual) => unlike(actual.is_some() != *wanted),
        (_, None) => 1.0,
        (Terms::Number(ConstrainRange { ideal, .. }), Some(Value::Number(actual))) => {
            ideal.map_or(0.0, |ideal| relative(actual, ideal))
        }
        (Terms::Number(_), Some(_)) => 1.0,
        (Terms::Choice { ideal, .. }, Some(actual)) => {
            unlike(!ideal.is_empty() && !ideal.contains(&actual))
        }
    }
}

fn relative(actual: f64, ideal: f64) -> f64 {
    if actual == ideal {
        0.0
    } else {
        (actual - ideal).abs() / actual.abs().max(ideal.abs())
    }
}

/// Whether the required terms, if any, are met.
fn met(terms: &Terms<'_>, actual: Option<Value<'_>>) -> bool {
    if !terms.required() {
        return true;
    }
    match (terms, actual) {
        (Terms::Present { wanted, .. }, actual) => actual.is_some() == *wanted,
        (Terms::Number(range), Some(Value::Number(actual))) => {
            range.min.is_none_or(|min| actual >= min)
                && range.max.is_none_or(|max| actual <= max)
                && range.exact.is_none_or(|exact| actual == exact)
        }
        (Terms::Choice { exact, .. }, Some(actual)) => exact.contains(&actual),
        (Terms::Number(_), Some(_)) | (Terms::Number(_) | Terms::Choice { .. }, None) => false,
    }
}
