use std::time::Duration;

use stanchion_core::Timestamp;

use super::frame::Bounds;
use super::{Adjustment, Frame, Limit, Standing, State, part_of, until};

/// Two windows in two cells: what this window has used, and of what the one before has used the part that still lies within a
/// window's length of now, as if it had been used evenly.
///
/// The part is counted in millionths of the window, rounded up. It is too large where the window before was used early, and too small
/// where it was used late: over any stretch as long as the window less than twice the capacity is given, and who spreads evenly what it
/// uses is given at most one unit more than the capacity. Where windows are not equally long (days when clocks change, months), that
/// holds for a stretch as long as the shortest of those it touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    capacity: u64,
    frame: Frame,
}

const MILLION: u64 = 1_000_000;

/// The two cells, and the window that the second is for.
#[derive(Clone, Copy, Debug)]
struct Cells {
    window: Bounds,
    before: u64,
    current: u64,
}

impl Limit {
    /// Sliding window counter: `capacity` units over the window's length, of which the earlier window's part is estimated. See
    /// [`SlidingWindow`] for how much that can be at most.
    ///
    /// `None` when the capacity is zero or above [`SlidingWindow::MAX`], or the windows are not whole seconds long.
    #[must_use]
    pub fn sliding_window(capacity: u64, frame: Frame) -> Option<Self> {
        SlidingWindow::new(capacity, frame).map(Self::SlidingWindow)
    }
}

impl SlidingWindow {
    /// The largest capacity, 2^32 − 1: each cell has 32 bits.
    pub const MAX: u64 = u32::MAX as u64;

    /// Takes how much each window gives. `None` when that is zero or above [`SlidingWindow::MAX`], or the windows are not whole
    /// seconds long.
    #[must_use]
    pub fn new(capacity: u64, frame: Frame) -> Option<Self> {
        let is_whole = |micros: i64| micros % 1_000_000 == 0;
        let whole = match &frame {
            Frame::Every(length) => length.get() % MILLION == 0,
            Frame::Calendar(edges) => edges.instants().iter().all(|edge| is_whole(edge.micros())),
        };
        (capacity > 0 && capacity <= Self::MAX && whole).then_some(Self { capacity, frame })
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

    /// Reads what the window before and this one have used off [`State::used`].
    #[must_use]
    pub const fn cells(used: u64) -> (u64, u64) {
        (used >> 32, used & Self::MAX)
    }

    /// Writes two cells as [`State::used`]; what is more than a cell holds is cut off.
    #[must_use]
    pub fn used(before: u64, current: u64) -> u64 {
        before.min(Self::MAX) << 32 | current.min(Self::MAX)
    }

    pub(super) fn part(&self, numerator: u32, denominator: u32) -> Self {
        Self { capacity: part_of(self.capacity, numerator, denominator), ..*self }
    }

    #[inline]
    pub(super) fn charge(&self, state: Option<State>, now: Timestamp, cost: u64) -> (State, Standing) {
        let cells = self.current(state, now);
        let Cells { window, before, current } = cells;
        let weighted = before * weight(window, now);
        let room = self.capacity.checked_sub(current.saturating_add(cost)).map(|room| room * MILLION);
        let fits = cost == 0 || room.is_some_and(|room| weighted <= room);
        let kept = if fits { current + cost } else { current };
        let used = kept.saturating_add(weighted.div_ceil(MILLION));
        let clear = if kept > 0 { window.next_end } else { window.end };
        let standing = Standing {
            fits,
            remaining: self.capacity.saturating_sub(used),
            reset_after: if kept == 0 && before == 0 { Duration::ZERO } else { until(clear, now) },
            retry_after: if fits || cost > self.capacity {
                None
            } else {
                Some(until(self.fits_at(cells, cost), now))
            },
            delay: Duration::ZERO,
        };
        (cells.state(kept), standing)
    }

    pub(super) fn settle(
        &self,
        state: Option<State>,
        now: Timestamp,
        charged: Timestamp,
        adjustment: Adjustment,
    ) -> Option<State> {
        let cells = self.current(state, now);
        let charged_until = self.frame.window_of(charged).map(|of| of.end);
        let cells = match adjustment {
            Adjustment::Add(units) => {
                Cells { current: cells.current.saturating_add(units).min(Self::MAX), ..cells }
            }
            Adjustment::Return(units) if charged_until == Some(cells.window.end) => {
                Cells { current: cells.current.saturating_sub(units), ..cells }
            }
            Adjustment::Return(units) if charged_until == Some(cells.window.start) => {
                Cells { before: cells.before.saturating_sub(units), ..cells }
            }
            // What was charged to a window that does not count any more went with it.
            Adjustment::Return(_) => return state,
        };
        if state.is_none() && cells.current == 0 { None } else { Some(cells.state(cells.current)) }
    }

    pub(super) fn fresh_at(&self, state: State) -> Timestamp {
        match Self::cells(state.used) {
            (0, 0) => Timestamp::MIN,
            (_, 0) => state.at,
            _ => Timestamp::from_micros(self.frame.window_ending(state.at).next_end),
        }
    }

    /// The first instant at which `cost` fits, as far as nobody else uses anything.
    fn fits_at(&self, cells: Cells, cost: u64) -> i64 {
        let Cells { window, before, current } = cells;
        match self.capacity.checked_sub(current.saturating_add(cost)) {
            // What the window before has used has to count for less.
            Some(room) => at_weight(window.end, window, (room * MILLION).checked_div(before)),
            // This window has used too much itself, so it has to become the one before.
            None => {
                let room = self.capacity.saturating_sub(cost) * MILLION;
                let next = Bounds { start: window.end, end: window.next_end, next_end: window.next_end };
                at_weight(next.end, next, room.checked_div(current)).max(window.end)
            }
        }
    }

    fn current(&self, state: Option<State>, now: Timestamp) -> Cells {
        let window = self.frame.window_at(now);
        let Some(state) = state else { return Cells { window, before: 0, current: 0 } };
        let (before, current) = Self::cells(state.used);
        if state.at >= window.end() {
            // A later end means that this clock is behind the one that wrote it: the later window stays open.
            Cells { window: self.frame.window_ending(state.at), before, current }
        } else if state.at == window.start() {
            Cells { window, before: current, current: 0 }
        } else {
            Cells { window, before: 0, current: 0 }
        }
    }
}

impl Cells {
    fn state(self, current: u64) -> State {
        State { at: Timestamp::from_micros(self.window.end), used: SlidingWindow::used(self.before, current) }
    }
}

/// Microseconds per millionth of a window: its seconds.
fn tick(window: Bounds) -> u64 {
    (u64::try_from(window.end.saturating_sub(window.start)).unwrap_or(1) / MILLION).max(1)
}

/// How many millionths of the window before still count, rounded up.
fn weight(window: Bounds, now: Timestamp) -> u64 {
    let rest = u64::try_from(window.end.saturating_sub(now.micros())).unwrap_or(0);
    rest.div_ceil(tick(window)).min(MILLION)
}

/// The first instant at which no more than so many millionths count.
fn at_weight(end: i64, window: Bounds, weight: Option<u64>) -> i64 {
    let weight = weight.unwrap_or(MILLION).min(MILLION);
    end.saturating_sub(i64::try_from(weight * tick(window)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
