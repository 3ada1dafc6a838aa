//! The arithmetic of limits: pure functions `(state, now, cost) -> (state, standing)`, in whole microseconds and without floats.
//!
//! Every store computes exactly this, in whatever language it must; the conformance suite holds it to that.

mod fixed_window;
mod token_bucket;

use std::time::Duration;

use stanchion_core::Timestamp;

pub use fixed_window::{FixedWindow, Frame};
pub use token_bucket::TokenBucket;

/// The state of one counter between two decisions. What the numbers mean depends on the algorithm, and only on it: a changed limit
/// reads the same state, so usage stays what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Token bucket: when `used` was true. Fixed window: the end of the window that `used` belongs to.
    pub at: Timestamp,
    /// Token bucket: used tokens, in millionths. Fixed window: used units.
    pub used: u64,
}

/// How a counter stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the charge fitted.
    pub fits: bool,
    /// How much is left, in whole units.
    pub remaining: u64,
    /// How long until nothing is used any more.
    pub reset_after: Duration,
    /// How long until a charge that did not fit would; exact to the microsecond, never too early. `None` when it fitted, and when
    /// its cost is more than the limit will ever give at once.
    pub retry_after: Option<Duration>,
}

/// What a counter allows: an algorithm with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// See [`TokenBucket`].
    TokenBucket(TokenBucket),
    /// See [`FixedWindow`].
    FixedWindow(FixedWindow),
}

impl Limit {
    /// Charges `cost` to a counter. `None` is a counter that was never used, or not for so long that it is as good as new.
    ///
    /// When the charge does not fit, the state that comes back has not been charged. A clock that goes backwards gives nothing back.
    #[must_use]
    pub fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        match self {
            Self::TokenBucket(bucket) => bucket.charge(state, now, cost),
            Self::FixedWindow(window) => window.charge(state, now, cost),
        }
    }

    /// Returns the instant from which a state is the same as none.
    #[must_use]
    pub fn fresh_at(&self, state: State) -> Timestamp {
        match self {
            Self::TokenBucket(bucket) => bucket.fresh_at(state),
            Self::FixedWindow(_) => state.at,
        }
    }

    /// Returns the most that an unused counter gives at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        match self {
            Self::TokenBucket(bucket) => bucket.capacity(),
            Self::FixedWindow(window) => window.capacity(),
        }
    }

    /// Returns one of `parts` equal shares of the limit, rounded down, but never less than one unit.
    #[must_use]
    pub fn share(&self, parts: u32) -> Self {
        match self {
            Self::TokenBucket(bucket) => Self::TokenBucket(bucket.share(parts)),
            Self::FixedWindow(window) => Self::FixedWindow(window.share(parts)),
        }
    }
}

/// The time from `now` to an instant in microseconds, zero when it has passed.
fn until(micros: i64, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(micros.saturating_sub(now.micros())).unwrap_or(0))
}
