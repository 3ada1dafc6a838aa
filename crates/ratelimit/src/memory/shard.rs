use hashbrown::{DefaultHashBuilder, HashTable};
use stanchion_core::Timestamp;

use super::entries::EntryTable;
use super::name::{Name, Wanted};
use crate::State;

/// How many counters are allocated at once.
const CHUNK: usize = 64;
/// How many counters are looked at for one that is fresh, before more are allocated.
const GLANCE: usize = 8;

/// The place of a counter in its shard.
pub(super) type Place = u32;

/// A part of the counters: a table of places over chunks of counters, which never move.
///
/// Counters stand outside the table so that the room it keeps free costs 4 bytes and not 64.
#[derive(Debug)]
pub(super) struct Shard {
    table: HashTable<Place>,
    chunks: Vec<Box<[Counter]>>,
    free: Vec<Place>,
    capacity: usize,
    /// Where the search for fresh counters goes on.
    hand: usize,
    /// Until when no counter is fresh, as far as the last search of them all could tell.
    full_until: Timestamp,
    /// Counters that keep each charge.
    pub(super) entries: EntryTable,
}

/// One counter: a cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Counter {
    name: Name,
    pub(super) state: State,
    pub(super) fresh_at: Timestamp,
}

const _: () = assert!(size_of::<Counter>() == 64);

impl Shard {
    pub(super) fn new(capacity: usize) -> Self {
        let (table, chunks, free) = (HashTable::new(), Vec::new(), Vec::new());
        let entries = EntryTable::new(capacity);
        Self { table, chunks, free, capacity, hand: 0, full_until: Timestamp::MIN, entries }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len() + self.entries.len()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, wanted: Wanted<'_>) -> Option<Place> {
        let is_wanted = |place: &Place| self.counter(*place).is_some_and(|counter| counter.name.is(wanted));
        self.table.find(hash, is_wanted).copied()
    }

    /// The counter of a name, to be read and written in one look-up.
    #[inline]
    pub(super) fn find_mut(&mut self, hash: u64, wanted: Wanted<'_>) -> Option<&mut Counter> {
        let place = self.find(hash, wanted)?;
        self.counter_mut(place)
    }

    #[inline]
    pub(super) fn state(&self, place: Place) -> Option<State> {
        self.counter(place).map(|counter| counter.state)
    }

    pub(super) fn set(&mut self, place: Place, state: State, fresh_at: Timestamp) {
        if let Some(counter) = self.counter_mut(place) {
            (counter.state, counter.fresh_at) = (state, fresh_at);
        }
    }

    /// Takes a place for a new counter; `None` when all are in use. Counters that are fresh make room, unless they are `wanted` by the
    /// same call.
    ///
    /// A full shard is searched through once, and then not again before one of its counters can be fresh: being full costs no more
    /// than not being so.
    pub(super) fn allocate(
        &mut self,
        now: Timestamp,
        hasher: &DefaultHashBuilder,
        wanted: impl Fn(Place) -> bool,
    ) -> Option<Place> {
        if self.free.is_empty() && self.full_until <= now {
            if self.allocated() < self.capacity {
                self.search(GLANCE, now, hasher, &wanted);
                if self.free.is_empty() {
                    self.grow();
                }
            } else {
                let earliest = self.search(usize::MAX, now, hasher, &wanted);
                if self.free.is_empty() {
                    self.full_until = earliest;
                }
            }
        }
        self.free.pop()
    }

    /// Gives back a place that was allocated and not filled.
    pub(super) fn release(&mut self, place: Place) {
        self.free.push(place);
    }

    /// Puts a counter that is not there yet into an allocated place.
    pub(super) fn fill(&mut self, place: Place, hash: u64, wanted: Wanted<'_>, hasher: &DefaultHashBuilder) {
        if let Some(counter) = self.counter_mut(place) {
            counter.name = wanted.into();
        }
        let Self { table, chunks, .. } = self;
        table.insert_unique(hash, place, |place| {
            counter(chunks, *place).map_or(0, |one| one.name.hash(hasher))
        });
    }

    pub(super) fn remove(&mut self, hash: u64, wanted: Wanted<'_>) {
        if let Some(place) = self.find(hash, wanted) {
            self.vacate(place, hash);
        }
    }

    fn vacate(&mut self, place: Place, hash: u64) {
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        if let Some(counter) = self.counter_mut(place) {
            counter.name = Name::Free;
        }
        self.free.push(place);
    }

    /// Looks at `count` counters, at most at all, and vacates those that are fresh. A longer look ends with the first that it finds.
    /// Returns when the first of the others is fresh.
    fn search(
        &mut self,
        count: usize,
        now: Timestamp,
        hasher: &DefaultHashBuilder,
        wanted: impl Fn(Place) -> bool,
    ) -> Timestamp {
        let allocated = self.allocated();
        let mut earliest = Timestamp::MAX;
        for looked in 0..count.min(allocated) {
            if looked >= GLANCE && !self.free.is_empty() {
                break;
            }
            let at = self.hand % allocated;
            self.hand = at + 1;
            let Ok(place) = Place::try_from(at) else { break };
            let Some(counter) = self.counter(place) else { continue };
            if counter.name.is_free() {
                continue;
            }
            if counter.fresh_at > now || wanted(place) {
                earliest = earliest.min(counter.fresh_at);
            } else {
                self.vacate(place, counter.name.hash(hasher));
            }
        }
        earliest
    }

    /// Allocates another chunk, or what is left to the shard's capacity.
    fn grow(&mut self) {
        let allocated = self.allocated();
        let count = self.capacity.saturating_sub(allocated).min(CHUNK);
        let vacant = || Counter {
            name: Name::Free,
            state: State { at: Timestamp::EPOCH, used: 0 },
            fresh_at: Timestamp::EPOCH,
        };
        self.chunks.push(std::iter::repeat_with(vacant).take(count).collect());
        let places = (allocated..allocated + count).rev().filter_map(|place| Place::try_from(place).ok());
        self.free.extend(places);
    }

    /// How many counters there is memory for. Only the last chunk can be a short one.
    fn allocated(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    #[inline]
    fn counter(&self, place: Place) -> Option<&Counter> {
        counter(&self.chunks, place)
    }

    #[inline]
    fn counter_mut(&mut self, place: Place) -> Option<&mut Counter> {
        let place = usize::try_from(place).ok()?;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }
}

#[inline]
fn counter(chunks: &[Box<[Counter]>], place: Place) -> Option<&Counter> {
    let place = usize::try_from(place).ok()?;
    chunks.get(place / CHUNK)?.get(place % CHUNK)
}
