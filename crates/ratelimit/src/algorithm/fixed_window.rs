use std::num::NonZeroU64;

use stanchion_calendar::Period;
use stanchion_core::Timestamp;

use super::{Standing, State, until};

/// So many units in each window; a new window begins at zero.
///
/// A caller can use up one window at its end and the next at its start: over any stretch as long as the window at most twice the
/// capacity is given. The state is the window's end and what was used in it, so a changed limit applies at once to what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    capacity: u64,
    frame: Frame,
}

/// Where the windows of a [`FixedWindow`] begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Every so many microseconds, counted from 1970-01-01T00:00Z. The store finds the window by the time it decides by.
    Every(NonZeroU64),
    /// A window of the calendar, which the caller looked up. The store takes it as it is: its own clock only says how long it lasts.
    Between(Period),
}

impl FixedWindow {
    /// The largest capacity: 2^53 − 1, the last whole number that scripts with doubles count exactly.
    pub const MAX: u64 = (1 << 53) - 1;

    /// Takes how much each window gives. `None` when that is zero or above [`FixedWindow::MAX`].
    #[must_use]
    pub const fn new(capacity: u64, frame: Frame) -> Option<Self> {
        if capacity == 0 || capacity > Self::MAX { None } else { Some(Self { capacity, frame }) }
    }

    /// Returns how much each window gives.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns where the windows begin and end.
    #[must_use]
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    pub(super) fn share(&self, parts: u32) -> Self {
        Self { capacity: self.capacity.checked_div(parts.into()).unwrap_or(self.capacity).max(1), ..*self }
    }

    pub(super) fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        let end = self.end_at(now);
        let (end, used) = match state {
            // A later end means that this clock is behind the one that wrote it: the later window stays open.
            Some(state) if state.at >= end => (state.at, state.used),
            _ => (end, 0),
        };
        let total = used.saturating_add(cost);
        // Nothing asked for always fits, also where a limit was lowered below what is used.
        let fits = total <= self.capacity || cost == 0;
        let kept = if fits { total } else { used };
        let rest = until(end.micros(), now);
        let standing = Standing {
            fits,
            remaining: self.capacity.saturating_sub(kept),
            reset_after: if kept == 0 { std::time::Duration::ZERO } else { rest },
            retry_after: (!fits && cost <= self.capacity).then_some(rest),
        };
        (State { at: end, used: kept }, standing)
    }

    fn end_at(&self, now: Timestamp) -> Timestamp {
        match self.frame {
            Frame::Every(length) => {
                let length = i64::try_from(length.get()).unwrap_or(i64::MAX);
                let number = now.micros().div_euclid(length);
                Timestamp::from_micros(number.saturating_add(1).saturating_mul(length))
            }
            Frame::Between(period) => period.end(),
        }
    }
}

#[cfg(test)]
mod tests;
