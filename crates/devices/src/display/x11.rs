//! Monitors and windows of an X server, and what is in them.
//!
//! Pictures come through memory that is shared with the server, where it is on this machine. A window is
//! read from its own off-screen picture, so what lies over it is not in it.

use super::cursor::Cursor;
use super::{DisplayCaptureSurfaceType, DisplaySurface};
use crate::GetUserMediaError;
use crate::convert;
use duet_media::CursorCaptureConstraint;
use std::fs::File;
use std::os::unix::fs::FileExt;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::{ConnectionError, ReplyError, ReplyOrIdError};
use x11rb::protocol::ErrorKind;
use x11rb::protocol::composite::{self, ConnectionExt as _, Redirect};
use x11rb::protocol::randr::{self, ConnectionExt as _};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xfixes::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    AtomEnum, ConnectionExt as _, Drawable, ImageFormat, ImageOrder, MapState, Pixmap, Window,
};
use x11rb::rust_connection::RustConnection;

/// Titles are read up to here, in units of four bytes.
const MAX_TITLE: u32 = 64;
/// Windows are listed up to here.
const MAX_WINDOWS: usize = 256;

pub(crate) struct Display {
    connection: RustConnection,
    root: Window,
}

/// What to grab.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A part of the root window.
    Monitor {
        x: i16,
        y: i16,
        width: u16,
        height: u16,
    },
    Window(Window),
}

impl Display {
    /// The display that `DISPLAY` names.
    pub(crate) fn open() -> Result<Self, GetUserMediaError> {
        if std::env::var_os("DISPLAY").is_none_or(|name| name.is_empty()) {
            let reason = "there is no screen to show: DISPLAY names none (Wayland alone is not captured yet)";
            return Err(GetUserMediaError::NotFound(reason.into()));
        }
        let (connection, screen) = RustConnection::connect(None).map_err(|error| {
            GetUserMediaError::NotReadable(format!("the X server cannot be reached: {error}"))
        })?;
        let setup = connection.setup();
        let Some(screen) = setup.roots.get(screen) else {
            let reason = "the X server has no such screen";
            return Err(GetUserMediaError::NotFound(reason.into()));
        };
        let format = setup.pixmap_formats.iter();
        let deep = format
            .filter(|format| format.depth == screen.root_depth)
            .any(|format| format.bits_per_pixel == 32);
        if !deep || setup.image_byte_order != ImageOrder::LSB_FIRST {
            let reason =
                "the screen has a pixel format that is not understood: 32 bits, blue first, are";
            return Err(GetUserMediaError::NotReadable(reason.into()));
        }
        let root = screen.root;
        Ok(Display { connection, root })
    }

    /// Monitors, the primary one first, then windows.
    pub(crate) fn surfaces(&self) -> Result<Vec<(DisplaySurface, Target)>, GetUserMediaError> {
        let mut found = self.monitors().map_err(refused)?;
        for window in self.windows().map_err(refused)? {
            // One that closed in the meantime is no error.
            found.extend(self.describe(window).ok().flatten());
        }
        Ok(found)
    }

    fn monitors(&self) -> Result<Vec<(DisplaySurface, Target)>, ReplyError> {
        let mut found = Vec::new();
        if self.has(randr::X11_EXTENSION_NAME)? {
            let reply = self
                .connection
                .randr_get_monitors(self.root, true)?
                .reply()?;
            let mut monitors = reply.monitors;
            monitors.sort_by_key(|monitor| !monitor.primary);
            for monitor in monitors {
                let name = self.connection.get_atom_name(monitor.name)?.reply()?.name;
                let target = Target::Monitor {
                    x: monitor.x,
                    y: monitor.y,
                    width: monitor.width,
                    height: monitor.height,
                };
                let name = String::from_utf8_lossy(&name).into_owned();
                found.push(monitor_surface(
                    &name,
                    monitor.width,
                    monitor.height,
                    target,
                ));
            }
        }
        if found.is_empty() {
            let whole = self.connection.get_geometry(self.root)?.reply()?;
            let (width, height) = (whole.width, whole.height);
            let target = Target::Monitor {
                x: 0,
                y: 0,
                width,
                height,
            };
            found.push(monitor_surface("screen", width, height, target));
        }
        Ok(found)
    }

