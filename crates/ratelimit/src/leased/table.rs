use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use stanchion_core::Timestamp;
use tokio::sync::Notify;

use super::account::Account;
use super::lot::Owed;
use crate::memory::name::{SlotId, Wanted};
use crate::{Limit, Slot};

const SHARDS: usize = 64;
/// A full shard is not looked through more often than this.
const PAUSE: Duration = Duration::from_millis(100);

/// The accounts, in parts with a lock each.
#[derive(Debug)]
pub(super) struct Table {
    parts: Box<[Part]>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Part {
    shard: Mutex<Shard>,
    /// Told whenever a call comes back that was on its way for an account of this part.
    landed: Notify,
}

#[derive(Debug)]
pub(super) struct Shard {
    accounts: HashTable<Account>,
    capacity: usize,
    /// Until when none of the accounts can be let go of, as far as the last look at all of them could tell.
    full_until: Timestamp,
    ticket: u64,
    /// How many decisions were made here without the shared store, told by the shard of their first charge.
    pub(super) decided: u64,
}

/// Which shard a name belongs to, and its hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) hash: u64,
    pub(super) shard: usize,
}

pub(super) type Guards<'a> = SmallVec<[MutexGuard<'a, Shard>; 8]>;

impl Table {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.div_ceil(SHARDS).max(1);
        let part = || Part { shard: Mutex::new(Shard::new(capacity)), landed: Notify::new() };
        Self { parts: (0..SHARDS).map(|_| part()).collect(), hasher: DefaultHashBuilder::default() }
    }

    #[inline]
    pub(super) fn address(&self, slot: SlotId, key: &[u8]) -> Address {
        const { assert!(SHARDS == 64) };
        let hash = slot.with(key).hash(&self.hasher);
        // Bits that the table inside the shard does not use.
        Address { hash, shard: (hash >> 48 & 63) as usize }
    }

    #[inline]
    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard> {
        self.part(shard).shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks shards, lowest first, so that no two callers wait for each other; the guards come in the order of the sorted numbers.
    pub(super) fn lock_all(&self, shards: &[usize]) -> Guards<'_> {
        shards.iter().map(|shard| self.lock(*shard)).collect()
    }

    pub(super) fn landed(&self, shard: usize) -> &Notify {
        &self.part(shard).landed
    }

    pub(super) const fn hasher(&self) -> &DefaultHashBuilder {
        &self.hasher
    }

    /// Visits each shard, locked.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&mut Shard)) {
        for shard in 0..SHARDS {
            visit(&mut self.lock(shard));
        }
    }

    #[expect(clippy::indexing_slicing, reason = "an address has a shard below the number of shards")]
    fn part(&self, shard: usize) -> &Part {
        &self.parts[shard]
    }
}

impl Shard {
    fn new(capacity: usize) -> Self {
        Self { accounts: HashTable::new(), capacity, full_until: Timestamp::MIN, ticket: 0, decided: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Finds the place of an account. It holds while the shard is locked and no account comes or goes.
    #[inline]
    pub(super) fn find(&self, hash: u64, wanted: Wanted<'_>) -> Option<usize> {
        self.accounts.find_bucket_index(hash, |account| account.is(wanted))
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> Option<&Account> {
        self.accounts.get_bucket(place)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut Account> {
        self.accounts.get_bucket_mut(place)
    }

    pub(super) fn get_mut(&mut self, hash: u64, wanted: Wanted<'_>) -> Option<&mut Account> {
        self.accounts.find_mut(hash, |account| account.is(wanted))
    }

    /// Returns a number that no other call has which concerns this shard.
    pub(super) const fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    /// Opens an account, unless the shard is full of such as have something to lose. What is left of those that make room is owed to
    /// the shared store.
    ///
    /// A full shard is looked through once, and then not again before one of its accounts can be let go of, nor every time one can:
    /// being full costs no more than not being so.
    pub(super) fn open(
        &mut self,
        slot: Slot,
        wanted: Wanted<'_>,
        limit: Limit,
        now: Timestamp,
        hasher: &DefaultHashBuilder,
        owed: &mut Vec<Owed>,
    ) -> bool {
        if self.accounts.len() >= self.capacity {
            if now < self.full_until {
                return false;
            }
            self.full_until = self.sweep(now, owed);
            if self.accounts.len() >= self.capacity {
                return false;
            }
        }
        let account = Account::new(slot, wanted, limit, self.next_ticket());
        self.accounts.insert_unique(wanted.hash(hasher), account, |account| account.hash(hasher));
        true
    }

    /// Closes the accounts that have nothing to lose, and takes the units off the others that may not be used any more. Returns when
    /// it is worth looking again.
    pub(super) fn sweep(&mut self, now: Timestamp, owed: &mut Vec<Owed>) -> Timestamp {
        let mut earliest = Timestamp::MAX;
        self.accounts.retain(|account| {
            if account.has_expired(now) {
                owed.extend(account.clear(now));
            }
            match account.idle_at() {
                Some(idle_at) if idle_at <= now => false,
                idle_at => {
                    earliest = earliest.min(idle_at.unwrap_or(now));
                    true
                }
            }
        });
        earliest.max(now.plus(PAUSE))
    }

    /// Takes all units off all accounts.
    pub(super) fn empty(&mut self, now: Timestamp, owed: &mut Vec<Owed>) {
        for account in &mut self.accounts {
            owed.extend(account.clear(now));
        }
    }

    /// Forgets an account and everything it had.
    pub(super) fn close(&mut self, hash: u64, wanted: Wanted<'_>) {
        if let Ok(entry) = self.accounts.find_entry(hash, |account| account.is(wanted)) {
            entry.remove();
        }
    }
}
