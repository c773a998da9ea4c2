//! What the whole process allocates while nothing changes any more.

use crate::ALLOCATOR;
use stats_alloc::Region;

/// A stretch of time in which allocations are counted, on all threads.
pub(crate) struct Steady<'a>(Region<'a, std::alloc::System>);

/// What was allocated in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allocated {
    /// Fresh ones, and those that were made larger.
    pub(crate) times: usize,
    pub(crate) bytes: usize,
}

impl Steady<'_> {
    pub(crate) fn begin() -> Self {
        Steady(Region::new(ALLOCATOR))
    }

    pub(crate) fn end(&self) -> Allocated {
        let change = self.0.change();
        Allocated {
            times: change.allocations + change.reallocations,
            bytes: change.bytes_allocated,
        }
    }
}
