//! What microphones and speakers have in common: finding a device by cpal, and choosing how it is to
//! work.

use crate::GetUserMediaError;
use crate::resample::{RATES, SAMPLE_RATE};
use cpal::traits::{DeviceTrait, HostTrait};
use cpal::{
    BufferSize, Device, ErrorKind, SampleFormat, StreamConfig, SupportedBufferSize,
    SupportedStreamConfigRange,
};
#[cfg(target_os = "linux")]
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Which way the sound goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Input,
    Output,
}

/// A sound device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoundDevice {
    pub(crate) id: String,
    pub(crate) label: String,
    /// Channels that it offers, at most.
    pub(crate) channels: u16,
}

/// The devices of one direction, the default first.
pub(crate) fn list(direction: Direction) -> Vec<SoundDevice> {
    let Some(host) = host() else {
        return Vec::new();
    };
    let default = default_device(&host, direction);
    let others = host.devices().map(Iterator::collect::<Vec<_>>);
    let mut found = Vec::<SoundDevice>::new();
    for device in default.into_iter().chain(others.unwrap_or_default()) {
        let (Some(id), Ok(label)) = (id_of(&device), device.description()) else {
            continue;
        };
        if found.iter().any(|other| other.id == id) {
            continue;
        }
        let channels = match choose(&device, direction) {
            Ok(Some(choice)) => choice.config.channels.min(2),
            // Who has it to itself is in its way now; it is there all the same.
            Err(error) if error.kind() == ErrorKind::DeviceBusy => 2,
            _ => continue,
        };
        found.push(SoundDevice {
            id,
            label: label.name().to_owned(),
            channels,
        });
    }
    let named: Vec<_> = found.iter().map(|device| device.id.clone()).collect();
    found.retain(|device| !is_by_number(&device.id) || named.iter().all(|id| is_by_number(id)));
    found
}

/// Whether an id names a card of ALSA's by its number. It is listed by its name as well, which stays.
fn is_by_number(id: &str) -> bool {
    let card = id.strip_prefix("alsa:hw:CARD=");
    card.is_some_and(|card| card.starts_with(|c: char| c.is_ascii_digit()))
}

/// A device that was found, and how it is to work.
pub(crate) struct Found {
    pub(crate) device: Device,
    pub(crate) choice: Choice,
    connection: Connection,
}

impl Found {
    /// Whether whoever the device was had from is gone with all that it had: a sound server that ended or
    /// is started anew. A device that was pulled out has left its server behind.
    pub(crate) fn has_lost_its_server(&self) -> bool {
        self.connection.0.devices().is_err()
    }

    /// Whether its sound server goes on without the device. PulseAudio hands whoever recorded from it on to
    /// another one, and tells nobody.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_unplugged(&self) -> bool {
        let id = self.device.id().ok();
        match self.connection.0.devices() {
            Ok(mut all) => !all.any(|device| device.id().ok() == id),
            Err(_) => false,
        }
    }

    /// Whether a sound server has the device, and not this process alone.
    pub(crate) fn is_of_a_server(&self) -> bool {
        let id = self.device.id().ok().map(|id| id.to_string());
        id.is_some_and(|id| !id.starts_with("alsa:"))
    }
}

/// For so long a sound server may be away before its devices are given up.
pub(crate) const RESTART: Duration = Duration::from_secs(5);
/// How often it is looked whether it is back.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);

/// What the default speaker is listed as, beside its own id:
/// <https://w3c.github.io/mediacapture-main/#dfn-creating-a-list-of-device-info-objects>.
pub(crate) const DEFAULT_OUTPUT: &str = "default";

/// The device of that id; without one, the default device.
pub(crate) fn find(direction: Direction, id: Option<&str>) -> Result<Found, GetUserMediaError> {
    let what = match direction {
        Direction::Input => "microphone",
        Direction::Output => "speaker",
    };
    let is_default = |id: &&str| matches!(direction, Direction::Output) && *id == DEFAULT_OUTPUT;
    let id = id.filter(|id| !is_default(id));
    let found = Connection::open(direction).and_then(|connection| {
        let device = match id {
            None => default_device(&connection.0, direction)?,
            Some(id) => {
                let mut all = connection.0.devices().ok()?;
                all.find(|device| id_of(device).as_deref() == Some(id))?
            }
        };
        Some((connection, device))
    });
    let (connection, device) = found.ok_or_else(|| {
        GetUserMediaError::NotFound(match id {
            None => format!("there is no {what} on this machine"),
            Some(id) => format!("there is no {what} with the id \"{id}\""),
        })
    })?;
    match choose(&device, direction) {
        Ok(Some(choice)) => Ok(Found {
            device,
            choice,
            connection,
        }),
        Err(error) if error.kind() == ErrorKind::DeviceBusy => Err(GetUserMediaError::NotReadable(
            format!("{device} is in use by another program"),
        )),
        _ if id.is_none() => Err(GetUserMediaError::NotFound(format!(
            "there is no usable {what} on this machine"
        ))),
        Err(error) => Err(open_error(&device.to_string(), &error)),
        Ok(None) => Err(GetUserMediaError::NotReadable(format!(
            "{device} has no format that is understood"
        ))),
    }
}

