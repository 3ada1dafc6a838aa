use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::select;
use stanchion_core::{Clock, FeedCursor, FeedEntry, StoreError, SystemScope, Timer, Timestamp};
use tokio::sync::Notify;

use crate::ChangeFeed;

/// Something that holds a snapshot and can bring it up to date.
#[async_trait]
pub trait Follow: fmt::Debug + Send + Sync {
    /// Takes in committed changes, oldest first. Changes it knows already, its own among them, are to be passed over.
    ///
    /// # Errors
    /// When the store could not be read; the same changes are then given again.
    async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError>;

    /// Forgets or reloads everything it holds, since changes may have been missed.
    ///
    /// # Errors
    /// When the store could not be read; it is then asked again.
    async fn reset(&self) -> Result<(), StoreError>;

    /// Hears that every change committed before `as_of` has been taken in, for a snapshot that is trusted for a limited time only.
    fn caught_up(&self, as_of: Timestamp) {
        let _ = as_of;
    }
}

/// How a [`Follower`] keeps up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerConfig {
    /// The longest time between two looks at the feed, with or without a bus. At most 500 ms keeps a revocation within a second.
    pub interval: Duration,
    /// How many changes are read at once.
    pub page: usize,
}

impl Default for FollowerConfig {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), page: 1_000 }
    }
}

/// When a follower last knew that it had seen everything. Clones share it.
#[derive(Clone, Debug)]
pub struct Freshness(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    at: AtomicI64,
    /// Somebody wants the follower to look now.
    asked: Notify,
    /// The follower has looked.
    looked: Notify,
}

impl Freshness {
    /// Starts as fresh at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let at = AtomicI64::new(now.micros());
        Self(Arc::new(Seen { at, asked: Notify::new(), looked: Notify::new() }))
    }

    /// Returns how old the snapshot may be at `now`.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Duration {
        now.since(Timestamp::from_micros(self.0.at.load(Ordering::Relaxed)))
    }

    /// Has the follower look at once, and waits until every change committed before `at`, an instant of its clock, has been taken in.
    /// While nobody runs the follower, or its store cannot be read, that is for ever.
    pub async fn reach(&self, at: Timestamp) {
        loop {
            let mut looked = pin!(self.0.looked.notified());
            looked.as_mut().enable();
            if self.0.at.load(Ordering::Relaxed) >= at.micros() {
                return;
            }
            self.0.asked.notify_one();
            looked.await;
        }
    }

    fn touch(&self, now: Timestamp) {
        self.0.at.fetch_max(now.micros(), Ordering::Relaxed);
        self.0.looked.notify_waiters();
    }
}

/// Reads a change feed and keeps a snapshot up to date with it.
#[derive(Debug)]
pub struct Follower {
    feed: Arc<dyn ChangeFeed>,
    target: Arc<dyn Follow>,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    config: FollowerConfig,
    cursor: Option<FeedCursor>,
    freshness: Freshness,
}

impl Follower {
    /// Sets up a follower that has seen nothing yet.
    #[must_use]
    pub fn new(
        feed: Arc<dyn ChangeFeed>,
        target: Arc<dyn Follow>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        config: FollowerConfig,
    ) -> Self {
        let freshness = Freshness::at(clock.now());
        Self { feed, target, clock, timer, config, cursor: None, freshness }
    }

