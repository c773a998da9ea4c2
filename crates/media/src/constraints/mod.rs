//! [Constraints](https://w3c.github.io/mediacapture-main/#constrainable-interface): what a program
//! asks of a track, and how the best of what a device can do is chosen.
//!
//! [`MediaTrackConstraints`] say what is wanted, [`candidates`] lists what there is,
//! [`select_settings`] chooses. Both `getUserMedia` and
//! [`MediaStreamTrack::apply_constraints`](crate::MediaStreamTrack::apply_constraints) are made of
//! these three.
//!
//! What this is not: it knows no device, and it configures nothing.

mod beside;
mod candidates;
mod constrain;
mod fitness;
mod property;
mod select;
#[cfg(test)]
mod tests;

pub(crate) use candidates::keeps_shape;
pub use candidates::{Candidate, candidates, each_candidate};
pub use constrain::{
    BooleanOrString, ConstrainBoolean, ConstrainBooleanOrDOMString, ConstrainChoice,
    ConstrainDOMString, ConstrainDouble, ConstrainNumber, ConstrainRange, ConstrainULong,
};
pub use fitness::fitness_distance;
pub use property::ConstrainableProperty;
pub use select::{Fit, Selected, default_settings, select_from, select_settings};

use crate::MediaKind;
use constrain::{Bare, Terms};

/// [`OverconstrainedError`](https://w3c.github.io/mediacapture-main/#overconstrainederror-interface):
/// nothing meets the required constraints. Ask for less; what was in force still is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OverconstrainedError {
    /// The W3C's name of a constraint that nothing meets; empty if each can be met, but not all
    /// together.
    pub constraint: String,
    /// A sentence for a person.
    pub message: String,
}

/// [`MediaStreamConstraints`](https://w3c.github.io/mediacapture-main/#mediastreamconstraints): which
/// kinds of track are wanted. `None` is the W3C's `false`, and default constraints are its `true`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaStreamConstraints {
    /// What is wanted of an audio track, if one is.
    pub audio: Option<MediaTrackConstraints>,
    /// What is wanted of a video track, if one is.
    pub video: Option<MediaTrackConstraints>,
}

/// [`MediaTrackConstraints`](https://w3c.github.io/mediacapture-main/#mediatrackconstraints).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MediaTrackConstraints {
    /// What is wanted; required terms must be met. Bare values are ideals.
    pub basic: MediaTrackConstraintSet,
    /// What would be better still, best first. Each set is met as a whole or ignored. Bare values
    /// are exact.
    pub advanced: Vec<MediaTrackConstraintSet>,
}

impl MediaTrackConstraints {
    /// Without the constraints that tracks of `kind` do not have, as `getUserMedia` reads them.
    #[must_use]
    pub fn for_kind(self, kind: MediaKind) -> Self {
        self.retain(|property| property.applies_to(kind))
    }

    /// Without the constraints that tracks of a screen or a window do not have, as `getDisplayMedia`
    /// reads them.
    #[must_use]
    pub fn for_display(self) -> Self {
        self.retain(ConstrainableProperty::applies_to_displays)
    }

    fn retain(mut self, keeps: impl Fn(ConstrainableProperty) -> bool) -> Self {
        self.basic.retain(&keeps);
        let sets = self.advanced.iter_mut();
        sets.for_each(|set| set.retain(&keeps));
        self
    }

    /// The first property of which something is asked that is no finite number, and that value. A
    /// script that passes such a thing gets a `TypeError` before anything is looked at.
    pub fn not_finite(&self) -> Option<(ConstrainableProperty, f64)> {
        let mut sets = std::iter::once(&self.basic).chain(&self.advanced);
        sets.find_map(|set| {
            let mut terms = set.all_terms(Bare::Ideal);
            terms.find_map(|(property, terms)| Some((property, terms.not_finite()?)))
        })
    }
}

impl From<MediaTrackConstraintSet> for MediaTrackConstraints {
    fn from(basic: MediaTrackConstraintSet) -> Self {
        let advanced = Vec::new();
        MediaTrackConstraints { basic, advanced }
    }
}

