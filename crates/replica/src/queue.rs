use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use hashbrown::HashMap;
use stanchion_core::{Clock, Scope, Timer};
use tokio::sync::Notify;

/// The bounds of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// The most items that wait, at least 1.
    pub capacity: usize,
    /// The most items of one scope that wait, at least 1. Keep it below `capacity`, so that no tenant can fill the queue alone.
    pub share: usize,
    /// The most items of a batch, at least 1.
    pub batch: usize,
    /// How long the consumer waits for company after the first item of a batch.
    pub linger: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { capacity: 65_536, share: 16_384, batch: 1_000, linger: Duration::from_millis(2) }
    }
}

/// A bounded queue with many producers and one consumer that takes batches, for group commit.
///
/// A full queue is never silent: [`Queue::try_push`] gives the item back with the reason, [`Queue::push`] waits, and
/// [`Queue::reserve`] finds out before the work is begun whose record must not be lost.
pub struct Queue<T> {
    config: QueueConfig,
    state: Mutex<State<T>>,
    arrived: Notify,
    left: Notify,
}

struct State<T> {
    items: VecDeque<(Scope, T)>,
    /// Items and reserved places, by scope.
    taken: HashMap<Scope, usize>,
    reserved: usize,
    idle: bool,
    /// How many items the consumer lingers for.
    enough: usize,
    closed: bool,
}

/// An item that found no room.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T> {
    /// The item, given back.
    pub item: T,
    /// Which bound was reached.
    pub reason: FullReason,
}

/// The bound that refused an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// The queue as a whole.
    Capacity,
    /// The share of the item's scope.
    Share,
    /// The queue was closed.
    Closed,
}

/// The queue was closed; the item is given back.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<T>(pub T);

impl<T> Queue<T> {
    /// Makes an empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        let state = State {
            items: VecDeque::new(),
            taken: HashMap::new(),
            reserved: 0,
            idle: false,
            enough: config.batch,
            closed: false,
        };
        Self { config, state: Mutex::new(state), arrived: Notify::new(), left: Notify::new() }
    }

    /// Adds an item if there is room for it now.
    ///
    /// # Errors
    /// [`Full`] gives the item back when the queue or the scope's share is full, or the queue is closed.
    pub fn try_push(&self, scope: Scope, item: T) -> Result<(), Full<T>> {
        let mut state = self.state();
        if let Err(reason) = self.take_place(&mut state, scope) {
            return Err(Full { item, reason });
        }
        self.put(state, scope, item);
        Ok(())
    }

    /// Takes a place for an item that comes later; a place never fails to take its item. A dropped place is free again.
    ///
    /// # Errors
    /// The bound that leaves no place.
    pub fn reserve(self: &Arc<Self>, scope: Scope) -> Result<Place<T>, FullReason> {
        let mut state = self.state();
        self.take_place(&mut state, scope)?;
        state.reserved += 1;
        Ok(Place { queue: Arc::clone(self), scope, used: false })
    }

    fn take_place(&self, state: &mut State<T>, scope: Scope) -> Result<(), FullReason> {
        if state.closed {
            return Err(FullReason::Closed);
        }
        if state.items.len().saturating_add(state.reserved) >= self.config.capacity {
            return Err(FullReason::Capacity);
        }
        let taken = state.taken.entry(scope).or_insert(0);
        if *taken >= self.config.share {
            return Err(FullReason::Share);
        }
        *taken += 1;
        Ok(())
    }

    fn put(&self, mut state: MutexGuard<'_, State<T>>, scope: Scope, item: T) {
        state.items.push_back((scope, item));
        // The consumer is woken once per batch, not once per item: a wake-up costs more than the rest of a push.
        let is_enough = state.items.len() == state.enough;
        let wake = std::mem::take(&mut state.idle) || is_enough;
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Adds an item, waiting for room as long as it takes.
    ///
    /// # Errors
    /// [`Closed`] gives the item back once the queue is closed.
    pub async fn push(&self, scope: Scope, item: T) -> Result<(), Closed<T>> {
        let mut item = item;
        loop {
            let left = self.left.notified();
            let mut left = std::pin::pin!(left);
            left.as_mut().enable();
            match self.try_push(scope, item) {
                Ok(()) => return Ok(()),
                Err(full) if full.reason == FullReason::Closed => return Err(Closed(full.item)),
                Err(full) => item = full.item,
            }
            left.await;
        }
    }

    /// Takes the next batch, oldest first: waits for a first item, then up to `linger` for more. `None` once the queue is closed and
    /// empty. Only one consumer may wait at a time.
    pub async fn next_batch(&self, clock: &dyn Clock, timer: &dyn Timer) -> Option<Vec<T>> {
        self.next_batch_of(self.config.batch, self.config.batch, clock, timer).await
    }

    /// Takes the next batch as [`next_batch`](Self::next_batch), of at most `most` items, and lingers only until `enough` wait: for a
    /// consumer that knows how many are to be expected. Neither is more than a batch.
    pub async fn next_batch_of(
        &self,
        enough: usize,
        most: usize,
        clock: &dyn Clock,
        timer: &dyn Timer,
    ) -> Option<Vec<T>> {
        self.state().enough = enough.min(self.config.batch);
        loop {
            {
                let mut state = self.state();
                if !state.items.is_empty() {
                    break;
                }
                if state.closed && state.reserved == 0 {
                    return None;
                }
                state.idle = true;
            }
            self.arrived.notified().await;
        }
        if !self.config.linger.is_zero() {
            let deadline = clock.now().plus(self.config.linger);
            let mut elapsed = timer.sleep_until(deadline);
            while self.wants_more() {
                let arrived = std::pin::pin!(self.arrived.notified());
                match select(elapsed, arrived).await {
                    Either::Left(_) => break,
                    Either::Right((_, rest)) => elapsed = rest,
                }
            }
        }
        Some(self.take(most))
    }

    /// Waits until so many items wait, at most a batch, or the queue is closed. It takes none, so it may be dropped at any time. Only one
    /// consumer may wait at a time.
    pub async fn gathered(&self, enough: usize) {
        self.state().enough = enough.min(self.config.batch);
        while self.wants_more() {
            self.arrived.notified().await;
        }
    }

    /// Takes at most `most` of the items that wait now, oldest first, and no more than a batch.
    #[must_use]
    pub fn take(&self, most: usize) -> Vec<T> {
        let mut state = self.state();
        let count = state.items.len().min(self.config.batch).min(most);
        let mut batch = Vec::with_capacity(count);
        for _ in 0..count {
            let Some((scope, item)) = state.items.pop_front() else { break };
            state.give_back(scope);
            batch.push(item);
        }
        drop(state);
        self.left.notify_waiters();
        batch
    }

    /// Refuses new items. What waits is still handed out.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
        self.left.notify_waiters();
    }

    /// Returns how many items wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().items.len()
    }

    /// Tells whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn wants_more(&self) -> bool {
        let state = self.state();
        !state.closed && state.items.len() < state.enough
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn give_back(&mut self, scope: Scope) {
        if let Some(taken) = self.taken.get_mut(&scope) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&scope);
            }
        }
    }
}

