use std::cmp::Ordering;
use std::num::NonZeroU64;

use stanchion_calendar::{Window, Zone};
use stanchion_core::Timestamp;

/// Where windows begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Every so many microseconds, counted from 1970-01-01T00:00Z. The store finds the window by the time it decides by.
    Every(NonZeroU64),
    /// Windows of the calendar, which the caller looked up: the store picks one of them by the time it decides by.
    Calendar(Edges),
}

/// Where three windows of the calendar meet that follow each other: the one before the caller's time, its own, and the next. A store
/// whose clock is a little behind or ahead of the caller's finds its window among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges([Timestamp; 4]);

/// One window: where it starts and ends, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: i64,
    pub(super) end: i64,
    /// Where the window after it ends.
    pub(super) next_end: i64,
}

impl Bounds {
    /// The end as states keep it: windows may end after the last instant there is.
    pub(super) const fn end(&self) -> Timestamp {
        Timestamp::from_micros(self.end)
    }

    /// The start as states keep it, as the end of the window before.
    pub(super) const fn start(&self) -> Timestamp {
        Timestamp::from_micros(self.start)
    }
}

impl Edges {
    /// Takes the edges in their order. `None` when one does not come after the one before it.
    #[must_use]
    pub fn new(edges: [Timestamp; 4]) -> Option<Self> {
        let [a, b, c, d] = edges;
        (a < b && b < c && c < d).then_some(Self(edges))
    }

    /// Looks up the windows around an instant.
    #[must_use]
    pub fn around(window: Window, at: Timestamp, zone: Zone) -> Self {
        let own = window.bounds(at, zone);
        let (before, next) = (window.previous(own, zone), window.next(own, zone));
        Self([before.start(), own.start(), own.end(), next.end()])
    }

    /// Returns the edges, earliest first.
    #[must_use]
    pub const fn instants(&self) -> [Timestamp; 4] {
        self.0
    }

    /// Tells whether an instant lies in the window in the middle.
    pub(crate) fn is_current(&self, at: Timestamp) -> bool {
        let [_, start, end, _] = self.0;
        start <= at && at < end
    }
}

impl Frame {
    /// The window of an instant; beyond the edges it is the first or the last.
    pub(super) fn window_at(&self, at: Timestamp) -> Bounds {
        match self {
            Self::Every(length) => {
                let length = i64::try_from(length.get()).unwrap_or(i64::MAX);
                let start = at.micros().div_euclid(length).saturating_mul(length);
                let end = start.saturating_add(length);
                Bounds { start, end, next_end: end.saturating_add(length) }
            }
            Self::Calendar(Edges([a, b, c, d])) => {
                let bounds = |start: &Timestamp, end: &Timestamp, next: i64| Bounds {
                    start: start.micros(),
                    end: end.micros(),
                    next_end: next,
                };
                // How long the one after the last is, is not known. None is more than twice as long as the one before it, and what
                // is told by this end must not be told too early.
                let beyond = d.micros().saturating_add(2 * d.micros().saturating_sub(c.micros()));
                if at < *b {
                    bounds(a, b, c.micros())
                } else if at < *c {
                    bounds(b, c, d.micros())
                } else {
                    bounds(c, d, beyond)
                }
            }
        }
    }

    /// The window of an earlier instant, when it is known.
    pub(super) fn window_of(&self, at: Timestamp) -> Option<Bounds> {
        Some(self.window_at(at)).filter(|bounds| bounds.start <= at.micros())
    }

    /// The window that ends at an instant; where none is known, one as long as those that are.
    pub(super) fn window_ending(&self, end: Timestamp) -> Bounds {
        let known = self.window_at(Timestamp::from_micros(end.micros().saturating_sub(1)));
        if known.end() == end {
            return known;
        }
        let (end, length) = (end.micros(), known.end.saturating_sub(known.start));
        let next_end = match end.cmp(&known.start) {
            Ordering::Less => known.start,
            Ordering::Equal => known.end,
            Ordering::Greater => end.saturating_add(length.saturating_mul(2)),
        };
        Bounds { start: end.saturating_sub(length), end, next_end }
    }
}

#[cfg(test)]
mod tests;
