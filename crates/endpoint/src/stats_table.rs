//! `--stats`: what a person asks of a running call, once a second: a table that is drawn over the one before
//! at a terminal, and else a line for each stream.
//!
//! The rows are members of [webrtc-stats](https://www.w3.org/TR/webrtc-stats/) under their names, and the same
//! as on the page's panel (`web-client/src/stats.ts`). What nobody measured is a dash.

mod rows;

use crate::failure::Failure;
use crate::tell;
use rows::Stream;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use std::io::{IsTerminal, stdout};

/// Of a call's connections. Remembers one report of each: rates are of the time since.
pub(crate) struct StatsTable {
    terminal: bool,
    before: HashMap<String, Value>,
}

/// Of one connection.
pub(crate) struct Reported<'a> {
    /// The same in the next report, and nobody else's.
    pub(crate) id: String,
    /// What a person calls it.
    pub(crate) name: &'a str,
    pub(crate) report: Value,
}

impl StatsTable {
    /// For standard output, whatever it is.
    pub(crate) fn new() -> Self {
        StatsTable {
            terminal: stdout().is_terminal(),
            before: HashMap::new(),
        }
    }

    /// Shows how things are now. Connections of which there is nothing any more are forgotten.
    pub(crate) fn show(&mut self, reports: Vec<Reported<'_>>) -> Result<(), Failure> {
        let mut text = String::new();
        for Reported { id, name, report } in &reports {
            let before = self.before.get(id);
            text += &match self.terminal {
                true => table(name, report, before),
                false => lines(name, report, before),
            };
        }
        self.before = reports
            .into_iter()
            .map(|reported| (reported.id, reported.report))
            .collect();
        if text.is_empty() {
            return Ok(());
        }
        match self.terminal {
            true => tell::redraw(&text),
            false => tell::print(text.trim_end()),
        }
    }
}

/// One connection as a table: a column for each stream.
fn table(name: &str, report: &Value, before: Option<&Value>) -> String {
    let streams = rows::streams(report);
    let titles = streams.iter().map(|stream| stream.title());
    let mut rows: Vec<Vec<String>> = vec![[name.to_owned()].into_iter().chain(titles).collect()];
    let views: Vec<_> = streams.iter().map(|one| one.of(report, before)).collect();
    rows.extend(rows::stream_rows(&views).map(|(member, cells)| {
        let cells = cells.into_iter();
        let cells = cells.map(|cell| cell.unwrap_or_else(|| "–".into()));
        [member.to_owned()].into_iter().chain(cells).collect()
    }));
    let connection = rows::connection_rows(report);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let mut widths: Vec<usize> = (0..=streams.len()).filter_map(width).collect();
    let longest = connection.iter().map(|(member, _)| member.len()).max();
    widths[0] = widths[0].max(longest.unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    for (member, value) in connection {
        let value = value.unwrap_or_else(|| "–".into());
        let _ = writeln!(text, "{member:<width$}  {value}", width = widths[0]);
    }
    text
}

/// One connection as a line for itself and one for each stream that there is: `"name" stream member=value …`.
fn lines(name: &str, report: &Value, before: Option<&Value>) -> String {
    let line = |what: &str, members: Vec<(&str, Option<String>)>| {
        let told = members.into_iter().filter_map(|(member, value)| {
            // Values are one word each.
            let value = value?.replace(' ', "");
            Some(format!(" {member}={value}"))
        });
        let told: String = told.collect();
        match told.is_empty() {
            true => String::new(),
            false => format!("{name:?} {what}{told}\n"),
        }
    };
    let mut text = line("connection", rows::connection_rows(report).to_vec());
    for stream in rows::streams(report) {
        let alone = [stream.of(report, before)];
        let cells =
            rows::stream_rows(&alone).map(|(member, mut cells)| (member, cells.pop().flatten()));
        text += &line(&stream.title().replace(' ', "-"), cells.collect());
    }
    text
}

impl Stream<'_> {
    fn title(self) -> String {
        let title = match (self.sent, self.video) {
            (true, true) => "video out",
            (true, false) => "audio out",
            (false, true) => "video in",
            (false, false) => "audio in",
        };
        match self.rid {
            Some(rid) => format!("{title} {rid}"),
            None => title.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
