//! The kernel's device nodes, and the sound server's socket: what appears in a directory and what goes.

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

const DEV: &str = "/dev";
const SOUND: &str = "/dev/snd";

pub(super) struct Nodes {
    inotify: Inotify,
    dev: Option<WatchDescriptor>,
    sound: Option<WatchDescriptor>,
    server: Option<WatchDescriptor>,
}

/// What may have changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) devices: bool,
    /// The sound server's socket is there.
    pub(super) server: bool,
}

impl Nodes {
    /// Watches what there is to watch; a directory that is missing is no error.
    pub(super) fn watch() -> io::Result<Self> {
        let mut nodes = Nodes {
            inotify: Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?,
            dev: None,
            sound: None,
            server: None,
        };
        nodes.dev = nodes.add(Path::new(DEV));
        nodes.sound = nodes.add(Path::new(SOUND));
        let directory =
            super::server::socket().and_then(|socket| Some(socket.parent()?.to_owned()));
        nodes.server = directory.and_then(|directory| nodes.add(&directory));
        Ok(nodes)
    }

    fn add(&self, directory: &Path) -> Option<WatchDescriptor> {
        // A node comes before those may read it who should: their right to it is news as well.
        let changes =
            AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE | AddWatchFlags::IN_ATTRIB;
        self.inotify.add_watch(directory, changes).ok()
    }

    /// Takes out what there is to read.
    pub(super) fn read(&mut self) -> Seen {
        let mut seen = Seen::default();
        loop {
            match self.inotify.read_events() {
                Ok(events) if events.is_empty() => return seen,
                Ok(events) => events.iter().for_each(|event| self.note(event, &mut seen)),
                Err(Errno::EINTR) => {}
                // Nothing more for now.
                Err(_) => return seen,
            }
        }
    }

    fn note(&mut self, event: &InotifyEvent, seen: &mut Seen) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            (seen.devices, seen.server) = (true, true);
            return;
        }
        let name = event.name.as_deref().unwrap_or_default().to_string_lossy();
        let of = |watch: Option<WatchDescriptor>| watch == Some(event.wd);
        if of(self.dev) {
            seen.devices |= name.starts_with("video");
            if name == "snd" {
                // The first card came, or the last one went.
                self.sound = self.add(Path::new(SOUND));
                seen.devices = true;
            }
        } else if of(self.sound) {
            seen.devices |= name.starts_with("pcm");
        } else if of(self.server) {
            seen.server |= event.mask.contains(AddWatchFlags::IN_CREATE);
        }
    }
}

impl AsFd for Nodes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
