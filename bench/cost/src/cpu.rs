//! Processor time of threads. Linux only: elsewhere a thread cannot be asked by its name.

use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// What the calling thread has used.
pub(crate) fn of_this_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// What this process has used.
pub(crate) fn of_this_process() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// What the process's threads of that name have used so far; those that have ended are forgotten.
pub(crate) fn of_threads(name: &str) -> Duration {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let nanos = tasks.flatten().filter_map(|task| {
        // The system cuts names off after 15 letters.
        let comm = fs::read_to_string(task.path().join("comm")).ok()?;
        if !name.starts_with(comm.trim_end()) {
            return None;
        }
        let schedule = fs::read_to_string(task.path().join("schedstat")).ok()?;
        schedule.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// Microseconds for each of so many.
pub(crate) fn each(total: Duration, count: u64) -> f64 {
    total.as_secs_f64() * 1e6 / count.max(1) as f64
}
