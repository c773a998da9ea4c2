//! Locks and atomics. With the feature `shuttle` a scheduler that tries out how threads can interleave has
//! hold of them; see `tests/shuttle.rs`.

#[cfg(not(feature = "shuttle"))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(feature = "shuttle"))]
pub(crate) use std::sync::atomic;

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::sync::atomic;
#[cfg(feature = "shuttle")]
pub(crate) use shuttle_parking_lot::Mutex;
