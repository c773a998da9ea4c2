use super::*;
use std::process::Command;

#[test]
#[cfg(target_os = "linux")]
fn the_systems_refusals_get_their_names() {
    use nix::errno::Errno;
    let name = |code: Errno| refusal("Camera", &io::Error::from(code)).name();
    assert_eq!(name(Errno::EACCES), "NotAllowedError");
    assert_eq!(name(Errno::EPERM), "NotAllowedError");
    assert_eq!(name(Errno::EBUSY), "NotReadableError");
    assert_eq!(name(Errno::EIO), "NotReadableError");
    assert_eq!(name(Errno::ENODEV), "NotFoundError");
    assert_eq!(name(Errno::ENOENT), "NotFoundError");
}

#[test]
fn a_camera_that_is_gone_refuses_another_mode_at_once() {
    let refused = |control: &Control| {
        let asked = Instant::now();
        let answer = control.reconfigure(&MediaTrackSettings::default());
        assert!(matches!(answer, Err(ReconfigureError::Refused(_))));
        assert!(asked.elapsed() < PATIENCE / 2, "{:?}", asked.elapsed());
    };
    let control = Control::default();
    std::thread::scope(|scope| {
        scope.spawn(|| refused(&control));
        // Asked already.
        while control.request.lock().is_none() {
            std::thread::yield_now();
        }
        control.close();
    });
    refused(&control);
    let stopped = Control::default();
    SourceControl::stop(&stopped);
    refused(&stopped);
}

/// Luma, blue and red of eight bits each, by BT.601 in the limited range.
fn bt601([red, green, blue]: [f64; 3]) -> [f64; 3] {
    let luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    [
        16.0 + 219.0 / 255.0 * luma,
        128.0 + 224.0 / 255.0 * (blue - luma) / 1.772,
        128.0 + 224.0 / 255.0 * (red - luma) / 1.402,
    ]
}

/// The colour bars of television, at three quarters of their strength but for the white one, eighty pixels
/// each: a plane in another's place, or another matrix, shows. Says how far off the worst is.
#[cfg(target_os = "linux")]
fn assert_bars(what: PixelFormat, white: f64, picture: &I420Buffer) {
    let full = 191.0;
    let bars = [
        [white; 3],
        [full, full, 0.0],
        [0.0, full, full],
        [0.0, full, 0.0],
        [full, 0.0, full],
        [full, 0.0, 0.0],
        [0.0, 0.0, full],
        [0.0, 0.0, 0.0],
    ];
    assert_eq!((picture.width(), picture.height()), (640, 360));
    let mut worst = 0.0f64;
    for (number, bar) in bars.iter().enumerate() {
        // In the middle of the bar, in the lower half.
        let (x, y) = (number * 80 + 40, 270);
        let chroma = y / 2 * picture.chroma_width() as usize + x / 2;
        let shown = [
            picture.y()[y * 640 + x],
            picture.u()[chroma],
            picture.v()[chroma],
        ];
        for (shown, expected) in shown.into_iter().zip(bt601(*bar)) {
            let off = (f64::from(shown) - expected).abs();
            worst = worst.max(off);
            assert!(
                off < 4.0,
                "{what:?}, bar {number}: {shown:?}, not {expected}"
            );
        }
    }
    println!("{what:?}: within {worst:.1} of the bars");
}

/// Opens the camera in that format, at 640x360, and takes a picture.
#[cfg(target_os = "linux")]
fn take(device: &CameraDevice, pixels: PixelFormat) -> Option<Arc<I420Buffer>> {
    let mut formats = device.formats().unwrap();
    formats.retain(|format| format.pixels == pixels && format.width == 640);
    let wanted = MediaTrackSettings {
        width: Some(640),
        height: Some(360),
        frame_rate: Some(30.0),
        ..Default::default()
    };
    let format = format::best(&formats, &wanted)?;
    let mut stream = device.node.start(&format).unwrap();
    assert_eq!(*stream.format(), format);
    let raw = stream.next(Duration::from_secs(20)).unwrap().unwrap();
    let sane = |age: Duration| age < Duration::from_secs(5);
    assert!(raw.age.is_none_or(sane), "{:?}", raw.age);
    Some(Developer::default().develop(&raw, &format).unwrap())
}

/// `vivid` itself paints what its formats call for.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs vivid: script/devices-test runs it"]
fn every_raw_format_shows_the_colour_bars() {
    let device = list()
        .into_iter()
        .find(|device| device.label.contains("vivid"));
    let device = device.unwrap();
    let node = format!("/dev/{}", device.id.strip_prefix("v4l:").unwrap());
    let plain = Command::new("v4l2-ctl")
        .args(["-d", &node, "-c", "osd_text_mode=2,test_pattern=0"])
        .status();
    assert!(plain.unwrap().success());
    for pixels in [PixelFormat::I420, PixelFormat::Nv12, PixelFormat::Yuyv] {
        assert_bars(pixels, 191.0, &take(&device, pixels).unwrap());
    }
}

/// A camera that makes JPEG files is one that shows what another program writes.
#[test]
#[cfg(target_os = "linux")]
#[ignore = "needs v4l2loopback and ffmpeg: script/devices-test runs it"]
fn jpeg_files_of_a_camera_show_the_colour_bars() {
    let names = std::fs::read_dir("/sys/class/video4linux")
        .unwrap()
        .flatten();
    let mut names = names.map(|entry| entry.file_name().into_string().unwrap());
    let is_loopback = |name: &String| {
        let label = format!("/sys/class/video4linux/{name}/name");
        std::fs::read_to_string(label).is_ok_and(|label| label.contains("Loopback"))
    };
    let node = names.find(is_loopback).unwrap();
    let mut writer = Command::new("ffmpeg")
        .args(["-loglevel", "error", "-re", "-f", "lavfi", "-i"])
        .args([
            "pal75bars=size=640x360:rate=10",
            "-c:v",
            "mjpeg",
            "-q:v",
            "2",
        ])
        .args(["-f", "v4l2", &format!("/dev/{node}")])
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It is a camera once somebody writes.
    let start = Instant::now();
    let device = loop {
        let id = format!("v4l:{node}");
        match list().into_iter().find(|device| device.id == id) {
            Some(device) => break device,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nobody writes");
    };
    let picture = take(&device, PixelFormat::Mjpeg);
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_bars(PixelFormat::Mjpeg, 255.0, &picture.unwrap());
}
