//! What the program tells the person, and the log. Both go to standard error: standard output belongs
//! to what a script reads.
//!
//! Nothing here ends the program because nobody listens: a call outlives the terminal that it was
//! started in.

use crate::failure::Failure;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing_subscriber::EnvFilter;

/// How many lines the drawing takes that is the last on the terminal; 0 if something was told since.
static DRAWN: AtomicUsize = AtomicUsize::new(0);

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
            self.warn(line);
        }
    }

    /// A line that takes the place of the one before, on a terminal.
    pub(crate) fn update(&self, line: impl fmt::Display) {
        if !self.quiet {
            DRAWN.store(0, Ordering::Relaxed);
            let _ = write!(std::io::stderr(), "\r{}  ", printable(&line));
        }
    }

    /// A line that is told even when quiet.
    pub(crate) fn warn(&self, line: impl fmt::Display) {
        DRAWN.store(0, Ordering::Relaxed);
        let _ = writeln!(std::io::stderr(), "{}", printable(&line));
    }
}

/// Writes text and a line's end to standard output.
pub(crate) fn print(text: impl fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever read has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| {
            Failure::failed(format_args!("cannot write to standard output: {error}"))
        }),
    }
}

/// Draws some lines on the terminal that is standard output, over those drawn before if nothing was told
/// since, else below it.
pub(crate) fn redraw(text: &str) -> Result<(), Failure> {
    let size = terminal_size::terminal_size();
    let (width, height) = size.map_or((80, 24), |(width, height)| (width.0, height.0));
    let lines = fitted(text, width.into(), height.into());
    let before = DRAWN.swap(lines.len(), Ordering::Relaxed);
    let up = match before {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    };
    print(format_args!("{up}{}", lines.join("\n")))
}

/// As much of some lines as a terminal shows: what wrapped or scrolled away could not be drawn over.
fn fitted(text: &str, width: usize, height: usize) -> Vec<String> {
    let lines = printable(&text);
    let lines = lines.lines().take(height.saturating_sub(1).max(1));
    lines
        .map(|line| line.chars().take(width).collect())
        .collect()
}

/// Names and sentences come from strangers as well: what they hold may not steer the terminal.
fn printable(line: &impl fmt::Display) -> String {
    let shown = |c: char| match c {
        '\n' => c,
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    line.to_string().chars().map(shown).collect()
}

/// Starts the log. What it holds by default is what a person can act on: the transport's own errors
/// after a close, which print whole packets, are left out. RUST_LOG overrides it.
pub(crate) fn start_log(quiet: bool) {
    let level = if quiet { "error" } else { "warn" };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},{}", duet_peer::LOG_FILTER)));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| {
            DRAWN.store(0, Ordering::Relaxed);
            std::io::stderr()
        })
        .without_time()
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_no_larger_than_the_terminal() {
        assert_eq!(fitted("äöü\nb\x1bc\nd\n", 2, 3), ["äö", "b\u{fffd}"]);
        assert_eq!(fitted("a", 9, 0), ["a"]);
    }

    #[test]
    fn what_a_stranger_says_does_not_steer_the_terminal() {
        assert_eq!(
            printable(&"Zo\u{eb} \u{1b}[2J\r\u{9b}31m"),
            "Zo\u{eb} \u{fffd}[2J\u{fffd}\u{fffd}31m"
        );
        assert_eq!(printable(&"two\nlines"), "two\nlines");
    }
}
