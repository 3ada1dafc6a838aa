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
                // What follows the last window is not known: it is taken to be as long.
                let beyond = d.micros().saturating_add(d.micros().saturating_sub(c.micros()));
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

    /// The window that ends at an instant, when there is one.
    pub(super) fn window_ending(&self, end: Timestamp) -> Option<Bounds> {
        let bounds = self.window_at(Timestamp::from_micros(end.micros().saturating_sub(1)));
        (bounds.end == end.micros()).then_some(bounds)
    }
}
