use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::{DefaultHashBuilder, Equivalent, HashMap, HashTable};
use stanchion_core::{Clock, Timestamp};

const SHARDS: usize = 16;

/// A bounded map in memory. Each entry carries the instant from which it must not be served any more, and a miss is loaded once.
///
/// An owner that follows the changes of what it keeps, and removes what has changed, says so with [`Cache::trust_until`]: entries are then
/// served past their own expiry, as long as it keeps up.
///
/// Full shards give up what was not read since the hand last passed (CLOCK). Removal wins over a load under way: what was being read
/// from the store when its key was [removed](Cache::remove) is handed to those who waited, but not kept.
pub struct Cache<K, V> {
    shards: Vec<Shard<K, V>>,
    hasher: DefaultHashBuilder,
    trusted_until: AtomicI64,
}

struct Shard<K, V> {
    entries: RwLock<Entries<K, V>>,
    loads: Mutex<HashMap<K, Load<V>>>,
}

struct Entries<K, V> {
    map: HashTable<Entry<K, V>>,
    /// The hashes of what is kept, in the order in which it is looked at for what to give up.
    hand: VecDeque<u64>,
    capacity: usize,
    hasher: DefaultHashBuilder,
}

struct Entry<K, V> {
    key: K,
    value: V,
    expires_at: Timestamp,
    read: AtomicBool,
}

