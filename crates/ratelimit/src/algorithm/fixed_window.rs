use std::time::Duration;

use stanchion_core::Timestamp;

use super::{Adjustment, Frame, Limit, Standing, State, part_of, until};

/// So many units in each window; a new window begins at zero.
///
/// A caller can use up one window at its end and the next at its start: over any stretch as long as the window at most twice the
/// capacity is given. Where windows are not equally long (days when clocks change, months), that holds for a stretch as long as the
/// shortest of those it touches.
///
/// What was charged to a window that is over is not given back. The state is the window's end and what was used in it, so a changed limit applies at once to what is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    capacity: u64,
    frame: Frame,
}

impl Limit {
    /// Fixed window: `capacity` units in each window. `None` when that is zero or above [`FixedWindow::MAX`].
    #[must_use]
    pub const fn fixed_window(capacity: u64, frame: Frame) -> Option<Self> {
        match FixedWindow::new(capacity, frame) {
            Some(window) => Some(Self::FixedWindow(window)),
            None => None,
        }
    }
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

    pub(super) fn part(&self, numerator: u32, denominator: u32) -> Self {
        Self { capacity: part_of(self.capacity, numerator, denominator), ..*self }
    }

    #[inline]
    pub(super) fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        let (end, used) = self.current(state, now);
        let total = used.saturating_add(cost);
        // Nothing asked for always fits, also where a limit was lowered below what is used.
        let fits = total <= self.capacity || cost == 0;
        let kept = if fits { total } else { used };
        let rest = until(end.micros(), now);
        let standing = Standing {
            fits,
            remaining: self.capacity.saturating_sub(kept),
            reset_after: if kept == 0 { Duration::ZERO } else { rest },
            retry_after: (!fits && cost <= self.capacity).then_some(rest),
            delay: Duration::ZERO,
        };
        (State { at: end, used: kept }, standing)
    }

    pub(super) fn settle(
        &self,
        state: Option<State>,
        now: Timestamp,
        charged: Timestamp,
        adjustment: Adjustment,
    ) -> Option<State> {
        let (end, used) = self.current(state, now);
        let used = match adjustment {
            Adjustment::Add(units) => used.saturating_add(units).min(Self::MAX),
            // What was charged to a window that is over went with it.
            Adjustment::Return(units) if self.frame.window_of(charged).is_some_and(|of| of.end() == end) => {
                state?;
                used.saturating_sub(units)
            }
            Adjustment::Return(_) => return state,
        };
        Some(State { at: end, used })
    }

    pub(super) const fn fresh_at(state: State) -> Timestamp {
        if state.used == 0 { Timestamp::MIN } else { state.at }
    }

    /// The end of the window that is counted now, and what is used of it.
    fn current(&self, state: Option<State>, now: Timestamp) -> (Timestamp, u64) {
        let end = self.frame.window_at(now).end();
        match state {
            // A later end means that this clock is behind the one that wrote it: the later window stays open.
            Some(state) if state.at >= end => (state.at, state.used),
            _ => (end, 0),
        }
    }
}

#[cfg(test)]
mod tests;
