//! Buffers that are used again once their last reader is gone.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// Hands out buffers of type `T` and takes each back when nobody but the pool holds it.
///
/// Capacity: the number of buffers it keeps. When all are in use a fresh one is allocated, counted
/// by [`Pool::misses`], and kept if there is room. Nothing is lost.
#[derive(Debug)]
pub struct Pool<T> {
    kept: Mutex<Vec<Arc<T>>>,
    capacity: usize,
    misses: AtomicU64,
}

impl<T: Default> Pool<T> {
    /// An empty pool that will keep up to `capacity` buffers.
    pub fn new(capacity: usize) -> Self {
        Pool {
            kept: Mutex::new(Vec::with_capacity(capacity)),
            capacity,
            misses: AtomicU64::new(0),
        }
    }

    /// A buffer that `fill` has written. It holds whatever its last user left in it until then.
    pub fn fill(&self, fill: impl FnOnce(&mut T)) -> Arc<T> {
        let filled: Result<_, std::convert::Infallible> = self.try_fill(|buffer| {
            fill(buffer);
            Ok(())
        });
        match filled {
            Ok(buffer) => buffer,
            Err(never) => match never {},
        }
    }

    /// Like [`Pool::fill`]; on an error the buffer goes back unused.
    pub fn try_fill<E>(&self, fill: impl FnOnce(&mut T) -> Result<(), E>) -> Result<Arc<T>, E> {
        let mut buffer = self.take();
        let filled = match Arc::get_mut(&mut buffer) {
            Some(unique) => fill(unique),
            // `take` returns only buffers that nobody else holds; should that ever break, a fresh
            // buffer keeps the caller right.
            None => {
                let mut fresh = T::default();
                let filled = fill(&mut fresh);
                buffer = Arc::new(fresh);
                filled
            }
        };
        let mut kept = self.kept.lock();
        if kept.len() < self.capacity {
            kept.push(buffer.clone());
        }
        drop(kept);
        filled.map(|()| buffer)
    }

    /// How often no kept buffer was free.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    fn take(&self) -> Arc<T> {
        let mut kept = self.kept.lock();
        // A count of one cannot rise behind our back: the only holder is the pool, and it is locked.
        match kept.iter().position(|b| Arc::strong_count(b) == 1) {
            Some(free) => kept.swap_remove(free),
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                Arc::new(T::default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_returns_when_its_last_reader_goes() {
        let pool = Pool::<Vec<u8>>::new(4);
        let first = pool.fill(|b| b.resize(100, 1));
        let address = first.as_ptr();
        let second = pool.fill(|b| b.resize(100, 2));
        assert_ne!(address, second.as_ptr(), "the first is still read");
        drop(first);
        let third = pool.fill(|b| b[0] = 3);
        assert_eq!(address, third.as_ptr());
        assert_eq!(pool.misses(), 2);
    }

    #[test]
    fn it_keeps_no_more_than_its_capacity() {
        let pool = Pool::<Vec<u8>>::new(2);
        let held: Vec<_> = (0..10).map(|_| pool.fill(|_| ())).collect();
        drop(held);
        let held: Vec<_> = (0..10).map(|_| pool.fill(|_| ())).collect();
        assert_eq!(held.len(), 10);
        assert_eq!(pool.misses(), 18);
    }
}
