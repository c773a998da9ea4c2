//! `duet devices`: what there is.

use crate::args::Devices;
use crate::failure::Failure;
use crate::tell::print;
use duet_devices::{MediaDeviceInfo, MediaDeviceKind, MediaDevices};
use duet_media::{MediaTrackCapabilities, MonotonicClock, Range};
use serde_json::{Value, json};
use std::fmt::Display;
use std::process::ExitCode;
use std::sync::Arc;

pub(crate) fn run(options: &Devices) -> Result<ExitCode, Failure> {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new())).enumerate_devices();
    if options.json {
        let list: Vec<Value> = devices.iter().map(as_json).collect();
        print(Value::Array(list))?;
    } else if devices.is_empty() {
        print(
            "no camera, no microphone, no speaker; `synthetic` and `file:PATH` work all the same",
        )?;
    } else {
        let paragraphs: Vec<String> = devices.iter().map(as_text).collect();
        print(paragraphs.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
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
