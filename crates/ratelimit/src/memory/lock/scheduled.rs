//! The locks of `lock.rs`, or such as a model checker schedules, where a test asks for them.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

thread_local! {
    static SCHEDULED: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread makes locks that are scheduled.
struct Scheduled;

impl Scheduled {
    fn begin() -> Self {
        SCHEDULED.set(true);
        Self
    }
}

impl Drop for Scheduled {
    fn drop(&mut self) {
        SCHEDULED.set(false);
    }
}

/// Runs a test body under all schedules there are of its threads, which are `shuttle`'s. Locks that it makes are scheduled too.
pub(super) fn under_every_schedule(body: impl Fn() + Send + Sync + 'static) {
    let _scheduled = Scheduled::begin();
    shuttle::check_dfs(body, None);
}

/// Runs it under so many schedules, chosen at random.
pub(super) fn under_random_schedules(count: usize, body: impl Fn() + Send + Sync + 'static) {
    let _scheduled = Scheduled::begin();
    shuttle::check_random(body, count);
}

#[derive(Debug)]
pub(super) enum Lock<T> {
    Real(std::sync::Mutex<T>),
    Scheduled(shuttle::sync::Mutex<T>),
}

#[derive(Debug)]
pub(super) enum Guard<'a, T> {
    Real(std::sync::MutexGuard<'a, T>),
    Scheduled(shuttle::sync::MutexGuard<'a, T>),
}

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Self {
        if SCHEDULED.get() {
            Self::Scheduled(shuttle::sync::Mutex::new(value))
        } else {
            Self::Real(std::sync::Mutex::new(value))
        }
    }

    pub(super) fn lock(&self) -> Guard<'_, T> {
        match self {
            Self::Real(mutex) => Guard::Real(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Scheduled(mutex) => Guard::Scheduled(mutex.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::Real(guard) => guard,
            Self::Scheduled(guard) => guard,
        }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Self::Real(guard) => guard,
            Self::Scheduled(guard) => guard,
        }
    }
}
