//! Turns of the driver's loop that nothing else would bring about.
//!
//! In each turn the driver first writes what waits for relays, then what the agent says, and reads what came last.
//! So what the agent says through a relay waits for the turn after, and its answer to what a relay passed on
//! for the second one after: up to a second each, if nothing else happens. While relays are in use each wait is
//! therefore preceded by as many turns as it takes until all has left.

use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

/// Until what the agent said has left.
const AFTER_WORDS: u8 = 1;
/// Until what follows from an arrival has left.
const AFTER_ARRIVAL: u8 = 2;
/// Waits in a row that nothing came through a relay before. Checks and their answers come every second.
const IDLE: u16 = 4_096;

/// Of one connection's driver.
#[derive(Debug)]
pub(crate) struct Turns {
    owed: AtomicU8,
    /// Waits since something came.
    idle: AtomicU16,
}

impl Default for Turns {
    fn default() -> Self {
        Turns {
            owed: AtomicU8::new(0),
            idle: AtomicU16::new(IDLE),
        }
    }
}

impl Turns {
    /// Something came from a relay.
    pub(super) fn on_arrival(&self) {
        self.idle.store(0, Ordering::Relaxed);
        self.owed.store(AFTER_ARRIVAL, Ordering::Relaxed);
    }

    /// Whether the driver, which would wait, has to take another turn first.
    pub(crate) fn take(&self) -> bool {
        let owed = self.owed.load(Ordering::Relaxed);
        if owed > 0 {
            self.owed.store(owed - 1, Ordering::Relaxed);
            return true;
        }
        let idle = self.idle.load(Ordering::Relaxed);
        if idle < IDLE {
            self.idle.store(idle + 1, Ordering::Relaxed);
            // Whatever ends the wait may make the agent speak.
            self.owed.store(AFTER_WORDS, Ordering::Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_worth_two_turns_and_each_wait_after_it_one() {
        let turns = Turns::default();
        assert!(!turns.take() && !turns.take());
        turns.on_arrival();
        assert_eq!(
            [(); 7].map(|()| turns.take()),
            [true, true, false, true, false, true, false]
        );
        // It comes to an end.
        assert!((0..10_000).any(|_| !turns.take() && !turns.take()));
    }
}
