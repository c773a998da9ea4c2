//! A screen and its windows for real: an X server without a monitor, of the test's own.
//!
//! The server is found by `DISPLAY`, so the test runs in a process of its own: this one again, with a
//! test that is ignored otherwise. The window shows the synthetic camera's picture, whose marks are read
//! back from what was captured.

#![cfg(all(feature = "hardware", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test's helpers, too")]

use duet_devices::synthetic::{Painter, marks};
use duet_devices::{
    CursorCaptureConstraint, DisplayCaptureSurfaceType, DisplayMediaStreamOptions, MediaDevices,
};
use duet_media::constraints::ConstrainNumber;
use duet_media::{
    Frame, FrameQueue, I420Buffer, MediaStream, MediaTrackConstraintSet, MonotonicClock,
    TrackEvent, TrackState, VideoFrame,
};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConfigureWindowAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext,
    ImageFormat, PropMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const WIDTH: u16 = 640;
const HEIGHT: u16 = 360;

/// Ends the server with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server, and its display's name. None if there is no Xvfb here.
fn start_server() -> Option<(Server, String)> {
    let child = Command::new("Xvfb")
        .args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "1280x720x24",
            "-nolisten",
            "tcp",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut server = Server(child.ok()?);
    // It says its number when it is ready.
    let mut number = String::new();
    let out = server.0.stdout.take().unwrap();
    BufReader::new(out).read_line(&mut number).unwrap();
    Some((server, format!(":{}", number.trim())))
}

#[test]
fn a_screen_and_a_window_are_shown() {
    let Some((_server, display)) = start_server() else {
        println!("skipped: Xvfb is not installed");
        return;
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "with_display_all_of_it",
            "--nocapture",
        ])
        .env("DISPLAY", display)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"));
}

