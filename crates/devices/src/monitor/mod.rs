//! Tells when cameras, microphones or speakers may have come or gone.
//!
//! On Linux one thread sleeps on the kernel's and the sound server's own events: device nodes under
//! `/dev`, and the server's list of sinks and sources. It does not look at the devices; whoever is told
//! does. On other systems nobody is told yet.

mod nodes;
mod server;
mod settle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nodes::Nodes;
use server::SoundServer;
use settle::Settle;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells until it is dropped.
#[derive(Debug)]
pub(crate) struct DeviceMonitor {
    stop: Arc<EventFd>,
}

impl DeviceMonitor {
    /// Calls `changed` from a thread of its own after each change, or once for several at the same time.
    ///
    /// # Errors
    /// Where the system has no more descriptors or threads to give.
    pub(crate) fn start(changed: impl FnMut() + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new(EventFd::new()?);
        let nodes = Nodes::watch()?;
        let server = SoundServer::connect();
        let watcher = Watcher {
            stop: stop.clone(),
            nodes,
            server,
            expected: None,
            settle: Settle::default(),
            changed,
        };
        std::thread::Builder::new()
            .name("device-monitor".into())
            .spawn(move || watcher.run())?;
        Ok(DeviceMonitor { stop })
    }
}

impl Drop for DeviceMonitor {
    /// Does not wait for the thread: it may be this one.
    fn drop(&mut self) {
        // It fails only where the counter is full, and then the thread wakes as well.
        let _ = self.stop.write(1);
    }
}

/// The thread.
struct Watcher<F> {
    stop: Arc<EventFd>,
    nodes: Nodes,
    server: Option<SoundServer>,
    /// Until when a server is looked for whose socket is there.
    expected: Option<Instant>,
    settle: Settle,
    changed: F,
}

/// A server's socket is there a moment before the server answers.
const STARTING: Duration = Duration::from_secs(5);
/// How often it is tried meanwhile.
const GLANCE: Duration = Duration::from_millis(50);

impl<F: FnMut()> Watcher<F> {
    fn run(mut self) {
        while let Ok(woken) = self.wait() {
            if woken.stop {
                return;
            }
            let now = Instant::now();
            if woken.nodes {
                let seen = self.nodes.read();
                if seen.devices {
                    self.settle.note(now);
                }
                if seen.server && self.server.is_none() {
                    self.expected = Some(now + STARTING);
                }
            }
            if woken.server {
                match self.server.as_mut().map(SoundServer::read) {
                    Some(Ok(true)) => self.settle.note(now),
                    Some(Err(_)) => {
                        // It went, and its devices with it. Its socket tells when it is back.
                        self.server = None;
                        self.settle.note(now);
                    }
                    _ => {}
                }
            }
            if let Some(until) = self.expected {
                self.server = SoundServer::connect();
                if self.server.is_some() {
                    self.settle.note(now);
                }
                if self.server.is_some() || now > until {
                    self.expected = None;
                }
            }
            if self.settle.is_over(Instant::now()) {
                (self.changed)();
            }
        }
    }

    /// Sleeps until something can be read, or a flurry of changes is over.
    fn wait(&self) -> nix::Result<Woken> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![readable(self.stop.as_fd()), readable(self.nodes.as_fd())];
        fds.extend(self.server.as_ref().map(|server| readable(server.as_fd())));
        let glance = self.expected.map(|_| GLANCE);
        let left = self.settle.left(Instant::now());
        let timeout = match left.into_iter().chain(glance).min() {
            None => PollTimeout::NONE,
            // Rounded up, or the last millisecond would be spent awake.
            Some(left) => PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX),
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let is_ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        Ok(Woken {
            stop: is_ready(0),
            nodes: is_ready(1),
            server: is_ready(2),
        })
    }
}

struct Woken {
    stop: bool,
    nodes: bool,
    server: bool,
}
