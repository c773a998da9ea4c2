//! [`getDisplayMedia`](https://w3c.github.io/mediacapture-screen-share/): a screen or a window as a
//! camera.
//!
//! What a browser's user picks in a dialog is picked here by whoever embeds this: the surface is an
//! argument.

use super::{MediaDevices, choice, closed};
use crate::display::{self, Display, DisplayCaptureSurfaceType, DisplaySurface};
use crate::{GetUserMediaError, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    ConstrainableProperty, MediaStream, MediaStreamTrack, MediaTrackConstraintSet,
    MediaTrackConstraints,
};

pub use duet_media::CursorCaptureConstraint;

/// [`DisplayMediaStreamOptions`](https://w3c.github.io/mediacapture-screen-share/#dom-displaymediastreamoptions).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DisplayMediaStreamOptions {
    /// How the picture is to be. What a browser refuses is refused here: `min`, `exact` and `advanced`.
    pub video: MediaTrackConstraints,
    /// The [`id`](DisplaySurface::id) of what is to be shown; without one, the first monitor.
    pub surface: Option<String>,
    /// Whether the pointer is in the picture, unless `video` says so.
    pub cursor: CursorCaptureConstraint,
}

impl MediaDevices {
    /// What there is to show: monitors, the primary one first, then windows. Blocks for as long as the
    /// display takes to answer.
    ///
    /// # Errors
    /// [`GetUserMediaError::NotFound`] without a display, [`GetUserMediaError::NotReadable`] for one
    /// that does not let us in.
    pub fn display_surfaces(&self) -> Result<Vec<DisplaySurface>, GetUserMediaError> {
        let display = Display::open()?;
        let found = display.surfaces()?;
        Ok(found.into_iter().map(|(surface, _)| surface).collect())
    }

    /// [`getDisplayMedia()`](https://w3c.github.io/mediacapture-screen-share/#dom-mediadevices-getdisplaymedia):
    /// a stream with a track of a monitor or a window. A track of a window ends with it; while it is
    /// minimised nothing new is shown. A window that changes its size changes that of the frames.
    ///
    /// # Errors
    /// [`GetUserMediaError::Type`] for constraints that would narrow down the choice,
    /// [`GetUserMediaError::NotFound`] without a display or such a surface,
    /// [`GetUserMediaError::NotReadable`] for a display that refuses,
    /// [`GetUserMediaError::Overconstrained`] for a `max` that nothing meets or could meet,
    /// [`GetUserMediaError::InvalidState`] once these devices are closed.
    pub fn get_display_media(
        &self,
        options: &DisplayMediaStreamOptions,
    ) -> Result<MediaStream, GetUserMediaError> {
        let constraints = options.video.clone().for_display();
        check(&options.video.advanced, &constraints)?;
        if self.shared.state.lock().closed {
            return Err(closed());
        }
        let display = Display::open()?;
        let mut found = display.surfaces()?.into_iter();
        let named = |surface: &DisplaySurface| match &options.surface {
            Some(id) => surface.id == *id,
            None => surface.kind == DisplayCaptureSurfaceType::Monitor,
        };
        let Some((surface, target)) = found.find(|(surface, _)| named(surface)) else {
            let wanted = options.surface.as_deref().unwrap_or("monitor");
            let reason = format!("there is nothing to show that is called \"{wanted}\"");
            return Err(GetUserMediaError::NotFound(reason));
        };
        let grabber = display.grabber(target, options.cursor == CursorCaptureConstraint::Always)?;
        let track = display::start(&surface, grabber, &constraints, self.clock.clone())?;
        Ok(MediaStream::from_tracks([track]))
    }

    /// A track of the screen or window that `spec` names.
    pub(super) fn open_display(
        &self,
        spec: &SourceSpec,
        constraints: &MediaTrackConstraints,
    ) -> Result<MediaStreamTrack, GetUserMediaError> {
        let surface = match spec {
            SourceSpec::Screen(None) => None,
            _ => Some(named(spec, &self.display_surfaces()?)?),
        };
        let stream = self.get_display_media(&DisplayMediaStreamOptions {
            video: constraints.clone(),
            surface,
            ..Default::default()
        })?;
        let track = stream.get_video_tracks().into_iter().next();
        track.ok_or_else(|| GetUserMediaError::Abort("the screen has no picture".into()))
    }
}