/// On Linux a sound server if one runs, else the kernel's cards. Without either ALSA is left alone: it
/// would try whatever is configured, and complain on standard error about each.
#[cfg(target_os = "linux")]
fn host() -> Option<Arc<cpal::Host>> {
    /// One connection serves the process for as long as it lasts: the client's thread would outlive
    /// each that is given up, until the server happens to speak to it.
    static SERVER: Mutex<Option<Arc<cpal::Host>>> = Mutex::new(None);
    let mut server = SERVER.lock();
    if server.as_ref().is_none_or(|host| host.devices().is_err()) {
        let found = cpal::host_from_id(cpal::HostId::PulseAudio);
        *server = found.ok().map(Arc::new);
    }
    server.clone().or_else(|| {
        let nodes = std::fs::read_dir("/dev/snd")
            .into_iter()
            .flatten()
            .flatten();
        let mut names = nodes.map(|node| node.file_name());
        let card = names.any(|name| name.to_string_lossy().starts_with("pcm"));
        card.then(|| Arc::new(cpal::default_host()))
    })
}

/// What a device is had from, for as long as it is open.
struct Connection(Arc<cpal::Host>);

/// Connections that have played, for those who play next: none is given up, for the reason above.
#[cfg(target_os = "linux")]
static SPARE: Mutex<Vec<Arc<cpal::Host>>> = Mutex::new(Vec::new());
/// As many as a full room's speakers want. The newest is lost beyond that, and its thread with its server.
#[cfg(target_os = "linux")]
const MAX_SPARE: usize = 16;

