//! The laboratory's experiments, by idea: what a path loses, what it carries, who shares it, what becomes of a
//! call when there is none.

mod capacity;
mod losses;
mod measured;
mod outages;
mod scene;
mod sharing;
mod spacings;
mod tcp;

pub(crate) use measured::{Measured, Row, summary};

use duet_network::{Jitter, LinkConfig, run};
use scene::Scene;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// [RFC 8867, section 5](https://www.rfc-editor.org/rfc/rfc8867#section-5): what waits at a bottleneck.
const QUEUE_MS: u64 = 300;

/// One of them.
pub(crate) struct Experiment {
    pub(crate) name: &'static str,
    /// What a reader is told that it is.
    pub(crate) title: &'static str,
    /// The section of RFC 8867 that it follows.
    pub(crate) section: Option<&'static str>,
    pub(crate) run: fn(Setting) -> Measured,
}

/// What differs from run to run.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    /// Decides what is lost, and how long each datagram takes.
    pub(crate) seed: u64,
    /// On every link, at most.
    pub(crate) jitter: Jitter,
}

impl Setting {
    /// A link that is never full.
    fn link(&self, delay_ms: u64) -> LinkConfig {
        LinkConfig {
            delay: Duration::from_millis(delay_ms),
            jitter: self.jitter,
            ..Default::default()
        }
    }

    /// A bottleneck.
    fn limited(&self, kbps: u64, delay_ms: u64) -> LinkConfig {
        LinkConfig {
            rate_bps: Some(kbps * 1_000),
            queue_bytes: usize::try_from(kbps * QUEUE_MS / 8).unwrap_or(usize::MAX),
            ..self.link(delay_ms)
        }
    }
}

/// All of them.
pub(crate) const ALL: &[Experiment] = &[
    Experiment {
        name: "variable-capacity",
        title: "One call on a link that changes",
        section: Some("5.1"),
        run: |setting| run(capacity::variable(setting)),
    },
    Experiment {
        name: "variable-multiple",
        title: "Two calls on a link that changes",
        section: Some("5.2"),
        run: |setting| run(capacity::variable_multiple(setting)),
    },
    Experiment {
        name: "feedback",
        title: "Media both ways, and the way back becomes narrow too",
        section: Some("5.3"),
        run: |setting| run(capacity::feedback(setting)),
    },
    Experiment {
        name: "fairness",
        title: "Three calls that begin one after the other",
        section: Some("5.4"),
        run: |setting| run(sharing::fairness(setting)),
    },
    Experiment {
        name: "fairness-spacings",
        title: "Three calls that begin 15 to 30 s apart",
        section: Some("5.4"),
        run: |setting| run(spacings::fairness_by_spacing(setting)),
    },
    Experiment {
        name: "fairness-rtt",
        title: "Five calls of different round trips",
        section: Some("5.5"),
        run: |setting| run(sharing::fairness_by_round_trip(setting)),
    },
    Experiment {
        name: "tcp-long",
        title: "A call beside a long transfer by CUBIC",
        section: Some("5.6"),
        run: |setting| run(tcp::long(setting)),
    },
    Experiment {
        name: "tcp-short",
        title: "Two calls beside ten sources of short transfers",
        section: Some("5.7"),
        run: |setting| run(tcp::short(setting)),
    },
    Experiment {
        name: "pause",
        title: "Three calls, one of which pauses",
        section: Some("5.8"),
        run: |setting| run(sharing::pause(setting)),
    },
    Experiment {
        name: "start-5m",
        title: "The start on 5 Mbit/s, 1280x720",
        section: None,
        run: |setting| run(capacity::start(setting)),
    },
    Experiment {
        name: "clean",
        title: "Nothing is lost",
        section: None,
        run: |setting| run(losses::steady(setting, 0.0, 4_000_000)),
    },
    Experiment {
        name: "loss-5",
        title: "5 % are lost, both ways",
        section: None,
        run: |setting| run(losses::steady(setting, 0.05, 4_000_000)),
    },
    Experiment {
        name: "loss-1-800k",
        title: "1 % are lost, both ways, up to 800 kbit/s",
        section: None,
        run: |setting| run(losses::steady(setting, 0.01, 800_000)),
    },
    Experiment {
        name: "loss-5-800k",
        title: "5 % are lost, both ways, up to 800 kbit/s",
        section: None,
        run: |setting| run(losses::steady(setting, 0.05, 800_000)),
    },
    Experiment {
        name: "jitter-30",
        title: "Each datagram takes up to 30 ms more, up to 800 kbit/s",
        section: None,
        run: |setting| {
            let jitter = Jitter::Uniform(Duration::from_millis(30));
            run(losses::steady(Setting { jitter, ..setting }, 0.0, 800_000))
        },
    },
    Experiment {
        name: "loss-40",
        title: "40 % are lost for 5 s, both ways",
        section: None,
        run: |setting| run(losses::storm(setting, 4_000_000)),
    },
    Experiment {
        name: "loss-40-800k",
        title: "40 % are lost for 5 s, both ways, up to 800 kbit/s",
        section: None,
        run: |setting| run(losses::storm(setting, 800_000)),
    },
    Experiment {
        name: "outage-10",
        title: "No way for 10 s",
        section: None,
        run: |setting| run(outages::outage(setting, 10)),
    },
    Experiment {
        name: "outage-60",
        title: "No way for 60 s",
        section: None,
        run: |setting| run(outages::outage(setting, 60)),
    },
    Experiment {
        name: "change-of-address",
        title: "Another address, the old one gone at once",
        section: None,
        run: |setting| run(outages::change_of_address(setting)),
    },
];
