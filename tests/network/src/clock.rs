//! The laboratory's clock.

use duet_media::{Clock, MediaTime};
use std::time::Duration;
use tokio::time::Instant;

/// Tokio's time, which stands still while anybody has something to do. Its wall clock starts at
/// 2020-01-01 00:00 UTC.
#[derive(Debug)]
pub struct VirtualClock(Instant);

impl VirtualClock {
    const UNIX_ORIGIN: Duration = Duration::from_secs(1_577_836_800);

    /// A clock that starts now.
    pub fn start() -> Self {
        VirtualClock(Instant::now())
    }

    /// Waits until it is `time`.
    pub async fn sleep_until(&self, time: MediaTime) {
        let since = time.saturating_since(MediaTime::ZERO);
        tokio::time::sleep_until(self.0 + since).await;
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> MediaTime {
        MediaTime::ZERO + self.0.elapsed()
    }

    fn unix_time(&self, time: MediaTime) -> Duration {
        Self::UNIX_ORIGIN + time.saturating_since(MediaTime::ZERO)
    }
}
