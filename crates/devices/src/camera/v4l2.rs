//! Cameras of Linux, by the kernel's own interface.
//!
//! What it is not: it converts nothing. It never waits longer than it is told to, so a camera that stops
//! delivering holds nobody up.

use super::format::{Format, PixelFormat};
use crate::convert;
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::time::{ClockId, clock_gettime};
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::time::Duration;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::prelude::MmapStream;
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, FourCC, Fraction};

/// Pictures that the driver may fill while one is looked at.
const BUFFERS: u32 = 4;

/// A device node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    index: usize,
}

/// The nodes of this machine. Not all of them deliver pictures.
pub(super) fn nodes() -> Vec<Node> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.strip_prefix("video")?.parse().ok());
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|index| Node { index }).collect()
}

impl Node {
    /// Nodes are numbered as they are plugged in, so their numbers are no names. The system keeps links
    /// that last.
    pub(super) fn id(&self) -> String {
        let node = format!("video{}", self.index);
        for directory in ["/dev/v4l/by-id", "/dev/v4l/by-path"] {
            let links = std::fs::read_dir(directory).into_iter().flatten().flatten();
            for link in links {
                let target = std::fs::read_link(link.path()).unwrap_or_default();
                if target.file_name().is_some_and(|name| *name == *node) {
                    return format!("v4l:{}", link.file_name().to_string_lossy());
                }
            }
        }
        format!("v4l:{node}")
    }

    pub(super) fn label(&self) -> String {
        let node = format!("video{}", self.index);
        let file = Path::new("/sys/class/video4linux").join(&node).join("name");
        let name = std::fs::read_to_string(file).unwrap_or_default();
        match name.trim() {
            "" => node,
            name => name.to_owned(),
        }
    }

    /// What it can be set to. It is only asked: whoever uses it now is not disturbed.
    pub(super) fn formats(&self) -> io::Result<Vec<Format>> {
        let device = self.open()?;
        let offered = device.enum_formats()?;
        let mut formats = Vec::new();
        for pixels in PixelFormat::ALL {
            let code = code(pixels);
            if !offered.iter().any(|format| format.fourcc == code) {
                continue;
            }
            for (width, height) in sizes(&device, code) {
                formats.extend(rates(&device, code, width, height).into_iter().map(|rate| {
                    Format {
                        width,
                        height,
                        pixels,
                        rate,
                    }
                }));
            }
        }
        Ok(formats)
    }

    fn open(&self) -> io::Result<Device> {
        Device::new(self.index)
    }

    /// Sets it as `format` says and has it deliver.
    pub(super) fn start(&self, format: &Format) -> io::Result<Stream> {
        let device = self.open()?;
        let wanted = v4l::Format::new(format.width, format.height, code(format.pixels));
        let set = device.set_format(&wanted)?;
        if set.fourcc != wanted.fourcc {
            let reason = format!("it delivers {} in place of {}", set.fourcc, wanted.fourcc);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if !convert::sane(set.width, set.height) {
            let reason = format!("it delivers pictures of {}x{}", set.width, set.height);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        // Not every driver has a rate to set; then it delivers at its own.
        let rate = device
            .set_params(&Parameters::new(interval(format.rate)))
            .ok()
            .and_then(|set| rate(set.interval))
            .unwrap_or(format.rate);

        let mut stream: MmapStream<'static> =
            MmapStream::with_buffers(&device, Type::VideoCapture, BUFFERS)?;
        // The first one is queued by asking for the first picture. A driver that gave fewer refuses
        // those that there are not.
        for index in 1..BUFFERS as usize {
            let _ = CaptureStream::queue(&mut stream, index);
        }
        stream.start()?;
        Ok(Stream {
            stream: Some(stream),
            format: Format {
                width: set.width,
                height: set.height,
                pixels: format.pixels,
                rate,
            },
            stride: set.stride as usize,
        })
    }
}

/// A camera that delivers. Dropped, it is free again.
pub(super) struct Stream {
    /// Nothing once it was let go.
    stream: Option<MmapStream<'static>>,
    format: Format,
    /// Bytes from one line to the next; zero where nobody says.
    stride: usize,
}

/// A picture as the camera made it.
pub(super) struct Raw<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// How long ago it was captured, where that is known.
    pub(super) age: Option<Duration>,
}

impl Stream {
    /// What the camera was set to in the end.
    pub(super) fn format(&self) -> &Format {
        &self.format
    }

