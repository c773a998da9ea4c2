//! Stands in for the crate `web-time`, through which the `neteq` crate reads the clock: a thread's time is
//! what [`set`] last said. So its runs take as long as the computing does, and can be repeated.

use std::cell::Cell;

pub use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// It is now so long after the beginning, on this thread.
pub fn set(now: Duration) {
    NOW.set(now);
}

/// What [`std::time::Instant`] is, as far as `neteq` needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// This thread's time.
    pub fn now() -> Self {
        Instant(NOW.get())
    }

    /// How long it was from then to `self`; zero if it was not before.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// So much later.
    pub fn checked_add(&self, later: Duration) -> Option<Instant> {
        self.0.checked_add(later).map(Instant)
    }

    /// How long it is since.
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }
}