/// A place in a [`Queue`] that is kept for one item.
#[derive(Debug)]
pub struct Place<T> {
    queue: Arc<Queue<T>>,
    scope: Scope,
    used: bool,
}

impl<T> Place<T> {
    /// Adds the item, also when the queue has been closed meanwhile.
    pub fn push(mut self, item: T) {
        self.used = true;
        let mut state = self.queue.state();
        state.reserved = state.reserved.saturating_sub(1);
        self.queue.put(state, self.scope, item);
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let mut state = self.queue.state();
        state.reserved = state.reserved.saturating_sub(1);
        state.give_back(self.scope);
        let last_of_closed = state.closed && state.reserved == 0;
        drop(state);
        self.queue.left.notify_waiters();
        if last_of_closed {
            self.queue.arrived.notify_one();
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("config", &self.config)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test owns what it spawns")]
mod tests {
    use super::*;

    use stanchion_core::{ManualClock, TenantId};

    fn tenant(number: u128) -> Scope {
        let bytes = number.to_be_bytes();
        Scope::Tenant(TenantId::from_uuid(uuid_from(bytes)))
    }

    fn uuid_from(bytes: [u8; 16]) -> uuid::Uuid {
        uuid::Uuid::from_bytes(bytes)
    }

    fn queue(capacity: usize, share: usize) -> Queue<u32> {
        Queue::new(QueueConfig { capacity, share, batch: 3, linger: Duration::from_millis(2) })
    }

    #[test]
    fn one_tenant_cannot_fill_the_queue() {
        let queue = queue(4, 2);
        queue.try_push(tenant(1), 1).unwrap();
        queue.try_push(tenant(1), 2).unwrap();
        assert_eq!(queue.try_push(tenant(1), 3), Err(Full { item: 3, reason: FullReason::Share }));
        queue.try_push(tenant(2), 4).unwrap();
        queue.try_push(tenant(3), 5).unwrap();
        assert_eq!(queue.try_push(tenant(4), 6), Err(Full { item: 6, reason: FullReason::Capacity }));
    }

    #[tokio::test]
    async fn a_reserved_place_counts_and_outlives_the_closing() {
        let (queue, clock) = (Arc::new(queue(2, 1)), ManualClock::default());
        let place = queue.reserve(tenant(1)).unwrap();
        assert_eq!(queue.reserve(tenant(1)).unwrap_err(), FullReason::Share);
        drop(queue.reserve(tenant(2)).unwrap());
        queue.try_push(tenant(2), 2).unwrap();
        assert_eq!(queue.try_push(tenant(3), 3), Err(Full { item: 3, reason: FullReason::Capacity }));
        queue.close();
        assert_eq!(queue.next_batch(&clock, &clock).await, Some(vec![2]));
        let mut rest = Box::pin(queue.next_batch(&clock, &clock));
        assert!(futures_util::poll!(rest.as_mut()).is_pending(), "a place is still open");
        place.push(1);
        assert_eq!(rest.await, Some(vec![1]));
        assert_eq!(queue.next_batch(&clock, &clock).await, None);
    }

    #[tokio::test]
    async fn a_batch_waits_for_company_and_no_longer() {
        let (queue, clock) = (queue(10, 10), ManualClock::default());
        queue.try_push(tenant(1), 1).unwrap();
        let mut batch = Box::pin(queue.next_batch(&clock, &clock));
        assert!(futures_util::poll!(batch.as_mut()).is_pending());
        queue.try_push(tenant(1), 2).unwrap();
        assert!(futures_util::poll!(batch.as_mut()).is_pending());
        clock.advance(Duration::from_millis(2));
        assert_eq!(batch.await, Some(vec![1, 2]));
    }

    #[tokio::test]
    async fn a_full_batch_does_not_wait() {
        let (queue, clock) = (queue(10, 10), ManualClock::default());
        let mut batch = Box::pin(queue.next_batch(&clock, &clock));
        assert!(futures_util::poll!(batch.as_mut()).is_pending());
        for item in 1..=4 {
            queue.try_push(tenant(1), item).unwrap();
        }
        assert_eq!(batch.await, Some(vec![1, 2, 3]));
    }

    #[tokio::test]
    async fn who_knows_how_many_come_waits_for_no_more_and_takes_no_more() {
        let (queue, clock) = (queue(10, 10), ManualClock::default());
        let mut batch = Box::pin(queue.next_batch_of(2, 3, &clock, &clock));
        queue.try_push(tenant(1), 1).unwrap();
        assert!(futures_util::poll!(batch.as_mut()).is_pending());
        queue.try_push(tenant(1), 2).unwrap();
        assert_eq!(batch.await, Some(vec![1, 2]));
        for item in 3..=6 {
            queue.try_push(tenant(1), item).unwrap();
        }
        assert_eq!(queue.next_batch_of(2, 1, &clock, &clock).await, Some(vec![3]));
        assert_eq!(queue.take(2), [4, 5]);
        assert_eq!(queue.take(2), [6]);
        assert!(queue.take(2).is_empty());
    }

    #[tokio::test]
    async fn who_waits_for_so_many_takes_none_of_them() {
        let queue = queue(10, 10);
        let mut gathered = Box::pin(queue.gathered(2));
        assert!(futures_util::poll!(gathered.as_mut()).is_pending());
        queue.try_push(tenant(1), 1).unwrap();
        assert!(futures_util::poll!(gathered.as_mut()).is_pending());
        queue.try_push(tenant(1), 2).unwrap();
        gathered.await;
        let mut more = Box::pin(queue.gathered(3));
        assert!(futures_util::poll!(more.as_mut()).is_pending());
        drop(more);
        assert_eq!(queue.len(), 2);
        queue.close();
        queue.gathered(3).await;
        assert_eq!(queue.take(3), [1, 2]);
    }

    #[tokio::test]
    async fn closing_hands_out_what_waits_and_then_ends() {
        let (queue, clock) = (queue(10, 10), ManualClock::default());
        queue.try_push(tenant(1), 1).unwrap();
        queue.close();
        assert_eq!(queue.try_push(tenant(1), 2), Err(Full { item: 2, reason: FullReason::Closed }));
        assert_eq!(queue.push(tenant(1), 2).await, Err(Closed(2)));
        assert_eq!(queue.next_batch(&clock, &clock).await, Some(vec![1]));
        assert_eq!(queue.next_batch(&clock, &clock).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn waiting_producers_lose_nothing() {
        let queue =
            Arc::new(Queue::new(QueueConfig { capacity: 8, share: 4, batch: 3, linger: Duration::ZERO }));
        let producers: Vec<_> = (0..8_u32)
            .map(|producer| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move {
                    for item in 0..500 {
                        queue.push(tenant(producer.into()), producer * 500 + item).await.unwrap();
                    }
                })
            })
            .collect();
        let clock = ManualClock::default();
        let mut seen = Vec::new();
        while seen.len() < 4_000 {
            seen.extend(queue.next_batch(&clock, &clock).await.unwrap());
        }
        for producer in producers {
            producer.await.unwrap();
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..4_000).collect::<Vec<_>>());
    }
}
