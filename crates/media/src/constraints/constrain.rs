//! The terms that one property can be given.

use super::property::Value;
use std::fmt;

/// A constraint of a number:
/// [`ConstrainULong`](https://w3c.github.io/mediacapture-main/#dom-constrainulong) and
/// [`ConstrainDouble`](https://w3c.github.io/mediacapture-main/#dom-constraindouble).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ConstrainNumber<T> {
    /// A value alone: ideal in the basic set, exact in an advanced one.
    Bare(T),
    /// Named terms.
    Range(ConstrainRange<T>),
    /// That the property should exist, or should not, whatever its value.
    Present(bool),
}

/// [`ConstrainULongRange`](https://w3c.github.io/mediacapture-main/#dom-constrainulongrange) and
/// [`ConstrainDoubleRange`](https://w3c.github.io/mediacapture-main/#dom-constraindoublerange). All
/// but `ideal` are required to be met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConstrainRange<T> {
    /// The least value.
    pub min: Option<T>,
    /// The greatest value.
    pub max: Option<T>,
    /// The only value.
    pub exact: Option<T>,
    /// The best value.
    pub ideal: Option<T>,
}

impl<T> Default for ConstrainRange<T> {
    fn default() -> Self {
        ConstrainRange {
            min: None,
            max: None,
            exact: None,
            ideal: None,
        }
    }
}

/// See [`ConstrainNumber`].
pub type ConstrainULong = ConstrainNumber<u32>;
/// See [`ConstrainNumber`].
pub type ConstrainDouble = ConstrainNumber<f64>;

impl<T> ConstrainNumber<T> {
    /// This value and no other.
    pub fn exact(value: T) -> Self {
        ConstrainNumber::Range(ConstrainRange {
            exact: Some(value),
            ..Default::default()
        })
    }

    /// As near to this value as can be.
    pub fn ideal(value: T) -> Self {
        ConstrainNumber::Range(ConstrainRange {
            ideal: Some(value),
            ..Default::default()
        })
    }

    /// This value or more.
    pub fn min(value: T) -> Self {
        ConstrainNumber::Range(ConstrainRange {
            min: Some(value),
            ..Default::default()
        })
    }

    /// This value or less.
    pub fn max(value: T) -> Self {
        ConstrainNumber::Range(ConstrainRange {
            max: Some(value),
            ..Default::default()
        })
    }

    /// From `min` to `max`, both included.
    pub fn between(min: T, max: T) -> Self {
        ConstrainNumber::Range(ConstrainRange {
            min: Some(min),
            max: Some(max),
            ..Default::default()
        })
    }

    /// The same with another ideal. A bare value becomes that ideal.
    #[must_use]
    pub fn with_ideal(self, value: T) -> Self {
        match self {
            ConstrainNumber::Range(range) => ConstrainNumber::Range(ConstrainRange {
                ideal: Some(value),
                ..range
            }),
            ConstrainNumber::Bare(_) | ConstrainNumber::Present(_) => Self::ideal(value),
        }
    }
}

impl<T> From<T> for ConstrainNumber<T> {
    fn from(value: T) -> Self {
        ConstrainNumber::Bare(value)
    }
}

/// A constraint of something that has no order:
/// [`ConstrainDOMString`](https://w3c.github.io/mediacapture-main/#dom-constraindomstring),
/// [`ConstrainBoolean`](https://w3c.github.io/mediacapture-main/#dom-constrainboolean) and
/// [`ConstrainBooleanOrDOMString`](https://w3c.github.io/mediacapture-main/#dom-constrainbooleanordomstring).
/// Of several values any will do; an empty list is no constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstrainChoice<T> {
    /// Values alone: ideal in the basic set, exact in an advanced one.
    Bare(Vec<T>),
    /// Named terms.
    Parameters {
        /// One of these is required.
        exact: Vec<T>,
        /// One of these would be best.
        ideal: Vec<T>,
    },
}

/// See [`ConstrainChoice`].
pub type ConstrainDOMString = ConstrainChoice<String>;
/// See [`ConstrainChoice`].
pub type ConstrainBoolean = ConstrainChoice<bool>;
/// See [`ConstrainChoice`].
pub type ConstrainBooleanOrDOMString = ConstrainChoice<BooleanOrString>;

impl<T> ConstrainChoice<T> {
    /// This value and no other.
    pub fn exact(value: impl Into<T>) -> Self {
        ConstrainChoice::Parameters {
            exact: vec![value.into()],
            ideal: Vec::new(),
        }
    }

    /// This value if it can be had.
    pub fn ideal(value: impl Into<T>) -> Self {
        ConstrainChoice::Parameters {
            exact: Vec::new(),
            ideal: vec![value.into()],
        }
    }
}

impl From<&str> for ConstrainDOMString {
    fn from(value: &str) -> Self {
        ConstrainChoice::Bare(vec![value.into()])
    }
}