/// Declares the set and its two tables, so that a property is added by one line.
macro_rules! constraint_set {
    ($($(#[$doc:meta])* $field:ident: $type:ty, $property:ident;)*) => {
        /// [`MediaTrackConstraintSet`](https://w3c.github.io/mediacapture-main/#dom-mediatrackconstraintset):
        /// terms for some of the properties.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct MediaTrackConstraintSet {
            $($(#[$doc])* pub $field: Option<$type>,)*
        }

        impl MediaTrackConstraintSet {
            /// The terms for one property; `None` if there are none.
            fn terms(&self, property: ConstrainableProperty, bare: Bare) -> Option<Terms<'_>> {
                match property {
                    $(ConstrainableProperty::$property => self.$field.as_ref()?.terms(bare),)*
                }
            }

            fn retain(&mut self, keeps: impl Fn(ConstrainableProperty) -> bool) {
                $(if !keeps(ConstrainableProperty::$property) {
                    self.$field = None;
                })*
            }
        }
    };
}

constraint_set! {
    /// Width in pixels.
    width: ConstrainULong, Width;
    /// Height in pixels.
    height: ConstrainULong, Height;
    /// Width over height.
    aspect_ratio: ConstrainDouble, AspectRatio;
    /// Frames a second.
    frame_rate: ConstrainDouble, FrameRate;
    /// Where the camera looks: a [`VideoFacingMode`](crate::VideoFacingMode) by name.
    facing_mode: ConstrainDOMString, FacingMode;
    /// How sizes come about: a [`VideoResizeMode`](crate::VideoResizeMode) by name.
    resize_mode: ConstrainDOMString, ResizeMode;
    /// Samples a second, in Hz.
    sample_rate: ConstrainULong, SampleRate;
    /// Bits a sample.
    sample_size: ConstrainULong, SampleSize;
    /// Whether, or which, played sound is taken out of the recorded: an
    /// [`EchoCancellation`](crate::EchoCancellation).
    echo_cancellation: ConstrainBooleanOrDOMString, EchoCancellation;
    /// Whether loudness is evened out.
    auto_gain_control: ConstrainBoolean, AutoGainControl;
    /// Whether noise is taken out.
    noise_suppression: ConstrainBoolean, NoiseSuppression;
    /// From the sound to its samples, in seconds.
    latency: ConstrainDouble, Latency;
    /// Channels.
    channel_count: ConstrainULong, ChannelCount;
    /// The device.
    device_id: ConstrainDOMString, DeviceId;
    /// What devices of one piece of hardware share.
    group_id: ConstrainDOMString, GroupId;
    /// Of a screen: what is preferred to be shown, a
    /// [`DisplayCaptureSurfaceType`](crate::DisplayCaptureSurfaceType) by name.
    display_surface: ConstrainDOMString, DisplaySurface;
    /// Of a screen: whether it is shown as if nothing lay over it.
    logical_surface: ConstrainBoolean, LogicalSurface;
    /// Of a screen: whether the pointer is in the picture, a
    /// [`CursorCaptureConstraint`](crate::CursorCaptureConstraint) by name.
    cursor: ConstrainDOMString, Cursor;
    /// Whether the background is blurred.
    background_blur: ConstrainBoolean, BackgroundBlur;
}

impl MediaTrackConstraintSet {
    /// The properties with at least one required term, in the order of the specification. A bare
    /// value requires nothing here, as in the basic set.
    pub fn required(&self) -> impl Iterator<Item = ConstrainableProperty> + '_ {
        let terms = self.all_terms(Bare::Ideal);
        terms
            .filter(|(_, terms)| terms.required())
            .map(|(property, _)| property)
    }

    /// The properties for which there are any terms, in the order of the specification.
    pub fn properties(&self) -> impl Iterator<Item = ConstrainableProperty> + '_ {
        self.all_terms(Bare::Ideal).map(|(property, _)| property)
    }

    fn all_terms(&self, bare: Bare) -> impl Iterator<Item = (ConstrainableProperty, Terms<'_>)> {
        ConstrainableProperty::ALL
            .iter()
            .filter_map(move |property| Some((*property, self.terms(*property, bare)?)))
    }
}
