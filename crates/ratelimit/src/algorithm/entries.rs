use std::num::NonZeroU64;
use std::time::Duration;

use stanchion_core::Timestamp;

use super::{Adjustment, Standing, part_of, until};
use crate::CallId;

/// So many units at once, of which each charge keeps its own until it ends.
///
/// A charge ends by itself after a stated time; who has its id can end it sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryLimit {
    capacity: u64,
    /// Microseconds.
    lasts: NonZeroU64,
}

/// The state of an [`EntryLimit`]: the charges, in the order in which they end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(Vec<Entry>);

/// One charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The first instant at which it does not count any more.
    pub until: Timestamp,
    /// The call that made it.
    pub id: CallId,
    /// How much it takes.
    pub amount: u64,
}

/// What an [`EntryLimit`] has to know of its entries, so that a store can keep them as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse {
    /// How much all entries that count take.
    pub amount: u64,
    /// When so many have ended that the charge fits, where it does not fit now. Of no meaning where it never will.
    pub fits_at: Timestamp,
    /// When the last one ends; any time that has passed when there is none.
    pub clear_at: Timestamp,
}

impl EntryLimit {
    /// The largest capacity, and so the most entries: what is exact has to be kept.
    pub const MAX: u64 = 10_000;

    /// Takes how much is given at once, and how long a charge lasts. `None` when the capacity is zero or above [`EntryLimit::MAX`],
    /// or the time is zero or longer than a hundred years.
    #[must_use]
    pub fn new(capacity: u64, lasts: Duration) -> Option<Self> {
        const CENTURY: Duration = Duration::from_secs(3_155_760_000);
        let lasts = NonZeroU64::new(u64::try_from(lasts.min(CENTURY * 2).as_micros()).ok()?)?;
        let is_short = Duration::from_micros(lasts.get()) <= CENTURY;
        (capacity > 0 && capacity <= Self::MAX && is_short).then_some(Self { capacity, lasts })
    }

    /// Returns how much is given at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Returns how long a charge lasts.
    #[must_use]
    pub const fn lasts(&self) -> Duration {
        Duration::from_micros(self.lasts.get())
    }

    /// Returns the first instant at which a charge of `now` does not count any more.
    #[must_use]
    pub fn until(&self, now: Timestamp) -> Timestamp {
        now.plus(self.lasts())
    }

    pub(super) fn part(&self, numerator: u32, denominator: u32) -> Self {
        Self { capacity: part_of(self.capacity, numerator, denominator), ..*self }
    }

    /// Tells how the counter stands after a charge of `cost`, if it fits, by what is in use before it.
    #[must_use]
    pub fn standing(&self, in_use: &InUse, now: Timestamp, cost: u64) -> Standing {
        let total = in_use.amount.saturating_add(cost);
        let fits = total <= self.capacity || cost == 0;
        let kept = if fits { total } else { in_use.amount };
        let clear_at = if fits && cost > 0 { in_use.clear_at.max(self.until(now)) } else { in_use.clear_at };
        Standing {
            fits,
            remaining: self.capacity.saturating_sub(kept),
            reset_after: if kept == 0 { Duration::ZERO } else { until(clear_at.micros(), now) },
            retry_after: (!fits && cost <= self.capacity).then(|| until(in_use.fits_at.micros(), now)),
            delay: Duration::ZERO,
        }
    }
}

impl Entries {
    /// Begins without an entry.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns the entries, in the order in which they end.
    #[must_use]
    pub fn as_slice(&self) -> &[Entry] {
        &self.0
    }

    /// Sums up what counts at `now`, and tells when `cost` fits.
    #[must_use]
    pub fn in_use(&self, limit: &EntryLimit, now: Timestamp, cost: u64) -> InUse {
        let live = self.0.get(self.ended(now)..).unwrap_or_default();
        let amount = live.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.amount));
        let mut excess = amount.saturating_add(cost).saturating_sub(limit.capacity);
        let mut fits_at = now;
        for entry in live {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(entry.amount);
            fits_at = entry.until;
        }
        InUse { amount, fits_at, clear_at: live.last().map_or(now, |entry| entry.until) }
    }

    /// Lets go of what has ended.
    pub fn prune(&mut self, now: Timestamp) {
        self.0.drain(..self.ended(now));
    }

    /// Adds an entry; one that takes nothing is none.
    pub fn add(&mut self, entry: Entry) {
        if entry.amount > 0 {
            let at = self.0.partition_point(|other| *other <= entry);
            self.0.insert(at, entry);
        }
    }

    /// Corrects the entry of a call. One that has ended stays so: what is added to it is charged anew, until `until`.
    pub fn settle(&mut self, id: CallId, until: Timestamp, adjustment: Adjustment) {
        let found = self.0.iter().position(|entry| entry.id == id);
        match (found, adjustment) {
            (Some(at), Adjustment::Return(units)) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.amount = entry.amount.saturating_sub(units);
                    if entry.amount == 0 {
                        self.0.remove(at);
                    }
                }
            }
            (Some(at), Adjustment::Add(units)) => {
                if let Some(entry) = self.0.get_mut(at) {
                    entry.amount = entry.amount.saturating_add(units);
                }
            }
            (None, Adjustment::Return(_)) => {}
            (None, Adjustment::Add(amount)) => self.add(Entry { until, id, amount }),
        }
    }

    fn ended(&self, now: Timestamp) -> usize {
        self.0.partition_point(|entry| entry.until <= now)
    }
}

#[cfg(test)]
mod tests;