    /// The next picture; `None` if none comes within `patience`, or a damaged one.
    pub(super) fn next(&mut self, patience: Duration) -> io::Result<Option<Raw<'_>>> {
        const READABLE: i16 = PollFlags::POLLIN.bits();
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        match stream.handle().poll(READABLE, milliseconds) {
            Ok(0) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(None),
            ready => ready?,
        };
        // It has come, or there will be none.
        stream.set_timeout(Duration::ZERO);
        let (bytes, meta) = CaptureStream::next(stream)?;
        if meta.flags.contains(Flags::ERROR) {
            return Ok(None);
        }
        let bytes = bytes.get(..meta.bytesused as usize).unwrap_or(bytes);
        Ok(Some(Raw {
            bytes: without_padding(bytes, &self.format, self.stride),
            age: age(meta),
        }))
    }

    /// Lets go of the device.
    pub(super) fn stop(&mut self) {
        self.stream = None;
    }
}

/// Whether an error says that the device is no more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::ENODEV | Errno::ENXIO | Errno::ENOENT))
}

/// Whether an error says that somebody else has the device.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error().map(Errno::from_raw) == Some(Errno::EBUSY)
}

/// Lines without what a driver adds to each of them.
fn without_padding<'a>(bytes: &'a [u8], format: &Format, stride: usize) -> Cow<'a, [u8]> {
    let (width, height) = (format.width as usize, format.height as usize);
    let (line, lines) = match format.pixels {
        PixelFormat::Nv12 => (width.next_multiple_of(2), height + height.div_ceil(2)),
        PixelFormat::Yuyv => (width * 2, height),
        // Its stride is that of the luma; drivers that pad it pad the others by half of that.
        PixelFormat::I420 if stride > width => {
            let (luma, chroma) = bytes.split_at(bytes.len().min(stride * height));
            let half = width.div_ceil(2);
            let whole = luma.chunks(stride).map(|line| (line, width));
            let halves = chroma.chunks(stride.div_ceil(2)).map(|line| (line, half));
            let lines = whole.chain(halves).take(height + 2 * height.div_ceil(2));
            return lines
                .flat_map(|(line, wanted)| &line[..wanted.min(line.len())])
                .copied()
                .collect();
        }
        PixelFormat::I420 | PixelFormat::Mjpeg => return Cow::Borrowed(bytes),
    };
    if stride <= line {
        return Cow::Borrowed(bytes);
    }
    let padded = bytes.chunks(stride).take(lines);
    padded
        .flat_map(|padded| &padded[..line.min(padded.len())])
        .copied()
        .collect()
}

