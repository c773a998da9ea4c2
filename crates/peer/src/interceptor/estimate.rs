//! The path's bandwidth: the session's congestion control, fed by the substrate's history of packets,
//! and published.

use duet_media::MediaTime;
use duet_session::{CongestionConfig, CongestionController, PacketResult};
use parking_lot::Mutex;
use rtc::interceptor::{BandwidthEstimator, EstimatorStats, PacketReport};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No less is ever aimed at: sound, and a picture that can be told.
const MIN_BITRATE: f64 = 60_000.0;

/// What congestion control knows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Estimate {
    /// Bits a second.
    pub(crate) target: f64,
    /// Bits a second that the other side got lately.
    pub(crate) acknowledged: f64,
    /// Share of packets lost, 0 to 1.
    pub(crate) loss: f64,
    /// What packets may leave at, in bits a second.
    pub(crate) pace: f64,
    /// How often what was under way became of no use.
    pub(crate) overloads: u64,
    /// Whether the other side reports arrivals at all.
    pub(crate) reported: bool,
    /// What the other side says that it can take (REMB), in bits a second.
    pub(crate) told: Option<f64>,
}

/// Where the estimate is read.
pub(crate) type SharedEstimate = Arc<Mutex<Estimate>>;

/// Congestion control as the substrate's chain drives it.
pub(crate) struct Estimator {
    controller: CongestionController,
    /// The controller's time begins with the first report, an hour in: what it reports on left before.
    origin: Option<Instant>,
    packets: Vec<PacketResult>,
    shared: SharedEstimate,
}

const BEFORE: Duration = Duration::from_secs(3_600);

impl Estimator {
    pub(crate) fn new(start: f64, max: f64) -> Self {
        let controller = CongestionController::new(CongestionConfig {
            start,
            min: MIN_BITRATE,
            max,
        });
        Estimator {
            shared: Arc::new(Mutex::new(Estimate {
                target: controller.target(),
                pace: controller.pace(),
                ..Default::default()
            })),
            controller,
            origin: None,
            packets: Vec::new(),
        }
    }

    pub(crate) fn shared(&self) -> SharedEstimate {
        self.shared.clone()
    }

    fn publish(&self) {
        let mut shared = self.shared.lock();
        shared.target = self.controller.target();
        shared.acknowledged = self.controller.acknowledged().unwrap_or(0.0);
        shared.loss = self.controller.loss();
        shared.pace = self.controller.pace();
        shared.overloads = self.controller.overloads();
    }
}

/// `instant` by a clock that showed [`BEFORE`] at `origin`.
fn time(origin: Instant, instant: Instant) -> MediaTime {
    match instant.checked_duration_since(origin) {
        Some(after) => MediaTime::ZERO + BEFORE + after,
        None => {
            let before = origin.saturating_duration_since(instant);
            MediaTime::ZERO + BEFORE.saturating_sub(before)
        }
    }
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        if reports.is_empty() {
            return;
        }
        let origin = *self.origin.get_or_insert(now);
        self.packets.clear();
        self.packets.extend(reports.iter().map(|report| {
            let arrival = report.arrival.filter(|_| report.arrived);
            PacketResult {
                departure: time(origin, report.departure),
                arrival: arrival.map(|arrival| MediaTime::ZERO + arrival),
                bytes: report.size,
            }
        }));
        self.controller.on_report(&self.packets, time(origin, now));
        self.shared.lock().reported = true;
        self.publish();
    }

    fn target_bitrate(&self) -> f64 {
        self.controller.target()
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(origin) = self.origin {
            self.controller.on_timeout(time(origin, now));
            self.publish();
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let due = self.controller.next_timeout()?;
        let after = due.saturating_since(MediaTime::ZERO + BEFORE);
        Some(self.origin? + after)
    }

    fn stats(&self) -> EstimatorStats {
        EstimatorStats::default()
    }
}
