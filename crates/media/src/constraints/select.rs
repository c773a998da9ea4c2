//! [SelectSettings](https://w3c.github.io/mediacapture-main/#dfn-selectsettings).

use super::constrain::Bare;
use super::fitness::Demands;
use super::{
    Candidate, ConstrainableProperty, MediaTrackConstraintSet, MediaTrackConstraints,
    OverconstrainedError,
};
use crate::{EchoCancellation, MediaKind, MediaTrackSettings, VideoResizeMode};
use std::cmp::Ordering;

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// Its place among the candidates, in the order in which they were offered.
    pub index: usize,
    /// What it is.
    pub candidate: Candidate,
    /// How well it suits. `getUserMedia` compares devices by it.
    pub fit: Fit,
}

/// How well settings suit constraints. What is greater suits better: it meets an earlier one of the
/// advanced sets, or it is at a smaller distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Which of the advanced sets are met, in their order.
    pub advanced: Vec<bool>,
    /// The [fitness distance](https://w3c.github.io/mediacapture-main/#dfn-fitness-distance) from the
    /// basic set.
    pub distance: f64,
}

impl Fit {
    /// How well `settings` suit, on their own. `None` if they do not meet the basic set.
    pub fn of(
        kind: MediaKind,
        settings: &MediaTrackSettings,
        constraints: &MediaTrackConstraints,
    ) -> Option<Fit> {
        Wishes::new(kind, constraints).fit(settings)
    }

    /// Which one suits better.
    pub fn compare(&self, other: &Fit) -> Ordering {
        // To keep what meets the first set, if anything does, then of that what meets the second, and
        // so on, is to take the greatest in the order of the sets.
        let by_sets = self.advanced.cmp(&other.advanced);
        by_sets.then(other.distance.total_cmp(&self.distance))
    }
}

/// [`select_from`] a list.
///
/// # Errors
/// [`OverconstrainedError`] if no candidate meets the basic constraints.
pub fn select_settings(
    kind: MediaKind,
    candidates: &[Candidate],
    constraints: &MediaTrackConstraints,
    defaults: &MediaTrackSettings,
) -> Result<Selected, OverconstrainedError> {
    select_from(kind, constraints, defaults, |offer| {
        candidates.iter().cloned().for_each(offer);
    })
}

/// Chooses of all candidates that are offered the one that fits best: of those that meet the basic
/// constraints, narrowed by each advanced set that any of them meets, one at the smallest distance.
/// Between equals a picture that shows all that the camera sees comes first, then what is nearest to
/// `defaults` ([`default_settings`] are the specification's), then what is offered first.
///
/// # Errors
/// [`OverconstrainedError`] if no candidate meets the basic constraints.
pub fn select_from(
    kind: MediaKind,
    constraints: &MediaTrackConstraints,
    defaults: &MediaTrackSettings,
    offer_all: impl FnOnce(&mut dyn FnMut(Candidate)),
) -> Result<Selected, OverconstrainedError> {
    let wishes = Wishes::new(kind, constraints);
    let usual = as_ideals(defaults);
    let usual = Demands::new(kind, &usual, Bare::Ideal);
    let by_default = |a: &Candidate, b: &Candidate| {
        let of_settings = || {
            let distance = |c: &Candidate| usual.distance(&c.settings);
            distance(b).total_cmp(&distance(a))
        };
        b.is_cropped().cmp(&a.is_cropped()).then_with(of_settings)
    };
    let mut best: Option<Selected> = None;
    let mut unmet = wishes.basic.unmet();
    let mut count = 0;
    offer_all(&mut |candidate| {
        let index = count;
        count += 1;
        let Some(fit) = wishes.fit(&candidate.settings) else {
            unmet.see(&candidate.settings);
            return;
        };
        let better = best.as_ref().is_none_or(|best| {
            let order = fit.compare(&best.fit);
            order
                .then_with(|| by_default(&candidate, &best.candidate))
                .is_gt()
        });
        if better {
            best = Some(Selected {
                index,
                candidate,
                fit,
            });
        }
    });
    best.ok_or_else(|| overconstrained(unmet.first()))
}

/// All that is asked for.
struct Wishes<'a> {
    basic: Demands<'a>,
    advanced: Vec<Demands<'a>>,
}

impl<'a> Wishes<'a> {
    fn new(kind: MediaKind, constraints: &'a MediaTrackConstraints) -> Self {
        let sets = constraints.advanced.iter();
        Wishes {
            basic: Demands::new(kind, &constraints.basic, Bare::Ideal),
            advanced: sets
                .map(|set| Demands::new(kind, set, Bare::Exact))
                .collect(),
        }
    }

    fn fit(&self, settings: &MediaTrackSettings) -> Option<Fit> {
        let distance = self.basic.distance(settings);
        distance.is_finite().then(|| Fit {
            advanced: self
                .advanced
                .iter()
                .map(|set| set.met_by(settings))
                .collect(),
            distance,
        })
    }
}

/// What browsers choose where nothing else decides: 640x480, 30 frames a second, not resized, echo
/// cancellation on.
pub fn default_settings(kind: MediaKind) -> MediaTrackSettings {
    match kind {
        MediaKind::Video => MediaTrackSettings {
            width: Some(640),
            height: Some(480),
            frame_rate: Some(30.0),
            resize_mode: Some(VideoResizeMode::None),
            ..Default::default()
        },
        MediaKind::Audio => MediaTrackSettings {
            echo_cancellation: Some(EchoCancellation::On),
            ..Default::default()
        },
    }
}

fn as_ideals(settings: &MediaTrackSettings) -> MediaTrackConstraintSet {
    let text = |value: Option<&str>| value.map(Into::into);
    MediaTrackConstraintSet {
        width: settings.width.map(Into::into),
        height: settings.height.map(Into::into),
        frame_rate: settings.frame_rate.map(Into::into),
        facing_mode: text(settings.facing_mode.map(|mode| mode.as_str())),
        resize_mode: text(settings.resize_mode.map(|mode| mode.as_str())),
        sample_rate: settings.sample_rate.map(Into::into),
        sample_size: settings.sample_size.map(Into::into),
        echo_cancellation: settings
            .echo_cancellation
            .map(|mode| mode.to_value().into()),
        auto_gain_control: settings.auto_gain_control.map(Into::into),
        noise_suppression: settings.noise_suppression.map(Into::into),
        latency: settings.latency.map(Into::into),
        channel_count: settings.channel_count.map(Into::into),
        device_id: text(settings.device_id.as_deref()),
        group_id: text(settings.group_id.as_deref()),
        display_surface: text(settings.display_surface.map(|kind| kind.as_str())),
        logical_surface: settings.logical_surface.map(Into::into),
        cursor: text(settings.cursor.map(|cursor| cursor.as_str())),
        background_blur: settings.background_blur.map(Into::into),
        // It follows from width and height.
        aspect_ratio: None,
    }
}

fn overconstrained(culprit: Option<(ConstrainableProperty, String)>) -> OverconstrainedError {
    match culprit {
        Some((property, asked)) => OverconstrainedError {
            constraint: property.name().into(),
            message: format!("nothing meets the required constraint on {property}: {asked}"),
        },
        None => OverconstrainedError {
            constraint: String::new(),
            message: "nothing meets all required constraints together".into(),
        },
    }
}
