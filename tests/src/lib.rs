//! What the end-to-end tests share: the program as a process, browsers, and clips to feed them.
//!
//! Nothing here reaches into a crate of ours but for the synthetic sources' marks: the tests see what
//! a user sees. Every process that is started is ended by its id when its handle is dropped.

mod browser;
mod clip;
mod process;
mod program;
mod screen;
mod sound_server;

pub use browser::{Browser, BrowserOptions, Page, Recorded, Watched};
pub use clip::{Clip, TONE_HZ};
pub use process::{Ended, Process};
pub use program::{Call, Program, ROOM, Server, executable, free_port};
pub use screen::{Screen, Window};
pub use sound_server::SoundServer;

use std::time::Duration;

/// How long anything may take to connect on a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(45);