    /// Those that a window manager keeps; without one, all that are shown.
    fn windows(&self) -> Result<Vec<Window>, ReplyError> {
        let list = self
            .connection
            .intern_atom(true, b"_NET_CLIENT_LIST")?
            .reply()?
            .atom;
        if list != 0 {
            let most = MAX_WINDOWS as u32;
            let request =
                self.connection
                    .get_property(false, self.root, list, AtomEnum::WINDOW, 0, most)?;
            let managed: Vec<_> = request.reply()?.value32().into_iter().flatten().collect();
            if !managed.is_empty() {
                return Ok(managed);
            }
        }
        let mut windows = self.connection.query_tree(self.root)?.reply()?.children;
        windows.truncate(MAX_WINDOWS);
        Ok(windows)
    }

    fn describe(&self, window: Window) -> Result<Option<(DisplaySurface, Target)>, ReplyError> {
        let attributes = self.connection.get_window_attributes(window)?.reply()?;
        let geometry = self.connection.get_geometry(window)?.reply()?;
        let shown = attributes.map_state == MapState::VIEWABLE;
        if !shown || !convert::sane(geometry.width.into(), geometry.height.into()) {
            return Ok(None);
        }
        let surface = DisplaySurface {
            id: format!("window:{window:#x}"),
            kind: DisplayCaptureSurfaceType::Window,
            label: self.title(window)?,
            width: geometry.width.into(),
            height: geometry.height.into(),
        };
        Ok(Some((surface, Target::Window(window))))
    }

    fn title(&self, window: Window) -> Result<String, ReplyError> {
        let modern = self
            .connection
            .intern_atom(true, b"_NET_WM_NAME")?
            .reply()?
            .atom;
        for name in [modern, AtomEnum::WM_NAME.into()] {
            if name == 0 {
                continue;
            }
            let request =
                self.connection
                    .get_property(false, window, name, AtomEnum::ANY, 0, MAX_TITLE)?;
            let title = request.reply()?.value;
            if !title.is_empty() {
                return Ok(String::from_utf8_lossy(&title).into_owned());
            }
        }
        Ok("a window without a title".into())
    }

    fn has(&self, extension: &'static str) -> Result<bool, ConnectionError> {
        Ok(self.connection.extension_information(extension)?.is_some())
    }

    /// Makes ready to grab it.
    pub(crate) fn grabber(
        self,
        target: Target,
        cursor: bool,
    ) -> Result<Grabber, GetUserMediaError> {
        self.prepare(target, cursor).map_err(|error| {
            GetUserMediaError::NotReadable(format!("the X server shows nothing: {error}"))
        })
    }

    fn prepare(self, target: Target, cursor: bool) -> Result<Grabber, ReplyOrIdError> {
        let connection = &self.connection;
        let mut shares = self.has(shm::X11_EXTENSION_NAME)?;
        if shares {
            let version = connection.shm_query_version()?.reply()?;
            // Since 1.2 the server makes the memory and hands it over.
            shares = (version.major_version, version.minor_version) >= (1, 2);
        }
        let has_cursor = self.has(xfixes::X11_EXTENSION_NAME)?;
        if has_cursor {
            connection.xfixes_query_version(5, 0)?.reply()?;
        }
        let mut off_screen = false;
        if let Target::Window(window) = target
            && self.has(composite::X11_EXTENSION_NAME)?
        {
            connection.composite_query_version(0, 4)?.reply()?;
            let redirect = connection.composite_redirect_window(window, Redirect::AUTOMATIC)?;
            off_screen = redirect.check().is_ok();
        }
        Ok(Grabber {
            display: self,
            target,
            cursor: cursor && has_cursor,
            has_cursor,
            shares,
            off_screen,
            named: None,
            shared: None,
            pixels: Vec::new(),
        })
    }
}