/// The failure, or the value, that everyone who waited for one load receives.
type Outcome<V> = Option<Result<V, Arc<dyn std::any::Any + Send + Sync>>>;
type Load<V> = Arc<tokio::sync::Mutex<Outcome<V>>>;

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// Makes a cache of at most about `capacity` entries (at least 16).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.div_ceil(SHARDS).max(1);
        let hasher = DefaultHashBuilder::default();
        let shard = || Shard {
            entries: RwLock::new(Entries {
                map: HashTable::new(),
                hand: VecDeque::new(),
                capacity,
                hasher: hasher.clone(),
            }),
            loads: Mutex::new(HashMap::new()),
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
            trusted_until: AtomicI64::new(i64::MIN),
        }
    }

    /// Serves until `instant` whatever is kept, also what has expired by itself. An earlier instant than the one before changes nothing.
    pub fn trust_until(&self, instant: Timestamp) {
        self.trusted_until.fetch_max(instant.micros(), Ordering::Relaxed);
    }

    /// Returns what is kept for `key` and may be served at `now`.
    pub fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q, now: Timestamp) -> Option<V> {
        self.with(key, now, V::clone)
    }

    /// Looks at what is kept for `key` and may be served at `now`, without cloning it. `look` holds up the writers of a part of the
    /// cache: it is to be short, and must not use this cache.
    pub fn with<Q: Hash + Equivalent<K> + ?Sized, R>(
        &self,
        key: &Q,
        now: Timestamp,
        look: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let hash = self.hasher.hash_one(key);
        let entries = self.shard(hash)?.read();
        let serves = |entry: &&Entry<K, V>| {
            now < entry.expires_at || now.micros() < self.trusted_until.load(Ordering::Relaxed)
        };
        let entry = entries.map.find(hash, |entry| key.equivalent(&entry.key)).filter(serves)?;
        if !entry.read.load(Ordering::Relaxed) {
            entry.read.store(true, Ordering::Relaxed);
        }
        Some(look(&entry.value))
    }

    /// Keeps what `change` makes of the value kept for `key`, until the same instant; `None` leaves it as it is. What is not kept is
    /// not put back, so a key that was [removed](Cache::remove) meanwhile stays removed.
    pub fn update<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q, change: impl FnOnce(&V) -> Option<V>) {
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shard(hash) else { return };
        if let Some(entry) = shard.write().map.find_mut(hash, |entry| key.equivalent(&entry.key))
            && let Some(value) = change(&entry.value)
        {
            entry.value = value;
        }
    }

    /// Keeps `value` until `expires_at`.
    pub fn insert(&self, key: K, value: V, expires_at: Timestamp) {
        let hash = self.hasher.hash_one(&key);
        if let Some(shard) = self.shard(hash) {
            shard.write().insert(hash, Entry { key, value, expires_at, read: AtomicBool::new(false) });
        }
    }

    /// Forgets `key`, and whatever is being loaded for it.
    pub fn remove<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q) {
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shard(hash) else { return };
        // The load first: one that ends between the two steps would otherwise put its old value back.
        shard.loads().remove(key);
        if let Ok(entry) = shard.write().map.find_entry(hash, |entry| key.equivalent(&entry.key)) {
            entry.remove();
        }
    }

    /// Forgets every entry that `stale` picks, and everything that is being loaded.
    pub fn remove_if(&self, stale: impl Fn(&K, &V) -> bool) {
        for shard in &self.shards {
            shard.loads().clear();
            shard.write().map.retain(|entry| !stale(&entry.key, &entry.value));
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.remove_if(|_, _| true);
    }

    /// Returns how many entries are kept, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().map.len()).sum()
    }

    /// Tells whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what is kept for `key`, or loads it. However many callers miss at once, `load` runs once and all of them receive its
    /// value or its error; errors are not kept. When the caller that loads is dropped, the next one takes over.
    ///
    /// `load` returns the value and the instant it expires at. A value that has expired by then is handed out, but not kept.
    ///
    /// # Errors
    /// Whatever `load` returns.
    pub async fn get_or_load<E, L>(
        &self,
        key: &K,
        clock: &dyn Clock,
        load: impl FnOnce() -> L,
    ) -> Result<V, E>
    where
        E: Clone + Send + Sync + 'static,
        L: Future<Output = Result<(V, Timestamp), E>>,
    {
        if let Some(value) = self.get(key, clock.now()) {
            return Ok(value);
        }
        let hash = self.hasher.hash_one(key);
        let Some(shard) = self.shard(hash) else { return load().await.map(|(value, _)| value) };
        let load_under_way = Arc::clone(shard.loads().entry(key.clone()).or_default());
        let flight = Flight { shard, key, load: load_under_way };
        let mut outcome = flight.load.lock().await;
        match &*outcome {
            Some(Ok(value)) => return Ok(value.clone()),
            Some(Err(error)) => {
                if let Some(error) = error.downcast_ref::<E>() {
                    return Err(error.clone());
                }
            }
            None => {}
        }
        if let Some(value) = self.get(key, clock.now()) {
            shard.finish(key, &flight.load, |_| {});
            return Ok(value);
        }
        let loaded = load().await;
        match loaded {
            Ok((value, expires_at)) => {
                *outcome = Some(Ok(value.clone()));
                let read = AtomicBool::new(false);
                let entry = Entry { key: key.clone(), value: value.clone(), expires_at, read };
                let lasts = clock.now() < expires_at;
                shard.finish(key, &flight.load, |entries| {
                    if lasts {
                        entries.insert(hash, entry);
                    }
                });
                Ok(value)
            }
            Err(error) => {
                *outcome = Some(Err(Arc::new(error.clone())));
                shard.finish(key, &flight.load, |_| {});
                Err(error)
            }
        }
    }

    fn shard(&self, hash: u64) -> Option<&Shard<K, V>> {
        // Bits from the middle: the map inside a shard uses both ends.
        let shard = usize::try_from(hash >> 40).unwrap_or(0) % SHARDS;
        self.shards.get(shard)
    }
}

/// One caller's part in a load. The last caller to leave a load that did not end takes it off the list.
struct Flight<'a, K: Hash + Eq, V> {
    shard: &'a Shard<K, V>,
    key: &'a K,
    load: Load<V>,
}

