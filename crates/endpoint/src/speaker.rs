//! Where the other side is heard.

use crate::failure::Failure;
use crate::tell::Tell;
use duet_devices::{MediaDeviceKind, MediaDevices, Speaker, TrackOutput};
use duet_media::{Clock, MediaStreamTrack};
use std::sync::Arc;

/// The loudspeaker that a call was given.
pub(crate) struct Loudspeaker {
    /// `None` is the system's own choice.
    device_id: Option<String>,
    clock: Arc<dyn Clock>,
    tell: Tell,
}

impl Loudspeaker {
    /// Reads `default`, `none` or a device id. A device that was asked for by name has to be there; the
    /// default one need not.
    pub(crate) fn choose(
        words: &str,
        devices: &MediaDevices,
        clock: Arc<dyn Clock>,
        tell: &Tell,
    ) -> Result<Option<Self>, Failure> {
        let device_id = match words {
            "none" => return Ok(None),
            "default" => None,
            named => {
                let id = named.strip_prefix("device:").unwrap_or(named);
                let known = devices.enumerate_devices();
                let found = known
                    .iter()
                    .any(|d| d.kind == MediaDeviceKind::AudioOutput && d.device_id == id);
                if !found {
                    return Err(Failure::usage(format_args!(
                        "--speaker {words}: there is no such speaker; expected default, none or an id that `duet devices` lists"
                    )));
                }
                Some(id.to_owned())
            }
        };
        Ok(Some(Loudspeaker {
            device_id,
            clock,
            tell: *tell,
        }))
    }

    /// Plays a track until the returned speaker is dropped. Without a speaker the call goes on.
    pub(crate) fn play(&self, track: &MediaStreamTrack) -> Option<Speaker> {
        let output = TrackOutput::new(track);
        match Speaker::open(self.device_id.as_deref(), output, self.clock.clone()) {
            Ok(speaker) => {
                self.tell
                    .say(format_args!("playing on {}", speaker.label()));
                Some(speaker)
            }
            Err(error) => {
                self.tell
                    .warn(format_args!("nobody will hear the other side: {error}"));
                None
            }
        }
    }
}
