//! `duet devices`: what there is.

use crate::args::Devices;
use crate::failure::Failure;
use crate::tell::print;
#[cfg(all(feature = "hardware", target_os = "linux"))]
use duet_devices::DisplaySurface;
use duet_devices::{MediaDeviceInfo, MediaDeviceKind, MediaDevices};
use duet_media::{MediaTrackCapabilities, MonotonicClock, Range};
use serde_json::{Value, json};
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) fn run(options: &Devices) -> Result<ExitCode, Failure> {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let found = devices.enumerate_devices();
    let screens = Screens::of(&devices);
    if options.json {
        let list = found.iter().map(as_json).chain(screens.as_json());
        print(Value::Array(list.collect()))?;
    } else {
        let mut paragraphs: Vec<String> = found.iter().map(as_text).collect();
        if found.is_empty() {
            let none = "no camera, no microphone, no speaker; `synthetic` and `file:PATH` work all the same";
            paragraphs.push(none.into());
        }
        paragraphs.extend(screens.as_text());
        print(paragraphs.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What can be shown in a camera's place: monitors and windows. None where there is no display.
#[cfg(all(feature = "hardware", target_os = "linux"))]
struct Screens(Vec<DisplaySurface>);

#[cfg(all(feature = "hardware", target_os = "linux"))]
impl Screens {
    fn of(devices: &MediaDevices) -> Self {
        Screens(devices.display_surfaces().unwrap_or_default())
    }

    fn as_text(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|surface| {
            format!(
                "{:<11} {}\n{:<11} {}\n{:<11} size {} x {}",
                surface.kind.as_str(),
                surface.label,
                "",
                surface.source(),
                "",
                surface.width,
                surface.height
            )
        })
    }

    fn as_json(&self) -> impl Iterator<Item = Value> {
        self.0.iter().map(|surface| {
            json!({
                "source": surface.source(),
                "kind": surface.kind.as_str(),
                "label": surface.label,
                "width": surface.width,
                "height": surface.height,
            })
        })
    }
}

#[cfg(not(all(feature = "hardware", target_os = "linux")))]
struct Screens;

#[cfg(not(all(feature = "hardware", target_os = "linux")))]
impl Screens {
    fn of(_devices: &MediaDevices) -> Self {
        Screens
    }

    fn as_text(&self) -> impl Iterator<Item = String> {
        std::iter::empty()
    }

    fn as_json(&self) -> impl Iterator<Item = Value> {
        std::iter::empty()
    }
}

fn as_text(device: &MediaDeviceInfo) -> String {
    let kind = match device.kind {
        MediaDeviceKind::AudioInput => "microphone",
        MediaDeviceKind::VideoInput => "camera",
        MediaDeviceKind::AudioOutput => "speaker",
    };
    let mut text = format!(
        "{kind:<11} {}\n{:<11} device:{}",
        device.label, "", device.device_id
    );
    let capabilities = &device.capabilities;
    let size = range("size", "", &capabilities.width).zip(range("x", "", &capabilities.height));
    let lines = [
        size.map(|(width, height)| format!("{width} {height}")),
        range("rate", " frames/s", &capabilities.frame_rate),
        range("rate", " Hz", &capabilities.sample_rate),
        range("channels", "", &capabilities.channel_count),
    ];
    for line in lines.into_iter().flatten() {
        text += &format!("\n{:<11} {line}", "");
    }
    text
}

fn range<T: Display + PartialEq>(
    name: &str,
    unit: &str,
    range: &Option<Range<T>>,
) -> Option<String> {
    let Range { min, max } = range.as_ref()?;
    Some(if min == max {
        format!("{name} {min}{unit}")
    } else {
        format!("{name} {min} to {max}{unit}")
    })
}

fn as_json(device: &MediaDeviceInfo) -> Value {
    json!({
        "deviceId": device.device_id,
        "groupId": device.group_id,
        "kind": device.kind.as_str(),
        "label": device.label,
        "capabilities": capabilities_json(&device.capabilities),
    })
}

fn capabilities_json(capabilities: &MediaTrackCapabilities) -> Value {
    fn of<T: Copy + Into<f64>>(range: &Option<Range<T>>) -> Option<Value> {
        range
            .as_ref()
            .map(|range| json!({ "min": range.min.into(), "max": range.max.into() }))
    }
    let members = [
        ("width", of(&capabilities.width)),
        ("height", of(&capabilities.height)),
        ("frameRate", of(&capabilities.frame_rate)),
        ("sampleRate", of(&capabilities.sample_rate)),
        ("channelCount", of(&capabilities.channel_count)),
    ];
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect())
}