fn monitor_surface(
    name: &str,
    width: u16,
    height: u16,
    target: Target,
) -> (DisplaySurface, Target) {
    let surface = DisplaySurface {
        id: format!("monitor:{name}"),
        kind: DisplayCaptureSurfaceType::Monitor,
        label: name.to_owned(),
        width: width.into(),
        height: height.into(),
    };
    (surface, target)
}

#[allow(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn refused(error: ReplyError) -> GetUserMediaError {
    GetUserMediaError::NotReadable(format!("the X server does not tell what it shows: {error}"))
}

/// Takes one picture after another.
pub(crate) struct Grabber {
    display: Display,
    target: Target,
    cursor: bool,
    /// Whether the server tells of it.
    has_cursor: bool,
    /// Whether the server shares memory with us.
    shares: bool,
    /// Whether the window has a picture of its own.
    off_screen: bool,
    /// That picture, and the size for which it was named.
    named: Option<(Pixmap, (u16, u16))>,
    shared: Option<SharedMemory>,
    pixels: Vec<u8>,
}

struct SharedMemory {
    segment: shm::Seg,
    file: File,
    bytes: usize,
}

/// A picture: four bytes a pixel, blue, green, red and a filler.
pub(super) struct Grabbed<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixels: &'a [u8],
}

impl Grabber {
    /// What can be done with the pointer, and what is done now first.
    pub(super) fn cursors(&self) -> Vec<CursorCaptureConstraint> {
        match (self.has_cursor, self.cursor) {
            (false, _) => vec![CursorCaptureConstraint::Never],
            (true, true) => vec![
                CursorCaptureConstraint::Always,
                CursorCaptureConstraint::Never,
            ],
            (true, false) => vec![
                CursorCaptureConstraint::Never,
                CursorCaptureConstraint::Always,
            ],
        }
    }

    pub(super) fn show_cursor(&mut self, cursor: CursorCaptureConstraint) {
        self.cursor = self.has_cursor && cursor == CursorCaptureConstraint::Always;
    }

    /// Whether a window is read as it is, whatever lies over it.
    pub(super) fn is_logical(&self) -> bool {
        self.off_screen
    }

