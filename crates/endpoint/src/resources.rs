//! What the process uses.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::{Duration, Instant};

/// Measures the process's use of the processor from its making on.
pub(crate) struct CpuMeter {
    started: Instant,
    used: Duration,
}

impl CpuMeter {
    pub(crate) fn start() -> Self {
        CpuMeter {
            started: Instant::now(),
            used: used_by(UsageWho::RUSAGE_SELF),
        }
    }

    /// Cores in use since the start: user and system time over wall time.
    pub(crate) fn cores(&self) -> f64 {
        let used = used_by(UsageWho::RUSAGE_SELF).saturating_sub(self.used);
        used.as_secs_f64() / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

/// User and system time of the calling thread so far.
#[cfg(target_os = "linux")]
pub(crate) fn thread_time() -> Duration {
    used_by(UsageWho::RUSAGE_THREAD)
}

/// Elsewhere a thread's own time is not to be had: the process's stands in, which is the same while
/// nothing else runs.
#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_time() -> Duration {
    used_by(UsageWho::RUSAGE_SELF)
}

/// The process's greatest resident size so far, in MB (10^6 bytes).
pub(crate) fn peak_rss_mb() -> f64 {
    let bytes_per_unit = if cfg!(target_os = "macos") { 1 } else { 1_024 };
    let units = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.max_rss());
    units as f64 * f64::from(bytes_per_unit) / 1e6
}

fn used_by(who: UsageWho) -> Duration {
    let total = |usage: Usage| usage.user_time() + usage.system_time();
    let micros = getrusage(who).map_or(0, |usage| total(usage).num_microseconds());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen() {
        let meter = CpuMeter::start();
        let before = thread_time();
        let mut sum = 0u64;
        while thread_time() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        assert!(meter.cores() > 0.0);
        assert!(peak_rss_mb() > 0.5);
    }
}
