//! The arithmetic of limits: pure functions `(state, now, cost) -> (state, standing)`, in whole microseconds and without floats.
//!
//! Eight algorithms come down to four kernels, and a store has to know only those:
//!
//! | kernel | keeps | algorithms |
//! |---|---|---|
//! | [`Level`] | what is used, and drains steadily | [`token_bucket`](Limit::token_bucket), [`gcra`](Limit::gcra), [`leaky_bucket`](Limit::leaky_bucket), [`leaky_queue`](Limit::leaky_queue) |
//! | [`FixedWindow`] | what this window has used | [`fixed_window`](Limit::fixed_window) |
//! | [`SlidingWindow`] | what this window and the one before have used | [`sliding_window`](Limit::sliding_window) |
//! | [`EntryLimit`] | every charge, until it ends | [`sliding_log`](Limit::sliding_log), [`concurrency`](Limit::concurrency) |
//!
//! [`guide`] tells which to take. Every store computes exactly this, in whatever language it must; the conformance suite holds it to
//! that.

mod concurrency;
mod entries;
mod fixed_window;
mod frame;
mod gcra;
pub mod guide;
mod leaky_bucket;
mod level;
mod sliding_log;
mod sliding_window;
mod token_bucket;

use std::time::Duration;

use stanchion_core::Timestamp;

pub use entries::{Entries, Entry, EntryLimit, InUse};
pub use fixed_window::FixedWindow;
pub use frame::{Edges, Frame};
pub use level::Level;
pub use sliding_window::SlidingWindow;

/// The state of one counter between two decisions. What the numbers mean depends on the kernel, and only on it: a changed limit reads
/// the same state, so usage stays what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Level: the latest time that was counted in. Windows: the end of the window that was counted last.
    pub at: Timestamp,
    /// Level: what was used then, in millionths. Fixed window: used units. Sliding window: two [cells](SlidingWindow::cells) of 32 bits.
    pub used: u64,
}

/// How a counter stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the charge fitted.
    pub fits: bool,
    /// How much is left at once, in whole units.
    pub remaining: u64,
    /// How long until nothing is used any more.
    pub reset_after: Duration,
    /// How long until a charge that did not fit would; exact to the microsecond, never too early. `None` when it fitted, and when
    /// its cost is more than the limit will ever give at once.
    pub retry_after: Option<Duration>,
    /// How long a charge that fitted has to wait before it goes on: its turn in a queue, or what a throttle asks for. Usually zero.
    pub delay: Duration,
}

/// What a counter allows: a kernel with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// See [`Level`].
    Level(Level),
    /// See [`FixedWindow`].
    FixedWindow(FixedWindow),
    /// See [`SlidingWindow`].
    SlidingWindow(SlidingWindow),
    /// See [`EntryLimit`]. Its state is [`Entries`], not a [`State`].
    Entries(EntryLimit),
}

/// Which arithmetic a limit needs of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kernel {
    /// [`Level`].
    Level,
    /// [`FixedWindow`].
    FixedWindow,
    /// [`SlidingWindow`].
    SlidingWindow,
    /// [`EntryLimit`].
    Entries,
}

impl Kernel {
    /// Every kernel.
    pub const ALL: &'static [Self] = &[Self::Level, Self::FixedWindow, Self::SlidingWindow, Self::Entries];
}

/// A correction of what was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjustment {
    /// Charges more, whether it fits or not.
    Add(u64),
    /// Gives back, as far as it has not come back by itself.
    Return(u64),
}

impl Limit {
    /// Returns which arithmetic it needs.
    #[must_use]
    pub const fn kernel(&self) -> Kernel {
        match self {
            Self::Level(_) => Kernel::Level,
            Self::FixedWindow(_) => Kernel::FixedWindow,
            Self::SlidingWindow(_) => Kernel::SlidingWindow,
            Self::Entries(_) => Kernel::Entries,
        }
    }

