//! Which devices are one thing to touch: <https://w3c.github.io/mediacapture-main/#dom-mediadeviceinfo-groupid>.
//!
//! The systems below name a device after its hardware, its role and its profile. What is left without the last
//! two is the same for a headset's microphone and its speaker, and for a webcam's picture and its sound. It is
//! read from names only: nothing is asked of a device.

/// The group of a device. One whose name tells of no hardware is a group of its own, named like itself.
pub(crate) fn group_of(id: &str) -> String {
    hardware(id).map_or_else(|| id.to_owned(), str::to_owned)
}

fn hardware(id: &str) -> Option<&str> {
    let (system, name) = id.split_once(':')?;
    let found = match system {
        // As udev names it, by its vendor, model and serial number.
        "v4l" => usb(name.split_once("-video-index")?.0)?,
        "alsa" => {
            let card = name.split_once("CARD=")?.1;
            card.split(',').next()?
        }
        "pulseaudio" => {
            let device = name.strip_suffix(".monitor").unwrap_or(name);
            let (role, rest) = device.split_once('.')?;
            // The profile is behind the last period; hardware on a bus has periods of its own.
            let place = rest.rsplit_once('.').map_or(rest, |(place, _)| place);
            match role {
                "alsa_input" | "alsa_output" => usb(place).unwrap_or(place),
                "bluez_source" | "bluez_sink" | "bluez_input" | "bluez_output" => place,
                _ => return None,
            }
        }
        _ => return None,
    };
    (!found.is_empty()).then_some(found)
}

/// A USB device's name without the number of its interface.
fn usb(name: &str) -> Option<&str> {
    name.strip_prefix("usb-")?;
    Some(match name.rsplit_once('-') {
        Some((device, interface))
            if interface.len() == 2 && interface.bytes().all(|b| b.is_ascii_digit()) =>
        {
            device
        }
        _ => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_thing_is_one_group() {
        for together in [
            &[
                "v4l:usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0",
                "pulseaudio:alsa_input.usb-046d_HD_Pro_Webcam_C920_5A6B-02.analog-stereo",
            ][..],
            &[
                "pulseaudio:alsa_input.usb-Plantronics_Blackwire_3220-00.mono-fallback",
                "pulseaudio:alsa_output.usb-Plantronics_Blackwire_3220-00.analog-stereo",
                "pulseaudio:alsa_output.usb-Plantronics_Blackwire_3220-00.analog-stereo.monitor",
            ],
            &[
                "pulseaudio:alsa_input.pci-0000_00_1f.3.analog-stereo",
                "pulseaudio:alsa_output.pci-0000_00_1f.3.hdmi-stereo",
            ],
            &[
                "pulseaudio:bluez_sink.AA_BB_CC_00_11_22.a2dp_sink",
                "pulseaudio:bluez_source.AA_BB_CC_00_11_22.headset_head_unit",
            ],
            &[
                "alsa:hw:CARD=Loopback,DEV=0",
                "alsa:sysdefault:CARD=Loopback",
            ],
            &["pulseaudio:loudspeaker", "pulseaudio:loudspeaker"],
        ] {
            let groups: Vec<_> = together.iter().map(|id| group_of(id)).collect();
            assert!(groups.iter().all(|group| *group == groups[0]), "{groups:?}");
        }
    }

    #[test]
    fn what_is_not_stays_apart() {
        let apart = [
            "v4l:video0",
            "v4l:video1",
            "v4l:usb-046d_HD_Pro_Webcam_C920_5A6B-video-index0",
            "v4l:usb-046d_HD_Pro_Webcam_C920_9999-video-index0",
            "v4l:pci-0000:00:14.0-usb-0:1:1.0-video-index0",
            "alsa:default",
            "alsa:hw:CARD=PCH,DEV=0",
            "alsa:hw:CARD=Loopback,DEV=0",
            "pulseaudio:alsa_input.pci-0000_00_1f.3.analog-stereo",
            "pulseaudio:alsa_input.pci-0000_00_1f.4.analog-stereo",
            "pulseaudio:ear",
            "pulseaudio:mouth.of.many.parts",
            "",
            "alsa:CARD=",
        ];
        let mut groups: Vec<_> = apart.iter().map(|id| group_of(id)).collect();
        groups.sort_unstable();
        groups.dedup();
        assert_eq!(groups.len(), apart.len(), "{groups:?}");
    }
}
