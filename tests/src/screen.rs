//! A screen that nobody looks at, and a window on it: an X server without a monitor.

use crate::Process;
use duet_media::I420Buffer;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, PropMode,
    Window as WindowId, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// A running X server. Ended with its handle.
pub struct Screen {
    display: String,
    _server: Process,
}

impl Screen {
    /// Its size in pixels.
    pub const SIZE: (u16, u16) = (1_280, 720);

    /// Starts one on a display of its own, and waits until it serves.
    pub fn start() -> Self {
        let size = format!("{}x{}x24", Self::SIZE.0, Self::SIZE.1);
        let mut command = Command::new("Xvfb");
        command
            .args(["-displayfd", "1", "-screen", "0", &size])
            .args(["-nolisten", "tcp"])
            .stdin(Stdio::null());
        let mut server = Process::start("Xvfb", &mut command);
        // It says its number when it is ready.
        let out = server.take_output().expect("nobody took it");
        let mut number = String::new();
        BufReader::new(out)
            .read_line(&mut number)
            .expect("the server says its number");
        Screen {
            display: format!(":{}", number.trim()),
            _server: server,
        }
    }

    /// What `DISPLAY` is to be, for its programs.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Shows a picture in a window with that title, in shades of grey, until the window is dropped.
    pub fn show(&self, title: &str, (x, y): (i16, i16), picture: &I420Buffer) -> Window {
        let window = Window::open(&self.display, title, (x, y), picture);
        window.expect("the server shows a window")
    }
}

/// A window.
pub struct Window {
    /// The window is gone with it.
    _connection: RustConnection,
}

impl Window {
    fn open(
        display: &str,
        title: &str,
        (x, y): (i16, i16),
        picture: &I420Buffer,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let (connection, screen) = RustConnection::connect(Some(display))?;
        let (root, depth) = {
            let screen = &connection.setup().roots[screen];
            (screen.root, screen.root_depth)
        };
        let (width, height) = (
            u16::try_from(picture.width())?,
            u16::try_from(picture.height())?,
        );
        let window: WindowId = connection.generate_id()?;
        let class = WindowClass::INPUT_OUTPUT;
        let aux = CreateWindowAux::new();
        connection
            .create_window(depth, window, root, x, y, width, height, 0, class, 0, &aux)?
            .check()?;
        let (name, kind) = (AtomEnum::WM_NAME, AtomEnum::STRING);
        connection
            .change_property8(PropMode::REPLACE, window, name, kind, title.as_bytes())?
            .check()?;
        connection.map_window(window)?.check()?;
        let context: Gcontext = connection.generate_id()?;
        connection
            .create_gc(context, window, &CreateGCAux::new())?
            .check()?;
        // From the limited range of video to a screen's.
        let grey = |luma: &u8| ((f32::from(*luma) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0) as u8;
        let pixels: Vec<u8> = picture
            .y()
            .iter()
            .flat_map(|luma| [grey(luma); 4])
            .collect();
        // In parts that a request may have.
        let part = usize::from(width) * 4 * 30;
        for (line, lines) in (0i16..).step_by(30).zip(pixels.chunks(part)) {
            let format = ImageFormat::Z_PIXMAP;
            let count = u16::try_from(lines.len() / (usize::from(width) * 4))?;
            connection
                .put_image(
                    format, window, context, width, count, 0, line, 0, depth, lines,
                )?
                .check()?;
        }
        Ok(Window {
            _connection: connection,
        })
    }
}
