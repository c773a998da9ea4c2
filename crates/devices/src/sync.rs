//! Locks, atomics, threads, and waiting for one another, for what shares a device. With the feature `shuttle` a
//! scheduler that tries out how threads can interleave has hold of them; see
//! `media_devices/tests/interleaved.rs`.

#[cfg(not(feature = "shuttle"))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{sync::atomic, thread};

#[cfg(feature = "shuttle")]
pub(crate) use scheduled::Condvar;
#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{sync::atomic, thread};
#[cfg(feature = "shuttle")]
pub(crate) use shuttle_parking_lot::{Mutex, MutexGuard};

/// What the scheduler does not bring along.
#[cfg(feature = "shuttle")]
mod scheduled {
    use super::MutexGuard;
    use shuttle::rand::Rng;
    use std::sync::PoisonError;
    use std::time::Instant;

    /// `parking_lot`'s, without time: the scheduler decides whether a wait is one in which the time runs
    /// out. In any other a notification that is missed is found as a deadlock.
    #[derive(Debug, Default)]
    pub(crate) struct Condvar {
        notifications: shuttle::sync::Mutex<u64>,
        notified: shuttle::sync::Condvar,
    }

    pub(crate) struct WaitTimeoutResult(bool);

    impl WaitTimeoutResult {
        pub(crate) fn timed_out(&self) -> bool {
            self.0
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_all(&self) {
            *self.count() += 1;
            self.notified.notify_all();
        }

        pub(crate) fn wait_until<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            _deadline: Instant,
        ) -> WaitTimeoutResult {
            let times_out = shuttle::rand::thread_rng().gen_bool(0.5);
            let before = *self.count();
            MutexGuard::unlocked(guard, || {
                let mut count = self.count();
                while !times_out && *count == before {
                    let woken = self.notified.wait(count);
                    count = woken.unwrap_or_else(PoisonError::into_inner);
                }
            });
            WaitTimeoutResult(times_out)
        }

        fn count(&self) -> shuttle::sync::MutexGuard<'_, u64> {
            let locked = self.notifications.lock();
            locked.unwrap_or_else(PoisonError::into_inner)
        }
    }
}
