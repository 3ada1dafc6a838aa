use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use hashbrown::HashTable;
use stanchion_core::Timestamp;

use crate::UsageEvent;

/// The most tables that share the keys, so that neither the growth of one nor its clearing out is ever felt.
const MAX_TABLES: usize = 256;
/// Below this a table is not worth dividing.
const MIN_SHARE: usize = 4_096;

/// What tells a new event from one that was there before: the hashes of keys and payloads, 28 bytes each, oldest forgotten first.
///
/// Keys are told apart by 128 bits under secret random keys. Producers choose the ids, and a collision would lose an event; they
/// would have to find one without seeing a hash.
#[derive(Debug)]
pub(super) struct Keys {
    hashers: [RandomState; 2],
    tables: Vec<Table>,
    bytes: Vec<u8>,
}

/// The keys that one part of all hashes falls into.
#[derive(Debug)]
struct Table {
    entries: HashTable<Entry>,
    capacity: usize,
    /// Every key of an event from here on is remembered.
    floor: Timestamp,
    /// Making room did not help; it is tried again from then on.
    full_until: Timestamp,
}

#[derive(Debug)]
struct Entry {
    /// The first half of the key; it also picks the table.
    left: [u8; 8],
    /// The other half, by which the table sorts.
    right: [u8; 8],
    payload: [u8; 8],
    /// The time of the event in whole seconds, at least 0.
    second: u32,
}

/// What is known of an event.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    /// Nothing; it can be remembered.
    Never(Unknown<'a>),
    /// It was here with the same payload.
    Same,
    /// It was here with another payload.
    Other,
    /// It is too old for anything to be known.
    Forgotten,
}

/// A key that is not remembered yet, and is not unless [`Unknown::remember`] is called.
#[derive(Debug)]
pub(super) struct Unknown<'a> {
    entries: &'a mut HashTable<Entry>,
    entry: Entry,
}

/// There is no room, and nothing that may be forgotten.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the memory of event ids is full")]
pub(super) struct KeysFull;

impl Keys {
    pub(super) fn new(capacity: usize) -> Self {
        let tables = (capacity / MIN_SHARE).clamp(1, MAX_TABLES);
        let share = capacity.div_ceil(tables);
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            tables: (0..tables).map(|_| Table::new(share)).collect(),
            bytes: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(|table| table.entries.len()).sum()
    }

    /// Says whether the event was here before.
    pub(super) fn look(
        &mut self,
        event: &UsageEvent,
        at: Timestamp,
        window: Duration,
    ) -> Result<Seen<'_>, KeysFull> {
        if event.time < at.minus(window) {
            return Ok(Seen::Forgotten);
        }
        self.bytes.clear();
        event.encode_key(&mut self.bytes);
        let [left, right] = self.hashers.each_ref().map(|hasher| hasher.hash_one(&self.bytes));
        self.bytes.clear();
        event.encode_payload(&mut self.bytes);
        let [hasher, _] = &self.hashers;
        let entry = Entry {
            left: left.to_le_bytes(),
            right: right.to_le_bytes(),
            payload: hasher.hash_one(&self.bytes).to_le_bytes(),
            second: second_of(event.time),
        };
        let tables = u64::try_from(self.tables.len()).map_err(|_| KeysFull)?;
        let table = usize::try_from(left % tables).map_err(|_| KeysFull)?;
        self.tables.get_mut(table).ok_or(KeysFull)?.look(entry, event.time, at, window)
    }
}

impl Table {
    fn new(capacity: usize) -> Self {
        let (floor, full_until) = (Timestamp::MIN, Timestamp::MIN);
        Self { entries: HashTable::new(), capacity, floor, full_until }
    }

    fn look(
        &mut self,
        entry: Entry,
        time: Timestamp,
        at: Timestamp,
        window: Duration,
    ) -> Result<Seen<'_>, KeysFull> {
        if time < self.floor {
            return Ok(Seen::Forgotten);
        }
        if let Some(known) = self.entries.find(entry.hash(), |known| known.has_key_of(&entry)) {
            return Ok(if known.payload == entry.payload { Seen::Same } else { Seen::Other });
        }
        if self.entries.len() >= self.capacity {
            self.forget_oldest(at, window)?;
        }
        Ok(Seen::Never(Unknown { entries: &mut self.entries, entry }))
    }

    /// Forgets the oldest eighth by event time, and what lies before the window. The present is never forgotten, so that a flood of
    /// events from the near future cannot shut out those of now.
    fn forget_oldest(&mut self, at: Timestamp, window: Duration) -> Result<(), KeysFull> {
        if at < self.full_until || self.entries.is_empty() {
            return Err(KeysFull);
        }
        let before = self.entries.len();
        let mut seconds: Vec<u32> = self.entries.iter().map(|entry| entry.second).collect();
        let (_, eighth, _) = seconds.select_nth_unstable(before / 8);
        let floor = eighth.saturating_add(1).max(second_of(at.minus(window))).min(second_of(at));
        // A table of its own for what stays: what is removed in place leaves marks that would make the table grow.
        let mut rest = HashTable::with_capacity(self.capacity);
        for entry in self.entries.drain().filter(|entry| entry.second >= floor) {
            rest.insert_unique(entry.hash(), entry, Entry::hash);
        }
        self.entries = rest;
        self.floor = self.floor.max(Timestamp::from_micros(i64::from(floor) * 1_000_000));
        let freed = before - self.entries.len();
        if freed < self.capacity / 16 {
            self.full_until = at.plus(Duration::from_secs(1));
        }
        if freed > 0 { Ok(()) } else { Err(KeysFull) }
    }
}

impl Unknown<'_> {
    pub(super) fn remember(self) {
        self.entries.insert_unique(self.entry.hash(), self.entry, Entry::hash);
    }
}

impl Entry {
    const fn hash(&self) -> u64 {
        u64::from_le_bytes(self.right)
    }

    fn has_key_of(&self, other: &Self) -> bool {
        self.right == other.right && self.left == other.left
    }
}

fn second_of(time: Timestamp) -> u32 {
    u32::try_from(time.seconds().max(0)).unwrap_or(u32::MAX)
}
