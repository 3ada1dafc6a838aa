use hashbrown::hash_table::Entry as Place;
use hashbrown::{DefaultHashBuilder, HashTable};
use stanchion_core::Timestamp;

use super::name::{Name, Wanted};
use crate::{Adjustment, CallId, Entries, Entry, EntryLimit, InUse};

/// The counters of one shard that keep each charge: logs and leases.
#[derive(Debug)]
pub(super) struct EntryTable {
    counters: HashTable<Counter>,
    /// How many entries there are, those that have ended included.
    len: usize,
    capacity: usize,
    /// Until when none of them ends, as far as the last look at all of them could tell.
    full_until: Timestamp,
}

/// One counter, which has at least one entry.
#[derive(Debug)]
struct Counter {
    name: Name,
    entries: Entries,
}

/// A name that is looked for, with its hash and that which hashes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashed<'a> {
    pub(super) wanted: Wanted<'a>,
    pub(super) hash: u64,
    pub(super) hasher: &'a DefaultHashBuilder,
}

impl EntryTable {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { counters: HashTable::new(), len: 0, capacity, full_until: Timestamp::MIN }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn in_use(
        &self,
        hash: u64,
        wanted: Wanted<'_>,
        limit: &EntryLimit,
        now: Timestamp,
        cost: u64,
    ) -> InUse {
        match self.counters.find(hash, |counter| counter.name.is(wanted)) {
            Some(counter) => counter.entries.in_use(limit, now, cost),
            None => Entries::new().in_use(limit, now, cost),
        }
    }

    /// Tells whether a call's entry is there and counts.
    pub(super) fn has(&self, name: Hashed<'_>, id: CallId, now: Timestamp) -> bool {
        let found = self.counters.find(name.hash, |counter| counter.name.is(name.wanted));
        let entries = found.map_or(&[][..], |counter| counter.entries.as_slice());
        entries.iter().any(|entry| entry.id == id && entry.until > now)
    }

    /// Tells whether so many more entries can be kept, and lets go of what has ended if that is what it takes.
    pub(super) fn has_room(&mut self, entries: usize, now: Timestamp) -> bool {
        if self.len + entries > self.capacity && self.full_until <= now {
            let (mut earliest, mut len) = (Timestamp::MAX, 0);
            self.counters.retain(|Counter { entries, .. }| {
                entries.prune(now);
                if let Some(first) = entries.as_slice().first() {
                    earliest = earliest.min(first.until);
                }
                len += entries.as_slice().len();
                !entries.as_slice().is_empty()
            });
            self.len = len;
            if self.len + entries > self.capacity {
                self.full_until = earliest;
            }
        }
        self.len + entries <= self.capacity
    }

    pub(super) fn add(&mut self, name: Hashed<'_>, entry: Entry, now: Timestamp) {
        self.change(name, now, |entries| entries.add(entry));
    }

    pub(super) fn settle(
        &mut self,
        name: Hashed<'_>,
        id: CallId,
        until: Timestamp,
        adjustment: Adjustment,
        now: Timestamp,
    ) {
        self.change(name, now, |entries| entries.settle(id, until, adjustment));
        // What was given back may make room.
        self.full_until = Timestamp::MIN;
    }

    pub(super) fn remove(&mut self, hash: u64, wanted: Wanted<'_>) {
        if let Ok(counter) = self.counters.find_entry(hash, |counter| counter.name.is(wanted)) {
            self.len -= counter.get().entries.as_slice().len();
            counter.remove();
        }
    }

    fn change(&mut self, name: Hashed<'_>, now: Timestamp, change: impl FnOnce(&mut Entries)) {
        let Hashed { wanted, hash, hasher } = name;
        let is_wanted = |counter: &Counter| counter.name.is(wanted);
        match self.counters.entry(hash, is_wanted, |counter| counter.name.hash(hasher)) {
            Place::Occupied(mut counter) => {
                let entries = &mut counter.get_mut().entries;
                self.len -= entries.as_slice().len();
                entries.prune(now);
                change(entries);
                self.len += entries.as_slice().len();
                if entries.as_slice().is_empty() {
                    counter.remove();
                }
            }
            Place::Vacant(place) => {
                let mut entries = Entries::new();
                change(&mut entries);
                self.len += entries.as_slice().len();
                if !entries.as_slice().is_empty() {
                    place.insert(Counter { name: wanted.into(), entries });
                }
            }
        }
    }
}