/// Drivers stamp by the clock that never jumps, or do not say by which.
fn age(meta: &Metadata) -> Option<Duration> {
    if meta.flags & Flags::TIMESTAMP_MASK != Flags::TIMESTAMP_MONOTONIC {
        return None;
    }
    let now = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?);
    let seconds = u64::try_from(meta.timestamp.sec).ok()?;
    let micros = u64::try_from(meta.timestamp.usec).ok()?;
    now.checked_sub(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

fn code(pixels: PixelFormat) -> FourCC {
    FourCC::new(match pixels {
        PixelFormat::I420 => b"YU12",
        PixelFormat::Nv12 => b"NV12",
        PixelFormat::Yuyv => b"YUYV",
        PixelFormat::Mjpeg => b"MJPG",
    })
}

/// The sizes of a format. Of those that take any within bounds, the usual ones.
fn sizes(device: &Device, code: FourCC) -> Vec<(u32, u32)> {
    let told = device.enum_framesizes(code).unwrap_or_default();
    let mut sizes = Vec::new();
    for size in told {
        match size.size {
            FrameSizeEnum::Discrete(size) => sizes.push((size.width, size.height)),
            FrameSizeEnum::Stepwise(steps) => sizes.extend(usual_sizes(&steps)),
        }
    }
    sizes.retain(|(width, height)| convert::sane(*width, *height));
    sizes
}

fn usual_sizes(steps: &Stepwise) -> Vec<(u32, u32)> {
    const USUAL: [(u32, u32); 11] = [
        (160, 120),
        (320, 180),
        (320, 240),
        (640, 360),
        (640, 480),
        (800, 600),
        (960, 540),
        (1_280, 720),
        (1_920, 1_080),
        (2_560, 1_440),
        (3_840, 2_160),
    ];
    let fits = |value: u32, min: u32, max: u32, step: u32| {
        (min..=max).contains(&value) && (value - min).is_multiple_of(step.max(1))
    };
    let largest = (steps.max_width, steps.max_height);
    let usual = USUAL.into_iter().filter(|(width, height)| {
        fits(*width, steps.min_width, steps.max_width, steps.step_width)
            && fits(
                *height,
                steps.min_height,
                steps.max_height,
                steps.step_height,
            )
            && (*width, *height) != largest
    });
    usual.chain([largest]).collect()
}

/// The rates of a size. Of those that take any within bounds, the usual ones.
fn rates(device: &Device, code: FourCC, width: u32, height: u32) -> Vec<f64> {
    const USUAL: [f64; 7] = [5.0, 10.0, 15.0, 24.0, 30.0, 50.0, 60.0];
    let told = device.enum_frameintervals(code, width, height);
    let mut rates = Vec::new();
    for interval in told.unwrap_or_default() {
        match interval.interval {
            FrameIntervalEnum::Discrete(interval) => rates.extend(rate(interval)),
            FrameIntervalEnum::Stepwise(steps) => {
                // The shortest interval is the highest rate.
                let (Some(highest), Some(lowest)) = (rate(steps.min), rate(steps.max)) else {
                    continue;
                };
                let within = |rate: &f64| (lowest..highest).contains(rate);
                rates.extend(USUAL.into_iter().filter(within));
                rates.push(highest.min(120.0));
            }
        }
    }
    if rates.is_empty() {
        // It has one, and does not say which.
        rates.push(30.0);
    }
    rates
}

fn rate(interval: Fraction) -> Option<f64> {
    let rate = f64::from(interval.denominator) / f64::from(interval.numerator);
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// The interval that a driver knows a rate by: rates are whole, or whole but for a thousandth as those
/// of television, or have a few decimals.
fn interval(rate: f64) -> Fraction {
    let is_whole = |value: f64| (value - value.round()).abs() < 1e-6;
    for numerator in [1, 2, 1_001, 100] {
        let denominator = rate * f64::from(numerator);
        if is_whole(denominator) {
            return Fraction::new(numerator, denominator.round() as u32);
        }
    }
    Fraction::new(1_000, (rate * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_and_its_interval_are_the_same() {
        for told in [
            (1, 30),
            (2, 15),
            (1_001, 30_000),
            (2, 25),
            (1, 1),
            (100, 1_499),
        ] {
            let told = Fraction::new(told.0, told.1);
            let asked = interval(rate(told).unwrap());
            assert_eq!(rate(asked), rate(told), "{told:?}, {asked:?}");
        }
        assert_eq!(rate(Fraction::new(0, 30)), None);
        assert_eq!(rate(Fraction::new(1, 0)), None);
    }

    #[test]
    fn what_a_driver_adds_to_each_line_is_left_out() {
        let format = |pixels| Format {
            width: 4,
            height: 2,
            pixels,
            rate: 30.0,
        };
        let cut = |bytes: &[u8], pixels, stride| {
            without_padding(bytes, &format(pixels), stride).into_owned()
        };
        // Luma, luma, then both colours in turn: 9 is padding.
        let nv12 = [1, 1, 1, 1, 9, 9, 2, 2, 2, 2, 9, 9, 3, 4, 3, 4, 9, 9];
        let plain = [1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 3, 4];
        assert_eq!(cut(&nv12, PixelFormat::Nv12, 6), plain);
        assert_eq!(cut(&plain, PixelFormat::Nv12, 4), plain);
        let i420 = [1, 1, 1, 1, 9, 9, 2, 2, 2, 2, 9, 9, 3, 3, 9, 4, 4, 9];
        let planes = [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4];
        assert_eq!(cut(&i420, PixelFormat::I420, 6), planes);
        assert_eq!(cut(&planes, PixelFormat::I420, 0), planes);
        let yuyv = [1, 2, 1, 3, 1, 2, 1, 3, 9, 9, 4, 5, 4, 6, 4, 5, 4, 6, 9, 9];
        assert_eq!(
            cut(&yuyv, PixelFormat::Yuyv, 10),
            [1, 2, 1, 3, 1, 2, 1, 3, 4, 5, 4, 6, 4, 5, 4, 6]
        );
        // One that is cut short stays so, for the conversion to refuse.
        assert_eq!(cut(&yuyv[..13], PixelFormat::Yuyv, 10).len(), 11);
    }

    #[test]
    fn a_camera_that_takes_any_size_offers_the_usual_ones_and_its_largest() {
        let steps = Stepwise {
            min_width: 48,
            max_width: 1_024,
            step_width: 2,
            min_height: 32,
            max_height: 600,
            step_height: 2,
        };
        let sizes = usual_sizes(&steps);
        assert!(sizes.contains(&(320, 180)) && sizes.contains(&(960, 540)));
        assert_eq!(sizes.last(), Some(&(1_024, 600)));
        assert!(sizes.iter().all(|(width, _)| *width <= 1_024));
    }
}
