use std::time::Duration;

use stanchion_core::Timestamp;

use crate::{Adjustment, Lease, Level, Limit, SlidingWindow, Slot, Standing};

/// Units that were charged at the shared store, to be used here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lot {
    /// The call that brought it.
    pub(super) ticket: u64,
    /// How many units nobody has used yet.
    pub(super) left: u64,
    /// How many were charged.
    pub(super) size: u64,
    /// When, by the store's clock.
    pub(super) charged: Timestamp,
    /// The first instant at which none of them may be used, by the clock here.
    pub(super) until: Timestamp,
}

/// Units taken off a lot for a call that is not decided yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) units: u64,
    pub(super) ticket: u64,
    pub(super) charged: Timestamp,
}

/// Units to be given back to the shared store.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) slot: Slot,
    pub(super) key: Box<[u8]>,
    pub(super) limit: Limit,
    pub(super) units: u64,
    pub(super) charged: Timestamp,
}

/// An answer of the shared store, in the times of this replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) standing: Standing,
    /// The store's time of it.
    pub(super) there: Timestamp,
    /// The times here before it was asked and after it had answered.
    pub(super) asked: Timestamp,
    pub(super) answered: Timestamp,
}

impl Lot {
    pub(super) const fn none() -> Self {
        Self { ticket: 0, left: 0, size: 0, charged: Timestamp::MIN, until: Timestamp::MIN }
    }

    /// Reads off an answer what a chunk of `size` units came to, of which `left` are not used yet.
    ///
    /// It lasts until its time to live is over, or all that the counter has counted is back, or the window it was charged to ends,
    /// whichever is first. All of that is told as time from the store's decision on and counted here from before the question: so it
    /// never ends later than it should, whatever the two clocks say.
    pub(super) fn new(
        ticket: u64,
        left: u64,
        size: u64,
        limit: &Limit,
        answer: &Answer,
        lease: Lease,
    ) -> Self {
        let window = match limit {
            Limit::FixedWindow(_) | Limit::SlidingWindow(_) => {
                window_end(limit, answer.there).since(answer.there)
            }
            _ => Duration::MAX,
        };
        let lasts = lease.ttl.min(answer.standing.reset_after).min(window);
        Self { ticket, left, size, charged: answer.there, until: answer.asked.plus(lasts) }
    }
}

/// The end of the window that an instant lies in: a window's state says where it ends.
fn window_end(limit: &Limit, at: Timestamp) -> Timestamp {
    limit.charge(None, at, 0).0.at
}

/// How many of so many units, charged at `charged`, are still there to be given back at `now`, both by the store's clock.
pub(super) fn returnable(limit: &Limit, now: Timestamp, charged: Timestamp, units: u64) -> u64 {
    let units = units.min(limit.capacity());
    let before = limit.charge(None, now, units).0;
    let Some(after) = limit.settle(Some(before), now, charged, Adjustment::Return(units)) else { return 0 };
    match limit {
        Limit::Level(_) => before.used.saturating_sub(after.used) / Level::UNIT,
        Limit::FixedWindow(_) => before.used.saturating_sub(after.used),
        Limit::SlidingWindow(_) => {
            SlidingWindow::cells(before.used).1.saturating_sub(SlidingWindow::cells(after.used).1)
        }
        Limit::Entries(_) => 0,
    }
}
