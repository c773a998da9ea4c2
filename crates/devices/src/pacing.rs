//! Waiting for a moment, unless somebody says stop.

use duet_media::{Clock, MediaTime};
use parking_lot::{Condvar, Mutex};

/// Tells a device's thread that its last track is gone.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Wakes whoever waits, and lets nobody wait again.
    pub(crate) fn set(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    /// For threads that wait for their device instead.
    #[cfg(feature = "hardware")]
    pub(crate) fn is_set(&self) -> bool {
        *self.stopped.lock()
    }

    /// Waits until `clock` reads `time`. False if it was stopped instead.
    pub(crate) fn sleep_until(&self, clock: &dyn Clock, time: MediaTime) -> bool {
        let mut stopped = self.stopped.lock();
        while !*stopped {
            let left = time.saturating_since(clock.now());
            if left.is_zero() {
                return true;
            }
            self.changed.wait_for(&mut stopped, left);
        }
        false
    }
}