impl<K: Hash + Eq, V> Drop for Flight<'_, K, V> {
    fn drop(&mut self) {
        // Clones come and go under the lock only, so the count is exact.
        let mut loads = self.shard.loads();
        let load = std::mem::take(&mut self.load);
        let listed = loads.get(self.key).is_some_and(|current| Arc::ptr_eq(current, &load));
        if listed && Arc::strong_count(&load) == 2 {
            loads.remove(self.key);
        }
        drop(load);
    }
}

impl<K: Hash + Eq, V> Shard<K, V> {
    fn read(&self) -> RwLockReadGuard<'_, Entries<K, V>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries<K, V>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn loads(&self) -> MutexGuard<'_, HashMap<K, Load<V>>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a load and keeps its value, unless the key was removed meanwhile.
    fn finish(&self, key: &K, flight: &Load<V>, keep: impl FnOnce(&mut Entries<K, V>)) {
        let mut loads = self.loads();
        if loads.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
            loads.remove(key);
            keep(&mut self.write());
        }
    }
}

impl<K: Hash + Eq, V> Entries<K, V> {
    fn insert(&mut self, hash: u64, entry: Entry<K, V>) {
        let hasher = &self.hasher;
        let hash_of = |entry: &Entry<K, V>| hasher.hash_one(&entry.key);
        match self.map.find_mut(hash, |kept| kept.key == entry.key) {
            Some(kept) => *kept = entry,
            None => {
                self.map.insert_unique(hash, entry, hash_of);
                self.hand.push_back(hash);
            }
        }
        while self.map.len() > self.capacity {
            let Some(candidate) = self.hand.pop_front() else { break };
            // Two keys of one hash are in the hand twice, and either may go in the turn of the other.
            match self.map.find_entry(candidate, |kept| hash_of(kept) == candidate) {
                Ok(kept) if kept.get().read.swap(false, Ordering::Relaxed) => self.hand.push_back(candidate),
                Ok(kept) => drop(kept.remove()),
                Err(_) => {}
            }
        }
        // Keys that were removed leave their place behind; it is swept before it outgrows the map.
        if self.hand.len() > 2 * self.capacity {
            let mut seen = hashbrown::HashSet::with_capacity(self.map.len());
            let map = &self.map;
            self.hand.retain(|hash| {
                map.find(*hash, |kept| hash_of(kept) == *hash).is_some() && seen.insert(*hash)
            });
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test owns what it spawns")]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    use stanchion_core::{ManualClock, StoreError, StoreErrorKind};
    use tokio::sync::Notify;

    const LATER: Timestamp = Timestamp::MAX;

    #[test]
    fn the_bound_holds_and_what_is_read_stays() {
        let cache = Cache::new(160);
        cache.insert(0_u32, 0_u32, LATER);
        for key in 1..10_000 {
            cache.insert(key, key, LATER);
            assert_eq!(cache.get(&0, Timestamp::EPOCH), Some(0), "evicted a key in use at {key}");
        }
        assert!(cache.len() <= 160);
    }

    #[test]
    fn what_is_followed_outlives_its_expiry_as_long_as_it_is() {
        let (cache, at) = (Cache::new(100), Timestamp::from_micros);
        cache.insert("a", 1, at(10));
        assert_eq!((cache.get("a", at(9)), cache.get("a", at(10))), (Some(1), None));
        cache.trust_until(at(20));
        cache.trust_until(at(15));
        assert_eq!((cache.get("a", at(19)), cache.get("a", at(20))), (Some(1), None));
        cache.remove("a");
        assert_eq!(cache.get("a", at(9)), None);
    }

    #[test]
    fn removed_keys_do_not_pile_up() {
        let cache = Cache::new(16);
        for key in 0..10_000_u32 {
            cache.insert(key, (), LATER);
            cache.remove(&key);
        }
        assert!(cache.is_empty());
        assert!(cache.shards.iter().all(|shard| shard.read().hand.len() <= 3));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_crowd_of_misses_loads_once() {
        let cache = Arc::new(Cache::<u32, u32>::new(100));
        let (loads, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let tasks: Vec<_> = (0..64)
            .map(|_| {
                let (cache, loads, gate) = (Arc::clone(&cache), Arc::clone(&loads), Arc::clone(&gate));
                tokio::spawn(async move {
                    let load = || async {
                        loads.fetch_add(1, Ordering::SeqCst);
                        gate.notified().await;
                        Ok::<_, StoreError>((7, LATER))
                    };
                    cache.get_or_load(&1, &ManualClock::default(), load).await
                })
            })
            .collect();
        while loads.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
        for task in tasks {
            assert_eq!(task.await.unwrap().unwrap(), 7);
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_value_removed_while_it_was_loading_is_not_kept() {
        let (cache, clock) = (Cache::<u32, u32>::new(100), ManualClock::default());
        let load = || async {
            cache.remove(&1);
            Ok::<_, StoreError>((7, LATER))
        };
        assert_eq!(cache.get_or_load(&1, &clock, load).await.unwrap(), 7);
        assert_eq!(cache.get(&1, clock.now()), None);
    }

    #[test]
    fn an_update_changes_only_what_is_kept() {
        let cache = Cache::<u32, u32>::new(100);
        cache.update(&1, |_| Some(8));
        assert!(cache.is_empty(), "nothing to change");
        cache.insert(1, 7, Timestamp::from_micros(10));
        cache.update(&1, |value| (*value == 6).then_some(8));
        assert_eq!(cache.with(&1, Timestamp::EPOCH, |value| value + 1), Some(8));
        cache.update(&1, |value| (*value == 7).then_some(9));
        assert_eq!(cache.get(&1, Timestamp::from_micros(9)), Some(9));
        assert_eq!(cache.get(&1, Timestamp::from_micros(10)), None, "an update does not prolong");
    }

    #[tokio::test]
    async fn an_error_is_told_and_not_kept() {
        let (cache, clock) = (Cache::<u32, u32>::new(100), ManualClock::default());
        let down = || async { Err(StoreError::new(StoreErrorKind::Unavailable, "test", "load")) };
        assert_eq!(
            cache.get_or_load(&1, &clock, down).await.unwrap_err().kind(),
            StoreErrorKind::Unavailable
        );
        let up = || async { Ok::<_, StoreError>((7, LATER)) };
        assert_eq!(cache.get_or_load(&1, &clock, up).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_waiter_takes_over_from_a_dropped_loader() {
        let (cache, clock) = (Cache::<u32, u32>::new(100), ManualClock::default());
        let mut first = Box::pin(cache.get_or_load(
            &1,
            &clock,
            std::future::pending::<Result<(u32, Timestamp), StoreError>>,
        ));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let mut second =
            Box::pin(cache.get_or_load(&1, &clock, || async { Ok::<_, StoreError>((7, LATER)) }));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn loads_that_everyone_left_do_not_pile_up() {
        let (cache, clock) = (Cache::<u32, u32>::new(100), ManualClock::default());
        for key in 0..1_000 {
            let never = std::future::pending::<Result<(u32, Timestamp), StoreError>>;
            let mut load = Box::pin(cache.get_or_load(&key, &clock, never));
            let mut wait = Box::pin(cache.get_or_load(&key, &clock, never));
            assert!(futures_util::poll!(load.as_mut()).is_pending());
            assert!(futures_util::poll!(wait.as_mut()).is_pending());
        }
        assert!(cache.shards.iter().all(|shard| shard.loads().is_empty()));
    }

    #[tokio::test]
    async fn a_value_that_has_expired_already_is_told_and_not_kept() {
        let (cache, clock) = (Cache::<u32, u32>::new(100), ManualClock::at(LATER));
        let load = || async { Ok::<_, StoreError>((7, LATER)) };
        assert_eq!(cache.get_or_load(&1, &clock, load).await.unwrap(), 7);
        assert!(cache.is_empty());
    }
}