    /// Charges `cost` to a counter. `None` is a counter that was never used, or not for so long that it is as good as new.
    ///
    /// When the charge does not fit, the state that comes back has not been charged. A clock that goes backwards gives nothing back.
    ///
    /// Entries have no such state: [`EntryLimit::standing`] is their arithmetic, and here they are as if nothing were in use.
    #[must_use]
    #[inline]
    pub fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        match self {
            Self::Level(level) => level.charge(state, now, cost),
            Self::FixedWindow(window) => window.charge(state, now, cost),
            Self::SlidingWindow(window) => window.charge(state, now, cost),
            Self::Entries(limit) => (
                State { at: now, used: 0 },
                limit.standing(&Entries::new().in_use(limit, now, cost), now, cost),
            ),
        }
    }

    /// Corrects a counter that was charged at `charged`. What has come back by itself since then is not given back twice.
    ///
    /// A counter that was never used stays so unless something is added. What is given back is never more than the charge still takes;
    /// where callers share a counter it can be less, since nobody knows whose units have come back first. Entries have no such state: see [`Entries::settle`].
    #[must_use]
    pub fn settle(
        &self,
        state: Option<State>,
        now: Timestamp,
        charged: Timestamp,
        adjustment: Adjustment,
    ) -> Option<State> {
        if let Adjustment::Add(0) | Adjustment::Return(0) = adjustment {
            return state;
        }
        match self {
            Self::Level(level) => level.settle(state, now, charged, adjustment),
            Self::FixedWindow(window) => window.settle(state, now, charged, adjustment),
            Self::SlidingWindow(window) => window.settle(state, now, charged, adjustment),
            Self::Entries(_) => state,
        }
    }

    /// Returns the instant from which a state is the same as none; one that has passed when nothing is used. Where a window of the
    /// calendar follows that the caller has not looked up, it is one by which that surely is over.
    #[must_use]
    #[inline]
    pub fn fresh_at(&self, state: State) -> Timestamp {
        match self {
            Self::Level(level) => level.fresh_at(state),
            Self::FixedWindow(_) => FixedWindow::fresh_at(state),
            Self::SlidingWindow(window) => window.fresh_at(state),
            Self::Entries(_) => state.at,
        }
    }

    /// Returns the most that an unused counter gives at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        match self {
            Self::Level(level) => level.capacity(),
            Self::FixedWindow(window) => window.capacity(),
            Self::SlidingWindow(window) => window.capacity(),
            Self::Entries(limit) => limit.capacity(),
        }
    }

    /// Returns one of `parts` equal shares of the limit, rounded down, but never less than one unit.
    #[must_use]
    pub fn share(&self, parts: u32) -> Self {
        self.part(1, parts.max(1))
    }

    /// Returns `numerator / denominator` of the limit, rounded down, but never less than one unit. More than the whole is the whole.
    #[must_use]
    pub fn part(&self, numerator: u32, denominator: u32) -> Self {
        match self {
            Self::Level(level) => Self::Level(level.part(numerator, denominator)),
            Self::FixedWindow(window) => Self::FixedWindow(window.part(numerator, denominator)),
            Self::SlidingWindow(window) => Self::SlidingWindow(window.part(numerator, denominator)),
            Self::Entries(limit) => Self::Entries(limit.part(numerator, denominator)),
        }
    }
}

/// So much of a number, rounded down, at least one and at most the whole.
fn part_of(whole: u64, numerator: u32, denominator: u32) -> u64 {
    let product = u128::from(whole) * u128::from(numerator);
    let part = product.checked_div(u128::from(denominator)).unwrap_or(u128::MAX);
    u64::try_from(part).unwrap_or(u64::MAX).clamp(1, whole.max(1))
}

/// The time from `now` to an instant in microseconds, zero when it has passed.
fn until(micros: i64, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(micros.saturating_sub(now.micros())).unwrap_or(0))
}

#[cfg(test)]
mod tests;
