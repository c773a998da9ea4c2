//! [`getDisplayMedia`](https://w3c.github.io/mediacapture-screen-share/): a screen or a window as a
//! camera.
//!
//! What a browser's user picks in a dialog is picked here by whoever embeds this: the surface is an
//! argument.

use super::{MediaDevices, closed};
use crate::display::{self, Display, DisplayCaptureSurfaceType, DisplaySurface};
use crate::{GetUserMediaError, SourceSpec};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    ConstrainableProperty, MediaKind, MediaStream, MediaStreamTrack, MediaTrackConstraintSet,
    MediaTrackConstraints,
};

/// [`CursorCaptureConstraint`](https://w3c.github.io/mediacapture-screen-share/#dom-cursorcaptureconstraint):
/// whether the pointer is in the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CursorCaptureConstraint {
    /// Not.
    Never,
    /// Where it is over the surface.
    #[default]
    Always,
}

/// [`DisplayMediaStreamOptions`](https://w3c.github.io/mediacapture-screen-share/#dom-displaymediastreamoptions).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DisplayMediaStreamOptions {
    /// How the picture is to be. What a browser refuses is refused here: `min`, `exact` and `advanced`.
    pub video: MediaTrackConstraints,
    /// The [`id`](DisplaySurface::id) of what is to be shown; without one, the first monitor.
    pub surface: Option<String>,
    /// Whether the pointer is in the picture.
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
    /// [`GetUserMediaError::Overconstrained`] for a `max` that nothing meets,
    /// [`GetUserMediaError::InvalidState`] once these devices are closed.
    pub fn get_display_media(
        &self,
        options: &DisplayMediaStreamOptions,
    ) -> Result<MediaStream, GetUserMediaError> {
        check(&options.video)?;
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
        let constraints = options.video.clone().for_kind(MediaKind::Video);
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
fn check(constraints: &MediaTrackConstraints) -> Result<(), GetUserMediaError> {
    if !constraints.advanced.is_empty() {
        let reason = "advanced constraints have no place in getDisplayMedia";
        return Err(GetUserMediaError::Type(reason.into()));
    }
    let basic = &constraints.basic;
    let fixed = basic
        .required()
        .find(|property| !is_only_capped(basic, *property));
    match fixed {
        None => Ok(()),
        Some(property) => Err(GetUserMediaError::Type(format!(
            "{property} may have an ideal and a max in getDisplayMedia, no min and no exact value"
        ))),
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
        let refused = |set: MediaTrackConstraintSet| {
            let error = check(&set.into()).err();
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
        let device = MediaTrackConstraintSet {
            device_id: Some(ConstrainChoice::exact("monitor:x")),
            ..Default::default()
        };
        assert!(refused(device).unwrap().starts_with("TypeError: deviceId"));
        let advanced = MediaTrackConstraints {
            advanced: vec![MediaTrackConstraintSet::default()],
            ..Default::default()
        };
        assert_eq!(check(&advanced).unwrap_err().name(), "TypeError");
    }
}