/// The id of what `spec` names: a monitor by its name, a window by its number or by a part of its title that
/// no other has.
fn named(spec: &SourceSpec, surfaces: &[DisplaySurface]) -> Result<String, GetUserMediaError> {
    let (kind, found): (_, Vec<_>) = match spec {
        SourceSpec::Window(title) => {
            let id = format!("window:{title}");
            let by_id = surfaces.iter().find(|surface| surface.id == id);
            let windows = surfaces.iter();
            let windows = windows.filter(|s| s.kind == DisplayCaptureSurfaceType::Window);
            let title = title.to_lowercase();
            let by_title = windows.filter(|s| s.label.to_lowercase().contains(&title));
            let found = by_id.map_or_else(|| by_title.collect(), |window| vec![window]);
            (DisplayCaptureSurfaceType::Window, found)
        }
        SourceSpec::Screen(Some(name)) => {
            let id = format!("monitor:{name}");
            let monitors = surfaces.iter().filter(|surface| surface.id == id);
            (DisplayCaptureSurfaceType::Monitor, monitors.collect())
        }
        _ => (DisplayCaptureSurfaceType::Monitor, Vec::new()),
    };
    let list = |surfaces: &[&DisplaySurface]| {
        let sources = surfaces.iter().map(|surface| match surface.kind {
            DisplayCaptureSurfaceType::Monitor => surface.source(),
            DisplayCaptureSurfaceType::Window => {
                format!("{} ({})", surface.source(), surface.label)
            }
        });
        sources.collect::<Vec<_>>().join(", ")
    };
    match found.as_slice() {
        [surface] => Ok(surface.id.clone()),
        [] => {
            let others: Vec<_> = surfaces.iter().filter(|s| s.kind == kind).collect();
            let there_are = match others.is_empty() {
                true => "none".to_owned(),
                false => list(&others),
            };
            Err(GetUserMediaError::NotFound(format!(
                "there is no {} of that name; there are: {there_are}",
                kind.as_str()
            )))
        }
        several => Err(GetUserMediaError::NotFound(format!(
            "several windows are called so; name one by its number: {}",
            list(several)
        ))),
    }
}

/// [The constraints that a page may not give](https://w3c.github.io/mediacapture-screen-share/#dom-mediadevices-getdisplaymedia),
/// lest it should choose instead of the user.
fn check(
    advanced: &[MediaTrackConstraintSet],
    constraints: &MediaTrackConstraints,
) -> Result<(), GetUserMediaError> {
    if !advanced.is_empty() {
        let reason = "advanced constraints have no place in getDisplayMedia";
        return Err(GetUserMediaError::Type(reason.into()));
    }
    choice::check(constraints)?;
    let basic = &constraints.basic;
    let fixed = basic
        .required()
        .find(|property| !is_only_capped(basic, *property));
    if let Some(property) = fixed {
        return Err(GetUserMediaError::Type(format!(
            "{property} may have an ideal and a max in getDisplayMedia, no min and no exact value"
        )));
    }
    let below = basic
        .required()
        .find(|property| cap(basic, *property).is_some_and(|max| max < floor(*property)));
    match below {
        None => Ok(()),
        Some(property) => Err(GetUserMediaError::Overconstrained {
            constraint: property.name().into(),
            message: format!(
                "{property} can be limited to {} and no less, whatever is shown",
                floor(property)
            ),
        }),
    }
}

/// The [floor value](https://w3c.github.io/mediacapture-screen-share/#dfn-floor-value) of a property: the
/// least that it can be limited to, whatever is shown.
fn floor(property: ConstrainableProperty) -> f64 {
    match property {
        // A shape can be any, but is not for us to change.
        ConstrainableProperty::AspectRatio => 1e-5,
        // A frame every ten seconds.
        ConstrainableProperty::FrameRate => 0.1,
        _ => 1.0,
    }
}

fn cap(set: &MediaTrackConstraintSet, property: ConstrainableProperty) -> Option<f64> {
    fn max<T: Copy + Into<f64>>(constraint: Option<&ConstrainNumber<T>>) -> Option<f64> {
        match constraint {
            Some(ConstrainNumber::Range(range)) => range.max.map(Into::into),
            _ => None,
        }
    }
    match property {
        ConstrainableProperty::Width => max(set.width.as_ref()),
        ConstrainableProperty::Height => max(set.height.as_ref()),
        ConstrainableProperty::AspectRatio => max(set.aspect_ratio.as_ref()),
        ConstrainableProperty::FrameRate => max(set.frame_rate.as_ref()),
        _ => None,
    }
}

