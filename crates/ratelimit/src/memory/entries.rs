use hashbrown::HashMap;
use stanchion_core::Timestamp;

use super::name::{SlotBytes, Wanted};
use crate::{Adjustment, CallId, Entries, Entry, EntryLimit, InUse};

/// The counters of one shard that keep each charge: logs and leases.
#[derive(Debug)]
pub(super) struct EntryTable {
    counters: HashMap<Box<[u8]>, Entries>,
    /// How many entries there are, those that have ended included.
    len: usize,
    capacity: usize,
    /// Until when none of them ends, as far as the last look at all of them could tell.
    full_until: Timestamp,
}

impl EntryTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self { counters: HashMap::new(), len: 0, capacity, full_until: Timestamp::MIN }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn in_use(&self, wanted: Wanted<'_>, limit: &EntryLimit, now: Timestamp, cost: u64) -> InUse {
        match self.counters.get(&*wanted.to_bytes()) {
            Some(entries) => entries.in_use(limit, now, cost),
            None => Entries::new().in_use(limit, now, cost),
        }
    }

    /// Tells whether a call's entry is there and counts.
    pub(super) fn has(&self, wanted: Wanted<'_>, id: CallId, now: Timestamp) -> bool {
        let entries = self.counters.get(&*wanted.to_bytes()).map_or(&[][..], Entries::as_slice);
        entries.iter().any(|entry| entry.id == id && entry.until > now)
    }

    /// Tells whether so many more entries can be kept, and lets go of what has ended if that is what it takes.
    pub(super) fn has_room(&mut self, entries: usize, now: Timestamp) -> bool {
        if self.len + entries > self.capacity && self.full_until <= now {
            let mut earliest = Timestamp::MAX;
            self.counters.retain(|_, entries| {
                entries.prune(now);
                if let Some(first) = entries.as_slice().first() {
                    earliest = earliest.min(first.until);
                }
                !entries.as_slice().is_empty()
            });
            self.len = self.counters.values().map(|entries| entries.as_slice().len()).sum();
            if self.len + entries > self.capacity {
                self.full_until = earliest;
            }
        }
        self.len + entries <= self.capacity
    }

    pub(super) fn add(&mut self, wanted: Wanted<'_>, entry: Entry, now: Timestamp) {
        self.change(wanted, now, |entries| entries.add(entry));
    }

    pub(super) fn settle(
        &mut self,
        wanted: Wanted<'_>,
        id: CallId,
        until: Timestamp,
        adjustment: Adjustment,
        now: Timestamp,
    ) {
        self.change(wanted, now, |entries| entries.settle(id, until, adjustment));
        // What was given back may make room.
        self.full_until = Timestamp::MIN;
    }

    pub(super) fn remove(&mut self, wanted: Wanted<'_>) {
        if let Some(entries) = self.counters.remove(&*wanted.to_bytes()) {
            self.len -= entries.as_slice().len();
        }
    }

    fn change(&mut self, wanted: Wanted<'_>, now: Timestamp, change: impl FnOnce(&mut Entries)) {
        let name = wanted.to_bytes();
        let mut entries = self.counters.remove(&*name).unwrap_or_default();
        self.len -= entries.as_slice().len();
        entries.prune(now);
        change(&mut entries);
        self.len += entries.as_slice().len();
        if !entries.as_slice().is_empty() {
            self.counters.insert(name, entries);
        }
    }
}

impl Wanted<'_> {
    fn to_bytes(self) -> Box<[u8]> {
        let Wanted { slot, key } = self;
        [SlotBytes::as_bytes(&slot), key].concat().into()
    }
}