impl Connection {
    /// Who records shares one connection with all others. Who plays through a sound server has one alone:
    /// cpal marks all streams to be played in step, and PulseAudio refuses the second one of a connection
    /// that cannot be ("Invalid argument").
    #[cfg(target_os = "linux")]
    fn open(direction: Direction) -> Option<Self> {
        let host = host()?;
        if direction == Direction::Input || host.id() != cpal::HostId::PulseAudio {
            return Some(Connection(host));
        }
        // Those of a server that is gone are of no use any more.
        let mut spare = SPARE.lock();
        while let Some(host) = spare.pop() {
            if host.devices().is_ok() {
                return Some(Connection(host));
            }
        }
        drop(spare);
        let fresh = cpal::host_from_id(cpal::HostId::PulseAudio).ok()?;
        Some(Connection(Arc::new(fresh)))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(_direction: Direction) -> Option<Self> {
        host().map(Connection)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Connection {
    fn drop(&mut self) {
        // The one that is shared is known to others as well.
        let is_alone = Arc::strong_count(&self.0) == 1;
        if is_alone && self.0.id() == cpal::HostId::PulseAudio {
            let mut spare = SPARE.lock();
            spare.truncate(MAX_SPARE - 1);
            spare.push(self.0.clone());
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn host() -> Option<Arc<cpal::Host>> {
    Some(Arc::new(cpal::default_host()))
}

fn default_device(host: &cpal::Host, direction: Direction) -> Option<Device> {
    match direction {
        Direction::Input => host.default_input_device(),
        Direction::Output => host.default_output_device(),
    }
}

/// None for a device that is not to be offered: ALSA lists every way to each card, and some that lead
/// nowhere.
fn id_of(device: &Device) -> Option<String> {
    const OFFERED: [&str; 5] = ["default", "sysdefault", "hw:", "pulse", "pipewire"];
    let id = device.id().ok()?.to_string();
    let offered = match id.strip_prefix("alsa:") {
        Some(name) => OFFERED.iter().any(|prefix| name.starts_with(prefix)),
        None => true,
    };
    offered.then_some(id)
}

/// How a device is to work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) config: StreamConfig,
    pub(crate) format: SampleFormat,
    /// Whether 10 ms at a time may be asked for.
    pub(crate) small_buffers: bool,
}

impl Choice {
    /// The configurations to try, one after the other: with small buffers, and with the device's own.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = StreamConfig> {
        let small = StreamConfig {
            buffer_size: BufferSize::Fixed(self.config.sample_rate / 100),
            ..self.config
        };
        let small = self.small_buffers.then_some(small);
        small.into_iter().chain([self.config])
    }
}

/// How the device is to work; `None` if it has no way that is understood.
fn choose(device: &Device, direction: Direction) -> Result<Option<Choice>, cpal::Error> {
    let (ranges, default) = match direction {
        Direction::Input => (
            device
                .supported_input_configs()
                .map(Iterator::collect::<Vec<_>>),
            device.default_input_config(),
        ),
        Direction::Output => (
            device
                .supported_output_configs()
                .map(Iterator::collect::<Vec<_>>),
            device.default_output_config(),
        ),
    };
    let channels = default.map_or(2, |default| default.channels()).clamp(1, 2);
    Ok(best(&ranges?, channels))
}

/// At 48 kHz if it can be, then with the nearest number of channels, then in the easiest format.
fn best(ranges: &[SupportedStreamConfigRange], channels: u16) -> Option<Choice> {
    let usable = ranges.iter().filter_map(|range| {
        let rate = SAMPLE_RATE.clamp(range.min_sample_rate(), range.max_sample_rate());
        let rank = FORMATS.iter().position(|f| *f == range.sample_format())?;
        (RATES.contains(&rate) && range.channels() > 0).then_some((range, rate, rank))
    });
    let (range, sample_rate, _) = usable.min_by_key(|(range, rate, rank)| {
        let off = range.channels().abs_diff(channels);
        (rate.abs_diff(SAMPLE_RATE), off, *rank)
    })?;
    let small_buffers = match range.buffer_size() {
        SupportedBufferSize::Range { min, max } => (min..=max).contains(&&(sample_rate / 100)),
        SupportedBufferSize::Unknown => false,
    };
    Some(Choice {
        config: StreamConfig {
            channels: range.channels(),
            sample_rate,
            buffer_size: BufferSize::Default,
        },
        format: range.sample_format(),
        small_buffers,
    })
}

/// What is understood, the easiest first.
const FORMATS: [SampleFormat; 8] = [
    SampleFormat::F32,
    SampleFormat::I16,
    SampleFormat::I32,
    SampleFormat::I24,
    SampleFormat::U16,
    SampleFormat::F64,
    SampleFormat::I8,
    SampleFormat::U8,
];

/// Calls a function that is generic in the type of a sample with the type of a format.
macro_rules! with_sample_type {
    ($format:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $format {
            cpal::SampleFormat::F32 => $function::<f32>($($argument),*),
            cpal::SampleFormat::I16 => $function::<i16>($($argument),*),
            cpal::SampleFormat::I32 => $function::<i32>($($argument),*),
            cpal::SampleFormat::I24 => $function::<cpal::I24>($($argument),*),
            cpal::SampleFormat::U16 => $function::<u16>($($argument),*),
            cpal::SampleFormat::F64 => $function::<f64>($($argument),*),
            cpal::SampleFormat::I8 => $function::<i8>($($argument),*),
            cpal::SampleFormat::U8 => $function::<u8>($($argument),*),
            _ => Err(cpal::ErrorKind::UnsupportedConfig.into()),
        }
    };
}
pub(crate) use with_sample_type;

/// Whether the stream is over for good. Some reports are only for information.
pub(crate) fn is_fatal(error: &cpal::Error) -> bool {
    !matches!(
        error.kind(),
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied
    )
}

/// An error at opening, by its W3C name.
pub(crate) fn open_error(device: &str, error: &cpal::Error) -> GetUserMediaError {
    let message = format!("{device}: {error}");
    match error.kind() {
        ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => {
            GetUserMediaError::NotFound(message)
        }
        ErrorKind::PermissionDenied => GetUserMediaError::NotAllowed(message),
        _ => GetUserMediaError::NotReadable(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(channels: u16, rates: (u32, u32), format: SampleFormat) -> SupportedStreamConfigRange {
        let buffers = SupportedBufferSize::Range {
            min: 64,
            max: 4_096,
        };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffers, format)
    }

    #[test]
    fn forty_eight_kilohertz_come_first_then_channels_then_the_format() {
        let all = [
            range(2, (44_100, 44_100), SampleFormat::F32),
            range(6, (8_000, 96_000), SampleFormat::F32),
            range(2, (8_000, 96_000), SampleFormat::U8),
            range(2, (8_000, 96_000), SampleFormat::I16),
            range(2, (48_000, 48_000), SampleFormat::U64),
        ];
        let choice = best(&all, 2).unwrap();
        assert_eq!(choice.config.sample_rate, 48_000);
        assert_eq!(
            (choice.config.channels, choice.format),
            (2, SampleFormat::I16)
        );
        assert!(choice.small_buffers);
        assert_eq!(choice.attempts().count(), 2);
        let only = best(&all[..1], 1).unwrap();
        assert_eq!((only.config.sample_rate, only.config.channels), (44_100, 2));
        assert!(best(&all[4..], 2).is_none());
        assert!(best(&[range(1, (1, 4_000), SampleFormat::F32)], 1).is_none());
    }
}
