use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use stanchion_core::{
    Change, FeedCursor, FeedEntry, FeedPage, Revision, Scope, StoreError, StoreErrorKind, SystemScope,
};
use tokio::sync::Notify;

use crate::{ChangeFeed, MemoryOutboxStore};

const FEED_LENGTH: usize = 65_536;

/// The records of an in-memory adapter: for each scope its data and revision, and for all of them a change feed and an outbox.
pub struct Records<T> {
    state: RwLock<State<T>>,
    outbox: Option<Arc<MemoryOutboxStore>>,
    arrived: Notify,
}

struct State<T> {
    scopes: HashMap<Scope, (Revision, T)>,
    feed: VecDeque<FeedEntry>,
    /// The number of the first entry in `feed`.
    first: u64,
}

impl<T: Default> Records<T> {
    /// Makes empty records. Without an outbox the events of changes are discarded.
    #[must_use]
    pub fn new(outbox: Option<Arc<MemoryOutboxStore>>) -> Self {
        let state = State { scopes: HashMap::new(), feed: VecDeque::new(), first: 0 };
        Self { state: RwLock::new(state), outbox, arrived: Notify::new() }
    }

    /// Reads a scope at its revision; a scope without a change reads as empty at revision zero.
    pub fn read<R>(&self, scope: Scope, read: impl FnOnce(Revision, &T) -> R) -> R {
        let state = self.lock();
        match state.scopes.get(&scope) {
            Some((revision, data)) => read(*revision, data),
            None => {
                drop(state);
                read(Revision::ZERO, &T::default())
            }
        }
    }

    /// Goes through all scopes that have changed ever, in no order.
    pub fn each(&self, mut visit: impl FnMut(Scope, Revision, &T)) {
        for (scope, (revision, data)) in &self.lock().scopes {
            visit(*scope, *revision, data);
        }
    }

    /// Applies a change as one unit: checks its revision, writes each part, bumps the revision, feeds followers, fills the outbox.
    /// `key` names the feed key of a part.
    ///
    /// # Errors
    /// `Conflict` when the scope is not at the expected revision; nothing has changed then.
    pub fn apply<C>(
        &self,
        operation: &'static str,
        scope: Scope,
        change: Change<C>,
        mut write: impl FnMut(&mut T, C),
        key: impl Fn(&C) -> Arc<str>,
    ) -> Result<Revision, StoreError> {
        let mut state = self.lock_mut();
        let (revision, data) = state.scopes.entry(scope).or_default();
        if *revision != change.expected {
            return Err(StoreError::new(StoreErrorKind::Conflict, "memory", operation));
        }
        *revision = revision.next();
        let revision = *revision;
        let mut keys = Vec::with_capacity(change.changes.len());
        for part in change.changes {
            keys.push(key(&part));
            write(data, part);
        }
        state.feed.push_back(FeedEntry { scope, revision, keys });
        if state.feed.len() > FEED_LENGTH {
            state.feed.pop_front();
            state.first += 1;
        }
        // Under the lock, so that the outbox has the order of the changes.
        if let Some(outbox) = &self.outbox {
            outbox.append(change.events);
        }
        drop(state);
        self.arrived.notify_waiters();
        Ok(revision)
    }

    fn lock(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_mut(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<T: Default + Send + Sync> ChangeFeed for Records<T> {
    async fn changes(
        &self,
        _system: SystemScope,
        cursor: Option<&FeedCursor>,
        limit: usize,
    ) -> Result<FeedPage, StoreError> {
        let corrupt = || StoreError::new(StoreErrorKind::Corrupt, "memory", "changes");
        let from: Option<u64> =
            cursor.map(|cursor| cursor.as_str().parse()).transpose().map_err(|_| corrupt())?;
        let state = self.lock();
        let end = state.first.saturating_add(u64::try_from(state.feed.len()).unwrap_or(u64::MAX));
        let skip = from.filter(|from| *from <= end).and_then(|from| from.checked_sub(state.first));
        let Some(skip) = skip.and_then(|skip| usize::try_from(skip).ok()) else {
            return Ok(FeedPage {
                entries: Vec::new(),
                cursor: FeedCursor::new(&end.to_string()),
                reset: true,
            });
        };
        let entries: Vec<FeedEntry> = state.feed.iter().skip(skip).take(limit).cloned().collect();
        let next = state.first.saturating_add(u64::try_from(skip + entries.len()).unwrap_or(u64::MAX));
        Ok(FeedPage { entries, cursor: FeedCursor::new(&next.to_string()), reset: false })
    }

    async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl<T> fmt::Debug for Records<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use stanchion_core::{Actor, Timestamp};

    fn change(expected: u64) -> Change<u32> {
        Change {
            expected: Revision::from_number(expected),
            changes: vec![7],
            at: Timestamp::EPOCH,
            actor: Actor::Anonymous,
            events: Vec::new(),
        }
    }

    #[test]
    fn a_stale_change_leaves_no_trace() {
        let records = Records::<Vec<u32>>::new(None);
        let put = |expected| {
            records.apply(
                "put",
                Scope::Platform,
                change(expected),
                |data, part| data.push(part),
                |_| "k".into(),
            )
        };
        assert_eq!(put(0).unwrap().number(), 1);
        assert_eq!(put(0).unwrap_err().kind(), StoreErrorKind::Conflict);
        assert_eq!(
            records.read(Scope::Platform, |revision, data| (revision.number(), data.clone())),
            (1, vec![7])
        );
    }

    #[tokio::test]
    async fn a_cursor_that_fell_out_of_the_feed_resets_its_follower() {
        let records = Records::<u32>::new(None);
        let put =
            |expected| records.apply("put", Scope::Platform, change(expected), |_, _| {}, |_| "k".into());
        let system = SystemScope::new("test");
        let start = records.changes(system, None, 10).await.unwrap();
        assert!(start.reset && start.entries.is_empty());
        for revision in 0..=u64::try_from(FEED_LENGTH).unwrap() {
            put(revision).unwrap();
        }
        assert!(records.changes(system, Some(&start.cursor), 10).await.unwrap().reset);
        assert!(records.changes(system, Some(&FeedCursor::new("nonsense")), 10).await.is_err());
    }
}
