//! Objects by numbers: the same object, the same number.

use crate::door::Thrown;
use duet_media::Subscription;
use serde_json::Value;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects that the glue knows by their numbers, and the ear on those that have events.
pub(crate) struct Numbered<T>(Mutex<Vec<(T, Option<Subscription>)>>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered(Mutex::new(Vec::new()))
    }
}

impl<T: Clone + PartialEq> Numbered<T> {
    /// An object's number, perhaps a new one.
    pub(crate) fn number(&self, object: &T) -> usize {
        find_or_push(&mut self.objects(), object).0
    }

    /// An object's number; a new one is listened to before anything can happen to it unheard.
    pub(crate) fn meet(&self, object: &T, subscribe: impl FnOnce(usize) -> Subscription) -> usize {
        let mut objects = self.objects();
        let (number, new) = find_or_push(&mut objects, object);
        if new {
            objects[number].1 = Some(subscribe(number));
        }
        number
    }

    pub(crate) fn find(&self, number: &Value) -> Result<T, Thrown> {
        let objects = self.objects();
        let found = number.as_u64().and_then(|at| objects.get(at as usize));
        let found = found.ok_or_else(|| Thrown::type_error(format!("no object {number}")))?;
        Ok(found.0.clone())
    }

    pub(crate) fn clear(&self) {
        // What is let go may have something to tell.
        let gone = std::mem::take(&mut *self.objects());
        drop(gone);
    }

    fn objects(&self) -> MutexGuard<'_, Vec<(T, Option<Subscription>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is, and whether it is new there.
fn find_or_push<T: Clone + PartialEq>(
    objects: &mut Vec<(T, Option<Subscription>)>,
    object: &T,
) -> (usize, bool) {
    match objects.iter().position(|(known, _)| known == object) {
        Some(at) => (at, false),
        None => {
            objects.push((object.clone(), None));
            (objects.len() - 1, true)
        }
    }
}