impl From<bool> for ConstrainBoolean {
    fn from(value: bool) -> Self {
        ConstrainChoice::Bare(vec![value])
    }
}

impl<T: Into<BooleanOrString>> From<T> for ConstrainBooleanOrDOMString {
    fn from(value: T) -> Self {
        ConstrainChoice::Bare(vec![value.into()])
    }
}

/// The W3C's `(boolean or DOMString)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BooleanOrString {
    /// True or false.
    Boolean(bool),
    /// A name.
    String(String),
}

impl From<bool> for BooleanOrString {
    fn from(value: bool) -> Self {
        BooleanOrString::Boolean(value)
    }
}

impl From<&str> for BooleanOrString {
    fn from(value: &str) -> Self {
        BooleanOrString::String(value.into())
    }
}

/// How a bare value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    Ideal,
    Exact,
}

/// A constraint of any type, its bare value read.
#[derive(Clone, Debug)]
pub(super) enum Terms<'a> {
    Number(ConstrainRange<f64>),
    Choice {
        exact: Vec<Value<'a>>,
        ideal: Vec<Value<'a>>,
    },
    Present {
        wanted: bool,
        required: bool,
    },
}

impl fmt::Display for Terms<'_> {
    /// What is required, for a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Terms::Number(range) => {
                let parts = [
                    ("exactly", range.exact),
                    ("at least", range.min),
                    ("at most", range.max),
                ];
                let asked = parts
                    .iter()
                    .filter_map(|(how, value)| Some((how, (*value)?)));
                for (at, (how, value)) in asked.enumerate() {
                    let and = if at == 0 { "" } else { " and " };
                    write!(f, "{and}{how} {value}")?;
                }
                if range.min.zip(range.max).is_some_and(|(min, max)| min > max) {
                    f.write_str(", which is a contradiction")?;
                }
                Ok(())
            }
            Terms::Choice { exact, .. } => {
                for (at, value) in exact.iter().enumerate() {
                    let or = if at == 0 { "exactly " } else { " or " };
                    match value {
                        Value::Text(text) => write!(f, "{or}\"{text}\"")?,
                        Value::Flag(flag) => write!(f, "{or}{flag}")?,
                        Value::Number(number) => write!(f, "{or}{number}")?,
                    }
                }
                Ok(())
            }
            Terms::Present { wanted, .. } => f.write_str(if *wanted {
                "to be there"
            } else {
                "not to be there"
            }),
        }
    }
}

impl Terms<'_> {
    /// The first of the values that is no number that could be met or missed.
    pub(super) fn not_finite(&self) -> Option<f64> {
        let Terms::Number(range) = self else {
            return None;
        };
        let values = [range.exact, range.min, range.max, range.ideal];
        values
            .into_iter()
            .flatten()
            .find(|value| !value.is_finite())
    }

    /// Whether anything must be met.
    pub(super) fn required(&self) -> bool {
        match self {
            Terms::Number(range) => range.min.or(range.max).or(range.exact).is_some(),
            Terms::Choice { exact, .. } => !exact.is_empty(),
            Terms::Present { required, .. } => *required,
        }
    }
}

impl<T: Copy + Into<f64>> ConstrainNumber<T> {
    pub(super) fn terms(&self, bare: Bare) -> Option<Terms<'_>> {
        let range = match (*self, bare) {
            (ConstrainNumber::Present(wanted), bare) => {
                let required = bare == Bare::Exact;
                return Some(Terms::Present { wanted, required });
            }
            (ConstrainNumber::Bare(value), Bare::Ideal) => ConstrainRange {
                ideal: Some(value.into()),
                ..Default::default()
            },
            (ConstrainNumber::Bare(value), Bare::Exact) => ConstrainRange {
                exact: Some(value.into()),
                ..Default::default()
            },
            (ConstrainNumber::Range(range), _) => ConstrainRange {
                min: range.min.map(Into::into),
                max: range.max.map(Into::into),
                exact: range.exact.map(Into::into),
                ideal: range.ideal.map(Into::into),
            },
        };
        (range != ConstrainRange::default()).then_some(Terms::Number(range))
    }
}

impl<T> ConstrainChoice<T> {
    pub(super) fn terms<'a>(&'a self, bare: Bare) -> Option<Terms<'a>>
    where
        &'a T: Into<Value<'a>>,
    {
        let (exact, ideal): (&[T], &[T]) = match (self, bare) {
            (ConstrainChoice::Bare(values), Bare::Ideal) => (&[], values),
            (ConstrainChoice::Bare(values), Bare::Exact) => (values, &[]),
            (ConstrainChoice::Parameters { exact, ideal }, _) => (exact, ideal),
        };
        let values = |list: &'a [T]| list.iter().map(Into::into).collect();
        (!exact.is_empty() || !ideal.is_empty()).then(|| Terms::Choice {
            exact: values(exact),
            ideal: values(ideal),
        })
    }
}
