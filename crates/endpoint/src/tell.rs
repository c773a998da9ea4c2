//! What the program tells the person, and the log. Both go to standard error: standard output belongs
//! to what a script reads.

use std::fmt;
use tracing_subscriber::EnvFilter;

/// Tells a person how things go, unless asked to be quiet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tell {
    quiet: bool,
}

impl Tell {
    pub(crate) fn new(quiet: bool) -> Self {
        Tell { quiet }
    }

    /// A line of good or ordinary news.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// A line that takes the place of the one before, on a terminal.
    pub(crate) fn update(&self, line: impl fmt::Display) {
        if !self.quiet {
            eprint!("\r{line}  ");
        }
    }

    /// A line that is told even when quiet.
    pub(crate) fn warn(&self, line: impl fmt::Display) {
        eprintln!("{line}");
    }
}

/// Starts the log. What it holds by default is what a person can act on: the transport's own errors
/// after a close, which print whole packets, are left out. RUST_LOG overrides it.
pub(crate) fn start_log(quiet: bool) {
    let level = if quiet { "error" } else { "warn" };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},{}", duet_peer::LOG_FILTER)));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
}