    /// Returns the follower's freshness, for whoever decides by the snapshot.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.freshness.clone()
    }

    /// Reads all there is to read now.
    ///
    /// # Errors
    /// When the feed or the snapshot's store cannot be read; nothing is skipped, the next call goes on from the same place.
    pub async fn catch_up(&mut self) -> Result<(), StoreError> {
        loop {
            let asked_at = self.clock.now();
            let system = SystemScope::new("follow a change feed");
            let page = self.feed.changes(system, self.cursor.as_ref(), self.config.page).await?;
            if page.reset {
                self.target.reset().await?;
            }
            if !page.entries.is_empty() {
                self.target.changed(&page.entries).await?;
            }
            let more = page.entries.len() >= self.config.page;
            self.cursor = Some(page.cursor);
            if !more {
                self.freshness.touch(asked_at);
                self.target.caught_up(asked_at);
                return Ok(());
            }
        }
    }

    /// Follows until it is dropped. While it is not run, the snapshot grows stale; that is all that is lost. `failed` hears of every
    /// look that did not succeed.
    pub async fn run(mut self, failed: impl Fn(&StoreError) + Send) {
        loop {
            if let Err(error) = self.catch_up().await {
                failed(&error);
            }
            let next = self.clock.now().plus(self.config.interval);
            let (feed, freshness) = (Arc::clone(&self.feed), self.freshness.clone());
            let asked = pin!(freshness.0.asked.notified());
            select(self.timer.sleep_until(next), select(feed.arrived(), asked)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    use stanchion_core::{Actor, Change, ManualClock, Revision, Scope, StoreErrorKind};

    use crate::Records;

    #[derive(Debug, Default)]
    struct Seen {
        revisions: Mutex<Vec<u64>>,
        resets: Mutex<u32>,
        caught_up: Mutex<Vec<i64>>,
        broken: Mutex<bool>,
    }

    #[async_trait]
    impl Follow for Seen {
        async fn changed(&self, entries: &[FeedEntry]) -> Result<(), StoreError> {
            if *self.broken.lock().unwrap() {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "test", "load"));
            }
            self.revisions.lock().unwrap().extend(entries.iter().map(|entry| entry.revision.number()));
            Ok(())
        }

        async fn reset(&self) -> Result<(), StoreError> {
            *self.resets.lock().unwrap() += 1;
            Ok(())
        }

        fn caught_up(&self, as_of: Timestamp) {
            self.caught_up.lock().unwrap().push(as_of.micros());
        }
    }

    fn write(records: &Records<u32>, expected: u64) {
        let change = Change {
            expected: Revision::from_number(expected),
            changes: vec![1],
            at: Timestamp::EPOCH,
            actor: Actor::Anonymous,
            events: Vec::new(),
        };
        records.apply("test", Scope::Platform, change, |_, _| {}, |_| "key".into()).unwrap();
    }

    #[tokio::test]
    async fn every_change_is_seen_once_also_after_a_failure() {
        let records = Arc::new(Records::<u32>::new(None));
        let (seen, clock) = (Arc::new(Seen::default()), Arc::new(ManualClock::default()));
        let config = FollowerConfig { page: 2, ..FollowerConfig::default() };
        let mut follower = Follower::new(records.clone(), seen.clone(), clock.clone(), clock.clone(), config);
        follower.catch_up().await.unwrap();
        (0..5).for_each(|revision| write(&records, revision));
        *seen.broken.lock().unwrap() = true;
        clock.advance(Duration::from_secs(5));
        assert!(follower.catch_up().await.is_err());
        assert_eq!(follower.freshness().age(clock.now()), Duration::from_secs(5));
        *seen.broken.lock().unwrap() = false;
        follower.catch_up().await.unwrap();
        assert_eq!(*seen.revisions.lock().unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(*seen.resets.lock().unwrap(), 1, "only the first look starts from nothing");
        assert_eq!(follower.freshness().age(clock.now()), Duration::ZERO);
        assert_eq!(*seen.caught_up.lock().unwrap(), [0, 5_000_000], "not where the look failed");
    }

    #[tokio::test]
    async fn whoever_asks_for_freshness_has_the_follower_look_at_once() {
        let records = Arc::new(Records::<u32>::new(None));
        let (seen, clock) = (Arc::new(Seen::default()), Arc::new(ManualClock::default()));
        let config = FollowerConfig::default();
        let mut follower = Follower::new(records.clone(), seen.clone(), clock.clone(), clock.clone(), config);
        follower.catch_up().await.unwrap();
        let freshness = follower.freshness();
        clock.advance(Duration::from_secs(1));
        write(&records, 0);
        let reached = async {
            freshness.reach(clock.now()).await;
            seen.revisions.lock().unwrap().clone()
        };
        let run = pin!(follower.run(|_| {}));
        let futures_util::future::Either::Left((revisions, _)) = select(pin!(reached), run).await else {
            panic!("a follower does not end");
        };
        assert_eq!(revisions, [1], "although no time has passed since");
        freshness.reach(clock.now()).await;
    }
}