#[test]
fn without_a_display_there_is_nothing_to_show() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "without_display", "--nocapture"])
        .env_remove("DISPLAY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
#[ignore = "needs to be without a display: without_a_display_there_is_nothing_to_show runs it"]
fn without_display() {
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let error = devices.get_display_media(&DisplayMediaStreamOptions::default());
    assert_eq!(error.unwrap_err().name(), "NotFoundError");
}

/// Somebody's program with a window.
struct Program {
    connection: RustConnection,
    window: Window,
    context: Gcontext,
    depth: u8,
}

impl Program {
    fn start(title: &str) -> Self {
        let (connection, screen) = RustConnection::connect(None).unwrap();
        let (root, depth) = {
            let screen = &connection.setup().roots[screen];
            (screen.root, screen.root_depth)
        };
        let window = connection.generate_id().unwrap();
        let aux = CreateWindowAux::new().background_pixel(0x0000_ff00);
        let class = WindowClass::INPUT_OUTPUT;
        let place =
            connection.create_window(depth, window, root, 0, 0, WIDTH, HEIGHT, 0, class, 0, &aux);
        place.unwrap().check().unwrap();
        let (name, kind) = (AtomEnum::WM_NAME, AtomEnum::STRING);
        let named =
            connection.change_property8(PropMode::REPLACE, window, name, kind, title.as_bytes());
        named.unwrap().check().unwrap();
        let context = connection.generate_id().unwrap();
        let made = connection.create_gc(context, window, &CreateGCAux::new());
        made.unwrap().check().unwrap();
        connection.map_window(window).unwrap().check().unwrap();
        Program {
            connection,
            window,
            context,
            depth,
        }
    }

    /// Shows the synthetic camera's picture of that number, in shades of grey.
    fn paint(&self, number: u32) {
        let mut picture = I420Buffer::new(WIDTH.into(), HEIGHT.into());
        let painter = Painter::new(WIDTH.into(), HEIGHT.into());
        painter.paint(number, Duration::from_millis(5), false, &mut picture);
        // From the limited range to a screen's.
        let grey = |luma: &u8| ((f32::from(*luma) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0) as u8;
        let pixels: Vec<u8> = picture
            .y()
            .iter()
            .flat_map(|luma| [grey(luma); 4])
            .collect();
        let row = usize::from(WIDTH) * 4;
        // In parts that a request may have.
        for (strip, lines) in (0..).zip(pixels.chunks(row * 30)) {
            let put = self.connection.put_image(
                ImageFormat::Z_PIXMAP,
                self.window,
                self.context,
                WIDTH,
                (lines.len() / row) as u16,
                0,
                strip * 30,
                0,
                self.depth,
                lines,
            );
            put.unwrap().check().unwrap();
        }
    }
}

struct Shown {
    stream: MediaStream,
    queue: Arc<FrameQueue>,
    _sink: duet_media::SinkHandle,
}

impl Shown {
    fn start(devices: &MediaDevices, surface: Option<&str>, set: MediaTrackConstraintSet) -> Self {
        let stream = devices
            .get_display_media(&DisplayMediaStreamOptions {
                video: set.into(),
                surface: surface.map(str::to_owned),
                cursor: CursorCaptureConstraint::Never,
            })
            .unwrap();
        let queue = Arc::new(FrameQueue::latest());
        let sink = stream.get_tracks()[0].add_sink(queue.clone());
        Shown {
            stream,
            queue,
            _sink: sink,
        }
    }

    /// The first frame that is as wanted.
    fn until(&self, wanted: impl Fn(&VideoFrame) -> bool) -> VideoFrame {
        for _ in 0..300 {
            match self.queue.pop_timeout(Duration::from_secs(10)) {
                Some(Frame::Video(frame)) if wanted(&frame) => return frame,
                Some(_) => {}
                None => panic!("nothing is shown"),
            }
        }
        panic!("what was wanted is not shown");
    }
}

fn number(frame: &VideoFrame) -> Option<u32> {
    marks::read(&frame.buffer).map(|marks| marks.frame_number)
}

#[test]
#[ignore = "needs a display: a_screen_and_a_window_are_shown runs it"]
fn with_display_all_of_it() {
    let program = Program::start("A window of ours");
    program.paint(7);
    let devices = MediaDevices::new(Arc::new(MonotonicClock::new()));
    let surfaces = devices.display_surfaces().unwrap();
    println!("{surfaces:?}");
    assert_eq!(surfaces[0].kind, DisplayCaptureSurfaceType::Monitor);
    assert_eq!((surfaces[0].width, surfaces[0].height), (1280, 720));
    let ours = surfaces
        .iter()
        .find(|surface| surface.label == "A window of ours");
    let ours = ours.unwrap();
    assert_eq!((ours.width, ours.height), (WIDTH.into(), HEIGHT.into()));

    // The window, whatever it shows, and whatever lies over it.
    let any = MediaTrackConstraintSet::default;
    let window = Shown::start(&devices, Some(&ours.id), any());
    window.until(|frame| number(frame) == Some(7));
    program.paint(8);
    let frame = window.until(|frame| number(frame) == Some(8));
    assert_eq!(
        (frame.width(), frame.height()),
        (WIDTH.into(), HEIGHT.into())
    );
    let over = Program::start("Another, over it");
    program.paint(9);
    window.until(|frame| number(frame) == Some(9));

    // The screen shows what lies on top, which is green: made smaller and slower on request.
    let small = MediaTrackConstraintSet {
        width: Some(ConstrainNumber::ideal(640)),
        height: Some(ConstrainNumber::ideal(360)),
        frame_rate: Some(ConstrainNumber::max(10.0)),
        ..any()
    };
    let screen = Shown::start(&devices, None, small);
    let settings = screen.stream.get_tracks()[0].get_settings();
    assert_eq!((settings.width, settings.height), (Some(640), Some(360)));
    assert!(
        settings.frame_rate.is_some_and(|rate| rate <= 10.0),
        "{settings:?}"
    );
    assert_eq!(
        settings.display_surface,
        Some(DisplayCaptureSurfaceType::Monitor)
    );
    assert_eq!(settings.logical_surface, Some(false));
    assert_eq!(settings.cursor, Some(CursorCaptureConstraint::Never));
    let track = screen.stream.get_tracks()[0].clone();
    let ratio = track.get_capabilities().aspect_ratio.unwrap();
    assert!(ratio.min == ratio.max && (ratio.min - 16.0 / 9.0).abs() < 1e-9);
    let square = MediaTrackConstraintSet {
        width: Some(300.into()),
        height: Some(ConstrainNumber::max(300)),
        cursor: Some("always".into()),
        ..any()
    };
    track.apply_constraints(square.into()).unwrap();
    let settings = track.get_settings();
    assert_eq!((settings.width, settings.height), (Some(300), Some(169)));
    assert_eq!(settings.cursor, Some(CursorCaptureConstraint::Always));
    screen.until(|frame| (frame.width(), frame.height()) == (300, 169));
    let again = MediaTrackConstraintSet {
        width: Some(640.into()),
        height: Some(360.into()),
        ..any()
    };
    track.apply_constraints(again.into()).unwrap();
    let frame = screen.until(|frame| frame.width() == 640);
    let (luma, blue, red) = (
        frame.buffer.y()[0],
        frame.buffer.u()[0],
        frame.buffer.v()[0],
    );
    // BT.601: green is (145, 54, 34).
    assert!(
        luma.abs_diff(145) < 3 && blue.abs_diff(54) < 3 && red.abs_diff(34) < 3,
        "{luma} {blue} {red}"
    );
    let whole = Shown::start(&devices, None, any());
    drop(over);
    program.paint(10);
    // Half of the screen's width: the marks are in its upper left corner.
    whole.until(|frame| frame.buffer.y()[0] < 40);

    // A window that grows, and one that is closed.
    let wider = ConfigureWindowAux::new().width(700).height(400);
    program
        .connection
        .configure_window(program.window, &wider)
        .unwrap()
        .check()
        .unwrap();
    window.until(|frame| (frame.width(), frame.height()) == (700, 400));
    let track = window.stream.get_tracks()[0].clone();
    let settings = track.get_settings();
    assert_eq!((settings.width, settings.height), (Some(700), Some(400)));
    assert_eq!(track.get_capabilities().width.map(|w| w.max), Some(700));

    // One that is not on show for a while: muted, and black.
    let (heard, events) = mpsc::sync_channel(4);
    let muted = track.subscribe(move |event| heard.try_send(*event).unwrap());
    let wait = Duration::from_secs(10);
    let hide = program.connection.unmap_window(program.window).unwrap();
    hide.check().unwrap();
    assert_eq!(events.recv_timeout(wait), Ok(TrackEvent::Mute));
    window.until(|frame| frame.buffer.y().iter().all(|luma| *luma == 16));
    let show = program.connection.map_window(program.window).unwrap();
    show.check().unwrap();
    assert_eq!(events.recv_timeout(wait), Ok(TrackEvent::Unmute));
    drop(muted);
    let (ended, ends) = mpsc::sync_channel(4);
    let _subscription = track.subscribe(move |event| ended.try_send(*event).unwrap());
    program
        .connection
        .destroy_window(program.window)
        .unwrap()
        .check()
        .unwrap();
    assert_eq!(
        ends.recv_timeout(Duration::from_secs(10)),
        Ok(TrackEvent::Ended)
    );
    assert_eq!(track.ready_state(), TrackState::Ended);
    assert_eq!(whole.stream.get_tracks()[0].ready_state(), TrackState::Live);

    let error = devices.get_display_media(&DisplayMediaStreamOptions {
        surface: Some(ours.id.clone()),
        ..Default::default()
    });
    assert_eq!(error.unwrap_err().name(), "NotFoundError");
}