fn is_only_capped(set: &MediaTrackConstraintSet, property: ConstrainableProperty) -> bool {
    fn capped<T>(constraint: Option<&ConstrainNumber<T>>) -> bool {
        match constraint {
            Some(ConstrainNumber::Range(range)) => range.min.is_none() && range.exact.is_none(),
            _ => false,
        }
    }
    match property {
        ConstrainableProperty::Width => capped(set.width.as_ref()),
        ConstrainableProperty::Height => capped(set.height.as_ref()),
        ConstrainableProperty::AspectRatio => capped(set.aspect_ratio.as_ref()),
        ConstrainableProperty::FrameRate => capped(set.frame_rate.as_ref()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_media::constraints::ConstrainChoice;

    #[test]
    fn a_window_is_known_by_its_number_or_by_what_only_its_title_has() {
        let surface = |id: &str, kind, label: &str| DisplaySurface {
            id: id.into(),
            kind,
            label: label.into(),
            width: 640,
            height: 360,
        };
        let monitor = |name: &str| {
            let id = format!("monitor:{name}");
            surface(&id, DisplayCaptureSurfaceType::Monitor, name)
        };
        let window = |id, title| surface(id, DisplayCaptureSurfaceType::Window, title);
        let all = [
            monitor("HDMI-1"),
            monitor("DP-2"),
            window("window:0x1", "Notes - Editor"),
            window("window:0x2", "Talk - Editor"),
        ];
        let find = |text: &str| named(&text.parse().unwrap(), &all).map_err(|e| e.to_string());
        assert_eq!(find("screen:DP-2").as_deref(), Ok("monitor:DP-2"));
        assert_eq!(find("window:0x2").as_deref(), Ok("window:0x2"));
        assert_eq!(find("window:notes").as_deref(), Ok("window:0x1"));
        for (text, sentence) in [
            (
                "screen:DP-3",
                "NotFoundError: there is no monitor of that name; there are: screen:HDMI-1, screen:DP-2",
            ),
            (
                "window:Mail",
                "NotFoundError: there is no window of that name; there are: window:0x1 (Notes - Editor), \
                 window:0x2 (Talk - Editor)",
            ),
            (
                "window:editor",
                "NotFoundError: several windows are called so; name one by its number: \
                 window:0x1 (Notes - Editor), window:0x2 (Talk - Editor)",
            ),
        ] {
            assert_eq!(find(text), Err(sentence.to_owned()));
        }
        let none = named(&"window:x".parse().unwrap(), &[])
            .unwrap_err()
            .to_string();
        assert_eq!(
            none,
            "NotFoundError: there is no window of that name; there are: none"
        );
    }

    #[test]
    fn a_page_may_wish_and_cap_but_not_choose() {
        let judged = |constraints: MediaTrackConstraints| {
            check(&constraints.advanced, &constraints.clone().for_display())
        };
        let refused = |set: MediaTrackConstraintSet| {
            let error = judged(set.into()).err();
            error.map(|error| error.to_string())
        };
        let width = |width| MediaTrackConstraintSet {
            width: Some(width),
            ..Default::default()
        };
        assert_eq!(refused(width(ConstrainNumber::ideal(1280))), None);
        assert_eq!(refused(width(ConstrainNumber::max(1280))), None);
        assert_eq!(refused(width(ConstrainNumber::Bare(1280))), None);
        for narrow in [
            ConstrainNumber::min(1),
            ConstrainNumber::exact(1),
            ConstrainNumber::between(1, 2),
        ] {
            let reason = refused(width(narrow)).unwrap();
            assert!(reason.starts_with("TypeError: width may have"), "{reason}");
        }
        // What no screen has does not count, required or not; what it has may only be wished for.
        let device = MediaTrackConstraintSet {
            device_id: Some(ConstrainChoice::exact("monitor:x")),
            facing_mode: Some(ConstrainChoice::exact("user")),
            ..Default::default()
        };
        assert_eq!(refused(device), None);
        let cursor = |cursor| MediaTrackConstraintSet {
            cursor: Some(cursor),
            display_surface: Some("window".into()),
            ..Default::default()
        };
        assert_eq!(refused(cursor("never".into())), None);
        let reason = refused(cursor(ConstrainChoice::exact("never"))).unwrap();
        assert!(reason.starts_with("TypeError: cursor"), "{reason}");
        assert!(
            refused(width(ConstrainNumber::max(0)))
                .unwrap()
                .starts_with("OverconstrainedError: width can be limited to 1 and no less")
        );
        let advanced = MediaTrackConstraints {
            advanced: vec![MediaTrackConstraintSet::default()],
            ..Default::default()
        };
        assert_eq!(judged(advanced).unwrap_err().name(), "TypeError");
    }
}
