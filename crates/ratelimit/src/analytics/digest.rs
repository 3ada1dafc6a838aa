use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashTable};
use stanchion_core::{Event, Scope, Timestamp};

/// Something that may be told many times over, and then is told as one with its number.
pub(crate) trait Repeated: Clone + fmt::Debug {
    /// Whose record it belongs to; it takes a share of the room.
    fn scope(&self) -> Scope;

    /// When it happened.
    fn at(&self) -> Timestamp;

    /// What makes it the same as another.
    fn same(&self) -> impl Eq + Hash;

    /// The same without a name, for when there are too many names.
    fn anonymous(&self) -> Self;
}

/// Adds up what is the same, so that it is told once in an interval however often it happened: the first time soon, and then with the
/// number of times.
///
/// It is bounded: a scope has at most a quarter of the room. Of what finds no room the names are left out, and where there is none for
/// that either it is counted as untold.
#[derive(Debug)]
pub(crate) struct Digest<R> {
    kept: Mutex<Kept<R>>,
    capacity: usize,
    share: usize,
    untold: AtomicU64,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Kept<R> {
    sums: HashTable<Sum<R>>,
    of_scope: HashMap<Scope, usize>,
}

/// What was the same, and how often it happened since it was told last.
#[derive(Debug)]
struct Sum<R> {
    latest: R,
    hash: u64,
    times: u64,
    first: Timestamp,
    quiet_until: Timestamp,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due<R> {
    /// It, as it was the last time.
    pub(crate) latest: R,
    pub(crate) times: u64,
    pub(crate) first: Timestamp,
}

impl<R> Due<R> {
    /// Adds to its event how often it happened, since when.
    pub(crate) fn complete(&self, event: Event) -> Event {
        event.with_detail("times", self.times).with_detail("first_at", self.first.to_string())
    }
}

impl<R: Repeated> Digest<R> {
    pub(crate) fn new(capacity: NonZeroUsize) -> Self {
        let capacity = capacity.get();
        let kept = Kept { sums: HashTable::new(), of_scope: HashMap::new() };
        Self {
            kept: Mutex::new(kept),
            capacity,
            share: (capacity / 4).max(1),
            untold: AtomicU64::new(0),
            hasher: DefaultHashBuilder::default(),
        }
    }

    pub(crate) fn add(&self, one: &R) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.add(self.hasher.hash_one(one.same()), one, self.capacity, self.share) {
            return;
        }
        let one = one.anonymous();
        // A few more, so that what has no name any more is told whatever else there is.
        let room = |of: usize| of.saturating_add(of / 8).saturating_add(1);
        if !kept.add(self.hasher.hash_one(one.same()), &one, room(self.capacity), room(self.share)) {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes what is due, which is then not told again before `interval` is over.
    pub(crate) fn take_due(&self, now: Timestamp, interval: Duration) -> Vec<Due<R>> {
        self.take(now, interval, |sum| sum.quiet_until <= now)
    }

    /// Takes all that was not told yet.
    pub(crate) fn take_all(&self, now: Timestamp) -> Vec<Due<R>> {
        self.take(now, Duration::ZERO, |_| true)
    }

    /// Returns how often something found no room at all.
    pub(crate) fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    fn take(&self, now: Timestamp, interval: Duration, is_due: impl Fn(&Sum<R>) -> bool) -> Vec<Due<R>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { sums, of_scope } = &mut *kept;
        let mut due = Vec::new();
        sums.retain(|sum| {
            if !is_due(sum) {
                return true;
            }
            if sum.times == 0 {
                leave(of_scope, sum.latest.scope());
                return false;
            }
            due.push(Due { latest: sum.latest.clone(), times: sum.times, first: sum.first });
            (sum.times, sum.quiet_until) = (0, now.plus(interval));
            true
        });
        due
    }
}

impl<R: Repeated> Kept<R> {
    /// Tells whether there was room.
    fn add(&mut self, hash: u64, one: &R, capacity: usize, share: usize) -> bool {
        if let Some(sum) = self.sums.find_mut(hash, |sum| sum.hash == hash && sum.latest.same() == one.same())
        {
            if sum.times == 0 {
                sum.first = one.at();
            }
            sum.times = sum.times.saturating_add(1);
            sum.latest = one.clone();
            return true;
        }
        let of_scope = self.of_scope.get(&one.scope()).copied().unwrap_or(0);
        if self.sums.len() >= capacity || of_scope >= share {
            return false;
        }
        let (latest, first, quiet_until) = (one.clone(), one.at(), Timestamp::MIN);
        self.of_scope.insert(one.scope(), of_scope.saturating_add(1));
        self.sums.insert_unique(hash, Sum { latest, hash, times: 1, first, quiet_until }, |sum| sum.hash);
        true
    }
}

fn leave(of_scope: &mut HashMap<Scope, usize>, scope: Scope) {
    if let Some(count) = of_scope.get_mut(&scope) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            of_scope.remove(&scope);
        }
    }
}
