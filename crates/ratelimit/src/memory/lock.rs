use std::sync::{Mutex, MutexGuard, PoisonError};

/// What only one thread holds. Tests have `lock/scheduled.rs` in its place.
#[derive(Debug, Default)]
pub(super) struct Lock<T>(Mutex<T>);

/// Holds a [`Lock`] until it is dropped.
pub(super) type Guard<'a, T> = MutexGuard<'a, T>;

impl<T> Lock<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
