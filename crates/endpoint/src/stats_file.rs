//! `--stats-file FILE`: JSON lines, one for each connection and second.

use crate::failure::Failure;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{LineWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file of statistics.
pub(crate) struct StatsFile {
    path: PathBuf,
    file: LineWriter<File>,
}

impl StatsFile {
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::usage(format_args!(
                "--stats-file {}: expected a file that can be written: {error}",
                path.display()
            ))
        })?;
        Ok(StatsFile {
            path: path.to_owned(),
            file: LineWriter::new(file),
        })
    }

    /// Writes the statistics of one connection as a line.
    pub(crate) fn write(
        &mut self,
        unix: Duration,
        peer: &str,
        report: &Value,
    ) -> Result<(), Failure> {
        let line = json!({
            "timestamp": unix.as_secs_f64() * 1_000.0,
            "peer": peer,
            "stats": report,
        });
        writeln!(self.file, "{line}").map_err(|error| {
            Failure::failed(format_args!(
                "cannot write {}: {error}",
                self.path.display()
            ))
        })
    }
}
