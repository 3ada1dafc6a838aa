use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use stanchion_core::Timestamp;

use crate::memory::name::{Name, SlotId, Wanted};
use crate::{Limit, Slot, Standing};

const SHARDS: usize = 16;
/// How many counters the first look can tell apart that were told already.
const CELLS: usize = 4_096;
/// A full shard is not looked through more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// From where on a limit is near: one comparison for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearLimit {
    /// The most that is left of a counter near its limit.
    remaining: u64,
}

impl NearLimit {
    /// Takes how many percent of a capacity have to be in use, 1 to 100; what is more or less is brought into that range.
    #[must_use]
    pub fn new(percent: u8, capacity: u64) -> Self {
        let free = u64::from(100 - percent.clamp(1, 100));
        let remaining = match capacity.checked_mul(free) {
            Some(parts) => parts / 100,
            // Wide division is slow, and capacities are hardly ever that large.
            None => u64::try_from(u128::from(capacity) * u128::from(free) / 100).unwrap_or(u64::MAX),
        };
        Self { remaining }
    }

    /// Tells whether so much or more is in use.
    #[must_use]
    #[inline]
    pub const fn is_near(self, standing: &Standing) -> bool {
        standing.remaining <= self.remaining
    }

    /// Returns until when a counter that was told near its limit need not be told again: the end of its window, and where there are
    /// none, a window's length from now.
    #[must_use]
    pub fn quiet_until(limit: &Limit, window: Duration, now: Timestamp) -> Timestamp {
        match limit {
            // The state of a window says where it ends.
            Limit::FixedWindow(_) | Limit::SlidingWindow(_) => limit.charge(None, now, 0).0.at,
            Limit::Level(_) | Limit::Entries(_) => now.plus(window),
        }
    }
}

/// Which counters have been told near their limit: each once in its window.
///
/// Who asks again is usually answered by one look at an atomic number. Only the first of a window, and whoever finds that number taken
/// by another counter, takes a lock. Where there is no more room, counters are not told, and that is counted.
#[derive(Debug)]
pub struct NearLimits {
    cells: Box<[AtomicU64]>,
    shards: Box<[Mutex<Shard>]>,
    of_shard: usize,
    untold: AtomicU64,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Shard {
    told: HashTable<Told>,
    full_until: Timestamp,
}

#[derive(Debug)]
struct Told {
    name: Name,
    hash: u64,
    until: Timestamp,
}

impl NearLimits {
    /// Starts with none; at most about so many are remembered.
    #[must_use]
    pub fn new(capacity: NonZeroUsize) -> Self {
        let shard = || Mutex::new(Shard { told: HashTable::new(), full_until: Timestamp::MIN });
        Self {
            cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            of_shard: capacity.get().div_ceil(SHARDS),
            untold: AtomicU64::new(0),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Tells whether a counter near its limit is to be told: it was not since its last `until`. It then is not again before this one.
    pub fn is_first(&self, slot: Slot, key: &[u8], until: Timestamp, now: Timestamp) -> bool {
        let wanted = SlotId::from(slot).with(key);
        // The first look goes by this number alone, so it has to tell slots of one number and another kind apart.
        let hash = self.hasher.hash_one((slot, key));
        let cell = self.cell(hash);
        if is_told(cell.load(Ordering::Relaxed), hash, now) {
            return false;
        }
        let (told, is_first) = self.tell(hash, wanted, until, now);
        if let Some(told) = told {
            cell.store(cell_of(hash, told), Ordering::Relaxed);
        }
        is_first
    }

    /// Returns how often a counter was not told for want of room.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// Until when the counter has been told, and whether that is new.
    fn tell(
        &self,
        hash: u64,
        wanted: Wanted<'_>,
        until: Timestamp,
        now: Timestamp,
    ) -> (Option<Timestamp>, bool) {
        let mut shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = shard.told.find_mut(hash, |told| told.name.is(wanted)) {
            let is_first = told.until <= now;
            if is_first {
                told.until = until;
            }
            return (Some(told.until), is_first);
        }
        if !shard.has_room(self.of_shard, now) {
            self.untold.fetch_add(1, Ordering::Relaxed);
            return (None, false);
        }
        shard.told.insert_unique(hash, Told { name: wanted.into(), hash, until }, |told| told.hash);
        (Some(until), true)
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of cells")]
    fn cell(&self, hash: u64) -> &AtomicU64 {
        &self.cells[usize::try_from(hash & 0xffff_ffff).unwrap_or(0) % CELLS]
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is less than the number of shards")]
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[usize::try_from(hash >> 48).unwrap_or(0) % SHARDS]
    }
}

impl Shard {
    fn has_room(&mut self, capacity: usize, now: Timestamp) -> bool {
        if self.told.len() >= capacity && self.full_until <= now {
            let mut earliest = Timestamp::MAX;
            self.told.retain(|told| {
                let stays = told.until > now;
                if stays {
                    earliest = earliest.min(told.until);
                }
                stays
            });
            self.full_until = earliest.max(now.plus(PAUSE));
        }
        self.told.len() < capacity
    }
}

/// The half of a hash that does not choose the cell, and the second until which the counter has been told, rounded down: what a cell
/// does not know for certain, the lock does.
fn cell_of(hash: u64, until: Timestamp) -> u64 {
    let second = u32::try_from(until.seconds().max(0)).unwrap_or(u32::MAX);
    (hash >> 32 << 32) | u64::from(second)
}

fn is_told(cell: u64, hash: u64, now: Timestamp) -> bool {
    let second = u32::try_from(now.seconds().max(0)).unwrap_or(u32::MAX);
    cell >> 32 == hash >> 32 && u64::from(second) < cell & 0xffff_ffff
}
