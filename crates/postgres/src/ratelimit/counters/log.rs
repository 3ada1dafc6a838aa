//! Logs and leases: what is known of their entries without reading them, and what becomes of those that change.

use std::time::Duration;

use stanchion_core::Timestamp;
use stanchion_ratelimit::{Adjustment, CallId, Entries, Entry, InUse};

use super::decision::Changed;
use super::state::Kept;

/// A refusal writes nothing, unless so many entries have ended that the next one should not have to look past them.
const MANY: u64 = 64;

/// What was found of the entries of a counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    /// How many have ended and were not removed, and how much they take together.
    pub(super) ended: u64,
    pub(super) ended_amount: u128,
    /// When the last one ends.
    pub(super) clear_at: Option<Timestamp>,
    /// When so many have ended that what is asked for fits.
    pub(super) fits_at: Option<Timestamp>,
    /// That of the call which is settled, as it was found and as it is now.
    pub(super) found: Option<Entry>,
    pub(super) own: Option<Entry>,
}

/// What has to be done to the entries of a counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewriting {
    /// Those that end after one time and until another are removed.
    pub(super) pruned: Option<(Timestamp, Timestamp)>,
    pub(super) entry: Option<Rewritten>,
}

/// One entry that changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rewritten {
    Added(Entry),
    Set(Entry),
    Removed(Entry),
}

impl Kept {
    pub(super) fn in_use(&self, now: Timestamp) -> InUse {
        InUse {
            amount: u64::try_from(self.live()).unwrap_or(u64::MAX),
            fits_at: self.log.fits_at.unwrap_or(now),
            clear_at: self.log.clear_at.unwrap_or(now),
        }
    }

    /// Charges an entry that fits.
    pub(super) fn added(&self, key: usize, entry: Entry, now: Timestamp) -> Option<Changed> {
        (entry.amount > 0).then(|| self.rewritten(key, Some(Rewritten::Added(entry)), now))
    }

    /// Lets go of what has ended, where it is so much that it is worth being written.
    pub(super) fn tidied(&self, key: usize, now: Timestamp) -> Option<Changed> {
        (self.log.ended >= MANY).then(|| self.rewritten(key, None, now))
    }

    /// Corrects the entry of a call.
    pub(super) fn corrected(
        &mut self,
        key: usize,
        (id, until): (CallId, Timestamp),
        adjustment: Adjustment,
        now: Timestamp,
    ) -> Option<Changed> {
        let mut entries = Entries::new();
        self.log.own.into_iter().for_each(|own| entries.add(own));
        entries.settle(id, until, adjustment);
        self.log.own = entries.as_slice().first().copied();
        let entry = match (self.log.found, self.log.own) {
            (None, None) => return None,
            (Some(found), Some(own)) if found == own => return None,
            (None, Some(own)) => Rewritten::Added(own),
            (Some(_), Some(own)) => Rewritten::Set(own),
            (Some(found), None) => Rewritten::Removed(found),
        };
        Some(self.rewritten(key, Some(entry), now))
    }

    fn rewritten(&self, key: usize, entry: Option<Rewritten>, now: Timestamp) -> Changed {
        let before = self.at.unwrap_or(Timestamp::MIN);
        let pruned = if !self.is_there {
            // Whatever bears its name is left over from another.
            Some((Timestamp::MIN, Timestamp::MAX))
        } else {
            (self.log.ended > 0).then_some((before, now))
        };
        let (mut held, mut at, mut clear_at) = (self.live(), before.max(now), self.log.clear_at);
        match entry {
            Some(Rewritten::Added(entry)) => {
                held = held.saturating_add(entry.amount.into());
                clear_at = clear_at.max(Some(entry.until));
                // By a clock that is behind it may end before what has been looked at.
                at = at.min(entry.until.minus(Duration::from_micros(1)));
            }
            Some(Rewritten::Set(entry)) => {
                let found = self.log.found.map_or(0, |found| found.amount);
                held = held.saturating_sub(found.into()).saturating_add(entry.amount.into());
            }
            Some(Rewritten::Removed(entry)) => held = held.saturating_sub(entry.amount.into()),
            None => {}
        }
        // Where others stand before it, it may have been the last: then this is too late, and the counter stays so much longer.
        let fresh_at = if held == 0 { now } else { clear_at.unwrap_or(now) };
        let after = Self { at: Some(at), used: None, held: Some(held), ..self.clone() };
        Changed { key, after, fresh_at, entries: Some(Rewriting { pruned, entry }) }
    }

    /// How much the entries take that have not ended.
    fn live(&self) -> u128 {
        self.held.unwrap_or(0).saturating_sub(self.log.ended_amount)
    }
}