    /// The picture as it is now; `None` if there is none, as of a window that is minimised. An error if
    /// there will be none any more.
    pub(super) fn grab(&mut self) -> Result<Option<Grabbed<'_>>, ReplyOrIdError> {
        if let Target::Window(window) = self.target {
            // Its off-screen picture would stay, as it was.
            let attributes = self.display.connection.get_window_attributes(window)?;
            if attributes.reply()?.map_state != MapState::VIEWABLE {
                self.forget_name()?;
                return Ok(None);
            }
        }
        match self.try_grab() {
            Ok((width, height)) => Ok(Some(Grabbed {
                width,
                height,
                pixels: &self.pixels,
            })),
            // Not shown, or of another size by the time that it was asked for.
            Err(error) if is_passing(&error) => {
                self.forget_name()?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn try_grab(&mut self) -> Result<(u32, u32), ReplyOrIdError> {
        let (drawable, (x, y), (width, height), corner) = match self.target {
            Target::Monitor {
                x,
                y,
                width,
                height,
            } => {
                let corner = (i32::from(x), i32::from(y));
                (self.display.root, (x, y), (width, height), corner)
            }
            Target::Window(window) => self.window(window)?,
        };
        let (wide, high) = (u32::from(width), u32::from(height));
        if !convert::sane(wide, high) {
            return Err(ReplyOrIdError::ConnectionError(
                ConnectionError::InsufficientMemory,
            ));
        }
        let bytes = wide as usize * high as usize * 4;
        let all = u32::MAX;
        if self.shares {
            self.share(bytes)?;
        }
        let connection = &self.display.connection;
        match &self.shared {
            Some(shared) => {
                let request = connection.shm_get_image(
                    drawable,
                    x,
                    y,
                    width,
                    height,
                    all,
                    ImageFormat::Z_PIXMAP.into(),
                    shared.segment,
                    0,
                )?;
                request.reply()?;
                self.pixels.resize(bytes, 0);
                let read = shared.file.read_exact_at(&mut self.pixels, 0);
                read.map_err(ConnectionError::IoError)?;
            }
            None => {
                let format = ImageFormat::Z_PIXMAP;
                let request = connection.get_image(format, drawable, x, y, width, height, all)?;
                self.pixels = request.reply()?.data;
            }
        }
        if self.cursor {
            let image = connection.xfixes_get_cursor_image()?.reply()?;
            let cursor = Cursor {
                x: i32::from(image.x) - i32::from(image.xhot) - corner.0,
                y: i32::from(image.y) - i32::from(image.yhot) - corner.1,
                width: image.width.into(),
                pixels: image.cursor_image,
            };
            cursor.draw(&mut self.pixels, wide, high);
        }
        Ok((wide, high))
    }

    /// What to read a window from, from where, how much, and where on the screen it is.
    #[allow(clippy::type_complexity, reason = "taken apart where it is called")]
    fn window(
        &mut self,
        window: Window,
    ) -> Result<(Drawable, (i16, i16), (u16, u16), (i32, i32)), ReplyOrIdError> {
        let connection = &self.display.connection;
        let geometry = connection.get_geometry(window)?.reply()?;
        let place = connection.translate_coordinates(window, self.display.root, 0, 0)?;
        let place = place.reply()?;
        let corner = (i32::from(place.dst_x), i32::from(place.dst_y));
        let size = (geometry.width, geometry.height);
        if !self.off_screen {
            return Ok((window, (0, 0), size, corner));
        }
        if self.named.is_none_or(|(_, named)| named != size) {
            self.forget_name()?;
            let connection = &self.display.connection;
            let pixmap = connection.generate_id()?;
            connection
                .composite_name_window_pixmap(window, pixmap)?
                .check()?;
            self.named = Some((pixmap, size));
        }
        let border = i16::try_from(geometry.border_width).unwrap_or(0);
        let drawable = self.named.map_or(window, |(pixmap, _)| pixmap);
        Ok((drawable, (border, border), size, corner))
    }

    fn forget_name(&mut self) -> Result<(), ConnectionError> {
        if let Some((pixmap, _)) = self.named.take() {
            self.display.connection.free_pixmap(pixmap)?;
        }
        Ok(())
    }

    /// Has so many bytes of memory shared, or none if the server does not share after all.
    fn share(&mut self, bytes: usize) -> Result<(), ReplyOrIdError> {
        if self
            .shared
            .as_ref()
            .is_some_and(|shared| shared.bytes >= bytes)
        {
            return Ok(());
        }
        let connection = &self.display.connection;
        if let Some(old) = self.shared.take() {
            connection.shm_detach(old.segment)?;
        }
        let segment = connection.generate_id()?;
        let Ok(size) = u32::try_from(bytes) else {
            return Ok(());
        };
        match connection.shm_create_segment(segment, size, false)?.reply() {
            Ok(reply) => {
                let file = File::from(reply.shm_fd);
                self.shared = Some(SharedMemory {
                    segment,
                    file,
                    bytes,
                });
            }
            // It is on another machine.
            Err(ReplyError::X11Error(_)) => self.shares = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

fn is_passing(error: &ReplyOrIdError) -> bool {
    match error {
        ReplyOrIdError::X11Error(error) => error.error_kind == ErrorKind::Match,
        _ => false,
    }
}
