//! The path's bandwidth, as congestion control sees it.
//!
//! The substrate's estimator does the reckoning; this reins it in by what was seen to arrive, and
//! publishes it.

use parking_lot::Mutex;
use rtc::interceptor::{BandwidthEstimator, EstimatorStats, Gcc, PacketReport};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Acknowledged bytes are summed over this long.
const WINDOW: Duration = Duration::from_millis(500);
/// An estimate may be so much above what arrived: the room to grow in.
const HEADROOM: f64 = 1.5;
/// Below this the acknowledged rate says nothing: hardly anything is sent.
const ALWAYS: f64 = 150_000.0;
/// No less is ever aimed at: sound, and a picture that can be told.
const MIN_BITRATE: f64 = 60_000.0;

/// What the estimator knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    /// Bits a second.
    pub(crate) target: f64,
    /// Bits a second that the other side got lately.
    pub(crate) acknowledged: f64,
    /// Share of packets lost, 0 to 1.
    pub(crate) loss: f64,
    /// Whether the other side reports arrivals at all.
    pub(crate) reported: bool,
    /// What the other side says that it can take (REMB), in bits a second.
    pub(crate) told: Option<f64>,
}

/// Where the estimate is read.
pub(crate) type SharedEstimate = Arc<Mutex<Estimate>>;

/// GCC, capped.
pub(crate) struct CappedEstimator {
    gcc: Gcc,
    start: f64,
    max: f64,
    arrived: VecDeque<(Instant, usize)>,
    arrived_bytes: usize,
    first: Option<Instant>,
    shared: SharedEstimate,
}

impl CappedEstimator {
    pub(crate) fn new(start: f64, max: f64) -> Self {
        let max = max.max(MIN_BITRATE);
        let start = start.clamp(MIN_BITRATE, max);
        CappedEstimator {
            gcc: Gcc::new(start, MIN_BITRATE, max),
            start,
            max,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            first: None,
            shared: Arc::new(Mutex::new(Estimate {
                target: start,
                ..Default::default()
            })),
        }
    }

    pub(crate) fn shared(&self) -> SharedEstimate {
        self.shared.clone()
    }
}

impl BandwidthEstimator for CappedEstimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        if reports.is_empty() {
            return;
        }
        self.gcc.on_reports(now, reports);
        let bytes = reports.iter().filter(|r| r.arrived).map(|r| r.size).sum();
        self.arrived.push_back((now, bytes));
        self.arrived_bytes += bytes;
        while let Some((at, bytes)) = self.arrived.front().copied() {
            if now.saturating_duration_since(at) <= WINDOW {
                break;
            }
            self.arrived.pop_front();
            self.arrived_bytes -= bytes;
        }
        let first = *self.first.get_or_insert(now);
        let acknowledged = self.arrived_bytes as f64 * 8.0 / WINDOW.as_secs_f64();
        let mut target = self.gcc.target_bitrate();
        // Before a window is full the rate would read too low.
        if now.saturating_duration_since(first) >= WINDOW {
            let cap = (acknowledged * HEADROOM).max(ALWAYS);
            // A path that never was tested further keeps what it was given to start with.
            target = target.min(cap.max(self.start.min(self.gcc.target_bitrate())));
        }
        let lost = reports.iter().filter(|r| !r.arrived).count() as f64 / reports.len() as f64;
        let mut shared = self.shared.lock();
        shared.target = target.clamp(MIN_BITRATE, self.max);
        shared.acknowledged = acknowledged;
        shared.reported = true;
        shared.loss += (lost - shared.loss) * 0.2;
    }

    fn target_bitrate(&self) -> f64 {
        self.shared.lock().target
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.gcc.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.gcc.poll_timeout()
    }

    fn stats(&self) -> EstimatorStats {
        self.gcc.stats()
    }
}
