//! What the server counts, in the text format that
//! [Prometheus](https://prometheus.io/docs/instrumenting/exposition_formats/) reads.
//!
//! What this module deliberately is not: a registry. The server has a handful of numbers, each of
//! them a field, and nothing in them names a person, a room or an address.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::message::ErrorCode;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Every number that grows while the server runs.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Counter,
    pub(crate) messages: Counter,
    pub(crate) bytes: Counter,
    /// Refused messages, by error code.
    pub(crate) refusals: [Counter; ErrorCode::ALL.len()],
    /// Requests for a socket that were refused before the upgrade.
    pub(crate) foreign_origins: Counter,
    pub(crate) turned_away_by_address: Counter,
    pub(crate) turned_away_full: Counter,
    /// Sockets that the server closed.
    pub(crate) missed_join: Counter,
    pub(crate) missed_heartbeat: Counter,
    pub(crate) not_reading: Counter,
    pub(crate) misconduct: Counter,
    pub(crate) replaced: Counter,
}

impl Metrics {
    pub(crate) fn refused(&self, code: ErrorCode) {
        let index = ErrorCode::ALL.iter().position(|known| *known == code);
        if let Some(counter) = index.and_then(|index| self.refusals.get(index)) {
            counter.add(1);
        }
    }

    /// The page behind `/metrics`.
    pub(crate) fn render(&self, open: usize, rooms: usize, members: usize) -> String {
        let mut page = String::new();
        let mut family = |name: &str, kind: &str, help: &str, values: &[(&str, &str, u64)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (label, text, value) in values {
                let _ = match *label {
                    "" => writeln!(page, "{name} {value}"),
                    label => writeln!(page, "{name}{{{label}=\"{text}\"}} {value}"),
                };
            }
        };
        let refusals: Vec<_> = self
            .refusals
            .iter()
            .zip(ErrorCode::ALL)
            .map(|(counter, code)| ("code", code.as_str(), counter.get()))
            .collect();
        family(
            "duet_signaling_sockets",
            "gauge",
            "Sockets open now.",
            &[("", "", open as u64)],
        );
        family(
            "duet_signaling_rooms",
            "gauge",
            "Rooms with somebody in them.",
            &[("", "", rooms as u64)],
        );
        family(
            "duet_signaling_members",
            "gauge",
            "Seats taken, in all rooms.",
            &[("", "", members as u64)],
        );
        family(
            "duet_signaling_sockets_total",
            "counter",
            "Sockets opened.",
            &[("", "", self.connections.get())],
        );
        family(
            "duet_signaling_messages_total",
            "counter",
            "Frames received.",
            &[("", "", self.messages.get())],
        );
        family(
            "duet_signaling_received_bytes_total",
            "counter",
            "Bytes in them.",
            &[("", "", self.bytes.get())],
        );
        family(
            "duet_signaling_refusals_total",
            "counter",
            "Messages refused.",
            &refusals,
        );
        family(
            "duet_signaling_turned_away_total",
            "counter",
            "Sockets refused before the upgrade.",
            &[
                ("reason", "origin", self.foreign_origins.get()),
                ("reason", "address", self.turned_away_by_address.get()),
                ("reason", "full", self.turned_away_full.get()),
            ],
        );
        family(
            "duet_signaling_closed_total",
            "counter",
            "Sockets that the server closed.",
            &[
                ("reason", "no-join", self.missed_join.get()),
                ("reason", "no-heartbeat", self.missed_heartbeat.get()),
                ("reason", "not-reading", self.not_reading.get()),
                ("reason", "misconduct", self.misconduct.get()),
                ("reason", "replaced", self.replaced.get()),
            ],
        );
        page
    }
}
